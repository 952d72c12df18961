"""A deterministic venue that is made of bars: the same steps and the same orders give the same events, to the digit.

It stands at the close of the last `Step`. What is sent to it then trades at once, at the first price after that
close; what rests meets the next step, on the way through its bar that is worst for the position held (see
`matching`). A symbol without a bar in a step stands still during it, and nothing of it can be had.

This file is what may be asked of it: the port, the market's steps, the settings of its account. Each call is kept
whole before it returns. What becomes of orders and of the account stands in `engine`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from qtlib.domain.events import (
    START,
    Event,
    OrderChanged,
)
from qtlib.domain.market import Instrument, Step
from qtlib.domain.orders import (
    ZERO,
    Action,
    Cancel,
    Order,
    OrderStatus,
    Side,
    Submit,
)
from qtlib.domain.state import ExchangeSnapshot
from qtlib.domain.values import changed
from qtlib.exchanges.port import Refused, Unavailable
from qtlib.exchanges.simulated import margin
from qtlib.exchanges.simulated.admission import (
    admit_amended,
)
from qtlib.exchanges.simulated.conduct import CROSS, USUAL, Conduct
from qtlib.exchanges.simulated.engine import MatchingEngine
from qtlib.exchanges.simulated.prospect import Alarm, alarms, is_touched
from qtlib.exchanges.simulated.store import Disk, Memory, Store, order_of


class SimulatedExchange(MatchingEngine):
    """`Exchange` over simulated steps. With `store`, a file, it goes on where that left off, and `cash` is ignored."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        cash: Decimal,
        conduct: Conduct = USUAL,
        store: Path | None = None,
    ) -> None:
        super().__init__(instruments, conduct)
        self._alarms: dict[str, Alarm] | None = None  # None: to be set anew
        self._store: Store = Disk(store) if store else Memory()
        if not self._restored():
            self._move_cash(START, cash, "deposit", "deposit-0")
            self._keep()

    # --- the port ---------------------------------------------------------------------------------------------

    def carry_out(self, actions: Sequence[Action]) -> Sequence[Event]:
        """Ask for orders and for orders' ends, in this order; the events that followed at once."""
        heard: list[Event] = []
        for action in actions:
            client_id = action.intent.client_id if isinstance(action, Submit) else action.client_id
            before = len(self._fresh)
            if isinstance(action, Cancel) and client_id in self._book.orders:
                self._end(client_id, OrderStatus.CANCELED)
            elif known := self._known(client_id):
                heard += known
            elif isinstance(action, Submit):
                self._submit(action.intent)
            heard += self._fresh[before:]
        self._keep()
        return heard

    def events(self, since: datetime, about: Iterable[Order] = ()) -> Sequence[Event]:
        """Fills, order changes, funding and cash moves at or after `since`, oldest first; and which of the orders
        `about` never came here."""
        told = self._store.since(since)
        pending = OrderStatus.PENDING
        lost = [o.intent.client_id for o in about if o.status is pending and not self._known(o.intent.client_id)]
        if not lost:
            return told
        never = "it never reached the exchange"
        return [*told, *(OrderChanged(self.now, client_id, OrderStatus.LOST, never) for client_id in lost)]

    def snapshot(self) -> ExchangeSnapshot:
        """What is open and held now."""
        orders = {client_id: order.intent for client_id, order in self._book.orders.items()}
        prices = {symbol: self._clock.quotes[symbol].mark for symbol in self.account.positions}
        return ExchangeSnapshot(self.now, self.account.cash, dict(self.account.positions), orders, prices)

    # --- the market, and what is asked of an account beside orders ---------------------------------------------

    def advance(self, step: Step) -> None:
        """Live through `step`; one that lies behind is ignored, so a feed may be started again."""
        if step.ts <= self._clock.now:
            return
        if self._alarms is None:
            self._alarms = alarms(self.view)
        self._clock.now = step.ts
        if self._alarms and is_touched(step, self._alarms, self.view):
            self._walk(step, self._alarms)
        self._stand_after(step)
        if step.funding and self._book.account.positions:
            self._settle_funding(step)
        if self._fresh or self._changed or self._store.durable:
            self._keep()

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Leverage of `symbol` from now on. In isolated margin it cannot be lowered under a position."""
        if symbol not in self.instruments:
            raise Refused("-1121: Invalid symbol.")
        highest = self.instruments[symbol].brackets[0].max_leverage
        if not 1 <= leverage <= highest:
            raise Refused(f"-4028: Leverage {leverage} is not valid: {symbol} allows 1 to {highest}")
        if not self.crossed(symbol) and symbol in self.account.positions and leverage < self.leverage(symbol):
            raise Refused("-4161: Leverage reduction is not supported in Isolated Margin Mode with open positions.")
        self._book.leverage[symbol] = leverage
        self._changed = True
        self._keep()

    def set_margin_mode(self, symbol: str, mode: str) -> None:
        """Margin mode of `symbol` from now on; never under a position or an order."""
        if symbol not in self.instruments:
            raise Refused("-1121: Invalid symbol.")
        if (mode == CROSS) == self.crossed(symbol):
            raise Refused("-4046: No need to change margin type.")
        if any(self.view.orders(symbol)):
            raise Refused("-4047: Margin type cannot be changed if there exists open orders.")
        if symbol in self.account.positions:
            raise Refused("-4048: Margin type cannot be changed if there exists position.")
        self._book.crossed[symbol] = mode == CROSS
        self._changed = True
        self._keep()

    def move_margin(self, symbol: str, amount: Decimal) -> None:
        """Back the position in `symbol` with `amount` of the wallet more; below zero, with less."""
        if symbol not in self.account.positions:
            raise Refused("-4054: Cannot add position margin: position is 0.")
        if self.crossed(symbol):
            raise Refused("-4049: Add margin only support for isolated position.")
        if amount > margin.available(self.view):
            raise Refused("-4050: Cross balance insufficient.")
        if -amount > margin.removable(self.view, symbol):
            raise Refused("-4051: Isolated balance insufficient.")
        self._book.isolated[symbol] += amount
        self._changed = True
        self._keep()

    def amend(self, client_id: str, quantity: Decimal, price: Decimal) -> None:
        """Ask for another quantity and price of a resting limit order; refused, it stays as it was.

        It queues anew, and takes at once what it now can. One that has filled as much already ends.
        """
        order = self._book.orders[client_id]
        if ZERO < quantity <= order.filled:
            self._end(client_id, OrderStatus.CANCELED, f"amended to {quantity:f}, {order.filled:f} is filled")
        else:
            intent = changed(order.intent, quantity=quantity, price=price)
            others = {name: other for name, other in self._book.orders.items() if name != client_id}
            if no := admit_amended(intent, order.filled, changed(self.view, book=replace(self._book, orders=others))):
                raise Refused(str(no))
            self._book.orders = others
            self._book.orders_taken += 1
            order = changed(order, intent=intent, number=self._book.orders_taken)
            self._put(order)
            self._meet_market(order, self._clock.quotes[intent.symbol].price)
        self._keep()

    def requote(self, prices: Mapping[str, float], marks: Mapping[str, float]) -> None:
        """What a taker meets, and positions are marked at, moved since the last step; what rests meets the next one."""
        for symbol, quote in self._clock.quotes.items():
            quote.price, quote.mark = prices.get(symbol, quote.price), marks.get(symbol, quote.mark)

    def relist(self, instrument: Instrument, suspended: bool = False) -> None:
        """What is said of an instrument changes: its steps and sizes, and whether it is traded. What rests stays.

        A listing is not kept in the store: who opens the venue again says it again.
        """
        self.instruments[instrument.symbol] = instrument
        self._brackets[instrument.symbol] = margin.float_brackets(instrument)
        self._alarms = None
        (self._suspended.add if suspended else self._suspended.discard)(instrument.symbol)

    def deleverage(self, symbol: str, share_frac: Decimal) -> None:
        """Others lost more than their margin and the insurance: `share_frac` of our position is closed against theirs,
        at mark, without a fee; the symbol's orders end."""
        position, instrument = self.account.positions[symbol], self.instruments[symbol]
        for order in list(self.view.orders(symbol)):
            self._end(order.intent.client_id, OrderStatus.CANCELED, "auto-deleveraging")
        held = abs(position.quantity)
        quantity = min(held, max(instrument.lot, held * share_frac // instrument.lot * instrument.lot))
        price = instrument.price(self._clock.quotes[symbol].mark)
        client_id = f"adl_autoclose-{symbol}-{self._book.fills_made + 1}"
        self._book_fill(client_id, symbol, Side.of(-position.quantity), quantity, price, ZERO, maker=False)
        self._cover_shortfall(self._floor())
        self._keep()

    def close(self) -> None:
        """Let go of the store's file; nothing is lost by not calling it, but only one venue can hold a file."""
        self._store.close()

    @property
    def isolated(self) -> Mapping[str, Decimal]:
        """The part of the wallet that backs each position by itself, in quote; none does in cross margin."""
        return self._book.isolated

    @property
    def fallbacks(self) -> Mapping[str, str]:
        """What had to be assumed because the data did not say it; belongs in the record of the run."""
        marks = dict.fromkeys(self._book.unmarked, "mark price: last price stands in")
        return {"intrabar": "pessimistic: the extreme against the position comes first", **marks}

    # --- being kept -----------------------------------------------------------------------------------------

    def _known(self, client_id: str) -> Sequence[Event]:
        return [*self._store.of(client_id), *(event for event in self._fresh if order_of(event) == client_id)]

    def _keep(self) -> None:
        """End of a call: all of it is kept, or none of it happened."""
        fresh, self._fresh = self._fresh, []
        try:
            self._store.keep(self._clock, self._book if self._changed else None, fresh)
        except Unavailable:
            self._restored()
            raise
        if self._changed:
            self._changed, self._alarms = False, None

    def _restored(self) -> bool:
        kept = self._store.load(self.conduct)
        if kept is None:
            return False
        self._stand(*kept)
        self._fresh, self._changed, self._alarms = [], False, None
        if missing := sorted(self.view.busy() - self.instruments.keys()):
            raise ValueError(f"the stored venue still has positions or orders in {', '.join(missing)}; list them too")
        return True
