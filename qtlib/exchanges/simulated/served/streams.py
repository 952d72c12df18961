"""What is told without being asked: market streams as bars close, the account's events as they happen.

A socket may be opened at any of the venue's paths, with streams named in the path, in the query, or subscribed to
later; under `/stream` each message is wrapped with its stream's name. A message is built once, at the instant it is
about, and waits for each listener in a queue of its own; who does not read is cut off.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from qtlib.exchanges.simulated.faults import Faults, Place
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.faults import EventFaults
from qtlib.exchanges.simulated.served.keys import ListenKey
from qtlib.exchanges.simulated.served.news import account_messages
from qtlib.exchanges.simulated.served.records import Told
from qtlib.exchanges.simulated.served.ticks import Messages, messages_of
from qtlib.exchanges.simulated.served.words import Document, wall_ms
from qtlib.exchanges.windows import Window

PING_S = 180.0
QUEUE = 20_000  # messages that may wait for one listener
MOST_STREAMS = 1_024
MOST_SAID_1S = 10  # messages that a client may send
LIFE_S = 86_400.0


@dataclass(eq=False, slots=True)
class Listener:
    """One socket: what it listens to, and what waits for it."""

    wrapped: bool
    since: float  # on the wall clock
    client: str  # as it calls itself
    transport: asyncio.Transport | None = None
    events: frozenset[str] = frozenset()  # of the account, by type; empty: all
    streams: dict[str, Messages | None] = field(default_factory=dict)  # None: the account's, under its key
    said: Window = field(default_factory=lambda: Window(1))
    queue: "asyncio.Queue[str | Callable[[], None] | None]" = field(default_factory=lambda: asyncio.Queue(QUEUE))
    lost: bool = False  # cut or hushed, once what waits before that is written

    @property
    def keys(self) -> list[str]:
        return [name for name, messages in self.streams.items() if messages is None]

    def hears(self, name: str) -> bool:
        """Whether it is here for events of the account, or of the market if `name` is `bar`."""
        return len(self.keys) < len(self.streams) if name == "bar" else bool(self.keys)

    def send(self, stream: str, message: Document) -> None:
        self.put({"stream": stream, "data": message} if self.wrapped else message)

    def put(self, message: Any) -> None:
        if self.queue.full():
            self.end()
        elif not self.lost:
            self.queue.put_nowait(json.dumps(message, separators=(",", ":")))

    def end(self) -> None:
        """Nothing more is sent."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)

    def cut(self) -> None:
        """The connection is gone, and nobody said goodbye."""
        self._lose(lambda transport: transport.abort())

    def hush(self) -> None:
        """The connection stands, and nothing comes through it any more, not even an answer to a ping."""
        self._lose(lambda transport: transport.pause_reading())

    def _lose(self, how: Callable[[asyncio.Transport], None]) -> None:
        if self.transport and not self.queue.full():
            self.lost = True
            self.queue.put_nowait(partial(how, self.transport))


