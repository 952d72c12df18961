"""From any client's words to the engine's order.

Why an order exists is nobody's business here; its `role` is read off what it does.
"""

from decimal import Decimal
from enum import Enum

from qtlib.domain.orders import ZERO, OrderIntent, OrderType, Role, Side, TimeInForce, TriggerBy
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.market import listed
from qtlib.exchanges.simulated.served.words import Asked, Refusal, malformed

_PERCENT = Decimal(100)
_SELF_TRADE = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")  # all hold: nobody here trades with itself


class _Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


def plain_intent(desk: Desk, asked: Asked) -> OrderIntent:
    symbol, side = listed(desk, asked.needed("symbol")).symbol, side_of(asked)
    kind = asked.choice("type", OrderType, Refusal(-1116, "Invalid orderType."))
    if kind.conditional:
        text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        raise Refusal(-4120, text)
    if kind is OrderType.LIMIT:
        asked.needed("timeInForce")
    elif asked.text("timeInForce") not in (None, TimeInForce.GTC.value):
        raise Refusal(-1106, "Parameter 'timeInForce' sent when not required.")
    asked.needed("quantity")
    reduce_only = asked.flag("reduceOnly")
    return OrderIntent(
        _client_id(desk, asked.text("newClientOrderId")),
        symbol,
        side,
        asked.decimal("quantity") or ZERO,
        Role.EXIT if reduce_only else Role.ENTRY,
        kind,
        asked.decimal("price"),
        time_in_force=_time_in_force(asked),
        reduce_only=reduce_only,
        close_position=asked.flag("closePosition"),
    )


def algo_intent(desk: Desk, asked: Asked) -> OrderIntent:
    symbol, side = listed(desk, asked.needed("symbol")).symbol, side_of(asked)
    asked.needed("algoType")
    asked.only("algoType", ("CONDITIONAL",), "conditional orders are the only algorithm")
    wrong = Refusal(-1116, "Invalid orderType.")
    kind = asked.choice("type", OrderType, wrong)
    if not kind.conditional:
        raise wrong
    asked.only("priceProtect", ("FALSE", "TRUE") if desk.view.conduct.price_protect else ("FALSE",), "off for all")
    close, callback = asked.flag("closePosition"), asked.decimal("callbackRate")
    if not close:
        asked.needed("quantity")
    reduce_only = asked.flag("reduceOnly")
    working = malformed("workingType")
    return OrderIntent(
        _client_id(desk, asked.text("clientAlgoId")),
        symbol,
        side,
        asked.decimal("quantity") or ZERO,
        _role(kind, close, reduce_only),
        kind,
        asked.decimal("price"),
        asked.decimal("triggerPrice"),
        asked.choice("workingType", TriggerBy, working) if asked.text("workingType") else TriggerBy.LAST,
        _time_in_force(asked),
        reduce_only,
        close,
        None if callback is None else callback / _PERCENT,
        asked.decimal("activatePrice"),
    )


def _role(kind: OrderType, close: bool, reduce_only: bool) -> Role:
    if not (close or reduce_only):
        return Role.ENTRY
    if kind in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_MARKET):
        return Role.TAKE_PROFIT
    return Role.NET_STOP if close else Role.STOP_LOSS


def side_of(asked: Asked) -> Side:
    if asked.text("positionSide") not in (None, "BOTH"):
        raise Refusal(-4061, "Order's position side does not match user's setting.")
    if asked.text("priceMatch") not in (None, "NONE"):
        raise Refusal(-5037, "Invalid price match")
    if asked.text("selfTradePreventionMode") not in (None, *_SELF_TRADE):
        raise Refusal(-5039, "Invalid self trade prevention mode")
    return Side[asked.choice("side", _Side, Refusal(-1117, "Invalid side.")).name]


def _time_in_force(asked: Asked) -> TimeInForce:
    if not asked.text("timeInForce"):
        return TimeInForce.GTC
    return asked.choice("timeInForce", TimeInForce, Refusal(-1115, "Invalid timeInForce."))


def _client_id(desk: Desk, sent: str | None) -> str:
    return sent or f"web_{desk.ledger.next_number()}"
