"""Markup that the panel's parts share: tables that scroll within themselves, pairs, figures with their sign."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from qtlib.report.words import UNKNOWN


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: set[int], empty: str = "") -> str:
    """A table of markup cells; columns `words` align left. It scrolls within itself."""
    kinds = ['class="qt-word"' if i in words else 'class="qt-number"' for i in range(len(heads))]
    head = "".join(
        f'<th scope="col" {k}>{escape(h)}</th>' if h else f"<td {k}></td>" for h, k in zip(heads, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td {k}>{cell}</td>" for cell, k in zip(row, kinds, strict=True)) + "</tr>" for row in rows
    )
    if not body:
        return f'<p class="qt-none">{escape(empty or UNKNOWN)}</p>'
    return (
        f'<div class="qt-scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="qt-table" '
        f'aria-label="{escape(caption)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<dl class="qt-pairs">{shown}</dl>'


def tinted(text: str) -> str:
    sign = {"+": "qt-gain", "−": "qt-loss"}.get(text[:1])
    return f'<span class="{sign}">{escape(text)}</span>' if sign else escape(text)


def plain(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {plain(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
