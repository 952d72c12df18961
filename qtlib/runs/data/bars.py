"""Bars of this machine: where those of each venue lie, and what comes into them."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from qtlib.exchanges.binance.past import binance_past
from qtlib.exchanges.ccxt_past import ccxt_past
from qtlib.exchanges.past import Past
from qtlib.market import Market, Store
from qtlib.market.catalogue import Span, without
from qtlib.market.facts import Row, against_real, known, measured
from qtlib.market.foreign import Brought, Hints, bring, recognised
from qtlib.market.merging import Differing
from qtlib.market.names import BARS, FUNDING, MARKS, Name
from qtlib.market.reading import Frames, read_each
from qtlib.market.series import Series
from qtlib.market.survey import Life, Survey, Verdict
from qtlib.market.timeframes import datetime_at, micros_at, micros_of
from qtlib.params import SettingsError
from qtlib.report.bars import FactsView, OddityView, SeriesView, SymbolView, page
from qtlib.report.retold import retold
from qtlib.report.words import moment, say
from qtlib.runs.data.fetch import Fetched, hung_up, run
from qtlib.runs.record.folder import runs_root

TRADED = "binanceusdm"  # the venue that is traded on: its bars are those that are meant where none is named
_NAMED = {TRADED: "", "": "", "binance": "spot"}

Tell = Callable[[int, int, str], None]


def folder_of(venue: str, to: Path | None = None) -> Path:
    """Where bars of `venue` lie: each venue's in a folder of their own, as prices of two are two things."""
    return to or runs_root() / "market" / _NAMED.get(venue, venue)


def bring_in(
    paths: Iterable[Path],
    hints: Hints,
    differing: str,
    to: Path | None,
    tell: Tell,
) -> list[Brought]:
    """Import files and folders; what says nothing of its venue is of the one that is traded on."""
    try:
        which = Differing(differing)
    except ValueError:
        raise SettingsError(f"--differing {differing!r} must be refuse, keep or replace") from None
    return bring(recognised(paths), lambda venue: Store(folder_of(venue, to)), hints, which, tell)


def fetch_in(
    symbols: Iterable[str],
    timeframes: Iterable[str],
    start: str,
    end: str | None,
    *,
    marks: bool,
    funding: bool,
    venue: str,
    url: str | None,
    to: Path | None,
    anew: bool,
    tell: Tell,
) -> list[Fetched]:
    """Fetch bars of `symbols`, and what belongs to them, from `venue` into where its bars lie."""
    try:
        spans = {timeframe: micros_of(timeframe) for timeframe in timeframes}
        begins, ends = micros_at(start), None if end is None else micros_at(end)
    except ValueError as why:
        raise SettingsError(str(why)) from why
    if url is not None and venue != TRADED:
        raise SettingsError(f"--url is of a served venue, which is as {TRADED} is: leave --venue {venue} out")
    names = [Name(symbol, timeframe) for symbol in symbols for timeframe in spans]
    names += [Name(symbol, timeframe, MARKS) for symbol in symbols for timeframe in spans if marks]
    names += [Name(symbol, "", FUNDING) for symbol in symbols if funding]

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Past]:
        async with hung_up(binance_past(url) if venue == TRADED else ccxt_past(venue)) as past:
            yield past

    return run(connect, folder_of(venue, to), names, begins, ends, anew=anew, tell=tell)


def write_report(found: Survey, facts: Mapping[str, Sequence[Row]], target: Path) -> None:
    """The page of a survey, with pictures."""
    names = {str(name): name for name in map(Name.of, found.verdicts) if name is not None}
    views = []
    for symbol in sorted({name.symbol for name in names.values()}):
        its = [verdict for text, verdict in found.verdicts.items() if names[text].symbol == symbol]
        life = found.lives.get(symbol)
        bars = [names[verdict.series] for verdict in its if names[verdict.series].kind == BARS and not verdict.fatal]
        views.append(
            SymbolView(
                symbol, _lived(life), _closes(found.folder, bars), [_series_view(v, names[v.series]) for v in its]
            )
        )
    lead = say(
        "Usable: every bar there, traded, with {refill} bars of past and no series that disagrees.", refill=found.refill
    )
    title = say("Bars in {folder}: what is there, and how good it is", folder=found.folder.name)
    page(target, title, lead, views, facts=facts_views(facts))


