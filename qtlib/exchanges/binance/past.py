"""The past of this venue's market, within its weight: the most bars for what a request costs.

A request of 499 bars weighs 2, and one of 1,000 weighs 5: the shorter ones bring a fifth more in a minute. Funding has
a pool of its own, of 500 requests in five minutes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qtlib.exchanges.binance.client import Client
from qtlib.exchanges.binance.errors import NONSENSE, nonsense
from qtlib.exchanges.binance.limits import SPARE_FRAC
from qtlib.exchanges.binance.modes import Keys, Mode, address
from qtlib.exchanges.past import BARS, FUNDING, MARKS, Asked, Row, checked
from qtlib.exchanges.windows import Window

MOST_BARS = 499
MOST_RATES = 1_000
_DAY_MS = 86_400_000
_RATES_MS = 40 * _DAY_MS  # a page of rates, were they settled every hour


@dataclass(slots=True)
class BinancePast:
    """Made inside the loop that it is to live in, by `binance_past`."""

    client: Client
    simulated: bool  # a venue served on this machine: its market is not the real one
    venue: str = "binanceusdm"
    side_by_side: int = 8
    _told: bool = False  # what may be asked in a minute
    _rates: Window = field(default_factory=lambda: Window(300, 500))

    async def now_ms(self, symbol: str) -> int:
        if not self._told:
            listing = await self.client.fapiPublicGetExchangeInfo()
            self.client.allowance.allow(listing["rateLimits"])
            self._told = True
        said = await self.client.fapiPublicGetPremiumIndex({"symbol": symbol})
        try:
            return int(said["time"])
        except NONSENSE as found:
            raise nonsense(found) from found

    async def first_ms(self, asked: Asked) -> int | None:
        by = replace(asked, kind=BARS, timeframe="1d") if asked.kind == FUNDING else asked  # none before it trades
        start = asked.start // _DAY_MS * _DAY_MS if asked.kind == FUNDING else asked.start
        rows = await self._bars(by, {"startTime": str(start), "limit": "1"})
        return max(asked.start, rows[0][0]) if rows else None

    def page_ms(self, kind: str, span_ms: int) -> int:
        return _RATES_MS if kind == FUNDING else MOST_BARS * span_ms

    async def page(self, asked: Asked) -> Sequence[Row]:
        found: list[Row] = []
        start, most = asked.start, MOST_RATES if asked.kind == FUNDING else MOST_BARS
        while True:
            span = {"startTime": str(start), "endTime": str(asked.end - 1), "limit": str(most)}
            rows = await (self._funding(asked, span) if asked.kind == FUNDING else self._bars(asked, span))
            found += rows
            if len(rows) < most or rows[-1][0] + 1 >= asked.end:
                return checked(found, asked, 0)
            start = rows[-1][0] + 1

    async def end(self) -> None:
        await self.client.end()

    # --- below ------------------------------------------------------------------------------------------------

    async def _bars(self, asked: Asked, span: dict[str, str]) -> list[Row]:
        ask = {BARS: self.client.fapiPublicGetKlines, MARKS: self.client.fapiPublicGetMarkPriceKlines}[asked.kind]
        rows = await ask({"symbol": asked.symbol, "interval": asked.timeframe, **span})
        try:
            read = [(int(row[0]), tuple(float(cell) for cell in row[1:6])) for row in rows]
        except NONSENSE as found:
            raise nonsense(found) from found
        return [(at, (*cells[:4], 0.0)) for at, cells in read] if asked.kind == MARKS else read

    async def _funding(self, asked: Asked, span: dict[str, str]) -> list[Row]:
        while self._rates.at(self.client.venue_time()).used >= self._rates.most * (1 - SPARE_FRAC):
            await asyncio.sleep(self._rates.left_s(self.client.venue_time()))
        self._rates.used += 1
        rows = await self.client.fapiPublicGetFundingRate({"symbol": asked.symbol, **span})
        try:
            return [(int(row["fundingTime"]), (float(row["fundingRate"]),)) for row in rows]
        except NONSENSE as found:
            raise nonsense(found) from found


def binance_past(url: str | None = None) -> BinancePast:
    """The venue's public market, or that of a served one at `url` on this machine; no keys are needed or read.

    Make it inside the loop that it is to live in.
    """
    mode = Mode.LIVE if url is None else Mode.SIM
    return BinancePast(Client(mode, address(mode, url), Keys("", "")), simulated=mode.served)
