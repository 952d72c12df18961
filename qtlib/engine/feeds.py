"""Feeds: where moments come from. A feed is any iterable of `Moment`s in time order.

A replay makes two things of a market that has happened: the `Step`s that a simulated venue lives through, and the
`Moment`s that a trader hears of. A moment never holds anything of a later one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import Protocol

import numpy as np
import pandas as pd

from qtlib.domain.decisions import Moment, Signal
from qtlib.domain.market import Bar, Step
from qtlib.domain.state import START

OHLCV = ["open", "high", "low", "close", "volume"]
BELIEF = ["score", "confidence", "price", "volatility_frac"]

Frames = Mapping[str, pd.DataFrame]


_Row = tuple[Bar, Bar | None, float | None]  # a bar, its mark prices, and the first price after it
_Mind = Callable[[datetime], Signal | None]  # what is believed at a bar's close


class Strategy(Protocol):
    """What turns bars into beliefs: a rule of thumb, or a trained model with its features."""

    @property
    def lookback(self) -> int:
        """The last row of `signals` depends on no more than this many bars."""

    @property
    def name(self) -> str: ...

    def signals(self, bars: pd.DataFrame) -> pd.DataFrame:
        """A row of score, confidence, price and volatility_frac for every row of `bars`, from it and those before."""


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
    history: History, strategy: Strategy, *, after: datetime = START, windowed: bool = False
) -> Iterator[tuple[Step, Moment]]:
    """Every bar close of `history` after `after`: what the venue lives through, and what is then known.

    `windowed` reads beliefs as live trading does, from the last `lookback` bars at each close; else they are read
    once over the whole past. Both are the same, row by row: strategies are held to that.
    """
    mind = _window if windowed else _whole
    minds = [mind(s, bars, history.usable.get(s), strategy) for s, bars in sorted(history.bars.items())]
    lived_through = history.finer or history
    tapes = [(s, _tape(bars, lived_through.marks.get(s))) for s, bars in sorted(lived_through.bars.items())]
    timeline = sorted(set[datetime]().union(*(tape for _, tape in tapes)))
    funding = _by_time(history.funding, timeline)
    nothing: dict[str, float] = {}
    for ts in timeline[bisect_right(timeline, after) :]:
        bars: dict[str, Bar] = {}
        marks: dict[str, Bar] = {}
        valued: dict[str, float] = {}
        nexts: dict[str, float] = {}
        for symbol, tape in tapes:
            row = tape.get(ts)
            if row is None:
                continue
            bars[symbol], mark, coming = row
            if mark is not None:
                marks[symbol], valued[symbol] = mark, mark.close
            if coming is not None:
                nexts[symbol] = coming
        signals = tuple([signal for believed in minds if (signal := believed(ts)) is not None])
        yield Step(ts, bars, marks, funding.get(ts, nothing), nexts), Moment(ts, bars, signals, valued)


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


def _tape(frame: pd.DataFrame, marks: pd.DataFrame | None) -> dict[datetime, _Row]:
    """One symbol's bars as plain values, by their close."""
    times = _times(frame.index)
    bars = _bars(frame, times)
    marked = {} if marks is None else {bar.ts: bar for bar in _bars(marks, _times(marks.index))}
    nexts = [*(bar.open for bar in bars[1:]), None]
    return dict(zip(times, zip(bars, map(marked.get, times), nexts, strict=True), strict=True))


def _whole(symbol: str, frame: pd.DataFrame, usable: "pd.Series[bool] | None", strategy: Strategy) -> _Mind:
    """One symbol's beliefs, read once over the whole past."""
    times = _times(frame.index)
    fit = None if usable is None else usable.to_numpy(dtype=bool).tolist()
    return dict(zip(times, signals_of(repeat(symbol), times, strategy.signals(frame), fit), strict=True)).get


def _window(symbol: str, frame: pd.DataFrame, usable: "pd.Series[bool] | None", strategy: Strategy) -> _Mind:
    """One symbol's beliefs, read from the last `lookback` bars at each close."""
    rows = {ts: row for row, ts in enumerate(_times(frame.index))}

    def believed(ts: datetime) -> Signal | None:
        row = rows.get(ts)
        if row is None:
            return None
        beliefs = strategy.signals(frame.iloc[max(0, row + 1 - strategy.lookback) : row + 1])
        fit = None if usable is None else [bool(usable.iloc[row])]
        return signals_of([symbol], [ts], beliefs.iloc[-1:], fit)[0]

    return believed


def signals_of(
    symbols: Iterable[str], times: Iterable[datetime], beliefs: pd.DataFrame, usable: Sequence[bool] | None = None
) -> list[Signal]:
    """Rows of `beliefs` as signals, whole columns at once, each with the fault for which it must not open anything."""
    score, confidence, price, volatility = beliefs[BELIEF].to_numpy(dtype=float).T
    told = ~np.isnan(score + confidence + volatility)
    fit = [True] * len(beliefs) if usable is None else usable
    columns = [np.where(told, score, 0.0), np.where(told, confidence, 0.0), price, np.where(told, volatility, 0.0)]
    faults = [
        ("" if ok else "bars not usable") if known else "warming up"
        for known, ok in zip(told.tolist(), fit, strict=True)
    ]
    return list(map(Signal, symbols, times, *(column.tolist() for column in columns), repeat(""), faults))


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