def write_facts(market: Market, facts: Mapping[str, Sequence[Row]], target: Path) -> None:
    """The page of a market as settings mean it."""
    simulated = market.source if market.simulated else None
    title = retold(f"{market.source}: bars of {market.timeframe}")
    page(target, title, "", [], facts=facts_views(facts), simulated=simulated)


def facts_views(facts: Mapping[str, Sequence[Row]]) -> list[FactsView]:
    return [FactsView(timeframe, [row.cells for row in rows]) for timeframe, rows in facts.items()]


def facts_in(found: Survey) -> dict[str, tuple[Row, ...]]:
    """How near to real bars those of a survey are, by timeframe: of all that may be read, where enough is known."""
    names = {name: verdict for text, verdict in found.verdicts.items() if (name := Name.of(text)) is not None}
    told = {}
    for timeframe in known():
        symbols = [n.symbol for n, its in names.items() if (n.timeframe, n.kind) == (timeframe, BARS) and not its.fatal]
        if symbols:
            told[timeframe] = facts_of(read_each(found.folder, symbols, timeframe), timeframe)
    return {timeframe: rows for timeframe, rows in told.items() if rows}


def facts_of(frames: Frames | Market, timeframe: str) -> tuple[Row, ...]:
    """How near to real bars these are; no row where they are too few, or real ones of their length are not known."""
    rows = against_real(measured(frames.bars, timeframe, frames.marks, frames.funding), timeframe)
    return rows if any(row.near is not None for row in rows) else ()


def facts_told(facts: Mapping[str, Sequence[Row]]) -> dict[str, list[dict[str, Any]]]:
    """The same, for JSON."""
    return {
        timeframe: [
            {"fact": row.fact.name, "real": asdict(row.real), "here": row.told, "near": row.near} for row in rows
        ]
        for timeframe, rows in facts.items()
    }


def hints_of(given: Iterable[str], **said: Any) -> Hints:
    """What files do not say of themselves, from the command line: `given` are pairs as time=Date."""
    columns = {}
    for pair in given:
        ours, mark, theirs = pair.partition("=")
        if not mark or not theirs:
            raise SettingsError(f"--map {pair!r} must be OURS=THEIRS, as time=Date")
        columns[ours] = theirs
    try:
        return Hints(columns=columns, **said)
    except ValueError as why:
        raise SettingsError(str(why)) from why


def told(one: Brought) -> Mapping[str, Any]:
    """What became of a series, for people and JSON."""
    return {
        "series": str(one.name),
        "files": one.files,
        "new": one.new,
        "known": one.known,
        "differences": len(one.differences),
        "refused": one.refused,
        "notes": list(one.notes),
    }


# --- below ------------------------------------------------------------------------------------------------


def _lived(life: Life | None) -> str:
    if life is None:
        return say("It never trades.")
    words = (
        say("It trades from {first} to {last}, and was delisted then.")
        if life.delisted
        else say("It trades from {first} to {last}.")
    )
    return words.format(first=moment(life.first), last=moment(life.last))


def _closes(folder: Path, bars: Iterable[Name]) -> "pd.Series[float]":
    """The closes of the longest bars: enough for a picture."""
    longest = max(bars, key=lambda name: name.span, default=None)
    if longest is None:
        return pd.Series(dtype=float)
    rows, _ = Series(folder, str(longest)).load(("close",))
    return rows.frame(forward=longest.span)["close"]


def _series_view(verdict: Verdict, name: Name) -> SeriesView:
    gaps = [span for odd in verdict.oddities if odd.kind == "gap" for span in odd.spans]
    there = without((verdict.first, verdict.last + name.span), gaps) if verdict.rows else ()
    odd = [OddityView(odd.kind, odd.words, _when(odd.spans)) for odd in verdict.oddities]
    return SeriesView(verdict.series, verdict.rows, verdict.words, _when(there), _when(verdict.usable), odd)


def _when(spans: Iterable[Span]) -> list[tuple[datetime, datetime]]:
    return [(datetime_at(start), datetime_at(end)) for start, end in spans]
