"""Faults on the wire: what becomes of a request, of its answer, and of what the account is told, on their way.

A request passes here before and after it is heard, over REST or as a call on the WebSocket API, by the same name; it is
counted when all of it has arrived. The faults that act on it make it wait, answer something else in place of hearing
it, or after that, or reset its connection; of several that answer the first one does. An order can be hidden from those
who ask for it. What the account is told can come twice, late or never. Everything else is as always.

`GET /sim/faults` says what is at work, with its counts, and all that was injected, in order. `POST /sim/faults` takes
`{"clear": true, "seed": 7, "faults": [{"kind": …}, …]}`, each of the three if wanted: what is there goes, what is
listed is added.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from qtlib.exchanges.simulated.faults import Fault, Faults, Place, read
from qtlib.exchanges.simulated.served.auth import Sent
from qtlib.exchanges.simulated.served.words import SKEW_S, Asked, Document

_SAYS_UNKNOWN = "Send status unknown; execution status unknown."
_QUERIES = ("GET v1/order", "GET v1/openOrder", "GET v1/algoOrder")
_NAMES = {"clientOrderId": "name", "origClientOrderId": "name", "clientAlgoId": "name", "orderId": "id", "algoId": "id"}


Reply = TypeVar("Reply")


class Said(NamedTuple):
    """An answer in place of the venue's own; a document of None is no word at all."""

    status: int
    document: Document | None
    headers: Mapping[str, str] = MappingProxyType({})


def _no(status: int, code: int, text: str) -> Said:
    return Said(status, {"code": code, "msg": text})


INSTEAD: Mapping[str, Callable[[Fault], Said]] = {
    "too_many": lambda its: Said(
        429, {"code": -1003, "msg": "Too many requests; current limit is 2400 requests per minute."}, _later(its)
    ),
    "banned": lambda its: Said(418, {"code": -1003, "msg": "Way too many requests; IP banned."}, _later(its)),
    "rejected": lambda its: _no(400, -2010, "The new order was rejected."),
    "unavailable": lambda its: Said(503, {"msg": "Service Unavailable."}),
    "overloaded": lambda its: _no(
        503,
        -1008,
        "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again.",
    ),
    "unknown_error": lambda its: Said(503, {"msg": "Unknown error, please check your request or try again later."}),
    "timeout": lambda its: _no(408, -1007, f"Timeout waiting for response from backend server. {_SAYS_UNKNOWN}"),
    "unexpected": lambda its: _no(
        400, -1006, "An unexpected response was received from the message bus. Execution status unknown."
    ),
    "empty": lambda its: Said(200, None),
    "engine_late": lambda its: _no(400, -5028, "Timestamp for this request is outside of the ME recvWindow."),
    "key_refused": lambda its: _no(401, -2015, "Invalid API-key, IP, or permissions for action."),
}
RESET = Said(0, None)  # not even an answer: the connection is gone
SILENCE = Said(-1, None)  # not even that: the connection stands, and nothing comes through it
SILENT_S = 60.0  # at most, over REST
_WORDLESS = {"reset": RESET, "unanswered": SILENCE}
_NOT_FOUND = _no(400, -2013, "Order does not exist.")


@dataclass(slots=True)
class Hidden:
    """An order that those who ask for it do not find yet."""

    names: frozenset[tuple[str, ...]]
    asks: int
    until: float  # monotonic


class RequestFaults:
    """Stands before the doors."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._hidden: list[Hidden] = []

    @web.middleware
    async def pass_by(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let `request` through to `handler`, as far as the faults that act on it allow."""
        path, _, query = request.raw_path.partition("?")
        if Sent(request.method, path, query, "", request.headers).place is None:
            return await handler(request)
        body = (await request.read()).decode(errors="replace")
        sent = Sent(request.method, path, query, body, request.headers)
        reply = await self.met(sent, partial(handler, request), _document, _with)
        if not isinstance(reply, Said):
            return reply
        if reply is SILENCE:
            await _given_up(request)
        if reply in (RESET, SILENCE):
            reset(request)
            return web.Response()  # goes nowhere
        text = "" if reply.document is None else json.dumps(reply.document)
        return web.Response(status=reply.status, text=text, headers=reply.headers, content_type="application/json")

    async def met(
        self,
        sent: Sent,
        hear: Callable[[], Awaitable[Reply]],
        document: Callable[[Reply], Any],
        put: Callable[[Reply, Any], Reply],
    ) -> Reply | Said:
        """What is answered to `sent`: what comes of it being heard, or something else, as the faults have it.

        `document` finds what an answer that is no refusal says, and `put` puts something else in its place.
        """
        asked, name = sent.asked, f"{sent.method} {sent.place}"
        about = asked.text("newClientOrderId") or asked.text("clientAlgoId") or asked.text("origClientOrderId") or ""
        acting = self._faults.acting(Place.REQUEST, name, about, ("overloaded",) if _is_exempt(name, asked) else ())
        await asyncio.sleep(_total_s(acting, "delay_before"))
        answer: Reply | Said | None = _instead(its for its in acting if not its.executes)
        if answer is None:
            SKEW_S.set(_total_s(acting, "clock_skew"))
            answer = await hear()
            said = document(answer)
            for its in acting:
                if its.kind == "stale" and isinstance(said, dict):
                    names = _names(name, said)
                    self._hidden.append(Hidden(names, its.asks, time.monotonic() + its.seconds))
                elif its.kind == "alters" and said is not None:
                    answer = put(answer, said := _altered(said, its))
            answer = _instead(its for its in acting if its.executes) or answer
        await asyncio.sleep(_total_s(acting, "delay_after"))
        return _NOT_FOUND if name in _QUERIES and self._is_hidden(name, asked) else answer

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response(self._faults.document)

    async def change(self, request: web.Request) -> web.Response:
        """Clear, add, and show."""
        try:
            document = await request.json()
            clear = isinstance(document, dict) and document.pop("clear", False)
            listed, seed = read(document)
            if type(clear) is not bool:
                raise ValueError(f"clear {clear!r} must be true or false")
        except ValueError as why:
            return web.json_response({"msg": str(why)}, status=400)
        if clear:
            self._faults.clear()
        if "seed" in document:
            self._faults.seed = seed
        self._faults.add(listed)
        return await self.show(request)

    def _is_hidden(self, name: str, asked: Asked) -> bool:
        """Whether the order asked for is not found yet; having been asked for is counted."""
        found = False
        for one in list(self._hidden):
            if one.names & _names(name, asked.values):
                found = one.asks > 0 or time.monotonic() < one.until
                one.asks -= 1
                if not found:
                    self._hidden.remove(one)
        return found


