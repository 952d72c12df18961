"""Frames and panels as unkind as markets are: jumps, silences, prices near nothing, any layout in memory."""

import numpy as np
import pandas as pd
from builders import T0, a_panel
from hypothesis import strategies as st


@st.composite
def wild_bars(draw, min_size=1, max_size=450):
    """Random bars with jumps, and stretches where the price stands still."""
    size = draw(st.integers(min_size, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    change = rng.normal(0, draw(st.sampled_from([1e-5, 1e-3, 0.02, 0.3])), size)
    for at, jump in draw(st.lists(st.tuples(st.integers(0, size - 1), st.floats(-5, 5)), max_size=5)):
        change[at] += jump
    for at, length in draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(1, 200)), max_size=2)):
        change[at : at + length] = 0.0
    close = draw(st.sampled_from([1e-6, 0.1, 60_000.0])) * np.exp(np.cumsum(np.clip(change, -5, 5) / 3))
    opened = np.r_[close[0], close[:-1]]
    stretch = 1 + np.abs(change) * rng.random(size)
    high, low = np.maximum(opened, close) * stretch, np.minimum(opened, close) / stretch
    volume = rng.lognormal(3, 2, size) * (rng.random(size) > draw(st.sampled_from([0.0, 0.3])))
    index = pd.date_range(T0, periods=size, freq="1h", name="ts")
    columns = {"open": opened, "high": high, "low": low, "close": close, "volume": volume}
    if draw(st.booleans()):
        return pd.DataFrame(columns, index=index)
    return pd.DataFrame(np.column_stack(list(columns.values())), index=index, columns=list(columns))


@st.composite
def wild_panels(draw, min_size=1):
    """Two symbols, the second listed later or with bars missing; now and then only one."""
    first = draw(wild_bars(min_size=min_size))
    if draw(st.booleans()):
        return a_panel(first)
    second = draw(wild_bars())
    second = second[second.index <= first.index[-1]]
    there = np.random.default_rng(draw(st.integers(0, 99))).random(len(second)) > draw(st.sampled_from([0.0, 0.02]))
    late = draw(st.integers(0, len(second)))
    return a_panel(first, ETHUSDT=second[there].iloc[late:])
