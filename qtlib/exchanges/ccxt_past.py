"""The past of any venue that ccxt knows and that has bars: slower and plainer than one that is known by name.

Symbols are ours, BTCUSDT, and found among the venue's markets: a linear perpetual first, else spot. What ccxt raises
becomes one of the port's errors; it keeps to the venue's rate by itself. Venues differ in how much they answer with,
in which of it comes first, and in whether they have more than the latest: so nothing of that is taken for granted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ccxt.async_support as ccxt

from qtlib.exchanges.past import BARS, FUNDING, MARKS, Asked, Row, checked
from qtlib.exchanges.port import ExchangeError, Refused, Unavailable

_PAGE_BARS = 500
_DAY_MS = 24 * 3_600_000
_PAGE_RATES_MS = 100 * 8 * 3_600_000
_PRICES = {BARS: {}, MARKS: {"price": "mark"}}


class _Beside(NamedTuple):
    """What is there beside bars, if a venue has it: ccxt would give bars of last prices for marks where it has none."""

    call: str  # ccxt's name of it
    words: str


_BESIDE = {MARKS: _Beside("fetchMarkOHLCV", "mark prices"), FUNDING: _Beside("fetchFundingRateHistory", "funding")}


@dataclass(slots=True)
class CcxtPast:
    """Made inside the loop that it is to live in."""

    exchange: Any  # ccxt has no types
    simulated: bool = False
    side_by_side: int = 2
    _ids: dict[str, str] = field(default_factory=dict)

    @property
    def venue(self) -> str:
        return str(self.exchange.id)

    async def now_ms(self, symbol: str) -> int:
        if self.exchange.has.get("fetchTime"):
            return int(await self._asked(self.exchange.fetch_time()))
        return int(self.exchange.milliseconds())

    async def first_ms(self, asked: Asked) -> int | None:
        return asked.start

    def page_ms(self, kind: str, span_ms: int) -> int:
        return _PAGE_RATES_MS if kind == FUNDING else _PAGE_BARS * span_ms

    async def page(self, asked: Asked) -> Sequence[Row]:
        symbol = await self._symbol(asked)
        span = 1_000 * int(self.exchange.parse_timeframe(asked.timeframe)) if asked.timeframe else 0
        found: dict[int, tuple[float, ...]] = {}
        open_ended = [(asked.start, asked.end)]
        while open_ended:  # a venue may answer with less than it was asked for: with the first of it, or with the last
            start, end = open_ended.pop()
            said = [_row(row) for row in await self._asked(self._call(asked, symbol, start, end))]
            rows = {at: cells for at, cells in said if start <= at < end}
            found |= rows
            if said and not rows:
                await self._must_not_be_the_latest(asked, min(said)[0], max(said)[0], span)
            if rows:
                edges = (start, min(rows)), (max(rows) + max(span, 1), end)
                open_ended += [edge for edge in edges if edge[0] < edge[1]]
        return checked(sorted(found.items()), asked, span)

    async def end(self) -> None:
        await self.exchange.close()

    # --- below ------------------------------------------------------------------------------------------------

    def _call(self, asked: Asked, symbol: str, start: int, end: int) -> Any:
        if asked.kind == FUNDING:
            words = {"until": end - 1} if self.venue != "okx" else {"after": end}  # ccxt hands its "until" on unread
            return self.exchange.fetch_funding_rate_history(symbol, start, None, words)
        return self.exchange.fetch_ohlcv(
            symbol, asked.timeframe, start, _PAGE_BARS, {**_PRICES[asked.kind], "until": end - 1}
        )

    async def _must_not_be_the_latest(self, asked: Asked, first: int, last: int, span: int) -> None:
        """What a venue answers when it is asked for what is before all that it gives away is no hole."""
        if first >= asked.end and last > await self.now_ms(asked.symbol) - 2 * (span or _DAY_MS):
            begins = self.exchange.iso8601(first)
            raise Refused(
                f"{self.venue} gives nothing of {asked.symbol} before {begins} away, but its latest: "
                "ask from then on, with --start"
            )

    async def _symbol(self, asked: Asked) -> str:
        """The venue's market for our symbol."""
        await self._asked(self.exchange.load_markets())
        if asked.symbol not in self._ids:
            markets = [m for m in self.exchange.markets.values() if f"{m['base']}{m['quote']}" == asked.symbol]
            linear = [m["symbol"] for m in markets if m.get("swap") and m.get("linear")]
            spot = [m["symbol"] for m in markets if m.get("spot")]
            if not (linear or spot):
                raise Refused(f"{self.venue} has no {asked.symbol}")
            self._ids[asked.symbol] = (linear or spot)[0]
        if said := _BESIDE.get(asked.kind):
            if not self.exchange.has.get(said.call):
                raise Refused(f"{self.venue} gives no {said.words} away: leave them out")
            if self.exchange.markets[self._ids[asked.symbol]].get("spot"):
                raise Refused(f"{asked.symbol} at {self.venue} is spot, and has no {said.words}: leave them out")
        timeframes = self.exchange.timeframes or {}
        if asked.timeframe and timeframes and asked.timeframe not in timeframes:
            raise Refused(f"{self.venue} has no bars of {asked.timeframe}; it has {', '.join(timeframes)}")
        return self._ids[asked.symbol]

    async def _asked(self, call: Any) -> Any:
        """The answer, or the port's word for why there is none."""
        try:
            return await call
        except ExchangeError:
            raise
        except (ccxt.NetworkError, ccxt.ExchangeNotAvailable) as why:  # too much was asked, too, and time-outs
            raise Unavailable(f"{self.venue}: {type(why).__name__} {why}"[:300]) from None
        except ccxt.BaseError as why:
            raise Refused(f"{self.venue}: {type(why).__name__} {why}"[:300]) from None


def ccxt_past(venue: str) -> CcxtPast:
    """A venue by ccxt's name of it."""
    if venue not in ccxt.exchanges:
        raise Refused(f"ccxt knows no venue {venue!r}")
    exchange = getattr(ccxt, venue)({"enableRateLimit": True})
    if not exchange.has.get("fetchOHLCV"):
        raise Refused(f"{venue} gives no bars away")
    return CcxtPast(exchange)


def _row(said: Any) -> Row:
    if isinstance(said, dict):
        return int(said["timestamp"]), (float(said["fundingRate"]),)
    return int(said[0]), tuple(float(cell or 0.0) for cell in said[1:6])
