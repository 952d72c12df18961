"""How much may be asked: weight per minute for everything, orders per ten seconds and per minute on top.

Windows are those of the wall clock. Too much weight is 429 until the minute is over; who goes on regardless is
banned (418). Every reply says how much is used, so that a client can slow down before it is told to. A market that
runs faster than the wall clock allows as much more in a minute as it lives through; a stepped one, as much as its
steps may need. What is allowed is listed in `exchangeInfo`.
"""

from collections.abc import Callable
from math import ceil

from qtlib.exchanges.simulated.served.words import Document, Refusal
from qtlib.exchanges.windows import Window

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


class Limits:
    """What is used, by the clock `wall`; in each window `times` as much may be as the venue allows."""

    def __init__(self, wall: Callable[[], float], times: int = 1) -> None:
        self._wall = wall
        self._weight, self._refused = Window(60, WEIGHT_1M * times), Window(60, DEAF_AFTER)
        self._orders_10s, self._orders_1m = Window(10, ORDERS_10S * times), Window(60, ORDERS_1M * times)
        self._banned_until = 0.0

    def weigh(self, weight: int) -> None:
        """Count a request of this `weight`, or refuse it."""
        now = self._wall()
        if now < self._banned_until:
            wait = int(self._banned_until - now) + 1
            raise Refusal(-1003, "Way too many requests; IP banned.", 418, {"Retry-After": str(wait)})
        used = self._weight.at(now)
        used.used += weight
        if used.used <= used.most:
            return
        refused = self._refused.at(now)
        refused.used += 1
        if refused.used > refused.most:
            self._banned_until = now + BAN_S
        text = f"Too many requests; current limit is {used.most} requests per minute."
        raise Refusal(-1003, text, 429, {"Retry-After": str(max(1, int(used.left_s(now)) + 1))})

    def order(self, short: int = 1, long: int = 1) -> None:
        """Count a placement: `short` in the ten seconds, `long` in the minute; or refuse it."""
        now = self._wall()
        for window, count in ((self._orders_10s, short), (self._orders_1m, long)):
            if window.at(now).used + count > window.most:
                text = f"Too many new orders; current limit is {window.most} orders per {window.seconds}s."
                raise Refusal(-1015, text)
        self._orders_10s.used += short
        self._orders_1m.used += long

    def told(self, placing: bool) -> list[Document]:
        """What is allowed, and how much of it is used; of orders only where one is placed."""
        orders = self.orders_told() if placing else []
        return [_limit("REQUEST_WEIGHT", "MINUTE", 1, self._weight.at(self._wall())), *orders]

    def orders_told(self) -> list[Document]:
        """What is allowed of orders, and how much of it is used."""
        now = self._wall()
        return [
            _limit("ORDERS", "MINUTE", 1, self._orders_1m.at(now)),
            _limit("ORDERS", "SECOND", 10, self._orders_10s.at(now)),
        ]

    def headers(self, placing: bool) -> dict[str, str]:
        """What a reply says about what is used; of orders only where one is placed."""
        now = self._wall()
        said = {"X-MBX-USED-WEIGHT-1M": str(self._weight.at(now).used)}
        if placing:
            said["X-MBX-ORDER-COUNT-10S"] = str(self._orders_10s.at(now).used)
            said["X-MBX-ORDER-COUNT-1M"] = str(self._orders_1m.at(now).used)
        return said


def _limit(kind: str, interval: str, intervals: int, window: Window) -> Document:
    said = {"rateLimitType": kind, "interval": interval, "intervalNum": intervals}
    return {**said, "limit": window.most, "count": window.used}