@dataclass(eq=False, slots=True)
class Held:
    message: Document
    behind: int  # how many others go first


class EventFaults:
    """Stands between the account's events and `send`, which tells them."""

    def __init__(self, faults: Faults, send: Callable[[Document], None]) -> None:
        self._faults, self._send = faults, send
        self._held: list[Held] = []

    def tell(self, message: Document) -> None:
        """Tell `message` as often, and as late, as the faults that act on it allow."""
        acting = {its.kind: its for its in self._faults.acting(Place.EVENT, message["e"], _subject(message))}
        overtaken = list(self._held)
        if late := acting.get("reorder"):
            asyncio.get_running_loop().call_soon(self._release, self._hold(message, late.behind))
        elif "omit" not in acting:
            for _ in range(2 if "repeat" in acting else 1):
                self._send(message)
        for held in overtaken:
            held.behind -= 1
            if not held.behind:
                self._release(held)

    def _hold(self, message: Document, behind: int) -> Held:
        self._held.append(held := Held(message, behind))
        return held

    def _release(self, held: Held) -> None:
        """At the latest when the call is over in which it happened: no event is held for ever."""
        if held in self._held:
            self._held.remove(held)
            self._send(held.message)


# --- below ------------------------------------------------------------------------------------------------


def _subject(message: Document) -> str:
    """The client id of the order that `message` is about, if it is about one."""
    order = message.get("o")
    return str(order.get("c") or order.get("caid")) if isinstance(order, dict) else ""


def _total_s(acting: Iterable[Fault], kind: str) -> float:
    return sum(its.seconds for its in acting if its.kind == kind)


def _instead(acting: Iterable[Fault]) -> Said | None:
    """The answer of the first that has one."""
    for its in acting:
        if its.kind in _WORDLESS:
            return _WORDLESS[its.kind]
        if its.kind in INSTEAD:
            return INSTEAD[its.kind](its)
    return None


def _altered(said: Any, its: Fault) -> Any:
    """`said`, where the fault's field has the fault's value, however deep it stands."""
    if isinstance(said, dict):
        return {name: its.value if name == its.field else _altered(value, its) for name, value in said.items()}
    return [_altered(one, its) for one in said] if isinstance(said, list) else said


def _document(reply: web.StreamResponse) -> Any:
    """What a reply says that is no refusal; None, where it says nothing."""
    if reply.status == 200 and isinstance(reply, web.Response) and isinstance(reply.text, str):
        return json.loads(reply.text)
    return None


def _with(reply: web.StreamResponse, document: Any) -> web.StreamResponse:
    assert isinstance(reply, web.Response)  # it had a document
    reply.text = json.dumps(document)
    return reply


async def _given_up(request: web.Request) -> None:
    """Until whoever asked hangs up, or for so long that everybody has."""
    ends = time.monotonic() + SILENT_S
    while request.transport and not request.transport.is_closing() and time.monotonic() < ends:
        await asyncio.sleep(0.02)


def reset(request: web.Request) -> None:
    """The other side reads that its connection was reset, whatever was on its way."""
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _later(its: Fault) -> Mapping[str, str]:
    return {"Retry-After": str(max(1, ceil(its.seconds)))}


def _is_exempt(name: str, asked: Asked) -> bool:
    """What reduces or cancels is never throttled by the venue's own protection."""
    return name.startswith("DELETE ") or "true" in (asked.text("reduceOnly"), asked.text("closePosition"))


def _names(name: str, said: Mapping[str, object]) -> frozenset[tuple[str, ...]]:
    """What an order is called in a request or a reply, in its own book."""
    book = "algo" if "algo" in name else "plain"
    return frozenset((book, kind, str(said[key])) for key, kind in _NAMES.items() if said.get(key))
