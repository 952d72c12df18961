"""Events and states as JSON text, and back, exactly. The dataclasses are the schema; nothing is written twice.

Law: `decode(kind, encode(event)) == event`, digit for digit. What JSON would lose is refused when it is
written, not found out when it is read: a number that is not finite, a time that is not UTC, a foreign type.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import msgspec

from qtlib.domain import account, advance, commands, decisions, events, learned, market, orders, state, universe
from qtlib.domain.commands import Command
from qtlib.domain.events import Event
from qtlib.domain.state import State
from qtlib.journal.errors import Corrupt, Unwritable

KINDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}


def encode(event: Event) -> str:
    """`event` as JSON text that `decode` turns into the same event, or `Unwritable` and the field that would not."""
    if event.ts.tzinfo is not UTC and event.ts.utcoffset() != timedelta(0):
        raise Unwritable(f"{type(event).__name__}.ts is {event.ts!r}: times in a journal are aware, and UTC")
    return _exact(event)


def decode(kind: str, payload: str | bytes) -> Event:
    """The event of this `kind` that `payload` says."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise Corrupt(f"an event of kind {kind!r} is none that this qtlib knows: {', '.join(KINDS)}; update qtlib")
    try:
        event: Event = decoder.decode(payload)
    except msgspec.DecodeError as why:
        raise Corrupt(f"a {kind} does not read: {why}; restore the journal from a backup") from why
    return event


def encode_command(command: Command) -> str:
    return _exact(command)


def decode_command(payload: str | bytes) -> Command:
    try:
        command: Command = _DECODERS[Command.__name__].decode(payload)
    except msgspec.DecodeError as why:
        raise Corrupt(f"a command does not read: {why}; ask again") from why
    return command


def encode_state(value: State) -> str:
    return _exact(value)


def decode_state(payload: str | bytes) -> State:
    try:
        value: State = _DECODERS[State.__name__].decode(payload)
    except msgspec.DecodeError as why:
        raise Corrupt(f"a snapshot does not read: {why}") from why
    return value


@cache
def state_format() -> str:
    """Names the arithmetic that states come from: a snapshot made by another one is folded anew, not believed."""
    modules = (account, advance, commands, decisions, events, learned, market, orders, state, universe)
    sources = (Path(str(module.__file__)).read_bytes() for module in modules)
    return sha256(b"\0".join(sources)).hexdigest()[:16]


def _exact(value: Event | Command | State) -> str:
    name = type(value).__name__
    try:
        payload = _ENCODER.encode(value).decode()
        # JSON has no inf and no nan: they would come back as null. Most events have no null at all.
        whole = ("null" not in payload and "NaN" not in payload) or _DECODERS[name].decode(payload) == value
    except (TypeError, ValueError) as why:
        raise Unwritable(f"{_lost(value, name) or name} can't be written down: {why}") from why
    if not whole:
        raise Unwritable(f"{_lost(value, name) or name} can't be written down: it would not read back the same")
    return payload


def _plain(value: Any) -> Any:
    """`value` as the plain thing it is a kind of, for what comes out of arrays and frames."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return datetime.fromisoformat(value.isoformat())
    raise TypeError(f"a journal holds plain values, and {value!r} is a {type(value).__name__}")


def _lost(value: Any, path: str) -> str:
    """Where in `value` the first number that is not finite stands, and which it is; empty if there is none."""
    if isinstance(value, float):
        return "" if isfinite(value) else f"{path} = {value}"
    if isinstance(value, Decimal):
        return "" if value.is_finite() else f"{path} = {value}"
    return next(filter(None, (_lost(part, f"{path}.{name}") for name, part in _parts(value))), "")


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if dataclasses.is_dataclass(value):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    elif isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, tuple):
        yield from zip(getattr(value, "_fields", range(len(value))), value, strict=True)


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
_DECODERS: dict[str, Any] = {kind.__name__: msgspec.json.Decoder(kind) for kind in (*KINDS.values(), Command, State)}
