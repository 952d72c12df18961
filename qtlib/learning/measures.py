"""Measures: the arithmetic that features are made of, of panels and of the changes in them.

Each value reads its own bar and as many before it as its spans say, and is made of + - * / and square roots in
`windows`: so it has the same bits whoever reads it. All are pure numbers. Shapes are (symbols, bars).
"""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from qtlib.domain.panel import Array, Panel
from qtlib.learning.across import leader, mean_across
from qtlib.learning.sharing import shared
from qtlib.learning.windows import mean, ratio, windowed

DAY_US = 24 * 3600 * 1_000_000


class Priced(Protocol):
    """Columns of bars, in whatever they are held."""

    @property
    def high(self) -> Array: ...
    @property
    def low(self) -> Array: ...
    @property
    def close(self) -> Array: ...


@shared
def changes(c: Priced) -> Array:
    """The change of the close over each bar, as a fraction of the close before."""
    out = np.full(c.close.shape, np.nan)
    np.divide(c.close[..., 1:], c.close[..., :-1], out=out[..., 1:])
    out[..., 1:] -= 1.0
    return out


def volatility(change: Array, span: int) -> Array:
    """The typical change of one bar, as a fraction: root mean square over `span` bars, around zero."""
    mean_square = mean(change * change, span)
    return np.sqrt(mean_square, out=mean_square)


def momentum(change: Array, horizon: int, typical: Array) -> Array:
    """The sum of the last `horizon` changes in units of its own standard deviation, were they without trend.

    `typical` is the volatility of one bar. Time-series momentum scaled by volatility: Moskowitz, Ooi, Pedersen, "Time
    series momentum", Journal of Financial Economics 104 (2012).
    """
    return ratio(windowed(np.add, change, horizon), typical * math.sqrt(horizon))


@shared
def usual(p: Priced, span: int) -> Array:
    """The volatility of one bar over `span` bars."""
    return volatility(changes(p), span)


@shared
def pace(p: Priced, horizon: int, span: int) -> Array:
    """Momentum over `horizon` bars, where `span` bars say what is usual."""
    return momentum(changes(p), horizon, usual(p, span))


@shared
def true_range_frac(c: Priced, span: int) -> Array:
    """Average true range as a fraction of the close (Wilder 1978), as a plain mean over `span` bars."""
    spread = np.full(c.close.shape, np.nan)
    before = c.close[..., :-1]
    np.subtract(np.maximum(c.high[..., 1:], before), np.minimum(c.low[..., 1:], before), out=spread[..., 1:])
    return mean(spread, span) / c.close


def channel(c: Priced, span: int) -> Array:
    """Where the close lies between the lowest low (-1) and the highest high (+1) of `span` bars (Donchian)."""
    top, bottom = windowed(np.maximum, c.high, span), windowed(np.minimum, c.low, span)
    return ratio((c.close - bottom) - (top - c.close), top - bottom)


def downside(p: Panel, span: int) -> Array:
    """The share of falls in the sum of squared changes, 0 .. 1: half of it, where rises and falls are alike."""
    change = changes(p)
    return ratio(mean(np.minimum(change, 0.0) * change, span), usual(p, span) * usual(p, span))


def jumps(p: Panel, span: int) -> Array:
    """The share of the largest in the sum of squared changes, up to 1: all that moved was one jump."""
    square = changes(p) * changes(p)
    return ratio(windowed(np.maximum, square, span), windowed(np.add, square, span))


def skew(p: Panel, span: int) -> Array:
    """The mean cube of changes over that of their volatility: which side the large ones are on."""
    change, typical = changes(p), usual(p, span)
    return ratio(mean(change * change * change, span), typical * typical * typical)


def efficiency(p: Panel, span: int) -> Array:
    """The way made good over the way gone, signed, -1 .. +1 (Kaufman's efficiency ratio)."""
    return ratio(windowed(np.add, changes(p), span), way(p, span))


@shared
def way(p: Panel, span: int) -> Array:
    """The sum of what `span` bars went up and down, as fractions."""
    return windowed(np.add, np.abs(changes(p)), span)


@shared
def traded(p: Panel, span: int) -> Array:
    """The volume of `span` bars, in base."""
    return windowed(np.add, p.volume, span)


def wicks(p: Panel, span: int) -> Array:
    """How much of the ranges of `span` bars lay below their bodies rather than above, -1 .. +1: who was turned away."""
    below = np.minimum(p.open, p.close) - p.low
    above = p.high - np.maximum(p.open, p.close)
    return ratio(windowed(np.add, below - above, span), windowed(np.add, p.high - p.low, span))


def volatility_ratio(p: Panel, short: int, long: int) -> Array:
    """Volatility of `short` bars over that of `long` bars: above one, the market wakes up."""
    return ratio(usual(p, short), usual(p, long))


def volume_ratio(p: Panel, short: int, long: int) -> Array:
    """Mean volume of `short` bars over that of `long` bars."""
    return ratio(traded(p, short) / short, traded(p, long) / long)


def signed_volume(p: Panel, span: int) -> Array:
    """The share of volume in bars that rose less that in bars that fell, -1 .. +1."""
    return ratio(windowed(np.add, np.sign(changes(p)) * p.volume, span), traded(p, span))


def illiquidity(p: Panel, short: int, long: int) -> Array:
    """How far prices went for the volume there was, of `short` bars over that of `long` (after Amihud 2002)."""
    return ratio(ratio(way(p, short), traded(p, short)), ratio(way(p, long), traded(p, long)))


def by_clock(turns: int, of: Callable[[float], float]) -> Callable[[Panel], Array]:
    """A wave through `turns` days, at each close; known in advance."""
    minutes = turns * 24 * 60
    table = np.array([of(2.0 * math.pi * minute / minutes) for minute in range(minutes)])
    return lambda p: here(p, table[p.times % (turns * DAY_US) * minutes // (turns * DAY_US)])


def here(p: Panel, values: Array) -> Array:
    """`values`, where the symbol has a bar."""
    return np.where(np.isnan(p.close), np.nan, values)


@shared
def along(p: Panel, span: int) -> Array:
    """The sum of its changes times those of bitcoin."""
    return windowed(np.add, changes(p) * leader(p, changes(p)), span)


def beta(p: Panel, span: int) -> Array:
    """How far it goes when bitcoin goes by one."""
    lead = leader(p, changes(p))
    return ratio(along(p, span), windowed(np.add, lead * lead, span))


def correlation(p: Panel, span: int) -> Array:
    """How much alike its changes and bitcoin's are, -1 .. +1."""
    own = usual(p, span)
    return ratio(along(p, span) / span, own * leader(p, own))


def against_leader(p: Panel, horizon: int, span: int) -> Array:
    """Its momentum less that of bitcoin."""
    own = pace(p, horizon, span)
    return own - leader(p, own)


def against_universe(p: Panel, horizon: int, span: int) -> Array:
    """Its momentum less the mean of the universe."""
    own = pace(p, horizon, span)
    return own - mean_across(own)
