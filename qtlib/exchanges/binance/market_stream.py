"""Bars as they close, of all symbols, whatever becomes of the sockets they come by.

What closed while nobody listened, or was not told, is asked from REST before anything newer of that symbol is told; by
the venue's own time too, so that a socket which lives and says nothing is not believed. Symbols are shared out among
sockets; each comes back by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import aiohttp

from qtlib.domain.market import Bar
from qtlib.exchanges.binance.candles import Candles
from qtlib.exchanges.binance.payloads import CandleNews, MarkNews, Message, Puzzle, market_news
from qtlib.exchanges.binance.sockets import MOST_STREAMS, Lost, Patience, Pauses, Pulse, Socket, relay, side_by_side
from qtlib.exchanges.binance.told import Alarm, LostTouch, MarketTold, Restored
from qtlib.exchanges.binance.words import ms_of
from qtlib.exchanges.port import BarHeard, ExchangeError, Unavailable, Unknown

SYMBOLS_PER_SOCKET = MOST_STREAMS // 2  # bars and marks
_ATTEMPTS = 6  # to find a bar at the venue that must be there

Bars = Callable[[str, datetime], Awaitable[Sequence[tuple[Bar, float | None]]]]
Now = Callable[[], Awaitable[datetime]]


class MarketStream:
    """The bars of `symbols` that close after `after` are told in the loop that awaits `run`, by calling `told`.

    `base` is the address of the venue's streams. `bars(symbol, after)` gives by REST the closed ones that are newer,
    oldest first, each with its mark price, and `now` the time there; both raise the port's errors. The session belongs
    to the caller.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        symbols: Sequence[str],
        timeframe: str,
        after: datetime,
        told: Callable[[MarketTold], None],
        bars: Bars,
        now: Now,
        *,
        patience: Patience | None = None,
        seed: int = 0,
    ) -> None:
        patience = patience or Patience()
        shares = [symbols[i : i + SYMBOLS_PER_SOCKET] for i in range(0, len(symbols), SYMBOLS_PER_SOCKET)]
        self._shares = [
            _Share(session, base, share, timeframe, after, told, bars, now, patience, seed + number)
            for number, share in enumerate(shares)
        ]

    def age_s(self) -> float:
        """Since the last sign of life of the socket that has given none for longest; inf before the first."""
        return max(share.age_s() for share in self._shares)

    @property
    def lost(self) -> str:
        """Why touch is lost, if it is."""
        return "; ".join(share.lost for share in self._shares if share.lost)

    async def run(self) -> None:
        """Listen until cancelled, however often touch is lost."""
        await side_by_side(*(share.run() for share in self._shares))


class _Share:
    """The symbols of one socket."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        symbols: Sequence[str],
        timeframe: str,
        after: datetime,
        told: Callable[[MarketTold], None],
        bars: Bars,
        now: Now,
        patience: Patience,
        seed: int,
    ) -> None:
        self._session, self._url, self._patience = session, f"{base}/market/ws", patience
        self._told, self._bars, self._venue_now = told, bars, now
        names = [symbol.lower() for symbol in symbols]
        # marks first: where both are told at the same instant, a bar is to know its mark
        self._streams = [f"{n}@markPrice@1s" for n in names] + [f"{n}@kline_{timeframe}" for n in names]
        late_ms = int(patience.settle_s * 1000)
        self._candles = {symbol: Candles(symbol, after, late_ms) for symbol in symbols}
        self._torn = {symbol: asyncio.Event() for symbol in symbols}  # where REST has to be asked
        self._pulse, self._pauses, self._seed = Pulse(), Pauses(patience, seed), seed
        self._generation, self._whole, self._why = 0, False, ""

    def age_s(self) -> float:
        return self._now() - self._pulse.alive_at

    @property
    def lost(self) -> str:
        return "" if self._whole else f"the market of {len(self._candles)} symbols: {self._why or 'not heard of yet'}"

    async def run(self) -> None:
        while True:
            began = self._now()
            try:
                await side_by_side(
                    relay(self._open, self._hear, self._patience, self._ask_for_all),
                    self._miss_what_is_late(),
                    *(self._mend(symbol) for symbol in self._candles),
                )
            except Lost as lost:
                if self._whole or str(lost) != self._why:  # an outage is told once for each of its reasons
                    self._told(LostTouch(f"market of {len(self._candles)} symbols: {lost}"))
                self._whole, self._why = False, str(lost)
            await asyncio.sleep(self._pauses.after(self._now() - began))

    async def _open(self) -> Socket:
        return await Socket.open(
            self._session,
            self._url,
            self._pulse,
            self._patience,
            streams=self._streams,
            quiet_s=self._patience.quiet_s,
        )

    def _hear(self, message: Message) -> None:
        if error := message.get("error"):
            raise Lost(f"the venue refuses to tell: {error}")
        try:
            news = market_news(message)
        except Puzzle as puzzle:
            raise Lost(str(puzzle)) from puzzle
        if news is None or news.symbol not in self._candles:
            return
        candles = self._candles[news.symbol]
        match news:
            case MarkNews():
                candles.hear_mark(news)
            case CandleNews():
                self._tell(candles.hear(news))
        if candles.incomplete:
            self._torn[news.symbol].set()

    def _ask_for_all(self) -> None:
        for torn in self._torn.values():
            torn.set()

    async def _miss_what_is_late(self) -> None:
        while True:
            await asyncio.sleep(self._patience.settle_s)
            try:
                now_ms = ms_of(await self._venue_now())
            except ExchangeError:
                continue  # whoever does not say what time it is has no bars to tell either
            for symbol, candles in self._candles.items():
                candles.stand_at(now_ms)
                if candles.incomplete:
                    self._torn[symbol].set()

    async def _mend(self, symbol: str) -> None:
        """Whenever something of `symbol` may be missing, ask REST until it is not."""
        candles, torn = self._candles[symbol], self._torn[symbol]
        while True:
            await torn.wait()
            await self._catch_up(candles)
            torn.clear()
            if not self._whole and not any(torn.is_set() for torn in self._torn.values()):
                self._generation, self._whole = self._generation + 1, True
                since = min(candles.newest for candles in self._candles.values())
                self._told(Restored(self._generation, int(since.timestamp() * 1000)))

    async def _catch_up(self, candles: Candles) -> None:
        """Tell what REST has, until that is all there must be; what it lacks is told to be missing, and left out."""
        pauses, left, why = Pauses(self._patience, self._seed), _ATTEMPTS, "the venue has none"
        while left:
            try:
                found = candles.fill(await self._bars(candles.symbol, candles.newest))
            except (Unavailable, Unknown):
                pass  # late is better than never: this is asked for as long as it takes
            except ExchangeError as error:
                left, why = left - 1, str(error)
            else:
                self._tell(found)
                if not candles.incomplete:
                    return
                left = _ATTEMPTS if found else left - 1
            await asyncio.sleep(pauses.after(0))
        self._told(
            Alarm(candles.newest, f"bars of {candles.symbol} after {candles.newest:%F %H:%M} are missing: {why}")
        )
        self._tell(candles.give_up())

    def _tell(self, bars: Sequence[BarHeard]) -> None:
        for heard in bars:
            self._told(heard)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
