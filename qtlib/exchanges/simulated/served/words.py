"""How the venue reads and writes: decimals as text, times in milliseconds, a refusal as a code with its words.

What a client sent is read through `Asked`, which refuses in the venue's words what is missing or makes no sense.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar

from qtlib.domain.account import exact
from qtlib.domain.events import START
from qtlib.exchanges.port import Refused

Choice = TypeVar("Choice", bound=Enum)
Document = dict[str, Any]

MONEY = Decimal("0.00000001")
SKEW_S: ContextVar[float] = ContextVar("skew_s", default=0.0)  # by how far the clock is ahead, for one request


class Refusal(Exception):
    """The venue understood and says no: what the client is answered, and with which HTTP status."""

    def __init__(
        self, code: int, text: str, status: int = 400, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text, self.status, self.headers = code, text, status, headers

    @staticmethod
    def of(said: str) -> "Refusal":
        """From the engine's words, `code: text`.

        >>> Refusal.of("-2019: Margin is insufficient.").code
        -2019
        """
        code, _, text = said.partition(": ")
        return Refusal(int(code), text)

    @staticmethod
    @contextmanager
    def in_words() -> Iterator[None]:
        """What the engine refuses meanwhile is refused over the wire, in its words."""
        try:
            yield
        except Refused as no:
            raise Refusal.of(str(no)) from no

    @property
    def document(self) -> Document:
        return {"code": self.code, "msg": self.text}


SUCCESS: Document = {"code": 200, "msg": "success"}


def in_steps(value: Decimal | float, step: Decimal) -> str:
    """`value` with as many decimals as `step` is written with.

    >>> in_steps(60000.5, Decimal("0.10")), in_steps(Decimal("1E+1"), Decimal("1"))
    ('60000.50', '10')
    """
    number = value if isinstance(value, Decimal) else exact(value)
    exponent = step.as_tuple().exponent
    return f"{number:.{max(0, -exponent) if isinstance(exponent, int) else 0}f}"


def money(value: Decimal | float) -> str:
    """`value` to the eighth decimal, as balances, margins and fees are written."""
    return in_steps(value, MONEY)


def ms_of(ts: datetime) -> int:
    """`ts` in whole milliseconds since 1970."""
    return (ts - START) // timedelta(milliseconds=1)


def wall_ms() -> int:
    """The time that clients sign with."""
    return time.time_ns() // 1_000_000 + int(SKEW_S.get() * 1000)


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of one request, as text."""

    values: Mapping[str, str]

    def text(self, name: str) -> str | None:
        """The value of `name`; None if it was not sent, or empty."""
        return self.values.get(name) or None

    def needed(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise malformed(name)
        return value

    def whole(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            return int(value)
        except ValueError:
            raise malformed(name) from None

    def decimal(self, name: str) -> Decimal | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise malformed(name) from None
        if not number.is_finite():
            raise malformed(name)
        return number

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "false").lower()
        if value not in ("true", "false"):
            raise malformed(name)
        return value == "true"

    def choice(self, name: str, kind: type[Choice], refusal: Refusal) -> Choice:
        """One of the values of `kind`, or `refusal`."""
        try:
            return kind(self.needed(name))
        except ValueError:
            raise refusal from None

    def only(self, name: str, allowed: tuple[str, ...], why: str) -> None:
        """What this venue does not do is refused rather than ignored."""
        value = self.text(name)
        if value is not None and value.upper() not in allowed:
            raise Refusal(-1128, f"{name}={value} is not offered by this simulated venue: {why}")

    def limit(self, default: int, most: int) -> int:
        count = self.whole("limit")
        if count is None:
            return default
        if not 1 <= count <= most:
            raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        return count


def malformed(name: str) -> Refusal:
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
