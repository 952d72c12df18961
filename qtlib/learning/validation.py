"""Validation: predictions of rows by models that could not know them.

A row is decided at one column of the panel (`at`) and its label is known at a later one (`end`); what lies between is
its span. Rows whose spans overlap share bars, so a model trained on one has seen part of the other's answer, and
shuffled folds flatter. Here no training span comes nearer to the test spans than `embargo` columns, on either side
(purging and embargo: López de Prado, "Advances in Financial Machine Learning", 2018, ch. 7). Times are cut into blocks
of equally many columns, for all symbols alike, so that no symbol's future is another's past.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qtlib.learning.dataset import Dataset
from qtlib.learning.predictions import Fit, Fits, Predictions, fits_one_by_one

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ValidationParams:
    """How time is cut for a model to be judged by what it was not shown; spans are columns, which are closes."""

    folds: int = 5  # blocks that the walk-forward predicts, one after the other
    warmup_frac: float = 0.3  # of the columns: only trained on
    embargo: int = 24  # columns between any training span and the test spans
    window: int | None = None  # columns that a walk-forward model is trained on at most; None: all before it
    groups: int = 6  # blocks of the combinatorial paths
    held_out: int = 2  # of them at a time: C(6, 2) = 15 fits make 5 paths
    recent_frac: float = 0.25  # of the columns: the untouched stretch at the end

    def __post_init__(self) -> None:
        if not (self.folds >= 1 and 0 < self.warmup_frac < 1 and 0 < self.recent_frac < 1 and self.embargo >= 0):
            raise ValueError(
                f"folds {self.folds} >= 1, 0 < warmup_frac {self.warmup_frac} < 1, "
                f"0 < recent_frac {self.recent_frac} < 1 and embargo {self.embargo} >= 0 must hold"
            )
        if not 1 <= self.held_out < self.groups:
            raise ValueError(f"1 <= held_out {self.held_out} < groups {self.groups} must hold")
        if self.window is not None and self.window < 1:
            raise ValueError(f"window {self.window} must be at least 1 column")


class Split(NamedTuple):
    """Row numbers, ascending."""

    train: Indices
    test: Indices


class OutOfSample(NamedTuple):
    """What was predicted of each row, shape (rows,), or of each row on each path, (paths, rows). NaN: nothing."""

    score: Array
    confidence: Array
    fold: Indices  # of the model that predicted it; -1: none did


def walk_forward(
    data: Dataset, fit: Fit, params: ValidationParams | None = None, fits: Fits = fits_one_by_one
) -> OutOfSample:
    """Every row after the warm-up predicted once, by a model of what was known `embargo` columns before its block."""
    size = len(data.at)
    out = OutOfSample(np.full(size, np.nan), np.full(size, np.nan), np.full(size, -1, dtype=np.int64))
    splits = list(walk_forward_splits(data.at, data.end, params or ValidationParams()))
    for fold, (split, said) in enumerate(zip(splits, _said(data, fit, splits, fits), strict=True)):
        out.score[split.test], out.confidence[split.test], out.fold[split.test] = said.score, said.confidence, fold
    return out


def combinatorial(
    data: Dataset, fit: Fit, params: ValidationParams | None = None, fits: Fits = fits_one_by_one
) -> OutOfSample:
    """Every row predicted once on each of several paths through the whole time (López de Prado 2018, ch. 12)."""
    params = params or ValidationParams()
    block = blocks(data.at, params.groups)
    paths = comb(params.groups - 1, params.held_out - 1)
    shape = (paths, len(data.at))
    out = OutOfSample(np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, -1, dtype=np.int64))
    seen = [0] * params.groups  # on how many paths a block has been predicted
    cuts = list(combinatorial_splits(data.at, data.end, params))
    every = _said(data, fit, [split for _, split in cuts], fits)
    for fold, ((held, split), said) in enumerate(zip(cuts, every, strict=True)):
        for group in held:
            inside = block[split.test] == group
            path, rows = seen[group], split.test[inside]
            out.score[path, rows], out.confidence[path, rows] = said.score[inside], said.confidence[inside]
            out.fold[path, rows] = fold
            seen[group] += 1
    return out


def walk_forward_splits(at: Indices, end: Indices, params: ValidationParams) -> Iterator[Split]:
    """One split a fold, in time order: nothing is trained on that was not known before its block began."""
    columns = np.unique(at)
    first = round(len(columns) * params.warmup_frac)
    if first < 1 or len(columns) - first < params.folds:
        raise ValueError(
            f"{len(columns)} times, {first} of them for the warm-up, can't make {params.folds} folds; take a longer "
            f"history or fewer folds"
        )
    for fold in np.array_split(columns[first:], params.folds):
        test = (at >= fold[0]) & (at <= fold[-1])
        train = end < fold[0] - params.embargo
        if params.window is not None:
            train &= at >= fold[0] - params.window
        yield _split(train, test, int(fold[0]), params.embargo)


def combinatorial_splits(
    at: Indices, end: Indices, params: ValidationParams
) -> Iterator[tuple[tuple[int, ...], Split]]:
    """Every choice of `held_out` blocks, and the split that predicts them from what is left of the others."""
    block = blocks(at, params.groups)
    hulls = [_hull(at, end, block == group) for group in range(params.groups)]
    for held in combinations(range(params.groups), params.held_out):
        test = np.isin(block, held)
        train = _clear(at, end, [hulls[group] for group in held], params.embargo)
        yield held, _split(train, test, hulls[held[0]][0], params.embargo)


def recent(at: Indices, end: Indices, params: ValidationParams) -> tuple[Split, int]:
    """The untouched stretch at the end, what a challenger may learn from before it, and the column it begins at."""
    columns = np.unique(at)
    begins = int(columns[-max(1, round(len(columns) * params.recent_frac))])
    return _split(end < begins - params.embargo, at >= begins, begins, params.embargo), begins


def blocks(at: Indices, count: int) -> Indices:
    """The block of each row: times in their order, cut into `count` blocks of as good as equally many."""
    columns, where = np.unique(at, return_inverse=True)
    if len(columns) < count:
        raise ValueError(
            f"{len(columns)} times can't be cut into {count} blocks; take a longer history or fewer blocks"
        )
    sizes = [len(part) for part in np.array_split(columns, count)]
    return np.repeat(np.arange(count, dtype=np.int64), sizes)[where]


def _said(data: Dataset, fit: Fit, splits: Iterable[Split], fits: Fits) -> Iterator[Predictions]:
    """What is predicted of the test rows of each split, by a fit of its training rows."""
    return fits(fit, ((data.take(split.train), data.x[split.test]) for split in splits))


def _hull(at: Indices, end: Indices, rows: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """From the first decision of `rows` to the last column that any of their labels depends on."""
    return int(at[rows].min()), int(end[rows].max())


def _clear(at: Indices, end: Indices, hulls: list[tuple[int, int]], embargo: int) -> npt.NDArray[np.bool_]:
    """The rows whose spans lie more than `embargo` columns before or after each hull."""
    clear = np.ones(len(at), dtype=bool)
    for first, last in hulls:
        clear &= (end < first - embargo) | (at > last + embargo)
    return clear


def _split(train: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_], begins: int, embargo: int) -> Split:
    if not train.any():
        raise ValueError(
            f"no row's label is known more than {embargo} columns away from the test rows that begin at column "
            f"{begins}: nothing is left to train on; take a longer history or a shorter embargo"
        )
    return Split(np.flatnonzero(train), np.flatnonzero(test))
