"""Stylised facts: what bars of real markets have in common, measured in any bars, and told side by side.

Each fact is one number of one symbol in one stretch of half a year (or all there is, where that is less). Of real bars
the middle of those numbers and the range of nearly all were kept, in `simulated/facts.json`, as `qt data fit` finds
them. Bars are near to real ones in a fact where their own middle lies in that range. Changes are of the log price.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.market.quality import COLUMNS
from qtlib.market.timeframes import HOUR, Micros, micros_in, micros_of

Array = npt.NDArray[np.float64]

KNOWN = Path(__file__).with_name("simulated") / "facts.json"
STRETCH = 4380 * HOUR  # half a year [µs]
LEAST = 30 * 24 * HOUR  # a stretch that is shorter tells nothing
_DAY = 24 * HOUR
_MOST_ROOM = 90  # percent of real stretches that lie in the range


@dataclass(frozen=True, slots=True)
class Stretch:
    """One symbol's bars, half a year of them, and what was settled and marked beside them."""

    ts: Micros  # closes
    span: int  # of a bar [µs]
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array  # base
    others: Sequence[Array]  # changes of the other symbols at the same closes; NaN where there is none
    mark: Array  # closes of the mark price; NaN where there is none
    rates: Array  # settled in the stretch, every eight hours

    @property
    def change(self) -> Array:
        return np.diff(np.log(self.close))

    @property
    def size(self) -> Array:
        return np.abs(self.change)

    @property
    def day(self) -> int:
        """Bars of a day."""
        return _DAY // self.span


@dataclass(frozen=True, slots=True)
class Fact:
    """How one thing that real markets have in common is measured, and how it is written."""

    name: str
    of: Callable[[Stretch], float]  # NaN where it can't be told
    form: str = ".2f"


def _auto(values: Array, lag: int) -> float:
    return _correlation(values[lag:], values[:-lag]) if len(values) > 3 * lag else math.nan


def _correlation(a: Array, b: Array) -> float:
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 100 and a.std() > 0 and b.std() > 0 else math.nan


def _kurtosis(s: Stretch) -> float:
    from_mean = s.change - s.change.mean()
    return float((from_mean**4).mean() / (from_mean**2).mean() ** 2)


