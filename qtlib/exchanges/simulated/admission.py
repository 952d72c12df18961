"""Whether the venue takes an order, and in which of its words it says no.

Every check is a function `(intent, view) -> Rejection | None`; `admit` asks them in the venue's own order, and the
first that objects decides. Nothing here changes anything. An order that only reduces is never refused for margin,
size of position or smallness. Codes and texts are the venue's, because clients act on them.
"""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NamedTuple

from qtlib.domain.account import exact
from qtlib.domain.orders import ZERO, OrderIntent, OrderType, Side, TimeInForce, TriggerBy
from qtlib.domain.values import changed
from qtlib.exchanges.simulated import margin
from qtlib.exchanges.simulated.book import View, fires_upward, limit_of, reduces
from qtlib.rules.formulas import taker_price

_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_CLOSERS = (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET)
_CALLBACK_RANGE = (Decimal("0.001"), Decimal("0.1"))


class Rejection(NamedTuple):
    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


def admit(intent: OrderIntent, view: View) -> Rejection | None:
    """The first objection to `intent` as a new order; None takes it on."""
    rejection = _first(_AT_ENTRY, intent, view)
    if rejection or intent.type.conditional:  # which is asked the rest when it fires
        return rejection
    return _first(_AT_TRIGGER, intent, view)


def admit_triggered(intent: OrderIntent, view: View) -> Rejection | None:
    """The first objection to `intent` at the instant its trigger fires: what was not asked while it only waited."""
    return _first(_AT_TRIGGER, intent, view)


def admit_amended(intent: OrderIntent, filled: Decimal, view: View) -> Rejection | None:
    """The first objection to a resting order as `intent`, `filled` of which is done; `view` is without that order."""
    rest = changed(intent, quantity=intent.quantity - filled)
    return _first(_OF_ITS_NUMBERS, intent, view) or _first(_OF_WHAT_RESTS, rest, view)


def takes(intent: OrderIntent, price: float) -> bool:
    """Whether `intent` would trade at once where `price` is to be had."""
    limit = limit_of(intent)
    return limit is None or intent.side.sign * (float(limit) - price) >= 0


# --- what it is -------------------------------------------------------------------------------------------


def symbol_known(intent: OrderIntent, view: View) -> Rejection | None:
    if intent.symbol not in view.instruments:
        return Rejection(-1121, "Invalid symbol.")
    if intent.symbol not in view.quotes:  # listed, and not yet traded
        return Rejection(-4140, "Invalid symbol status for opening position.")
    if intent.symbol in view.suspended:
        return Rejection(-4108, "Symbol is on delivering or delivered or settling or closed or pre-trading.")
    return None


