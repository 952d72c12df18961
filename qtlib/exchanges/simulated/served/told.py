"""What the venue says of an order: plain or conditional, just placed or looked for."""

from datetime import datetime
from decimal import Decimal

from qtlib.domain.market import Instrument
from qtlib.domain.orders import ZERO
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.records import Record
from qtlib.exchanges.simulated.served.words import Document, in_steps, ms_of

_PERCENT = Decimal(100)


def placed(desk: Desk, r: Record) -> Document:
    """The reply to placing and cancelling: without average price and turnover, which the venue no longer tells here."""
    return {**_told(desk, r), "cumQty": in_steps(r.filled, _instrument(desk, r).lot)}


def found(desk: Desk, r: Record) -> Document:
    """The reply to looking for it."""
    return {
        **_told(desk, r),
        "avgPrice": _average(desk, r),
        "cumQuote": f"{r.cost:f}",
        "time": ms_of(plain_since(r)),
    }


def waiting(desk: Desk, r: Record) -> Document:
    """The reply to placing a conditional order."""
    i = _instrument(desk, r)
    return {
        "algoId": r.algo_id,
        "clientAlgoId": r.client_id,
        "algoType": "CONDITIONAL",
        "orderType": r.intent.type.value,
        "symbol": r.intent.symbol,
        "side": r.intent.side.value.upper(),
        "positionSide": "BOTH",
        "timeInForce": r.intent.time_in_force.value,
        "quantity": in_steps(r.intent.quantity, i.lot),
        "algoStatus": r.algo_status,
        "triggerPrice": in_steps(r.intent.trigger or ZERO, i.tick),
        "price": in_steps(r.intent.price or ZERO, i.tick),
        "icebergQuantity": None,
        "selfTradePreventionMode": "NONE",
        "workingType": r.intent.trigger_by.value,
        "priceMatch": "NONE",
        "closePosition": r.intent.close_position,
        "priceProtect": desk.view.conduct.price_protect,
        "reduceOnly": r.intent.reduce_only,
        "activatePrice": "" if r.intent.activation is None else in_steps(r.intent.activation, i.tick),
        "callbackRate": ""
        if r.intent.callback_frac is None
        else f"{(r.intent.callback_frac * _PERCENT).normalize():f}",
        "createTime": ms_of(r.born),
        "updateTime": ms_of(r.updated),
        "triggerTime": 0 if r.fired is None else ms_of(r.fired),
        "goodTillDate": 0,
    }


def fired(desk: Desk, r: Record) -> Document:
    """The reply to looking for a conditional order: with what became of it."""
    i = _instrument(desk, r)
    return {
        **waiting(desk, r),
        "actualOrderId": "" if r.fired is None else str(r.number),
        "actualPrice": _average(desk, r),
        "actualType": "" if r.fired is None else r.plain_type.value,
        "actualQty": in_steps(r.filled, i.lot),
    }


# --- below ------------------------------------------------------------------------------------------------


def _told(desk: Desk, r: Record) -> Document:
    i = _instrument(desk, r)
    return {
        "orderId": r.number,
        "symbol": r.intent.symbol,
        "status": r.plain_status,
        "clientOrderId": r.client_id,
        "price": in_steps(r.intent.price or ZERO, i.tick),
        "origQty": in_steps(r.quantity, i.lot),
        "executedQty": in_steps(r.filled, i.lot),
        "timeInForce": r.intent.time_in_force.value,
        "type": r.plain_type.value,
        "reduceOnly": r.intent.reduce_only,
        "closePosition": r.intent.close_position,
        "side": r.intent.side.value.upper(),
        "positionSide": "BOTH",
        "stopPrice": in_steps(r.intent.trigger or ZERO, i.tick),
        "workingType": r.intent.trigger_by.value,
        "priceProtect": desk.view.conduct.price_protect,
        "origType": r.intent.type.value,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "updateTime": ms_of(r.updated),
    }


def _average(desk: Desk, r: Record) -> str:
    """Of several fills, finer than a tick."""
    return in_steps(r.average, _instrument(desk, r).tick / 1000)


def _instrument(desk: Desk, r: Record) -> Instrument:
    return desk.view.instruments[r.intent.symbol]


def plain_since(r: Record) -> datetime:
    return r.fired or r.born
