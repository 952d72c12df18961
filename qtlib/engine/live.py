"""Feeds of a venue that is there now: moments made of its closed bars, as they close.

`stepped` is for a venue whose market waits for its trader, a bar at a time: the same moments as a replay of those
bars. `streamed` is for one whose market does not wait. Both begin with what closed while nobody looked, learned and
not acted on; a moment's bars are those of one close, its signals read the last `lookback` bars of each symbol, and a
venue that cannot be reached makes heartbeats, never an end.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
from math import ceil, inf, nan
from operator import itemgetter
from queue import Empty

import numpy as np
import numpy.typing as npt

from qtlib.domain.decisions import Moment, Signal
from qtlib.domain.events import START
from qtlib.domain.market import Bar
from qtlib.domain.panel import Array, Panel, Times
from qtlib.engine.feeds import OHLCV, Strategy, signals_of
from qtlib.engine.universe import Days, Universe, bars_needed
from qtlib.exchanges.port import BarHeard, ExchangeError, MarketData, RunningMarket, WaitingMarket

PAUSE_S = 0.2  # before a market that could not be asked is asked again
MOST_MISSED = 1_500  # bars: of a longer absence only the end is learned
SETTLED_S = 5.0  # after which a venue has published what it settled at the full hour

_VOLUME = OHLCV.index("volume")
_NEVER = np.iinfo(np.int64).min
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_LONGEST = timedelta(hours=24)  # between two settlements

Fit = Callable[
    [Times, Array], npt.NDArray[np.bool_]
]  # closes and volumes -> of which symbols the last may be traded on


def _all_fit(times: Times, volume: Array) -> npt.NDArray[np.bool_]:
    return np.ones(len(volume), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: the symbols of a universe, in bars of one length, by one strategy."""

    strategy: Strategy
    symbols: tuple[str, ...]
    timeframe: str
    span: timedelta  # of a bar
    fit: Fit = _all_fit
    before: int = 0  # how many bars before the lookback `fit` reads
    reads_funding: bool = False  # whether the strategy does
    universe: Universe | None = None  # None: all of `symbols` may be traded, always


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
                windows.look_up(data, now)
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
            with suppress(ExchangeError):  # then at the next heartbeat
                windows.look_up(data, data.now)
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
    """The newest closes of the universe, with what was heard of each, and what the strategy makes of them.

    A panel of fixed length that moves on with each close. What comes late goes to its own close.
    """

    def __init__(self, subject: Subject, holds_s: float = inf) -> None:
        self.subject, self.holds_s = subject, holds_s
        self.last = START  # close of the newest bar taken in
        self._symbols = tuple(sorted(subject.symbols))
        self._places = {symbol: place for place, symbol in enumerate(self._symbols)}
        length = subject.strategy.lookback + subject.before
        length = max(length, bars_needed(subject.span) if subject.universe else 0)
        self._days = Days(subject.universe)
        self._times = np.full(length, _NEVER)
        self._values = np.full((len(OHLCV) + 1, len(self._symbols), length), np.nan)  # the bars, and funding rates
        self._newest = np.full(len(self._symbols), _NEVER)
        self._funding = _Funding(self._symbols)

    def fill(self, data: MarketData) -> Sequence[Moment]:
        """Read what there is of the past; no moments come of it."""
        s, length = self.subject, len(self._times)
        self._times[:], self._values[:], self._newest[:] = _NEVER, np.nan, _NEVER
        if s.reads_funding:
            now = data.now
            self._funding.learn(data, now - length * s.span - _LONGEST, now)
        past = [
            (bar.ts, symbol, bar) for symbol, bars in data.bars(s.symbols, s.timeframe, length).items() for bar in bars
        ]
        for _, symbol, bar in sorted(past, key=itemgetter(0)):
            self._take(self._places[symbol], bar)
        return ()

    def look_up(self, data: MarketData, now: datetime) -> None:
        """Ask which funding rates were settled, if the strategy reads them and a full hour has passed since."""
        if self.subject.reads_funding and self._funding.due(now):
            self._funding.learn(data, self._funding.asked - _LONGEST, now)

    def is_news(self, said: BarHeard) -> bool:
        """Whether a bar of this symbol that closed later is not known yet."""
        place = self._places.get(said.symbol)
        return place is not None and _micros(said.bar.ts) > self._newest[place]

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
        here = Moment(ts, bars, tuple(self._signals(ts, sorted(closed), stale)), marks, holds_s=self.holds_s)
        return self._days.opened(here, Panel(self._symbols, self._times, *self._values))

    def _take(self, place: int, bar: Bar) -> None:
        ts = _micros(bar.ts)
        column = int(np.searchsorted(self._times, ts))
        if column == len(self._times) or self._times[column] != ts:
            if column == 0:
                return  # older than all that is looked at
            column -= 1  # what is older moves on by one
            self._times[:column] = self._times[1 : column + 1]
            self._values[..., :column] = self._values[..., 1 : column + 1]
            self._times[column], self._values[..., column] = ts, np.nan
            self._values[-1, :, column] = self._funding.before(ts)
        self._values[:-1, place, column] = bar[1:]
        self._newest[place] = ts

    def _signals(self, ts: datetime, symbols: Sequence[str], stale: bool) -> list[Signal]:
        here = int(np.searchsorted(self._times, _micros(ts)))
        begun = int(np.searchsorted(self._times, _NEVER, side="right"))
        panel = Panel(self._symbols, self._times, *self._values).between(begun, here + 1)
        places = np.array([self._places[symbol] for symbol in symbols], dtype=np.int64)
        fit = self.subject.fit(self._times, self._values[_VOLUME])[places]
        seen = panel.last(self.subject.strategy.lookback)
        where = (places, np.full_like(places, len(seen) - 1))
        beliefs = self.subject.strategy.signals(seen).at(where)
        signals = signals_of(symbols, repeat(ts), seen.close[where], beliefs, fit.tolist())
        return [s._replace(fault="bars too old") if stale and not s.fault else s for s in signals]


class _Funding:
    """The rates that were settled, as far back as is looked. Venues settle at full hours."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.asked = START
        self._rates: dict[str, dict[datetime, float]] = {symbol: {} for symbol in symbols}

    def due(self, now: datetime) -> bool:
        return _hour(now) > _hour(self.asked)

    def learn(self, data: MarketData, since: datetime, now: datetime) -> None:
        for symbol, settled in data.funding(tuple(self._rates), since).items():
            self._rates[symbol].update({rate.ts: rate.rate_frac for rate in settled})
        self.asked = now

    def before(self, micros: int) -> Array:
        """What each symbol's newest rate was just before an instant."""
        newest = (
            next((r for ts, r in reversed(rates.items()) if _micros(ts) < micros), nan)
            for rates in self._rates.values()
        )
        return np.fromiter(newest, dtype=float)


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


def _micros(ts: datetime) -> int:
    return (ts - _EPOCH) // _MICROSECOND


def _hour(ts: datetime) -> int:
    """The full hours whose settlements are published at `ts`."""
    return int((ts.timestamp() - SETTLED_S) // 3600.0)
