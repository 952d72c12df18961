"""What a sweep found, handed to the report's pictures and tables: which rows, in which order, by which name."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from qtlib.market.timeframes import datetime_at
from qtlib.report import surface
from qtlib.report.markup import Html
from qtlib.report.words import day, say
from qtlib.runs.sweep.findings import Findings


def headline(found: Findings) -> Html:
    return surface.headline(found.metrics, _objective(found))


def surfaces(found: Findings) -> tuple[Any, Html]:
    """The surface, with its table: a line where there is one axis, a map for each pair of axes else."""
    effects = {axis: (b.labels, b.of) for axis, b in found.effects.items()}
    names = surface.effects_table(effects, found.scores, _objective(found))
    if found.pairs:
        pairs = [(p.across, p.down, p.x, p.y, p.scores, p.best) for p in found.pairs]
        return surface.surface(pairs, _objective(found)), names
    [(axis, b)] = found.effects.items()
    there = [found.scores[(b.of == place) & ~np.isnan(found.scores)] for place in range(len(b.labels))]
    middle = np.array([np.median(s) if len(s) else np.nan for s in there])
    best = np.array([s.max() if len(s) else np.nan for s in there])
    return surface.line(axis, b.labels, middle, best, _objective(found)), names


def spread(found: Findings) -> tuple[Any, Html]:
    luck = found.metrics["sharpe_by_luck"]
    return surface.spread(found.scores, luck, _objective(found)), surface.spread_table(found.scores, _objective(found))


def neighbours(found: Findings) -> Html:
    """The best, each of its neighbours, and the trial whose whole neighbourhood is best."""
    rows = [] if found.best is None else [(say("the best"), *found.row(found.best))]
    rows += [(say("its neighbour"), *found.row(row)) for row in found.near[: surface.SHOWN]]
    rows += [] if found.flat is None else [(say("the best neighbourhood"), *found.row(found.flat))]
    return surface.trials_table(say("The best and its neighbours, one step away"), _axes(found), rows)


def best(found: Findings) -> Html:
    """The first few by their score."""
    order = np.argsort(np.where(np.isnan(found.scores), np.inf, -found.scores), kind="stable")
    shown = [int(row) for row in order[: surface.SHOWN] if not np.isnan(found.scores[row])]
    rows = [(f"{place}", *found.row(row)) for place, row in enumerate(shown, 1)]
    return surface.trials_table(say("The best trials; all are in trials.parquet"), _axes(found), rows)


def walked(found: Findings) -> tuple[Any, Html]:
    """The walk-forward, its picture and its table; a word, where there was none."""
    f = found.forward
    if f is None:
        return Html(f"<p>{say('No walk-forward was asked for: sweep.folds=4 has one.')}</p>"), Html("")
    rows = [
        (
            day(datetime_at(w.fold.cut)),
            day(datetime_at(w.fold.last)),
            w.chosen,
            w.trained,
            None if w.tested is None else _numbers(w.tested.to_dict()),
        )
        for w in f.walked
    ]
    picture = surface.forward(f.days, f.equity, f.fold)
    return picture, surface.forward_table(_axes(found), rows, _objective(found))


def _objective(found: Findings) -> str:
    return found.swept.run.params.sweep.objective


def _axes(found: Findings) -> tuple[str, ...]:
    return tuple(axis.path for axis in found.swept.space.axes)


def _numbers(row: Mapping[Any, Any]) -> dict[str, float | None]:
    return {str(name): value for name, value in row.items()}
