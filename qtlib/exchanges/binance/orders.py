"""Asking for orders and for their ends, and finding out what became of each: in one book or the other.

What holds here. An order is sent once under its name, and again only where it certainly was not executed. Where that
is not known, it is looked for by its name until it is found or time is up; what is still unsure then is left unsaid,
and found out later. Fills and fees come from trades, never from an order's reply; an order is not said to be over
before all its trades were heard.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from qtlib.domain.events import Event, Filled, OrderChanged
from qtlib.domain.naming import role_of
from qtlib.domain.orders import ZERO, OrderIntent, OrderStatus, Role
from qtlib.exchanges.binance import words
from qtlib.exchanges.binance.client import Client, patience
from qtlib.exchanges.binance.errors import Gone
from qtlib.exchanges.binance.words import Document, Standing
from qtlib.exchanges.port import Refused, Unavailable, Unknown, Untrusted

REMEMBERED = 20_000  # names and numbers of orders, the latest
MOST_TRADES = 1_000  # in one answer
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5  # between looks; each is twice the one before

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(OrderedDict[Key, Value]):
    """The latest things put in."""

    def __setitem__(self, key: Key, value: Value) -> None:
        super().__setitem__(key, value)
        if len(self) > REMEMBERED:
            self.popitem(last=False)


class Ears(Protocol):
    """Whoever hears of our orders as things happen, if anybody listens."""

    def expect(self, client_id: str) -> None:
        """The venue has accepted this order: it will be heard of."""

    async def fills_of(self, client_id: str, executed: Decimal) -> list[Filled]:
        """The fills of an order, if all of them are heard of in a moment; else none."""


class Orders:
    """`now` is the venue's time; `deadline_s` is how long one order, or one end, may take."""

    def __init__(self, client: Client, now: Callable[[], Awaitable[datetime]], deadline_s: float) -> None:
        self._client, self._now, self._deadline_s = client, now, deadline_s
        self._share_s = 0.6 * deadline_s  # of one try: the rest is for looking what became of it
        self.ears: Ears | None = None
        self._asked = Recent[str, bool]()  # names sent by us, and whether they are conditional
        self._names = Recent[int, str]()  # of plain orders, by order id
        self._last_words = Recent[str, OrderChanged]()  # of orders that the venue keeps no record of

    async def submit(self, intent: OrderIntent) -> list[Event]:
        """Ask for an order; Unavailable if it certainly did not reach the venue."""
        conditional = intent.type.conditional
        if intent.client_id in self._asked:
            return await self.became(intent.client_id, intent.symbol, conditional, was_open=False) or []
        self._asked[intent.client_id] = conditional
        try:
            standing = await self._placed(intent)
        except Refused as no:
            return [await self._final(intent.client_id, OrderStatus.REJECTED, str(no))]
        except (Unavailable, Untrusted) as why:
            await self._final(intent.client_id, OrderStatus.LOST, f"it never reached the exchange: {why}")
            raise
        if standing is None:
            return []
        if self.ears:
            self.ears.expect(intent.client_id)
        return await self.told(standing, was_open=False)

    async def cancel(self, client_id: str, symbol: str) -> list[Event]:
        """Ask for the end of an order, again where that may have been lost; what became of it."""
        conditional = self.is_conditional(client_id)
        until, pause = self._until(), _FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(min(self._share_s, max(0.0, until - self._time()))):
                    standing = await self._ended(client_id, symbol, conditional)
                return [] if standing is None else await self.told(standing, was_open=True)
            except (Unavailable, Unknown, TimeoutError) as why:
                if self._time() + pause > until:
                    if isinstance(why, Unavailable):
                        raise
                    return []
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def became(self, client_id: str, symbol: str, conditional: bool, was_open: bool) -> list[Event] | None:
        """What became of an order, nothing if that is no news; None: nobody knows of it."""
        if client_id in self._last_words:
            return [self._last_words[client_id]]
        standing = await self.standing(client_id, symbol, conditional)
        return None if standing is None else await self.told(standing, was_open)

    async def told(self, standing: Standing, was_open: bool) -> list[Event]:
        """The events that lead to `standing`, as far as its trades are known."""
        client_id = standing.client_id
        events: list[Event] = [] if was_open else [OrderChanged(standing.ts, client_id, OrderStatus.OPEN)]
        fills = await self._fills(standing) if standing.executed else []
        events += fills
        heard = sum((filled.fill.quantity for filled in fills), ZERO)
        filled_up = standing.status is OrderStatus.FILLED and not standing.closes and heard >= standing.wanted
        if not standing.status.working and heard >= standing.executed and not filled_up:
            events.append(OrderChanged(standing.ts, client_id, standing.status, standing.reason))
        return events

    async def standing(self, client_id: str, symbol: str, conditional: bool) -> Standing | None:
        """What the venue says of an order of that book; None: it knows none."""
        try:
            if conditional:
                asked = {"symbol": symbol, "clientAlgoId": client_id}
                return await self._algo(await self._client.fapiPrivateGetAlgoOrder(asked))
            asked = {"symbol": symbol, "origClientOrderId": client_id}
            return self.noted(words.plain_standing(await self._client.fapiPrivateGetOrder(asked)))
        except Gone:
            return None

    async def names_of(self, orders: Iterable[tuple[str, int]]) -> dict[int, str]:
        """The client ids behind symbols with order ids."""
        wanted = list(orders)
        names = await asyncio.gather(*(self._name_of(symbol, order_id) for symbol, order_id in wanted))
        return {order_id: name for (_, order_id), name in zip(wanted, names, strict=True)}

    def is_conditional(self, client_id: str) -> bool:
        """In which book it was asked for, as far as we know: what protects waits for a trigger."""
        known = self._asked.get(client_id)
        return role_of(client_id).protects if known is None else known

    def in_book(self, client_id: str, conditional: bool) -> None:
        """Remember where an order was seen."""
        self._asked.setdefault(client_id, conditional)

    def known_name(self, order_id: int) -> str | None:
        return self._names.get(order_id)

    def last_word(self, client_id: str) -> OrderChanged | None:
        """Of an order that the venue keeps no record of."""
        return self._last_words.get(client_id)

    def noted(self, standing: Standing) -> Standing:
        if standing.order_id is not None:
            self._names[standing.order_id] = standing.client_id
        return standing

    # --- below ------------------------------------------------------------------------------------------------

    async def _name_of(self, symbol: str, order_id: int) -> str:
        """The client id behind an order id: of a conditional order's child, the conditional order's."""
        if order_id in self._names:
            return self._names[order_id]
        try:
            said = await self._client.fapiPrivateGetOrder({"symbol": symbol, "orderId": str(order_id)})
            name = str(said["clientOrderId"])
        except Gone:
            name = f"order-{order_id}"
        if role_of(name) is Role.FOREIGN:
            algos = await self._client.fapiPrivateGetAllAlgoOrders({"symbol": symbol, "limit": str(MOST_TRADES)})
            name = next((str(a["clientAlgoId"]) for a in algos if words.child_of(a) == order_id), name)
        self._names[order_id] = name
        return name

    async def _placed(self, intent: OrderIntent) -> Standing | None:
        until, pause = self._until(), _FIRST_PAUSE_S
        while True:
            try:
                with patience(until - self._time()):
                    return self.noted(await self._sent(intent))
            except Unavailable:
                if self._time() + pause > until:
                    raise
            except (Unknown, TimeoutError):
                return await self._found(intent, until)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _sent(self, intent: OrderIntent) -> Standing:
        async with asyncio.timeout(self._share_s):
            if intent.type.conditional:
                return words.algo_standing(await self._client.fapiPrivatePostAlgoOrder(words.algo_order(intent)))
            return words.plain_standing(await self._client.fapiPrivatePostOrder(words.plain_order(intent)))

    async def _found(self, intent: OrderIntent, until: float) -> Standing | None:
        """An order whose fate is unknown: looked for until it is found, or time is up."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                with patience(max(0.0, until - self._time())):
                    standing = await self.standing(intent.client_id, intent.symbol, intent.type.conditional)
            except Unavailable:
                standing = None
            if standing is not None or self._time() + pause > until:
                return standing
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _ended(self, client_id: str, symbol: str, conditional: bool) -> Standing | None:
        """An order after it was asked to end; None: neither book knows it."""
        try:
            if not conditional:
                asked = {"symbol": symbol, "origClientOrderId": client_id}
                return self.noted(words.plain_standing(await self._client.fapiPrivateDeleteOrder(asked)))
            await self._client.fapiPrivateDeleteAlgoOrder({"symbol": symbol, "clientAlgoId": client_id})
        except Gone:
            pass
        standing = await self.standing(client_id, symbol, conditional)
        if standing is None:  # it may stand in the other book
            standing = await self.standing(client_id, symbol, not conditional)
        if standing is None or not standing.status.working:
            return standing
        return await self._ended_by_id(standing)

    async def _ended_by_id(self, standing: Standing) -> Standing:
        """An order that is open where it was not looked for: the child of one that fired, or of the other book."""
        try:
            if standing.order_id is None:
                asked = {"symbol": standing.symbol, "clientAlgoId": standing.client_id}
                await self._client.fapiPrivateDeleteAlgoOrder(asked)
                return await self.standing(standing.client_id, standing.symbol, True) or standing
            asked = {"symbol": standing.symbol, "orderId": str(standing.order_id)}
            said = await self._client.fapiPrivateDeleteOrder(asked)
            return words.plain_standing(said, standing.client_id)
        except Gone:
            return standing  # it went meanwhile: found out when it is asked about next

    async def _algo(self, said: Document) -> Standing:
        child = words.child_of(said)
        if child is None:
            return words.algo_standing(said)
        name, closes = str(said["clientAlgoId"]), bool(said["closePosition"])
        self._names[child] = name
        try:
            order = await self._client.fapiPrivateGetOrder({"symbol": said["symbol"], "orderId": str(child)})
        except Gone:
            return words.algo_standing(said)
        return replace(words.plain_standing(order, name), closes=closes)

    async def _fills(self, standing: Standing) -> list[Filled]:
        """The trades of an order, as many as it says it has, or as many as are known in time."""
        if self.ears and (heard := await self.ears.fills_of(standing.client_id, standing.executed)):
            return heard
        until, pause = self._until(), _FIRST_PAUSE_S
        while True:
            try:
                rows = await self._trades(standing)
            except Unavailable:
                rows = []
            fills = [Filled(fill.ts, fill) for fill in (words.fill_of(row, standing.client_id) for row in rows)]
            complete = sum((f.fill.quantity for f in fills), ZERO) >= standing.executed
            if complete or self._time() + pause > until:
                return fills
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _trades(self, standing: Standing) -> list[Any]:
        asked = {"symbol": standing.symbol, "limit": str(MOST_TRADES)}
        rows = batch = await self._client.fapiPrivateGetUserTrades({**asked, "orderId": str(standing.order_id)})
        while len(batch) == MOST_TRADES:
            batch = await self._client.fapiPrivateGetUserTrades({**asked, "fromId": str(batch[-1]["id"] + 1)})
            rows = rows + [row for row in batch if row["orderId"] == standing.order_id]
        return list(rows)

    async def _final(self, client_id: str, status: OrderStatus, reason: str) -> OrderChanged:
        changed = OrderChanged(await self._now(), client_id, status, reason)
        self._last_words[client_id] = changed
        return changed

    def _until(self) -> float:
        return self._time() + self._deadline_s

    def _time(self) -> float:
        return asyncio.get_running_loop().time()
