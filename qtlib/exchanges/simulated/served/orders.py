"""Plain orders: placing, looking for, cancelling. Conditional ones have a book of their own (`algos`)."""

from collections.abc import Iterable

from qtlib.domain.orders import ZERO, OrderType
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.history import span
from qtlib.exchanges.simulated.served.intents import plain_intent, side_of
from qtlib.exchanges.simulated.served.market import listed
from qtlib.exchanges.simulated.served.records import Record
from qtlib.exchanges.simulated.served.told import found, placed, plain_since
from qtlib.exchanges.simulated.served.words import Asked, Document, Refusal


def place(desk: Desk, asked: Asked) -> Document:
    return placed(desk, desk.submit(plain_intent(desk, asked)))


def query(desk: Desk, asked: Asked) -> Document:
    return found(desk, _plain_named(desk, asked, _no_such_order()))


def cancel(desk: Desk, asked: Asked) -> Document:
    record = _open_named(desk, asked, Refusal(-2011, "Unknown order sent."))
    desk.cancel(record)
    return placed(desk, record)


def amend(desk: Desk, asked: Asked) -> Document:
    """Another quantity and price for a limit order, which keeps its number and its name."""
    record = _open_named(desk, asked, _no_such_order())
    if record.plain_type is not OrderType.LIMIT:
        raise Refusal(-5025, "Only limit order is supported.")
    side = side_of(asked)
    asked.needed("quantity")
    asked.needed("price")
    quantity, price = asked.decimal("quantity") or ZERO, asked.decimal("price") or ZERO
    if side is not record.intent.side:
        raise Refusal(-1117, "Invalid side.")
    if (quantity, price) == (record.intent.quantity, record.intent.price):
        raise Refusal(-5027, "No need to modify the order.")
    desk.amend(record, quantity, price)
    return placed(desk, record)


def query_open(desk: Desk, asked: Asked) -> Document:
    return found(desk, _open_named(desk, asked, _no_such_order()))


def open_orders(desk: Desk, asked: Asked) -> list[Document]:
    return [found(desk, record) for record in _open_plain(desk, symbol_in(desk, asked))]


def all_orders(desk: Desk, asked: Asked) -> list[Document]:
    symbol, first = listed(desk, asked.needed("symbol")).symbol, asked.whole("orderId")
    since, until = span(asked)
    orders = [
        r
        for r in desk.records(symbol)
        if r.is_plain and (first is None or r.number >= first) and since <= plain_since(r) <= until
    ]
    limit = asked.limit(500, 1000)
    from_the_start = first is not None or asked.text("startTime") is not None
    return [found(desk, record) for record in (orders[:limit] if from_the_start else orders[-limit:])]


def cancel_all(desk: Desk, asked: Asked) -> Document:
    """All plain ones of the symbol; conditional ones stay."""
    cancel_resting(desk, listed(desk, asked.needed("symbol")).symbol)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def cancel_resting(desk: Desk, symbol: str) -> None:
    for record in list(_open_plain(desk, symbol)):
        desk.cancel(record)


# --- which orders are meant, in either book -----------------------------------------------------------------


def symbol_in(desk: Desk, asked: Asked) -> str | None:
    symbol = asked.text("symbol")
    return listed(desk, symbol).symbol if symbol else None


def called(desk: Desk, name: str | None, number: int | None, ids_from: int) -> list[Record]:
    """The orders with this name, or this id, or both where both are sent; the newest first."""
    if name is not None:
        return [r for r in desk.named(name) if number in (None, r.number + ids_from)]
    record = None if number is None else desk.numbered(number - ids_from)
    return [record] if record else []


def first_of(records: list[Record], unknown: Refusal) -> Record:
    """Of several that had the same name, the one that is open, else the newest."""
    for record in [*(r for r in records if r.is_open), *records]:
        return record
    raise unknown


# --- below ------------------------------------------------------------------------------------------------


def _open_plain(desk: Desk, symbol: str | None) -> Iterable[Record]:
    return (record for record in desk.open_records(symbol) if record.is_plain)


def _no_such_order() -> Refusal:
    return Refusal(-2013, "Order does not exist.")


def _open_named(desk: Desk, asked: Asked, unknown: Refusal) -> Record:
    record = _plain_named(desk, asked, unknown)
    if not record.is_open:
        raise unknown
    return record


def _plain_named(desk: Desk, asked: Asked, unknown: Refusal) -> Record:
    symbol = listed(desk, asked.needed("symbol")).symbol
    number, name = asked.whole("orderId"), asked.text("origClientOrderId")
    if number is None and name is None:
        text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        raise Refusal(-1102, text)
    named = called(desk, name, number, 0)
    return first_of([r for r in named if r.is_plain and r.intent.symbol == symbol], unknown)
