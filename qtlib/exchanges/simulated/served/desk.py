"""The account's desk: takes orders under their clients' names, and says what became of each.

Everything it says is folded from the engine's events; of its own it keeps only what clients asked for (the `Ledger`).
So a desk that was killed and opened again says the same, and it cannot disagree with the engine about money. One
thread uses it; each call is over when it returns.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import takewhile

from qtlib.domain.account import Account
from qtlib.domain.events import (
    INSURANCE_CLEAR,
    START,
    CashMoved,
    Event,
    Filled,
    FundingPaid,
    OrderChanged,
)
from qtlib.domain.market import Step
from qtlib.domain.orders import ZERO, Cancel, Fill, OrderIntent, OrderStatus, OrderType, Role, Submit, TimeInForce
from qtlib.exchanges.port import Unavailable, Untrusted
from qtlib.exchanges.simulated import margin
from qtlib.exchanges.simulated.admission import admit
from qtlib.exchanges.simulated.book import View
from qtlib.exchanges.simulated.served.chart import Chart
from qtlib.exchanges.simulated.served.ledger import Entry, Ledger
from qtlib.exchanges.simulated.served.records import (
    AccountTold,
    AlgoTold,
    Income,
    LeverageTold,
    MarginCalled,
    OrderTold,
    Record,
    Told,
    Trade,
)
from qtlib.exchanges.simulated.served.words import Refusal
from qtlib.exchanges.simulated.venue import SimulatedExchange

CALLED_FRAC = 0.8  # of what backs positions, asked for by their maintenance: the venue does not say its number
_STILL_WAITING = "nothing left to reduce"  # the one reason for which an order expires before its trigger


class Desk:
    """One account at the simulated venue, and the market it is in."""

    def __init__(self, engine: SimulatedExchange, ledger: Ledger, chart: Chart) -> None:
        self.engine, self.ledger, self.chart = engine, ledger, chart
        self.account = Account()  # as the events heard so far add up
        self.realized: dict[str, Decimal] = {}  # ever, by symbol, in quote
        self.trades: list[Trade] = []
        self.incomes: list[Income] = []
        self.before: dict[str, float] = {}  # prices when the last step began, in quote
        self._records: dict[str, Record] = {}  # by the engine's name, in order of arrival
        self._numbered: dict[int, Record] = {}
        self._named: dict[str, list[Record]] = {}  # by the client's name, in order of arrival
        self._listener: Callable[[Told], None] = _nobody
        self._called: set[tuple[str, ...]] = set()  # positions whose nearness to liquidation was told
        self._heard, self._heard_then = START, 0  # up to when events were heard, and how many of that instant
        for entry in ledger.entries():
            self._take_down(entry)
        self._hear()
        for record in list(self._records.values()):
            if record.status is OrderStatus.PENDING:  # the engine never heard of it
                self._strike(record)
        for name, order in self.view.book.orders.items():
            if self._records[name].intent != order.intent:  # the engine never heard of its last amendment
                self._records[name].intent = order.intent
                self.ledger.amend(self._records[name].number, order.intent)

    def listen(self, listener: Callable[[Told], None]) -> None:
        """Tell `listener` all that happens from now on, as it happens."""
        self._listener = listener

    # --- the market -----------------------------------------------------------------------------------------

    def live(self, step: Step) -> None:
        """Live through `step`."""
        self.before = {symbol: quote.price for symbol, quote in self.view.quotes.items()}
        self.engine.advance(step)
        self.chart.live(step)
        self._hear()
        self._call_for_margin()

    @property
    def now(self) -> datetime:
        return self.engine.now

    @property
    def view(self) -> View:
        return self.engine.view

    def set_leverage(self, symbol: str, leverage: int) -> None:
        with Refusal.in_words():
            self.engine.set_leverage(symbol, leverage)
        self._listener(LeverageTold(self.now, symbol))

    def set_margin_mode(self, symbol: str, mode: str) -> None:
        with Refusal.in_words():
            self.engine.set_margin_mode(symbol, mode)
        self._listener(AccountTold(self.now, "MARGIN_TYPE_CHANGE", (symbol,)))

    def move_margin(self, symbol: str, amount: Decimal) -> None:
        """Back an isolated position with `amount` more, or, below zero, with less."""
        with Refusal.in_words():
            self.engine.move_margin(symbol, amount)
        self.ledger.moved_margin(self.now, symbol, amount)
        self._listener(AccountTold(self.now, "MARGIN_TRANSFER", (symbol,)))

    # --- orders ---------------------------------------------------------------------------------------------

    def submit(self, intent: OrderIntent) -> Record:
        """Take `intent` on under its client's name, or refuse it: what is refused leaves nothing behind."""
        twins = (r for r in self.named(intent.client_id) if r.is_open and r.conditional is intent.type.conditional)
        if any(twins):
            raise Refusal(-4116, "ClientOrderId is duplicated.")
        if no := admit(intent, self.view):
            raise Refusal(no.code, no.text)
        number = self.ledger.next_number()
        entry = Entry(number, intent.client_id, self.now, replace(intent, client_id=str(number)))
        self.ledger.write(entry)  # first on paper
        record = self._take_down(entry)
        try:
            self.engine.carry_out([Submit(entry.intent)])
        except Unavailable:
            self._strike(record)
            raise
        self._hear()
        return record

    def cancel(self, record: Record) -> None:
        """End an open `record`."""
        self.engine.carry_out([Cancel(record.intent.client_id, record.intent.symbol)])
        self._hear()

    def amend(self, record: Record, quantity: Decimal, price: Decimal) -> None:
        """Change an open `record`; refused, it stays as it was. One that has filled as much already ends."""
        asked, goes_on = replace(record.intent, quantity=quantity, price=price), quantity > record.filled
        if goes_on:
            self.ledger.amend(record.number, asked)  # first on paper
        try:
            with Refusal.in_words():
                self.engine.amend(asked.client_id, quantity, price)
        except (Refusal, Unavailable):
            self.ledger.amend(record.number, record.intent)
            raise
        if goes_on:
            record.intent, record.updated = asked, self.now
            self._listener(OrderTold(self.now, record, "AMENDMENT"))
        self._hear()

    def records(self, symbol: str | None = None) -> Iterator[Record]:
        """All orders ever, oldest first."""
        return (r for r in self._records.values() if symbol in (None, r.intent.symbol))

    def open_records(self, symbol: str | None = None) -> Iterator[Record]:
        """The open orders of both books, oldest first."""
        orders = ((name, order.intent.symbol) for name, order in self.view.book.orders.items())
        return (self._records[name] for name, its_symbol in orders if symbol in (None, its_symbol))

    def numbered(self, number: int) -> Record | None:
        return self._numbered.get(number)

    def named(self, client_id: str) -> Iterator[Record]:
        """The orders that had this name, the newest first."""
        return reversed(self._named.get(client_id, []))

    def trades_now(self) -> Iterator[Trade]:
        """The trades of this very instant, the newest first."""
        return takewhile(lambda trade: trade.fill.ts == self.now, reversed(self.trades))

    def _call_for_margin(self) -> None:
        """Tell of positions that came near to their liquidation in this step, once."""
        near = {group for group in margin.groups(self.view) if margin.used_frac(self.view, group) >= CALLED_FRAC}
        for group in sorted(near - self._called):
            self._listener(MarginCalled(self.now, group))
        self._called = near

    # --- what is heard from the engine ------------------------------------------------------------------------

    def _take_down(self, entry: Entry) -> Record:
        record = Record(entry.number, entry.client_id, entry.intent, entry.born, entry.born, fired=entry.fired)
        self._records[entry.intent.client_id] = self._numbered[entry.number] = record
        self._named.setdefault(entry.client_id, []).append(record)
        return record

    def _strike(self, record: Record) -> None:
        """`record` never came to be."""
        self.ledger.strike(record.number)
        del self._records[record.intent.client_id], self._numbered[record.number]
        self._named[record.client_id].remove(record)

    def _hear(self) -> None:
        """Fold what the engine told since the last time."""
        fresh = self.engine.events(self._heard)[self._heard_then :]
        for event in fresh:
            self._fold(
                event
            )  # where the ledger cannot be written this raises before it changes anything, to come again
            self._heard_then = self._heard_then + 1 if event.ts == self._heard else 1
            self._heard = event.ts
        for name, order in self.view.book.orders.items():
            if order.triggered:  # a stop with a limit fires without a word, and rests
                self._fire(self._records[name], self.now)

    def _fold(self, event: Event) -> None:
        match event:
            case OrderChanged():
                self._order_changed(event)
            case Filled():
                self._filled(event.fill)
            case FundingPaid():
                self.account = self.account.with_cash(event.amount)
                self._earn(event.ts, "FUNDING_FEE", event.symbol, event.amount)
                symbols = () if self.view.cross(event.symbol) else (event.symbol,)
                self._listener(AccountTold(event.ts, "FUNDING_FEE", symbols, event.amount))
            case CashMoved():
                self.account = self.account.with_cash(event.amount)
                cleared = event.reason == INSURANCE_CLEAR
                self._earn(event.ts, "INSURANCE_CLEAR" if cleared else "TRANSFER", "", event.amount, event.ref)
                self._listener(AccountTold(event.ts, "INSURANCE_CLEAR" if cleared else "DEPOSIT", (), event.amount))

    def _order_changed(self, event: OrderChanged) -> None:
        record = self._records.get(event.client_id)
        if record is None:
            raise Untrusted(
                f"the engine knows order {event.client_id!r}, the ledger beside it does not: restore the ledger, or"
                " begin with a new file (a session's own venue cannot be served)"
            )
        if event.status is OrderStatus.EXPIRED and event.reason != _STILL_WAITING:
            self._fire(record, event.ts)
        record.status, record.reason, record.updated = event.status, event.reason, event.ts
        if record.is_plain and event.status is not OrderStatus.FILLED:  # its last fill told of that
            execution = "NEW" if event.status is OrderStatus.OPEN else record.plain_status
            self._listener(OrderTold(event.ts, record, execution))
        if record.conditional:
            self._listener(AlgoTold(event.ts, record, record.algo_status))

    def _filled(self, fill: Fill) -> None:
        record = self._records.get(fill.client_id) or self._made_by_venue(fill)
        self._fire(record, fill.ts)
        position, realized = self.account.position(fill.symbol).after(fill)
        self.account = self.account.after(fill)
        self.realized[fill.symbol] = self.realized.get(fill.symbol, ZERO) + realized
        record.filled += fill.quantity
        record.cost += fill.quantity * fill.price
        record.updated = fill.ts
        closed = record.intent.close_position and not position.quantity
        if closed or (not record.intent.close_position and record.filled >= record.intent.quantity):
            record.status = OrderStatus.FILLED
        trade = Trade(record, fill, realized)
        self.trades.append(trade)
        if realized:
            self._earn(fill.ts, "REALIZED_PNL", fill.symbol, realized, trade_id=fill.fill_id)
        self._earn(fill.ts, "COMMISSION", fill.symbol, -fill.fee, trade_id=fill.fill_id)
        self._listener(OrderTold(fill.ts, record, "CALCULATED" if trade.liquidates else "TRADE", trade))
        self._listener(AccountTold(fill.ts, "ORDER", (fill.symbol,)))
        if record.conditional and not record.is_open and not record.intent.close_position:
            self._listener(AlgoTold(fill.ts, record, record.algo_status))

    def _fire(self, record: Record, ts: datetime) -> None:
        """`record`, if it waited for its trigger, did so until `ts`."""
        if record.is_plain:
            return
        self.ledger.fired(record.number, ts)
        record.fired = record.updated = ts
        self._listener(AlgoTold(ts, record, record.algo_status))
        self._listener(OrderTold(ts, record, "NEW"))

    def _made_by_venue(self, fill: Fill) -> Record:
        """The order behind a liquidation: nobody sent it."""
        number = self.ledger.next_number()
        intent = OrderIntent(
            fill.client_id,
            fill.symbol,
            fill.side,
            fill.quantity,
            Role.EXIT,
            OrderType.LIMIT,
            fill.price,
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
        )
        entry = Entry(number, fill.client_id, fill.ts, intent)
        self.ledger.write(entry)
        record = self._take_down(entry)
        record.status = OrderStatus.OPEN
        return record

    def _earn(self, ts: datetime, kind: str, symbol: str, amount: Decimal, info: str = "", trade_id: str = "") -> None:
        self.incomes.append(Income(len(self.incomes) + 1, ts, kind, symbol, amount, info or kind, trade_id))


def _nobody(told: Told) -> None:
    """Hears nothing."""
