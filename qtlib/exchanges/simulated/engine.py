"""What becomes of orders, positions and cash inside the simulated venue, on the way from one step to the next.

Along the way through a bar triggers, limits, trailing stops and liquidation are met in the order in which they lie,
so no favourable end of a bar can hide what happened before it. Taking costs slippage and the taker's fee and never
more than a share of the bar's volume; resting limits fill at their own price.

Account and fills are exact; paths are floats. Nothing here reads a clock or throws dice that are not seeded, and
nothing is kept: what happened is told, and the venue keeps it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from qtlib.domain.account import Account, exact
from qtlib.domain.events import (
    INSURANCE_CLEAR,
    CashMoved,
    Event,
    Filled,
    FundingPaid,
    OrderChanged,
)
from qtlib.domain.market import Instrument, Step
from qtlib.domain.orders import (
    ZERO,
    Fill,
    OrderIntent,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    TriggerBy,
)
from qtlib.domain.values import changed
from qtlib.exchanges.simulated import margin, matching
from qtlib.exchanges.simulated.admission import (
    MARGIN_INSUFFICIENT,
    POST_ONLY_REFUSED,
    admit,
    admit_triggered,
    takes,
)
from qtlib.exchanges.simulated.book import Book, Quote, Resting, View, limit_of, reduces
from qtlib.exchanges.simulated.conduct import Conduct
from qtlib.exchanges.simulated.prospect import happenings
from qtlib.exchanges.simulated.store import Clock
from qtlib.exchanges.simulated.way import Way
from qtlib.rules.formulas import bankruptcy_price, fee, funding_payment, taker_price


class MatchingEngine:
    """Orders meet prices. What came of it stays among what is fresh until the venue has kept it."""

    def __init__(self, instruments: Mapping[str, Instrument], conduct: Conduct) -> None:
        for instrument in instruments.values():
            _check_leverage(instrument, conduct.leverage)
        self.instruments, self.conduct = dict(instruments), conduct
        self._brackets = {symbol: margin.float_brackets(i) for symbol, i in instruments.items()}
        self._suspended: set[str] = set()
        self._fresh: list[Event] = []  # told in this call, not yet kept
        self._changed = False  # whether the book is not what was kept
        self._stand(Clock(), Book())

    def _stand(self, clock: Clock, book: Book) -> None:
        self._clock, self._book = clock, book
        self.view = View(self.instruments, self.conduct, book, clock.quotes, self._brackets, self._suspended)

    def _tell(self, event: Event) -> None:
        self._fresh.append(event)
        self._changed = True

    def leverage(self, symbol: str) -> int:
        return self._book.leverage.get(symbol, self.conduct.leverage)

    def crossed(self, symbol: str) -> bool:
        return self._book.crossed.get(symbol, self.conduct.cross)

    @property
    def now(self) -> datetime:
        return self._clock.now

    @property
    def account(self) -> Account:
        return self._book.account

    # --- orders ---------------------------------------------------------------------------------------------

    def _submit(self, intent: OrderIntent) -> None:
        rejection = admit(intent, self.view)
        if rejection:
            self._tell(OrderChanged(self.now, intent.client_id, OrderStatus.REJECTED, str(rejection)))
            return
        quote = self._clock.quotes[intent.symbol]
        trailing = intent.type is OrderType.TRAILING_STOP_MARKET and intent.activation is None
        extreme = (quote.mark if intent.trigger_by is TriggerBy.MARK else quote.price) if trailing else None
        self._book.orders_taken += 1
        order = Resting(intent, self._book.orders_taken, extreme=extreme)
        self._put(order)
        self._tell(OrderChanged(self.now, intent.client_id, OrderStatus.OPEN))
        if not order.waiting:
            self._meet_market(order, quote.price)

    def _meet_market(self, order: Resting, reference: float) -> None:
        """`order`, newly among the plain ones, takes what it can at `reference`; what may not rest expires."""
        intent = order.intent
        if takes(intent, reference):
            if intent.time_in_force is TimeInForce.GTX and limit_of(intent) is not None:
                self._end(intent.client_id, OrderStatus.EXPIRED, str(POST_ONLY_REFUSED))
                return
            self._take(order, reference)
        left = self._book.orders.get(intent.client_id)
        rests = limit_of(intent) is not None and intent.time_in_force in (TimeInForce.GTC, TimeInForce.GTX)
        if left and not rests:
            self._end(
                intent.client_id,
                OrderStatus.EXPIRED,
                f"{self.view.wanted(intent, left.filled):f} unfilled: no more at hand",
            )

    def _fire(self, order: Resting, reference: float) -> None:
        """The trigger of `order` is met: it becomes a plain order, at `reference`, unless the venue objects now."""
        intent, quote = order.intent, self._clock.quotes[order.intent.symbol]
        apart = abs(quote.mark - quote.price) / quote.mark
        if self.conduct.price_protect and apart > float(self.instruments[intent.symbol].price_band_frac):
            reason = f"price protection: last {quote.price:g} is {apart:.1%} from mark {quote.mark:g}"
            self._end(intent.client_id, OrderStatus.REJECTED, reason)
        elif rejection := admit_triggered(intent, self.view):
            self._end(intent.client_id, OrderStatus.REJECTED, str(rejection))
        else:
            order = changed(order, triggered=True)
            self._put(order)
            self._meet_market(order, reference)

    def _take(self, order: Resting, reference: float) -> None:
        """`order` takes what is at hand at `reference`, with slippage, in whole ticks against it, within its limit."""
        intent, instrument = order.intent, self.instruments[order.intent.symbol]
        raw = taker_price(reference, intent.side.sign, self._slippage_frac())
        price = _rounded_against(intent.side, raw, instrument)
        limit = limit_of(intent)
        if limit is not None:
            price = min(price, limit) if intent.side is Side.BUY else max(price, limit)
        self._fill(order, price, maker=False)

    def _fill(self, order: Resting, price: Decimal, maker: bool) -> None:
        """`order` trades at `price` what it wants, what is at hand, and what its account can back."""
        intent, instrument, view = order.intent, self.instruments[order.intent.symbol], self.view
        fee_frac = instrument.maker_fee_frac if maker else instrument.taker_fee_frac
        position = self.account.position(intent.symbol)
        quantity = min(view.wanted(intent, order.filled), view.at_hand(intent.symbol))
        closed = min(quantity, max(ZERO, -intent.side.sign * position.quantity))
        backed = quantity == closed or margin.affords(
            view, position, closed, quantity - closed, price, fee(quantity, price, fee_frac)
        )
        quantity = quantity if backed else closed
        if quantity:
            self._clock.quotes[intent.symbol].taken += float(quantity)
            order = changed(order, filled=order.filled + quantity)
            self._put(order)
            paid = fee(quantity, price, fee_frac).quantize(margin.QUANTUM)
            self._book_fill(intent.client_id, intent.symbol, intent.side, quantity, price, paid, maker)
            done = not self.view.held(intent.symbol) if intent.close_position else not order.remaining
            if done:
                del self._book.orders[intent.client_id]
            if (
                done and intent.close_position
            ):  # its quantity was not known before: a fill does not show that it is done
                self._tell(OrderChanged(self.now, intent.client_id, OrderStatus.FILLED))
        if not backed:
            self._end(intent.client_id, OrderStatus.EXPIRED, str(MARGIN_INSUFFICIENT))
        self._cover_shortfall(self._floor())
        self._release_reducers(intent.symbol)

    def _release_reducers(self, symbol: str) -> None:
        """Orders of `symbol` that have nothing left to reduce expire."""
        for order in list(self.view.orders(symbol)):
            if reduces(order.intent) and not self.view.wanted(order.intent, order.filled):
                self._end(order.intent.client_id, OrderStatus.EXPIRED, "nothing left to reduce")

    def _put(self, order: Resting) -> None:
        self._book.orders[order.intent.client_id] = order
        self._changed = True

    def _end(self, client_id: str, status: OrderStatus, reason: str = "") -> None:
        if self._book.orders.pop(client_id, None):
            self._tell(OrderChanged(self.now, client_id, status, reason))

    def _slippage_frac(self) -> float:
        return self.conduct.slippage_of(self._book.fills_made)

    # --- the account ----------------------------------------------------------------------------------------

    def _book_fill(
        self, client_id: str, symbol: str, side: Side, quantity: Decimal, price: Decimal, paid: Decimal, maker: bool
    ) -> None:
        before = self.account.position(symbol).quantity
        self._book.fills_made += 1
        fill = Fill(str(self._book.fills_made), client_id, symbol, side, quantity, price, paid, self.now, maker)
        self._book.account = self.account.after(fill)
        self._tell(Filled(self.now, fill))
        if self.crossed(symbol):
            return
        closed = min(quantity, max(ZERO, -side.sign * before))
        wallet = self._book.isolated.pop(symbol, ZERO)
        wallet -= margin.released(wallet, closed, before) if closed else ZERO
        wallet += margin.backing(quantity - closed, price, self.leverage(symbol))
        if self.view.held(symbol):
            self._book.isolated[symbol] = wallet

    def _cover_shortfall(self, floor: Decimal) -> None:
        """Cash below `floor` is a loss that was not the account's to bear: the insurance fund makes it good."""
        if self.account.cash < floor:
            missing = floor - self.account.cash
            self._book.clearances += 1
            self._move_cash(self.now, missing, INSURANCE_CLEAR, f"insurance-{self._book.clearances}")

    def _floor(self) -> Decimal:
        """What cash cannot fall below: what backs the other positions, or, with nothing open, zero."""
        if any(map(self.crossed, self.account.positions)):
            return -Decimal("Infinity")  # a cross wallet may be negative while open profit carries it
        return sum(self._book.isolated.values(), ZERO)

    def _move_cash(self, ts: datetime, amount: Decimal, reason: str, ref: str) -> None:
        self._book.account = self.account.with_cash(amount)
        self._tell(CashMoved(ts, amount, reason, ref))

    def _settle_funding(self, step: Step) -> None:
        for symbol, position in self.account.positions.items():
            rate = step.funding.get(symbol)
            if not rate:
                continue
            bar = step.marks.get(symbol) or step.bars.get(symbol)
            mark = exact(bar.close if bar else self._clock.quotes[symbol].mark)
            amount = funding_payment(position.quantity, mark, exact(rate)).quantize(margin.QUANTUM)
            self._book.account = self.account.with_cash(amount)
            self._tell(FundingPaid(step.ts, symbol, amount, rate))
            if not self.crossed(symbol):
                self._book.isolated[symbol] = max(ZERO, self._book.isolated[symbol] + amount)
        self._cover_shortfall(self._floor())

    # --- the way through a step -----------------------------------------------------------------------------

    def _walk(self, step: Step, symbols: Iterable[str]) -> None:
        """Everything that happens on the way through `step`, in the order in which it lies there."""
        ways = {}
        for symbol in symbols:
            bar = step.bars.get(symbol)
            if bar is not None:
                ways[symbol] = Way.through(bar, step.marks.get(symbol, bar), self.view.held(symbol) < 0)
                self._clock.quotes[symbol].volume = bar.volume
        instant, spent = 0.0, set[str]()  # spent: limits that found no more volume in this step
        while (happening := min(happenings(self.view, ways, instant, spent), default=None)) is not None:
            instant = happening.instant
            for symbol, way in ways.items():
                quote = self._clock.quotes[symbol]
                quote.price, quote.mark = matching.price_at(way.last, instant), matching.price_at(way.mark, instant)
            if happening.liquidates:
                self._liquidate(happening.liquidates)
                continue
            order = self._book.orders[happening.client_id]
            if order.waiting:
                self._fire(order, happening.price)
            else:
                self._fill(order, order.intent.price or ZERO, maker=True)
                spent.add(happening.client_id)
        self._follow_trails(ways)

    def _follow_trails(self, ways: Mapping[str, Way]) -> None:
        for order in list(self._book.orders.values()):
            way = ways.get(order.intent.symbol)
            if way and order.waiting and order.intent.type is OrderType.TRAILING_STOP_MARKET:
                extreme = way.trail(order).extreme
                if extreme != order.extreme:
                    self._put(changed(order, extreme=extreme))

    def _stand_after(self, step: Step) -> None:
        """Prices as they are once `step` is over, and how much there is to take until the next."""
        quotes, marks, nexts = self._clock.quotes, step.marks, step.nexts
        for symbol, bar in step.bars.items():
            price = nexts.get(symbol, bar.close)
            mark = marks.get(symbol)
            if mark is None and symbol not in self._book.unmarked:
                self._book.unmarked.append(symbol)
                self._changed = True
            quote = quotes.get(symbol) or quotes.setdefault(symbol, Quote(price, price))
            quote.price, quote.mark = price, (price if mark is None else mark.close)
            quote.volume, quote.taken = bar.volume, 0.0
        if len(step.bars) < len(quotes):
            for symbol, quote in quotes.items():
                if symbol not in step.bars:
                    quote.volume = quote.taken = 0.0

    # --- liquidation ----------------------------------------------------------------------------------------

    def _liquidate(self, group: tuple[str, ...]) -> None:
        """Orders go, then positions, at the worse of bankruptcy price and market; the wallet bears what it can."""
        crossed, quotes = self.crossed(group[0]), self._clock.quotes
        backing = margin.backing_of(self.view, group)
        floor = self.account.cash - backing
        positions = [self.account.positions[symbol] for symbol in group]
        balance = float(backing) + sum(float(p.unrealized(exact(quotes[p.symbol].mark))) for p in positions)
        gross = sum(abs(float(p.quantity)) * quotes[p.symbol].mark for p in positions)
        for client_id, order in list(self._book.orders.items()):
            if order.intent.symbol in group or (crossed and self.crossed(order.intent.symbol)):
                self._end(client_id, OrderStatus.CANCELED, "liquidation")
        for position in positions:
            symbol, side = position.symbol, Side.of(-position.quantity)
            instrument, quote = self.instruments[symbol], quotes[symbol]
            bankrupt = bankruptcy_price(quote.mark, -side.sign, balance / gross)
            market = taker_price(quote.price, side.sign, self._slippage_frac())
            worse = max(bankrupt, market) if side is Side.BUY else min(bankrupt, market)
            price, quantity = _rounded_against(side, worse, instrument), abs(position.quantity)
            client_id = f"autoclose-{symbol}-{self._book.fills_made + 1}"
            paid = fee(quantity, price, instrument.liquidation_fee_frac).quantize(margin.QUANTUM)
            self._book_fill(client_id, symbol, side, quantity, price, paid, maker=False)
        self._cover_shortfall(floor)


# --- below ------------------------------------------------------------------------------------------------


def _rounded_against(side: Side, raw: float, instrument: Instrument) -> Decimal:
    """`raw` in whole ticks, to the side that costs more; never below one tick."""
    return max(instrument.tick, instrument.price(raw, "up" if side is Side.BUY else "down"))


def _check_leverage(instrument: Instrument, leverage: int) -> None:
    highest = instrument.brackets[0].max_leverage
    if leverage > highest:
        raise ValueError(f"leverage {leverage} is more than {instrument.symbol} allows ({highest})")
