"""What a linter found, to read: sentences in a terminal, a table in a notebook."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Finding:
    """One leak: what it is of, where it shows, and the two values that should have been one."""

    kind: str  # what is wrong, in a word or two
    name: str  # of the function, or of the part of a pipeline
    where: str  # the symbol and the bar, or the fold and the row
    told: str  # with what must not be known
    known: str  # without
    words: str  # the sentence, with what to do

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a linter found; nothing found is `ok`."""

    found: tuple[Finding, ...]
    looked: tuple[str, ...]  # names of what was looked at

    @property
    def ok(self) -> bool:
        return not self.found

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(self.found + other.found, self.looked + other.looked)

    def __str__(self) -> str:
        if self.ok:
            return f"no leak found in {len(self.looked)}: {', '.join(self.looked)}"
        return "\n".join(f.words for f in self.found)

    def _repr_html_(self) -> str:
        if self.ok:
            return f"<p>{escape(str(self))}</p>"
        head = "".join(f"<th>{cell}</th>" for cell in ("leak", "in", "where", "value", "value if honest", "in words"))
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(f))}</tr>" for f in self.found)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(f: Finding) -> tuple[str, ...]:
    return f.kind, f.name, f.where, f.told, f.known, f.words


def together(parts: Iterable[Findings]) -> Findings:
    """All of them as one."""
    return sum(parts, Findings((), ()))
