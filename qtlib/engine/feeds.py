"""Feeds: where moments come from. A feed is any iterable of `Moment`s in time order.

A replay makes two things of a market that has happened: the `Step`s that a simulated venue lives through, and the
`Moment`s that a trader hears of. A moment never holds anything of a later one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isnan
from typing import Protocol

import pandas as pd

from qtlib.domain.decisions import Moment, Signal
from qtlib.domain.market import Bar, Step
from qtlib.domain.state import START

OHLCV = ["open", "high", "low", "close", "volume"]
BELIEF = ["score", "confidence", "price", "volatility_frac"]

Frames = Mapping[str, pd.DataFrame]


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
    minds = {s: _Mind(s, bars, history.usable.get(s), strategy, windowed) for s, bars in sorted(history.bars.items())}
    lived_through = history.finer or history
    tapes = {s: _Tape(bars, lived_through.marks.get(s)) for s, bars in sorted(lived_through.bars.items())}
    timeline = sorted(set[datetime]().union(*(tape.times for tape in tapes.values())))
    funding = _by_time(history.funding, timeline)
    nothing: dict[str, float] = {}
    for ts in timeline[bisect_right(timeline, after) :]:
        bars: dict[str, Bar] = {}
        marks: dict[str, Bar] = {}
        valued: dict[str, float] = {}
        nexts: dict[str, float] = {}
        for symbol, tape in tapes.items():
            row = tape.row(ts)
            if row < 0:
                continue
            bars[symbol] = tape.bars[row]
            mark = tape.marks.get(ts)
            if mark is not None:
                marks[symbol], valued[symbol] = mark, mark.close
            if row + 1 < tape.length:
                nexts[symbol] = tape.bars[row + 1].open
        signals = tuple([signal for mind in minds.values() if (signal := mind.at(ts)) is not None])
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


class _Reader:
    """Rows by time, read forward."""

    def __init__(self, frame: pd.DataFrame):
        self.times = _times(frame.index)
        self.length = len(self.times)
        self.next = 0

    def row(self, ts: datetime) -> int:
        """The row that closed at `ts`; -1 if none did. Asked in the order of time."""
        times, row = self.times, self.next
        while row < self.length and times[row] < ts:
            row += 1
        self.next = row
        return row if row < self.length and times[row] == ts else -1


class _Tape(_Reader):
    """One symbol's bars as plain values."""

    def __init__(self, frame: pd.DataFrame, marks: pd.DataFrame | None):
        super().__init__(frame)
        self.bars = _bars(frame, self.times)
        self.marks = {} if marks is None else {bar.ts: bar for bar in _bars(marks, _times(marks.index))}


class _Mind(_Reader):
    """One symbol's beliefs."""

    def __init__(
        self, symbol: str, frame: pd.DataFrame, usable: "pd.Series[bool] | None", strategy: Strategy, windowed: bool
    ):
        super().__init__(frame)
        self.symbol, self.frame, self.strategy = symbol, frame, strategy
        self.beliefs = None if windowed else _beliefs(strategy.signals(frame))
        self.usable: Sequence[bool] | None = None if usable is None else usable.to_numpy(dtype=bool).tolist()

    def at(self, ts: datetime) -> Signal | None:
        row = self.row(ts)
        if row < 0:
            return None
        if self.beliefs is None:
            past = self.frame.iloc[max(0, row + 1 - self.strategy.lookback) : row + 1]
            score, confidence, price, volatility = _beliefs(self.strategy.signals(past))[-1]
        else:
            score, confidence, price, volatility = self.beliefs[row]
        fault = ""
        if isnan(score + confidence + volatility):
            score = confidence = volatility = 0.0
            fault = "warming up"
        elif self.usable is not None and not self.usable[row]:
            fault = "bars not usable"
        return Signal(self.symbol, ts, score, confidence, price, volatility, "", fault)


def _beliefs(signals: pd.DataFrame) -> list[tuple[float, ...]]:
    return list(map(tuple, signals[BELIEF].to_numpy(dtype=float).tolist()))


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
