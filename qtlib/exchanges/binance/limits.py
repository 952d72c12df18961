"""How much may be asked: one limiter for all calls, by the venue's own weights, before the venue has to say no.

What a reply says is used counts; between replies we count along. What protects (orders that only reduce, and ends of
orders) is held back by the hard limit alone; all else stops a little below, and lets those go first when a minute
turns. Nobody asks anything while the venue told us to be quiet.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qtlib.exchanges.port import Unavailable
from qtlib.exchanges.windows import Window

SPARE_FRAC = 0.1  # of each limit, kept for what protects
_HEAD_START_S = 0.1  # of what protects, when a window turns

_CANDLES = ((100, 1), (500, 2), (1001, 5))
_FLAT = {
    "account": 5,
    "positionRisk": 5,
    "symbolConfig": 5,
    "accountConfig": 5,
    "commissionRate": 20,
    "userTrades": 5,
    "allOrders": 5,
    "allAlgoOrders": 5,
    "income": 30,
    "fundingRate": 0,  # these two have a pool of their own
    "fundingInfo": 0,
}
_PER_SYMBOL = {"openOrders": (1, 40), "openAlgoOrders": (1, 40), "premiumIndex": (1, 10), "ticker/bookTicker": (2, 5)}
_QUESTIONS = {"positionSide/dual": 30, "multiAssetsMargin": 30, "feeBurn": 30}  # asked for; set, they weigh 1
PLACING = frozenset(("order", "algoOrder"))


def weight_of(method: str, path: str, params: Mapping[str, Any]) -> int:
    """What a request counts against the minute's weight.

    >>> weight_of("GET", "openOrders", {}), weight_of("GET", "klines", {"limit": 500}), weight_of("POST", "order", {})
    (40, 5, 0)
    """
    if path in PLACING and method == "POST":
        return 0
    if path in ("klines", "markPriceKlines"):
        limit = int(params.get("limit", 500))
        return next((weight for bound, weight in _CANDLES if limit < bound), 10)
    if path in _PER_SYMBOL:
        return _PER_SYMBOL[path]["symbol" not in params]
    if path in _QUESTIONS and method == "GET":
        return _QUESTIONS[path]
    return _FLAT.get(path, 1)


def protects(method: str, path: str, params: Mapping[str, Any]) -> bool:
    """Whether a request can only make us safer: it reduces, ends an order, or looks for one and its trades."""
    if path not in PLACING:
        return path == "userTrades"
    return method != "POST" or "reduceOnly" in params or "closePosition" in params


@dataclass(slots=True)
class Limits:
    """Belongs to one event loop. `wall` is the venue's time in seconds, as well as we know it."""

    wall: Callable[[], float] = time.time
    weight: Window = field(default_factory=lambda: Window(60, 2_400))
    orders_10s: Window = field(default_factory=lambda: Window(10, 300))
    orders_1m: Window = field(default_factory=lambda: Window(60, 1_200))
    _quiet_until: float = 0.0
    _why_quiet: str = ""

    async def room(self, weight: int, places: bool, urgent: bool, patience_s: float) -> None:
        """Wait until a request may be sent and count it; Unavailable, and nothing sent, where that takes too long."""
        waited = 0.0
        while wait := self.wait_s(weight, places, urgent):
            if waited + wait > patience_s:
                why = self._why_quiet or f"{self.weight.used} of {self.weight.most} weight is used in this minute"
                raise Unavailable(f"not sent: {why}; {wait:.1f} s to wait")
            await asyncio.sleep(wait)
            waited += wait
        self.weight.used += weight
        if places:
            self.orders_10s.used += 1
            self.orders_1m.used += 1

    def wait_s(self, weight: int, places: bool, urgent: bool) -> float:
        """How long a request has to wait now."""
        now = self.wall()
        if now < self._quiet_until:
            return self._quiet_until - now
        self._why_quiet = ""
        full = [self.weight] if self._is_full(self.weight.at(now), weight, urgent) else []
        if places:
            full += [w for w in (self.orders_10s, self.orders_1m) if self._is_full(w.at(now), 1, urgent)]
        return max((w.left_s(now) + (0 if urgent else _HEAD_START_S) for w in full), default=0.0)

    def heard(self, headers: Mapping[str, str]) -> None:
        """Believe what a reply says is used."""
        now = self.wall()
        for name, window in (
            ("X-MBX-USED-WEIGHT-1M", self.weight),
            ("X-MBX-ORDER-COUNT-10S", self.orders_10s),
            ("X-MBX-ORDER-COUNT-1M", self.orders_1m),
        ):
            said = headers.get(name, "")
            if said.isdigit():
                window.at(now).used = int(said)

    def allow(self, rate_limits: list[dict[str, Any]]) -> None:
        """Take the limits from what the venue lists of itself."""
        windows = {
            ("REQUEST_WEIGHT", 60): self.weight,
            ("ORDERS", 10): self.orders_10s,
            ("ORDERS", 60): self.orders_1m,
        }
        seconds = {"SECOND": 1, "MINUTE": 60}
        for row in rate_limits:
            length = seconds.get(row["interval"], 0) * int(row["intervalNum"])
            if window := windows.get((row["rateLimitType"], length)):
                window.most = int(row["limit"])

    def quiet(self, seconds: float, why: str) -> None:
        """Send nothing for so long."""
        self._quiet_until, self._why_quiet = max(self._quiet_until, self.wall() + seconds), why

    # --- below ------------------------------------------------------------------------------------------------

    def _is_full(self, window: Window, more: int, urgent: bool) -> bool:
        if not more:
            return False
        most = window.most if urgent else window.most * (1 - SPARE_FRAC)
        return window.used > 0 and window.used + more > most
