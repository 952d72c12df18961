"""What every strategy promises: live and backtest believe the same, to the last bit, and nobody reads the future."""

import time

import numpy as np
import pandas as pd
import pytest
from builders import make_bars
from frames import wild_bars
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import folder as real_data

from qtlib.learning.strategies import STRATEGIES, Trend
from qtlib.market import read
from qtlib.market.simulated import simulate

SEVERAL = [
    *(strategy() for strategy in STRATEGIES.values()),
    Trend(fast=1, medium=1, slow=1, volatility_span=2, range_span=1),
    Trend(fast=3, medium=10, slow=11, volatility_span=40, range_span=50),
]
every = pytest.mark.parametrize("strategy", SEVERAL, ids=str)
BELIEFS = ["score", "confidence", "price", "volatility_frac"]


def same(one, other):
    return np.array_equal(one.to_numpy(), other.to_numpy(), equal_nan=True)


@every
@given(bars=wild_bars(), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_live_and_backtest_believe_the_same(strategy, bars, share):
    end = 1 + int(share * (len(bars) - 1))
    recent = strategy.signals(bars.iloc[max(0, end - strategy.lookback) : end])
    assert same(recent.iloc[-1], strategy.signals(bars).iloc[end - 1])


@every
@given(bars=wild_bars(min_size=2), share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_strategy_never_reads_the_future(strategy, bars, share):
    known = 1 + int(share * (len(bars) - 2))
    changed = bars.copy()
    changed.iloc[known:] *= 0.2
    assert same(strategy.signals(changed).iloc[:known], strategy.signals(bars).iloc[:known])


@every
def test_a_strategy_believes_nothing_before_its_lookback(strategy):
    signals = strategy.signals(make_bars(400))
    beliefs = signals[["score", "confidence", "volatility_frac"]]
    assert beliefs.iloc[: strategy.lookback - 1].isna().all(axis=None)
    assert signals.iloc[strategy.lookback - 1 :].notna().all(axis=None)
    assert list(signals.columns) == BELIEFS
    assert signals.index.equals(make_bars(400).index)


@every
@given(bars=wild_bars())
@settings(max_examples=30, deadline=None)
def test_beliefs_stay_within_their_bounds(strategy, bars):
    signals = strategy.signals(bars).dropna()
    assert signals["score"].between(-1, 1).all()
    assert signals["confidence"].between(0, 1).all()
    assert (signals["volatility_frac"] >= 0).all()
    assert signals["price"].equals(bars["close"].loc[signals.index].rename("price"))


@every
def test_beliefs_have_no_unit(strategy):
    bars = make_bars(400)
    whole, tenfold = strategy.signals(bars), strategy.signals(bars * 10)
    unitless = ["score", "confidence", "volatility_frac"]
    np.testing.assert_allclose(tenfold[unitless], whole[unitless], rtol=1e-9, atol=1e-9)
    assert same(strategy.signals(bars * 2.0**20)[unitless], whole[unitless])


@every
def test_a_market_that_stands_still_is_no_reason_to_believe(strategy):
    flat = make_bars(400, drift=0.0, vol=0.0)
    assert strategy.signals(flat)["score"].isna().all()


def test_trend_follows_the_trend():
    up, down = (Trend().signals(make_bars(400, drift=drift, vol=0.01)) for drift in (0.005, -0.005))
    assert up["score"].iloc[-1] > 0.7
    assert down["score"].iloc[-1] < -0.7


def test_confidence_grows_with_the_score_and_stays_modest():
    signals = Trend().signals(make_bars(2000, vol=0.01)).dropna()
    ordered = signals.assign(strength=signals["score"].abs()).sort_values("strength")
    assert ordered["confidence"].is_monotonic_increasing
    assert signals["confidence"].between(0.5, 0.8).all()


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
    bars = make_bars(1_000_000)
    began = time.process_time()
    Trend().signals(bars)
    assert time.process_time() - began < 1.5


def agree_everywhere(market, strategy, rows):
    for bars in market.bars.values():
        whole = strategy.signals(bars)
        for end in np.random.default_rng(0).integers(strategy.lookback, len(bars), rows):
            recent = strategy.signals(bars.iloc[end - strategy.lookback : end])
            pd.testing.assert_series_equal(recent.iloc[-1], whole.iloc[end - 1], check_exact=True)


@every
def test_the_simulated_market_is_believed_alike_live_and_in_backtest(strategy):
    agree_everywhere(simulate(bars=2000), strategy, rows=20)


@every
def test_real_bars_are_believed_alike_live_and_in_backtest(strategy):
    agree_everywhere(read(real_data(), ["BTCUSDT", "SOLUSDT"], "1h", "2022-01-01", "2025-01-01"), strategy, rows=50)
