"""Between the venue's documents and our values: nothing here asks for anything, and nothing is rounded.

Plain and conditional ("algo") orders are two books with different words for the same things. What the venue says of an
order of either is a `Standing`; a conditional one that fired stands as its child does, the plain order it became.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from qtlib.domain.account import Position
from qtlib.domain.events import START
from qtlib.domain.market import Bar
from qtlib.domain.naming import role_of
from qtlib.domain.orders import ZERO, Fill, OrderIntent, OrderStatus, OrderType, Side, TimeInForce, TriggerBy

Document = Mapping[str, Any]

QUOTE = "USDT"
_PERCENT = Decimal(100)

PLAIN_STATUS = {
    "NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "NEW_INSURANCE": OrderStatus.OPEN,
    "NEW_ADL": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
_ALGO_STATUS = {  # of one that did not fire
    "NEW": OrderStatus.OPEN,
    "TRIGGERING": OrderStatus.OPEN,
    "TRIGGERED": OrderStatus.OPEN,
    "FINISHED": OrderStatus.OPEN,  # its child says more
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.EXPIRED,
    "REJECTED": OrderStatus.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the venue says of one order."""

    client_id: str
    symbol: str
    status: OrderStatus
    ts: datetime  # of the last change
    executed: Decimal = ZERO  # in base
    wanted: Decimal = ZERO  # in base; 0: whatever is held
    order_id: int | None = None  # of the plain order; None: it waits for its trigger
    closes: bool = False  # the whole position, whatever that is

    @property
    def reason(self) -> str:
        unfilled = self.wanted - self.executed
        return f"{unfilled:f} unfilled" if self.status is OrderStatus.EXPIRED and unfilled > 0 else ""


# --- to the venue -----------------------------------------------------------------------------------------


def plain_order(intent: OrderIntent) -> dict[str, str]:
    asked = {
        "symbol": intent.symbol,
        "side": intent.side.value.upper(),
        "type": intent.type.value,
        "quantity": f"{intent.quantity:f}",
        "newClientOrderId": intent.client_id,
        "newOrderRespType": "RESULT",
    }
    if intent.type is OrderType.LIMIT:
        asked |= _limit(intent)
    if intent.reduce_only:
        asked["reduceOnly"] = "true"
    return asked


def algo_order(intent: OrderIntent) -> dict[str, str]:
    asked = {
        "algoType": "CONDITIONAL",
        "symbol": intent.symbol,
        "side": intent.side.value.upper(),
        "type": intent.type.value,
        "workingType": intent.trigger_by.value,
        "clientAlgoId": intent.client_id,
    }
    if intent.close_position:
        asked["closePosition"] = "true"
    else:
        asked["quantity"] = f"{intent.quantity:f}"
    if intent.trigger is not None:
        asked["triggerPrice"] = f"{intent.trigger:f}"
    if intent.type in (OrderType.STOP, OrderType.TAKE_PROFIT):
        asked |= _limit(intent)
    if intent.callback_frac is not None:
        asked["callbackRate"] = f"{(intent.callback_frac * _PERCENT).normalize():f}"
    if intent.activation is not None:
        asked["activatePrice"] = f"{intent.activation:f}"
    if intent.reduce_only:
        asked["reduceOnly"] = "true"
    return asked


def ms_of(ts: datetime) -> int:
    """`ts` in whole milliseconds since 1970."""
    return (ts - START) // timedelta(milliseconds=1)


# --- from the venue ---------------------------------------------------------------------------------------


def ts_of(ms: Any) -> datetime:
    return START + timedelta(milliseconds=int(ms))


def plain_standing(said: Document, client_id: str | None = None) -> Standing:
    """Of a plain order; `client_id` where it is the child of a conditional one."""
    return Standing(
        client_id or str(said["clientOrderId"]),
        said["symbol"],
        PLAIN_STATUS[said["status"]],
        ts_of(said["updateTime"]),
        Decimal(said["executedQty"]),
        Decimal(said["origQty"]),
        int(said["orderId"]),
        bool(said.get("closePosition", False)),
    )


def algo_standing(said: Document) -> Standing:
    """Of a conditional order that did not fire."""
    changed = int(said.get("updateTime") or 0) or int(said["createTime"])
    status = _ALGO_STATUS[said["algoStatus"]]
    return Standing(said["clientAlgoId"], said["symbol"], status, ts_of(changed), wanted=Decimal(said["quantity"]))


def child_of(said: Document) -> int | None:
    """The order id that a conditional order has since it fired."""
    child = str(said.get("actualOrderId") or "")
    return int(child) if child.isdigit() and int(child) else None


def plain_intent(said: Document, client_id: str | None = None) -> OrderIntent:
    """The order as it must have been asked for."""
    name = client_id or str(said["clientOrderId"])
    return OrderIntent(
        name,
        said["symbol"],
        Side[said["side"]],
        Decimal(said["origQty"]),
        role_of(name),
        OrderType(said["type"]),
        _given(said["price"]),
        time_in_force=_time_in_force(said),
        reduce_only=bool(said["reduceOnly"]),
        close_position=bool(said.get("closePosition", False)),
    )


def algo_intent(said: Document) -> OrderIntent:
    name, callback = str(said["clientAlgoId"]), _given(said.get("callbackRate"))
    return OrderIntent(
        name,
        said["symbol"],
        Side[said["side"]],
        Decimal(said["quantity"] or 0),
        role_of(name),
        OrderType(said["orderType"]),
        _given(said["price"]),
        _given(said["triggerPrice"]),
        TriggerBy(said["workingType"]),
        _time_in_force(said),
        bool(said["reduceOnly"]),
        bool(said["closePosition"]),
        None if callback is None else callback / _PERCENT,
        _given(said.get("activatePrice")),
    )


def fill_of(trade: Document, client_id: str) -> Fill:
    """What is paid in another coin than the quote does not leave the wallet that we keep account of."""
    fee = Decimal(trade["commission"]) if trade["commissionAsset"] == QUOTE else ZERO
    return Fill(
        str(trade["id"]),
        client_id,
        trade["symbol"],
        Side[trade["side"]],
        Decimal(trade["qty"]),
        Decimal(trade["price"]),
        fee,
        ts_of(trade["time"]),
        bool(trade["maker"]),
    )


def position_of(said: Document) -> Position:
    return Position(said["symbol"], Decimal(said["positionAmt"]), Decimal(said["entryPrice"]))


def bar_of(row: list[Any]) -> Bar:
    """A row of klines, as the bar that closed at its end."""
    return Bar(ts_of(int(row[6]) + 1), *(float(price) for price in row[1:6]))


# --- below ------------------------------------------------------------------------------------------------


def _limit(intent: OrderIntent) -> dict[str, str]:
    return {"price": f"{intent.price or ZERO:f}", "timeInForce": intent.time_in_force.value}


def _given(text: Any) -> Decimal | None:
    """A price; zero and nothing both mean that there is none."""
    return Decimal(text) if text and Decimal(text) else None


def _time_in_force(said: Document) -> TimeInForce:
    """What is good until a date is kept like what is good until it is cancelled."""
    said_so = said.get("timeInForce")
    return TimeInForce(said_so) if said_so in TimeInForce.__members__ else TimeInForce.GTC
