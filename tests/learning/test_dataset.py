"""A row for each decision whose outcome is known, the rest counted by why; and the same rows make the same print."""

from dataclasses import replace

import numpy as np
import pytest
from builders import a_panel, make_bars
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import a_dataset

from qtlib.learning.dataset import UNKNOWN_END, UNKNOWN_FEATURE, UNSOUND, dataset, sound, upside_down
from qtlib.learning.features import FeatureSet, true_range_frac
from qtlib.learning.labels import labels
from qtlib.market import Market
from qtlib.market.timeframes import micros_in
from qtlib.rules.tpsl import Costs, ExitParams

FEATURES = FeatureSet(("momentum_24", "channel_48"))
PANEL = a_panel(make_bars(400), ETHUSDT=make_bars(400, seed=8).iloc[100:], SOLUSDT=make_bars(400, seed=9).iloc[-20:])
VOLATILITY = true_range_frac(PANEL, 14)
LABELS = labels(PANEL, VOLATILITY, ExitParams(), Costs())


@pytest.fixture(scope="module")
def data():
    return dataset(PANEL, FEATURES, LABELS, VOLATILITY, half_life=200.0)


def test_each_row_is_its_decision(data):
    x = FEATURES.matrix(PANEL)
    assert np.array_equal(data.x, x[data.symbol, data.at])
    assert np.array_equal(data.times, PANEL.times[data.at])
    for name in ("long_r", "short_r", "long_frac", "short_frac", "favourable_frac", "adverse_frac"):
        assert np.array_equal(getattr(data, name), getattr(LABELS, name)[data.symbol, data.at])
    ends = [e[data.symbol, data.at] for e in (LABELS.long_end, LABELS.short_end, LABELS.excursion_end)]
    assert np.array_equal(data.end, np.max(ends, axis=0))
    assert (data.end > data.at).all()


def test_rows_ascend_in_time_and_stand_in_the_order_of_the_symbols(data):
    order = data.at * len(data.symbols) + data.symbol
    assert (np.diff(order) > 0).all()


def test_what_is_left_out_is_counted_by_why_and_nothing_is_lost(data):
    there = int(np.isfinite(PANEL.close).sum())
    assert data.dropped[UNKNOWN_FEATURE] == 168 + 168 + 20
    assert data.dropped[UNKNOWN_END] >= 2
    assert len(data) + data.dropped[UNKNOWN_FEATURE] + data.dropped[UNKNOWN_END] == there
    assert data.dropped["all of SOLUSDT"] == 20  # listed yesterday
    assert set(np.unique(data.symbol)) == {0, 1}


def test_only_what_may_teach_does_and_the_rest_is_counted(data):
    may_teach = np.random.default_rng(3).random(PANEL.close.shape) < 0.6
    taught = dataset(PANEL, FEATURES, LABELS, VOLATILITY, half_life=200.0, may_teach=may_teach)
    kept = may_teach[data.symbol, data.at]
    assert np.array_equal(taught.times, data.times[kept])
    assert np.array_equal(taught.x, data.x[kept])
    assert taught.dropped[UNSOUND] == np.count_nonzero(~kept)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_nothing_teaches_of_bars_that_may_not_be_traded_on(data):
    frame = make_bars(300)
    missing = data.draw(st.integers(150, 299))
    frame.iloc[data.draw(st.integers(0, 299)), frame.columns.get_loc("volume")] = 0.0
    start, hours = data.draw(st.integers(0, 299)), data.draw(st.integers(0, 30))
    doubt = (int(start * 3.6e9), int((start + hours) * 3.6e9))
    bars = frame.drop(frame.index[missing])
    at_t0 = int(micros_in(frame.index)[0]) - 3_600_000_000
    market = Market.of({"BTCUSDT": bars}, "1h", allow_gaps=True, refill=FEATURES.lookback)
    market = market.doubting({"BTCUSDT": ((at_t0 + doubt[0], at_t0 + doubt[1]),)}, FEATURES.lookback)
    panel = a_panel(bars)
    came = labels(panel, true_range_frac(panel, 14), ExitParams(), Costs())
    may_teach = sound(market, panel, came)
    doubted = [at_t0 + doubt[0] < close and close - 3.6e9 < at_t0 + doubt[1] for close in panel.times]
    for at in np.flatnonzero(came.excursion_end[0] >= 0):
        end = max(came.long_end[0, at], came.short_end[0, at], came.excursion_end[0, at])
        assert may_teach[0, at] == (market.usable["BTCUSDT"].iloc[at] and not any(doubted[at : end + 1]))


