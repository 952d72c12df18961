"""What prices are like, in one pass over them: the grid that they lie on, and between what they lie."""

from math import inf, isnan
from typing import Any

from qtlib.compiler import compiled
from qtlib.engine.compiled.shapes import CLOSE, LOW


@compiled
def looked_over(bars: Any, finest: int) -> Any:
    """The fewest decimal places in which every close of `bars` is a whole number, the highest close, the lowest low.

    One place more than `finest` where there are none.
    """
    places, scale, highest, lowest = 0, 1.0, 0.0, inf
    for t in range(len(bars)):
        low, price = bars[t, LOW], bars[t, CLOSE]
        lowest = min(lowest, low)
        if isnan(price):
            continue
        highest = max(highest, abs(price))
        while places <= finest and round(price * scale) / scale != price:
            places += 1
            scale = 10.0**places
    return places, highest, lowest
