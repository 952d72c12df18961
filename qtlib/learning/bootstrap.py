"""How far a mean may lie from what was seen of it, when neighbours in time resemble each other.

Blocks of neighbouring days are drawn anew, with lengths that vary around a mean (stationary bootstrap: Politis and
Romano, "The stationary bootstrap", JASA 89, 1994), chosen from the series' own autocorrelation (Politis and White,
"Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23, 2004, as corrected by Patton,
Politis and White in 28, 2009). Draws come from a seed: the same numbers give the same bounds.

Percentiles of such draws are too narrow for short series: blocks are few. As Hesterberg ("What teachers should know
about the bootstrap", The American Statistician 69, 2015) widens them, so do we: by Student's quantile for as many
blocks as there are, over the normal one. That also reaches levels that no affordable number of draws would.
"""

from math import ceil, log10, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

DRAWS = 2000
SHORTEST = 8  # steps; less bounds nothing
BASE = 0.025  # the percentile that is read from the draws; farther tails are Student's


class Interval(NamedTuple):
    """A mean with a bound on each side: each is passed by the truth with the chance `level`, if all is as assumed."""

    mean: float
    low: float
    high: float
    size: int  # values that the mean is taken of
    block: float  # mean length of a block, in days or whatever the series is in steps of
    level: float


def mean_interval(values: Array, level: float = 0.05, *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """The mean of a series in time order, and how low and how high the true one may be."""
    return ratio_interval(values, np.ones(len(values)), level, seed=seed, draws=draws)


def ratio_interval(sums: Array, counts: Array, level: float = 0.05, *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """The mean of everything, when step i of a series holds `counts[i]` things that add up to `sums[i]`.

    Steps (days) are drawn, never single things: what happened on one day happened together.
    """
    total = float(counts.sum())
    if total == 0.0:
        return Interval(np.nan, np.nan, np.nan, 0, np.nan, level)
    mean = float(sums.sum()) / total
    spread = sums - mean * counts  # of a ratio, what a day adds to its error
    block = block_length(spread)
    blocks = len(sums) / block
    if len(sums) < SHORTEST or blocks < 2.0:
        return Interval(mean, -np.inf, np.inf, round(total), block, level)
    rows = resampled(len(sums), block, draws, seed)
    weight = counts[rows].sum(axis=1)
    drawn = np.divide(sums[rows].sum(axis=1), weight, out=np.full(draws, mean), where=weight > 0)
    low, high = np.quantile(drawn, (BASE, 1.0 - BASE)) - mean
    wider = _widening(level, blocks)
    return Interval(mean, mean + wider * float(low), mean + wider * float(high), round(total), block, level)


def resampled(size: int, block: float, draws: int, seed: int) -> Indices:
    """`draws` rows of `size` indices each: runs of neighbours around a circle, of mean length `block`."""
    dice = np.random.default_rng(seed)
    anew = dice.random((draws, size)) < 1.0 / max(block, 1.0)
    anew[:, 0] = True
    steps = np.arange(size)
    began = np.maximum.accumulate(np.where(anew, steps, 0), axis=1)
    starts = dice.integers(0, size, (draws, size))
    return np.asarray((np.take_along_axis(starts, began, axis=1) + steps - began) % size, dtype=np.int64)


def block_length(values: Array) -> float:
    """The mean block length that suits the autocorrelation of `values`, at least the cube root of their number.

    That floor is for what a short series can't show of its own dependence.
    """
    size = len(values)
    least = float(np.cbrt(size))
    centred = values - values.mean() if size else values
    variance = float(centred @ centred) / size if size else 0.0
    if size < SHORTEST or variance <= 0.0:
        return max(1.0, least)
    quiet = max(5, ceil(log10(size)))  # lags in a row that must be silent
    most = min(size - 1, ceil(sqrt(size)) + quiet)
    covariance = np.array([centred[lag:] @ centred[: size - lag] for lag in range(most + 1)]) / size
    loud = np.abs(covariance[1:] / variance) >= 2.0 * sqrt(log10(size) / size)
    last = next((lag for lag in range(most - quiet + 1) if not loud[lag : lag + quiet].any()), None)
    if last is None:
        last = int(np.flatnonzero(loud)[-1]) + 1
    reach = min(2 * max(last, 1), most)
    lags = np.arange(1, reach + 1)
    weight = np.minimum(1.0, 2.0 * (1.0 - lags / reach))  # flat-top window
    slope = 2.0 * float((weight * lags) @ covariance[1 : reach + 1])
    long_run = variance + 2.0 * float(weight @ covariance[1 : reach + 1])
    suits = (slope * slope / (long_run * long_run)) ** (1.0 / 3.0) * least if long_run > 0.0 else 1.0
    return float(min(max(suits, least), ceil(min(3.0 * sqrt(size), size / 3.0))))


def _widening(level: float, blocks: float) -> float:
    """What the distance of the percentile `BASE` is multiplied by, to be that of `level` for so few blocks."""
    tail = float(student.isf(level, blocks - 1.0)) * sqrt(blocks / (blocks - 1.0))
    return tail / NormalDist().inv_cdf(1.0 - BASE)
