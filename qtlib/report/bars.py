"""Bars and how good they are, as one page: what is there over time, what is odd in it, and where that lies on prices.

It takes values and asks nobody: a view of each symbol, with a view of each of its series. Times are aware UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from qtlib.report.blocks import Html
from qtlib.report.charts import BLUE, GREY, ORANGE, VERMILION, _line, finished
from qtlib.report.page import standalone

Stretch = tuple[datetime, datetime]
MOST_STRETCHES = 400  # drawn of one kind in one series: the longest
MOST_MARKS = 300
_SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x", "cross", "star", "hexagon", "bowtie")
_COLORS = (VERMILION, ORANGE, BLUE, "#CC79A7", "#009E73", "#56B4E9")


@dataclass(frozen=True, slots=True)
class OddityView:
    kind: str
    words: str
    stretches: Sequence[Stretch] = ()


@dataclass(frozen=True, slots=True)
class SeriesView:
    name: str
    rows: int
    verdict: str  # in words
    there: Sequence[Stretch]
    usable: Sequence[Stretch]  # empty where nothing is traded on, as of mark prices
    oddities: Sequence[OddityView] = ()


@dataclass(frozen=True, slots=True)
class SymbolView:
    symbol: str
    life: str  # in words: from when to when it traded
    prices: "pd.Series[float]"  # close by time
    series: Sequence[SeriesView] = ()


@dataclass(frozen=True, slots=True)
class FactsView:
    """What real bars of a timeframe have in common, and whether these have it."""

    timeframe: str
    rows: Sequence[Sequence[str]]  # the fact, real bars' middle and range, these bars' middle, near or far


def page(
    target: Path,
    title: str,
    lead: str,
    symbols: Sequence[SymbolView],
    *,
    facts: Sequence[FactsView] = (),
    simulated: str | None = None,
) -> Path:
    """Write the page, whole or not at all."""
    parts: list[str | go.Figure] = [f"<p>{escape(lead)}</p>", *([_contents(symbols)] if symbols else [])]
    if facts:
        parts += ["<h2>Real bars, and these</h2>", *(facts_table(view) for view in facts)]
    for view in symbols:
        parts += [f'<h2 id="{escape(view.symbol)}">{escape(view.symbol)}</h2><p>{escape(view.life)}</p>']
        parts += [coverage(view), odd_prices(view), oddities_table(view)]
    return standalone(target, parts, title=title, simulated=simulated)


def coverage(view: SymbolView) -> go.Figure:
    """Over time, a line a series: what is there, and what of it may be traded on."""
    figure = go.Figure()
    names = [series.name.split("-", 1)[1] for series in view.series]
    for words, color, width in (("there", "rgba(138,143,152,0.45)", 5), ("usable", BLUE, 11)):
        x: list[datetime | None] = []
        y: list[str | None] = []
        for name, series in zip(names, view.series, strict=True):
            shown = _longest(series.there if words == "there" else series.usable)
            for start, end in shown:
                x += [start, end, None]
                y += [name, name, None]
        figure.add_scatter(x=x, y=y, name=words, mode="lines", line={"color": color, "width": width}, hoverinfo="x+y")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    label = f"{view.symbol}: {len(names)} series over time, and which stretches of them may be traded on"
    title = f"{view.symbol}: what is there, and what may be traded on"
    return finished(figure, title, label, 150 + 34 * len(names)).update_yaxes(tickformat=None)


def odd_prices(view: SymbolView) -> go.Figure:
    """Prices, with a mark wherever a series is odd; its shape and colour say how."""
    figure = go.Figure()
    _line(figure, view.prices, "Close", line={"width": 1.2, "color": GREY})
    found: dict[str, list[tuple[datetime, str]]] = {}
    for series in view.series:
        for odd in series.oddities:
            for start, _ in _longest(odd.stretches):
                found.setdefault(odd.kind, []).append((start, series.name))
    for number, (kind, marks) in enumerate(sorted(found.items())):
        shown = marks[:MOST_MARKS]
        x = [at for at, _ in shown]
        y = [_price_at(view.prices, at) for at in x]
        more = f", {len(shown)} of {len(marks)}" if len(marks) > len(shown) else ""
        edge = {"width": 0.5, "color": "white"}
        marker = {"symbol": _SHAPES[number % 10], "size": 8, "color": _COLORS[number % 6], "line": edge}
        names = [name for _, name in shown]
        figure.add_scatter(
            x=x, y=y, name=kind + more, mode="markers", text=names, hoverinfo="x+text+name", marker=marker
        )
    figure.update_yaxes(title="Close, log scale", type="log")
    label = f"{view.symbol}: closing prices, with marks of {len(found)} kinds where its series are odd"
    return finished(figure, f"{view.symbol}: where it is odd", label, 440)


def facts_table(view: FactsView) -> Html:
    """What real bars have in common, and these beside it."""
    names = ("Fact", "Real, in the middle", "Real, nearly all", "Here, in the middle", "")
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    body = ""
    for name, *numbers, verdict in view.rows:
        cells = "".join(f"<td class='qt-number'>{escape(number)}</td>" for number in numbers)
        body += f"<tr><th scope='row'>{escape(name)}</th>{cells}<td>{escape(verdict)}</td></tr>"
    caption = f"Bars of {escape(view.timeframe)}: what real ones have in common, by half years"
    table = f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    table = f"<table class='qt-table'>{table}</table>"
    return Html(f"<div class='qt-scroll' tabindex='0' role='region' aria-label='{caption}'>{table}</div>")


def oddities_table(view: SymbolView) -> Html:
    """Every series with its verdict, and below it what is odd in it."""
    body = ""
    for series in view.series:
        name, verdict = escape(series.name), escape(series.verdict)
        body += f"<tr><th scope='row'>{name}</th><td class='qt-number'>{series.rows:,}</td>{_words(verdict)}</tr>"
        body += "".join(
            f"<tr><td>{escape(odd.kind)}</td><td></td>{_words(escape(odd.words))}</tr>" for odd in series.oddities
        )
    head = "<tr><th scope='col'>Series, oddity</th><th scope='col'>Rows</th><th scope='col'>Verdict, words</th></tr>"
    caption = f"{escape(view.symbol)}: series and what is odd in them; numbers in brackets are bars"
    table = f"<table class='qt-table'><caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"
    return Html(f"<div class='qt-scroll' tabindex='0' role='region' aria-label='{caption}'>{table}</div>")


# --- below ------------------------------------------------------------------------------------------------


def _contents(symbols: Sequence[SymbolView]) -> str:
    links = (
        f'<a href="#{escape(view.symbol)}">{escape(view.symbol)}</a> ({sum(len(s.oddities) for s in view.series)})'
        for view in symbols
    )
    return f"<p>Oddities found: {', '.join(links)}</p>"


def _words(text: str) -> str:
    """A cell that breaks its lines: sentences are longer than a phone is wide."""
    return f"<td class='qt-word' style='white-space:normal;min-width:16rem'>{text}</td>"


def _longest(stretches: Sequence[Stretch]) -> list[Stretch]:
    return sorted(sorted(stretches, key=lambda s: s[0] - s[1])[:MOST_STRETCHES])


def _price_at(prices: "pd.Series[float]", at: datetime) -> float | None:
    if prices.empty:
        return None
    place = int(prices.index.searchsorted(pd.Timestamp(at)))
    return float(prices.iloc[min(place, len(prices) - 1)])
