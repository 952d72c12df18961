"""What there is of a market and how good it is, as a table to read: text in a terminal, HTML in a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLUMNS = ("symbol", "bars", "first close", "last close", "missing", "no trade", "not usable", "marks", "fundings")


@dataclass(frozen=True, slots=True)
class Report:
    """A row a symbol, and what else should be known. Numbers are counts of bars, and of settlements."""

    title: str
    rows: tuple[tuple[str, ...], ...]  # as COLUMNS
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        table = [COLUMNS, *self.rows]
        widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
        lines = ["  ".join(_padded(row, widths)).rstrip() for row in table]
        return "\n".join([self.title, *lines, *(f"- {remark}" for remark in self.remarks)])

    def _repr_html_(self) -> str:
        head = _row(COLUMNS, "th")
        body = "".join(_row(row, "td") for row in self.rows)
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in self.remarks)
        table = f"<table><caption>{escape(self.title)}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"
        return table + (f"<ul>{remarks}</ul>" if remarks else "")


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Names to the left, numbers to the right."""
    return [
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
