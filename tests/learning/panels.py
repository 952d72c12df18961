"""Panels as unkind as markets are: gaps of one symbol and of all, late and absent ones, jumps, silence, any layout."""

from dataclasses import fields, replace

import numpy as np
from hypothesis import strategies as st

from qtlib.domain.panel import Panel

HOUR_US = 3_600_000_000
SYMBOLS = ("ADAUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT")


def a_panel_of(closes, symbols=SYMBOLS, *, span_us=HOUR_US, start=20_000, seed=0, volume=None):
    """Bars around `closes` (symbols, bars), with plausible ranges, volumes and funding."""
    rng = np.random.default_rng(seed)
    shape = closes.shape
    opened = np.concatenate([closes[:, :1], closes[:, :-1]], axis=1)
    stretch = 1 + np.abs(closes / opened - 1) * rng.random(shape)
    high, low = np.maximum(opened, closes) * stretch, np.minimum(opened, closes) / stretch
    volume = rng.lognormal(3, 1, shape) if volume is None else volume
    rates = np.repeat(rng.normal(1e-4, 1e-4, (shape[0], shape[1] // 8 + 1)), 8, axis=1)[:, : shape[1]]
    times = (start + np.arange(shape[1], dtype=np.int64)) * span_us
    return Panel(symbols[: shape[0]], times, opened, high, low, closes, volume, rates)


def a_quiet_panel(bars=1200, symbols=SYMBOLS, seed=0, **more):
    """Whole rows of random bars; the first close, which opens the first of them, is left out."""
    change = np.random.default_rng(seed).normal(0.0002, 0.01, (len(symbols), bars + 1))
    return a_panel_of(100.0 * np.exp(np.cumsum(change, axis=1)), symbols, seed=seed, **more).between(1, bars + 1)


@st.composite
def wild_panels(draw, min_bars=1, max_bars=1150):
    bars = draw(st.integers(min_bars, max_bars))
    count = draw(st.integers(1, len(SYMBOLS)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    change = rng.normal(0, draw(st.sampled_from([1e-5, 1e-3, 0.02, 0.3])), (count, bars))
    places = st.tuples(st.integers(0, count - 1), st.integers(0, bars - 1))
    for where, jump in draw(st.lists(st.tuples(places, st.floats(-5, 5)), max_size=4)):
        change[where] += jump
    for (row, at), length in draw(st.lists(st.tuples(places, st.integers(1, 200)), max_size=3)):
        change[row, at : at + length] = 0.0
    price = rng.choice([1e-6, 0.1, 60_000.0], (count, 1))
    closes = price * np.exp(np.cumsum(np.clip(change, -5, 5) / 3, axis=1))
    volume = rng.lognormal(3, 2, closes.shape) * (rng.random(closes.shape) > draw(st.sampled_from([0.0, 0.3])))
    span_us, start = draw(st.sampled_from([HOUR_US, HOUR_US // 4])), draw(st.integers(0, 2000))
    panel = a_panel_of(closes, span_us=span_us, start=start, seed=count, volume=volume)

    missing = rng.random(closes.shape) < draw(st.sampled_from([0.0, 0.0, 0.002]))
    for (row, at), length in draw(st.lists(st.tuples(places, st.integers(1, 300)), max_size=2)):
        missing[row, at : at + length] = True  # a gap
    if draw(st.booleans()):
        missing[draw(st.integers(0, count - 1)), : draw(st.integers(0, bars))] = True  # a late listing
    kept = np.ones(bars, dtype=bool)
    for at, length in draw(st.lists(st.tuples(st.integers(0, bars - 1), st.integers(1, 5)), max_size=2)):
        kept[at : at + length] = bars == 1  # the venue was away: there is no bar of anyone
    order = draw(st.sampled_from(["C", "F"]))
    names = [f.name for f in fields(Panel) if f.name not in ("symbols", "times")]
    columns = {name: np.array(np.where(missing, np.nan, getattr(panel, name))[:, kept], order=order) for name in names}
    return replace(panel, times=panel.times[kept], **columns)
