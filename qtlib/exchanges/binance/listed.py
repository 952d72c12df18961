"""What a session knows of the venue's listing, and what of it has changed since: tick, lot, brackets, leverage, status.

It is read as a session begins, again after a refusal that another listing would explain, and now and then. What is
found changed is told as `FactsRead`, once; where it could not be read, what was known holds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta

from qtlib.domain.events import START, FactsRead
from qtlib.domain.market import Instrument
from qtlib.domain.values import changed
from qtlib.exchanges.binance import listings
from qtlib.exchanges.binance.client import Client
from qtlib.exchanges.binance.errors import NONSENSE
from qtlib.exchanges.port import ExchangeError, Refused

DAILY, HOURLY, SOON = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)  # SOON: while something is out
_WITHIN_S = 2.0  # an order may wait for it
_APART = timedelta(seconds=1)  # from a reading that found nothing
_log = logging.getLogger(__name__)


class Listed:
    """`now` is the venue's time."""

    def __init__(self, client: Client, now: Callable[[], Awaitable[datetime]]) -> None:
        self._client, self._now = client, now
        self._known: FactsRead | None = None
        self._news: FactsRead | None = None  # not told yet
        self._wanted: int | None = None  # leverage
        self._in_vain = START  # when it was last read, and was as it was known

    async def begin(self, symbols: Iterable[str]) -> dict[str, Instrument]:
        """The instruments of `symbols` that can be read; Refused, with the reasons, if none of them trades."""
        asked = tuple(dict.fromkeys(symbols))
        found = await listings.listing(self._client, asked)
        if asked and not found.traded:
            raise Refused("; ".join(found.out.values()))
        self._known = FactsRead(await self._now(), "", found.instruments, {}, found.out)
        self._news = self._known if found.out else None
        return found.instruments

    def expect(self, leverage: int) -> None:
        """That was set, and read back: where it is another later, nothing is entered."""
        self._wanted = leverage

    def due(self, now: datetime, every: timedelta) -> bool:
        """Whether it was read `every` so long ago, or a while ago where something is out."""
        known = self._known
        return known is not None and now - known.ts >= (SOON if known.out else every)

    async def look(self) -> bool:
        """Read it again; whether there is something to tell."""
        before = self._known
        if before is None:
            return False
        try:
            async with asyncio.timeout(_WITHIN_S):
                if await self._now() - self._in_vain < _APART:
                    return self._news is not None
                self._known = found = await self._read(before)
        except (ExchangeError, TimeoutError, *NONSENSE) as why:
            _log.warning("the listing could not be read again, what was known of it holds: %s", why)
            return False
        if changed(before, ts=found.ts, leverage=found.leverage) != found:
            self._news = found
        else:
            self._in_vain = found.ts
        return self._news is not None

    def news(self) -> list[FactsRead]:
        """What is to be told, once."""
        told, self._news = self._news, None
        return [] if told is None else [told]

    async def _read(self, known: FactsRead) -> FactsRead:
        symbols = tuple(dict.fromkeys((*known.instruments, *known.out)))
        found, leverage, now = await asyncio.gather(
            listings.listing(self._client, symbols), listings.leverages(self._client, symbols), self._now()
        )
        set_anew = {
            symbol: f"{symbol} is at leverage {there}, and was set to {self._wanted}"
            for symbol, there in leverage.items()
            if self._wanted is not None and there != self._wanted
        }
        return FactsRead(now, "", {**known.instruments, **found.instruments}, leverage, {**set_anew, **found.out})
