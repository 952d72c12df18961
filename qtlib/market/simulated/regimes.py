"""Regimes: what happens to the simulated market on demand, and when.

A bull market, a crash and a sideways market name where prices go: from where they are to `size_frac` more (or less), by
the end of the regime to the tick, on a way that wanders as prices do. In an outage nothing trades: bars stand still
with no volume, as a venue's own record has them, while the world goes on. A delisting is an outage without an end.
Everything else, chance included, is what it would be without them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qtlib.market.timeframes import HOUR, Micros

Array = npt.NDArray[np.float64]

DAY = 24 * HOUR  # [µs]
FOREVER = np.iinfo(np.int64).max


class Kind(NamedTuple):
    """What a regime does where its own numbers are not given."""

    days: float  # inf: it does not end
    size_frac: float | None  # None: prices go where they go
    volatility: float = 1.0  # times the usual
    silent: bool = False
    half_life_h: float = np.inf  # how fast prices come back to their way


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "bull": Kind(60.0, 0.80),
        "crash": Kind(0.5, -0.40, volatility=2.0),
        "sideways": Kind(30.0, 0.0, half_life_h=48.0),
        "outage": Kind(0.25, None, silent=True),
        "delisting": Kind(np.inf, None, silent=True),
    }
)


@dataclass(frozen=True, slots=True)
class Regime:
    """One thing that happens, to all symbols or to some."""

    kind: str  # one of KINDS
    day: float  # when it begins [days after the market's first open]
    days: float | None = None  # how long it lasts; else as KINDS
    size_frac: float | None = None  # by how much prices have changed at its end; else as KINDS
    symbols: tuple[str, ...] = ()  # none: all

    def __post_init__(self) -> None:
        usual = KINDS.get(self.kind)
        if usual is None:
            raise ValueError(f"regime {self.kind!r} must be one of {', '.join(KINDS)}")
        if self.day < 0 or (self.days is not None and self.days <= 0):
            raise ValueError(f"{self.kind}: day {self.day:g} must be at least 0, and days {self.days} above 0")
        if self.days is not None and usual.days == np.inf:
            raise ValueError(f"{self.kind}: it has no end, so days {self.days:g} says nothing; leave it out")
        if self.size_frac is None:
            return
        if usual.size_frac is None or usual.size_frac == 0:
            raise ValueError(f"{self.kind}: size_frac {self.size_frac:g} says nothing to it; leave it out")
        if self.size_frac <= -1 or self.size_frac * usual.size_frac <= 0:
            wanted = "above 0, as prices rise" if usual.size_frac > 0 else "between -1 and 0, as prices fall"
            raise ValueError(f"{self.kind}: size_frac {self.size_frac:g} must be {wanted}")

    @property
    def its(self) -> Kind:
        return KINDS[self.kind]

    def words(self) -> str:
        size = self.its.size_frac if self.size_frac is None else self.size_frac
        days = self.its.days if self.days is None else self.days
        text = self.kind + (f" of {size:+.0%}" if size else "") + f" on day {self.day:g}"
        return (
            text
            + (f" for {days:g} days" if days < np.inf else "")
            + (f" ({', '.join(self.symbols)})" if self.symbols else "")
        )


class Weather(NamedTuple):
    """What regimes make of some bars; all by (bar, symbol)."""

    volatility: Array  # times the usual
    silent: npt.NDArray[np.bool_]  # nothing trades
    left: npt.NDArray[
        np.int64
    ]  # bars until prices are where they were meant to go, this one included; 0: they are free
    pace: Array  # change of the log price that is meant
    kept: Array  # of a deviation, from one bar to the next


def weather(regimes: Sequence[Regime], symbols: Sequence[str], opens: Micros, start: int, span: int) -> Weather:
    """What holds in the bars that open at `opens`; the market began at `start` [µs], and bars are `span` long [µs]."""
    shape = (len(opens), len(symbols))
    sky = Weather(np.ones(shape), np.zeros(shape, np.bool_), np.zeros(shape, np.int64), np.zeros(shape), np.ones(shape))
    for regime in regimes:
        first, end = _window(regime, start, span)
        rows = np.flatnonzero((opens >= first) & (opens < end))
        columns = np.flatnonzero([not regime.symbols or symbol in regime.symbols for symbol in symbols])
        if not len(rows) or not len(columns):
            continue
        where = np.ix_(rows, columns)
        sky.volatility[where] *= regime.its.volatility
        sky.silent[where] |= regime.its.silent
        if regime.its.size_frac is not None:
            size = regime.its.size_frac if regime.size_frac is None else regime.size_frac
            sky.left[where] = ((end - opens[rows]) // span)[:, None]
            sky.pace[where] = np.log1p(size) / ((end - first) // span)
            sky.kept[where] = 0.5 ** (span / HOUR / regime.its.half_life_h)
    return sky


def guided(moves: Array, sky: Weather, astray: Array) -> tuple[Array, Array]:
    """`moves` of the log price, where they are meant to lead somewhere; and how far from the way they end.

    `astray` is how far from the way each symbol was before. A deviation is a Brownian bridge: what is left of it after
    a bar is what the bars that are left could have made, so that it ends in nothing, and wanders as prices do.
    """
    on = sky.left > 0
    found = moves.copy()
    for bar in np.flatnonzero(on.any(axis=1)):
        left = np.maximum(sky.left[bar], 1)
        home = (left - 1) / left  # 0 in the last bar: every regime ends on its way, and the next begins on its own
        after = astray * np.minimum(home, sky.kept[bar]) + moves[bar] * np.sqrt(home)
        after = np.where(on[bar], after, 0.0)
        found[bar] = np.where(on[bar], sky.pace[bar] + after - astray, moves[bar])
        astray = after
    return found, astray


def check(regimes: Sequence[Regime], symbols: Sequence[str], span: int) -> None:
    """ValueError where two regimes lead the same prices to two places at once, or name who is not there."""
    for number, one in enumerate(regimes):
        if strangers := [symbol for symbol in one.symbols if symbol not in symbols]:
            raise ValueError(f"{one.words()}: {', '.join(strangers)} is none of {', '.join(symbols)}")
        for other in regimes[:number]:
            meet = not one.symbols or not other.symbols or set(one.symbols) & set(other.symbols)
            a, b = _window(one, 0, span), _window(other, 0, span)
            if meet and None not in (one.its.size_frac, other.its.size_frac) and a[0] < b[1] and b[0] < a[1]:
                raise ValueError(f"{other.words()} and {one.words()} overlap, and prices can't go two ways")


def _window(regime: Regime, start: int, span: int) -> tuple[int, int]:
    """From the open of its first bar to the close of its last: one bar at least."""
    days = regime.its.days if regime.days is None else regime.days
    first = start + round(regime.day * DAY / span) * span
    return first, FOREVER if days == np.inf else first + max(1, round(days * DAY / span)) * span
