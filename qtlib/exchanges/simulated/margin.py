"""What positions and orders must be backed with, what is free, and when too little is left.

What an order needs is exact (Decimal), because an order is admitted or not by it. What decides a liquidation follows
a path of float prices, so it is float. In isolated margin a position is backed by its own part of the wallet and by
nothing else; in cross margin by the rest of the account, together with all that are crossed.
"""

from decimal import ROUND_DOWN, Decimal

from qtlib.domain.account import Position, exact
from qtlib.domain.market import Instrument
from qtlib.domain.orders import ZERO, OrderIntent, Side
from qtlib.exchanges.simulated.book import Brackets, View, limit_of, reduces
from qtlib.rules.formulas import fee, initial_margin, liquidation_price, maintenance_margin

# --- what is free -----------------------------------------------------------------------------------------


def available(view: View) -> Decimal:
    """What new orders may still use, in quote; never below zero."""
    needed = ZERO
    for symbol in view.busy():
        crossed = view.cross(symbol)  # else what is held has been paid for already
        needed += _worst_notional(view, symbol) / view.leverage(symbol) if crossed else order_margin(view, symbol)
    return max(ZERO, crossed_wallet(view) + _open_profit(view) - needed)


def crossed_wallet(view: View) -> Decimal:
    """What backs no position by itself, in quote."""
    return view.book.account.cash - sum(view.book.isolated.values(), ZERO)


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
    symbol, sign = position.symbol, 1 if position.quantity > 0 else -1
    realized = sign * closed * (price - position.entry_price)
    held = (position_margin(view, s) for s in view.book.account.positions if view.cross(s))
    free = crossed_wallet(view) + _open_profit(view) - sum(held, ZERO)
    if view.cross(symbol):
        mark = exact(view.quotes[symbol].mark)
        freed = initial_margin(closed, mark, view.leverage(symbol)) - sign * closed * (mark - position.entry_price)
    else:
        freed = released(view.book.isolated.get(symbol, ZERO), closed, position.quantity)
    return initial_margin(opened, price, view.leverage(symbol)) + fill_fee <= free + freed + realized


def removable(view: View, symbol: str) -> Decimal:
    """What may be taken from what backs the isolated position in `symbol`: open profit stays, initial margin too."""
    position = view.book.account.position(symbol)
    loss = min(ZERO, position.unrealized(exact(view.quotes[symbol].mark)))
    return max(ZERO, view.book.isolated[symbol] + loss - position_margin(view, symbol))


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


def groups(view: View) -> list[tuple[str, ...]]:
    """The positions that stand and fall together: each for itself, or all that are crossed."""
    held = view.book.account.positions
    together = tuple(symbol for symbol in held if view.cross(symbol))
    alone: list[tuple[str, ...]] = [(symbol,) for symbol in held if not view.cross(symbol)]
    return [*alone, together] if together else alone


def backing_of(view: View, group: tuple[str, ...]) -> Decimal:
    """The part of the wallet that is there for `group`."""
    return crossed_wallet(view) if view.cross(group[0]) else view.book.isolated[group[0]]


def used_frac(view: View, group: tuple[str, ...]) -> float:
    """The share of all that backs `group` that its maintenance margin asks for: at 1 it is liquidated."""
    backed, needed = float(backing_of(view, group)), 0.0
    for symbol in group:
        position, mark = view.book.account.position(symbol), view.quotes[symbol].mark
        backed += float(position.unrealized(exact(mark)))
        needed += maintenance(float(position.quantity), mark, view.brackets[symbol])
    return needed / backed if backed > 0 else 1.0


# --- below ------------------------------------------------------------------------------------------------


def _open_profit(view: View) -> Decimal:
    """Of all that is crossed, as far as orders may count on it."""
    positions = (p for symbol, p in view.book.account.positions.items() if view.cross(symbol))
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
