"""Calibration: what a model's reading of rows that it did not see turned out to be worth.

A row is looked at twice, as a long with its edge and as a short with the edge's opposite: one line serves both sides,
and no side is picked before it is judged. More edge is never worth less: a slope that comes out negative is zero. And
a slope is believed no further than the stretches of time bear it out, each of which is one witness.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qtlib.domain.panel import Array
from qtlib.learning.dataset import Dataset, Indices
from qtlib.learning.models import Reading

STEPS = 25  # of Newton's method, which takes five or six


class _Found(NamedTuple):
    slopes: Array  # of each column
    curvature: Array  # of each row
    left: Array  # of each row: what is not explained


_Solve = Callable[[list[Array], Array], _Found]  # columns, outcome


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
    stretch = max(1, round(2.0 * float((data.end - data.at).mean())))
    together = np.tile((data.at - data.at[0]) // stretch, 2)
    r = _believed(_least_squares, edge, shape, outcome, together)
    odds = _believed(_logistic, edge, shape, (outcome > 0).astype(np.float64), together)
    spread = r[1] * float(np.sqrt((edge * edge).mean()))
    return Calibration(r, odds, max(spread, 1e-3))


def _line(slopes: tuple[float, float, float], sign: int, edge: Array, shape: Array) -> Array:
    return slopes[0] + (slopes[1] * sign) * edge + slopes[2] * shape


def _believed(
    solve: _Solve, edge: Array, shape: Array, outcome: Array, together: Indices
) -> tuple[float, float, float]:
    """Constant and slopes; one that is negative, or of what never varies, is zero, and each is shrunk by its doubt."""
    middle = float(shape.mean())
    both = (edge, shape - middle)
    using = [i for i, column in enumerate(both) if np.ptp(column) > 0.0]
    while True:
        columns = [np.ones_like(edge), *(both[i] for i in using)]
        found = solve(columns, outcome)
        wrong = [i for i, slope in zip(using, found.slopes[1:], strict=True) if slope < 0.0]
        if not wrong:
            break
        using.remove(wrong[0])
    slopes = dict(zip(using, _shrunk(found, columns, together)[1:].tolist(), strict=True))
    return float(found.slopes[0]) - slopes.get(1, 0.0) * middle, slopes.get(0, 0.0), slopes.get(1, 0.0)


def _shrunk(found: _Found, columns: list[Array], together: Indices) -> Array:
    """Slopes, less what chance alone explains: times 1 - 1/t², and none where t is below one (James and Stein 1961).

    Errors are those of whole stretches of time: what symbols and neighbouring hours share is counted once (Liang and
    Zeger 1986). Without it, ten symbols that move as one look like ten witnesses.
    """
    inverse = np.linalg.inv(np.array([[(a * b * found.curvature).sum() for b in columns] for a in columns]))
    pulls = np.stack([np.bincount(together, column * found.left) for column in columns])
    errors = np.sqrt(np.diag(inverse @ np.array([[(a * b).sum() for b in pulls] for a in pulls]) @ inverse))
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.maximum(0.0, 1.0 - (errors / found.slopes) ** 2)
    return np.where(found.slopes == 0.0, 0.0, found.slopes * kept)


def _least_squares(columns: list[Array], outcome: Array) -> _Found:
    ones = np.ones_like(outcome)
    slopes = _solved(columns, ones, outcome)
    return _Found(slopes, ones, outcome - _sum(columns, slopes))


def _logistic(columns: list[Array], outcome: Array) -> _Found:
    """Newton's method, from the odds of the whole."""
    share = outcome.mean()
    slopes = np.zeros(len(columns))
    slopes[0] = np.log(share / (1.0 - share))
    for _ in range(STEPS):
        told = _chance(_sum(columns, slopes))
        step = _solved(columns, told * (1.0 - told), outcome - told)
        slopes = slopes + step
        if np.abs(step).max() < 1e-10:
            break
    told = _chance(_sum(columns, slopes))
    return _Found(slopes, told * (1.0 - told), outcome - told)


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