class Streams:
    """All sockets; `wall` is the clock that their limits go by, `faults` what befalls them on purpose.

    `astray` is told which streams were asked for and are none, and by whom.
    """

    def __init__(
        self, desk: Desk, key: ListenKey, wall: Callable[[], float], faults: Faults, astray: Callable[[str, str], None]
    ) -> None:
        self._desk, self._key, self._wall, self._faults, self._astray = desk, key, wall, faults, astray
        self._telling = EventFaults(faults, self._send_account)
        self._listeners: set[Listener] = set()
        desk.listen(self._tell_account)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One socket, from its opening to its end."""
        parts = request.path.strip("/").split("/")
        wrapped = "stream" in parts[:2]
        named = parts[parts.index("stream" if wrapped else "ws") + 1 :]
        named += request.query.get("streams", "").split("/") if wrapped else []
        named.append(request.query.get("listenKey", ""))
        events = frozenset(filter(None, request.query.get("events", "").split("/")))
        client = request.headers.get("User-Agent", "a client")
        listener = Listener(wrapped, self._wall(), client, request.transport, events)
        self._subscribe(listener, named)  # other parts of the path are some client's own
        socket = web.WebSocketResponse(heartbeat=PING_S)
        await socket.prepare(request)
        self._listeners.add(listener)
        writing = asyncio.create_task(_write(listener, socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._hear(listener, message.data)
        finally:
            self._listeners.discard(listener)
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
        return socket

    def tell_market(self) -> None:
        """A step is over: every market stream that somebody listens to says so."""
        self._befall("bar")
        built: dict[str, list[Any]] = {}
        for listener in list(self._listeners):
            for stream, messages in listener.streams.items():
                if messages is None:
                    continue
                if stream not in built:
                    built[stream] = messages(self._desk)
                for message in built[stream]:
                    listener.send(stream, message)

    def expire(self) -> None:
        """Tell those who listen by a key that is no longer valid; end those who were there for a day."""
        for listener in list(self._listeners):
            for name in listener.keys:
                if not self._key.valid(name):
                    del listener.streams[name]
                    listener.send(name, {"e": "listenKeyExpired", "E": wall_ms(), "listenKey": name})
            if self._wall() - listener.since >= LIFE_S:
                listener.end()

    def close(self) -> None:
        for listener in list(self._listeners):
            if listener.lost:
                listener.cut()
            else:
                listener.end()

    def _tell_account(self, told: Told) -> None:
        for message in account_messages(self._desk, told):
            self._befall(message["e"])
            self._telling.tell(message)

    def _send_account(self, message: Document) -> None:
        key = self._key.key
        for listener in self._listeners if self._key.valid(key) else ():
            if key in listener.streams and (not listener.events or message["e"] in listener.events):
                listener.send(key, message)

    def _befall(self, name: str) -> None:
        """What happens on purpose to those who would hear of `name`, an event of the account or a `bar`."""
        for its in self._faults.acting(Place.SOCKET, name):
            if its.kind == "listen_key_expired":
                self._key.close()
                self.expire()
            for listener in [one for one in self._listeners if one.hears(name)]:
                if its.kind == "drop_socket":
                    listener.cut()
                elif its.kind == "silent_socket":
                    listener.hush()

    def _hear(self, listener: Listener, text: str) -> None:
        """Answer a command; who sends too many is cut off."""
        said = listener.said.at(self._wall())
        said.used += 1
        if said.used > MOST_SAID_1S:
            listener.end()
        else:
            listener.put(self._answer(listener, text))

    def _answer(self, listener: Listener, text: str) -> Document:
        try:
            command = json.loads(text)
            method, names, number = command["method"], command.get("params") or [], command.get("id")
            if not all(isinstance(name, str) for name in names):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"error": {"code": 3, "msg": "Invalid JSON: expected method, params and id"}}
        match method:
            case "SUBSCRIBE":
                if len(listener.streams.keys() | set(names)) > MOST_STREAMS:
                    return _invalid(number, f"more than {MOST_STREAMS} streams")
                if unknown := self._subscribe(listener, names):
                    return _invalid(number, f"unknown stream {', '.join(unknown)}")
            case "UNSUBSCRIBE":
                for name in names:
                    listener.streams.pop(name, None)
            case "LIST_SUBSCRIPTIONS":
                return {"result": list(listener.streams), "id": number}
            case _:
                return _invalid(number, f"unknown method {method}")
        return {"result": None, "id": number}

    def _subscribe(self, listener: Listener, names: Iterable[str]) -> list[str]:
        """Listen to those of `names` that are streams, or the account's key; the others."""
        unknown = []
        for name in names:
            messages = messages_of(self._desk, name)
            if messages or self._key.valid(name):
                listener.streams[name] = messages
            else:
                unknown.append(name)
        for name in unknown:
            if "@" in name or name.startswith("!"):
                self._astray(f"STREAM {name}", listener.client)
        return unknown


async def _write(listener: Listener, socket: web.WebSocketResponse) -> None:
    while (next_one := await listener.queue.get()) is not None:
        try:
            if isinstance(next_one, str):
                await socket.send_str(next_one)
            else:
                next_one()
        except ConnectionError:
            return
    await socket.close()


def _invalid(number: Any, why: str) -> Document:
    return {"error": {"code": 2, "msg": f"Invalid request: {why}"}, "id": number}
