"""The port, as it is asked inside the adapter's own loop: what to do, what happened, what is.

REST is the truth here: each time, or, while streams are watched, whenever they do not suffice. Calls that do not depend
on each other go side by side; `in_turn` is for a stepped market, where whoever comes first is served first and a
session is to be the same each time it is run.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from qtlib.domain.events import START, Event, OrderChanged
from qtlib.domain.orders import ZERO, Action, Cancel, Order, OrderIntent, OrderStatus, Role
from qtlib.domain.state import ExchangeSnapshot
from qtlib.exchanges.binance import words
from qtlib.exchanges.binance.client import Client, patience
from qtlib.exchanges.binance.errors import NONSENSE, nonsense
from qtlib.exchanges.binance.history import History, Told, placed
from qtlib.exchanges.binance.listed import DAILY, Listed
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.binance.orders import Orders, Recent
from qtlib.exchanges.binance.watching import Watching
from qtlib.exchanges.binance.words import Document, ts_of
from qtlib.exchanges.listing import doubted
from qtlib.exchanges.port import ExchangeError, Unavailable, Untrusted

ABREAST = 24  # orders on their way at once; fewer than there are connections, so that questions get through
_SNAPSHOTS = 3  # asked for, until balance and positions are of one moment
_GONE = "it is gone at the exchange"
_NEVER = "it never reached the exchange"
_CAN_WAIT = (Role.NET_STOP, Role.TAKE_PROFIT)  # and what is to go, until stops are confirmed


class Account:
    """`settle_s` is how long an order that the venue does not know may still turn up."""

    def __init__(self, client: Client, mode: Mode, *, deadline_s: float, settle_s: float, in_turn: bool) -> None:
        self._client, self._mode, self._in_turn = client, mode, in_turn
        self._deadline_s, self._settle_s = deadline_s, settle_s
        self._watching: Watching | None = None  # streams, if they are listened to
        self._stood = START  # the last we heard of where a served market stands
        self._orders = Orders(client, self.now, deadline_s)
        self._history = History(client, self._orders)
        self.listed = Listed(client, self.now)
        self._missed = Recent[str, float]()  # when an order was first looked for in vain, by the loop's clock
        self._abreast = asyncio.Semaphore(ABREAST)
        self._began: datetime | None = None  # when a journal that knew nothing asked first
        self._before = frozenset[str]()  # what had happened by then

    # --- the port ---------------------------------------------------------------------------------------------

    async def carry_out(self, actions: Sequence[Action]) -> list[Event]:
        if self._in_turn:
            done = [await self._done(action) for action in actions]
        else:
            by_place: dict[int, _Done] = {}
            for places in _first_and_rest(actions):  # all at once, and no stop is confirmed before the last is sent
                await self._side_by_side(actions, places, by_place)
            done = [by_place[place] for place in range(len(actions))]
        failed = [one.failed for one in done if one.failed]
        for no in failed:
            if isinstance(no, Untrusted):
                raise no
        if failed and len(failed) == len(done):
            raise failed[0]
        told = [event for one in done for event in one.events]
        if doubted(told):
            await self.listed.look()
        return [*told, *self.listed.news()]

    async def events(self, since: datetime, about: Iterable[Order] = ()) -> list[Event]:
        working = list(about)
        if self._watching is None:
            told = await self._asked(since, working)
        elif self._watching.suffices():
            unsure = [order for order in working if order.status is OrderStatus.PENDING]
            fates = await asyncio.gather(*(self._fate(order) for order in unsure))
            told = [*(one for fate in fates for one in fate), *self._watching.told(since)]
        else:
            generation = self._watching.asking()
            try:
                told = await self._asked(since, working)
            except BaseException:
                self._watching.doubt()
                raise
            self._watching.asked(generation, told)
            told = [*told, *self._watching.told(since)]
        fresh = {one.event.key: one for one in told if one.event.key not in self._before}
        events = [one.event for one in sorted(fresh.values(), key=lambda one: one[:3])]
        if doubted(events) or (self._watching is None and self.listed.due(self._stood, DAILY)):
            await self.listed.look()
        return [*events, *self.listed.news()]

    async def snapshot(self) -> ExchangeSnapshot:
        if self._watching:
            self._watching.doubt()  # what follows a snapshot is to be all that there is
        for _ in range(_SNAPSHOTS):
            account, risks, (plain, algos), now = await asyncio.gather(
                self._client.fapiPrivateV3GetAccount(),
                self._client.fapiPrivateV3GetPositionRisk(),
                self._open_orders(),
                self.now(),
            )
            positions = {p.symbol: p for p in map(words.position_of, risks) if p.quantity}
            held = {row["symbol"]: Decimal(row["positionAmt"]) for row in account["positions"]}
            if {s: q for s, q in held.items() if q} == {s: p.quantity for s, p in positions.items()}:
                break
        else:
            raise Unavailable("balance and positions do not come to rest: ask again")
        orders = [words.algo_intent(said) for said in algos.values()]
        orders += [words.plain_intent(said, name) for name, said in plain.items()]
        cash = sum((Decimal(row["walletBalance"]) for row in account["assets"] if row["asset"] == words.QUOTE), ZERO)
        marks = {row["symbol"]: float(row["markPrice"]) for row in risks if row["symbol"] in positions}
        return ExchangeSnapshot(now, cash, positions, {intent.client_id: intent for intent in orders}, marks)

    async def submit(self, intent: OrderIntent) -> list[Event]:
        """One order beside the port's: what followed at once."""
        return await self._orders.submit(intent)

    async def cancel(self, intent: OrderIntent) -> list[Event]:
        return await self._orders.cancel(intent.client_id, intent.symbol)

    async def time(self) -> datetime:
        """The venue's time; of our own venue, the time of its market, if it can be asked."""
        if not self._mode.served:
            return START + timedelta(seconds=self._client.venue_time())
        self.stands_at((await self._client.control("GET", "/sim"))["now"])
        return self._stood

    async def now(self) -> datetime:
        """The same, or the last that was heard of it: for stamps, not for going on by."""
        try:
            return await self.time()
        except Unavailable:
            if self._stood == START:
                raise
        return self._stood

    def listen(self, watching: Watching) -> None:
        """Let streams tell, from now on, what need not be asked for."""
        self._watching = self._orders.ears = watching

    def stands_at(self, text: str) -> None:
        self._stood = max(self._stood, datetime.fromisoformat(text))

    # --- below ------------------------------------------------------------------------------------------------

    async def _asked(self, since: datetime, about: Sequence[Order]) -> list[Told]:
        """What REST says happened, and became of the orders `about`."""
        now, known = await asyncio.gather(self.now(), self._known(about))
        unsure = asyncio.gather(*(self._fate(order) for order in known.missing))
        if since == START and self._began is None:  # a journal begins with a snapshot: the past is not its own
            self._began = now
            self._before = frozenset(told.event.key for told in await self._history.since(now, now))
        since = self._began or since if since == START else since
        past, fates = await asyncio.gather(self._history.since(since, now, known.busy), unsure)
        return [*known.opened, *(one for fate in fates for one in fate), *past]

    async def _side_by_side(self, actions: Sequence[Action], places: Sequence[int], done: "dict[int, _Done]") -> None:
        chains: dict[str, list[int]] = {}
        for place in places:
            chains.setdefault(_symbol_of(actions[place]), []).append(place)
        first = sorted(chains.values(), key=lambda its: not any(_protects(actions[place]) for place in its))
        await asyncio.gather(*(self._chain(actions, its, done) for its in first))

    async def _chain(self, actions: Sequence[Action], places: Sequence[int], done: "dict[int, _Done]") -> None:
        """One symbol's: orders side by side, but ends and orders in the order they were asked for."""
        for _, group in groupby(places, key=lambda place: type(actions[place])):
            together = list(group)
            results = await asyncio.gather(*(self._done(actions[place]) for place in together))
            done.update(zip(together, results, strict=True))

    async def _done(self, action: Action) -> "_Done":
        try:
            async with self._abreast:  # a deadline begins when it is one's turn
                return _Done(await self._followed(action))
        except (Unavailable, Untrusted) as no:
            client_id = action.client_id if isinstance(action, Cancel) else action.intent.client_id
            word = self._orders.last_word(client_id)
            return _Done([word] if word else [], no)
        except NONSENSE as found:  # what became of it is asked later; the others go on
            return _Done([], nonsense(found))

    async def _followed(self, action: Action) -> list[Event]:
        with patience(self._deadline_s):
            if isinstance(action, Cancel):
                return await self._orders.cancel(action.client_id, action.symbol)
            return await self._orders.submit(action.intent)

    async def _known(self, about: Sequence[Order]) -> "_Known":
        """What the lists of open orders say of the orders `about`."""
        opened: list[Told] = []
        missing: list[Order] = []
        busy: set[str] = set()
        plain, algos = await self._open_orders() if about else ({}, {})
        for order in about:
            client_id, said = order.intent.client_id, plain.get(order.intent.client_id)
            if said is None and client_id not in algos:
                missing.append(order)
                continue
            self._missed.pop(client_id, None)
            if said is not None and Decimal(said["executedQty"]) != order.filled:
                busy.add(order.intent.symbol)
            if order.status is OrderStatus.PENDING:
                ts = ts_of(said["time"] if said is not None else algos[client_id]["createTime"])
                opened.append(placed(OrderChanged(ts, client_id, OrderStatus.OPEN)))
        return _Known(opened, missing, busy)

    async def _fate(self, order: Order) -> list[Told]:
        """What became of an order that is not open."""
        intent, was_open = order.intent, order.status is not OrderStatus.PENDING
        events = await self._orders.became(intent.client_id, intent.symbol, intent.type.conditional, was_open)
        if events is None:
            events = await self._lost(intent, was_open)
        else:
            self._missed.pop(intent.client_id, None)
        return [placed(event) for event in events]

    async def _lost(self, intent: OrderIntent, was_open: bool) -> list[Event]:
        """An order of which the venue knows nothing is lost once it has been so for long enough."""
        time = asyncio.get_running_loop().time()
        if time - self._missed.setdefault(intent.client_id, time) < self._settle_s:
            return []
        status, reason = (OrderStatus.CANCELED, _GONE) if was_open else (OrderStatus.LOST, _NEVER)
        return [OrderChanged(await self.now(), intent.client_id, status, reason)]

    async def _open_orders(self) -> tuple[dict[str, Document], dict[str, Document]]:
        """Open plain orders and waiting conditional ones, by client id: a child goes by its parent's."""
        plain, algos = await asyncio.gather(
            self._client.fapiPrivateGetOpenOrders(), self._client.fapiPrivateGetOpenAlgoOrders()
        )
        named = {self._orders.known_name(int(said["orderId"])) or str(said["clientOrderId"]): said for said in plain}
        waiting = {str(said["clientAlgoId"]): said for said in algos if str(said["clientAlgoId"]) not in named}
        for name, said in named.items():
            self._orders.noted(words.plain_standing(said, name))
            self._orders.in_book(name, conditional=False)
        for name in waiting:
            self._orders.in_book(name, conditional=True)
        return named, waiting


class _Done(NamedTuple):
    """What followed from one action, and why it failed if it did."""

    events: list[Event]
    failed: ExchangeError | None = None


def _first_and_rest(actions: Sequence[Action]) -> tuple[list[int], list[int]]:
    """Where in `actions` that stands which can't wait; not what its symbol asked for behind something that can."""
    waits, first, rest = set[str](), list[int](), list[int]()
    for place, action in enumerate(actions):
        symbol = _symbol_of(action)
        if isinstance(action, Cancel) or action.intent.role in _CAN_WAIT or symbol in waits:
            waits.add(symbol)
            rest.append(place)
        else:
            first.append(place)
    return first, rest


def _protects(action: Action) -> bool:
    """Whether it can only make a position smaller: such symbols go first."""
    return not isinstance(action, Cancel) and (action.intent.reduce_only or action.intent.close_position)


class _Known(NamedTuple):
    """Of orders that are believed to be working."""

    opened: list[Told]  # those of which it was not known
    missing: list[Order]  # not among the open ones
    busy: set[str]  # symbols in which something traded that nobody told yet


def _symbol_of(action: Action) -> str:
    return action.symbol if isinstance(action, Cancel) else action.intent.symbol
