"""Which world it is: one word decides addresses, keys and what may be reached. Contradictions are refused.

`sim` and `paper` are our own served venue on this machine: nothing but loopback can be connected to, and the key is
`sim`; no other is even looked for. `demo` and `live` are the real one's: their keys come from the environment
(`QT_API_KEY`, `QT_API_SECRET`) or the keyring of the system, and are shown nowhere.
"""

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from qtlib.exchanges.port import Untrusted


class Mode(Enum):
    SIM = "sim"  # our own venue, with a market of its own
    PAPER = "paper"  # our own venue, fed by the real one's public data
    DEMO = "demo"  # the real venue's playground
    LIVE = "live"  # money

    @property
    def served(self) -> bool:
        """Whether the venue is our own, on this machine."""
        return self in (Mode.SIM, Mode.PAPER)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the venue is; `streams` is what `/private/ws` and the like are appended to."""

    rest: str
    streams: str


@dataclass(frozen=True, slots=True)
class Keys:
    key: str = field(repr=False)
    secret: str = field(repr=False)


_REAL = {
    Mode.DEMO: Address("https://demo-fapi.binance.com", "wss://fstream.binancefuture.com"),
    Mode.LIVE: Address("https://fapi.binance.com", "wss://fstream.binance.com"),
}
_SERVED = Keys("sim", "sim")
_VARIABLES = ("QT_API_KEY", "QT_API_SECRET")
_SERVICE = "qtlib"  # the keyring's name for us


def address(mode: Mode, url: str | None) -> Address:
    """Where `mode` finds its venue.

    >>> address(Mode.SIM, "http://127.0.0.1:8081").streams
    'ws://127.0.0.1:8081'
    """
    if not mode.served:
        if url is not None:
            raise Untrusted(f"mode {mode.value} knows its venue by itself; {url} contradicts it: leave the address out")
        return _REAL[mode]
    if url is None:
        raise Untrusted(f"mode {mode.value} needs the address of a served venue, as http://127.0.0.1:8081")
    parts = urlsplit(url.replace("//localhost", "//127.0.0.1"))
    if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        raise Untrusted(f"mode {mode.value} trades on this machine only: {url} must be http://127.0.0.1:PORT")
    return Address(f"http://{parts.netloc}", f"ws://{parts.netloc}")


def keys(mode: Mode, environment: Mapping[str, str] = os.environ) -> Keys:
    """What requests of `mode` are signed with."""
    if mode.served:
        return _SERVED
    found = tuple(environment.get(name) or _kept(name) for name in _VARIABLES)
    if missing := [name for name, value in zip(_VARIABLES, found, strict=True) if not value]:
        raise Untrusted(
            f"mode {mode.value} needs {' and '.join(missing)}: set them in the environment, or keep them with"
            f" `keyring set {_SERVICE} {missing[0]}`"
        )
    return Keys(*found)


def connector(mode: Mode, most: int, trusted: str) -> aiohttp.TCPConnector:
    """What makes at most so many connections, to whom the certificates in the file `trusted` vouch for; in a served
    mode it looks up no name, and stays on this machine."""
    if mode.served:
        return aiohttp.TCPConnector(limit=most, resolver=_NoNames(), socket_factory=_on_this_machine)
    return aiohttp.TCPConnector(limit=most, ssl=ssl.create_default_context(cafile=trusted))


# --- below ------------------------------------------------------------------------------------------------


def _kept(name: str) -> str:
    """From the system's keyring, where there is one."""
    if find_spec("keyring") is None:
        return ""
    return import_module("keyring").get_password(_SERVICE, name) or ""


class _NoNames(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        raise PermissionError(f"{host} is not on this machine: this mode looks up no names")

    async def close(self) -> None:
        pass


def _on_this_machine(place: Any) -> socket.socket:
    """A socket for `place`, which is as `getaddrinfo` says it."""
    family, kind, protocol, _, where = place
    if not _is_loopback(str(where[0])):
        raise PermissionError(f"{where[0]} is not on this machine: this mode reaches nothing else")
    return socket.socket(family, kind, protocol)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
