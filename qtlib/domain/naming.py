"""How orders are named, and what a name tells: whose an order is, and what it is for.

A name follows from the state alone (symbol, role, bar time, the journal's count of requests), so the same wish gets
the same name after a crash; and the role can be read off it where all else about an order was lost.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from qtlib.domain.orders import OrderIntent, Role

PREFIX = "qt-"  # of every client id of ours: what lacks it was not ordered by us
TRIAL = (
    f"{PREFIX}trial-"  # of a stop that a start-up only tries out: one that is found was left by a start-up that died
)

_CODES = {Role.ENTRY: "e", Role.EXIT: "x", Role.STOP_LOSS: "s", Role.TAKE_PROFIT: "t", Role.NET_STOP: "n"}
_ROLES = {code: role for role, code in _CODES.items()}
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PARTS = 4  # prefix, symbol, role and bar time, number


def name_of(intent: OrderIntent, ts: datetime, number: int) -> str:
    """The client id of the `number`th order ever requested, wished at the bar that closed at `ts`."""
    return named(intent.symbol, intent.role, _minutes(ts), number)


def named(symbol: str, role: Role, minutes: int, number: int) -> str:
    """The same, of a bar that closed so many minutes after 1970."""
    return f"{PREFIX}{symbol}-{_CODES[role]}{_base36(minutes)}-{_base36(number)}"


def all_named(symbols: Sequence[str], role: Role, places: Any, minutes: Any, numbers: Any) -> npt.NDArray[np.bytes_]:
    """The same of many: `places` says by number which of `symbols` each is of. In UTF-8.

    >>> all_named(["BTCUSDT"], Role.ENTRY, np.array([0, 0]), np.array([27_000_000, 60]), np.array([71, 0])).tolist()
    [b'qt-BTCUSDT-eg2pc0-1z', b'qt-BTCUSDT-e1o-0']
    """
    heads = np.array([f"{PREFIX}{symbol}-{_CODES[role]}".encode() for symbol in symbols])
    dated = np.strings.add(heads[places], _all_base36(minutes))
    return np.strings.add(np.strings.add(dated, b"-"), _all_base36(numbers))


def role_of(client_id: str) -> Role:
    """Why the order of this name exists; FOREIGN if the name is not one of ours.

    >>> role_of("qt-BTCUSDT-sgr0s0-1z"), role_of("web_17"), role_of("qt-BTCUSDT-?gr0s0-1z")
    (<Role.STOP_LOSS: 'stop_loss'>, <Role.FOREIGN: 'foreign'>, <Role.FOREIGN: 'foreign'>)
    """
    parts = client_id.split("-")
    if not client_id.startswith(PREFIX) or len(parts) != _PARTS:
        return Role.FOREIGN
    return _ROLES.get(parts[2][:1], Role.FOREIGN)


def wished(client_id: str) -> datetime | None:
    """The close at which the order of this name was wished; None if the name is not one of ours.

    >>> wished("qt-BTCUSDT-eh6wo0-1z"), wished("web_17")
    (datetime.datetime(2024, 11, 25, 14, 24, tzinfo=datetime.timezone.utc), None)
    """
    if role_of(client_id) is Role.FOREIGN:
        return None
    return datetime.fromtimestamp(int(client_id.split("-")[2][1:], 36) * 60, UTC)


@lru_cache(maxsize=4)  # the orders of a round are wished at one bar
def _minutes(ts: datetime) -> int:
    return int(ts.timestamp()) // 60


@lru_cache(maxsize=1024)
def _base36(number: int) -> str:
    """
    >>> _base36(0), _base36(35), _base36(36)
    ('0', 'z', '10')
    """
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if not number:
            return digits


def _all_base36(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bytes_]:
    digits = np.frombuffer(_DIGITS.encode(), "S1")
    width = len(_base36(int(numbers.max(initial=0))))
    written = digits[numbers[:, None] // 36 ** np.arange(width)[::-1] % 36]
    bare = np.strings.lstrip(written.view(f"S{width}").ravel(), b"0")
    return np.where(bare == b"", b"0", bare)
