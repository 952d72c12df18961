"""Bars and beliefs of many symbols side by side: what `Bar` and `Signal` are one by one, in columns.

Every array has the shape (symbols, bars): a row a symbol, a column a close. Where a symbol has no bar there is NaN.
Whatever reads a panel and is called live reads its last `lookback` columns, and gives the same bits for its last
column as over the whole past. Arrays are never written to after they were put here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]


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
    funding_frac: Array  # the rate that was settled last, before the close; NaN: none is known

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
    features: Array | None = None  # what it was made from, (symbols, bars, features), where that is to be kept
    schema: str = ""  # of the features
    version: str = ""  # of the model that believes this; empty: a rule of thumb
    silence: str = "warming up"  # why nothing is believed where there is NaN

    def at(self, where: tuple[Places, Places]) -> "Beliefs":
        """Those at some places (of symbols, of closes), as flat columns."""
        return Beliefs(*(c[where] if isinstance(c, np.ndarray) else c for c in self))  # type: ignore[arg-type]


DOUBTS = ("", "no proposal", "not finite", "out of domain", "stale")
_FIELDS = ("open", "high", "low", "close", "volume")


def side_by_side(bars: Mapping[str, tuple[Times, Array]], funding: Mapping[str, tuple[Times, Array]]) -> Panel:
    """One panel of each symbol's closes with its bars (a row each of open, high, low, close, volume), and of the times
    of settlements, ascending, with their rates.

    A rate is known from the first close *after* its settlement: at the very close it may not be published yet.
    """
    symbols = tuple(sorted(bars))
    times = np.unique(np.concatenate([closes for closes, _ in bars.values()])) if bars else np.empty(0, np.int64)
    values = np.full((len(_FIELDS), len(symbols), len(times)), np.nan)
    rates = np.full((len(symbols), len(times)), np.nan)
    for place, symbol in enumerate(symbols):
        closes, columns = bars[symbol]
        values[:, place, np.searchsorted(times, closes)] = columns
        if symbol in funding and len(funding[symbol][0]):
            settled, rate = funding[symbol]
            newest = np.searchsorted(settled, times, side="left") - 1
            rates[place] = np.where(newest >= 0, rate[newest], np.nan)
    opened, high, low, close, volume = values
    return Panel(symbols, times, opened, high, low, close, volume, rates)
