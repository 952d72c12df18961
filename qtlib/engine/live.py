"""Feeds of a venue that is there now: moments made of its closed bars, as they close.

`stepped` is for a venue whose market waits for its trader, a bar at a time: the same moments as a replay of those
bars. `streamed` is for one whose market does not wait. Both begin with what closed while nobody looked, learned and
not acted on; a moment's bars are those of one close, its signals read the last `lookback` bars of each symbol, and a
venue that cannot be reached makes heartbeats, never an end.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from math import ceil, inf
from queue import Empty

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.domain.decisions import Moment, Signal
from qtlib.domain.market import Bar
from qtlib.domain.state import START
from qtlib.engine.feeds import OHLCV, Strategy, signals_of
from qtlib.exchanges.port import BarHeard, ExchangeError, MarketData, RunningMarket, WaitingMarket

PAUSE_S = 0.2  # before a market that could not be asked is asked again
MOST_MISSED = 1_500  # bars: of a longer absence only the end is learned

_COLUMNS, _VOLUME = pd.Index(OHLCV), OHLCV.index("volume")

Times = npt.NDArray[np.datetime64]  # closes, UTC: a row a symbol, a column a bar
Volumes = npt.NDArray[np.float64]  # base, likewise
Fit = Callable[[Times, Volumes], npt.NDArray[np.bool_]]  # of which symbols the last bar may be traded on


def _all_fit(times: Times, volumes: Volumes) -> npt.NDArray[np.bool_]:
    return np.ones(len(times), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: the symbols of a universe, in bars of one length, by one strategy."""

    strategy: Strategy
    symbols: tuple[str, ...]
    timeframe: str
    span: timedelta  # of a bar
    fit: Fit = _all_fit
    before: int = 0  # how many bars before the lookback `fit` reads


def stepped(
    data: WaitingMarket, subject: Subject, after: datetime = START, settled: Callable[[], bool] = lambda: True
) -> Iterator[Moment]:
    """A market that goes on a bar whenever the last one has been dealt with, until it ends.

    Until it is `settled` there are heartbeats: an answer is missing, or it is not known what became of an order.
    """
    windows, at, begun = _Windows(subject), after, False
    yield from _patiently(windows, lambda: windows.fill(data))
    while True:
        moments: Sequence[Moment] = ()
        try:
            if (now := data.now) > at:
                moments = _closed(data, windows, at, now) or [_heartbeat(at)]
                at = now
            elif begun and not settled():
                time.sleep(PAUSE_S)
                begun = False
            elif begun and not data.step():
                return
        except ExchangeError:
            time.sleep(PAUSE_S)
            begun = False
        if not begun:
            moments = moments or [_heartbeat(at)]  # what was left undone is made good before the market goes on
            begun = True
        yield from moments


def streamed(
    data: RunningMarket,
    subject: Subject,
    after: datetime = START,
    *,
    heartbeat_s: float = 0.5,
    reconcile_s: float = 60.0,
    patience_s: float = 1.0,
    stale_s: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Moment]:
    """A market that goes on by itself, for ever.

    A moment is due when every symbol's bar was heard, or `patience_s` after the first; with nothing to hear there is a
    heartbeat every `heartbeat_s`. Beliefs about bars that closed more than `stale_s` ago open nothing.
    """
    heard = data.watch(subject.symbols, subject.timeframe)  # first, so that nothing falls between it and the past
    windows = _Windows(subject, holds_s=stale_s)
    yield from _patiently(windows, lambda: windows.fill(data))
    yield from _patiently(windows, lambda: _closed(data, windows, after, data.now, stale_s) or [_heartbeat(after)])
    gathering, due_s = _Gathering(subject), clock() + reconcile_s
    while True:
        doubt, woken = "", False
        try:
            said = heard.get(timeout=min(heartbeat_s, patience_s) if gathering.bars else heartbeat_s)
            while True:  # all there is, before anything is made of it
                if isinstance(said, BarHeard):
                    if windows.is_news(said):
                        gathering.take(said, clock())
                else:
                    woken, doubt = True, doubt or (said.why if said.missed else "")
                said = heard.get_nowait()
        except Empty:
            pass
        if clock() >= due_s:
            doubt, due_s = doubt or "it is time to compare", clock() + reconcile_s
        ready = gathering.ready(clock() - patience_s)
        if not ready or woken or doubt:
            yield _heartbeat(windows.last, doubt)
        for ts, closed in ready:
            newest = not gathering.bars and ts == ready[-1][0]
            try:
                stale = newest and (data.now - ts).total_seconds() > stale_s
            except ExchangeError:
                stale = True
            yield windows.moment(ts, closed, past=not newest, stale=stale)


def single_pass(feed: Iterable[Moment]) -> Iterator[Moment]:
    """The moments up to the first to act on: what a session that is started by a clock needs of a market."""
    for moment in feed:
        yield moment
        if not moment.past:
            return


# --- below ------------------------------------------------------------------------------------------------


