"""What a sweep came to: the surface, the best and its neighbours, and how much of the best is luck.

The best of many is the luckiest of them, too. So its Sharpe ratio is deflated by every trial of its subject that the
ledger knows, those of earlier sweeps as well; and the probability of overfitting says how often the best of one half
of the time was no better than the middle in the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd

from qtlib.learning.overfitting import Cut, deflated_sharpe, expected_best, moments, overfitting_of
from qtlib.learning.overfitting import probabilistic_sharpe as surely
from qtlib.learning.space import Point
from qtlib.learning.surface import Bins, bins, median_over, neighbours, plateau
from qtlib.report.metrics import DAYS_A_YEAR, sharpe
from qtlib.runs.reading import market_words
from qtlib.runs.sweep.course import Swept, Walked
from qtlib.runs.sweep.trial import OK, Array

PARTS = 10  # of time, whose halves are compared
PIECE = 64  # trials whose days are in memory at once
YEARLY = sqrt(DAYS_A_YEAR)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two axes: the median score over all others at each place of them."""

    across: str
    down: str
    scores: Array  # (down, across)
    x: tuple[str, ...]
    y: tuple[str, ...]
    best: tuple[str, str] | None  # where the best trial lies


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """A walk-forward, its tested stretches joined."""

    walked: list[Walked]
    days: pd.DatetimeIndex
    returns: Array  # out of sample, a day each
    fold: Array  # of each day

    @property
    def equity(self) -> Array:
        """As a multiple of its start."""
        return np.asarray(np.cumprod(1.0 + self.returns))

    @property
    def drawdown_frac(self) -> float:
        curve = np.r_[1.0, self.equity]
        return float((1.0 - curve / np.maximum.accumulate(curve)).max())


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    swept: Swept
    scores: Array
    best: int | None  # row of the best trial
    near: list[int]  # rows of its neighbours
    flat: int | None  # row of the trial whose neighbourhood is best
    smooth: Array  # median score of each trial and its neighbours
    effects: dict[str, Bins]  # places along each axis
    pairs: list[Pair]
    forward: Forward | None
    metrics: Mapping[str, float | int | None]

    def row(self, number: int) -> tuple[Point, Mapping[str, Any]]:
        """A trial: its point, and its figures."""
        return self.swept.tried.points[number], {str(k): v for k, v in self.swept.tried.frame.iloc[number].items()}


def findings(swept: Swept) -> Findings:
    """Look at what was tried, write its tables into the run's folder, and hand its figures to the record."""
    tried, space = swept.tried, swept.space
    scores = tried.frame["score"].to_numpy(dtype=float)
    best = tried.best
    smooth = plateau(space, tried.points, scores)
    flat = None if np.isnan(smooth).all() else int(np.nanargmax(smooth))
    near = [] if best is None else neighbours(space, tried.points, best)
    columns = list(zip(*tried.points, strict=True)) or [()] * len(space.axes)
    effects = {axis.path: bins(axis, values) for axis, values in zip(space.axes, columns, strict=True)}
    forward = _joined(swept.walked)
    figures = _luck(swept, scores, best, near) | _out_of_sample(forward, swept.walked)
    made = Findings(swept, scores, best, near, flat, smooth, effects, _pairs(effects, scores, best), forward, figures)
    _written(made)
    return made


# --- below ------------------------------------------------------------------------------------------------


def _pairs(effects: Mapping[str, Bins], scores: Array, best: int | None) -> list[Pair]:
    made = []
    for down, across in combinations(effects, 2):
        y, x = effects[down], effects[across]
        at = None if best is None else (x.labels[x.of[best]], y.labels[y.of[best]])
        made.append(Pair(across, down, median_over(scores, x, y), x.labels, y.labels, at))
    return made


