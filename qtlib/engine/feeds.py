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

import numpy as np
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

    def advance(self, step: Step) -> None: ...


@dataclass(frozen=True)
class History:
    """A market that has happened, as values: frames of bars by symbol, indexed by their close (UTC)."""

    bars: Frames
    marks: Frames = field(default_factory=dict)  # mark price bars; a symbol without them has the last price instead
    funding: Mapping[str, pd.Series] = field(default_factory=dict)  # rate (fraction) by settlement time
    usable: Mapping[str, pd.Series] = field(default_factory=dict)  # False where a bar must not be traded; absent: all


def replay(
    history: History, strategy: Strategy, *, after: datetime = START, windowed: bool = False
) -> Iterator[tuple[Step, Moment]]:
    """Every bar close of `history` after `after`: what the venue lives through, and what is then known.

    `windowed` reads beliefs as live trading does, from the last `lookback` bars at each close; else they are read
    once over the whole past. Both are the same, row by row: strategies are held to that.
    """
    tapes = {s: _Tape(s, bars, history, strategy, windowed) for s, bars in sorted(history.bars.items())}
    timeline = _timeline(tapes.values())
    funding = _by_time(history.funding, timeline)
    for ts in timeline[bisect_right(timeline, after) :]:
        bars: dict[str, Bar] = {}
        marks: dict[str, Bar] = {}
        nexts: dict[str, float] = {}
        signals: list[Signal] = []
        for symbol, tape in tapes.items():
            row = tape.at(ts)
            if row < 0:
                continue
            bars[symbol] = tape.bar(row)
            mark = tape.marks.get(ts)
            if mark is not None:
                marks[symbol] = mark
            if row + 1 < tape.length:
                nexts[symbol] = tape.opens[row + 1]
            signals.append(tape.signal(row))
        step = Step(ts, bars, marks, funding.get(ts, {}), nexts)
        yield step, Moment(ts, bars, tuple(signals), {symbol: mark.close for symbol, mark in marks.items()})


def lived(venue: Venue, pairs: Iterable[tuple[Step, Moment]]) -> Iterator[Moment]:
    """The moments of a replay, each step lived through by `venue` before anyone hears of it."""
    for step, moment in pairs:
        venue.advance(step)
        yield moment


class _Tape:
    """One symbol's history as plain lists, read forward."""

    def __init__(self, symbol: str, frame: pd.DataFrame, history: History, strategy: Strategy, windowed: bool):
        self.symbol, self.frame, self.strategy, self.windowed = symbol, frame, strategy, windowed
        self.times: list[datetime] = _times(frame.index)
        self.length = len(self.times)
        columns = [frame[name].to_numpy(dtype=float).tolist() for name in OHLCV]
        self.opens: list[float] = columns[0]
        self.rows = list(zip(self.times, *columns, strict=True))
        self.beliefs = [] if windowed else _beliefs(strategy.signals(frame))
        self.marks = _bars(history.marks[symbol]) if symbol in history.marks else {}
        usable = history.usable.get(symbol)
        self.usable: Sequence[bool] | None = None if usable is None else usable.to_numpy(dtype=bool).tolist()
        self.next = 0

    def at(self, ts: datetime) -> int:
        """The row that closed at `ts`; -1 if none did."""
        while self.next < self.length and self.times[self.next] < ts:
            self.next += 1
        return self.next if self.next < self.length and self.times[self.next] == ts else -1

    def bar(self, row: int) -> Bar:
        return Bar(*self.rows[row])

    def signal(self, row: int) -> Signal:
        if self.windowed:
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
        return Signal(self.symbol, self.times[row], score, confidence, price, volatility, "", fault)


def _beliefs(signals: pd.DataFrame) -> list[tuple[float, ...]]:
    return list(map(tuple, signals[BELIEF].to_numpy(dtype=float).tolist()))


def _bars(frame: pd.DataFrame) -> dict[datetime, Bar]:
    values = frame[OHLCV].to_numpy(dtype=float)
    values = np.nan_to_num(values)
    return {ts: Bar(ts, *row) for ts, row in zip(_times(frame.index), values.tolist(), strict=True)}


def _by_time(funding: Mapping[str, pd.Series], timeline: Sequence[datetime]) -> dict[datetime, dict[str, float]]:
    """Rates by the bar close at which they are settled: the first one not before them. Several in one bar add up."""
    rates: dict[datetime, dict[str, float]] = {}
    for symbol, series in funding.items():
        for ts, rate in zip(_times(series.index), series.to_numpy(dtype=float).tolist(), strict=True):
            place = bisect_left(timeline, ts)
            if place < len(timeline):
                settled = rates.setdefault(timeline[place], {})
                settled[symbol] = settled.get(symbol, 0.0) + rate
    return rates


def _timeline(tapes: Iterable[_Tape]) -> list[datetime]:
    return sorted(set[datetime]().union(*(tape.times for tape in tapes)))


def _times(index: pd.Index) -> list[datetime]:
    times: list[datetime] = pd.DatetimeIndex(index).to_pydatetime().tolist()
    return times