class _Windows:
    """The last `lookback` bars of each symbol, and what the strategy makes of them.

    Full windows are read in one go, one under the other: a belief reads no more than `lookback` rows, so that the last
    row of each is what it would be by itself. With fewer bars there is no belief yet.
    """

    def __init__(self, subject: Subject, holds_s: float = inf) -> None:
        self.subject, self.holds_s = subject, holds_s
        self.last = START  # close of the newest bar taken in
        self._lookback = subject.strategy.lookback
        self._length = self._lookback + subject.before
        shape = (len(subject.symbols), self._length)
        self._places = {symbol: place for place, symbol in enumerate(subject.symbols)}
        self._counts = np.zeros(len(subject.symbols), dtype=int)
        self._times = np.zeros(shape, dtype="datetime64[us]")
        self._values = np.zeros((*shape, len(OHLCV)))

    def fill(self, data: MarketData) -> Sequence[Moment]:
        """Read what there is of the past; no moments come of it."""
        s = self.subject
        self._counts[:] = 0
        for symbol, bars in data.bars(s.symbols, s.timeframe, self._length).items():
            for bar in bars:
                self._take(self._places[symbol], bar)
        return ()

    def is_news(self, said: BarHeard) -> bool:
        """Whether a bar of this symbol that closed later is not known yet."""
        place = self._places.get(said.symbol)
        return place is not None and (not self._counts[place] or _instant(said.bar.ts) > self._times[place, -1])

    def moment(
        self, ts: datetime, closed: Mapping[str, BarHeard], *, past: bool = False, stale: bool = False
    ) -> Moment:
        """What is known at `ts`, where these bars closed."""
        self.last = max(self.last, ts)
        for said in closed.values():
            if self.is_news(said):
                self._take(self._places[said.symbol], said.bar)
        bars = {symbol: said.bar for symbol, said in closed.items()}
        marks = {symbol: said.mark for symbol, said in closed.items() if said.mark is not None}
        if past:
            return Moment(ts, bars, (), marks, past=True)
        return Moment(ts, bars, tuple(self._signals(ts, closed, stale)), marks, holds_s=self.holds_s)

    def _take(self, place: int, bar: Bar) -> None:
        times, values = self._times[place], self._values[place]
        times[:-1], values[:-1] = times[1:], values[1:]
        times[-1], values[-1] = _instant(bar.ts), bar[1:]
        self._counts[place] += 1

    def _signals(self, ts: datetime, closed: Mapping[str, BarHeard], stale: bool) -> list[Signal]:
        symbols = sorted(closed)
        full = [symbol for symbol in symbols if self._counts[self._places[symbol]] >= self._lookback]
        believed = {signal.symbol: signal for signal in self._believed(ts, full)}
        signals = [
            believed.get(symbol) or Signal(symbol, ts, 0.0, 0.0, closed[symbol].bar.close, 0.0, "", "warming up")
            for symbol in symbols
        ]
        return [s._replace(fault="bars too old") if stale and not s.fault else s for s in signals]

    def _believed(self, ts: datetime, symbols: Sequence[str]) -> list[Signal]:
        if not symbols:
            return []
        places = [self._places[symbol] for symbol in symbols]
        times, values = self._times[places], self._values[places]
        index = pd.DatetimeIndex(times.reshape(-1), name="ts").tz_localize("UTC")
        frame = pd.DataFrame(values.reshape(-1, len(OHLCV)), index=index, columns=_COLUMNS, copy=False)
        beliefs = self.subject.strategy.signals(frame).iloc[self._length - 1 :: self._length]
        fit = self.subject.fit(times, values[:, :, _VOLUME])
        return signals_of(symbols, repeat(ts), beliefs, fit.tolist())


class _Gathering:
    """Bars that were heard, until those of one close are together."""

    def __init__(self, subject: Subject) -> None:
        self._all = len(subject.symbols)
        self.bars: dict[datetime, dict[str, BarHeard]] = {}
        self._since_s: dict[datetime, float] = {}

    def take(self, said: BarHeard, now_s: float) -> None:
        self.bars.setdefault(said.bar.ts, {})[said.symbol] = said
        self._since_s.setdefault(said.bar.ts, now_s)

    def ready(self, before_s: float) -> list[tuple[datetime, dict[str, BarHeard]]]:
        """Closes that are whole, or began to arrive `before_s`; with one, all that are older."""
        whole = [ts for ts, closed in self.bars.items() if len(closed) == self._all or self._since_s[ts] <= before_s]
        if not whole:
            return []
        out = sorted(ts for ts in self.bars if ts <= max(whole))
        for ts in out:
            del self._since_s[ts]
        return [(ts, self.bars.pop(ts)) for ts in out]


def _closed(
    data: MarketData, windows: _Windows, after: datetime, now: datetime, stale_s: float = inf
) -> Sequence[Moment]:
    """The moments of the bars that closed after `after`: the newest to act on, those before only to know of.

    After `START` there is only the newest: nobody was there before.
    """
    s = windows.subject
    count = 1 if after == START else min(MOST_MISSED, ceil((now - after) / s.span))
    marks = {
        (symbol, bar.ts): bar.close
        for symbol, bars in data.marks(s.symbols, s.timeframe, count).items()
        for bar in bars
    }
    by_close: dict[datetime, dict[str, BarHeard]] = {}
    for symbol, bars in data.bars(s.symbols, s.timeframe, count).items():
        for bar in bars:
            if after < bar.ts <= now:
                heard = BarHeard(symbol, bar, marks.get((symbol, bar.ts)))
                by_close.setdefault(bar.ts, {})[symbol] = heard
    newest = max(by_close, default=after)
    stale = (now - newest).total_seconds() > stale_s
    return [windows.moment(ts, by_close[ts], past=ts < newest, stale=stale) for ts in sorted(by_close)]


def _patiently(windows: _Windows, ask: Callable[[], Sequence[Moment]]) -> Iterator[Moment]:
    """The moments that come of asking; heartbeats while nobody answers."""
    while True:
        try:
            moments = ask()
        except ExchangeError:
            yield _heartbeat(windows.last)
            time.sleep(PAUSE_S)
            continue
        yield from moments
        return


def _heartbeat(ts: datetime, doubt: str = "") -> Moment:
    return Moment(ts, {}, doubt=doubt)


def _instant(ts: datetime) -> "np.datetime64":
    return np.datetime64(ts.replace(tzinfo=None), "us")
