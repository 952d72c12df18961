"""Who trades a sweep makes no difference: this process, processes beside it that are killed, or a cluster's workers."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pandas as pd
import psutil
import pytest
from a_shell import ran
from english import left_in
from postgres import absent
from sweeps import HOME, TWELVE, a_run, a_sweep, a_watched_run, came, here

from qtlib.learning.search import SweepParams
from qtlib.runs.record.folder import RunsError
from qtlib.runs.sweep import bench
from qtlib.runs.sweep.course import swept
from qtlib.runs.sweep.crew import crew, work
from qtlib.runs.sweep.plan import Plan


def test_the_notebook_sweeps_with_processes_of_its_own(tmp_path):
    """Cell by cell, as it stands, in Norwegian; and no process is left."""
    run = a_run(tmp_path, "sweep.workers=2", "sweep.folds=1", "sweep.min_trades=0", "report.language=nb")
    given = {"run_dir": str(run.folder.path), "params": run.params.plain()}
    shown, names = ran(HOME / "notebooks" / "sweep.ipynb", given)
    assert not multiprocessing.active_children()
    page = "".join(shown)
    for words in ("Beste Sharpe", "Alle forsøk", "Deflatert Sharpe"):
        assert words in page, words
    assert left_in(page) == []
    charts = [place for place, markup in enumerate(shown) if markup.startswith("<script")]
    assert len(charts) > 1
    assert all("<table" in shown[place + 1] for place in charts)  # each has its numbers right below it

    alone = a_sweep(tmp_path / "alone", "sweep.folds=1", "sweep.min_trades=0", workers=here())
    pd.testing.assert_frame_equal(came(names["done"]), came(alone))
    record = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
    assert record["counters"]["traded"] == 13
    assert (run.folder / "trials.parquet").exists()


def test_what_a_killed_worker_was_at_is_traded_by_another(tmp_path):
    run = a_run(tmp_path)
    plan = Plan(run.params, bench.code(), bench.Bench())
    tasks = [plan.task(point) for point in plan.space.grid()]
    came, said = [], []

    def heard(results):
        came.extend(results)
        if len(said) == 0 and len(came) < len(tasks):
            [worker] = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)

    with crew(SweepParams(workers=1)) as workers:
        work(workers, bench.Job(plan.plain, str(tmp_path), bench.code()), tasks, heard, lambda: True, said.append)

    assert len(said) == 1
    assert "a worker died" in said[0]
    assert sorted(r.key for r in came) == sorted(t.key for t in tasks)
    assert {r.status for r in came} == {"ok"}


def test_a_cluster_sweeps_as_this_machine_does_stopped_and_with_a_worker_killed(tmp_path):
    """Two workers of Dask: the sweep is stopped, started again, and one of them killed on the way."""
    words = ["sweep.folds=1", "sweep.min_trades=0"]
    alone = a_sweep(tmp_path / "alone", *words, space=TWELVE)
    with a_cluster() as cluster:
        words.append(f"sweep.scheduler={cluster.scheduler_address}")
        part = swept(a_watched_run(tmp_path / "far", lambda: "enough", *words, space=TWELVE))
        pid = next(worker.pid for worker in cluster.workers.values())
        killing = a_watched_run(tmp_path / "far", lambda: os.kill(pid, signal.SIGKILL), *words, space=TWELVE)
        rest = swept(killing)
        assert killing.done
        assert pid not in {worker.pid for worker in cluster.workers.values()}

    assert 0 < part.counts["traded"] < alone.counts["traded"] == 25
    assert part.counts["traded"] + rest.counts["traded"] == 25
    assert rest.tried.points == alone.tried.points
    pd.testing.assert_frame_equal(came(rest), came(alone), check_exact=True)
    assert rest.walked[0].returns.tolist() == alone.walked[0].returns.tolist()


def test_a_sweep_that_is_killed_leaves_no_worker_and_loses_nothing_that_was_written_down(tmp_path):
    code = "import sys; from sweeps import *; swept(a_run(sys.argv[1], 'sweep.workers=1', space=TWELVE))"
    path = os.pathsep.join(str(HOME / "tests" / name) for name in (".", "runs"))
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=os.environ | {"PYTHONPATH": path})
    until = time.monotonic() + 300
    while len(list(tmp_path.rglob("part-*.parquet"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    written = sum(len(pd.read_parquet(part)) for part in tmp_path.rglob("part-*.parquet"))

    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
    rest = a_sweep(tmp_path, space=TWELVE)
    assert (rest.counts["found"], rest.counts["traded"]) == (written, 12 - written)
    assert len({trial.key for trial in rest.ledger.rows()}) == 12


def test_a_scheduler_that_does_not_answer_is_said_so(tmp_path):
    with pytest.raises(RunsError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        swept(a_run(tmp_path, "sweep.scheduler=tcp://127.0.0.1:9"))


@contextmanager
def a_cluster():
    """Two workers, each a process with one thread; what they log is nobody's concern."""
    try:
        import distributed
    except ImportError:
        absent("Dask (the extra `cluster`) is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster
