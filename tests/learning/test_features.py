"""What every feature promises: no future, no more past than it says, to the last bit, no units, no order of symbols."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from market_data import folder as real_data
from panels import a_panel_of, a_quiet_panel, wild_panels

from qtlib.engine.feeds import panel_of
from qtlib.learning.features import DEFAULT_FEATURES, FEATURES, Feature, FeatureSet, schema_hash
from qtlib.learning.sharing import sharing
from qtlib.market import read
from qtlib.market.simulated import simulate

EVERY = FeatureSet(tuple(FEATURES))
PRICES = ("open", "high", "low", "close")
every = pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)


def apart(one, other, **tolerance):
    """Names of the features in which two matrices differ."""
    if tolerance:
        same = np.isclose(one, other, equal_nan=True, **tolerance)
    else:
        same = (one == other) | (np.isnan(one) & np.isnan(other))
    return [name for place, name in enumerate(EVERY.names) if not same[..., place].all()]


def times(panel, factor, *columns, rows=slice(None)):
    changed = {name: getattr(panel, name).copy() for name in columns}
    for values in changed.values():
        values[rows] *= factor
    return replace(panel, **changed)


@given(panel=wild_panels(min_bars=2), share=st.floats(0, 1))
@settings(max_examples=40)
def test_a_feature_never_reads_the_future(panel, share):
    assume(len(panel) >= 2)
    known = 1 + int(share * (len(panel) - 2))
    whole = EVERY.matrix(panel)[:, :known]
    assert apart(EVERY.matrix(panel.between(0, known)), whole) == []
    stretched = times(panel, 3.7, *PRICES, "volume", "funding_frac", rows=(slice(None), slice(known, None)))
    assert apart(EVERY.matrix(stretched)[:, :known], whole) == []


@given(panel=wild_panels(), share=st.floats(0, 1), earlier=st.integers(0, 400))
@settings(max_examples=60)
def test_the_whole_past_and_the_lookback_alone_give_the_same_bits(panel, share, earlier):
    assume(len(panel))
    whole = EVERY.matrix(panel)
    for end in {1 + int(share * (len(panel) - 1)), max(1, len(panel) - earlier), len(panel)}:
        known = panel.between(0, end)
        alone = [FEATURES[name].of(known.last(FEATURES[name].lookback))[:, -1] for name in EVERY.names]
        assert apart(np.stack(alone, axis=-1), whole[:, end - 1]) == []
        assert apart(EVERY.last(known), whole[:, end - 1]) == []
        assert apart(EVERY.matrix(known.last(EVERY.lookback))[:, -1], whole[:, end - 1]) == []


@given(panel=wild_panels(), row=st.integers(0, 3))
@settings(max_examples=30)
def test_a_feature_has_no_unit(panel, row):
    whole = EVERY.matrix(panel)
    rows = slice(row, row + 1)
    exact = times(times(panel, 2.0**-20, *PRICES, rows=rows), 2.0**30, "volume", rows=rows)  # a power of two is exact
    assert apart(EVERY.matrix(exact), whole) == []


def test_prices_and_volumes_times_ten_change_nothing():
    panel = a_quiet_panel()
    whole = EVERY.matrix(panel)
    for factor in (10.0, 1e-17):
        assert apart(EVERY.matrix(times(panel, factor, *PRICES, rows=1)), whole, rtol=1e-9, atol=1e-9) == []
        assert apart(EVERY.matrix(times(panel, factor, "volume", rows=2)), whole, rtol=1e-9, atol=1e-9) == []


def test_money_flows_in_a_quiet_market_as_in_a_loud_one():
    panel = a_quiet_panel()
    quieter = times(panel, 1e-6, "volume", rows=(slice(None), slice(1000, None)))
    flow = FEATURES["money_flow_14"].of
    np.testing.assert_allclose(flow(quieter)[:, 1020:], flow(panel)[:, 1020:], rtol=1e-6, atol=1e-6)


@given(panel=wild_panels(), order=st.permutations(range(4)))
@settings(max_examples=30)
def test_the_order_of_symbols_is_the_order_of_rows(panel, order):
    order = [row for row in order if row < len(panel.symbols)]
    columns = {name: getattr(panel, name)[order] for name in (*PRICES, "volume", "funding_frac")}
    shuffled = replace(panel, symbols=tuple(panel.symbols[row] for row in order), **columns)
    assert apart(EVERY.matrix(shuffled), EVERY.matrix(panel)[order]) == []


@given(panel=wild_panels())
@settings(max_examples=20)
def test_a_symbol_without_bars_is_not_there(panel):
    nothing = np.full((1, len(panel)), np.nan)
    columns = {n: np.concatenate([getattr(panel, n), nothing]) for n in (*PRICES, "volume", "funding_frac")}
    more = EVERY.matrix(replace(panel, symbols=(*panel.symbols, "XRPUSDT"), **columns))
    assert apart(more[:-1], EVERY.matrix(panel)) == []
    assert np.isnan(more[-1]).all()


@every
def test_a_feature_speaks_from_its_lookback_on_and_not_before(feature):
    values = feature.of(a_quiet_panel())
    assert np.isnan(values[:, : feature.lookback - 1]).all()
    assert np.isfinite(values[:, feature.lookback - 1 :]).all()


@every
def test_a_feature_says_nothing_where_there_is_no_bar(feature):
    panel = a_quiet_panel(bars=1400)
    whole = feature.of(panel)
    columns = {name: getattr(panel, name).copy() for name in (*PRICES, "volume", "funding_frac")}
    for values in columns.values():
        values[2, 600:603] = np.nan
    values = feature.of(replace(panel, **columns))
    assert np.isnan(values[2, 600:603]).all()
    assert np.isfinite(values[2, 603 + feature.lookback :]).all()
    others = [0, 1, 3]
    assert np.array_equal(np.isnan(values[others]), np.isnan(whole[others]))


def test_a_feature_of_nothing_is_nothing():
    assert EVERY.matrix(a_quiet_panel(bars=0)).shape == (4, 0, len(FEATURES))
    of_one_bar = {name for name, feature in FEATURES.items() if feature.lookback == 1}
    values = EVERY.matrix(a_quiet_panel(bars=1))
    assert {name for place, name in enumerate(EVERY.names) if np.isfinite(values[..., place]).any()} == of_one_bar


def test_a_market_that_stands_still_says_nothing_but_the_time_and_the_funding():
    values = EVERY.matrix(a_panel_of(np.full((4, 1200), 7.3), volume=np.zeros((4, 1200))))
    speaking = {name for place, name in enumerate(EVERY.names) if np.isfinite(values[..., place]).any()}
    quiet = {"volatility_24", "volatility_168", "true_range_frac_14", "breadth_24", "rank_24"}  # zero is an answer
    clock = {"day_sin", "day_cos", "week_sin", "week_cos"}
    assert speaking == quiet | clock | {n for n in FEATURES if n.startswith("funding")}


def test_without_bitcoin_nothing_is_said_against_it():
    values = EVERY.matrix(a_quiet_panel(symbols=("ADAUSDT", "BTCDOMUSDT", "ETHUSDT")))
    silent = {name for place, name in enumerate(EVERY.names) if np.isnan(values[..., place]).all()}
    assert silent == {"beta_168", "correlation_72", "against_bitcoin_24", "bitcoin_1"}


def test_a_set_can_do_without_what_a_market_does_not_tell():
    whole = a_quiet_panel()
    alone = replace(whole, symbols=("ADAUSDT", "ATOMUSDT", "ETHUSDT", "SOLUSDT"))
    unfunded = replace(whole, funding_frac=np.full(whole.close.shape, np.nan))
    assert EVERY.known_in(whole) == EVERY
    assert set(EVERY.names) - set(EVERY.known_in(alone).names) == {
        "beta_168",
        "correlation_72",
        "against_bitcoin_24",
        "bitcoin_1",
    }
    assert set(EVERY.names) - set(EVERY.known_in(unfunded).names) == {n for n in FEATURES if n.startswith("funding")}


def test_together_or_alone_the_same_bits():
    panel = a_quiet_panel()
    alone = np.stack([feature.of(panel) for feature in FEATURES.values()], axis=-1)
    with sharing():
        assert apart(EVERY.matrix(panel), alone) == []
    assert apart(EVERY.matrix(panel), alone) == []


def test_a_set_is_of_known_features_each_once():
    assert FeatureSet(DEFAULT_FEATURES).lookback == max(FEATURES[name].lookback for name in DEFAULT_FEATURES)
    assert len(DEFAULT_FEATURES) == 40
    with pytest.raises(ValueError, match="no feature is called momentum_25; there are momentum_1, "):
        FeatureSet(("momentum_24", "momentum_25"))
    with pytest.raises(ValueError, match="each once: momentum_24, momentum_24"):
        FeatureSet(("momentum_24", "momentum_24"))
    with pytest.raises(ValueError, match="none"):
        FeatureSet(())


def test_the_schema_changes_with_a_name_an_order_a_lookback_a_period_and_with_nothing_else():
    one = FeatureSet(("momentum_24", "rsi_14"))
    assert one.schema_hash == FeatureSet(("momentum_24", "rsi_14")).schema_hash
    assert one.schema_hash != FeatureSet(("rsi_14", "momentum_24")).schema_hash
    assert one.schema_hash != FeatureSet(("momentum_24",)).schema_hash
    fine = FEATURES["momentum_24"]
    assert schema_hash((fine, FEATURES["rsi_14"])) == one.schema_hash
    others = [
        replace(fine, name="momentum"),
        replace(fine, lookback=170),
        Feature("momentum_24", 169, FEATURES["momentum_6"].of),
        Feature("momentum_24", 169, lambda panel: 1.000001 * fine.of(panel)),
    ]
    hashes = {schema_hash((other, FEATURES["rsi_14"])) for other in others}
    assert len(hashes | {one.schema_hash}) == 5


def test_a_simulated_market_is_told_alike_live_and_in_research():
    market = simulate(bars=1300)
    closes = np.stack([frame["close"].to_numpy() for frame in market.bars.values()])
    panel = a_panel_of(closes, tuple(market.bars))
    whole = EVERY.matrix(panel)
    for end in np.random.default_rng(0).integers(EVERY.lookback, len(panel), 40):
        assert apart(EVERY.last(panel.between(0, end)), whole[:, end - 1]) == []


def test_real_bars_are_told_alike_live_and_in_research_and_mostly_known():
    panel = panel_of(read(real_data(), ["BTCUSDT", "ETHUSDT", "SOLUSDT"], "1h", "2022-06-01", "2023-01-01"))
    whole = EVERY.matrix(panel)
    assert np.isfinite(whole[:, EVERY.lookback :]).mean(axis=(0, 1)).min() > 0.95
    for end in np.random.default_rng(0).integers(EVERY.lookback, len(panel), 40):
        assert apart(EVERY.last(panel.between(0, end)), whole[:, end - 1]) == []


def test_a_long_past_is_told_at_once():
    panel = a_quiet_panel(bars=50_000)
    began = time.process_time()
    FeatureSet(DEFAULT_FEATURES).matrix(panel)
    assert time.process_time() - began < 0.2 * 2.0 * 4  # 200,000 rows of a million that may take 2 s; a busy machine


def test_what_is_computed_a_piece_at_a_time_is_the_whole_of_it():
    names = ("BTCUSDT", *(f"S{n:02d}USDT" for n in range(19)))
    panel = a_quiet_panel(2_600, names)  # of so many symbols two pieces
    missing = np.random.default_rng(4).random(panel.close.shape) < 0.0002
    missing[3, 2_000:2_100] = missing[5, :1_900] = True
    columns = ("open", "high", "low", "close", "volume", "funding_frac")
    panel = replace(panel, **{name: np.where(missing, np.nan, getattr(panel, name)) for name in columns})
    features = FeatureSet(tuple(FEATURES))
    whole = np.stack([feature.of(panel) for feature in features.features], axis=-1)
    assert np.array_equal(features.matrix(panel), whole, equal_nan=True)
    assert np.isfinite(whole[:, 2_060:]).mean() > 0.5
