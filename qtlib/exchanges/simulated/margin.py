"""What positions and orders must be backed with, what is free, and when too little is left.

What an order needs is exact (Decimal), because an order is admitted or not by it. What decides a liquidation follows
a path of float prices, so it is float. In isolated margin a position is backed by its own part of the wallet and by
nothing else; in cross margin by the whole account.
"""

from decimal import ROUND_DOWN, Decimal

from qtlib.domain.account import Position, exact
from qtlib.domain.market import Instrument
from qtlib.domain.orders import ZERO, OrderIntent, Side
from qtlib.exchanges.simulated.book import View, limit_of, reduces
from qtlib.rules.formulas import fee, initial_margin, liquidation_price, maintenance_margin

Brackets = tuple[tuple[float, float, float], ...]  # notional cap, maintenance fraction, cum: an instrument's, as floats


# --- what is free -----------------------------------------------------------------------------------------


def available(view: View) -> Decimal:
    """What new orders may still use, in quote; never below zero."""
    symbols = view.busy()
    if not view.conduct.cross:
        free = view.book.account.cash - sum(view.book.isolated.values(), ZERO)
        return max(ZERO, free - sum((order_margin(view, symbol) for symbol in symbols), ZERO))
    needed = sum((_worst_notional(view, symbol) / view.leverage(symbol) for symbol in symbols), ZERO)
    return max(ZERO, view.book.account.cash + _open_profit(view) - needed)


def position_margin(view: View, symbol: str) -> Decimal:
    """The initial margin of what is held, at the mark price."""
    return initial_margin(view.held(symbol), exact(view.quotes[symbol].mark), view.leverage(symbol))


def order_margin(view: View, symbol: str) -> Decimal:
    """What the resting orders of `symbol` add to the initial margin of what is held, if the worse side all fills."""
    return _worst_notional(view, symbol) / view.leverage(symbol) - position_margin(view, symbol)


def cost(view: View, intent: OrderIntent) -> Decimal:
    """What admitting `intent` uses up: margin, the loss it opens with, a fee. An order that only closes is free."""
    opened = opening(view, intent)
    if not opened:
        return ZERO
    symbol, price, mark = intent.symbol, assumed_price(view, intent), exact(view.quotes[intent.symbol].mark)
    added = _worst_notional(view, symbol, intent) - _worst_notional(view, symbol)
    open_loss = opened * max(ZERO, intent.side.sign * (price - mark))
    taker_fee = fee(opened, price, view.instruments[symbol].taker_fee_frac)
    return added / view.leverage(symbol) + open_loss + taker_fee


def opening(view: View, intent: OrderIntent) -> Decimal:
    """The part of `intent` that would open or add to a position, in base."""
    if reduces(intent):
        return ZERO
    return max(ZERO, intent.quantity - max(ZERO, -intent.side.sign * view.held(intent.symbol)))


def assumed_price(view: View, intent: OrderIntent) -> Decimal:
    """The price at which `intent` is reckoned before it fills: rather too high than too low."""
    quote, limit = view.quotes[intent.symbol], limit_of(intent)
    price = exact(quote.price)
    if intent.side is Side.BUY:
        return limit if limit is not None else price * (1 + exact(view.conduct.long_margin_frac))
    return max(price * (1 + exact(view.conduct.short_margin_frac)), exact(quote.mark), limit or ZERO)


def largest_notional(view: View, symbol: str) -> Decimal:
    """The largest position `symbol`'s brackets allow at its leverage, in quote."""
    leverage = view.leverage(symbol)
    return max((b.notional_cap for b in view.instruments[symbol].brackets if b.max_leverage >= leverage), default=ZERO)


def resulting_notional(view: View, intent: OrderIntent) -> Decimal:
    """The largest position that could come of `intent` and the orders resting beside it, in quote."""
    return _worst_notional(view, intent.symbol, intent)


