"""From any client's order to the engine's, and back to what the venue says of it.

Plain and conditional ("algo") orders are two books with ids, endpoints and lists of their own. A conditional order
that fires goes on as a plain one: its `actualOrderId` is that order's `orderId`, and the client's name is on both.
Why an order exists is nobody's business here; its `role` is read off what it does.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from qtlib.domain.market import Instrument
from qtlib.domain.orders import ZERO, OrderIntent, OrderType, Role, Side, TimeInForce, TriggerBy
from qtlib.exchanges.simulated.served.account import span
from qtlib.exchanges.simulated.served.desk import ALGO_IDS, Desk, Record
from qtlib.exchanges.simulated.served.market import listed
from qtlib.exchanges.simulated.served.words import Asked, Document, Refusal, in_steps, ms_of

MOST_PLACED, MOST_CANCELED = 5, 10  # in one batch
_PERCENT = Decimal(100)


class _Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


# --- plain orders -----------------------------------------------------------------------------------------


def place(desk: Desk, asked: Asked) -> Document:
    return placed(desk, desk.submit(_plain_intent(desk, asked)))


def query(desk: Desk, asked: Asked) -> Document:
    return found(desk, _plain_named(desk, asked, Refusal(-2013, "Order does not exist.")))


def cancel(desk: Desk, asked: Asked) -> Document:
    unknown = Refusal(-2011, "Unknown order sent.")
    record = _plain_named(desk, asked, unknown)
    if not record.is_open:
        raise unknown
    desk.cancel(record)
    return placed(desk, record)


def query_open(desk: Desk, asked: Asked) -> Document:
    record = _plain_named(desk, asked, Refusal(-2013, "Order does not exist."))
    if not record.is_open:
        raise Refusal(-2013, "Order does not exist.")
    return found(desk, record)


def open_orders(desk: Desk, asked: Asked) -> list[Document]:
    return [found(desk, record) for record in _open_plain(desk, _symbol(desk, asked))]


def all_orders(desk: Desk, asked: Asked) -> list[Document]:
    symbol, first = listed(desk, asked.needed("symbol")).symbol, asked.whole("orderId")
    since, until = span(asked)
    orders = [
        r
        for r in desk.records(symbol)
        if r.is_plain and (first is None or r.number >= first) and since <= _plain_since(r) <= until
    ]
    limit = asked.limit(500, 1000)
    from_the_start = first is not None or asked.text("startTime") is not None
    return [found(desk, record) for record in (orders[:limit] if from_the_start else orders[-limit:])]


def cancel_all(desk: Desk, asked: Asked) -> Document:
    """All plain ones of the symbol; conditional ones stay."""
    for record in list(_open_plain(desk, listed(desk, asked.needed("symbol")).symbol)):
        desk.cancel(record)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def place_batch(desk: Desk, asked: Asked) -> list[Document]:
    """Each for itself: one that is refused leaves the others alone."""
    return _each(_batch(asked, "batchOrders", dict, MOST_PLACED), lambda one: place(desk, _asked_in(one)))


def cancel_batch(desk: Desk, asked: Asked) -> list[Document]:
    symbol = asked.needed("symbol")
    by_id = asked.text("orderIdList") is not None
    name, kind = ("orderIdList", int) if by_id else ("origClientOrderIdList", str)
    which = "orderId" if by_id else "origClientOrderId"
    names = _batch(asked, name, kind, MOST_CANCELED)
    return _each(names, lambda one: cancel(desk, Asked({"symbol": symbol, which: str(one)})))


# --- conditional orders -----------------------------------------------------------------------------------


def place_algo(desk: Desk, asked: Asked) -> Document:
    return waiting(desk, desk.submit(_algo_intent(desk, asked)))


def query_algo(desk: Desk, asked: Asked) -> Document:
    return fired(desk, _algo_named(desk, asked, Refusal(-2013, "Order does not exist.")))


def cancel_algo(desk: Desk, asked: Asked) -> Document:
    unknown = Refusal(-2011, "Unknown order sent.")
    record = _algo_named(desk, asked, unknown)
    if not record.is_open or record.is_plain:
        raise unknown
    desk.cancel(record)
    return {"algoId": record.algo_id, "clientAlgoId": record.client_id, "code": "200", "msg": "success"}


def open_algos(desk: Desk, asked: Asked) -> list[Document]:
    return [fired(desk, record) for record in _waiting(desk, _symbol(desk, asked))]


def all_algos(desk: Desk, asked: Asked) -> list[Document]:
    symbol, first = listed(desk, asked.needed("symbol")).symbol, asked.whole("algoId")
    since, until = span(asked)
    orders = [
        r
        for r in desk.records(symbol)
        if r.conditional and (first is None or r.algo_id >= first) and since <= r.born <= until
    ]
    return [fired(desk, record) for record in orders[-asked.limit(500, 1000) :]]


def cancel_algos(desk: Desk, asked: Asked) -> Document:
    """All conditional ones of the symbol that still wait; plain ones stay."""
    for record in list(_waiting(desk, listed(desk, asked.needed("symbol")).symbol)):
        desk.cancel(record)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


# --- what the venue says of an order ------------------------------------------------------------------------


def placed(desk: Desk, r: Record) -> Document:
    """The reply to placing and cancelling: without average price and turnover, which the venue no longer tells here."""
    return {**_told(desk, r), "cumQty": in_steps(r.filled, _instrument(desk, r).lot)}


def found(desk: Desk, r: Record) -> Document:
    """The reply to looking for it."""
    return {
        **_told(desk, r),
        "avgPrice": _average(desk, r),
        "cumQuote": f"{r.cost:f}",
        "time": ms_of(_plain_since(r)),
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


def _plain_since(r: Record) -> Any:
    return r.fired or r.born


def _plain_intent(desk: Desk, asked: Asked) -> OrderIntent:
    symbol, side = listed(desk, asked.needed("symbol")).symbol, _side(asked)
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


def _algo_intent(desk: Desk, asked: Asked) -> OrderIntent:
    symbol, side = listed(desk, asked.needed("symbol")).symbol, _side(asked)
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
    working = Refusal(-1102, "Mandatory parameter 'workingType' was not sent, was empty/null, or malformed.")
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


def _side(asked: Asked) -> Side:
    if asked.text("positionSide") not in (None, "BOTH"):
        raise Refusal(-4061, "Order's position side does not match user's setting.")
    asked.only("priceMatch", ("NONE",), "prices are named by whoever sends an order")
    return Side[asked.choice("side", _Side, Refusal(-1117, "Invalid side.")).name]


def _time_in_force(asked: Asked) -> TimeInForce:
    if not asked.text("timeInForce"):
        return TimeInForce.GTC
    return asked.choice("timeInForce", TimeInForce, Refusal(-1115, "Invalid timeInForce."))


def _client_id(desk: Desk, sent: str | None) -> str:
    return sent or f"web_{desk.ledger.next_number()}"


def _symbol(desk: Desk, asked: Asked) -> str | None:
    symbol = asked.text("symbol")
    return listed(desk, symbol).symbol if symbol else None


def _open_plain(desk: Desk, symbol: str | None) -> Iterable[Record]:
    return (record for record in desk.open_records(symbol) if record.is_plain)


def _waiting(desk: Desk, symbol: str | None) -> Iterable[Record]:
    return (record for record in desk.open_records(symbol) if not record.is_plain)


def _plain_named(desk: Desk, asked: Asked, unknown: Refusal) -> Record:
    symbol = listed(desk, asked.needed("symbol")).symbol
    number, name = asked.whole("orderId"), asked.text("origClientOrderId")
    if number is None and name is None:
        text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        raise Refusal(-1102, text)
    named = _called(desk, name, number, 0)
    return _first([r for r in named if r.is_plain and r.intent.symbol == symbol], unknown)


def _algo_named(desk: Desk, asked: Asked, unknown: Refusal) -> Record:
    number, name = asked.whole("algoId"), asked.text("clientAlgoId")
    if number is None and name is None:
        raise Refusal(-1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!")
    return _first([r for r in _called(desk, name, number, ALGO_IDS) if r.conditional], unknown)


def _called(desk: Desk, name: str | None, number: int | None, ids_from: int) -> list[Record]:
    """The orders with this name, or this id, or both where both are sent; the newest first."""
    if name is not None:
        return [r for r in desk.named(name) if number in (None, r.number + ids_from)]
    record = None if number is None else desk.numbered(number - ids_from)
    return [record] if record else []


def _first(records: list[Record], unknown: Refusal) -> Record:
    """Of several that had the same name, the one that is open, else the newest."""
    for record in [*(r for r in records if r.is_open), *records]:
        return record
    raise unknown


def _batch(asked: Asked, name: str, kind: type[Any], most: int) -> list[Any]:
    try:
        listed_there = msgspec.json.decode(asked.needed(name), type=list[kind])  # type: ignore[valid-type]
    except msgspec.MsgspecError:
        raise Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.") from None
    if not 1 <= len(listed_there) <= most:
        raise Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")
    return list(listed_there)


def _asked_in(one: dict[str, Any]) -> Asked:
    return Asked({name: _as_text(value) for name, value in one.items() if value is not None})


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _each(items: Iterable[Any], one: Callable[[Any], Document]) -> list[Document]:
    answers = []
    for item in items:
        try:
            answers.append(one(item))
        except Refusal as no:
            answers.append(no.document)
    return answers
