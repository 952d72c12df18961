"""What is publicly known of the market: bars, mark prices and funding up to now, of every symbol.

It hears of each step once it is over, so nobody can read of a later one here. Bars are those of the feed; longer ones
are summed up when asked for. Times of bars are their opens here, because that is how the venue names them.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from qtlib.domain.events import START
from qtlib.domain.market import Bar, Step

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
INTERVALS = {
    name: int(name[:-1]) * _UNITS[name[-1]]
    for name in ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d")
}  # those of the venue that are a fixed number of minutes; 1w and 1M have another origin


class Candle(NamedTuple):
    """A bar under the time of its open; the last one of a symbol is not over yet."""

    opened: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float  # base
    quote_volume: float  # at the closes of the bars it is made of
    closed: bool


class Funded(NamedTuple):
    ts: datetime
    rate_frac: float
    mark: float


@dataclass(slots=True)
class _Past:
    """One symbol's."""

    bars: list[Bar] = field(default_factory=list)
    marks: list[Bar] = field(default_factory=list)
    funding: list[Funded] = field(default_factory=list)


class Chart:
    """Everything up to `now`; `span` is the length of the feed's bars."""

    def __init__(self, span: timedelta) -> None:
        self.span = span
        self.now = START
        self._past: dict[str, _Past] = {}

    def live(self, step: Step) -> None:
        """`step` is over; one that is known already is ignored."""
        if step.ts <= self.now:
            return
        self.now = step.ts
        for symbol, bar in step.bars.items():
            past = self._past.setdefault(symbol, _Past())
            past.bars.append(bar)
            past.marks.append(step.marks.get(symbol, bar))
        for symbol, rate in step.funding.items():
            if symbol in self._past:
                past = self._past[symbol]
                past.funding.append(Funded(step.ts, rate, past.marks[-1].close))

    def offers(self, interval: timedelta) -> bool:
        """Whether bars of `interval` can be made of the feed's."""
        return interval >= self.span and not interval % self.span

    def candles(
        self,
        symbol: str,
        interval: timedelta,
        price: float,
        *,
        marks: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 500,
    ) -> list[Candle]:
        """Bars opened in [since, until]: the first `limit` of them, or without `since` the last. `price` is the
        market's now: all that is known yet of the bar that has just begun."""
        past = self._past.get(symbol)
        if past is None:
            return []
        bars = past.marks if marks else past.bars
        first = 0 if since is None else bisect_left(bars, _opening(since, interval), key=self._opened)
        end = None if until is None else _opening(until, interval) + interval  # a bar that began by then counts whole
        last = len(bars) if end is None else bisect_left(bars, end, key=self._opened)
        if since is None:  # one more than asked for: the first or last may be cut off, and is left out below
            first = max(first, last - (limit + 1) * (interval // self.span))
        else:
            last = min(last, first + (limit + 1) * (interval // self.span))
        made = list(self._summed(bars[first:last], interval))
        if last == len(bars):
            made = self._begun(made, interval, price)
        made = [c for c in made if (since is None or c.opened >= since) and (until is None or c.opened <= until)]
        return made[:limit] if since is not None else made[-limit:]

    def bars_since(self, symbol: str, since: datetime) -> Sequence[Bar]:
        """The feed's own bars that closed after `since`."""
        bars = self._past[symbol].bars
        return bars[bisect_left(bars, since + timedelta(microseconds=1), key=_closed) :]

    def last_bar(self, symbol: str) -> Bar:
        return self._past[symbol].bars[-1]

    def count(self, symbol: str) -> int:
        """Bars so far: what ids of trades and updates are made of."""
        return len(self._past[symbol].bars) if symbol in self._past else 0

    def funding(self, symbol: str) -> Sequence[Funded]:
        return self._past[symbol].funding if symbol in self._past else ()

    def _opened(self, bar: Bar) -> datetime:
        return bar.ts - self.span

    def _summed(self, bars: Sequence[Bar], interval: timedelta) -> Iterator[Candle]:
        group: list[Bar] = []
        opened = START
        for bar in bars:
            begins = _opening(bar.ts - self.span, interval)
            if group and begins != opened:
                yield _candle(group, opened, closed=opened + interval <= self.now)
                group = []
            opened = begins
            group.append(bar)
        if group:
            yield _candle(group, opened, closed=opened + interval <= self.now)

    def _begun(self, made: list[Candle], interval: timedelta, price: float) -> list[Candle]:
        """`made` with the bar that is not over: the one `price` has just opened, or is the newest price of."""
        opened = _opening(self.now, interval)
        if not made or made[-1].opened < opened:
            return [*made, Candle(opened, price, price, price, price, 0.0, 0.0, closed=False)]
        last = made[-1]
        high, low = max(last.high, price), min(last.low, price)
        return [*made[:-1], last._replace(high=high, low=low, close=price, closed=False)]


def _candle(bars: Sequence[Bar], opened: datetime, closed: bool) -> Candle:
    return Candle(
        opened,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
        sum(bar.volume * bar.close for bar in bars),
        closed,
    )


def _opening(ts: datetime, interval: timedelta) -> datetime:
    """The open of the bar of `interval` that holds `ts`."""
    return ts - (ts - START) % interval


def _closed(bar: Bar) -> datetime:
    return bar.ts
