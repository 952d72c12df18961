"""Fitting: from real bars to the numbers that the simulated market is made from, and to what real bars have in common.

How each is found stands beside it, below. Covariances over time are those of log range and log volume without their
mean by hour of the week; parts that wander are found by non-negative least squares over lags from one bar to six weeks.
Tails and jumps are found by simulating: each number in turn becomes the one, of a few, whose bars are nearest to real
ones in how large the largest changes are, and how they follow each other.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq, nnls
from scipy.stats import norm, rankdata

from qtlib.market.facts import FACTS, Range, measured, ranges
from qtlib.market.market import BadData
from qtlib.market.names import FUNDING, MARKS, Name
from qtlib.market.reading import Frames, read_each
from qtlib.market.series import names_in
from qtlib.market.simulated import LISTINGS, Likeness, SimulatedMarket, simulate
from qtlib.market.simulated.life import YEAR
from qtlib.market.simulated.likeness import Numbers, Traits
from qtlib.market.timeframes import HOUR, micros_of

Array = npt.NDArray[np.float64]

TIMEFRAMES = ("1h", "15m", "5m")  # 1h: levels, seasons, volume; 15m: how volatility wanders; all: what is in common
_HOURS_A_YEAR = YEAR / HOUR
_VOLATILITY_H = (0.25, 1.0, 24.0, 120.0, 720.0)
_VOLUME_H = (0.25, 720.0)
_FUNDING_H = (4.0, 48.0, 1000.0)
_LAGS_H = (0.25, 0.5, 0.75, 1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 96, 120, 168, 240, 336, 480, 720, 1000)
_TRIED: Mapping[str, Numbers] = {  # the first of each is where the search begins
    "quick": (1.07, 1.0, 1.15, 1.3),  # times what is found of volatility that is forgotten within hours
    "tails": (24.0, 8.0, 12.0, 16.0, 48.0),
    "jumps_per_year": (14.0, 7.0, 10.0, 20.0, 28.0),
    "jump_size": (0.06, 0.03, 0.045, 0.08),
    "jump_half_life_h": (0.5, 0.1, 0.25, 1.0),
}
_QUICK_H = 12.0  # half-lives below are of what is forgotten within hours
_ROUNDS = 2
_SEEDS = (1, 2)  # of the markets that are simulated on the way
_PLAIN_FUNDING = 0.0001  # what is settled when the premium is small


@dataclass(frozen=True, slots=True)
class Fitted:
    likeness: Likeness
    facts: Mapping[str, Mapping[str, Range]]  # by timeframe and fact

    def facts_document(self) -> dict[str, Any]:
        """As JSON holds it."""
        facts = {tf: {n: [r.low, r.middle, r.high] for n, r in its.items()} for tf, its in self.facts.items()}
        return {"found_in": self.likeness.found_in, "facts": facts}


def real_bars(folder: Path, start: datetime | str) -> Mapping[str, Frames]:
    """By timeframe, the bars that are there of the symbols that the simulated market knows."""
    if not folder.is_dir():
        raise BadData(f"there is no folder {folder}")
    names = {its for its in map(Name.of, names_in(folder)) if its is not None}
    known = {tf: [s for s in LISTINGS if Name(s, tf) in names] for tf in TIMEFRAMES}
    found = {tf: read_each(folder, symbols, tf, start) for tf, symbols in known.items()}
    if missing := [f"{s}-1h" for s in LISTINGS if s not in found["1h"].bars] + [
        f"bars of {tf}" for tf in TIMEFRAMES if not found[tf].bars
    ]:
        raise BadData(f"{folder} lacks {', '.join(missing)}, and all of them are needed to fit")
    return found


def facts_of(real: Mapping[str, Frames]) -> Mapping[str, Mapping[str, Range]]:
    """What the real bars have in common, by timeframe; of what is settled, all that there is, in each."""
    found = {tf: ranges(measured(its.bars, tf, its.marks, its.funding)) for tf, its in real.items()}
    settled = {name: its for name, its in found["1h"].items() if "funding" in name}
    return {tf: its | settled for tf, its in found.items()}


def fit(
    folder: Path, start: datetime | str, tell: Callable[[int, int, str], None] = lambda done, total, what: None
) -> Fitted:
    """All of it, from the bars in `folder` that open at or after `start`."""
    real = real_bars(folder, start)
    facts = facts_of(real)
    return Fitted(_with_tails(_moments(real), facts, tell), facts)


# --- from moments -----------------------------------------------------------------------------------------


def _moments(real: Mapping[str, Frames]) -> Likeness:
    hourly, quarters = real["1h"], real["15m"]
    log_range = _seasonless({s: _log_range(f) for s, f in _busy(quarters).items()})
    shared, own, _ = _parts(log_range, _VOLATILITY_H, 0.25)
    slope, noise, volume = _volume(_busy(quarters))
    hours, days = _season(hourly)
    levels, rates = _funding_levels(hourly.funding)
    funding_shared, funding_own = _funding_parts(hourly.funding)
    spans = sorted((micros_of(tf) / HOUR, _reach(its)) for tf, its in real.items())
    return Likeness(
        found_in=_told(real),
        symbols=_traits(hourly, slope, float((own**2).sum())),
        volatility_half_lives_h=_VOLATILITY_H,
        volatility_shared=_numbers(shared),
        volatility_own=_numbers(own),
        tails=math.inf,
        jumps_per_year=0.0,
        jump_size=0.0,
        jump_half_life_h=1.0,
        hours=_numbers(hours),
        days=_numbers(days),
        reach_spans_h=_numbers([span for span, _ in spans]),
        reach=_numbers([reach for _, reach in spans]),
        unmoved=_number(np.median([_unmoved(f) for f in hourly.bars.values()])),
        volume_slope=_number(slope),
        volume_half_lives_h=_VOLUME_H,
        volume_shared=_numbers(volume[0]),
        volume_own=_numbers(volume[1]),
        volume_noise=_number(noise),
        funding_levels=_numbers(levels),
        funding_rates=tuple(round(float(rate), 8) for rate in rates),
        funding_half_lives_h=_FUNDING_H,
        funding_shared=_numbers(funding_shared),
        funding_own=_numbers(funding_own),
        mark_noise=_number(np.median([_mark_noise(hourly, s) for s in hourly.marks])),
    )


def _traits(hourly: Frames, slope: float, own_variance: float) -> dict[str, Traits]:
    """Volatility from all changes; what is shared from correlations; volume in the middle, at the usual range."""
    changes = pd.DataFrame({s: np.log(f["close"]).diff() for s, f in hourly.bars.items()})
    # volatilities that go their own ways make changes less alike than what drives them
    pairs = np.minimum(changes.corr().to_numpy() * math.exp(own_variance), 0.98)
    np.fill_diagonal(pairs, 0.0)
    shared = np.full(len(pairs), 0.8)
    for _ in range(50):  # the one factor whose products are nearest to the correlations
        squares = (shared**2).sum() - shared**2
        shared = np.minimum((pairs @ shared / squares + shared) / 2, 0.98)
    found = {}
    for (symbol, frame), alike in zip(hourly.bars.items(), shared, strict=True):
        yearly = float(changes[symbol].std() * math.sqrt(_HOURS_A_YEAR))
        usual = 1.5 * yearly * math.sqrt(1 / _HOURS_A_YEAR)
        busy = frame[(frame["volume"] > 0) & (frame["high"] > frame["low"])]
        level = _log_volume(busy) - slope * (_log_range(busy) - math.log(usual))
        daily = 24 * math.exp(float(level.median()))
        found[symbol] = Traits(_number(yearly), _number(alike), float(f"{daily:.3g}"))
    return found


def _season(hourly: Frames) -> tuple[Array, Array]:
    """Mean size of changes by hour and by day, over all symbols; the mean square of their products is 1."""
    sizes = [np.log(f["close"]).diff().abs() for f in hourly.bars.values()]
    whole = pd.concat([size / size.mean() for size in sizes])
    opens = pd.DatetimeIndex(whole.index) - pd.Timedelta("1h")
    hours, days = (whole.groupby(by).mean().to_numpy(np.float64) for by in (opens.hour, opens.day_of_week))
    scale = math.sqrt(float((np.outer(days, hours) ** 2).mean()))
    return hours / math.sqrt(scale), days / math.sqrt(scale)


def _volume(bars: Mapping[str, pd.DataFrame]) -> tuple[float, float, tuple[Array, Array]]:
    """The slope of log volume over log range in the middle, what a bar forgets at once, and parts of the rest."""
    ranged = _seasonless({s: _log_range(f) for s, f in bars.items()})
    traded = _seasonless({s: _log_volume(f) for s, f in bars.items()})
    slope = float(np.median([ranged[s].cov(traded[s]) / ranged[s].var() for s in ranged]))
    shared, own, noise = _parts(traded - slope * ranged, _VOLUME_H, 0.25)
    return slope, noise, (shared, own)


def _reach(real: Frames) -> float:
    """How much more variance a range has than a change, from their mean ratio; for a random walk it is 1."""
    ratios = []
    for frame in real.bars.values():
        change = np.log(frame["close"]).diff().abs()
        ratios.append(float(np.log(frame["high"] / frame["low"]).mean() / change.mean()))
    at = (np.arange(200) + 0.5) / 200
    move, far = np.meshgrid(norm.ppf(at), -np.log(1 - at))
    mean = float(np.median(ratios)) * float(np.abs(move).mean())
    return float(brentq(lambda reach: float(np.sqrt(move**2 + 2 * reach * far).mean()) - mean, 0.1, 10.0))


def _unmoved(frame: pd.DataFrame) -> float:
    return float((frame["open"].to_numpy()[1:] == frame["close"].to_numpy()[:-1]).mean())


def _mark_noise(real: Frames, symbol: str) -> float:
    close = np.log(real.bars[symbol]["close"])
    away = (np.log(real.marks[symbol]["close"]) - close).dropna()
    return float(away.std() / close.diff().std())


def _funding_levels(funding: Mapping[str, "pd.Series[float]"]) -> tuple[Array, Array]:
    """Quantiles of all rates together, with the two ends of the one that is settled most as levels of their own."""
    every = np.concatenate([_eighths(series).to_numpy() for series in funding.values()])
    ends = [float((every < _PLAIN_FUNDING).mean()), float((every <= _PLAIN_FUNDING).mean())]
    grid = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999]
    apart = [p for p in grid if not ends[0] - 0.01 < p < ends[1] + 0.01]
    levels = np.array(sorted([*apart, *ends]))
    rates = np.where(np.isin(levels, ends), _PLAIN_FUNDING, np.quantile(every, levels))
    return np.asarray(norm.ppf(levels), dtype=np.float64), rates


def _funding_parts(funding: Mapping[str, "pd.Series[float]"]) -> tuple[Array, Array]:
    """How ranks of rates wander; of parts whose squares add up to 1."""
    told = {s: _eighths(series) for s, series in funding.items()}
    ranks = {s: pd.Series(norm.ppf((rankdata(x) - 0.5) / len(x)), x.index) for s, x in told.items() if len(x) > 1000}
    shared, own, noise = _parts(pd.DataFrame(ranks), _FUNDING_H, 8.0)
    own[0] = math.hypot(own[0], noise)
    scale = math.sqrt(float((shared**2).sum() + (own**2).sum()))
    return shared / scale, own / scale


def _eighths(series: "pd.Series[float]") -> "pd.Series[float]":
    """Those of every eight hours: a market in distress is settled more often."""
    at = pd.DatetimeIndex(series.index)
    return series[(at.hour % 8 == 0) & (at.minute == 0)]


def _busy(real: Frames) -> dict[str, pd.DataFrame]:
    """Bars that traded, of the symbols that have years of them."""
    most = max(map(len, real.bars.values()))
    long = {s: f for s, f in real.bars.items() if len(f) > most / 2}
    return {s: f[(f["volume"] > 0) & (f["high"] > f["low"])] for s, f in long.items()}


def _log_range(frame: pd.DataFrame) -> "pd.Series[float]":
    values = np.log(np.log((frame["high"] / frame["low"]).to_numpy(np.float64)))
    return pd.Series(values, frame.index)


def _log_volume(frame: pd.DataFrame) -> "pd.Series[float]":
    return pd.Series(np.log((frame["volume"] * frame["close"]).to_numpy(np.float64)), frame.index)


def _seasonless(series: Mapping[str, "pd.Series[float]"]) -> pd.DataFrame:
    """On one grid, each without its mean by hour of the week."""
    found = {}
    for symbol, values in series.items():
        at = pd.DatetimeIndex(values.index)
        found[symbol] = values - values.groupby([at.day_of_week, at.hour]).transform("mean")
    return pd.DataFrame(found)


def _parts(values: pd.DataFrame, half_lives_h: Sequence[float], span_h: float) -> tuple[Array, Array, float]:
    """Standard deviations of what wanders in `values`: what all columns share, what each has, what is forgotten.

    A sum of parts that forget has the sum of their covariances, each halved in its half-life; and two columns have in
    common only what is shared.
    """
    lags = np.unique([round(lag / span_h) for lag in _LAGS_H if lag >= span_h])
    columns = [values[name].to_numpy(np.float64) - float(values[name].mean()) for name in values]
    each = np.mean([_covariances(c, c, lags) for c in columns], axis=0)
    pairs = [_covariances(a, b, lags) for a, b in itertools.combinations(columns, 2)]
    halved = 0.5 ** (lags[:, None] * span_h / np.array(half_lives_h))
    whole, _ = nnls(halved, each)
    together, _ = nnls(halved, np.mean(pairs, axis=0))
    together = np.minimum(together, whole)
    variance = float(np.mean([np.nanvar(c) for c in columns]))
    return np.sqrt(together), np.sqrt(whole - together), math.sqrt(max(0.0, variance - float(whole.sum())))


def _covariances(a: Array, b: Array, lags: npt.NDArray[np.int64]) -> Array:
    return np.array([np.nanmean(a[lag:] * b[: len(b) - lag]) for lag in lags])


# --- from simulation --------------------------------------------------------------------------------------


def _with_tails(
    found: Likeness, facts: Mapping[str, Mapping[str, Range]], tell: Callable[[int, int, str], None]
) -> Likeness:
    """`found` with the tails and jumps whose bars have large changes as real ones do."""
    best = {name: values[0] for name, values in _TRIED.items()}
    far: dict[tuple[float, ...], float] = {}
    tries = [(name, value) for _ in range(_ROUNDS) for name, values in _TRIED.items() for value in values]
    for number, (name, value) in enumerate(tries):
        tell(number, len(tries), "tails and jumps")
        other = best | {name: value}
        if (at := tuple(other.values())) not in far:
            far[at] = _distance(_tailed(found, **other), facts)
        if far[at] < far[tuple(best.values())]:
            best = other
    tell(len(tries), len(tries), "")
    return _tailed(found, **best)


def _tailed(
    found: Likeness,
    quick: float,
    tails: float,
    jumps_per_year: float,
    jump_size: float,
    jump_half_life_h: float,
) -> Likeness:
    more = np.where(np.array(found.volatility_half_lives_h) < _QUICK_H, quick, 1.0)
    shared, own = _numbers(found.volatility_shared * more), _numbers(found.volatility_own * more)
    return replace(
        found,
        volatility_shared=shared,
        volatility_own=own,
        tails=tails,
        jumps_per_year=jumps_per_year,
        jump_size=jump_size,
        jump_half_life_h=jump_half_life_h,
    )


_LARGE = [
    fact
    for fact in FACTS
    if fact.name.startswith(("kurtosis", "tail exponent", "changes beyond", "autocorrelation of their sizes"))
]


def _distance(candidate: Likeness, facts: Mapping[str, Mapping[str, Range]]) -> float:
    """How far large changes are from real ones: squares of the distances between middles, on the scale of the range.

    Distances are those of logarithms: twice as much is as far as half as much.
    """
    far, some = 0.0, tuple(LISTINGS)[::2]
    for timeframe, years in (("1h", 2.0), ("15m", 1.0), ("5m", 0.5)):
        bars = int(years * YEAR // micros_of(timeframe))
        kinds = [SimulatedMarket(seed, some, timeframe, edge=0.0, likeness=candidate) for seed in _SEEDS]
        each = [measured(simulate(kind, bars).bars, timeframe, facts=_LARGE) for kind in kinds]
        for name, here in ranges({name: np.concatenate([its[name] for its in each]) for name in each[0]}).items():
            real = facts[timeframe][name]
            far += (math.log(max(here.middle, 1e-6) / real.middle) / math.log(real.high / real.low)) ** 2
    return far


def _told(real: Mapping[str, Frames]) -> str:
    frames = [frame for its in real.values() for frame in its.bars.values()]
    first, last = min(f.index[0] for f in frames), max(f.index[-1] for f in frames)
    bars = ", ".join(f"{tf} of {len(its.bars)} symbols" for tf, its in real.items())
    return f"USD-M perpetuals, {first:%Y-%m-%d} to {last:%Y-%m-%d}: {bars}; {FUNDING} and {MARKS} prices where there"


def _numbers(values: Sequence[float] | Array) -> tuple[float, ...]:
    return tuple(_number(value) for value in values)


def _number(value: float | np.floating[Any]) -> float:
    """Four digits: no more is known."""
    return float(f"{float(value):.4g}")
