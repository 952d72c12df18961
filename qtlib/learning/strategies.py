"""Strategies: from bars to beliefs. Each gives a row of score, confidence, price and volatility for each bar.

`signals(bars)` has the columns `score` (-1 surely down .. +1 surely up), `confidence` (0 .. 1), `price` (the last
close, in quote) and `volatility_frac` (average true range of a bar, as a fraction of price). A row reads its own bar
and the `lookback - 1` before it, to the same bits as if there were no others. All but the price are NaN in the rows
before, and where prices stood still so long that there is nothing to compare with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from qtlib.learning.features import Array, changes, columns, momentum, true_range_frac, volatility

BELIEFS = pd.Index(["score", "confidence", "price", "volatility_frac"])


@dataclass(frozen=True, slots=True)
class Trend:
    """What went up goes on: the mean of momentum over three horizons. The baseline that any model has to beat.

    Moskowitz, Ooi, Pedersen, "Time series momentum" (2012); several horizons as in Hurst, Ooi, Pedersen, "A century
    of evidence on trend-following investing" (2017). A day, three days and a week of hours were chosen before looking.

    It is a rule of thumb and no model. Its confidence is `0.5 + 0.3 |score|`, which orders beliefs and calibrates
    nothing: on ten perpetuals, hourly from 2021 to 2025, the direction of the next 24 hours was right in 45 to 50 % of
    the bars, least often where the score was strongest. What such a rule earns comes from moves that go far.
    """

    fast: int = 24  # bars; of an hour, a day
    medium: int = 72
    slow: int = 168
    volatility_span: int = 168  # bars over which volatility is measured
    range_span: int = 14  # bars over which the true range is averaged

    def __post_init__(self) -> None:
        for field in fields(self):
            if type(value := getattr(self, field.name)) is not int:
                raise TypeError(f"{field.name} {value!r} must be a whole number of bars")
        if not 0 < self.fast <= self.medium <= self.slow:
            raise ValueError(
                f"horizons must ascend from 1 bar: fast {self.fast}, medium {self.medium}, slow {self.slow}"
            )
        if min(self.volatility_span, self.range_span) < 1:
            raise ValueError(f"spans are of 1 bar at least: {self.volatility_span=}, {self.range_span=}")

    @property
    def name(self) -> str:
        return "trend"

    @property
    def lookback(self) -> int:
        return 1 + max(self.slow, self.volatility_span, self.range_span)

    def signals(self, bars: pd.DataFrame) -> pd.DataFrame:
        """A row of beliefs for each row of `bars`, from that row and the `lookback - 1` before it."""
        c = columns(bars)
        change = changes(c)
        typical = volatility(change, self.volatility_span)
        fast, medium, slow = (_squashed(momentum(change, n, typical)) for n in (self.fast, self.medium, self.slow))
        score = (fast + medium + slow) / 3.0
        volatility_frac = true_range_frac(c, self.range_span)
        score[: self.lookback - 1] = volatility_frac[: self.lookback - 1] = np.nan
        beliefs = np.stack([score, 0.5 + 0.3 * np.abs(score), c.close, volatility_frac])
        return pd.DataFrame(beliefs.T, index=bars.index, columns=BELIEFS, copy=False)


STRATEGIES: Mapping[str, type[Trend]] = {"trend": Trend}


def _squashed(z: Array) -> Array:
    """`z` pressed into -1 .. +1, with slope one at zero."""
    return z / np.sqrt(1.0 + z * z)
