"""Models: what may be learned about which side will earn, one class and one line of `MODELS` each.

Every model is fitted on rows and reads a row as two numbers. Its `edge` orders rows from surely down to surely up, in a
unit of its own; its `shape` is what a trade of either side may be expected to earn on average, in R, as costs weigh
more where bars are small. What they are worth is not for a model to say: `training` calibrates them on rows that the
model did not see. A model's fields are all there is to it: estimators of scikit-learn, arrays, and plain values.

The target of the edge is half of what a long earned more than a short would have, in R. Costs, and whatever else the
two sides share, cancel out in it, so that the little there is to find is not drowned. Rows come drawn by their weight
and count alike: given weights, scikit-learn weighs every quantile by which it cuts features into bins, which was
measured to take ten times as long as the learning. Nothing here may depend on the number of threads or of rows: trees
add up one by one, and what is linear is summed column by column and not by BLAS. Each fit and each reading keeps to
one thread, `alone`: several that wait for each other spin, and on a busy machine took thirty times as long. Whoever
has cores to spare fits several models at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from qtlib.domain.panel import Array
from qtlib.learning.dataset import Dataset

_POOLS = ThreadpoolController()
FAR_R = 3.0  # outcomes beyond count as this much while learning: one long run must not outvote a hundred trades


class Reading(NamedTuple):
    """What a model makes of rows, in units of its own."""

    edge: Array
    shape: Array


class Model(Protocol):
    @classmethod
    def fit(cls, data: Dataset, seed: int) -> Self: ...

    def read(self, x: Array) -> Reading:
        """Each row by itself: to the same bits alone and among others."""


@dataclass(frozen=True, slots=True)
class Boosted:
    """Gradient-boosted trees (Friedman 2001) over histograms: small ones, and slow to learn, as edges are weak."""

    direction: Any
    level: Any

    @classmethod
    def fit(cls, data: Dataset, seed: int) -> Self:
        few = data.drawn(max(1, len(data) // 3))  # what both sides share is plainer to see
        direction = trees(len(data), seed, max_iter=40, learning_rate=0.06)
        level = trees(len(few), seed, max_iter=12, learning_rate=0.25)
        with alone():
            return cls(direction.fit(data.x, towards(data)), level.fit(few.x, shared(few)))

    def read(self, x: Array) -> Reading:
        with alone():
            return Reading(self.direction.predict(x), self.level.predict(x))


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression of the better side, each row counted by how much better it was."""

    pipeline: Pipeline

    @classmethod
    def fit(cls, data: Dataset, seed: int) -> Self:
        better = towards(data)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200, random_state=seed))
        with alone():  # shared work would also be summed in an order of its own
            return cls(model.fit(data.x, better > 0, logisticregression__sample_weight=np.abs(better)))

    def read(self, x: Array) -> Reading:
        scaler, model = self.pipeline[0], self.pipeline[-1]
        edge = np.full(len(x), float(model.intercept_[0]))
        for column, (mean, scale, slope) in enumerate(zip(scaler.mean_, scaler.scale_, model.coef_[0], strict=True)):
            edge += (x[:, column] - mean) / scale * slope
        return Reading(edge, np.zeros(len(x)))


@dataclass(frozen=True, slots=True)
class TrendRule:
    """What went up goes on: the mean of the momentum features, each pressed into -1 .. +1. Learns nothing."""

    columns: tuple[int, ...]

    @classmethod
    def fit(cls, data: Dataset, seed: int) -> Self:
        columns = tuple(i for i, name in enumerate(data.names) if name.startswith("momentum_"))
        if not columns:
            raise ValueError(f"the trend rule reads features called momentum_…, and there is none in {data.names}")
        return cls(columns)

    def read(self, x: Array) -> Reading:
        edge = np.zeros(len(x))
        for column in self.columns:
            z = x[:, column]
            edge += z / np.sqrt(1.0 + z * z)
        return Reading(edge / len(self.columns), np.zeros(len(x)))


@dataclass(frozen=True, slots=True)
class Flat:
    """Nothing is known: what any model has to beat by more than its costs."""

    @classmethod
    def fit(cls, data: Dataset, seed: int) -> Self:
        return cls()

    def read(self, x: Array) -> Reading:
        return Reading(np.zeros(len(x)), np.zeros(len(x)))


MODELS: Mapping[str, type[Model]] = MappingProxyType(
    {"boosted": Boosted, "logistic": Logistic, "trend": TrendRule, "flat": Flat}
)


def towards(data: Dataset) -> Array:
    """Half of what a long earned more than a short would have, in R."""
    return np.clip((data.long_r - data.short_r) / 2.0, -FAR_R, FAR_R)


def shared(data: Dataset) -> Array:
    """What the two sides earned on average, in R."""
    return np.clip((data.long_r + data.short_r) / 2.0, -FAR_R, FAR_R)


def alone() -> Any:
    """While this lasts, the calling thread shares its work with no other."""
    return _POOLS.limit(limits=1)


def trees(rows: int, seed: int, *, max_iter: int, learning_rate: float, **more: Any) -> HistGradientBoostingRegressor:
    """Small trees whose leaves hold many rows, from a seed and without a look at held-out rows."""
    return HistGradientBoostingRegressor(
        max_iter=max_iter,
        learning_rate=learning_rate,
        max_leaf_nodes=8,
        min_samples_leaf=max(20, rows // 100),
        max_bins=63,
        early_stopping=False,
        random_state=seed,
        **more,
    )
