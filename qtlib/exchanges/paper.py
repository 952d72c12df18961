"""The real venue's market for our own venue to live through, in mode `paper`: its bars, mark prices and funding.

Its streams say that a bar has closed; its REST interface says what else is known of that time, and the prices in
between. Nothing is ever made up: while the venue is out of touch our market stands still and takes no orders, and what
closed meanwhile is lived through before it takes any. A symbol that alone has no bar stands still by itself; one that
does not trade there when we begin takes no orders until it has a bar. Funding that the venue tells of late is settled
with the next bar.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from qtlib.domain.events import START
from qtlib.domain.market import Bar, Instrument, Step
from qtlib.exchanges.binance import listings
from qtlib.exchanges.binance.client import Client
from qtlib.exchanges.binance.market_stream import SYMBOLS_PER_SOCKET, MarketStream
from qtlib.exchanges.binance.modes import Keys, Mode, address
from qtlib.exchanges.binance.sockets import Patience
from qtlib.exchanges.binance.told import Alarm, LostTouch, MarketTold, Restored
from qtlib.exchanges.port import BarHeard, ExchangeError, Refused

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_PUBLISHED_BY = 5  # minutes after a whole hour, what was settled then is known
_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is waited, in seconds."""

    quotes_s: float = 1.0  # between prices that are asked for between bars: a third of the weight allowed a minute
    laggard_s: float = 10.0  # for the bars of some symbols, when those of others are there
    funding_s: float = 2.0  # after a whole hour, for the venue to publish what it settled
    again_s: float = 1.0  # before what failed is tried again
    streams: Patience = field(default_factory=Patience)


