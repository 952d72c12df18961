"""The real venue, and whatever speaks its protocol, behind the port.

The caller is one plain thread; inside, a thread of its own runs an event loop with all connections. Every call has an
end: an answer, or one of the port's errors. What the venue says that makes no sense is `Untrusted`, never a crash.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from math import inf
from queue import SimpleQueue
from typing import TypeVar

from qtlib.domain.events import Event
from qtlib.domain.market import Bar, Instrument
from qtlib.domain.orders import Action, Order
from qtlib.domain.state import ExchangeSnapshot
from qtlib.exchanges.again import Again
from qtlib.exchanges.binance import listings, modes
from qtlib.exchanges.binance.account import Account
from qtlib.exchanges.binance.client import PATIENCE_S, TIMEOUT_S, Client, patience
from qtlib.exchanges.binance.errors import NONSENSE, nonsense
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.binance.preflight import STEPS, Wanted
from qtlib.exchanges.binance.sockets import Patience
from qtlib.exchanges.binance.watching import Watching
from qtlib.exchanges.port import ExchangeError, Finding, Heard, Settled, Unavailable, Untrusted

DEADLINE_S = 2.0  # of one order, from asking to knowing
SETTLE_S = 10.0  # the venue's own time-out: until then an order that it does not know may still turn up
ANSWER_S = 8.0  # of a question about the account: longer, and a session would seem to hang
REACHABLE_S = 3.0
LONGEST_S = 3 * (PATIENCE_S + TIMEOUT_S)  # of any other

T = TypeVar("T")


def open_exchange(
    mode: Mode,
    symbols: Iterable[str] = (),
    *,
    url: str | None = None,
    deadline_s: float = DEADLINE_S,
    settle_s: float = SETTLE_S,
    in_turn: bool = False,
) -> "Binance":
    """The exchange of `mode`; `url` is where a served one listens. Close it when done."""
    return Binance(mode, tuple(symbols), modes.address(mode, url), deadline_s, settle_s, in_turn)


class Binance:
    """`Exchange` over the venue's protocol; made by `open_exchange`."""

    def __init__(
        self,
        mode: Mode,
        symbols: tuple[str, ...],
        address: modes.Address,
        deadline_s: float,
        settle_s: float,
        in_turn: bool,
    ) -> None:
        self.mode, self.symbols, self._address = mode, symbols, address
        self._settings = {"deadline_s": deadline_s, "settle_s": settle_s, "in_turn": in_turn}
        self._watching: Watching | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="exchange", daemon=True)
        self._thread.start()
        try:
            self._client, self._account = self._ask(self._opened(modes.keys(mode)))
        except BaseException:
            self._stop()
            raise

    # --- the port ---------------------------------------------------------------------------------------------

    def carry_out(self, actions: Sequence[Action]) -> Sequence[Event]:
        """Ask for orders and for orders' ends, in this order; the events that followed at once."""
        return self._ask(self._account.carry_out(actions)) if actions else ()

    def events(self, since: datetime, about: Iterable[Order] = ()) -> Sequence[Event]:
        """Fills, order changes, funding and cash moves at or after `since`, oldest first; and what became of the
        orders `about` which the caller believes to be working."""
        return self._ask(self._account.events(since, tuple(about)), ANSWER_S)

    def snapshot(self) -> ExchangeSnapshot:
        """What is open and held now."""
        return self._ask(self._account.snapshot(), ANSWER_S)

    # --- before it begins ---------------------------------------------------------------------------------------

    def preflight(
        self, symbols: Iterable[str], leverage: int, margin_mode: str, again: Again | None = None
    ) -> Iterator[Finding]:
        """What each step finds, as it finds it; leverage and margin mode are set on the way.

        A step that the venue leaves without an answer is asked for `again`.
        """
        again = again or Again(0.0)
        wanted = Wanted(self._client, self._account, self.mode, tuple(symbols), leverage, margin_mode)
        for name, step in STEPS.items():
            try:
                yield Finding(name, True, again(partial(self._asked, step, wanted)))
            except ExchangeError as why:
                yield Finding(name, False, str(why))
                if name == "reachable":
                    return

    # --- the market ---------------------------------------------------------------------------------------------

    def instruments(self, symbols: Iterable[str]) -> Mapping[str, Instrument]:
        """As the venue lists them now, but for those that it does not: the port's events say why, and tell from now on
        what is listed otherwise. Refused, with the reasons, if none of them trades."""
        return self._ask(self._account.listed.begin(symbols))

    def trading(self, symbols: Iterable[str]) -> tuple[str, ...]:
        """Those of `symbols` that trade now."""
        return self._ask(listings.trading(self._client, symbols))

    def first_closes(self, symbols: Iterable[str], timeframe: str) -> Mapping[str, datetime]:
        """When the first bar of each symbol closed; without those of which none has."""
        return self._ask(self._first_closes(tuple(symbols), timeframe))

    def bars(self, symbols: Iterable[str], timeframe: str, count: int) -> Mapping[str, list[Bar]]:
        """The last `count` closed bars of each symbol, oldest first."""
        return self._ask(self._bars(tuple(symbols), timeframe, count, marks=False))

    def marks(self, symbols: Iterable[str], timeframe: str, count: int) -> Mapping[str, list[Bar]]:
        """The same of mark prices, which have no volume."""
        return self._ask(self._bars(tuple(symbols), timeframe, count, marks=True))

    def funding(self, symbols: Iterable[str], since: datetime) -> Mapping[str, list[Settled]]:
        """The funding rates of each symbol that were settled at or after `since`, oldest first."""
        return self._ask(self._funding(tuple(symbols), since))

    def watch(self, symbols: Iterable[str], timeframe: str) -> "SimpleQueue[Heard]":
        """All that happens from now on: bars as they close, and when it is worth looking at the account."""
        return self._ask(self._watch(tuple(symbols), timeframe))

    @property
    def now(self) -> datetime:
        """The venue's time; of our own venue, the time of its market."""
        return self._ask(self._account.time())

    def step(self, bars: int = 1) -> int:
        """Let our own venue's market go on by `bars`; how many there were."""
        if not self.mode.served:
            raise Untrusted(f"the market of mode {self.mode.value} goes on by itself")
        told = self._ask(self._client.control("POST", "/sim/step", bars=str(bars)))
        self._account.stands_at(told["now"])
        return int(told["lived"])

    # --- its health -----------------------------------------------------------------------------------------------

    @property
    def clock_offset_ms(self) -> int:
        """Our clock minus the venue's, when it was last compared."""
        return self._client.clock_offset_ms

    @property
    def used_weight(self) -> int:
        """Of the minute's allowance, as the venue said last."""
        return self._client.allowance.weight.used

    @property
    def reachable(self) -> bool:
        """Whether the venue answers now."""
        try:
            self._ask(self._client.fapiPublicGetPing(), within_s=REACHABLE_S)
        except (Unavailable, Untrusted):
            return False
        return True

    @property
    def trusted(self) -> bool:
        """Whether the account's stream tells all there is; False where none is listened to."""
        return self._watching is not None and self._watching.trusted

    @property
    def last_event_age_s(self) -> float:
        """Since the venue last said anything, by a stream or in answer to us."""
        return self._ask(self._age_s(), within_s=1.0)

    @property
    def streams_age_s(self) -> float | None:
        """Since the last sign of life of the stream that is silent for longest; None: there was none, or no stream."""
        age_s = self._ask(self._streams_age_s(), within_s=1.0)
        return age_s if age_s < inf else None

    @property
    def streams_lost(self) -> str:
        """Which streams are out of touch, and why; empty: none."""
        return self._watching.lost if self._watching else ""

    def close(self) -> None:
        """Let go of connections and thread; what is open at the venue stays open."""
        if not self._thread.is_alive():
            return
        self._ask(self._ended())
        self._stop()

    def __enter__(self) -> "Binance":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.mode.value} at {self._address.rest}>"

    # --- below ------------------------------------------------------------------------------------------------

    async def _opened(self, keys: modes.Keys) -> tuple[Client, Account]:
        client = Client(self.mode, self._address, keys)
        try:
            client.allowance.allow(
                (await client.fapiPublicGetExchangeInfo())["rateLimits"]
            )  # first: it bounds all else
            await client.set_clock()
        except BaseException:
            await client.end()
            raise
        return client, Account(client, self.mode, **self._settings)  # type: ignore[arg-type]

    async def _watch(self, symbols: tuple[str, ...], timeframe: str) -> "SimpleQueue[Heard]":
        if self._watching:
            await self._watching.stop()
        now = await self._account.now()
        waits = Patience(quiet_s=inf) if self.mode.served else Patience()  # our own venue tells once a bar
        listed = self._account.listed
        self._watching = Watching(self._client, self._account.now, symbols, timeframe, now, waits, listed)
        self._account.listen(self._watching)
        self._watching.start()
        return self._watching.heard

    async def _age_s(self) -> float:
        return min(self._client.wall() - self._client.heard_at, await self._streams_age_s())

    async def _streams_age_s(self) -> float:
        return self._watching.age_s() if self._watching else inf

    async def _ended(self) -> None:
        if self._watching:
            await self._watching.stop()
        await self._client.end()

    async def _bars(self, symbols: tuple[str, ...], timeframe: str, count: int, marks: bool) -> Mapping[str, list[Bar]]:
        now = await self._account.now()
        asked = (listings.bars(self._client, symbol, timeframe, count, now, marks=marks) for symbol in symbols)
        return dict(zip(symbols, await asyncio.gather(*asked), strict=True))

    async def _first_closes(self, symbols: tuple[str, ...], timeframe: str) -> Mapping[str, datetime]:
        now = await self._account.now()
        asked = (listings.first_close(self._client, symbol, timeframe, now) for symbol in symbols)
        closes = zip(symbols, await asyncio.gather(*asked), strict=True)
        return {symbol: close for symbol, close in closes if close is not None}

    async def _funding(self, symbols: tuple[str, ...], since: datetime) -> Mapping[str, list[Settled]]:
        asked = (listings.funding(self._client, symbol, since) for symbol in symbols)
        return dict(zip(symbols, await asyncio.gather(*asked), strict=True))

    def _asked(self, question: Callable[[Wanted], Awaitable[T]], about: Wanted) -> T:
        return self._ask(question(about))

    def _ask(self, question: Awaitable[T], within_s: float = LONGEST_S) -> T:
        """The answer to `question`, put to the loop."""
        answer: Future[T] = asyncio.run_coroutine_threadsafe(_answered(question, within_s), self._loop)
        try:
            return answer.result()
        except TimeoutError:
            raise Unavailable(f"{self._address.rest}: no answer within {within_s:.0f} s") from None
        except NONSENSE as found:
            raise nonsense(found) from found

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


async def _answered(question: Awaitable[T], within_s: float) -> T:
    with patience(min(within_s, PATIENCE_S)):
        async with asyncio.timeout(within_s):
            return await question
