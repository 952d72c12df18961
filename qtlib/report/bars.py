"""Bars and how good they are, as one page: what is there over time, what is odd in it, and where that lies on prices.

It takes values and asks nobody: a view of each symbol, with a view of each of its series. Times are aware UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from qtlib.report.charts import BLUE, GREY, ORANGE, VERMILION, _line, finished
from qtlib.report.figure import Figure
from qtlib.report.markup import Html, listing, sentence
from qtlib.report.names import oddity_name
from qtlib.report.page import standalone
from qtlib.report.retold import retold
from qtlib.report.words import number, say, spoken

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
    parts: list[str | Figure] = [f"<p>{escape(lead)}</p>"] if lead else []
    parts += [_contents(symbols)] if symbols else []
    if facts:
        parts += [f"<h2>{say('Real bars, and these')}</h2>", *(facts_table(view) for view in facts)]
    for view in symbols:
        parts += [f'<h2 id="{escape(view.symbol)}">{escape(view.symbol)}</h2><p>{escape(view.life)}</p>']
        parts += [coverage(view), odd_prices(view), oddities_table(view)]
    return standalone(target, parts, title=title, lang=spoken(), simulated=simulated)


def coverage(view: SymbolView) -> Figure:
    """Over time, a line a series: what is there, and what of it may be traded on."""
    figure = Figure()
    names = [_kind(series) for series in view.series]
    for kind, color, width in (("there", "rgba(138,143,152,0.45)", 5), ("usable", BLUE, 11)):
        words = say("there") if kind == "there" else say("usable")
        x: list[datetime | None] = []
        y: list[str | None] = []
        for name, series in zip(names, view.series, strict=True):
            shown = _longest(series.there if kind == "there" else series.usable)
            for start, end in shown:
                x += [start, end, None]
                y += [name, name, None]
        figure.add_scatter(x=x, y=y, name=words, mode="lines", line={"color": color, "width": width}, hoverinfo="x+y")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    label = say(
        "{symbol}: {count} series over time, and which stretches of them may be traded on",
        symbol=view.symbol,
        count=len(names),
    )
    title = say("{symbol}: what is there, and what may be traded on", symbol=view.symbol)
    finished(figure, title, label, 150 + 34 * len(names)).update_yaxes(tickformat=None)
    return figure


def odd_prices(view: SymbolView) -> Figure:
    """Prices, with a mark wherever a series is odd; its shape and colour say how."""
    figure = Figure()
    _line(figure, view.prices, say("Close"), line={"width": 1.2, "color": GREY})
    found: dict[str, list[tuple[datetime, str]]] = {}
    for series in view.series:
        for odd in series.oddities:
            for start, _ in _longest(odd.stretches):
                found.setdefault(odd.kind, []).append((start, series.name))
    for place, (kind, marks) in enumerate(sorted(found.items())):
        shown = marks[:MOST_MARKS]
        x = [at for at, _ in shown]
        y = [_price_at(view.prices, at) for at in x]
        more = ", " + say("{count} of {most}", count=len(shown), most=len(marks)) if len(marks) > len(shown) else ""
        edge = {"width": 0.5, "color": "white"}
        marker = {"symbol": _SHAPES[place % 10], "size": 8, "color": _COLORS[place % 6], "line": edge}
        names = [name for _, name in shown]
        figure.add_scatter(
            x=x, y=y, name=oddity_name(kind) + more, mode="markers", text=names, hoverinfo="x+text+name", marker=marker
        )
    decades = np.log10(view.prices.max() / view.prices.min()) if len(view.prices) else 0.0
    figure.update_yaxes(title=say("Close, log scale"), type="log", dtick="D2" if decades > 1 else None)
    label = say(
        "{symbol}: closing prices, with marks of {kinds} kinds where its series are odd",
        symbol=view.symbol,
        kinds=len(found),
    )
    return finished(figure, say("{symbol}: where it is odd", symbol=view.symbol), label, 440)


def facts_table(view: FactsView) -> Html:
    """What real bars have in common, and these beside it."""
    heads = (say("Fact"), say("Real,\nin the middle"), say("Real,\nnearly all"), say("Here,\nin the middle"), "")
    caption = say("Bars of {timeframe}: what real ones have in common, by half years", timeframe=view.timeframe)
    rows = ((sentence(fact), *(escape(retold(cell)) for cell in cells)) for fact, *cells in view.rows)
    return listing(caption, heads, rows, words={0, 4})


def oddities_table(view: SymbolView) -> Html:
    """Every series with its verdict, and below it what is odd in it."""
    rows = []
    for series in view.series:
        rows.append((f"<strong>{escape(_kind(series))}</strong>", number(series.rows, ",d"), sentence(series.verdict)))
        rows += [(escape(oddity_name(odd.kind)), "", sentence(odd.words)) for odd in series.oddities]
    caption = say("{symbol}: series and what is odd in them; numbers in brackets are bars", symbol=view.symbol)
    return listing(caption, (say("Series, oddity"), say("Rows"), say("Verdict, words")), rows, words={0, 2})


# --- below ------------------------------------------------------------------------------------------------


def _contents(symbols: Sequence[SymbolView]) -> str:
    links = (
        f'<a href="#{escape(view.symbol)}">{escape(view.symbol)}</a> ({sum(len(s.oddities) for s in view.series)})'
        for view in symbols
    )
    return f"<p>{say('Oddities found')}: {', '.join(links)}</p>"


def _kind(series: SeriesView) -> str:
    """Its name without the symbol, which everything around it names."""
    return series.name.split("-", 1)[1]


def _longest(stretches: Sequence[Stretch]) -> list[Stretch]:
    return sorted(sorted(stretches, key=lambda s: s[0] - s[1])[:MOST_STRETCHES])


def _price_at(prices: "pd.Series[float]", at: datetime) -> float | None:
    if prices.empty:
        return None
    place = int(prices.index.searchsorted(pd.Timestamp(at)))
    return float(prices.iloc[min(place, len(prices) - 1)])
