"""The WebSocket API: the same requests as over REST, as messages on one socket, and the same answers.

A call names a method instead of a path. Its signature is over all of its parameters, sorted by name: written so, it is
a request like any other, goes the same way through the doors, and meets the same faults. Calls are heard in their
order; one that is made to wait does not keep the others waiting.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from aiohttp import WSMsgType, web

from qtlib.exchanges.port import ExchangeError
from qtlib.exchanges.simulated.served.auth import Sent
from qtlib.exchanges.simulated.served.faults import RESET, SILENCE, RequestFaults, Said, reset
from qtlib.exchanges.simulated.served.words import Document, Refusal

PATH = "/ws-fapi/v1"
PING_S = 180.0

METHODS = {
    "ping": ("GET", "v1/ping"),
    "time": ("GET", "v1/time"),
    "order.place": ("POST", "v1/order"),
    "order.modify": ("PUT", "v1/order"),
    "order.cancel": ("DELETE", "v1/order"),
    "order.status": ("GET", "v1/order"),
    "algoOrder.place": ("POST", "v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "v1/algoOrder"),
    "account.status": ("GET", "v2/account"),
    "v2/account.status": ("GET", "v3/account"),
    "account.balance": ("GET", "v2/balance"),
    "v2/account.balance": ("GET", "v3/balance"),
    "account.position": ("GET", "v2/positionRisk"),
    "v2/account.position": ("GET", "v3/positionRisk"),
    "userDataStream.start": ("POST", "v1/listenKey"),
    "userDataStream.ping": ("PUT", "v1/listenKey"),
    "userDataStream.stop": ("DELETE", "v1/listenKey"),
    "ticker.price": ("GET", "v1/ticker/price"),
    "ticker.book": ("GET", "v1/ticker/bookTicker"),
    "depth": ("GET", "v1/depth"),
}

Answering = Callable[[Sent], Any]  # raises what is refused, or what failed


@dataclass(eq=False, slots=True)
class Line:
    """One socket."""

    request: web.Request
    socket: web.WebSocketResponse
    hushed: bool = False  # nothing comes through it any more, though it stands

    def hush(self) -> None:
        self.hushed = True
        if self.request.transport:
            self.request.transport.pause_reading()  # not even a ping is answered


class Calls:
    """Answers calls; `used` says how much is used of what is allowed, `faults` what befalls them on purpose."""

    def __init__(self, answering: Answering, used: Callable[[bool], list[Document]], faults: RequestFaults) -> None:
        self._answering, self._used, self._faults = answering, used, faults

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One socket, from its opening to its end."""
        socket = web.WebSocketResponse(heartbeat=PING_S)
        await socket.prepare(request)
        line = Line(request, socket)
        heard: set[asyncio.Task[None]] = set()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                heard.add(task := asyncio.create_task(self._hear(message.data, line)))
                task.add_done_callback(heard.discard)
        await asyncio.gather(*heard)  # what was asked for happens, though nobody hears the answer any more
        return socket

    async def _hear(self, text: str, line: Line) -> None:
        answer = await self._answered(text, line.request.headers.get("User-Agent", "a client"))
        if answer is RESET:
            reset(line.request)
        elif answer is SILENCE:
            line.hush()
        elif not (line.hushed or line.socket.closed):
            await line.socket.send_json(answer)

    async def _answered(self, text: str, client: str) -> Document | Said:
        """The answer to a call; RESET or SILENCE: what becomes of the connection instead."""
        try:
            call = json.loads(text)
            number, method, params = call["id"], call["method"], call.get("params") or {}
            sent = _as_request(method, dict(params), client)
        except (ValueError, KeyError, TypeError):
            return {"id": None, "status": 400, "error": {"code": -1102, "msg": "Invalid JSON: expected id and method"}}
        answer: Document | Said
        if method in METHODS:
            answer = await self._faults.met(sent, partial(self._heard, sent), _result, _with)
        else:
            answer = await self._heard(sent)
        if answer in (RESET, SILENCE):
            return answer
        if isinstance(answer, Said):
            answer = {"status": answer.status} | ({"error": answer.document} if answer.document else {})
        placing = method in ("order.place", "order.modify", "algoOrder.place")
        return {"id": number, **answer, "rateLimits": self._used(placing)}

    async def _heard(self, sent: Sent) -> Document:
        try:
            return {"status": 200, "result": self._answering(sent)}
        except Refusal as no:
            return {"status": no.status, "error": no.document}
        except ExchangeError:  # the engine's disk: nothing has happened
            return {"status": 503, "error": {"code": -1008, "msg": "Service Unavailable."}}


def _result(answer: Document) -> Any:
    return answer.get("result")


def _with(answer: Document, result: Any) -> Document:
    return answer | {"result": result}


def _as_request(method: str, params: Document, client: str) -> Sent:
    """A call as the request that it stands for, its parameters in the order in which they are signed."""
    verb, path = METHODS.get(method, ("CALL", method))
    pairs = [f"{name}={quote(_as_text(params[name]), safe='')}" for name in sorted(params)]
    where = f"/fapi/{path}" if method in METHODS else f"{PATH}/{path}"
    return Sent(verb, where, "&".join(pairs), "", {"X-MBX-APIKEY": str(params.get("apiKey", "")), "User-Agent": client})


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list | dict) else str(value)
