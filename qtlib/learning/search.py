"""How a sweep goes through its space: every point, points by chance, or where the best ones were so far.

A search is asked for a generation of points, and told what each was worth, in the order in which it named them. What
it names depends on its seed and on what it was told, and on nothing else: not on who is ready first, nor on how many
work for it. So a sweep that was stopped names the same points again, and a cluster those of one machine.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from qtlib.learning.space import Axis, Point, Space, chunks

GENERATION = 4_096  # points of a search that does not learn, asked for at once
COHORT = 8  # points of one that does: each knows what those of the cohorts before were worth
MOST_POINTS = 1_000_000
WORTHLESS = -1e9  # a finite word for what could not be traded, or not be measured: a model of it knows to keep away

SEARCHES = ("grid", "random", "bayes")
OBJECTIVES = (
    "sharpe",
    "sortino",
    "calmar",
    "return_frac",
    "profit_factor",
    "expectancy_quote",
    "expectancy_r",
    "net_pnl_quote",
)


@dataclass(frozen=True, slots=True)
class SweepParams:
    """What is searched, how, and who does it."""

    space: Mapping[str, Any] = field(default_factory=dict)  # as `space` reads it
    search: str = "grid"  # of `SEARCHES`
    trials: int = 100  # of random and bayes; a grid has as many as points
    seed: int = 0
    objective: str = "sharpe"  # of `OBJECTIVES`: the largest is the best
    min_trades: int = 20  # with fewer, a trial is never the best
    folds: int = 0  # stretches of a walk-forward, each chosen for by what came before; 0: none
    train_folds: float = 3.0  # how long what a fold is chosen by is, in lengths of the fold
    anchored: bool = False  # it begins with the bars, however long that is
    workers: int | None = None  # processes; None: one a core
    scheduler: str | None = None  # a Dask scheduler's address, whose workers do the work; None: this machine


class Search(Protocol):
    def ask(self) -> list[Point]:
        """The next points; none: that was all."""

    def tell(self, scores: Sequence[float | None]) -> None:
        """What the points asked for last were worth; None: that can't be told."""


def search(space: Space, params: SweepParams) -> Search:
    """The search that `params` name, at its beginning."""
    if params.search == "grid":
        return _Listed(space.grid())
    if params.search == "random":
        return _Listed(_by_chance(space, params.trials, params.seed))
    return _Bayes(space, params.trials, params.seed)


def count(space: Space, params: SweepParams) -> int:
    """How many points will be asked for at most."""
    return space.size if params.search == "grid" else params.trials


class _Listed:
    """Points that were settled beforehand."""

    def __init__(self, points: Iterator[Point]) -> None:
        self._generations = chunks(points, GENERATION)

    def ask(self) -> list[Point]:
        return next(self._generations, [])

    def tell(self, scores: Sequence[float | None]) -> None:
        pass


def _by_chance(space: Space, trials: int, seed: int) -> Iterator[Point]:
    """So many points, none twice; fewer, where there are no more."""
    dice, seen = np.random.default_rng(seed), set[str]()
    for _ in range(trials):
        for _ in range(100):  # draws until one is new
            point = tuple(axis.at(share) for axis, share in zip(space.axes, dice.random(len(space.axes)), strict=True))
            if repr(point) not in seen:
                seen.add(repr(point))
                yield point
                break
        else:
            return


class _Bayes:
    """Optuna's tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kégl, 2011), a cohort at a time."""

    def __init__(self, space: Space, trials: int, seed: int) -> None:
        import optuna  # noqa: PLC0415  cold start: a second, and a grid has no use for it

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings(action="ignore"):  # multivariate is an experiment of theirs; our tests hold it
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space, self._left, self._asked = space, trials, list[Any]()

    def ask(self) -> list[Point]:
        wanted = min(COHORT, self._left)
        self._left -= wanted
        self._asked = [self._study.ask() for _ in range(wanted)]
        return [tuple(_suggested(trial, axis) for axis in self._space.axes) for trial in self._asked]

    def tell(self, scores: Sequence[float | None]) -> None:
        for trial, score in zip(self._asked, scores, strict=True):
            self._study.tell(trial, WORTHLESS if score is None else score)


def _suggested(trial: Any, axis: Axis) -> Any:
    if not axis.values:
        return trial.suggest_float(axis.path, axis.low, axis.high, log=axis.log)
    last = len(axis.values) - 1
    if axis.numeric:
        return axis.values[trial.suggest_int(axis.path, 0, last)]
    return axis.values[trial.suggest_categorical(axis.path, list(range(last + 1)))]
