"""Markup that reports are made of: cards, tables, facts; with their style, so that a notebook shows them as meant.

A table scrolls within itself, so the page never does sideways; its numbers align right, and its caption names it.
"""

from collections.abc import Iterable, Sequence
from html import escape

from qtlib.report.retold import retold
from qtlib.report.styles import STYLE
from qtlib.report.words import say


class Html(str):
    """Markup that a notebook shows as it is meant."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return f"<style>{STYLE}</style>{self}"


def cards(rows: Iterable[tuple[str, str, str]]) -> Html:
    """Figures side by side, each a name, a value, and what that must be read against."""
    shown = "".join(
        f'<div class="qt-card"><dt>{escape(name)}</dt><dd>{_tinted(value)}</dd>'
        f'<dd class="qt-note">{escape(note)}</dd></div>'
        for name, value, note in rows
    )
    return Html(f'<dl class="qt-cards">{shown}</dl>')


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: set[int], markup: bool = False
) -> Html:
    """A table whose columns `words` align left and whose others are numbers; it scrolls, its caption doesn't."""
    kind = ['class="qt-word"' if i in words else 'class="qt-number"' for i in range(len(heads))]
    head = "".join(f'<th scope="col" {k}>{escape(h)}</th>' for h, k in zip(heads, kind, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td {k}>{cell if markup else _tinted(cell)}</td>" for cell, k in zip(row, kind, strict=True))
        + "</tr>"
        for row in rows
    )
    body = body or f'<tr><td class="qt-word" colspan="{len(heads)}">{escape(say("none"))}</td></tr>'
    name = f'aria-label="{escape(caption)}"'
    return Html(
        f'<figure class="qt-figure"><figcaption>{escape(caption)}</figcaption>'
        f'<div class="qt-scroll" tabindex="0" role="region" {name}><table class="qt-table" {name}>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>"
    )


def facts(caption: str, rows: Iterable[tuple[str, str]]) -> Html:
    """What is known of a thing, each fact under its name; long ones go over several lines."""
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return Html(
        f'<figure class="qt-figure"><figcaption>{escape(caption)}</figcaption><dl class="qt-facts">{body}</dl></figure>'
    )


def sentence(text: str) -> str:
    """A cell that breaks its lines: what it says is longer than a phone is wide."""
    return f'<span class="qt-sentence">{escape(retold(text))}</span>'


def listing(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: set[int]) -> Html:
    """A table of cells that are markup already."""
    return table(caption, heads, rows, words, markup=True)


def _tinted(text: str) -> str:
    """Signed numbers in the colour of their sign, which is written as well."""
    sign = {"+": "qt-gain", "−": "qt-loss"}.get(text[:1])
    return f'<span class="{sign}">{escape(text)}</span>' if sign else escape(text)
