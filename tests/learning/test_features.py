"""What every feature promises: no future, no more past than it says, to the last bit, and no units."""

import numpy as np
import pytest
from builders import a_panel, make_bars
from frames import wild_panels
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.learning.features import FEATURES, windowed

every = pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)


@every
@given(panel=wild_panels(min_size=2), share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_feature_never_reads_the_future(feature, panel, share):
    known = 1 + int(share * (len(panel) - 2))
    assert np.array_equal(feature.of(panel)[:, :known], feature.of(panel.between(0, known)), equal_nan=True)


@every
@given(panel=wild_panels(), share=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_the_whole_past_and_the_lookback_alone_give_the_same_bits(feature, panel, share):
    end = 1 + int(share * (len(panel) - 1))
    whole = feature.of(panel)[:, end - 1]
    recent = feature.of(panel.between(max(0, end - feature.lookback), end))[:, -1]
    assert np.array_equal(whole, recent, equal_nan=True)


@every
def test_a_feature_speaks_from_its_lookback_on_and_not_before(feature):
    values = feature.of(a_panel(make_bars(400).assign(volume=np.arange(1.0, 401))))
    assert np.isnan(values[:, : feature.lookback - 1]).all()
    assert np.isfinite(values[:, feature.lookback - 1 :]).all()


@every
def test_a_feature_has_no_unit(feature):
    bars = make_bars(400)
    whole = feature.of(a_panel(bars))
    for factor in (10.0, 1e-6):
        np.testing.assert_allclose(feature.of(a_panel(bars * factor)), whole, rtol=1e-9, atol=1e-9)
    doubled = feature.of(a_panel(bars * 2.0**40))  # a power of two is exact
    assert np.array_equal(doubled, whole, equal_nan=True)


@every
def test_a_feature_of_nothing_is_nothing(feature):
    assert feature.of(a_panel(make_bars(0))).size == 0
    assert np.isnan(feature.of(a_panel(make_bars(1)))).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 320))
@settings(deadline=None)
def test_a_window_joins_its_values_and_no_others(values, span):
    x = np.array(values)
    sums, tops = windowed(np.add, x, span), windowed(np.maximum, x, span)
    for end in range(len(x)):
        inside = x[end + 1 - span : end + 1] if end + 1 >= span else None
        if inside is None:
            assert np.isnan(sums[end])
            assert np.isnan(tops[end])
        else:
            assert sums[end] == pytest.approx(inside.sum(), rel=1e-9, abs=1e-6)
            assert tops[end] == inside.max()
            assert sums[end] == windowed(np.add, inside, span)[-1]