def _tail(s: Stretch) -> float:
    """Hill's estimate over the largest half percent: beyond them, sizes get rarer by this power."""
    largest = np.sort(s.size)[::-1]
    count = max(10, len(largest) // 200)
    return float(1 / np.log(largest[:count] / largest[count]).mean())


def usual_size(size: Array) -> Array:
    """The standard deviation of changes around each, by the median of their sizes: jumps don't move it."""
    around = pd.Series(size).rolling(201, center=True, min_periods=50).median().to_numpy(np.float64)
    return np.asarray(np.maximum(around, 1e-12) / 0.6745, dtype=np.float64)


def _jumps(s: Stretch) -> float:
    return float((s.size > 8 * usual_size(s.size)).mean() * s.day * 365.25)


def _by_hour(s: Stretch) -> float:
    hour = (s.ts[1:] - s.span) % _DAY // HOUR
    mean = np.array([s.size[hour == h].mean() for h in np.unique(hour)])
    return float(mean.max() / mean.min()) if s.span <= HOUR else math.nan


def _weekend(s: Stretch) -> float:
    weekday = ((s.ts[1:] - s.span) // _DAY + 3) % 7  # 1970 began on a Thursday
    return float(s.size[weekday >= 5].mean() / s.size[weekday < 5].mean())


def _range(s: Stretch) -> Array:
    return np.log(s.high / s.low)


def _busy(s: Stretch) -> tuple[Array, Array]:
    """Log volume in quote, and log range, of the bars that have both."""
    busy = (s.volume > 0) & (s.high > s.low)
    return np.log(s.volume[busy] * s.close[busy]), np.log(_range(s)[busy])


def _together(s: Stretch) -> float:
    found = [_correlation(s.change, other) for other in s.others]
    return float(np.nanmean(found)) if np.isfinite(found).any() else math.nan


def _rates(of: Callable[[Array], float]) -> Callable[[Stretch], float]:
    return lambda s: of(s.rates) if len(s.rates) >= 90 else math.nan


def _marked(s: Stretch) -> float:
    away = np.log(s.mark / s.close)
    away = away[np.isfinite(away)]
    hourly = s.change.std() * math.sqrt(HOUR / s.span)
    return float(away.std() / hourly) if len(away) > 100 else math.nan


FACTS: tuple[Fact, ...] = (
    Fact("volatility of a year", lambda s: float(s.change.std() * math.sqrt(s.day * 365.25)), ".0%"),
    Fact("kurtosis of changes (3: none too large)", _kurtosis, ".1f"),
    Fact("tail exponent of changes", _tail),
    Fact("changes beyond 8 times the usual, in a year", _jumps, ".0f"),
    Fact("autocorrelation of changes, 1 bar", lambda s: _auto(s.change, 1), "+.3f"),
    Fact("autocorrelation of their sizes, 1 bar", lambda s: _auto(s.size, 1)),
    Fact("autocorrelation of their sizes, 1 day", lambda s: _auto(s.size, s.day)),
    Fact("autocorrelation of their sizes, 1 week", lambda s: _auto(s.size, 7 * s.day)),
    Fact("correlation of changes with other symbols", _together),
    Fact("size of changes, busiest hour by calmest", _by_hour),
    Fact("size of changes, weekends by weekdays", _weekend),
    Fact("range of a bar by size of its change", lambda s: float(_range(s)[1:].mean() / s.size.mean())),
    Fact("correlation of log volume with log range", lambda s: _correlation(*_busy(s))),
    Fact("standard deviation of log volume", lambda s: float(_busy(s)[0].std())),
    Fact("autocorrelation of log volume, 1 day", lambda s: _auto(_busy(s)[0], s.day)),
    Fact("bars that open where the last closed", lambda s: float((s.open[1:] == s.close[:-1]).mean()), ".0%"),
    Fact("funding, mean in eight hours", _rates(lambda r: float(r.mean())), ".4%"),
    Fact("funding, standard deviation", _rates(lambda r: float(r.std())), ".4%"),
    Fact("funding, settled at exactly 0.01 %", _rates(lambda r: float((r == 0.0001).mean())), ".0%"),
    Fact("autocorrelation of funding, 8 hours", _rates(lambda r: _auto(r, 1))),
    Fact("mark from last price, by an hour's change", _marked, ".3f"),
)


@dataclass(frozen=True, slots=True)
class Range:
    """What real bars have: the middle, and where nearly all of their stretches lie."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """One fact, real against measured."""

    fact: Fact
    real: Range
    here: float  # the middle; NaN where it can't be told

    @property
    def near(self) -> bool | None:
        """Whether it is as in real bars; None where it can't be told."""
        return None if math.isnan(self.here) else self.real.low <= self.here <= self.real.high

    @property
    def told(self) -> float | None:
        """`here`, as JSON holds it."""
        return None if math.isnan(self.here) else self.here

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, real middle, real range, here, verdict."""
        low, middle, high, here = (
            "–" if math.isnan(value) else format(value, self.fact.form)
            for value in (self.real.low, self.real.middle, self.real.high, self.here)
        )
        verdict = {True: "near", False: "far", None: "can't be told"}[self.near]
        return self.fact.name, middle, f"{low} to {high}", here, verdict


def measured(
    bars: Mapping[str, pd.DataFrame],
    timeframe: str,
    marks: Mapping[str, pd.DataFrame] | None = None,
    funding: Mapping[str, "pd.Series[float]"] | None = None,
    facts: Sequence[Fact] = FACTS,
) -> Mapping[str, Array]:
    """Each of `facts` in `bars` (by symbol, indexed by close): a number a stretch, NaN where it can't be told."""
    its = [s for symbol in bars for s in stretches(symbol, bars, timeframe, marks or {}, funding or {})]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {fact.name: np.array([fact.of(s) for s in its], dtype=np.float64) for fact in facts}


def against_real(found: Mapping[str, Array], timeframe: str) -> tuple[Row, ...]:
    """The table: a row a fact that is known of real bars of this timeframe; none where the timeframe is not known."""
    real = known().get(timeframe, {})
    return tuple(
        Row(fact, real[fact.name], _middle(found[fact.name]))
        for fact in FACTS
        if fact.name in real and fact.name in found
    )


@cache
def known() -> Mapping[str, Mapping[str, Range]]:
    """What real bars have: by timeframe, and by fact."""
    document = json.loads(KNOWN.read_text(encoding="utf-8"))
    return MappingProxyType(
        {tf: {name: Range(*values) for name, values in its.items()} for tf, its in document["facts"].items()}
    )


def ranges(found: Mapping[str, Array]) -> dict[str, Range]:
    """The middle of each fact's numbers, and the range that nearly all of them lie in."""
    edge = (100 - _MOST_ROOM) / 2
    told = {name: values[np.isfinite(values)] for name, values in found.items()}
    return {
        name: Range(*(float(x) for x in np.percentile(values, [edge, 50, 100 - edge])))
        for name, values in told.items()
        if len(values)
    }


def stretches(
    symbol: str,
    bars: Mapping[str, pd.DataFrame],
    timeframe: str,
    marks: Mapping[str, pd.DataFrame],
    funding: Mapping[str, "pd.Series[float]"],
) -> list[Stretch]:
    """One symbol's traded bars in stretches; what is left at the end is one of its own where nothing else is."""
    frame = bars[symbol]
    frame = frame[frame["volume"].to_numpy() > 0]
    ts = micros_in(frame.index)
    if not len(ts) or ts[-1] - ts[0] < LEAST:
        return []
    others = [np.log(f["close"]).diff().reindex(frame.index).to_numpy() for s, f in bars.items() if s != symbol]
    mark = np.full(len(ts), math.nan)
    if symbol in marks:
        mark = marks[symbol]["close"].reindex(frame.index).to_numpy(np.float64)
    rates = funding.get(symbol, pd.Series(dtype=np.float64, index=frame.index[:0]))
    settled = micros_in(rates.index)
    values = rates.to_numpy(np.float64)[settled % (8 * HOUR) == 0]
    settled = settled[settled % (8 * HOUR) == 0]
    found = []
    for number in range(max(1, int((ts[-1] - ts[0]) // STRETCH))):
        first = ts[0] + number * STRETCH
        rows = slice(*np.searchsorted(ts, [first, first + STRETCH]))
        columns = {str(name): frame[name].to_numpy(np.float64)[rows] for name in COLUMNS}
        beside = [other[rows][1:] for other in others]
        met = values[(settled >= first) & (settled < first + STRETCH)]
        if len(ts[rows]) > LEAST // micros_of(timeframe):
            found.append(Stretch(ts[rows], micros_of(timeframe), others=beside, mark=mark[rows], rates=met, **columns))
    return found


def _middle(values: Array) -> float:
    told = values[np.isfinite(values)]
    return float(np.median(told)) if len(told) else math.nan
