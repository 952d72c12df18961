"""Sweeps for tests: small, in a folder of their own, traded in this process unless told otherwise."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qtlib.domain.events import START
from qtlib.params import resolve
from qtlib.runs.record.run import Run, open_folder
from qtlib.runs.sweep.course import swept
from qtlib.runs.sweep.crew import Crew

HOME = Path(__file__).parents[2]
SMALL = ["data.bars=420", "universe.symbols=BTCUSDT,ETHUSDT", "sweep.min_trades=3", "sweep.folds=0"]
GRID = ["sweep.space={strategy: {params: {fast: [12, 24]}}, exits: {atr_multiple: [1.5, 2.0, 3.0]}}"]
TWELVE = ["sweep.space={strategy: {params: {fast: [12, 24, 48]}}, exits: {atr_multiple: [1.5, 2.0, 2.5, 3.0]}}"]


def here():
    """Workers that are this very process."""
    return Crew(lambda: ThreadPoolExecutor(1), lambda: 1, lambda executor: executor.shutdown(cancel_futures=True))


def a_run(root, *words, space=GRID, kind=Run):
    resolved = resolve(HOME / "params" / "sweep.yaml", ["sweep.space=null", *SMALL, *space, *words], {})
    return kind(open_folder("sweep", resolved, START, Path(root)), resolved.params, adhoc=True)


def a_sweep(root, *words, space=GRID, workers=None):
    """A sweep of six trials, or of those that `space` names."""
    return swept(a_run(root, *words, space=space), workers or here())


def came(done):
    """What came of each trial, whenever and by whomever it was traded."""
    return done.tried.frame.drop(columns=["seconds"])


class Watched(Run):
    """A run that does something, `then`, once `parts` more files of trials are there; what it says ends the sweep."""

    parts, then, before, done = 1, None, None, False

    def stop_requested(self):
        there = len(list((self.folder.root / "sweeps").rglob("part-*.parquet")))
        self.before = there if self.before is None else self.before
        if not self.done and self.then and there >= self.before + self.parts:
            self.done, self.said = True, self.then()
        return self.said if self.done else None


def a_watched_run(root, then, *words, parts=1, space=GRID):
    run = a_run(root, *words, space=space, kind=Watched)
    run.then, run.parts = then, parts
    return run