def test_a_row_weighs_less_the_older_it_is_and_the_more_it_shares(data):
    aged = dataset(PANEL, FEATURES, LABELS, VOLATILITY).weight
    assert ((aged > 0) & (aged <= 1)).all()
    assert data.weight == pytest.approx(aged * 0.5 ** ((data.at.max() - data.at) / 200.0))


def test_a_market_without_a_known_outcome_makes_an_empty_dataset():
    short = PANEL.between(0, 60)
    made = dataset(short, FEATURES, labels(short, VOLATILITY[:, :60], ExitParams(), Costs()), VOLATILITY[:, :60])
    assert len(made) == 0
    assert made.dropped[UNKNOWN_FEATURE] == 60


@given(rows=st.integers(1, 300), of=st.integers(1, 500))
def test_as_many_rows_are_drawn_as_asked_for_in_time_order_and_none_without_weight(rows, of):
    data = a_dataset(of, weight=np.arange(of) % 3 / 2.0 + (of == 1))
    drawn = data.drawn(rows) if data.weight.any() else data
    assert len(drawn) == rows or not data.weight.any()
    assert (np.diff(drawn.at) >= 0).all()
    assert np.isin(drawn.x[:, 0], data.x[data.weight > 0, 0]).all() or not data.weight.any()


@given(seed=st.integers(0, 2**32 - 1))
def test_turned_rows_are_what_they_are_upside_down_and_turned_again_what_they_were(seed):
    data = a_dataset(200)
    turned = data.turned(seed)
    over = (turned.x != data.x).any(axis=1)
    assert 50 < over.sum() < 150
    assert np.array_equal(turned.x[over], data.mirror[over])
    assert np.array_equal(turned.long_r, np.where(over, data.short_r, data.long_r))
    assert np.array_equal(turned.adverse_frac, np.where(over, data.favourable_frac, data.adverse_frac))
    assert turned.turned(seed).fingerprint == data.fingerprint


def test_upside_down_what_rose_falls_and_how_far_it_moves_is_the_same(data):
    back = upside_down(upside_down(PANEL))
    assert back.high == pytest.approx(PANEL.high, nan_ok=True)
    momentum, channel = FEATURES.names.index("momentum_24"), FEATURES.names.index("channel_48")
    assert data.mirror[:, momentum] == pytest.approx(-data.x[:, momentum], abs=0.2)
    assert data.mirror[:, channel] == pytest.approx(-data.x[:, channel], abs=0.2)
    assert true_range_frac(upside_down(PANEL), 14) == pytest.approx(VOLATILITY, rel=0.25, nan_ok=True)


def test_a_row_without_a_mirror_is_not_turned():
    data = a_dataset(200)
    assert np.array_equal(replace(data, mirror=np.full_like(data.x, np.nan)).turned(1).x, data.x)


@given(rows=st.integers(1, 300), of=st.integers(1, 500))
def test_thinned_rows_are_each_of_them_once_and_in_order(rows, of):
    data = a_dataset(of)
    thin = data.thinned(rows)
    assert min(rows, of) / 2 <= len(thin) <= rows
    assert (np.diff(thin.at * len(data.symbols) + thin.symbol) > 0).all()


@pytest.mark.parametrize("share", [2, 3, 4, 5, 10, 7.3])
def test_rows_are_thinned_alike_in_every_symbol(share):
    data = a_dataset(20_000, symbols=tuple("ABCDEFGHIJ"))
    thin = data.thinned(round(len(data) / share))
    assert len(np.unique(thin.at * 10 + thin.symbol)) == len(thin)
    assert np.bincount(thin.symbol) / len(thin) == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("share", [2, 3, 4, 5, 10, 7.3])
def test_rows_are_drawn_by_their_weight_from_every_symbol_and_stretch(share):
    symbols = tuple("ABCDEFGHIJ")
    data = a_dataset(20_000, symbols=symbols, weight=np.tile(np.arange(1.0, 11.0), 2_000))
    drawn = data.drawn(round(len(data) / share))
    assert np.bincount(drawn.symbol) / len(drawn) == pytest.approx(np.arange(1, 11) / 55, abs=0.01)
    assert np.histogram(drawn.at, 10)[0] / len(drawn) == pytest.approx(0.1, abs=0.005)


def test_the_same_rows_have_the_same_fingerprint_and_others_another(data):
    assert data.fingerprint == dataset(PANEL, FEATURES, LABELS, VOLATILITY, half_life=200.0).fingerprint
    x = data.x.copy()
    x[3, 1] = np.nextafter(x[3, 1], 9)
    others = [replace(data, x=x), data.take(slice(1, None)), replace(data, names=("a", "b"))]
    assert len({data.fingerprint, *(o.fingerprint for o in others)}) == 4
