"""Across a universe: what symbols have in common at a close, and how one differs from the others.

The order of the symbols changes no bit, and one that has no value at a close is not counted there: values are sorted
before they are added up.
"""

import numpy as np

from qtlib.domain.panel import Array, Panel
from qtlib.learning.windows import ratio

LEADERS = ("BTCUSDT", "BTCUSDC", "BTCUSD", "BTCBUSD")


def leader(panel: Panel, values: Array) -> Array:
    """The row of bitcoin, NaN where it is not among the symbols. (1, bars)"""
    for symbol in LEADERS:
        if symbol in panel.symbols:
            row = panel.symbols.index(symbol)
            return values[row : row + 1]
    return np.full((1, values.shape[-1]), np.nan)


def mean_across(values: Array) -> Array:
    """The mean of the symbols that have a value, at each close; NaN with fewer than two. (1, bars)"""
    total, count = np.zeros(values.shape[-1]), (~np.isnan(values)).sum(axis=0)
    for row in np.nan_to_num(np.sort(values, axis=0)):  # one by one: how numpy adds along an axis depends on its length
        total += row
    total[count < 2] = np.nan
    return ratio(total, np.maximum(count, 1).astype(np.float64))[np.newaxis]


def rank(values: Array) -> Array:
    """Where each symbol stands among those that have a value, from -1 (lowest) to +1; NaN with fewer than two."""
    above = np.zeros(values.shape, dtype=np.int32)
    with np.errstate(invalid="ignore"):
        for other in values:
            above += values > other
            above -= values < other
    out = ratio(above.astype(np.float64), (~np.isnan(values)).sum(axis=0) - 1.0)
    out[np.isnan(values)] = np.nan
    return out
