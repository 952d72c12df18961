"""Laws of validation: no model saw any part of the answers that it is asked for."""

from dataclasses import dataclass, replace
from math import comb
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtlib.learning.validation import (
    ValidationParams,
    combinatorial,
    combinatorial_splits,
    recent,
    walk_forward,
    walk_forward_splits,
)


@dataclass(frozen=True)
class Told:
    """Rows as a dataset has them, each with its own number as its only feature."""

    at: np.ndarray
    end: np.ndarray

    @property
    def x(self):
        return np.arange(len(self.at), dtype=float)[:, None]

    def take(self, rows):
        return Told(self.at[rows], self.end[rows])


class Guess(NamedTuple):
    score: np.ndarray
    confidence: np.ndarray


class Counted:
    """A model that says by how many rows it was trained, and which row it is asked for."""

    def __init__(self, data):
        self.size = len(data.at)

    def predict(self, x):
        return Guess(x[:, 0], np.full(len(x), float(self.size)))


@st.composite
def histories(draw):
    """Rows of up to three symbols, some listed later, with holes, each label as long as it likes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length = draw(st.integers(120, 250))
    horizon = draw(st.integers(1, 12))
    ats = []
    for _ in range(draw(st.integers(1, 3))):
        columns = np.arange(draw(st.integers(0, 20)), length)
        ats.append(columns[rng.random(len(columns)) < 0.9])
    at = np.concatenate(ats)
    return Told(at, at + rng.integers(1, horizon + 1, len(at)))


plans = st.builds(
    ValidationParams,
    folds=st.integers(1, 5),
    warmup_frac=st.floats(0.3, 0.6),
    embargo=st.integers(0, 6),
    window=st.none() | st.integers(40, 100),
    groups=st.integers(3, 6),
    held_out=st.integers(1, 2),
    recent_frac=st.floats(0.1, 0.5),
)


def apart(data, split):
    """Columns between the nearest training and test spans; negative where they overlap."""
    starts, ends = data.at[split.test], data.end[split.test]
    gaps = np.maximum(starts[None] - data.end[split.train][:, None], data.at[split.train][:, None] - ends[None])
    return gaps.min()


@given(histories(), plans)
def test_no_training_span_overlaps_a_test_span_or_comes_nearer_than_the_embargo(data, params):
    for split in [
        *walk_forward_splits(data.at, data.end, params),
        *(split for _, split in combinatorial_splits(data.at, data.end, params)),
        recent(data.at, data.end, params)[0],
    ]:
        assert apart(data, split) > params.embargo
        assert not set(split.train) & set(split.test)


@given(histories(), plans)
def test_a_walk_forward_trains_on_nothing_after_its_test_and_predicts_every_row_after_the_warmup_once(data, params):
    splits = list(walk_forward_splits(data.at, data.end, params))
    assert all(data.end[s.train].max() < data.at[s.test].min() for s in splits)
    tested = np.concatenate([s.test for s in splits])
    assert len(tested) == len(set(tested))
    columns = np.unique(data.at)
    assert set(tested) == set(np.flatnonzero(data.at >= columns[round(len(columns) * params.warmup_frac)]))
    if params.window is not None:
        assert all(data.at[s.train].min() >= data.at[s.test].min() - params.window for s in splits)

    found = walk_forward(data, Counted, params)
    assert set(np.flatnonzero(found.fold >= 0)) == set(tested)
    assert np.array_equal(found.score[tested], tested)
    assert np.isnan(np.delete(found.score, tested)).all()


@given(histories(), plans)
def test_purging_takes_no_row_that_is_clear_of_the_test_spans(data, params):
    for held, split in combinatorial_splits(data.at, data.end, params):
        first, last = data.at[split.test].min(), data.end[split.test].max()
        clear = (data.end < first - params.embargo) | (data.at > last + params.embargo)
        assert set(np.flatnonzero(clear)) <= set(split.train)
        assert len(held) == params.held_out


@given(histories(), plans)
def test_combinatorial_paths_are_whole_and_no_block_of_a_path_is_predicted_twice(data, params):
    found = combinatorial(data, Counted, params)
    assert found.score.shape == (comb(params.groups - 1, params.held_out - 1), len(data.at))
    assert np.array_equal(found.score, np.broadcast_to(np.arange(float(len(data.at))), found.score.shape))
    assert np.isfinite(found.confidence).all()
    for row in found.fold.T:
        assert len(set(row)) == len(row)  # each path has it from a model of its own


def test_rows_that_are_known_too_late_for_a_block_are_not_trained_on():
    at = np.arange(100)
    data = Told(at, at + 10)
    params = ValidationParams(folds=1, warmup_frac=0.5, embargo=5)
    (split,) = walk_forward_splits(data.at, data.end, params)
    assert (split.test[0], split.train[-1]) == (50, 34)  # 34 + 10 < 50 - 5


def test_what_cannot_be_split_says_why():
    at = np.arange(20)
    with pytest.raises(ValueError, match="20 times, 6 of them for the warm-up, can't make 30 folds"):
        list(walk_forward_splits(at, at + 1, ValidationParams(folds=30)))
    with pytest.raises(ValueError, match="nothing is left to train on"):
        list(walk_forward_splits(at, at + 50, ValidationParams(folds=2)))
    with pytest.raises(ValueError, match="can't be cut into 40 blocks"):
        list(combinatorial_splits(at, at + 1, replace(ValidationParams(), groups=40)))
    with pytest.raises(ValueError, match=r"1 <= held_out 6 < groups 6"):
        ValidationParams(held_out=6)