def affords(
    view: View, position: Position, closed: Decimal, opened: Decimal, price: Decimal, fill_fee: Decimal
) -> bool:
    """Whether a fill at `price` can back what it opens, after `closed` of `position` gave back what backed it."""
    symbol, book = position.symbol, view.book
    sign = 1 if position.quantity > 0 else -1
    realized = sign * closed * (price - position.entry_price)
    if view.conduct.cross:
        mark = exact(view.quotes[symbol].mark)
        held = [position_margin(view, s) for s in book.account.positions]
        free = book.account.cash + _open_profit(view) - sum(held, ZERO)
        freed = initial_margin(closed, mark, view.leverage(symbol)) - sign * closed * (mark - position.entry_price)
    else:
        free = book.account.cash - sum(book.isolated.values(), ZERO)
        freed = released(book.isolated.get(symbol, ZERO), closed, position.quantity)
    return initial_margin(opened, price, view.leverage(symbol)) + fill_fee <= free + freed + realized


def released(wallet: Decimal, closed: Decimal, quantity: Decimal) -> Decimal:
    """The share of an isolated `wallet` that closing `closed` of `quantity` gives back."""
    if not closed:
        return ZERO
    return wallet if closed == abs(quantity) else (wallet * closed / abs(quantity)).quantize(QUANTUM)


def backing(opened: Decimal, price: Decimal, leverage: int) -> Decimal:
    """What moves from the wallet to back a newly opened part of a position; never more than it needs."""
    return initial_margin(opened, price, leverage).quantize(QUANTUM, ROUND_DOWN)


QUANTUM = Decimal("0.00000001")  # the venue keeps account of this much, in quote


# --- what is too little -----------------------------------------------------------------------------------


def float_brackets(instrument: Instrument) -> Brackets:
    return tuple((float(b.notional_cap), float(b.maintenance_frac), float(b.cum)) for b in instrument.brackets)


def maintenance(quantity: float, mark: float, brackets: Brackets) -> float:
    """The maintenance margin of a position at `mark`, by the bracket that holds it there."""
    notional = abs(quantity) * mark
    frac, cum = next((b[1:] for b in brackets if notional <= b[0]), brackets[-1][1:])
    return maintenance_margin(quantity, mark, frac, cum)


def isolated_liquidation_price(wallet: float, quantity: float, entry: float, brackets: Brackets) -> float:
    """The first mark price, going against the position, that liquidates it; 0.0 if there is none.

    Maintenance is the largest of what the brackets ask, so the first of their liquidation prices to be met counts;
    that of the first bracket, where the position stays inside it all the way there.
    """
    cap, frac, cum = brackets[0]
    price = liquidation_price(wallet, quantity, entry, frac, cum)
    if abs(quantity) * max(entry, price) <= cap:
        return price
    prices = [liquidation_price(wallet, quantity, entry, frac, cum) for _, frac, cum in brackets]
    return max(prices) if quantity > 0 else min(prices)


# --- below ------------------------------------------------------------------------------------------------


def _open_profit(view: View) -> Decimal:
    positions = view.book.account.positions.values()
    profit = sum((p.unrealized(exact(view.quotes[p.symbol].mark)) for p in positions), ZERO)
    return profit if view.conduct.profit_backs_orders else min(ZERO, profit)


def _worst_notional(view: View, symbol: str, coming: OrderIntent | None = None) -> Decimal:
    """The larger of the two positions that one side's resting orders, all filled, would make, in quote."""
    notional = view.held(symbol) * exact(view.quotes[symbol].mark)
    bids = asks = ZERO
    resting = [(o.intent, o.remaining) for o in view.orders(symbol) if not o.waiting]
    if coming is not None:
        resting.append((coming, coming.quantity))
    for intent, quantity in resting:
        if reduces(intent):
            continue
        value = quantity * assumed_price(view, intent) if intent is coming else quantity * (intent.price or ZERO)
        if intent.side is Side.BUY:
            bids += value
        else:
            asks += value
    return max(abs(notional + bids), abs(notional - asks))
