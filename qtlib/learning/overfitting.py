"""What is left of a Sharpe ratio when one remembers how many were tried.

Sharpe ratios here are of one step (a day), never annualised. Bailey and López de Prado, "The deflated Sharpe ratio:
correcting for selection bias, backtest overfitting and non-normality", Journal of Portfolio Management 40 (2014);
Bailey, Borwein, López de Prado and Zhu, "The probability of backtest overfitting", Journal of Computational Finance
20 (2017).
"""

from itertools import combinations
from math import e, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


class Moments(NamedTuple):
    """What the ratios need of a series of returns."""

    steps: int
    sharpe: float  # mean over standard deviation (n − 1), of one step; 0 for what never moves
    skewness: float
    kurtosis: float  # 3 for a normal one


def moments(returns: Array) -> Moments:
    """The moments of a series of returns of equal steps."""
    steps = len(returns)
    spread = float(returns.std()) if steps > 1 else 0.0
    if spread <= 1e-15:
        return Moments(steps, 0.0, 0.0, 3.0)
    z = (returns - returns.mean()) / spread
    sharpe = float(returns.mean()) / (spread * sqrt(steps / (steps - 1)))
    return Moments(steps, sharpe, float((z**3).mean()), float((z**4).mean()))


def probabilistic_sharpe(m: Moments, benchmark: float = 0.0) -> float:
    """How sure one may be that the true ratio lies above `benchmark`, given length, skewness and tails.

    The example of the paper: an annual ratio of 2.5 over 1250 days of a 250-day year, skewness −3, kurtosis 10,
    against the ratio that the best of 100 such trials would have by luck:

    >>> m = Moments(1250, 2.5 / sqrt(250), -3.0, 10.0)
    >>> round(probabilistic_sharpe(m, expected_best(100, (0.5 / 250))), 4)
    0.9004
    """
    if m.steps < 2:
        return 0.0
    width = 1.0 - m.skewness * m.sharpe + (m.kurtosis - 1.0) / 4.0 * m.sharpe**2
    return _NORMAL.cdf((m.sharpe - benchmark) * sqrt(m.steps - 1) / sqrt(max(width, 1e-12)))


def expected_best(trials: int, variance: float) -> float:
    """The ratio that the best of `trials` without any skill is expected to have, when theirs vary by `variance`.

    >>> round(expected_best(100, 0.5 / 250), 4)
    0.1132
    """
    if trials < 2 or variance <= 0.0:
        return 0.0
    lucky, luckier = _NORMAL.inv_cdf(1.0 - 1.0 / trials), _NORMAL.inv_cdf(1.0 - 1.0 / (trials * e))
    return sqrt(variance) * ((1.0 - _EULER) * lucky + _EULER * luckier)


def deflated_sharpe(returns: Array, sharpes: Array) -> float:
    """How sure one may be of skill, when `returns` are the best of trials whose ratios were `sharpes` (its own too)."""
    variance = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else 0.0
    return probabilistic_sharpe(moments(returns), expected_best(len(sharpes), variance))


class Cut(NamedTuple):
    """Trials, cut in time into parts of nearly equal length: enough of each to compare halves of the time."""

    sizes: npt.NDArray[np.int64]  # steps, (parts,)
    sums: Array  # of returns, (parts, trials)
    squares: Array  # sums of their squares, likewise

    @classmethod
    def of(cls, returns: Array, parts: int = 10) -> "Cut":
        """`returns` is (steps, trials)."""
        cut = np.array_split(returns, parts)
        sizes = np.array([len(part) for part in cut])
        return cls(sizes, np.array([p.sum(axis=0) for p in cut]), np.array([(p**2).sum(axis=0) for p in cut]))

    def beside(self, other: "Cut") -> "Cut":
        """These trials, and after them those of `other`, which is of the same steps."""
        return Cut(self.sizes, np.hstack([self.sums, other.sums]), np.hstack([self.squares, other.squares]))


def overfitting_probability(returns: Array, parts: int = 10) -> float:
    """How often the best trial of one half of the time is, in the other half, no better than the median one.

    `returns` is (steps, trials). Time is cut into `parts`, an even number, and every half of them is taken in turn
    (combinatorially symmetric cross-validation). About one half means that choosing the best is no better than chance;
    near one, that it is worse.
    """
    return overfitting_of(Cut.of(returns, parts))


def overfitting_of(cut: Cut) -> float:
    """The same, of trials of which no more is known than their parts: it needs no memory for each step."""
    sizes, sums, squares = cut
    parts, trials, steps = len(sizes), sums.shape[1], int(sizes.sum())
    if trials < 2 or parts < 2 or parts % 2 or steps < 2 * parts:
        raise ValueError(
            f"{trials} trials >= 2 of {steps} steps >= {2 * parts} in an even number of parts, not {parts}, are needed"
        )
    worse = 0
    halves = list(combinations(range(parts), parts // 2))
    for half in halves:
        inside = np.isin(np.arange(parts), half)
        best = int(np.argmax(_ratios(sums, squares, sizes, inside)))
        outside = _ratios(sums, squares, sizes, ~inside)
        rank = (np.sum(outside < outside[best]) + np.sum(outside == outside[best]) / 2 + 0.5) / (trials + 1)
        worse += bool(rank <= 0.5)
    return worse / len(halves)


def _ratios(sums: Array, squares: Array, sizes: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]) -> Array:
    """Each trial's Sharpe ratio over the parts that are `inside`."""
    count = sizes[inside].sum()
    mean = sums[inside].sum(axis=0) / count
    variance = np.maximum(squares[inside].sum(axis=0) / count - mean * mean, 0.0)
    ratios: Array = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-30)
    return ratios
