"""A sweep's space and how it is gone through: written as settings are, named in one order, by seed and by answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtlib.learning.search import SweepParams, count, search
from qtlib.learning.space import Axis, NoSpace, Space, space

WRITTEN = {
    "exits": {"atr_multiple": {"low": 1.0, "high": 2.0, "step": 0.1}, "profile": ["one_r", "seed"]},
    "strategy": {"params": {"fast": {"low": 6, "high": 12, "step": 3}}},
}
OPEN = {"a": {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 1e-3, "high": 1.0, "log": True}, "n": [1, 2, 4, 8]}}


def asked(space, params, worth):
    """Every point that a search names, when each is worth what `worth` says of it."""
    going, points = search(space, params), []
    while generation := going.ask():
        points += generation
        going.tell([worth(point) for point in generation])
    return points


def test_a_space_is_written_as_settings_are_and_turns_dear_axes_last():
    s = space(WRITTEN)
    assert [a.path for a in s.axes] == ["strategy.params.fast", "exits.atr_multiple", "exits.profile"]
    assert s.axes[0].values == (6, 9, 12)
    assert s.axes[1].values == (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0)
    assert s.settings((6, 1.5, "seed")) == {
        "strategy.params.fast": 6,
        "exits.atr_multiple": 1.5,
        "exits.profile": "seed",
    }


def test_a_grid_names_every_point_once():
    points = asked(space(WRITTEN), SweepParams(), lambda p: None)
    assert len(points) == len(set(points)) == count(space(WRITTEN), SweepParams()) == 3 * 11 * 2
    assert points[:3] == [(6, 1.0, "one_r"), (6, 1.0, "seed"), (6, 1.1, "one_r")]


@given(st.integers(0, 2**31), st.integers(1, 40))
def test_points_by_chance_follow_from_the_seed_lie_within_and_come_once(seed, trials):
    params = SweepParams(search="random", trials=trials, seed=seed)
    points = asked(space(OPEN), params, lambda p: None)
    assert points == asked(space(OPEN), params, lambda p: 1.0)
    assert len(set(points)) == len(points) == trials
    assert all(0 <= x <= 1 and 1e-3 <= y <= 1 and n in (1, 2, 4, 8) for x, y, n in points)


def test_where_there_are_fewer_points_than_trials_they_are_all_named():
    params = SweepParams(search="random", trials=50)
    assert sorted(asked(space({"a": {"n": [1, 2, 3]}}), params, lambda p: None)) == [(1,), (2,), (3,)]


def test_a_search_that_learns_names_the_same_points_to_the_same_answers_and_gets_nearer():
    params = SweepParams(search="bayes", trials=48, seed=3)

    def worth(point):
        return None if point[2] == 8 else -((point[0] - 0.7) ** 2) - (np.log10(point[1]) + 1) ** 2

    points = asked(space(OPEN), params, worth)
    assert points == asked(space(OPEN), params, worth)
    assert points != asked(space(OPEN), SweepParams(search="bayes", trials=48, seed=4), worth)
    first, last = ([worth(p) or -9.0 for p in part] for part in (points[:16], points[-16:]))
    assert np.median(last) > np.median(first)


@given(st.floats(1e-6, 1e6), st.floats(1.0, 1e3), st.booleans(), st.floats(0, 1))
def test_a_value_lies_where_it_was_taken_from(low, factor, by_log, share):
    axis = Axis("a.x", (), low, low * factor, by_log)
    value = axis.at(share)
    assert low <= value <= low * factor
    if factor > 1.01:
        assert axis.place(value) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "names no setting"),
        ({"exits": {"tp_frac": 0.01}}, "exits.tp_frac = 0.01 must be a list"),
        ({"exits": {"tp_frac": []}}, "exits.tp_frac is an empty list"),
        ({"exits": {"tp_frac": [0.1, 0.1]}}, "names a value twice"),
        ({"exits": {"tp_frac": {"low": 0.2, "high": 0.1}}}, "a high that is not below it"),
        ({"exits": {"tp_frac": {"low": 0.1}}}, "must have a low and a high"),
        ({"exits": {"tp_frac": {"low": "0.1", "high": 0.2}}}, "low = '0.1' must be a number"),
        ({"exits": {"tp_frac": {"low": 0.0, "high": 0.2, "log": True}}}, "above 0 for a logarithm"),
        ({"exits": {"tp_frac": {"low": 0.0, "high": 0.2, "step": 1e-9}}}, "make its step larger"),
        ({"exits": {"tp_frac": {"low": 0.0, "high": 0.2, "step": 0.0}}}, "must be above 0"),
    ],
)
def test_a_space_that_is_none_is_refused_in_words(written, said):
    with pytest.raises(NoSpace, match=said):
        space(written)


def test_a_grid_needs_steps():
    with pytest.raises(NoSpace, match="goes from 0 to 1 without a step"):
        count(space(OPEN), SweepParams())


def test_places_count_steps():
    s = Space((Axis("a", (1, 2, 4)), Axis("b", (), 0.0, 10.0)))
    assert s.places([(4, 5.0), (1, 0.0)]).tolist() == [[2.0, 0.5], [0.0, 0.0]]
