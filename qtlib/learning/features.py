"""Features: named numbers that say something about the bars so far.

A feature is a function of a panel. Its value at a close reads that close and the `lookback - 1` before it, nothing
else, and is NaN where there are not so many. The same bits come out whether it is given the whole past or those
bars alone, because live and backtest must decide alike. So everything here is made of + - * / and square roots (IEEE
754 rounds them in one way only, on every machine, in vectors or one by one), a window is summed in an order that
depends on its length alone, and nothing accumulates. All are pure numbers: prices times ten change nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from qtlib.domain.panel import Array, Panel


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    lookback: int  # closes that the last value depends on
    of: Callable[[Panel], Array]  # of shape (symbols, bars)


def changes(p: Panel) -> Array:
    """The change of the close over each bar, as a fraction of the close before."""
    out = np.full_like(p.close, np.nan)
    np.divide(p.close[..., 1:], p.close[..., :-1], out=out[..., 1:])
    out[..., 1:] -= 1.0
    return out


def volatility(change: Array, span: int) -> Array:
    """The typical change of one bar, as a fraction: root mean square over `span` bars, around zero."""
    mean_square = windowed(np.add, change * change, span) / span
    return np.sqrt(mean_square, out=mean_square)


def momentum(change: Array, horizon: int, typical: Array) -> Array:
    """The sum of the last `horizon` changes in units of its own standard deviation, were they without trend.

    `typical` is the volatility of one bar. Time-series momentum scaled by volatility: Moskowitz, Ooi, Pedersen, "Time
    series momentum", Journal of Financial Economics 104 (2012).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return windowed(np.add, change, horizon) / (typical * math.sqrt(horizon))


def true_range_frac(p: Panel, span: int) -> Array:
    """Average true range as a fraction of the close (Wilder 1978), as a plain mean over `span` bars."""
    spread = np.full_like(p.close, np.nan)
    before = p.close[..., :-1]
    np.subtract(np.maximum(p.high[..., 1:], before), np.minimum(p.low[..., 1:], before), out=spread[..., 1:])
    return windowed(np.add, spread, span) / span / p.close


def channel(p: Panel, span: int) -> Array:
    """Where the close lies between the lowest low (-1) and the highest high (+1) of `span` bars (Donchian)."""
    top, bottom = windowed(np.maximum, p.high, span), windowed(np.minimum, p.low, span)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((p.close - bottom) - (top - p.close)) / (top - bottom)


def volume_ratio(p: Panel, short: int, long: int) -> Array:
    """Mean volume of `short` bars over that of `long` bars."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (windowed(np.add, p.volume, short) / short) / (windowed(np.add, p.volume, long) / long)


def volatility_ratio(p: Panel, short: int, long: int) -> Array:
    """Volatility of `short` bars over that of `long` bars: above one, the market wakes up."""
    change = changes(p)
    with np.errstate(invalid="ignore", divide="ignore"):
        return volatility(change, short) / volatility(change, long)


def windowed(join: np.ufunc, values: Array, span: int) -> Array:
    """`join` (an add, a maximum) over the last `span` values along the last axis, NaN before.

    The order of joining depends on `span` alone:
    windows of 2, 4, 8 … are each made of two halves, and the window asked for is put together from those.

    >>> windowed(np.add, np.array([1.0, 2.0, 4.0, 8.0]), 3).tolist()
    [nan, nan, 7.0, 14.0]
    """
    size = values.shape[-1]
    out = np.full_like(values, np.nan)
    if span > size:
        return out
    block, length = values, 1  # block[..., i] joins values[..., i : i + length]
    total, done = None, 0  # total[..., i] joins values[..., i : i + done]
    while True:
        if span & length:
            total = block if total is None else join(total[..., : size - done - length + 1], block[..., done:])
            done += length
        if done == span:
            break
        block = join(block[..., :-length], block[..., length:])
        length *= 2
    assert total is not None
    out[..., span - 1 :] = total
    return out


def _momentum(horizon: int, span: int) -> Feature:
    def of(p: Panel) -> Array:
        change = changes(p)
        return momentum(change, horizon, volatility(change, span))

    return Feature(f"momentum_{horizon}", max(horizon, span) + 1, of)


_ALL = (
    _momentum(24, 168),
    _momentum(72, 168),
    _momentum(168, 168),
    Feature("volatility_168", 169, lambda p: volatility(changes(p), 168)),
    Feature("volatility_ratio_24_168", 169, lambda p: volatility_ratio(p, 24, 168)),
    Feature("true_range_frac_14", 15, lambda p: true_range_frac(p, 14)),
    Feature("channel_48", 48, lambda p: channel(p, 48)),
    Feature("volume_ratio_24_168", 168, lambda p: volume_ratio(p, 24, 168)),
)

FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in _ALL}
