"""Strategies: from bars to beliefs. Each gives a score, a confidence and a volatility for each close of each symbol.

A belief at a close reads that close and the `lookback - 1` before it, to the same bits as if there were no others. It
is NaN where there are not so many, and where prices stood still so long that there is nothing to compare with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from qtlib.domain.panel import Array, Beliefs, Panel
from qtlib.learning.features import changes, momentum, true_range_frac, volatility


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

    def signals(self, panel: Panel) -> Beliefs:
        """What is believed at each close of `panel`."""
        change = changes(panel)
        typical = volatility(change, self.volatility_span)
        fast, medium, slow = (_squashed(momentum(change, n, typical)) for n in (self.fast, self.medium, self.slow))
        score = (fast + medium + slow) / 3.0
        volatility_frac = true_range_frac(panel, self.range_span)
        score[..., : self.lookback - 1] = volatility_frac[..., : self.lookback - 1] = np.nan
        return Beliefs(score, 0.5 + 0.3 * np.abs(score), volatility_frac)


STRATEGIES: Mapping[str, type[Trend]] = {"trend": Trend}


def _squashed(z: Array) -> Array:
    """`z` pressed into -1 .. +1, with slope one at zero."""
    return z / np.sqrt(1.0 + z * z)
