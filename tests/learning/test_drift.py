"""Inputs that wandered are named, chance is not, and a session compares what it saw lately."""

import json

import numpy as np
import pytest

from qtlib.learning.drift import Profile, drift, profiles
from qtlib.runs.believing.learner import drifting


def slow(dice, rows, shift=0.0, kept=0.95):
    x = dice.standard_normal(rows)
    for i in range(1, rows):
        x[i] = kept * x[i - 1] + np.sqrt(1 - kept**2) * x[i]
    return x + shift


def test_inputs_that_wandered_are_named_and_slow_ones_that_did_not_are_not():
    dice = np.random.default_rng(2)
    alarms = 0
    for _ in range(40):
        learned, lately = slow(dice, 3000), slow(dice, 300)
        alarms += drift(profiles(("f",), learned[:, None]), lately[:, None])[0].drifted
    assert alarms <= 2
    learned, moved = slow(dice, 3000), slow(dice, 600, shift=2.0)
    same, other = drift(profiles(("a", "b"), np.c_[learned, learned]), np.c_[learned[-600:], moved])
    assert other.drifted
    assert not same.drifted


def test_the_stability_index_is_the_books_and_what_was_never_seen_is_no_drift():
    learned = np.arange(10_000.0)
    half = np.r_[np.arange(5000.0), np.arange(5000.0)]  # all in the lower five of ten bins
    (found,) = drift(profiles(("f",), learned[:, None]), half[:, None], repeats=1.0)
    p, q = np.full(10, 0.1), np.r_[np.full(5, 0.2), np.full(5, 0.5 / 10_005)]
    assert found.stability == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=0.01)
    (unknown,) = drift(profiles(("f",), learned[:, None]), np.full((5, 1), np.nan))
    assert not unknown.drifted
    assert np.isnan(unknown.stability)
    (constant,) = drift(profiles(("f",), np.ones((100, 1))), np.ones((50, 1)))
    assert not constant.drifted


def test_a_profile_says_all_that_the_rows_would():
    dice = np.random.default_rng(3)
    learned, lately = dice.standard_normal((500, 2)), dice.standard_normal((200, 2)) + 1.0
    kept = json.loads(json.dumps(profiles(("a", "b"), learned)))
    read = {name: Profile(tuple(edges), tuple(counts)) for name, (edges, counts) in kept.items()}
    assert drift(read, lately) == drift(profiles(("a", "b"), learned), lately)
    assert all(sum(profile.counts) == 500 for profile in read.values())


def test_what_a_session_saw_lately_is_compared_close_by_close():
    dice = np.random.default_rng(4)
    learned = dice.standard_normal((3_000, 2))
    of = profiles(("a", "b"), learned)
    assert drifting({}, [learned[:5]]) == drifting(of, []) == ("", None)
    same = [dice.standard_normal((5, 2)) for _ in range(1_500)]
    why, shown = drifting(of, same)
    assert why == ""
    assert shown.startswith("0 of 2 inputs drifted, most ")
    moved = [rows + np.array([0.0, 2.5]) for rows in same]
    why, shown = drifting(of, moved)
    assert why == shown
    assert why.startswith("1 of 2 inputs drifted, most b, population stability index ")
    assert drifting(of, moved[:20])[0] == ""  # of twenty closes nobody can tell