def _luck(swept: Swept, scores: Array, best: int | None, near: list[int]) -> dict[str, float | int | None]:
    """How good the best is, and how good it would be by luck alone."""
    frame, known = swept.tried.frame, scores[~np.isnan(scores)]
    traded = frame[frame["status"] == OK]
    tried = swept.ledger.sharpes(swept.subject)
    figures: dict[str, float | int | None] = {
        "trials": len(frame),
        "trials_traded": len(traded),
        "trials_of_subject": len(tried),
        "profitable_frac": float((traded["net_pnl_quote"] > 0).mean()) if len(traded) else None,
        "best_score": None if best is None else float(scores[best]),
        "median_score": float(np.median(known)) if len(known) else None,
        "overfitting_probability": _overfitting(swept),
        "deflated_sharpe": None,
        "sharpe_by_luck": None,
        "neighbours_median_score": None,
    }
    for name in ("sharpe", "return_frac", "max_drawdown_frac", "trades"):
        figures[f"best_{name}"] = None if best is None else _number(frame[name].iloc[best])
    if best is None:
        return figures
    around = scores[near]
    figures["neighbours_median_score"] = None if np.isnan(around).all() else float(np.nanmedian(around))
    returns = swept.returns(best)
    if len(returns) > 1 and len(tried) > 1:
        figures["deflated_sharpe"] = deflated_sharpe(returns, tried)
        figures["sharpe_by_luck"] = expected_best(len(tried), float(tried.var(ddof=1))) * YEARLY
    return figures


def _overfitting(swept: Swept) -> float | None:
    """Over the trials that traded the same days, the days of a few of them in memory at a time."""
    frame = swept.tried.frame
    keys = frame["key"][frame["status"] == OK].drop_duplicates().tolist()
    cut: Cut | None = None
    shape: tuple[int, int] | None = None
    piece: list[Array] = []

    def added(cut: Cut | None) -> Cut | None:
        if not piece:
            return cut
        part = Cut.of(np.array(piece).T, PARTS)
        piece.clear()
        return part if cut is None else cut.beside(part)

    for _, first, returns in swept.store.returns(keys):
        shape = shape or (first, len(returns))
        if (first, len(returns)) == shape and len(returns) >= 2 * PARTS:
            piece.append(returns)
        if len(piece) == PIECE:
            cut = added(cut)
    cut = added(cut)
    return None if cut is None or cut.sums.shape[1] < 2 else overfitting_of(cut)


def _joined(walked: list[Walked]) -> Forward | None:
    if not walked:
        return None
    days = [w.first_day + np.arange(len(w.returns)) for w in walked]
    fold = [np.full(len(w.returns), float(number)) for number, w in enumerate(walked, 1)]
    index = pd.DatetimeIndex(pd.to_datetime(np.concatenate(days), unit="D"))
    return Forward(walked, index, np.concatenate([w.returns for w in walked]), np.concatenate(fold))


def _out_of_sample(forward: Forward | None, walked: list[Walked]) -> dict[str, float | int | None]:
    """What choosing by the past would have earned afterwards."""
    if forward is None:
        return {}
    returns = forward.returns
    trained = [w.trained for w in walked if w.trained is not None]
    return {
        "forward_folds": len(walked),
        "forward_return_frac": float(np.prod(1.0 + returns)) - 1.0,
        "forward_sharpe": sharpe(pd.Series(returns)),
        "forward_max_drawdown_frac": forward.drawdown_frac,
        "forward_surely_above_zero": surely(moments(returns)) if len(returns) > 1 else None,
        "forward_trades": int(
            sum(w.tested["trades"] for w in walked if w.tested is not None and w.tested["status"] == OK)
        ),
        "trained_median_score": float(np.median(trained)) if trained else None,
    }


def _written(found: Findings) -> None:
    swept, run = found.swept, found.swept.run
    run.write_table("trials", _table(swept))
    if found.forward is not None:
        f = found.forward
        run.write_table("forward", pd.DataFrame({"day": f.days, "fold": f.fold.astype(int), "return_frac": f.returns}))
    data = market_words(swept.market) | {"first": swept.market.first, "last": swept.market.last}
    data["bars"] = len(swept.market.bars[swept.market.symbols[0]])
    run.finish(metrics=found.metrics, counters=swept.counts | {"planned": swept.planned}, data=data)


def _table(swept: Swept) -> pd.DataFrame:
    """A row a trial: its number, its settings by their paths, its score, and what came of it."""
    points = swept.tried.points
    axes = {
        axis.path: [p[place] if isinstance(p[place], str | int | float | bool) else str(p[place]) for p in points]
        for place, axis in enumerate(swept.space.axes)
    }
    return pd.concat([pd.DataFrame({"trial": range(1, len(points) + 1), **axes}), swept.tried.frame], axis=1)


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
