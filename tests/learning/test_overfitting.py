"""What many tries do to the best of them: published figures, and computations by another way."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.learning.overfitting import (
    Cut,
    Moments,
    deflated_sharpe,
    expected_best,
    moments,
    overfitting_of,
    overfitting_probability,
    probabilistic_sharpe,
)


def test_the_worked_example_of_the_deflated_sharpe_ratio():
    """Bailey and López de Prado (2014): SR 2.5 a year, 5 years of 250 days, 100 trials that vary by 1/2 a year."""
    m = Moments(1250, 2.5 / 250**0.5, -3.0, 10.0)
    best = expected_best(100, 0.5 / 250)
    assert best == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(m, best) == pytest.approx(0.9004, abs=5e-5)
    assert probabilistic_sharpe(m, expected_best(46, 0.5 / 250)) == pytest.approx(0.9505, abs=5e-4)  # 46 trials pass


def test_moments_are_those_of_scipy():
    from scipy.stats import kurtosis, skew

    x = np.random.default_rng(1).standard_gamma(2.0, 500) - 1.9
    m = moments(x)
    assert m.sharpe == pytest.approx(x.mean() / x.std(ddof=1))
    assert m.skewness == pytest.approx(skew(x))
    assert m.kurtosis == pytest.approx(kurtosis(x, fisher=False))


def test_the_expected_best_of_many_is_near_what_dice_show():
    dice = np.random.default_rng(2)
    for trials in (5, 50):
        best = dice.standard_normal((20_000, trials)).max(axis=1).mean()
        assert expected_best(trials, 1.0) == pytest.approx(best, rel=0.05)


@settings(max_examples=50)
@given(st.integers(2, 400), st.floats(-0.3, 0.3), st.floats(0, 0.2))
def test_more_trials_never_make_one_surer(trials, sharpe, variance):
    m = Moments(250, sharpe, 0.0, 3.0)
    assert expected_best(trials, variance) <= expected_best(trials + 1, variance)
    assert probabilistic_sharpe(m, expected_best(trials, variance)) <= probabilistic_sharpe(m)


def test_one_trial_is_not_deflated_and_what_never_moves_has_no_skill():
    returns = np.random.default_rng(4).normal(0.1, 1.0, 300)
    assert deflated_sharpe(returns, np.array([0.1])) == probabilistic_sharpe(moments(returns))
    assert deflated_sharpe(np.zeros(300), np.array([0.1])) == 0.5


def by_the_book(returns, parts):
    """CSCV as the paper tells it, row by row."""
    cut = np.array_split(np.arange(len(returns)), parts)
    logits = []
    for half in combinations(range(parts), parts // 2):
        rows = np.concatenate([cut[i] for i in half])
        others = np.setdiff1d(np.arange(len(returns)), rows)
        inside = returns[rows].mean(axis=0) / returns[rows].std(axis=0)
        outside = returns[others].mean(axis=0) / returns[others].std(axis=0)
        rank = (outside <= outside[inside.argmax()]).sum() / (returns.shape[1] + 1)
        logits.append(np.log(rank / (1 - rank)))
    return np.mean(np.array(logits) <= 0)


@pytest.mark.parametrize("seed", range(4))
def test_overfitting_is_what_the_book_computes(seed):
    returns = np.random.default_rng(seed).standard_normal((97, 7))
    assert overfitting_probability(returns, 6) == pytest.approx(by_the_book(returns, 6))


def test_noise_overfits_half_of_the_time_and_skill_does_not():
    dice = np.random.default_rng(0)
    noise = [overfitting_probability(dice.standard_normal((120, 11)), 6) for _ in range(40)]
    assert np.mean(noise) == pytest.approx(0.55, abs=0.12)  # halves of one stretch: luck in one is missing in the other
    skilled = dice.standard_normal((600, 11)) + np.r_[0.4, np.zeros(10)]
    assert overfitting_probability(skilled, 6) == 0.0


def test_too_little_to_judge_says_so():
    with pytest.raises(ValueError, match="1 trials >= 2 of 50 steps"):
        overfitting_probability(np.zeros((50, 1)))


def test_trials_that_come_in_pieces_are_judged_as_those_that_come_at_once():
    """A sweep never holds the days of all its trials."""
    returns = np.random.default_rng(6).normal(0.001, 0.01, (103, 30))
    pieces = [Cut.of(returns[:, at : at + 7]) for at in range(0, 30, 7)]
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole.beside(piece)
    assert overfitting_of(whole) == overfitting_probability(returns)
