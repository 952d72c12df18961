"""Conditional ("algo") orders: a book of their own, with ids, endpoints and lists of its own.

One that fires goes on as a plain order: its `actualOrderId` is that order's `orderId`; the client's name is on both.
"""

from collections.abc import Iterable

from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.history import span
from qtlib.exchanges.simulated.served.intents import algo_intent
from qtlib.exchanges.simulated.served.market import listed
from qtlib.exchanges.simulated.served.orders import called, first_of, symbol_in
from qtlib.exchanges.simulated.served.records import ALGO_IDS, Record
from qtlib.exchanges.simulated.served.told import fired, waiting
from qtlib.exchanges.simulated.served.words import Asked, Document, Refusal


def place_algo(desk: Desk, asked: Asked) -> Document:
    return waiting(desk, desk.submit(algo_intent(desk, asked)))


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
    return [fired(desk, record) for record in _waiting(desk, symbol_in(desk, asked))]


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


# --- below ------------------------------------------------------------------------------------------------


def _waiting(desk: Desk, symbol: str | None) -> Iterable[Record]:
    return (record for record in desk.open_records(symbol) if not record.is_plain)


def _algo_named(desk: Desk, asked: Asked, unknown: Refusal) -> Record:
    number, name = asked.whole("algoId"), asked.text("clientAlgoId")
    if number is None and name is None:
        raise Refusal(-1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!")
    return first_of([r for r in called(desk, name, number, ALGO_IDS) if r.conditional], unknown)
