"""Training: from rows to something that predicts, with probabilities that mean what they say.

A fit is deterministic: the same rows, settings and seed make the same bits, on any number of threads; and a row is
predicted to the same bits alone and among a million. What can't teach anything is refused in words: `Unlearnable`.

Edges are weak here, so probabilities lie near those of a coin with costs; what matters is their order, and that they
are true. Rows are cut into blocks of time; for each block a model is fitted on the others, purged and embargoed, half
of them turned upside down (`dataset.py`), and reads the block it did not see. On these readings, of longs and shorts
together, two small regressions say what an edge is worth: its expected outcome in R, and its probability of a net
profit (Platt 1999). Both may find that it is worth nothing, and neither that more edge is worth less. The blocks'
models then predict together, as their mean.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from qtlib.domain.panel import Array
from qtlib.learning.calibration import Calibration, calibrate
from qtlib.learning.dataset import Dataset
from qtlib.learning.models import MODELS, Model, Reading
from qtlib.learning.predictions import Asked, Fit, Predictions, told
from qtlib.learning.validation import ValidationParams, combinatorial_splits


class Unlearnable(ValueError):
    """These rows can't teach anything; the message says why, with the numbers, and what would help."""


@dataclass(frozen=True, slots=True)
class TrainParams:
    """How a model is fitted: on how much, in how many parts, and what it has to expect before it names a side."""

    model: str = "boosted"  # a name of `MODELS`
    seed: int = 0
    folds: int = 3  # blocks of time, and models: each is calibrated on the block it did not see
    embargo: int = 24  # columns between what a model learns from and the block it is calibrated on
    max_rows: int = 30_000  # so many are drawn from more: neighbours tell much the same, and twice as many no more
    min_rows: int = 1_000  # fewer teach nothing that would be there tomorrow
    min_expected_r: float = 0.0  # no side is named that is expected to earn less than this, net, in R

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model {self.model!r} must be one of {', '.join(MODELS)}")
        if not (self.folds >= 2 and self.embargo >= 0 and self.max_rows >= self.min_rows >= 1 and self.seed >= 0):
            raise ValueError(
                f"folds {self.folds} >= 2, embargo {self.embargo} >= 0, max_rows {self.max_rows} >= min_rows "
                f"{self.min_rows} >= 1 and seed {self.seed} >= 0 must hold"
            )


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The models of all blocks, speaking together, and what their word is worth."""

    members: tuple[Model, ...]
    calibration: Calibration
    min_expected_r: float = 0.0

    def predict(self, x: Array, /) -> Predictions:
        known = np.isfinite(x).all(axis=1)
        out = Predictions(*(np.full(len(x), np.nan) for _ in Predictions._fields))
        if known.any():
            said = self.told(_mean([member.read(x[known]) for member in self.members]))
            for whole, part in zip(out, said, strict=True):
                whole[known] = part
        return out

    def told(self, reading: Reading) -> Predictions:
        """What a reading is worth."""
        long_r, short_r = (self.calibration.expected_r(sign, *reading) for sign in (1, -1))
        up = long_r >= short_r
        best = np.where(up, long_r, short_r)
        confidence = np.where(up, *(self.calibration.probability(sign, *reading) for sign in (1, -1)))
        strength = best / np.sqrt(best * best + self.calibration.typical_r**2)
        score = np.where(best > self.min_expected_r, np.where(up, strength, -strength), 0.0)
        return Predictions(score, confidence, long_r, short_r)


def fit(data: Dataset, params: TrainParams | None = None) -> Calibrated:
    """A model of `data`, calibrated on what its parts did not see."""
    params = params or TrainParams()
    check(data, params)
    data = data.drawn(min(len(data), params.max_rows))
    readings = Reading(*(np.zeros(len(data)) for _ in Reading._fields))
    cut = ValidationParams(groups=params.folds, held_out=1, embargo=params.embargo)
    members = []
    for _, split in combinatorial_splits(data.at, data.end, cut):  # each reads the block that it has not seen
        members.append(MODELS[params.model].fit(data.take(split.train).turned(params.seed), params.seed))
        for whole, part in zip(readings, members[-1].read(data.x[split.test]), strict=True):
            whole[split.test] = part
    return Calibrated(tuple(members), calibrate(data, readings), params.min_expected_r)


def fitting(params: TrainParams) -> Fit:
    """The fit of these settings."""
    return partial(fit, params=params)


def ventured(fit: Fit, asked: Asked) -> Predictions | None:
    """What a fit of the rows says of the others; None where so few teach nothing."""
    try:
        return told(fit, asked)
    except Unlearnable:
        return None


def check(data: Dataset, params: TrainParams) -> None:
    """Says no to rows that can't teach: too few, all alike, all ending alike, or not numbers."""
    size = len(data)
    if size < params.min_rows:
        raise Unlearnable(
            f"{size} rows are fewer than {params.min_rows}: take a longer history or more symbols"
            + (f" (left out: {', '.join(f'{n} {why}' for why, n in data.dropped.items())})" if data.dropped else "")
        )
    unknown = np.flatnonzero(~np.isfinite(data.x).all(axis=0))
    bad = [data.names[column] for column in unknown]
    if bad:
        raise Unlearnable(f"features must be finite in every row, and {', '.join(bad)} are not: leave such rows out")
    if not np.ptp(data.x, axis=0).any():
        raise Unlearnable(f"all {len(data.names)} features are constant over {size} rows: nothing can be told apart")
    for side, outcome in (("long", data.long_r), ("short", data.short_r)):
        wins = int((outcome > 0).sum())
        if wins in (0, size):
            raise Unlearnable(
                f"{wins} of {size} {side}s end with net profit: with one kind of outcome there is nothing to learn; "
                f"look at the exits that the labels were made by, and at the costs"
            )


def _mean(readings: list[Reading]) -> Reading:
    total = readings[0]
    for reading in readings[1:]:
        total = Reading(total.edge + reading.edge, total.shape + reading.shape)
    return Reading(total.edge / len(readings), total.shape / len(readings))
