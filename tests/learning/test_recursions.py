"""Our recursions are TA-Lib's to the last bit, for each lane alone and among others.

TA-Lib's own bits depend on the processor: ours are those that it makes where multiplying and adding are one step.
"""

from inspect import unwrap

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite.binding import get_host_cpu_features

from qtlib.learning import recursions as ours

FIRST = 40  # behind what each of them begins with


def directional(high, low, close):
    return unwrap(talib.PLUS_DI)(high, low, close, 14) - unwrap(talib.MINUS_DI)(high, low, close, 14)


TWINS = {  # ours, of (high, low, close, volume), and TA-Lib's
    "rsi": (lambda h, lo, c, v: ours.rsi(c, 14, FIRST), lambda h, lo, c, v: talib.RSI(c, 14)),
    "average_range": (
        lambda h, lo, c, v: ours.average_range(h, lo, c, 14, FIRST),
        lambda h, lo, c, v: talib.ATR(h, lo, c, 14),
    ),
    "directional": (
        lambda h, lo, c, v: ours.directional(h, lo, c, 14, FIRST)[0],
        lambda h, lo, c, v: directional(h, lo, c),
    ),
    "adx": (
        lambda h, lo, c, v: ours.directional(h, lo, c, 14, FIRST)[1],
        lambda h, lo, c, v: talib.ADX(h, lo, c, 14),
    ),
    "mean": (lambda h, lo, c, v: ours.mean(c, 28, FIRST), lambda h, lo, c, v: talib.EMA(c, 28)),
    "macd": (lambda h, lo, c, v: ours.macd(c, 12, 26, 9, FIRST), lambda h, lo, c, v: talib.MACD(c, 12, 26, 9)[2]),
    "ultimate": (
        lambda h, lo, c, v: ours.ultimate(h, lo, c, 7, 14, 28, FIRST),
        lambda h, lo, c, v: talib.ULTOSC(h, lo, c, 7, 14, 28),
    ),
    "aroon": (lambda h, lo, c, v: ours.aroon(h, lo, 25, FIRST), lambda h, lo, c, v: talib.AROONOSC(h, lo, 25)),
    "parabola": (
        lambda h, lo, c, v: ours.parabola(h, lo, 0.02, 0.2, FIRST),
        lambda h, lo, c, v: talib.SAR(h, lo, 0.02, 0.2),
    ),
    "slope": (lambda h, lo, c, v: ours.slope(c, 28, FIRST), lambda h, lo, c, v: talib.LINEARREG_SLOPE(c, 28)),
    "money_flow": (
        lambda h, lo, c, v: ours.money_flow(h, lo, c, v, 14, FIRST),
        lambda h, lo, c, v: talib.MFI(h, lo, c, v, 14),
    ),
    "accumulation": (
        lambda h, lo, c, v: ours.accumulation(h, lo, c, v, 3, 10, FIRST),
        lambda h, lo, c, v: talib.ADOSC(h, lo, c, v, 3, 10),
    ),
}


@st.composite
def lanes(draw):
    """High, low, close and volume of a few markets: wild and quiet, in all sizes of price, some standing still."""
    bars, count = draw(st.integers(FIRST + 1, 300)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    change = rng.normal(0, draw(st.sampled_from([1e-13, 1e-5, 1e-2, 0.3])), (bars, count))
    change[rng.random((bars, count)) < draw(st.sampled_from([0.0, 0.5]))] = 0.0
    begun = draw(st.integers(0, bars - 1))
    change[begun : begun + draw(st.integers(0, 200))] = 0.0
    close = rng.choice([1e-6, 0.1, 60_000.0], count) * np.exp(np.cumsum(np.clip(change, -1, 1), axis=0))
    if draw(st.booleans()):
        close = np.round(close, 1) + 0.1
    spread = rng.random((2, bars, count)) * draw(st.sampled_from([0.0, 1e-3, 0.05]))
    volume = rng.lognormal(3, 2, close.shape) * (rng.random(close.shape) > draw(st.sampled_from([0.0, 0.4])))
    return close * (1 + spread[0]), close * (1 - spread[1]), close, volume


@pytest.mark.skipif(not get_host_cpu_features().get("fma"), reason="a processor that fuses, as TA-Lib's bits depend on")
@pytest.mark.parametrize("name", TWINS)
@given(columns=lanes())
@settings(max_examples=25)
def test_a_lane_has_the_bits_of_talib(name, columns):
    mine, theirs = TWINS[name]
    found = mine(*columns)
    for lane in range(found.shape[1]):
        alone = [np.ascontiguousarray(column[:, lane]) for column in columns]
        np.testing.assert_array_equal(found[:, lane], theirs(*alone)[FIRST:])


@pytest.mark.parametrize("name", TWINS)
def test_a_lane_that_ended_does_not_touch_others_nor_what_it_was(name):
    close = 100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.01, (200, 6)), axis=0))
    columns = [close * 1.01, close * 0.99, close, close * 3]
    whole = TWINS[name][0](*columns)
    for column in columns:
        column[120:, 2] = np.nan
    cut = TWINS[name][0](*columns)
    others = [0, 1, 3, 4, 5]
    assert np.array_equal(cut[:, others], whole[:, others])
    assert np.array_equal(cut[: 120 - FIRST, 2], whole[: 120 - FIRST, 2])
