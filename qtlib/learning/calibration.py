"""Calibration: what a model's reading of rows that it did not see turned out to be worth.

A row is looked at twice, as a long with its edge and as a short with the edge's opposite: one line serves both sides,
and no side is picked before it is judged. More edge is never worth less: a slope that comes out negative is zero.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qtlib.domain.panel import Array
from qtlib.learning.dataset import Dataset
from qtlib.learning.models import Reading

_Solve = Callable[[list[Array], Array], Array]  # columns, outcome -> a slope of each column
STEPS = 25  # of Newton's method, which takes five or six


@dataclass(frozen=True, slots=True)
class Calibration:
    """Two lines over (1, edge of the side, shape): expected outcome in R, and log odds of a net profit."""

    r: tuple[float, float, float]
    odds: tuple[float, float, float]
    typical_r: float  # how far expected outcomes spread by edge, in R: the unit of a score

    def expected_r(self, sign: int, edge: Array, shape: Array) -> Array:
        return _line(self.r, sign, edge, shape)

    def probability(self, sign: int, edge: Array, shape: Array) -> Array:
        """Of a net profit."""
        return _chance(_line(self.odds, sign, edge, shape))


def calibrate(data: Dataset, reading: Reading) -> Calibration:
    """What `reading` is worth, by what came of `data`, whose rows it did not see."""
    edge, shape = np.concatenate([reading.edge, -reading.edge]), np.tile(reading.shape, 2)
    outcome = np.concatenate([data.long_r, data.short_r])
    r = _monotone(_least_squares, edge, shape, outcome)
    odds = _monotone(_logistic, edge, shape, (outcome > 0).astype(np.float64))
    spread = r[1] * float(np.sqrt((edge * edge).mean()))
    return Calibration(r, odds, max(spread, 1e-3))


def _line(slopes: tuple[float, float, float], sign: int, edge: Array, shape: Array) -> Array:
    return slopes[0] + (slopes[1] * sign) * edge + slopes[2] * shape


def _monotone(solve: _Solve, edge: Array, shape: Array, outcome: Array) -> tuple[float, float, float]:
    """Constant and slopes; a slope that is negative, or of what never varies, is zero."""
    using = [i for i, column in enumerate((edge, shape)) if np.ptp(column) > 0.0]
    while True:
        columns = [np.ones_like(edge), *((edge, shape)[i] for i in using)]
        found = solve(columns, outcome)
        wrong = [i for i, slope in zip(using, found[1:], strict=True) if slope < 0.0]
        if not wrong:
            slopes = dict(zip(using, found[1:], strict=True))
            return float(found[0]), float(slopes.get(0, 0.0)), float(slopes.get(1, 0.0))
        using.remove(wrong[0])


def _least_squares(columns: list[Array], outcome: Array) -> Array:
    return _solved(columns, np.ones_like(outcome), outcome)


def _logistic(columns: list[Array], outcome: Array) -> Array:
    """Newton's method, from the odds of the whole."""
    share = outcome.mean()
    found = np.zeros(len(columns))
    found[0] = np.log(share / (1.0 - share))
    for _ in range(STEPS):
        told = _chance(_sum(columns, found))
        step = _solved(columns, told * (1.0 - told), outcome - told)
        found = found + step
        if np.abs(step).max() < 1e-10:
            break
    return found


def _chance(odds: Array) -> Array:
    """The probability behind log odds; beyond thirty it is as good as sure."""
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0)))


def _solved(columns: list[Array], weight: Array, right: Array) -> Array:
    """The solution of the normal equations. Sums are numpy's own, whose order does not depend on threads."""
    square = np.array([[(a * b * weight).sum() for b in columns] for a in columns])
    scale = np.sqrt(np.diag(square)) + 1e-300
    square = square / np.outer(scale, scale) + 1e-9 * np.eye(len(columns))
    solution: Array = np.linalg.solve(square, np.array([(a * right).sum() for a in columns]) / scale) / scale
    return solution


def _sum(columns: list[Array], slopes: Array) -> Array:
    total = np.zeros(len(columns[0]))
    for column, slope in zip(columns, slopes, strict=True):
        total = total + slope * column
    return total
