"""Scores of predictions: the same numbers as other people's code computes, and each beside its baseline."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.learning.scores import (
    DAY,
    auc,
    bets,
    brier,
    brier_skill,
    calibration_error,
    daily,
    expectancy,
    log_loss,
    rank_ic,
    reliability,
    score,
)

seeds = st.integers(0, 2**32 - 1)


def predictions(seed, size=400, rounded=True):
    dice = np.random.default_rng(seed)
    p = dice.uniform(0.2, 0.8, size)
    return (np.round(p, 1) if rounded else p), dice.random(size) < p


@settings(max_examples=20)
@given(seeds, st.booleans())
def test_probabilities_are_scored_as_scikit_learn_scores_them(seed, rounded):
    from sklearn import metrics

    p, won = predictions(seed, rounded=rounded)
    assert brier(p, won) == pytest.approx(metrics.brier_score_loss(won, p))
    assert log_loss(p, won) == pytest.approx(metrics.log_loss(won, p))
    assert auc(p, won) == pytest.approx(metrics.roc_auc_score(won, p))


@settings(max_examples=40)
@given(seeds)
def test_the_rank_ic_is_spearmans(seed):
    from scipy.stats import spearmanr

    dice = np.random.default_rng(seed)
    a, b = np.round(dice.standard_normal((2, 60)), 1)
    assert rank_ic(a, b) == pytest.approx(spearmanr(a, b).statistic)


@given(seeds, st.integers(1, 20))
def test_a_reliability_table_holds_every_prediction_once_in_rising_order(seed, bins):
    p, won = predictions(seed)
    table = reliability(p, won, bins)
    assert table.rows.sum() == len(p)
    assert (table.seen * table.rows).sum() == pytest.approx(won.sum())
    assert (np.diff(table.said) > -1e-12).all()
    assert 0 <= calibration_error(p, won, bins) <= 1


def test_honest_probabilities_have_skill_and_little_error_and_boasting_ones_neither():
    p, won = predictions(1, 20_000, rounded=False)
    assert brier_skill(p, won) > 0.1
    assert calibration_error(p, won) < 0.02
    boasted = np.clip(0.5 + 3 * (p - 0.5), 0.01, 0.99)
    assert brier_skill(boasted, won) < brier_skill(p, won) - 0.15
    assert calibration_error(boasted, won) > 0.15
    assert brier_skill(np.full(len(won), won.mean()), won) == pytest.approx(0.0)


def some_bets(threshold=0.5, size=300, skill=0.0, seed=0):
    dice = np.random.default_rng(seed)
    move = dice.standard_normal(size)
    guess = skill * move + dice.standard_normal(size)
    times = np.arange(size, dtype=np.int64) * (DAY // 6)
    return bets(times, np.tanh(guess), dice.uniform(0.4, 0.7, size), move - 0.1, -move - 0.1, threshold)


def test_a_bet_takes_the_side_that_the_score_names_and_only_where_it_is_sure_enough():
    nan = np.nan
    told = bets(
        np.arange(6) * DAY,
        np.array([0.5, -0.5, 0.5, 0.0, nan, 0.5]),
        np.array([0.6, 0.6, 0.4, 0.9, nan, 0.9]),
        np.array([1.0, 1.0, 1.0, 1.0, 1.0, nan]),
        np.array([-1.2, -1.2, -1.2, -1.2, -1.2, nan]),
        0.5,
    )
    assert told.taken.tolist() == [True, True, False, False, False, False]
    assert told.r[:3].tolist() == [1.0, -1.2, 1.0]
    assert daily(told).bets.tolist() == [1, 1, 0, 0, 0, 0]
    assert expectancy(told).mean == pytest.approx(-0.1)


def test_each_group_is_scored_beside_the_rule_and_the_groups_add_up():
    of, rule = some_bets(skill=2.0), some_bets(seed=0)
    symbol, volatility = np.arange(300) % 2, np.linspace(0.01, 0.02, 300)
    found = {s.group: s for s in score(of, rule, symbol, ("A", "B"), volatility)}
    assert list(found) == ["all", "A", "B", "calm", "usual", "wild"]
    assert found["A"].taken + found["B"].taken == found["all"].taken == of.taken.sum()
    assert found["calm"].rows == found["usual"].rows == found["wild"].rows == 100
    assert found["all"].expectancy.low > 0 > found["all"].rule.low
    assert found["all"].rank_ic > 0.5
    assert found["all"].expectancy.mean == pytest.approx(of.r[of.taken].mean())


def test_a_group_without_predictions_has_no_numbers_and_no_zeros():
    of = some_bets()
    nobody = score(of, of, np.zeros(300, dtype=int), ("A", "B"), np.ones(300))[2]
    assert (nobody.group, nobody.rows, nobody.taken) == ("B", 0, 0)
    assert np.isnan([nobody.brier, nobody.auc, nobody.rank_ic, nobody.expectancy.mean, nobody.win_rate_frac]).all()
