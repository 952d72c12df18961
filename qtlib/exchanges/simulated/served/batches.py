"""Several orders in one request, each for itself: one that is refused leaves the others alone."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.orders import amend, cancel, place
from qtlib.exchanges.simulated.served.words import Asked, Document, Refusal, malformed

MOST_PLACED, MOST_CANCELED = 5, 10  # in one batch


def place_batch(desk: Desk, asked: Asked) -> list[Document]:
    return _each(_batch(asked, "batchOrders", dict, MOST_PLACED), lambda one: place(desk, _asked_in(one)))


def amend_batch(desk: Desk, asked: Asked) -> list[Document]:
    return _each(_batch(asked, "batchOrders", dict, MOST_PLACED), lambda one: amend(desk, _asked_in(one)))


def cancel_batch(desk: Desk, asked: Asked) -> list[Document]:
    symbol = asked.needed("symbol")
    by_id = asked.text("orderIdList") is not None
    name, kind = ("orderIdList", int) if by_id else ("origClientOrderIdList", str)
    which = "orderId" if by_id else "origClientOrderId"
    names = _batch(asked, name, kind, MOST_CANCELED)
    return _each(names, lambda one: cancel(desk, Asked({"symbol": symbol, which: str(one)})))


# --- below ------------------------------------------------------------------------------------------------


def _batch(asked: Asked, name: str, kind: type[Any], most: int) -> list[Any]:
    try:
        listed_there = msgspec.json.decode(asked.needed(name), type=list[kind])  # type: ignore[valid-type]
    except msgspec.MsgspecError:
        raise malformed(name) from None
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
