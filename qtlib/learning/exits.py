"""Learned exits: how far prices are likely to go, for and against, before time is out.

Quantiles of the way up and of the way down are learned in average true ranges, so that a calm market and a wild one
teach the same, and given as fractions of price. A long's target is a quantile of the way up, its stop one of the way
down; a short's the other way round; the trail follows as far behind as the stop. `rules.tpsl` moves them to where they
may lie. Trees learn from the older rows; the next ones scale them until they hold true (split conformal: Romano,
Patterson, Candès 2019); the newest, which neither saw, say how often they did (`coverage`).

Where a row resembles nothing that was learned from, nothing is proposed. That is judged when a proposal is asked for,
and never while learning: a market that has become wild is no reason to throw its rows away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qtlib.domain.panel import DOUBTS, Array
from qtlib.learning.dataset import Dataset
from qtlib.learning.models import alone, trees
from qtlib.learning.training import Unlearnable

Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

NO_PROPOSAL, NOT_FINITE, OUT_OF_DOMAIN = (DOUBTS.index(w) for w in ("no proposal", "not finite", "out of domain"))


@dataclass(frozen=True, slots=True)
class ExitTraining:
    stop_quantile: float = 0.80  # of the way against a position: so often a stop there is not reached in time
    target_quantile: float = 0.60  # of the way for it: one in 0.4 reaches a target there
    max_rows: int = 30_000  # learned from, drawn by weight
    min_rows: int = 1_000
    learned_frac: float = 0.7  # of the rows, the oldest; half of the others scale, and half say how true it is
    embargo: int = 24  # columns between the parts
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0.0 < self.target_quantile < 1.0 and 0.0 < self.stop_quantile < 1.0 and 0.0 < self.learned_frac < 1.0):
            raise ValueError(
                f"stop_quantile {self.stop_quantile}, target_quantile {self.target_quantile} and learned_frac "
                f"{self.learned_frac} must lie between 0 and 1"
            )


class Proposal(NamedTuple):
    """Of each row, for the side that its score names. NaN where there is a doubt: an index into `DOUBTS`."""

    stop_frac: Array
    take_profit_frac: Array
    trail_frac: Array
    doubt: Codes


@dataclass(frozen=True, slots=True)
class Domain:
    """The rows that were learned from, as far as it takes to say that another is unlike them."""

    middle: Array
    spread: Array  # robust: of the quartiles, as a standard deviation
    low: Array  # what no feature was below, by a half of its range
    high: Array
    furthest: float  # mean squared distance in spreads, each cut at `CUT`: what one row in 2,000 was beyond

    @classmethod
    def of(cls, x: Array) -> "Domain":
        least, lower, middle, upper, most = np.quantile(x, (0.0, 0.25, 0.5, 0.75, 1.0), axis=0)
        spread = (upper - lower) / 1.349
        spread = np.where(spread > 0.0, spread, np.maximum(x.std(axis=0), 1e-12))
        room = (most - least) / 2.0 + 1e-9 * np.abs(middle)
        found = cls(middle, spread, least - room, most + room, 0.0)
        return cls(middle, spread, least - room, most + room, float(np.quantile(found.distance(x), 1.0 - 1 / 2_000)))

    def distance(self, x: Array) -> Array:
        total: Array = np.zeros(len(x))
        for column in range(x.shape[1]):  # one by one: the same bits for a row alone
            z = np.minimum(np.abs((x[:, column] - self.middle[column]) / self.spread[column]), CUT)
            total += z * z
        total /= x.shape[1]
        return total

    def left(self, x: Array) -> Flags:
        """The rows that resemble nothing that was learned from."""
        return ((x < self.low) | (x > self.high)).any(axis=1) | (self.distance(x) > self.furthest)


_NAMES = ("up_target", "up_stop", "down_target", "down_stop")
CUT = 10.0  # spreads: further is far, and no further


@dataclass(frozen=True, slots=True)
class LearnedExits:
    up_target: Any  # quantiles of the way up and down, in average true ranges
    up_stop: Any
    down_target: Any
    down_stop: Any
    scale: tuple[float, float, float, float]  # in that order: what made them hold true
    domain: Domain
    coverage: Mapping[str, float] = field(default_factory=dict)  # on the newest rows: how often the way was shorter

    def propose(self, x: Array, score: Array, volatility_frac: Array) -> Proposal:
        """Distances for the side that each score names. A row that lacks a feature has none."""
        stop, target, trail = (np.full(len(x), np.nan) for _ in range(3))
        out = Proposal(stop, target, trail, np.zeros(len(x), dtype=np.int8))
        finite = np.isfinite(x).all(axis=1) & np.isfinite(volatility_frac)
        out.doubt[~finite] = NOT_FINITE
        named = finite & np.isfinite(score) & (score != 0.0)
        out.doubt[finite & ~named] = NO_PROPOSAL
        away = named.copy()
        away[named] = self.domain.left(x[named])
        out.doubt[away] = OUT_OF_DOMAIN
        rows = named & ~away
        if rows.any():
            long, volatility = score[rows] > 0.0, volatility_frac[rows]
            up_target, up_stop, down_target, down_stop = self.ways(x[rows])
            out.stop_frac[rows] = np.where(long, down_stop, up_stop) * volatility
            out.take_profit_frac[rows] = np.where(long, up_target, down_target) * volatility
            out.trail_frac[rows] = out.stop_frac[rows]
            unsound = rows & ~((out.stop_frac > 0.0) & (out.take_profit_frac > 0.0))
            out.doubt[unsound] = NOT_FINITE
            for column in out[:3]:
                column[unsound] = np.nan
        return out

    def ways(self, x: Array) -> list[Array]:
        """The four quantiles of each row, in average true ranges."""
        models = (self.up_target, self.up_stop, self.down_target, self.down_stop)
        with alone():
            return [scale * model.predict(x) for scale, model in zip(self.scale, models, strict=True)]


def fit_exits(data: Dataset, params: ExitTraining | None = None) -> LearnedExits:
    """Quantiles learned from the oldest rows of `data`, made true on newer ones, and tried on the newest."""
    params = params or ExitTraining()
    older, newer, newest = _parts(data, params)
    seen = older.drawn(min(len(older), params.max_rows))
    wanted = (params.target_quantile, params.stop_quantile) * 2
    found = []
    with alone():
        for quantile, way in zip(wanted, _ways(seen), strict=True):
            model = trees(len(seen), params.seed, max_iter=30, learning_rate=0.15, loss="quantile", quantile=quantile)
            found.append(model.fit(seen.x, way))
    up_target, up_stop, down_target, down_stop = found
    made = LearnedExits(up_target, up_stop, down_target, down_stop, (1.0, 1.0, 1.0, 1.0), Domain.of(seen.x))
    raw = zip(wanted, _ways(newer), made.ways(newer.x), strict=True)
    first, second, third, fourth = (float(np.quantile(way / np.maximum(told, 1e-9), q)) for q, way, told in raw)
    made = replace(made, scale=(first, second, third, fourth))
    true = zip(_NAMES, _ways(newest), made.ways(newest.x), strict=True)
    return replace(made, coverage={name: float((way <= told).mean()) for name, way, told in true})


def _ways(data: Dataset) -> list[Array]:
    """The way up, twice, and the way down, twice, in average true ranges: what the four models learn."""
    up, down = data.favourable_frac / data.volatility_frac, data.adverse_frac / data.volatility_frac
    return [up, up, down, down]


def _parts(data: Dataset, params: ExitTraining) -> tuple[Dataset, Dataset, Dataset]:
    """Three stretches of time, none of whose outcomes reaches into the next."""
    size = len(data)
    cuts = [round(size * share) for share in (params.learned_frac, (1.0 + params.learned_frac) / 2.0)]
    if size < params.min_rows:
        raise Unlearnable(f"{size} rows are fewer than {params.min_rows}: no exits are learned; take a longer history")
    begins = [int(data.at[cut]) for cut in cuts]
    older = data.take(data.end < begins[0] - params.embargo)
    newer = data.take((data.at >= begins[0]) & (data.end < begins[1] - params.embargo))
    newest = data.take(data.at >= begins[1])
    for name, part in (("older", older), ("newer", newer), ("newest", newest)):
        if len(part) < 30:
            raise Unlearnable(
                f"{len(part)} of {size} rows are left in the {name} stretch: labels overlap too far, or the embargo of "
                f"{params.embargo} columns is too long; take a longer history"
            )
    return older, newer, newest
