"""The way prices took through a bar, and when they reached a level on it.

Open, high, low and close do not say what came first, so the venue assumes the way that hurts: from the open to the
extreme against the position, to the other extreme, to the close. An instant on this way is a float: 0 is the open,
1 the first extreme, 2 the second, 3 the close; in between prices move in straight lines. Last and mark prices
walk side by side, so every trigger, fill and liquidation of a bar has its place on one line of time.

Pure functions of floats. `sign` +1 asks for prices at or above a level, -1 for prices at or below.
"""

from collections.abc import Callable
from typing import NamedTuple

from qtlib.domain.market import Bar

Path = tuple[float, float, float, float]

END = 3.0


def path(bar: Bar, short: bool) -> Path:
    """The way through `bar` that is worst for a position: to the low first, or for a short one to the high."""
    first, second = (bar.high, bar.low) if short else (bar.low, bar.high)
    return bar.open, first, second, bar.close


def price_at(way: Path, instant: float) -> float:
    """The price at `instant`; exact at the four corners."""
    corner = min(int(instant), 3)
    start = way[corner]
    part = instant - corner
    return start if part == 0 else start + (way[corner + 1] - start) * part


def reaches(way: Path, level: float, since: float, sign: int, beyond: bool = False) -> float | None:
    """The first instant from `since` on at which the price is at `level` or further; `beyond`: and goes through it.

    >>> falling = (100.0, 90.0, 104.0, 101.0)
    >>> reaches(falling, 95.0, since=0.0, sign=-1), reaches(falling, 104.0, since=0.0, sign=+1)
    (0.5, 2.0)
    >>> reaches(falling, 90.0, since=0.0, sign=-1, beyond=True) is None
    True
    """
    if _is_past(price_at(way, since), level, sign, beyond):
        return since
    for corner in range(int(since), 3):
        start, end = way[corner], way[corner + 1]
        if _is_past(end, level, sign, beyond):
            return max(since, corner + (level - start) / (end - start))
    return None


class Trail(NamedTuple):
    """A trailing stop after a walk."""

    extreme: float | None  # the best price since it woke; None: it sleeps
    fires: float | None  # when, if it does
    level: float = 0.0  # at what price: where the trail was then, or the open if that gapped beyond


def trail(way: Path, sign: int, callback_frac: float, activation: float | None, extreme: float | None) -> Trail:
    """A trailing stop's walk: it wakes at its activation, keeps the best price, fires `callback_frac` behind it.

    `sign` is that of its order: one that sells trails a rising price from below.

    >>> trail((100.0, 99.0, 110.0, 104.0), sign=-1, callback_frac=0.05, activation=None, extreme=100.0)
    Trail(extreme=110.0, fires=2.9166666666666665, level=104.5)
    >>> trail((100.0, 99.0, 110.0, 104.0), sign=-1, callback_frac=0.05, activation=120.0, extreme=None)
    Trail(extreme=None, fires=None, level=0.0)
    """
    best = min if sign > 0 else max
    for corner in range(4):
        here = way[corner]
        if extreme is not None:
            level = extreme * (1 + sign * callback_frac)
            if _is_past(here, level, sign, beyond=False):
                if corner == 0:
                    return Trail(extreme, 0.0, here)
                start = way[corner - 1]
                return Trail(extreme, corner - 1 + (level - start) / (here - start), level)
            extreme = best(extreme, here)
        elif activation is None or _is_past(here, activation, -sign, beyond=False):
            extreme = here
    return Trail(extreme, None)


def runs_out(left: Callable[[float], float], since: float) -> float | None:
    """The first instant from `since` on at which `left` is not above zero.

    `left` is what a margin balance exceeds its maintenance by. Profit is linear in the price and maintenance margin
    bends upward only, so between two corners `left` bends downward only: positive at both ends, it is positive
    between them, and no instant of danger can hide.
    """
    if left(since) <= 0:
        return since
    safe = since
    for corner in range(int(since) + 1, 4):
        if left(corner) <= 0:
            low, high = safe, float(corner)
            while low < (middle := (low + high) / 2) < high:
                low, high = (middle, high) if left(middle) > 0 else (low, middle)
            return high
        safe = float(corner)
    return None


def _is_past(price: float, level: float, sign: int, beyond: bool) -> bool:
    return sign * (price - level) > 0 if beyond else sign * (price - level) >= 0
