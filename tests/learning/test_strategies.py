"""What every strategy promises: live and backtest believe the same, to the last bit, and nobody reads the future."""

import time

import numpy as np
import pytest
from builders import a_panel, make_bars
from frames import wild_panels
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import folder as real_data
from rows import a_learned

from qtlib.domain.panel import Beliefs
from qtlib.engine.feeds import panel_of
from qtlib.learning.strategies import STRATEGIES, Trend
from qtlib.market import read
from qtlib.market.simulated import simulate

SEVERAL = [
    *(strategy() for strategy in STRATEGIES.values()),
    Trend(fast=1, medium=1, slow=1, volatility_span=2, range_span=1),
    Trend(fast=3, medium=10, slow=11, volatility_span=40, range_span=50),
    a_learned(),
]
every = pytest.mark.parametrize("strategy", SEVERAL, ids=[*map(str, SEVERAL[:-1]), "learned"])


def same(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one[:3], other[:3], strict=True))


def until(beliefs, end):
    return Beliefs(*(column[:, :end] for column in beliefs[:3]))


def last(beliefs):
    return Beliefs(*(column[:, -1] for column in beliefs[:3]))


@every
@given(panel=wild_panels(), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_live_and_backtest_believe_the_same(strategy, panel, share):
    end = 1 + int(share * (len(panel) - 1))
    recent = strategy.signals(panel.between(max(0, end - strategy.lookback), end))
    assert same(last(recent), last(until(strategy.signals(panel), end)))


@every
@given(panel=wild_panels(min_size=2), share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_strategy_never_reads_the_future(strategy, panel, share):
    known = 1 + int(share * (len(panel) - 2))
    past = panel.between(0, known)
    assert same(until(strategy.signals(panel), known), strategy.signals(past))


@every
def test_a_strategy_believes_nothing_before_its_lookback(strategy):
    panel = a_panel(make_bars(400), ETHUSDT=make_bars(400, seed=8))
    for column in strategy.signals(panel)[:3]:
        assert column.shape == panel.close.shape
        assert np.isnan(column[:, : strategy.lookback - 1]).all()
        assert np.isfinite(column[:, strategy.lookback - 1 :]).all()


@every
def test_each_symbol_is_believed_for_itself_or_in_any_order(strategy):
    first, second = make_bars(400), make_bars(400, seed=8)
    one = strategy.signals(a_panel(first, ETHUSDT=second))
    other = strategy.signals(a_panel(second, ETHUSDT=first))
    assert same(one, Beliefs(*(column[::-1] for column in other[:3])))


@every
@given(panel=wild_panels())
@settings(max_examples=30, deadline=None)
def test_beliefs_stay_within_their_bounds(strategy, panel):
    score, confidence, volatility_frac = (column[~np.isnan(column)] for column in strategy.signals(panel)[:3])
    assert (np.abs(score) <= 1).all()
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (volatility_frac >= 0).all()


@every
def test_beliefs_have_no_unit(strategy):
    bars = make_bars(400)
    whole, tenfold = strategy.signals(a_panel(bars)), strategy.signals(a_panel(bars * 10))
    for one, other in zip(whole[:3], tenfold[:3], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-9)
    assert same(strategy.signals(a_panel(bars * 2.0**20)), whole)


@every
def test_a_market_that_stands_still_is_no_reason_to_believe(strategy):
    assert np.isnan(strategy.signals(a_panel(make_bars(400, drift=0.0, vol=0.0))).score).all()


def test_trend_follows_the_trend():
    up, down = (Trend().signals(a_panel(make_bars(400, drift=drift, vol=0.01))) for drift in (0.005, -0.005))
    assert up.score[0, -1] > 0.7
    assert down.score[0, -1] < -0.7


def test_confidence_grows_with_the_score_and_stays_modest():
    beliefs = Trend().signals(a_panel(make_bars(2000, vol=0.01)))
    known = ~np.isnan(beliefs.score)
    ordered = beliefs.confidence[known][np.argsort(np.abs(beliefs.score[known]))]
    assert (np.diff(ordered) >= 0).all()
    assert ((ordered >= 0.5) & (ordered <= 0.8)).all()


@pytest.mark.parametrize("wrong", [{"fast": 0}, {"fast": 80}, {"slow": 70}, {"volatility_span": 0}, {"range_span": 0}])
def test_horizons_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="1 bar"):
        Trend(**wrong)


@pytest.mark.parametrize("wrong", [{"fast": 24.0}, {"slow": "168"}, {"range_span": True}])
def test_spans_are_whole_numbers_of_bars(wrong):
    with pytest.raises(TypeError, match="whole number of bars"):
        Trend(**wrong)


def test_a_strategy_is_found_by_the_name_it_gives_itself():
    assert {name: strategy().name for name, strategy in STRATEGIES.items()} == {name: name for name in STRATEGIES}


def test_a_long_past_is_read_at_once():
    panel = a_panel(make_bars(1_000_000))
    began = time.process_time()
    Trend().signals(panel)
    assert time.process_time() - began < 1.5


def agree_everywhere(market, strategy, rows):
    panel = panel_of(market)
    whole = strategy.signals(panel)
    for end in np.random.default_rng(0).integers(strategy.lookback, len(panel), rows):
        assert same(last(strategy.signals(panel.between(end - strategy.lookback, end))), last(until(whole, end)))


@every
def test_the_simulated_market_is_believed_alike_live_and_in_backtest(strategy):
    agree_everywhere(simulate(bars=2000), strategy, rows=20)


@every
def test_real_bars_are_believed_alike_live_and_in_backtest(strategy):
    agree_everywhere(read(real_data(), ["BTCUSDT", "SOLUSDT"], "1h", "2022-01-01", "2025-01-01"), strategy, rows=50)
