"""The simulated market behaves as markets do, is the same for the same seed, and holds the edge that was planted."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.market import aggregate, check
from qtlib.market.market import REFILL
from qtlib.market.simulated import LIKENESS, LISTINGS, Listing, SimulatedMarket, simulate
from qtlib.market.simulated.life import CHUNK
from qtlib.market.simulated.likeness import Traits

HOURS = 20_000


@pytest.fixture(scope="module")
def long():
    return simulate(SimulatedMarket(edge=0), bars=HOURS)


@pytest.fixture(scope="module")
def changes(long):
    return pd.DataFrame({s: np.log(bars["close"]).diff() for s, bars in long.bars.items()}).dropna()


def same(one, other, bars):
    return all(
        np.array_equal(one.bars[s].to_numpy()[:bars], other.bars[s].to_numpy()[:bars])
        and np.array_equal(one.marks[s].to_numpy()[:bars], other.marks[s].to_numpy()[:bars])
        and one.funding[s].equals(other.funding[s].loc[: one.bars[s].index[bars - 1]])
        for s in one.symbols
    )


@given(st.integers(1, 3 * CHUNK), st.integers(0, 2 * CHUNK), st.sampled_from(["1h", "15m", "8h"]))
@settings(max_examples=12, deadline=None)
def test_a_longer_market_begins_with_the_shorter_one(bars, more, timeframe):
    params = SimulatedMarket(seed=11, timeframe=timeframe)
    assert same(simulate(params, bars), simulate(params, bars + more), bars)


def test_the_same_seed_is_the_same_market_and_another_is_another():
    assert simulate(bars=500).fingerprint == simulate(bars=500).fingerprint
    assert simulate(bars=500).fingerprint != simulate(SimulatedMarket(seed=8), bars=500).fingerprint


def test_a_symbol_does_not_depend_on_its_neighbours(long):
    alone = simulate(SimulatedMarket(edge=0, symbols=("XRPUSDT",)), bars=3000)
    assert same(alone, long, 3000)


def test_it_says_that_it_is_simulated(long):
    assert long.simulated
    assert long.source == "simulated market (seed 7, edge 0)"
    assert "SIMULATED" in str(long.report())


@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h", "8h"])
def test_nothing_is_wrong_with_its_bars(timeframe):
    market = simulate(SimulatedMarket(symbols=tuple(LISTINGS), timeframe=timeframe), bars=5000)
    assert market.findings == ()
    assert market.notes == ()
    assert all(series.iloc[REFILL - 1 :].all() for series in market.usable.values())
    for symbol, bars in market.bars.items():
        assert check(bars, timeframe, symbol) == ()
        assert (bars["volume"] > 0).all()


@pytest.mark.parametrize("symbol", LISTINGS)
def test_prices_are_whole_ticks_written_as_decimals(symbol):
    market = simulate(SimulatedMarket(symbols=(symbol,)), bars=500)
    prices = market.bars[symbol][["open", "high", "low", "close"]].to_numpy().ravel().tolist()
    assert {Decimal(repr(price)) % LISTINGS[symbol].tick for price in prices} == {0}


def test_a_bar_opens_within_a_tick_of_the_close_before(long):
    for symbol, bars in long.bars.items():
        steps = (bars["open"] - bars["close"].shift()).dropna() / float(LISTINGS[symbol].tick)
        assert set(steps.round(6).abs()) == {0.0, 1.0}


def test_what_happened_says_nothing_of_which_way_it_goes_on(changes):
    for symbol in changes:
        assert all(abs(changes[symbol].autocorr(lag)) < 0.03 for lag in (1, 2, 3, 24))


def test_volatility_is_what_was_found_of_the_symbol(changes):
    for symbol in changes:
        yearly = changes[symbol].std() * np.sqrt(365.25 * 24)
        assert yearly == pytest.approx(LIKENESS.symbols[symbol].volatility_frac, rel=0.3)  # it has good and bad years


def test_a_shorter_bar_has_the_same_yearly_volatility():
    bars = simulate(SimulatedMarket(timeframe="5m", edge=0), bars=50_000).bars
    yearly = {s: np.log(b["close"]).diff().std() * np.sqrt(365.25 * 24 * 12) for s, b in bars.items()}
    assert all(0.6 < value / LIKENESS.symbols[s].volatility_frac < 1.6 for s, value in yearly.items())


def test_volume_grows_with_range(long):
    for bars in long.bars.values():
        assert (bars["volume"] * bars["close"]).corr(bars["high"] / bars["low"] - 1) > 0.5


def test_a_mark_price_is_near_the_last_price_but_is_not_it(long):
    for symbol, bars in long.bars.items():
        away = long.marks[symbol]["close"] / bars["close"] - 1
        assert 0.00005 < away.std() < 0.0005
        assert away.abs().max() < 0.01


def test_funding_is_settled_every_eight_hours_and_mostly_at_a_hundredth_of_a_percent(long):
    for rates in long.funding.values():
        assert set(rates.index.hour) == {0, 8, 16}
        assert rates.mode().tolist() == [0.0001]
        assert rates.between(min(LIKENESS.funding_rates), max(LIKENESS.funding_rates)).all()


def following_trends(market):
    """The t-statistic of holding each symbol in the direction of its last week, in units of its volatility."""
    profits = []
    for bars in market.bars.values():
        change = bars["close"].pct_change()
        held = np.sign(change.rolling(168).sum()) / change.rolling(168).std()
        profits.append(held.shift() * change)
    profit = pd.concat(profits, axis=1).sum(axis=1).iloc[169:]
    return profit.mean() / profit.std() * np.sqrt(len(profit))


def test_the_planted_edge_can_be_found_and_without_it_there_is_none():
    found = [following_trends(simulate(SimulatedMarket(seed=s), bars=HOURS)) for s in range(6)]
    none = [following_trends(simulate(SimulatedMarket(seed=s, edge=0), bars=HOURS)) for s in range(6)]
    assert sum(found) / 6**0.5 > 3.5  # the sum of six independent ones, in its own standard deviations
    assert abs(sum(none)) / 6**0.5 < 2.5


def test_the_edge_is_weak(changes):
    with_edge = simulate(bars=HOURS)
    r = np.log(with_edge.bars["BTCUSDT"]["close"]).diff()
    assert abs(r.autocorr(1)) < 0.03
    assert r.std() == pytest.approx(changes["BTCUSDT"].std(), rel=0.1)


def test_longer_bars_carry_the_shorter_ones_inside():
    short = simulate(SimulatedMarket(timeframe="5m"), bars=12 * 30)
    market = short.coarser("1h")
    assert (market.finer, market.simulated, market.count) == (short, True, 5 * 30)
    pd.testing.assert_frame_equal(market.bars["ETHUSDT"], aggregate(short.bars["ETHUSDT"], "1h"))


def test_a_symbol_of_ones_own_can_be_listed():
    own = {"MINEUSDT": Listing(12.5, Decimal("0.05"), Traits(0.5, 0.8, 1e8))}
    market = simulate(SimulatedMarket(symbols=("MINEUSDT",), listings=own), bars=100)
    assert market.bars["MINEUSDT"]["open"].iloc[0] == pytest.approx(12.5, abs=0.06)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"symbols": ("NOUSDT",)}, "or have listings"),
        ({"symbols": ()}, "must be different ones"),
        ({"symbols": ("BTCUSDT", "BTCUSDT")}, "must be different ones"),
        ({"timeframe": "1d"}, "must divide 8h"),
        ({"start": SimulatedMarket().start.replace(minute=30)}, "on the grid of 1h"),
        ({"drift_half_life_h": 0.0}, "drift_half_life_h 0.0 > 0"),
        (
            {
                "listings": {"BTCUSDT": LISTINGS["BTCUSDT"], "MINEUSDT": Listing(1.0, Decimal(1))},
                "symbols": ("MINEUSDT",),
            },
            "or have",
        ),
    ],
)
def test_a_market_that_cannot_be_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        replace(SimulatedMarket(), **wrong)


def test_no_bars_are_refused():
    with pytest.raises(ValueError, match="bars 0 must be at least 1"):
        simulate(bars=0)