class Upstream:
    """The market of the venue at `client`, in bars of `timeframe`. Made by `open_upstream`."""

    def __init__(self, client: Client, symbols: Iterable[str], timeframe: str, span: timedelta, pace: Pace) -> None:
        self._client, self._timeframe, self._span, self._pace = client, timeframe, span, pace
        self.symbols = tuple(symbols)
        self.halted: dict[str, str] = {}  # symbols that are listed and do not trade, and what they are instead
        self._shares = [
            self.symbols[n : n + SYMBOLS_PER_SOCKET] for n in range(0, len(self.symbols), SYMBOLS_PER_SOCKET)
        ]
        self._lost = {f"stream {n}": "not yet in touch" for n in range(1, len(self._shares) + 1)}
        self._losses = dict.fromkeys(self._lost, 0)
        self._told: asyncio.Queue[tuple[str, int, MarketTold]] = asyncio.Queue()
        self._bars: dict[datetime, dict[str, Bar]] = {}  # that closed, and were not lived through
        self._newest: dict[str, datetime] = {}  # close of the newest bar of each symbol
        self._settled: dict[str, datetime] = {}  # the last funding of each

    @property
    def why_not(self) -> str:
        """Why the market stands still; empty: it does not."""
        return "; ".join(f"{what}: {why}" for what, why in self._lost.items())

    @property
    def standing(self) -> dict[str, Any]:
        """For whoever asks how the market is."""
        url, halted = self._client.address.rest, dict(self.halted)
        return {"url": url, "in_touch": not self._lost, "why_not": self.why_not, "halted": halted}

    async def instruments(self, known: Mapping[str, Instrument]) -> dict[str, Instrument]:
        """`known` as the venue lists them now; brackets and fees, which it tells to customers only, as they were.

        Which of them do not trade is in `halted` from then on; `Refused`: some are not listed, or none trades.
        """
        listing, funding = await asyncio.gather(
            self._client.fapiPublicGetExchangeInfo(), self._client.fapiPublicGetFundingInfo()
        )
        self._client.allowance.allow(listing["rateLimits"])
        listed = {row["symbol"]: row for row in listing["symbols"]}
        hours = {row["symbol"]: int(row["fundingIntervalHours"]) for row in funding}
        if missing := [symbol for symbol in known if symbol not in listed]:
            raise Refused(f"{', '.join(missing)} cannot be traded at {self._client.address.rest}")
        self.halted = {s: listed[s]["status"] for s in known if listed[s]["status"] != "TRADING"}
        if len(self.halted) == len(known):
            raise Refused(f"none of {', '.join(known)} trades at {self._client.address.rest} now")
        for symbol, status in self.halted.items():
            _log.warning("%s is %s, not TRADING: until it has a bar again it takes no orders", symbol, status)
        made = {}
        for symbol, it in known.items():
            fees = {"makerCommissionRate": str(it.maker_fee_frac), "takerCommissionRate": str(it.taker_fee_frac)}
            read = listings.instrument(listed[symbol], (), fees, hours.get(symbol, it.funding_interval_h))
            made[symbol] = replace(read, brackets=it.brackets)
        return made

    async def past(self, count: int, until: datetime | None = None) -> list[Step]:
        """`count` steps up to `until`, or to now."""
        now = await self._now()
        until = until or now
        bars = await self._candles(until - count * self._span, now)
        return await self._steps({ts: bars[ts] for ts in bars if ts <= until}, START)

    async def run(
        self,
        after: datetime,
        live: Callable[[Step], None],
        requote: Callable[[Mapping[str, float], Mapping[str, float]], None],
    ) -> None:
        """`live` through each step that closes after `after`, in order, and `requote` between them; for ever."""
        self._newest = dict.fromkeys(self.symbols, after)
        streams = [self._stream(f"stream {n}", share, after) for n, share in enumerate(self._shares, 1)]
        try:
            async with asyncio.TaskGroup() as together:
                for stream in streams:
                    together.create_task(stream.run())
                together.create_task(self._go_on(after, live))
                together.create_task(self._follow(requote))
        finally:
            self._loses("feed", "it has ended")

    # --- bars ---------------------------------------------------------------------------------------------------

    def _stream(self, name: str, share: Sequence[str], after: datetime) -> MarketStream:
        base = self._client.address.streams
        told = partial(self._hear, name)
        return MarketStream(
            self._client.session,
            base,
            share,
            self._timeframe,
            after,
            told,
            self._closed,
            self._now,
            patience=self._pace.streams,
        )

    def _hear(self, name: str, told: MarketTold) -> None:
        if isinstance(told, LostTouch):  # at once; that it is back counts when what was missed is lived through
            self._losses[name] += 1
            self._loses(name, told.why)
        self._told.put_nowait((name, self._losses[name], told))

    async def _go_on(self, lived: datetime, live: Callable[[Step], None]) -> None:
        while True:
            waits = bool(self._bars) and not self._lost
            try:
                async with asyncio.timeout(self._pace.laggard_s if waits else None):
                    heard = [await self._told.get()]
            except TimeoutError:
                heard = []
            while not self._told.empty():
                heard.append(self._told.get_nowait())
            for _, _, told in heard:
                if isinstance(told, BarHeard):
                    self._take(told, lived)
                elif isinstance(told, Alarm):
                    _log.warning("%s", told.words)
            waiting = sorted(self._bars)
            ready = [ts for ts in waiting if all(ts <= newest for newest in self._newest.values())]
            if ready := ready or ([] if heard else waiting[:1]):  # some lag behind: it goes on without them
                for step in await self._insisted(partial(self._steps, {ts: self._bars[ts] for ts in ready}, lived)):
                    await self._insisted(partial(_at_once, live, step))
                    lived = step.ts
                    del self._bars[step.ts]
            for name, losses, told in heard:
                if isinstance(told, Restored) and losses == self._losses[name]:  # else it was lost again since
                    self._has_again(name)

    def _take(self, told: BarHeard, lived: datetime) -> None:
        if told.bar.ts > lived:
            self._bars.setdefault(told.bar.ts, {})[told.symbol] = told.bar
            if told.bar.volume > 0:
                self.halted.pop(told.symbol, None)
        self._newest[told.symbol] = max(self._newest[told.symbol], told.bar.ts)

    async def _insisted(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, however often it has to be asked for; the market stands until then."""
        while True:
            try:
                answer = await ask()
            except ExchangeError as why:
                self._loses("bars", str(why))
                await asyncio.sleep(self._pace.again_s)
            else:
                self._has_again("bars")
                return answer

    # --- what is asked for ----------------------------------------------------------------------------------------

    async def _steps(self, closed: Mapping[datetime, Mapping[str, Bar]], lived: datetime) -> list[Step]:
        """The steps of these bars, with all that REST knows of their times."""
        times = sorted(closed)
        if not times:
            return []
        if times[-1].minute == 0 and lived > START:
            await asyncio.sleep(self._pace.funding_s)
        marks, rates, now = await asyncio.gather(
            self._candles(times[0] - self._span, await self._now(), marks=True),
            self._funding(times, lived),
            self._prices(),
        )
        opens = [{symbol: bar.open for symbol, bar in closed[later].items()} for _, later in pairwise(times)]
        steps = []
        for ts, after in zip(times, [*opens, now], strict=True):
            bars = closed[ts]
            nexts = {symbol: price for symbol, price in after.items() if symbol in bars}
            steps.append(Step(ts, bars, _of(bars, marks.get(ts, {})), _of(bars, rates.get(ts, {})), nexts))
        return steps

    async def _candles(self, after: datetime, now: datetime, *, marks: bool = False) -> dict[datetime, dict[str, Bar]]:
        """The bars that closed after `after`, by time and symbol."""
        ask = partial(listings.bars_after, self._client, timeframe=self._timeframe, after=after, now=now, marks=marks)
        found: dict[datetime, dict[str, Bar]] = {}
        for symbol, bars in zip(self.symbols, await asyncio.gather(*map(ask, self.symbols)), strict=True):
            for bar in bars:
                found.setdefault(bar.ts, {})[symbol] = bar
        return found

    async def _closed(self, symbol: str, after: datetime) -> list[tuple[Bar, float | None]]:
        """The bars of `symbol` that closed after `after`; what they were marked at is asked for later."""
        bars = await listings.bars_after(self._client, symbol, self._timeframe, after, await self._now())
        return [(bar, None) for bar in bars]

    async def _funding(self, times: Sequence[datetime], lived: datetime) -> dict[datetime, dict[str, float]]:
        """Rates by the step they are settled at: the first of these that closes at their time or later."""
        since = max(lived, times[0] - self._span) - self._span
        if times[-1] - times[0] < _HOUR and times[-1].minute >= _PUBLISHED_BY and self._span < _HOUR:
            return {}
        rates: dict[datetime, dict[str, float]] = {}
        for symbol in self.symbols:
            rows = await self._client.fapiPublicGetFundingRate(
                {"symbol": symbol, "startTime": str((since - START) // timedelta(milliseconds=1)), "limit": "1000"}
            )
            for row in rows:
                settled = (
                    START + timedelta(milliseconds=int(row["fundingTime"])) // _MINUTE * _MINUTE
                )  # but for some ms
                ts = next((ts for ts in times if ts >= settled), None)
                if ts is not None and settled > self._settled.get(symbol, lived):
                    rates.setdefault(ts, {})[symbol] = float(row["fundingRate"])
                    self._settled[symbol] = settled
        return rates

    async def _prices(self) -> dict[str, float]:
        rows = await self._client.fapiPublicGetTickerPrice()
        return {row["symbol"]: float(row["price"]) for row in rows}

    async def _now(self) -> datetime:
        """By the venue's market."""
        said = await self._client.fapiPublicGetPremiumIndex({"symbol": self.symbols[0]})
        return START + timedelta(milliseconds=int(said["time"]))

    # --- between bars ---------------------------------------------------------------------------------------------

    async def _follow(self, requote: Callable[[Mapping[str, float], Mapping[str, float]], None]) -> None:
        while True:
            await asyncio.sleep(self._pace.quotes_s)
            try:
                prices, rows = await asyncio.gather(self._prices(), self._client.fapiPublicGetPremiumIndex())
            except ExchangeError as why:
                self._loses("prices", str(why))
            else:
                requote(prices, {row["symbol"]: float(row["markPrice"]) for row in rows})
                self._has_again("prices")

    # --- whether it can be believed -------------------------------------------------------------------------------

    def _loses(self, what: str, why: str) -> None:
        if self._lost.get(what) != why:
            _log.warning("the market stands still: %s: %s", what, why)
        self._lost[what] = why

    def _has_again(self, what: str) -> None:
        if self._lost.pop(what, None) and not self._lost:
            _log.warning("the market goes on")


@contextlib.asynccontextmanager
async def open_upstream(
    where: str, symbols: Iterable[str], timeframe: str, span: timedelta, pace: Pace | None = None
) -> AsyncIterator[Upstream]:
    """The market of `live` or `demo`, or of a served venue's address on this machine."""
    mode = next(
        (mode for mode in (Mode.LIVE, Mode.DEMO) if where in (mode.value, address(mode, None).rest)), Mode.PAPER
    )
    client = Client(mode, address(mode, where if mode is Mode.PAPER else None), Keys("", ""))
    try:
        yield Upstream(client, symbols, timeframe, span, pace or Pace())
    finally:
        await client.end()


# --- below ------------------------------------------------------------------------------------------------


def _of(bars: Mapping[str, Bar], said: Mapping[str, T]) -> dict[str, T]:
    return {symbol: value for symbol, value in said.items() if symbol in bars}


async def _at_once(live: Callable[[Step], None], step: Step) -> None:
    live(step)