def parameters_fit(intent: OrderIntent, view: View) -> Rejection | None:
    trailing, priced = intent.type is OrderType.TRAILING_STOP_MARKET, intent.type.priced
    triggered = intent.type.conditional and not trailing
    given = (intent.price is not None, intent.trigger is not None, intent.callback_frac is not None)
    if given == (priced, triggered, False) and not trailing and intent.activation is None:  # as nearly all are
        return None
    for name, value, needed in (
        ("price", intent.price, priced),
        ("triggerPrice", intent.trigger, triggered),
        ("callbackRate", intent.callback_frac, trailing),
    ):
        if needed and value is None:
            return Rejection(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        if value is not None and not needed:
            return Rejection(-1106, f"Parameter '{name}' sent when not required.")
    if intent.activation is not None and not trailing:
        return Rejection(-1106, "Parameter 'activatePrice' sent when not required.")
    if intent.callback_frac is not None and not _CALLBACK_RANGE[0] <= intent.callback_frac <= _CALLBACK_RANGE[1]:
        return Rejection(-1130, "Data sent for parameter 'callbackRate' is not valid.")
    return None


def closes_properly(intent: OrderIntent, view: View) -> Rejection | None:
    if not intent.close_position:
        return _beside_close_position(intent, view)
    if intent.type not in _CLOSERS:
        return Rejection(-4136, f"Target strategy invalid for orderType '{intent.type.value}',closePosition 'true'")
    if intent.quantity:
        return Rejection(-4137, "Quantity must be zero with closePosition equals true.")
    if intent.reduce_only:
        return Rejection(-4138, "Reduce only must not be sent with closePosition equals true.")
    for other in view.orders(intent.symbol):
        twin = other.intent.close_position and (other.intent.type, other.intent.side) == (intent.type, intent.side)
        beside = other.intent.reduce_only and other.waiting and other.intent.side is intent.side
        if twin or (beside and not view.conduct.close_position_beside_reduce_only):
            return _ALREADY_CLOSING
    return None


def client_id_fits(intent: OrderIntent, view: View) -> Rejection | None:
    if _CLIENT_ID.fullmatch(intent.client_id):
        return None
    if len(intent.client_id) > 36:
        return Rejection(-4015, "Client order id length should be less than 36 chars.")
    return Rejection(-4015, "Client order id is not valid.")


# --- its numbers ------------------------------------------------------------------------------------------


def quantity_fits(intent: OrderIntent, view: View) -> Rejection | None:
    if intent.close_position:
        return None
    instrument, quantity = view.instruments[intent.symbol], intent.quantity
    market = limit_of(intent) is None
    if quantity <= 0:
        return Rejection(-4003, "Quantity less than or equal to zero.")
    if quantity > (instrument.max_market_quantity if market else instrument.max_quantity):
        return Rejection(-4005, "Quantity greater than max quantity.")
    if quantity % instrument.lot:
        too_precise = _too_precise(quantity, instrument.lot)
        return _PRECISION if too_precise else Rejection(-4023, "Qty not increased by step size.")
    return None


def prices_fit(intent: OrderIntent, view: View) -> Rejection | None:
    tick = view.instruments[intent.symbol].tick
    for price in (intent.price, intent.trigger, intent.activation):
        if price is None:
            continue
        if price <= 0:
            return Rejection(-4001, "Price less than 0.")
        if price % tick:
            too_precise = _too_precise(price, tick)
            return _PRECISION if too_precise else Rejection(-4014, "Price not increased by tick size.")
    return None


def price_near_mark(intent: OrderIntent, view: View) -> Rejection | None:
    if intent.price is None or intent.type is not OrderType.LIMIT:
        return None
    mark, band = exact(view.quotes[intent.symbol].mark), view.instruments[intent.symbol].price_band_frac
    if intent.side is Side.BUY and intent.price > mark * (1 + band):
        return Rejection(-4016, f"Limit price can't be higher than {mark * (1 + band):f}.")
    if intent.side is Side.SELL and intent.price < mark * (1 - band):
        return Rejection(-4024, f"Limit price can't be lower than {mark * (1 - band):f}.")
    return None


def large_enough(intent: OrderIntent, view: View) -> Rejection | None:
    if reduces(intent):
        return None
    least = view.instruments[intent.symbol].min_notional
    if intent.quantity * (intent.price or intent.trigger or exact(view.quotes[intent.symbol].mark)) >= least:
        return None
    return Rejection(-4164, f"Order's notional must be no smaller than {least:f} (unless you choose reduce only).")


# --- its place in the account -----------------------------------------------------------------------------


def something_to_reduce(intent: OrderIntent, view: View) -> Rejection | None:
    if reduces(intent) and not view.wanted(intent):
        return Rejection(-2022, "ReduceOnly Order is rejected.")
    return None


def books_have_room(intent: OrderIntent, view: View) -> Rejection | None:
    if intent.type.conditional:
        waiting = sum(order.waiting for order in view.book.orders.values())
        return (
            None if waiting < view.conduct.max_conditional_orders else Rejection(-4045, "Reach max stop order limit.")
        )
    resting = sum(not order.waiting for order in view.orders(intent.symbol))
    return None if resting < view.conduct.max_orders else Rejection(-2025, "Reach max open order limit.")


def trigger_lies_ahead(intent: OrderIntent, view: View) -> Rejection | None:
    if intent.trigger is not None:
        level, upward = intent.trigger, fires_upward(intent)
    elif intent.activation is not None:  # a trailing sell wakes above the price, a trailing buy below
        level, upward = intent.activation, intent.side is Side.SELL
    else:
        return None
    quote = view.quotes[intent.symbol]
    price = exact(quote.mark if intent.trigger_by is TriggerBy.MARK else quote.price)
    met = price >= level if upward else price <= level
    return Rejection(-2021, "Order would immediately trigger.") if met else None


def within_brackets(intent: OrderIntent, view: View) -> Rejection | None:
    if not margin.opening(view, intent):
        return None
    if margin.resulting_notional(view, intent) > margin.largest_notional(view, intent.symbol):
        return Rejection(-2027, "Exceeded the maximum allowable position at current leverage.")
    return None


def margin_suffices(intent: OrderIntent, view: View) -> Rejection | None:
    cost = margin.cost(view, intent)
    return MARGIN_INSUFFICIENT if cost and cost > margin.available(view) else None


# --- what it would do at once -----------------------------------------------------------------------------


def feasible(intent: OrderIntent, view: View) -> Rejection | None:
    quote = view.quotes[intent.symbol]
    if limit_of(intent) is None:
        met = taker_price(quote.price, intent.side.sign, view.conduct.slippage_frac)
        bound = taker_price(quote.mark, intent.side.sign, float(view.instruments[intent.symbol].price_band_frac))
        if intent.side.sign * (met - bound) > 0:
            return Rejection(-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit.")
        return None
    at_once = takes(intent, quote.price)
    if intent.time_in_force is TimeInForce.GTX and at_once and view.conduct.gtx_refused_at_once:
        return POST_ONLY_REFUSED
    if intent.time_in_force is TimeInForce.FOK and not (at_once and view.at_hand(intent.symbol) >= view.wanted(intent)):
        return Rejection(-5021, "Due to the order could not be filled immediately, the FOK order has been rejected.")
    return None


# --- below ------------------------------------------------------------------------------------------------

MARGIN_INSUFFICIENT = Rejection(-2019, "Margin is insufficient.")
POST_ONLY_REFUSED = Rejection(
    -5022, "Due to the order could not be executed as maker, the Post Only order will be rejected."
)
_PRECISION = Rejection(-1111, "Precision is over the maximum defined for this asset.")
_ALREADY_CLOSING = Rejection(
    -4130, "An open stop or take profit order with GTE and closePosition in the direction is existing."
)

Check = Callable[[OrderIntent, View], Rejection | None]


_AT_TRIGGER: tuple[Check, ...] = (within_brackets, margin_suffices, feasible)
_OF_ITS_NUMBERS: tuple[Check, ...] = (quantity_fits, prices_fit, price_near_mark, large_enough)
_OF_WHAT_RESTS: tuple[Check, ...] = (something_to_reduce, within_brackets, margin_suffices)
_AT_ENTRY: tuple[Check, ...] = (
    symbol_known,
    parameters_fit,
    closes_properly,
    client_id_fits,
    quantity_fits,
    prices_fit,
    price_near_mark,
    large_enough,
    something_to_reduce,
    books_have_room,
    trigger_lies_ahead,
)


def _first(checks: Iterable[Check], intent: OrderIntent, view: View) -> Rejection | None:
    for check in checks:
        rejection = check(intent, view)
        if rejection:
            return rejection
    return None


def _beside_close_position(intent: OrderIntent, view: View) -> Rejection | None:
    if view.conduct.close_position_beside_reduce_only or not (intent.reduce_only and intent.type.conditional):
        return None
    closing = any(o.intent.close_position and o.intent.side is intent.side for o in view.orders(intent.symbol))
    return _ALREADY_CLOSING if closing else None


def _too_precise(value: Decimal, step: Decimal) -> bool:
    """More decimals than `step` is written with."""
    exponent = step.as_tuple().exponent
    return isinstance(exponent, int) and value % Decimal(1).scaleb(min(exponent, 0)) != ZERO
