"""Feeds: where moments come from. A feed is any iterable of `Moment`s in time order.

A replay makes two things of a market that has happened: the `Step`s that a simulated venue lives through, and the
`Moment`s that a trader hears of. A moment never holds anything of a later one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from math import nan
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.domain.decisions import Moment, Signal
from qtlib.domain.events import START
from qtlib.domain.market import Bar, Step
from qtlib.domain.panel import DOUBTS, Array, Beliefs, Panel, Times, side_by_side
from qtlib.engine.universe import Days, Universe

OHLCV = ["open", "high", "low", "close", "volume"]

Frames = Mapping[str, pd.DataFrame]


_Row = tuple[Bar, Bar | None, float | None]  # a bar, its mark prices, and the first price after it
_Mind = Callable[[datetime], list[Signal]]  # what is believed at a close


class Strategy(Protocol):
    """What turns bars into beliefs: a rule of thumb, or a trained model with its features."""

    @property
    def lookback(self) -> int:
        """The last column of `signals` depends on no more than this many closes."""

    @property
    def name(self) -> str: ...

    def signals(self, panel: Panel) -> Beliefs:
        """What is believed at every close of `panel`, from it and those before."""


class Venue(Protocol):
    """A simulated exchange, as far as a replay drives it."""

    @property
    def now(self) -> datetime: ...

    def advance(self, step: Step) -> None: ...


class History(Protocol):
    """A market that has happened, as values: frames of bars by symbol, indexed by their close (UTC)."""

    @property
    def bars(self) -> Frames: ...

    @property
    def marks(self) -> Frames:
        """Mark price bars; a symbol or a bar without them has the last price instead."""

    @property
    def funding(self) -> "Mapping[str, pd.Series[float]]":
        """Rates (fraction) by settlement time."""

    @property
    def usable(self) -> "Mapping[str, pd.Series[bool]]":
        """False where a bar must not be traded on; a symbol without: all may."""

    @property
    def finer(self) -> "History | None":
        """Shorter bars that sum up to these: what the venue lives through inside them."""


@dataclass(frozen=True)
class Past:
    """A `History` put together by hand."""

    bars: Frames
    marks: Frames = field(default_factory=dict)
    funding: "Mapping[str, pd.Series[float]]" = field(default_factory=dict)
    usable: "Mapping[str, pd.Series[bool]]" = field(default_factory=dict)
    finer: History | None = None


def replay(
    history: History,
    strategy: Strategy,
    *,
    after: datetime = START,
    windowed: bool = False,
    universe: Universe | None = None,
) -> Iterator[tuple[Step, Moment]]:
    """Every bar close of `history` after `after`: what the venue lives through, and what is then known.

    `windowed` reads beliefs as live trading does, from the last `lookback` bars at each close; else they are read
    once over the whole past. Both are the same, row by row: strategies are held to that. With a `universe` the first
    moment of each day brings along what was picked for it.
    """
    panel, days = panel_of(history), Days(universe)
    believed = _window(panel, history, strategy) if windowed else _whole(panel, history, strategy, after)
    for step in steps(history, after=after):
        valued = {symbol: mark.close for symbol, mark in step.marks.items()}
        yield step, days.opened(Moment(step.ts, step.bars, tuple(believed(step.ts)), valued), panel)


def steps(history: History, *, after: datetime = START) -> Iterator[Step]:
    """What a venue lives through in `history` after `after`."""
    lived_through = history.finer or history
    tapes = [(s, _tape(bars, lived_through.marks.get(s))) for s, bars in sorted(lived_through.bars.items())]
    timeline = sorted(set[datetime]().union(*(tape for _, tape in tapes)))
    funding = _by_time(history.funding, timeline)
    nothing: dict[str, float] = {}
    for ts in timeline[bisect_right(timeline, after) :]:
        bars: dict[str, Bar] = {}
        marks: dict[str, Bar] = {}
        nexts: dict[str, float] = {}
        for symbol, tape in tapes:
            row = tape.get(ts)
            if row is None:
                continue
            bars[symbol], mark, coming = row
            if mark is not None:
                marks[symbol] = mark
            if coming is not None:
                nexts[symbol] = coming
        yield Step(ts, bars, marks, funding.get(ts, nothing), nexts)


def lived(venue: Venue, pairs: Iterable[tuple[Step, Moment]]) -> Iterator[Moment]:
    """The moments of a replay, each step lived through by `venue` before anyone hears of it.

    It begins with a heartbeat, at which what the last run left undone is made good; unless the venue has lived
    through the first step already, and it is the hearing that was cut off: then that moment itself comes first.
    """
    begun = False
    for step, moment in pairs:
        if not begun and venue.now < step.ts:
            yield Moment(venue.now, {})
        begun = True
        venue.advance(step)
        yield moment
    if not begun:
        yield Moment(venue.now, {})


def panel_of(history: History) -> Panel:
    """The bars of `history` side by side, with the funding rates that were known at each close."""
    return side_by_side(
        {s: (micros(frame.index), frame[OHLCV].to_numpy(np.float64).T) for s, frame in history.bars.items()},
        {s: (micros(rates.index), np.asarray(rates, np.float64)) for s, rates in history.funding.items()},
    )


def micros(index: pd.Index) -> Times:
    """Instants as microseconds since 1970, UTC."""
    return pd.DatetimeIndex(index).as_unit("us").asi8


def signals_of(
    symbols: Sequence[str],
    times: Iterable[datetime],
    price: Array,
    beliefs: Beliefs,
    fit: Sequence[bool] | None = None,
) -> list[Signal]:
    """One signal for each place of flat `beliefs`, each with the fault for which it must not open anything."""
    told = ~np.isnan(beliefs.score + beliefs.confidence + beliefs.volatility_frac)
    columns = [np.where(told, column, 0.0).tolist() for column in beliefs[:2]]
    columns += [price.tolist(), np.where(told, beliefs.volatility_frac, 0.0).tolist()]
    may = [True] * len(told) if fit is None else fit
    faults = [
        ("" if ok else "bars not usable") if known else beliefs.silence
        for known, ok in zip(told.tolist(), may, strict=True)
    ]
    levels = [repeat(nan) if c is None else c.tolist() for c in beliefs[3:6]]
    doubts = repeat("") if beliefs.doubt is None else [DOUBTS[doubt] for doubt in beliefs.doubt.tolist()]
    rows = repeat(()) if beliefs.features is None else _rows(beliefs.features, told)
    said = [*columns, repeat(beliefs.version), faults, *levels, doubts, rows, repeat(beliefs.schema)]
    return list(map(Signal, symbols, times, *said))


def _rows(features: Array, told: npt.NDArray[np.bool_]) -> list[tuple[float, ...]]:
    return [tuple(row) if known else () for row, known in zip(features.tolist(), told.tolist(), strict=True)]


def _tape(frame: pd.DataFrame, marks: pd.DataFrame | None) -> dict[datetime, _Row]:
    """One symbol's bars as plain values, by their close."""
    times = _times(frame.index)
    bars = _bars(frame, times)
    marked = {} if marks is None else {bar.ts: bar for bar in _bars(marks, _times(marks.index))}
    nexts = [*(bar.open for bar in bars[1:]), None]
    return dict(zip(times, zip(bars, map(marked.get, times), nexts, strict=True), strict=True))


