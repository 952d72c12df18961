"""The grid that prices lie on."""

from math import isnan
from typing import Any

from qtlib.compiler import compiled
from qtlib.engine.compiled.shapes import CLOSE


@compiled
def grid_of(bars: Any, finest: int) -> Any:
    """The fewest decimal places in which every close of `bars` is a whole number, and the highest close.

    One place more than `finest` where there are none.
    """
    places, scale, highest = 0, 1.0, 0.0
    for t in range(len(bars)):
        price = bars[t, CLOSE]
        if isnan(price):
            continue
        highest = max(highest, abs(price))
        while places <= finest and round(price * scale) / scale != price:
            places += 1
            scale = 10.0**places
    return places, highest
