"""Decay: who keeps a promise is left alone, whoever breaks one is found out, and the sooner the worse it is."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.learning.decay import KEEP, ROLL_BACK, SHADOW, DecayParams, Outcomes, Promise, decay, promise, wealth
from qtlib.learning.scores import DAY, bets

MADE = Promise(0.1, 3.0)


def outcomes(mean=0.1, days=250, a_day=3, seed=0, said=None, common=0.5):
    """Trades of one or two R, a few a day that share their day's luck; said: what they were given, if not the truth."""
    dice = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), a_day)
    chance = (1.0 + mean) / 2.5  # wins 1.5 R, loses 1 R
    shared = np.repeat(dice.random(days), a_day)
    own = np.where(dice.random(len(day)) < common, shared, dice.random(len(day)))
    r = np.where(own < chance, 1.5, -1.0)
    return Outcomes(day, r, np.full(len(day), chance if said is None else said))


def test_of_models_that_keep_their_promise_few_are_ever_demoted():
    """Each is looked at after every day of 250, trades of a day alike; the promise is just kept, which is hardest."""
    demoted = [decay(MADE, outcomes(seed=seed)).action != KEEP for seed in range(300)]
    assert np.mean(demoted) <= 0.05


@pytest.mark.parametrize(("mean", "days"), [(-0.5, 60), (-0.3, 130), (-0.1, 400)])
def test_models_that_lose_are_found_out(mean, days):
    """A promise of +0.1 R, three trades a day that go much alike: the farther from it, the sooner, four in five."""
    found = [decay(MADE, outcomes(mean, days, seed=seed)).action == SHADOW for seed in range(60)]
    assert np.mean(found) >= 0.8


def test_boasting_is_found_out_though_the_money_comes_in():
    verdict = decay(Promise(0.0, 3.0), outcomes(0.1, 300, said=0.75), predecessor="m6")
    assert verdict.action == ROLL_BACK
    assert verdict.against_calibration > verdict.alarm_at > verdict.against_expectancy
    assert "said 75 % would win" in verdict.words
    assert verdict.words.endswith("trading goes back to m6.")


def test_a_promise_once_broken_stays_broken():
    bad, good = outcomes(-0.5, 200), outcomes(0.5, 200, seed=1)
    both = Outcomes(np.r_[bad.day, good.day + 200], np.r_[bad.r, good.r], np.r_[bad.confidence, good.confidence])
    assert decay(MADE, bad).action == decay(MADE, both).action == SHADOW


def test_nothing_closed_yet_is_no_verdict_against_anyone():
    none = Outcomes(np.empty(0, dtype=int), np.empty(0), np.empty(0))
    verdict = decay(MADE, none)
    assert (verdict.action, verdict.against_expectancy) == (KEEP, 1.0)
    assert json.loads(json.dumps(verdict.row(), allow_nan=False))["expectancy_r"] is None
    assert "No trade has closed yet" in verdict.words


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 1), max_size=40), st.floats(1, 3))
def test_wealth_is_never_negative_and_what_is_expected_of_one_step_is_no_gain(steps, most):
    path = wealth(np.array(steps), most)
    assert (path >= 0).all()
    fair = (np.exp(np.log(wealth(np.array([most]), most))) + wealth(np.array([-most]), most)) / 2
    assert fair == pytest.approx(1.0)  # up or down by as much, alike: a fair bet
    if steps and max(steps) <= 0:
        assert (np.diff(path) >= -1e-12).all()


def test_a_result_above_its_cap_is_refused_and_not_bet_on():
    with pytest.raises(ValueError, match=r"above 1\.0, the most it may be"):
        wealth(np.array([1.5]), 1.0)
    with pytest.raises(ValueError, match="false_alarm 0 < 1"):
        DecayParams(false_alarm=0)


def test_what_is_promised_is_a_lower_bound_with_gains_capped_and_never_a_loss():
    dice = np.random.default_rng(0)
    r = dice.normal(0.3, 1.0, 900)
    r[::50] = 40.0  # one trade in fifty makes all the money
    told = bets(np.arange(900) * (DAY // 3), np.ones(900), np.full(900, 0.6), r, -r, 0.5)
    made = promise(told)
    assert 0.1 < made.expectancy_r < np.minimum(r, 3.0).mean()
    losing = bets(np.arange(900) * (DAY // 3), np.ones(900), np.full(900, 0.6), -r, r, 0.5)
    assert promise(losing).expectancy_r == 0.0
