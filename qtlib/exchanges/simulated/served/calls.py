"""The WebSocket API: the same requests as over REST, as messages on one socket, and the same answers.

A call names a method instead of a path. Its signature is over all of its parameters, sorted by name: written so, it is
a request like any other, and goes the same way through the doors.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from aiohttp import WSMsgType, web

from qtlib.exchanges.port import ExchangeError
from qtlib.exchanges.simulated.served.auth import Sent
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


class Calls:
    """Answers calls; `used` says how much is used of what is allowed."""

    def __init__(self, answering: Answering, used: Callable[[bool], list[Document]]) -> None:
        self._answering, self._used = answering, used

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One socket, from its opening to its end."""
        socket = web.WebSocketResponse(heartbeat=PING_S)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_json(self._answer(message.data, request.headers.get("User-Agent", "a client")))
        return socket

    def _answer(self, text: str, client: str) -> Document:
        try:
            call = json.loads(text)
            number, method, params = call["id"], call["method"], call.get("params") or {}
            sent = _as_request(method, dict(params), client)
        except (ValueError, KeyError, TypeError):
            return {"id": None, "status": 400, "error": {"code": -1102, "msg": "Invalid JSON: expected id and method"}}
        said: Document = {"id": number}
        try:
            said |= {"status": 200, "result": self._answering(sent)}
        except Refusal as no:
            said |= {"status": no.status, "error": no.document}
        except ExchangeError:  # the engine's disk: nothing has happened
            said |= {"status": 503, "error": {"code": -1008, "msg": "Service Unavailable."}}
        return said | {"rateLimits": self._used(method in ("order.place", "order.modify", "algoOrder.place"))}


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
