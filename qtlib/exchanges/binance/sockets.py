"""One socket after another, for as long as somebody listens: what every stream of the venue needs.

A socket lives while it answers: we ping it each second, and one that leaves some pings in a row without any sign of
life is given up, whatever state it claims to be in. Pings are counted, and not seconds: a machine that slept, or a loop
that was busy, takes nobody for dead. Before the venue ends it for its age a successor is opened, and for a moment both
are listened to. A socket always ends as `Lost`, in words. Nothing here has a thread or a loop of its own.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import aiohttp
import msgspec

from qtlib.exchanges.binance.payloads import Message

MOST_STREAMS = 200  # of one socket: asked for in two messages, where the venue takes ten in a second
_NAMES = 100  # streams in one message
_CLOSE_S = 0.5  # for the venue to say goodbye

_decode = msgspec.json.Decoder(dict[str, Any]).decode

Heard = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long streams wait, in seconds of the machine's own clock."""

    connect_s: float = 10.0
    probe_s: float = 1.0  # between our pings; the venue hears ten messages in a second
    unanswered: int = 3  # pings in a row without a sign of life, and a socket is dead
    quiet_s: float = 10.0  # without a message, a market is not told of: marks come each second; inf, where they do not
    life_s: float = 23 * 3_600.0  # of a socket; the venue ends it after 24 hours
    overlap_s: float = 5.0  # that it is listened to beside its successor
    renew_s: float = 1_800.0  # between renewals of the listen key
    key_life_s: float = 3_300.0  # without a renewal; the venue ends it after 60 minutes
    settle_s: float = 5.0  # for what must follow
    first_pause_s: float = 0.1  # before the next attempt; twice as long after each that fails
    longest_pause_s: float = 30.0


class Lost(Exception):
    """The stream is gone, and why."""


@dataclass(slots=True)
class Pulse:
    """When a stream last gave a sign of life, and when it last said something, by the loop's clock."""

    alive_at: float = -inf
    said_at: float = -inf


class Pauses:
    """How long to wait before the next attempt: longer each time, after a long success as short as at first."""

    def __init__(self, patience: Patience, seed: int) -> None:
        self._patience, self._dice, self._next_s = patience, random.Random(seed), patience.first_pause_s

    def after(self, lived_s: float) -> float:
        """The pause after what lived for `lived_s`; chance shortens it, so that not all come back at once."""
        if lived_s > self._patience.longest_pause_s:
            self._next_s = self._patience.first_pause_s
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._patience.longest_pause_s)
        return pause_s * (1 - self._dice.random() / 2)


class Socket:
    """One connection, once it is open."""

    def __init__(self, wire: aiohttp.ClientWebSocketResponse, pulse: Pulse, patience: Patience, quiet_s: float) -> None:
        self._wire, self._pulse, self._patience, self._quiet_s = wire, pulse, patience, quiet_s
        self._now = asyncio.get_running_loop().time
        pulse.alive_at = pulse.said_at = self._now()

    @staticmethod
    async def open(
        session: aiohttp.ClientSession,
        url: str,
        pulse: Pulse,
        patience: Patience,
        *,
        streams: Sequence[str] = (),
        quiet_s: float = inf,
    ) -> "Socket":
        """A connection to `url` that has asked for `streams`; after `quiet_s` without a message it counts as lost."""
        try:
            async with asyncio.timeout(patience.connect_s):
                closing = aiohttp.ClientWSTimeout(ws_close=_CLOSE_S)
                wire = await session.ws_connect(url, timeout=closing, autoping=False)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Lost(f"no connection ({type(error).__name__})") from error
        socket = Socket(wire, pulse, patience, quiet_s)
        try:
            await socket._subscribe(streams)
        except BaseException:
            await wire.close()
            raise
        return socket

    async def listen(self, heard: Heard) -> None:
        """Call `heard` with each message in order, until the end, which is a `Lost`."""
        try:
            await side_by_side(self._read(heard), self._watch())
        finally:
            await self._wire.close()

    async def _subscribe(self, streams: Sequence[str]) -> None:
        for number, start in enumerate(range(0, len(streams), _NAMES), 1):
            asked = {"method": "SUBSCRIBE", "params": streams[start : start + _NAMES], "id": number}
            await _sent(self._wire.send_str(msgspec.json.encode(asked).decode()))

    async def _read(self, heard: Heard) -> None:
        while True:
            message = await self._wire.receive()
            self._pulse.alive_at = self._now()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self._pulse.said_at = self._pulse.alive_at
                    heard(_read_as_json(message.data))
                case aiohttp.WSMsgType.PING:
                    await _sent(self._wire.pong(message.data))
                case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                    raise Lost(f"the venue closed the socket ({self._wire.close_code})")
                case aiohttp.WSMsgType.ERROR:
                    raise Lost(f"the socket broke ({message.data})")

    async def _watch(self) -> None:
        probed_at, unanswered = -inf, 0
        while True:
            await asyncio.sleep(self._patience.probe_s)
            unanswered = 0 if self._pulse.alive_at >= probed_at else unanswered + 1
            if unanswered >= self._patience.unanswered:
                raise Lost(f"{unanswered} pings in a row, each {self._patience.probe_s:g} s, found no sign of life")
            if self._now() - self._pulse.said_at > self._quiet_s:
                raise Lost(f"not a message for {self._quiet_s:g} s")
            probed_at = self._now()
            await _sent(self._wire.ping())


async def relay(
    opened: Callable[[], Awaitable[Socket]], heard: Heard, patience: Patience, begun: Callable[[], None]
) -> None:
    """Listen to a socket, and in time to its successor, until one is lost; `begun` is called when the first is open."""
    socket = await opened()
    begun()
    listening = asyncio.create_task(socket.listen(heard))
    try:
        while True:
            await asyncio.wait([listening], timeout=patience.life_s)
            if listening.done():
                return listening.result()
            try:
                successor = await opened()
            except Lost:
                continue  # what still lives is kept; its own end is told in its time
            old, listening = listening, asyncio.create_task(successor.listen(heard))
            try:
                await asyncio.wait([listening], timeout=patience.overlap_s)
            finally:
                await _ended(old)
    finally:
        await _ended(listening)


async def side_by_side(*work: Coroutine[Any, Any, None]) -> None:
    """All of it at once until the first part ends; the others end with it, and so does this, the same way."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _ended(*tasks)


async def _ended(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _sent(sending: Awaitable[None]) -> None:
    try:
        await sending
    except (ConnectionError, aiohttp.ClientError) as error:
        raise Lost(f"the socket broke ({type(error).__name__})") from error


def _read_as_json(text: str) -> Message:
    try:
        return _decode(text)
    except msgspec.DecodeError as error:
        raise Lost(f"a message that is no JSON object: {text[:80]!r}") from error
