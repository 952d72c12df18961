"""Both streams of a session at work: what is heard goes to the engine's queue, and stands in for asking while it may.

What the account's stream told is kept until REST told it too. It suffices by itself while the stream is trusted and
nothing hinted at more than it told; at times REST is asked all the same. Everything here happens in the client's loop;
only the queue is read elsewhere.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from math import inf
from queue import SimpleQueue

from qtlib.domain.events import Filled, OrderChanged
from qtlib.domain.market import Bar
from qtlib.domain.orders import ZERO
from qtlib.exchanges.binance import listings
from qtlib.exchanges.binance.client import Client
from qtlib.exchanges.binance.history import OVERLAP, Told, placed
from qtlib.exchanges.binance.listed import HOURLY, SOON, Listed
from qtlib.exchanges.binance.market_stream import MarketStream
from qtlib.exchanges.binance.private_stream import PrivateStream
from qtlib.exchanges.binance.sockets import Patience
from qtlib.exchanges.binance.told import AccountTold, Alarm, Look, LostTouch, MarketTold, Restored
from qtlib.exchanges.port import BarHeard, ExchangeError, Heard, Woken

COMPARE_S = 50.0  # REST is asked at least so often, just before an engine that compares every minute
GAP_S = 5.0  # and without a trusted stream not more often than this: it weighs much
_WARM_S = 10.0  # between requests; idle connections are closed after 15 s
_SOON_S = 0.03  # by when a fill is heard of whose order was answered
_STEP_S = 0.002
_log = logging.getLogger(__name__)


class Watching:
    """Make it inside the loop; `start` it there, and `stop` it."""

    def __init__(
        self,
        client: Client,
        now: Callable[[], Awaitable[datetime]],
        symbols: Sequence[str],
        timeframe: str,
        after: datetime,
        patience: Patience,
        listed: Listed,
    ) -> None:
        self._listed = listed
        self.heard: SimpleQueue[Heard] = SimpleQueue()
        self._client, self._venue_now, self._timeframe = client, now, timeframe
        self._told: dict[str, Told] = {}  # by key: the latest, by stream or by REST
        self._generation = 0  # of trust: the newest told of
        self._doubt = True  # whether REST may know more
        self._asked_at = -inf  # by the loop's clock
        base = client.address.streams
        self._account = PrivateStream(client.session, base, _ListenKey(client), self._hear_account, patience=patience)
        self._market = MarketStream(
            client.session,
            base,
            symbols,
            timeframe,
            after,
            self._hear_market,
            self._missing_bars,
            now,
            patience=patience,
        )
        self._now = asyncio.get_running_loop().time
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        runs = (self._account.run(), self._market.run(), self._stay_warm(), self._look_at_listing())
        self._tasks = [asyncio.create_task(run) for run in runs]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- instead of asking --------------------------------------------------------------------------------------

    def suffices(self) -> bool:
        """Whether what was heard will do, because it is all there is, or because REST was asked a moment ago."""
        if self._doubt:
            return False
        return self._now() - self._asked_at < (COMPARE_S if self._account.trusted else GAP_S)

    def told(self, since: datetime) -> list[Told]:
        """All that was heard, by stream or REST, from a while before `since`; what is older is forgotten."""
        self._told = {key: told for key, told in self._told.items() if told.ts >= since - OVERLAP}
        return list(self._told.values())

    def asking(self) -> int:
        """REST is about to be asked for everything: what it answers is news up to this generation of trust."""
        self._doubt = False
        return self._generation

    def asked(self, generation: int, told: Iterable[Told]) -> None:
        """REST answered, and `told` this."""
        self._asked_at = self._now()
        self._account.reconciled(generation)
        self._told.update((one.event.key, one) for one in told)

    def doubt(self) -> None:
        """Ask REST next time."""
        self._doubt = True

    def expect(self, client_id: str) -> None:
        """The venue has accepted this order, and so the stream will tell of it."""
        self._account.expect(client_id)

    async def fills_of(self, client_id: str, executed: Decimal) -> list[Filled]:
        """The fills of an order, if all of them are heard of in a moment; else none."""
        until = self._now() + _SOON_S
        while self._account.trusted and self._now() < until:
            events = (told.event for told in self._told.values())
            fills = [e for e in events if isinstance(e, Filled) and e.fill.client_id == client_id]
            if sum((filled.fill.quantity for filled in fills), ZERO) == executed:
                return fills
            await asyncio.sleep(_STEP_S)
        return []

    @property
    def trusted(self) -> bool:
        return self._account.trusted

    @property
    def lost(self) -> str:
        """Which streams are out of touch, and why; empty: none."""
        return "; ".join(why for why in (self._account.lost, self._market.lost) if why)

    def age_s(self) -> float:
        """Since either stream last gave a sign of life: the older of the two."""
        return max(self._account.age_s(), self._market.age_s())

    # --- what is heard ------------------------------------------------------------------------------------------

    def _hear_account(self, told: AccountTold) -> None:
        match told:
            case OrderChanged() | Filled():
                self._told.setdefault(told.key, placed(told))
                self.heard.put(Woken(told.key))
            case Look():
                self._doubt = True
                self.heard.put(Woken(told.why))
            case Restored():
                self._generation, self._doubt = told.generation, True
                self.heard.put(Woken("the account is heard of again", missed=True))
            case LostTouch():
                _log.warning("touch with the account is lost: %s", told.why)
                self.heard.put(Woken(f"touch with the account is lost: {told.why}"))
            case Alarm():
                self._alarm(told)

    def _hear_market(self, told: MarketTold) -> None:
        match told:
            case BarHeard():
                self.heard.put(told)
            case LostTouch():
                _log.warning("touch with the market is lost: %s", told.why)
            case Alarm():
                self._alarm(told)

    def _alarm(self, alarm: Alarm) -> None:
        _log.error("%s", alarm.words)
        self._doubt = True
        self.heard.put(Woken(alarm.words, missed=True))

    async def _missing_bars(self, symbol: str, after: datetime) -> Sequence[tuple[Bar, float | None]]:
        now = await self._venue_now()
        bars, marks = await asyncio.gather(
            listings.bars_after(self._client, symbol, self._timeframe, after, now),
            listings.bars_after(self._client, symbol, self._timeframe, after, now, marks=True),
        )
        mark_at = {bar.ts: bar.close for bar in marks}
        return [(bar, mark_at.get(bar.ts)) for bar in bars]

    async def _stay_warm(self) -> None:
        """The clock kept right, and a connection open that the next order need not wait for."""
        while True:
            await asyncio.sleep(_WARM_S)
            with contextlib.suppress(ExchangeError):
                await self._client.set_clock()

    async def _look_at_listing(self) -> None:
        """Read again now and then; what is found changed is told when the engine looks."""
        while True:
            await asyncio.sleep(SOON.total_seconds())
            with contextlib.suppress(ExchangeError):
                if self._listed.due(await self._venue_now(), HOURLY) and await self._listed.look():
                    self.heard.put(Woken("the venue lists otherwise than before"))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A stream that failed says so: without it nobody hears of anything."""
        if not task.cancelled() and (error := task.exception()):
            _log.error("a stream has ended", exc_info=error)
            self.heard.put(Woken(f"a stream has ended: {error}", missed=True))


class _ListenKey:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def new_key(self) -> str:
        return str((await self._client.fapiPrivatePostListenKey())["listenKey"])

    async def extend_key(self) -> None:
        await self._client.fapiPrivatePutListenKey()

    async def close_key(self) -> None:
        with contextlib.suppress(RuntimeError):  # the session was closed before
            await self._client.fapiPrivateDeleteListenKey()
