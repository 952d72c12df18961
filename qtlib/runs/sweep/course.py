"""A sweep under way: trials are named, those that nobody has traded yet are traded, and each is written down.

First it goes into the ledger, then into the store, and then it counts: whatever dies in between, no trial that is
relied on is missing from the ledger, and none is traded twice. So starting again is resuming.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qtlib.learning.ledger import SHARPE, Ledger, Trial
from qtlib.learning.overfitting import moments
from qtlib.learning.search import Search, count, search
from qtlib.learning.space import Point, Space
from qtlib.market import Market
from qtlib.params import Params, SettingsError, validate
from qtlib.report.words import number, say
from qtlib.runs.believing.subjects import models, subject
from qtlib.runs.record.run import Run
from qtlib.runs.record.workers import cores
from qtlib.runs.sweep import bench
from qtlib.runs.sweep.crew import Crew, crew, work
from qtlib.runs.sweep.plan import Fold, Plan
from qtlib.runs.sweep.store import FOLDER, Store
from qtlib.runs.sweep.trial import FAILED, LEARNED, OK, REFUSED, Array, Result, Stretch, Task, changed, digest, made_by

TOLD_EVERY_S = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """The points of a search, and what came of each."""

    points: list[Point]
    frame: pd.DataFrame  # a row a point: the store's columns, and its score; NaN: it has none

    @property
    def best(self) -> int | None:
        """The row of the best; the first one named, where several are."""
        score = self.frame["score"].to_numpy(dtype=float)
        return None if np.isnan(score).all() else int(np.nanargmax(score))


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """A fold that was walked through."""

    fold: Fold
    chosen: Point | None  # None: nothing was fit to be chosen, and nothing was traded
    trained: float | None  # its score on the stretch it was chosen by
    tested: Any  # the row of the store of its stretch afterwards; None: it was not traded
    first_day: int
    returns: Array  # of that, a day each


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """A sweep that has ended, or was ended."""

    run: Run
    market: Market
    space: Space
    tried: Tried  # over the whole stretch
    walked: list[Walked]
    planned: int  # trials, those of a walk-forward too
    counts: dict[str, int]  # of trials: traded here, found finished, refused, failed
    subject: str
    store: Store
    ledger: Ledger
    data: str  # what was swept over: the bars' fingerprint

    def returns(self, row: int) -> Array:
        """The daily returns of a trial over the whole stretch."""
        return next(self.store.returns([self.tried.frame["key"].iloc[row]]))[2]

    def _repr_html_(self) -> str:
        c = self.counts
        counts = {name: number(c[name], ",d") for name in ("traded", "found", "refused", "failed")}
        words = say(
            "{traded} trials traded, {found} found finished, {refused} refused, {failed} failed; of {planned}",
            planned=number(self.planned, ",d"),
            **counts,
        )
        return f"<p>{words}</p>"


def swept(run: Run, workers: Crew | None = None) -> Swept:
    """Trade what the settings of `run` say should be tried, as far as it is not yet, until all is or it is stopped.

    `workers` do it, or else those that the settings name.
    """
    with nullcontext(workers) if workers else crew(run.params.sweep) as hired:
        return _Course(run).swept(hired)


class _Course:
    def __init__(self, run: Run) -> None:
        self.run, self.sweep = run, run.params.sweep
        self.plan = Plan(_pinned(run), bench.code(), bench.Bench())
        ground = self.plan.ground
        self.job = bench.Job(self.plan.plain, str(run.folder.root), bench.code())
        place = f"{ground.fingerprint[:12]}-{bench.code()[:8]}"
        self.store = Store(run.folder.root / FOLDER / place)
        self.ledger = Ledger(models(run.params, run.folder.root))
        strategy = run.params.strategy.name
        self.subject = subject(run.params) + ("" if strategy == LEARNED else f" {strategy}")
        self.folds = self.plan.folds()
        self.stretches = {stretch for fold in self.folds for stretch in (fold.train, fold.test)}
        self.planned = count(self.plan.space, self.sweep) * (1 + len(self.folds)) + len(self.folds)
        self.done = 0
        self.counts = {"traded": 0, "found": 0, "refused": 0, "failed": 0}
        self.best: float | None = None
        self._told = time.monotonic()

    def swept(self, workers: Crew) -> Swept:
        run, s = self.run, self.sweep
        who = f"the cluster at {s.scheduler}" if s.scheduler else f"{s.workers or cores()} processes"
        axes = ", ".join(axis.path for axis in self.plan.space.axes)
        run.log.write("info", f"🔎 {self.planned:,} trials ({s.search} over {axes}) by {who}")
        tried = self._through(workers, search(self.plan.space, s))
        walked: list[Walked] = []
        for place, fold in enumerate(self.folds, 1):
            if not self._goes_on():
                break
            walked += self._walk(workers, fold, place)
        if not len(tried.frame):  # there is nothing to read, and no time to lose
            raise KeyboardInterrupt(f"stopped before a trial was traded: {self.run.stop_requested()}")
        c = self.counts
        if not (tried.frame["status"] == OK).any():
            why = tried.frame["why"].iloc[0]
            raise SettingsError(f"not one of {len(tried.frame):,} trials could be traded; the first: {why}")
        run.log.write(
            "info",
            f"🏁 {c['traded']:,} trials traded, {c['found']:,} found finished, {c['refused']:,} refused, "
            f"{c['failed']:,} failed; best {s.objective} {_said(self.best)}",
        )
        return Swept(
            run,
            self.plan.market,
            self.plan.space,
            tried,
            walked,
            self.planned,
            c,
            self.subject,
            self.store,
            self.ledger,
            self.plan.ground.fingerprint,
        )

    def _through(self, workers: Crew, course: Search, stretch: Stretch | None = None) -> Tried:
        """Everything that `course` names, traded over `stretch`; what is not when the sweep is stopped is left out."""
        points: list[Point] = []
        frames: list[pd.DataFrame] = []
        while self._goes_on() and (named := course.ask()):
            tasks = [self.plan.task(point, stretch) for point in named]
            self._trade(workers, tasks)
            there = [(p, t.key) for p, t in zip(named, tasks, strict=True) if t.key in self.store]
            if there:
                frame = self.store.frame([key for _, key in there])
                frame["score"] = self._scores(frame)
                points += [point for point, _ in there]
                frames.append(frame)
                if stretch is None:
                    self._remember(frame["score"].to_numpy(dtype=float))
            if len(there) < len(named):
                break  # it was stopped, and a search is told of whole generations
            course.tell([None if np.isnan(score) else float(score) for score in frame["score"]])
        empty = self.store.frame([]).assign(score=pd.Series(dtype=float))
        return Tried(points, pd.concat(frames, ignore_index=True) if frames else empty)

    def _walk(self, workers: Crew, fold: Fold, number: int) -> list[Walked]:
        """What did best before the fold, traded in it; nothing if the sweep was stopped meanwhile."""
        trained = self._through(workers, search(self.plan.space, self.sweep), fold.train)
        if not self._goes_on():
            return []
        best = trained.best
        if best is None:
            self.run.log.write("warning", f"⚠️ fold {number}: nothing earned a place, nothing is traded")
            return [Walked(fold, None, None, None, 0, np.empty(0))]
        chosen, score = trained.points[best], float(trained.frame["score"].iloc[best])
        task = self.plan.task(chosen, fold.test)
        self._trade(workers, [task])
        if task.key not in self.store:
            return []
        row = self.store.frame([task.key]).iloc[0]
        _, first, returns = next(self.store.returns([task.key]))
        words = f"👣 fold {number} of {len(self.folds)}: {self.sweep.objective} {_said(score)} before it, "
        self.run.log.write("info", f"{words}{_said(row[self.sweep.objective])} in it")
        return [Walked(fold, chosen, score, row, first, returns)]

    def _trade(self, workers: Crew, tasks: Sequence[Task]) -> None:
        """Have those of `tasks` traded that nobody has traded yet."""
        new = {task.key: task for task in tasks if task.key not in self.store}
        found = len(tasks) - len(new)
        self.counts["found"] += found
        self.done += found
        self._beat()

        def heard(results: list[Result]) -> None:
            self.ledger.add(*(self._entry(new[r.key], r) for r in results if r.status == OK))
            self.store.keep(results)
            self.done += len(results)
            self.counts["traded"] += sum(r.status == OK for r in results)
            for status in (REFUSED, FAILED):
                self.counts[status] += sum(r.status == status for r in results)
            for failed in (r for r in results if r.status == FAILED):
                self.run.log.write("warning", f"⚠️ {new[failed.key].settings} failed: {failed.why}")

        if new:
            warn = lambda words: self.run.log.write("warning", words)  # noqa: E731  one word for one line
            work(workers, self.job, list(new.values()), heard, self._goes_on, warn)

    def _entry(self, task: Task, result: Result) -> Trial:
        """The line of the ledger; of a stretch it is another subject's, since it competes with others of that."""
        of_fold, m = task.stretch in self.stretches, moments(result.returns)
        return Trial(
            "backtest",
            f"{self.subject} walk-forward" if of_fold else self.subject,
            "sweep",
            made_by(changed(self.job.plain, task.settings))[:16],
            digest([task.data, task.stretch.after, task.stretch.bars])[:16] if of_fold else task.data,
            result.first_day,
            numbers={
                SHARPE: m.sharpe if m.steps > 1 else None,
                **{n: result.numbers.get(n) for n in ("trades", "return_frac", "max_drawdown_frac")},
            },
        )

    def _scores(self, frame: pd.DataFrame) -> pd.Series:
        """What each trial is worth: the objective, if it traded often enough to be believed."""
        fit = (frame["status"] == OK) & (frame["trades"] >= self.sweep.min_trades)
        return frame[self.sweep.objective].astype(float).where(fit)

    def _remember(self, scores: Array) -> None:
        if not np.isnan(scores).all():
            best = float(np.nanmax(scores))
            self.best = best if self.best is None else max(self.best, best)

    def _goes_on(self) -> bool:
        """Whether to go on; a sign of life on the way."""
        self._beat()
        return self.run.stop_requested() is None

    def _beat(self) -> None:
        self.run.beat(self.done, self.planned, what="trials")
        if time.monotonic() - self._told > TOLD_EVERY_S:
            self._told = time.monotonic()
            self.run.log.write("info", f"🔎 {self.done:,} of {self.planned:,} trials")


def _pinned(run: Run) -> Params:
    """The settings, held to the model that is champion now: another one would make other trials."""
    params = run.params
    if params.strategy.name != LEARNED or "version" in params.strategy.params:
        return params
    from qtlib.runs.believing import believers  # noqa: PLC0415  cold start: scikit-learn takes a second, and a rule has no use for it

    now = believers.shelf_of(params, run.folder.root).champion()
    if now is None:
        raise SettingsError(
            "no model is champion: name one to sweep over (-p strategy.params.version=…, `qt models list`)"
        )
    return validate(changed(params.plain(), {"strategy.params.version": now.version}))


def _said(value: float | None) -> str:
    return "unknown" if value is None or np.isnan(value) else f"{value:.4g}"