def _whole(panel: Panel, history: History, strategy: Strategy, after: datetime) -> _Mind:
    """What is believed after `after`, read once over all of it and the closes that are looked back on."""
    instants = _instants(panel)
    first = bisect_right(instants, after)
    seen = panel.between(max(0, first + 1 - strategy.lookback), len(panel))
    begun = len(panel) - len(seen)
    beliefs = strategy.signals(seen)
    said: list[list[Signal]] = [[] for _ in range(len(panel))]
    for place, symbol in enumerate(panel.symbols):
        there = np.flatnonzero(~np.isnan(panel.close[place]))
        before = int(np.searchsorted(there, first))
        columns = there[before:]
        where = (np.full_like(columns, place), columns - begun)
        signals = signals_of(
            [symbol] * len(columns),
            _times(history.bars[symbol].index[before:]),
            seen.close[where],
            beliefs.at(where),
            _fit(history, symbol)[before:],
        )
        for column, signal in zip(columns.tolist(), signals, strict=True):
            said[column].append(signal)
    by_close = dict(zip(instants, said, strict=True))
    return lambda ts: by_close.get(ts, [])


def _window(panel: Panel, history: History, strategy: Strategy) -> _Mind:
    """What is believed, read from the last `lookback` closes at each."""
    columns = {ts: column for column, ts in enumerate(_instants(panel))}
    fit = {
        symbol: dict(zip(_times(frame.index), _fit(history, symbol), strict=True))
        for symbol, frame in history.bars.items()
    }

    def believed(ts: datetime) -> list[Signal]:
        if ts not in columns:
            return []
        seen = panel.between(max(0, columns[ts] + 1 - strategy.lookback), columns[ts] + 1)
        places = np.flatnonzero(~np.isnan(seen.close[:, -1]))
        where = (places, np.full_like(places, len(seen) - 1))
        symbols = [panel.symbols[place] for place in places]
        may = [fit[symbol][ts] for symbol in symbols]
        return signals_of(symbols, repeat(ts), seen.close[where], strategy.signals(seen).at(where), may)

    return believed


def _fit(history: History, symbol: str) -> list[bool]:
    """Which of a symbol's bars may be traded on."""
    usable = history.usable.get(symbol)
    return [True] * len(history.bars[symbol]) if usable is None else usable.to_numpy(dtype=bool).tolist()


def _instants(panel: Panel) -> list[datetime]:
    return _times(pd.to_datetime(panel.times, unit="us", utc=True))


def _bars(frame: pd.DataFrame, times: Sequence[datetime]) -> list[Bar]:
    columns = (frame[name].to_numpy(dtype=float).tolist() for name in OHLCV)
    return list(map(Bar, times, *columns))


def _by_time(
    funding: "Mapping[str, pd.Series[float]]", timeline: Sequence[datetime]
) -> dict[datetime, dict[str, float]]:
    """Rates by the bar close at which they are settled: the first one not before them. Several in one bar add up."""
    rates: dict[datetime, dict[str, float]] = {}
    for symbol, series in funding.items():
        for ts, rate in zip(_times(series.index), series.to_numpy(dtype=float).tolist(), strict=True):
            place = bisect_left(timeline, ts)
            if place < len(timeline):
                settled = rates.setdefault(timeline[place], {})
                settled[symbol] = settled.get(symbol, 0.0) + rate
    return rates


def _times(index: pd.Index) -> list[datetime]:
    times: list[datetime] = pd.DatetimeIndex(index).to_pydatetime().tolist()
    return times
