"""How good predictions are: their probabilities, their ranking, and what they earn, each beside its baseline.

A prediction names a side (the sign of its `score`) and says how likely that side ends with a profit net of costs
(`confidence`). It is *taken* when that reaches the threshold that trading goes by. Results are in R, net, and their
intervals are those of days (`bootstrap.py`), since what was decided on one day resembles itself. The baselines: flat
earns 0 R, the base rate knows nothing but how often such bets win, the trend rule bets without having learned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from qtlib.learning.bootstrap import DRAWS, Interval, ratio_interval

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

DAY = 86_400_000_000  # [µs]


@dataclass(frozen=True, slots=True, eq=False)
class Bets:
    """Predictions against what came, a row each, in time order."""

    day: Indices  # of the decision, since 1970, UTC
    score: Array
    confidence: Array  # P(the side that the score names ends with a net profit)
    r: Array  # what that side earned, net, in R
    move_r: Array  # half of what a long earned more than a short: which way it went, and how far
    taken: Flags

    def __len__(self) -> int:
        return len(self.day)

    @property
    def won(self) -> Flags:
        return self.r > 0.0

    def only(self, rows: Flags) -> "Bets":
        return Bets(*(getattr(self, name)[rows] for name in Bets.__slots__))


def bets(times: Indices, score: Array, confidence: Array, long_r: Array, short_r: Array, threshold: float) -> Bets:
    """What predictions would have bet, and what came of it. A row without a prediction or a side is not taken."""
    named = np.isfinite(score) & (score != 0.0)
    r = np.where(named, np.where(score > 0.0, long_r, short_r), np.nan)
    taken = named & (confidence >= threshold) & np.isfinite(r)
    return Bets(times // DAY, score, confidence, r, (long_r - short_r) / 2.0, taken)


class Daily(NamedTuple):
    """What the taken bets of each calendar day add up to, days without any included."""

    day: Indices
    sum_r: Array
    bets: Array  # how many


def daily(of: Bets, first: int | None = None, last: int | None = None) -> Daily:
    """Sums by day, from `first` to `last` (else the first and last day of `of`)."""
    if not len(of):
        return Daily(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
    first = int(of.day.min()) if first is None else first
    last = int(of.day.max()) if last is None else last
    place, size = of.day[of.taken] - first, last - first + 1
    sums = np.bincount(place, of.r[of.taken], minlength=size).astype(np.float64)
    return Daily(np.arange(first, last + 1), sums, np.bincount(place, minlength=size).astype(np.float64))


def expectancy(of: Bets, level: float = 0.05, *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """The mean result of a taken bet in R, with bounds."""
    by_day = daily(of)
    return ratio_interval(by_day.sum_r, by_day.bets, level, seed=seed, draws=draws)


def brier(probability: Array, won: Flags) -> float:
    """The mean squared error of probabilities (Brier 1950): 0 is perfect, 0.25 is a coin.

    >>> brier(np.array([1.0, 0.5]), np.array([True, False]))
    0.125
    """
    return float(((probability - won) ** 2).mean()) if len(won) else np.nan


def brier_skill(probability: Array, won: Flags) -> float:
    """The share of the base rate's squared error that the probabilities save: 0 is no better than the base rate."""
    base = float(won.mean()) * (1.0 - float(won.mean())) if len(won) else 0.0
    return 1.0 - brier(probability, won) / base if base > 0.0 else np.nan


def log_loss(probability: Array, won: Flags) -> float:
    """The mean surprise in nats, with probabilities kept 1e-15 from certainty."""
    if not len(won):
        return np.nan
    p = np.clip(probability, 1e-15, 1.0 - 1e-15)
    return float(-np.where(won, np.log(p), np.log1p(-p)).mean())


def auc(probability: Array, won: Flags) -> float:
    """How often a winner was given a higher probability than a loser (Mann and Whitney 1947); ties count half.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    winners = int(won.sum())
    losers = len(won) - winners
    if not winners or not losers:
        return np.nan
    return float((rankdata(probability)[won].sum() - winners * (winners + 1) / 2) / (winners * losers))


def rank_ic(score: Array, outcome: Array) -> float:
    """Spearman's correlation of what was believed with what came."""
    a, b = rankdata(score), rankdata(outcome)
    if len(a) < 3 or a.min() == a.max() or b.min() == b.max():
        return np.nan
    return float(np.corrcoef(a, b)[0, 1])


class Reliability(NamedTuple):
    """Said against seen, in bins of as good as equally many predictions, by rising probability."""

    said: Array  # mean probability
    seen: Array  # share that won
    rows: Indices


def reliability(probability: Array, won: Flags, bins: int = 10) -> Reliability:
    """The reliability table (Murphy and Winkler 1977) that a calibration plot shows."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return Reliability(
        np.array([probability[part].mean() for part in parts]),
        np.array([won[part].mean() for part in parts]),
        np.array([len(part) for part in parts], dtype=np.int64),
    )


def calibration_error(probability: Array, won: Flags, bins: int = 10) -> float:
    """How far said and seen lie apart in the mean over the bins of `reliability`."""
    if not len(won):
        return np.nan
    table = reliability(probability, won, bins)
    return float((np.abs(table.said - table.seen) * table.rows).sum() / table.rows.sum())


@dataclass(frozen=True, slots=True)
class Scored:
    """One group of predictions. What can't be computed is NaN."""

    group: str
    rows: int  # predictions
    taken: int  # of them
    win_rate_frac: float  # of those taken
    expectancy: Interval  # of those taken, in R; flat is 0
    rule: Interval  # the same of the trend rule, over the same rows
    brier: float
    brier_base: float  # of the base rate
    log_loss: float
    calibration_error: float
    auc: float  # 0.5 is chance
    rank_ic: float  # 0 is chance


def score(
    of: Bets, rule: Bets, symbol: Indices, symbols: Sequence[str], volatility_frac: Array, level: float = 0.05
) -> tuple[Scored, ...]:
    """All rows that were predicted, then each symbol, then each third of volatility, challenger beside the rule."""
    told = np.isfinite(of.confidence) & np.isfinite(of.r)
    groups = [("all", told), *_groups(told, symbol, symbols, volatility_frac)]
    return tuple(_scored(name, of.only(rows), rule.only(rows), level) for name, rows in groups)


def _groups(
    told: Flags, symbol: Indices, symbols: Sequence[str], volatility_frac: Array
) -> Iterator[tuple[str, Flags]]:
    yield from ((name, told & (symbol == number)) for number, name in enumerate(symbols))
    if told.any():
        calm, wild = np.nanquantile(volatility_frac[told], (1 / 3, 2 / 3))
        yield "calm", told & (volatility_frac <= calm)
        yield "usual", told & (volatility_frac > calm) & (volatility_frac <= wild)
        yield "wild", told & (volatility_frac > wild)


def _scored(group: str, of: Bets, rule: Bets, level: float) -> Scored:
    p, won = of.confidence, of.won
    base = float(won.mean()) if len(of) else np.nan
    return Scored(
        group=group,
        rows=len(of),
        taken=int(of.taken.sum()),
        win_rate_frac=float(won[of.taken].mean()) if of.taken.any() else np.nan,
        expectancy=expectancy(of, level),
        rule=expectancy(rule, level),
        brier=brier(p, won),
        brier_base=base * (1.0 - base),
        log_loss=log_loss(p, won),
        calibration_error=calibration_error(p, won),
        auc=auc(p, won),
        rank_ic=rank_ic(of.score, of.move_r) if len(of) else np.nan,
    )
