"""How much may be asked: weight per minute for everything, orders per ten seconds and per minute on top.

Windows are those of the wall clock. Too much weight is 429 until the minute is over; who goes on regardless is
banned (418). Every reply says how much is used, so that a client can slow down before it is told to. A market that
runs faster than the wall clock allows as much more in a minute as it lives through; a stepped one, as much as its
steps may need. What is allowed is listed in `exchangeInfo`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from qtlib.exchanges.simulated.served.words import Document, Refusal

WEIGHT_1M = 2_400
ORDERS_10S, ORDERS_1M = 300, 1_200
DEAF_AFTER = 20  # refused requests in one minute, then the ban: the venue does not say its number
BAN_S = 120
STEPPED = 1_000  # times the usual: a stepped market has no minutes


def times_of(speed: float | None) -> int:
    """How many times the usual is allowed where the market runs at `speed` (None: it is stepped).

    >>> times_of(1.0), times_of(59.5), times_of(None)
    (1, 60, 1000)
    """
    return STEPPED if speed is None else max(1, ceil(speed))


@dataclass(slots=True)
class Window:
    """A count that begins anew with every `seconds` of the wall clock."""

    seconds: int
    used: int = 0
    number: int = -1

    def at(self, now: float) -> "Window":
        if (number := int(now // self.seconds)) != self.number:
            self.number, self.used = number, 0
        return self

    def left_s(self, now: float) -> int:
        return max(1, int(self.seconds - now % self.seconds) + 1)


@dataclass(slots=True)
class Limits:
    wall: Callable[[], float]
    times: int = 1  # what the venue allows, multiplied
    _weight: Window = field(default_factory=lambda: Window(60))
    _refused: Window = field(default_factory=lambda: Window(60))
    _orders_10s: Window = field(default_factory=lambda: Window(10))
    _orders_1m: Window = field(default_factory=lambda: Window(60))
    _banned_until: float = 0.0

    def weigh(self, weight: int) -> None:
        """Count a request of this `weight`, or refuse it."""
        now = self.wall()
        if now < self._banned_until:
            wait = int(self._banned_until - now) + 1
            raise Refusal(-1003, "Way too many requests; IP banned.", 418, {"Retry-After": str(wait)})
        used = self._weight.at(now)
        used.used += weight
        most = WEIGHT_1M * self.times
        if used.used <= most:
            return
        refused = self._refused.at(now)
        refused.used += 1
        if refused.used > DEAF_AFTER:
            self._banned_until = now + BAN_S
        text = f"Too many requests; current limit is {most} requests per minute."
        raise Refusal(-1003, text, 429, {"Retry-After": str(used.left_s(now))})

    def order(self, short: int = 1, long: int = 1) -> None:
        """Count a placement: `short` in the ten seconds, `long` in the minute; or refuse it."""
        now = self.wall()
        for window, count, usual in ((self._orders_10s, short, ORDERS_10S), (self._orders_1m, long, ORDERS_1M)):
            most = usual * self.times
            if window.at(now).used + count > most:
                raise Refusal(-1015, f"Too many new orders; current limit is {most} orders per {window.seconds}s.")
        self._orders_10s.used += short
        self._orders_1m.used += long

    def told(self, placing: bool) -> list[Document]:
        """What is allowed, and how much of it is used; of orders only where one is placed."""
        orders = self.orders_told() if placing else []
        used = self._weight.at(self.wall()).used
        return [_limit("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_1M * self.times, count=used), *orders]

    def orders_told(self) -> list[Document]:
        """What is allowed of orders, and how much of it is used."""
        now = self.wall()
        short, long = self._orders_10s.at(now).used, self._orders_1m.at(now).used
        return [
            _limit("ORDERS", "MINUTE", 1, ORDERS_1M * self.times, count=long),
            _limit("ORDERS", "SECOND", 10, ORDERS_10S * self.times, count=short),
        ]

    def headers(self, placing: bool) -> dict[str, str]:
        """What a reply says about what is used; of orders only where one is placed."""
        now = self.wall()
        said = {"X-MBX-USED-WEIGHT-1M": str(self._weight.at(now).used)}
        if placing:
            said["X-MBX-ORDER-COUNT-10S"] = str(self._orders_10s.at(now).used)
            said["X-MBX-ORDER-COUNT-1M"] = str(self._orders_1m.at(now).used)
        return said


def _limit(kind: str, interval: str, intervals: int, most: int, count: int) -> Document:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": intervals, "limit": most, "count": count}
