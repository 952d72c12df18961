"""Bars and beliefs of many symbols side by side: what `Bar` and `Signal` are one by one, in columns.

Every array has the shape (symbols, bars): a row a symbol, a column a close. Where a symbol has no bar there is NaN.
Whatever reads a panel and is called live reads its last `lookback` columns, and gives the same bits for its last
column as over the whole past. Arrays are never written to after they were put here.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """The bars of a universe, in the order of their closes."""

    symbols: tuple[str, ...]
    times: Times  # closes that any symbol has, ascending, of shape (bars,): microseconds since 1970, UTC
    open: Array  # in quote, as are the next three
    high: Array
    low: Array
    close: Array
    volume: Array  # in base
    funding_frac: Array  # the rate that was settled last, at the close or before it; NaN: none is known

    def __len__(self) -> int:
        """How many closes."""
        return len(self.times)

    def last(self, bars: int) -> "Panel":
        """The last so many closes, or all there are."""
        return self.between(max(0, len(self) - bars), len(self))

    def between(self, start: int, end: int) -> "Panel":
        """The closes from the `start`-th to the one before the `end`-th."""
        cut = {f.name: getattr(self, f.name)[..., start:end] for f in fields(self) if f.name != "symbols"}
        return replace(self, **cut)


class Beliefs(NamedTuple):
    """What a strategy makes of a panel. NaN: it believes nothing there."""

    score: Array  # -1 surely down .. +1 surely up
    confidence: Array  # 0 .. 1: how likely the direction is right
    volatility_frac: Array  # average true range of a bar, as a fraction of price
    stop_frac: Array | None = None  # the exits it proposes, as fractions of price; None or NaN: it has no proposal,
    take_profit_frac: Array | None = None  # and those of the profile hold
    trail_frac: Array | None = None
    doubt: npt.NDArray[np.int8] | None = None  # why it proposes none: an index into `DOUBTS`


DOUBTS = ("", "no proposal", "not finite", "out of domain")
