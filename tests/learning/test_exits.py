"""Learned exits reach as often as they say, for the side that is named, and say nothing where they know nothing."""

from dataclasses import replace

import numpy as np
import pytest
from rows import a_dataset

from qtlib.domain.panel import DOUBTS
from qtlib.learning.exits import ExitTraining, fit_exits
from qtlib.learning.training import Unlearnable

LATER = a_dataset(4000, seed=77)
UP = np.ones(len(LATER))


@pytest.fixture(scope="module")
def exits():
    return fit_exits(a_dataset(6000))


def test_levels_are_reached_as_often_as_they_should_be(exits):
    long, short = (exits.propose(LATER.x, side * UP, LATER.volatility_frac) for side in (1, -1))
    known = long.doubt == 0
    assert known.mean() > 0.97
    for proposal, along, against in (
        (long, LATER.favourable_frac, LATER.adverse_frac),
        (short, LATER.adverse_frac, LATER.favourable_frac),
    ):
        assert (along <= proposal.take_profit_frac)[known].mean() == pytest.approx(0.6, abs=0.04)
        assert (against <= proposal.stop_frac)[known].mean() == pytest.approx(0.8, abs=0.04)
    assert exits.coverage["up_stop"] == pytest.approx(0.8, abs=0.06)


def test_levels_follow_what_is_known_of_the_row_and_scale_with_the_range_of_a_bar(exits):
    calm, wild = np.zeros((1, 6)), np.zeros((1, 6))
    calm[0, 2], wild[0, 2] = -1.0, 1.0
    near, far = (exits.propose(x, np.ones(1), np.array([0.01])).stop_frac[0] for x in (calm, wild))
    assert far > 1.5 * near
    assert exits.propose(calm, np.ones(1), np.array([0.02])).stop_frac[0] == pytest.approx(2 * near)


def test_a_row_is_proposed_for_alike_alone_and_among_many(exits):
    many = exits.propose(LATER.x, UP, LATER.volatility_frac)
    for row in (0, 1, 17, 3999):
        one = exits.propose(LATER.x[row : row + 1], UP[:1], LATER.volatility_frac[row : row + 1])
        assert all(np.array_equal(a, b[row : row + 1], equal_nan=True) for a, b in zip(one, many, strict=True))


def test_what_is_not_known_is_not_proposed_and_says_why(exits):
    x, score = np.zeros((6, 6)), np.array([1.0, 0.0, np.nan, 1.0, 1.0, -1.0])
    x[3, 1], x[4, 4] = np.nan, 50.0
    x[5] = 3.4  # no single feature is unheard of, and all of them at once are
    said = exits.propose(x, score, np.full(6, 0.01))
    assert [DOUBTS[d] for d in said.doubt] == [
        "",
        "no proposal",
        "no proposal",
        "not finite",
        "out of domain",
        "out of domain",
    ]
    for column in said[:3]:
        assert np.isfinite(column).tolist() == [True] + [False] * 5
    assert DOUBTS[exits.propose(x[:1], score[:1], np.array([np.nan])).doubt[0]] == "not finite"


def test_wild_rows_are_learned_from_and_domain_is_judged_when_asked():
    data = a_dataset(3000)
    x = data.x.copy()
    x[100] = 1e6
    made = fit_exits(replace(data, x=x))
    assert DOUBTS[made.propose(np.full((1, 6), 1e5), np.ones(1), np.full(1, 0.01)).doubt[0]] == "out of domain"
    assert made.propose(np.zeros((1, 6)), np.ones(1), np.full(1, 0.01)).doubt[0] == 0


def test_too_little_teaches_no_exits():
    with pytest.raises(Unlearnable, match="10 rows are fewer than 1000"):
        fit_exits(a_dataset(10))
    with pytest.raises(Unlearnable, match="stretch: labels overlap too far"):
        fit_exits(a_dataset(1000, span=90))
    with pytest.raises(ValueError, match="between 0 and 1"):
        ExitTraining(stop_quantile=80)
