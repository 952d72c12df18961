"""What real markets are like, in numbers: what the simulated one is made from.

Found in real bars by `qtlib.market.fitting`, which says how each of them is. The bars themselves are no part of this
project. Standard deviations of logarithms have no unit; what is of a year is written so.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOUND = Path(__file__).with_name("likeness.json")

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Traits:
    """What one symbol has of its own."""

    volatility_frac: float  # of a year, of price
    shared: float  # correlation of its changes with what moves all symbols, 0 to 1
    daily_volume_quote: float  # in the middle


@dataclass(frozen=True, slots=True)
class Likeness:
    """All that was found."""

    found_in: str  # which bars, in words
    symbols: Mapping[str, Traits]
    volatility_half_lives_h: Numbers  # of the parts that log volatility is the sum of
    volatility_shared: Numbers  # standard deviation of each part that all symbols have together
    volatility_own: Numbers  # ... and of the part that each has of its own
    tails: float  # degrees of freedom of a bar's Student t
    jumps_per_year: float  # of all symbols together, and of each one alone
    jump_size: float  # standard deviation, as a fraction of the symbol's yearly volatility
    jump_half_life_h: float  # in which half of a jump's variance comes; the rest are its aftershocks
    hours: Numbers  # volatility by the hour of the day, 24 factors, UTC
    days: Numbers  # ... and by the day of the week, from Monday, 7 factors
    reach_spans_h: Numbers  # lengths of bars ...
    reach: Numbers  # ... and how much more variance a bar's range has than its change, as a factor
    unmoved: float  # how often a bar opens where the one before closed
    volume_slope: float  # log volume, by log range
    volume_half_lives_h: Numbers  # of the parts that the rest of log volume is the sum of
    volume_shared: Numbers  # standard deviations, as above
    volume_own: Numbers
    volume_noise: float  # ... and of what a bar forgets at once
    funding_levels: Numbers  # quantiles of a standard normal ...
    funding_rates: Numbers  # ... and the rate of that rank [fraction, in eight hours]
    funding_half_lives_h: Numbers  # of the parts of its rank, as a standard normal
    funding_shared: Numbers  # standard deviations, as above; with those below, squared, they add up to 1
    funding_own: Numbers
    mark_noise: float  # mark against last price at a close, in standard deviations of an hour's change

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @staticmethod
    def of(document: Mapping[str, Any]) -> "Likeness":
        """What `document` made; KeyError and TypeError where it is something else."""
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}
        return Likeness(**plain | {"symbols": {name: Traits(**its) for name, its in document["symbols"].items()}})


LIKENESS = Likeness.of(json.loads(FOUND.read_text(encoding="utf-8")))
