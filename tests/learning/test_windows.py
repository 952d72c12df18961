"""Windows join their values and no others, in an order that depends on their length alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtlib.learning.windows import ratio, still, windowed


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 320))
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


@pytest.mark.parametrize("bars", [40_000, 131_075])
def test_a_long_row_is_joined_in_pieces_that_do_not_show(bars):
    x = np.random.default_rng(0).normal(size=(3, bars))
    whole = windowed(np.add, x, 168)
    for end in (168, 16_000, 32_768, 32_769, bars):
        assert np.array_equal(windowed(np.add, x[:, end - 168 : end], 168)[:, -1], whole[:, end - 1])
    assert not np.isnan(whole[:, 167:]).any()


def test_what_cannot_be_compared_is_unknown():
    assert np.array_equal(ratio(np.array([1.0, 1.0, 0.0]), np.array([2.0, 0.0, 0.0])), [0.5, np.nan, np.nan], True)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 20))
def test_still_is_where_nothing_has_moved(moves, span):
    moves = np.array(moves, dtype=bool)
    expected = [not moves[max(0, at + 1 - span) : at + 1].any() for at in range(len(moves))]
    assert still(moves, span).tolist() == expected
