"""Who trades a sweep makes no difference: this process, processes beside it that are killed, or a cluster's workers."""

import json
import multiprocessing
import os
import signal

import pandas as pd
from sweeps import HOME, a_run, a_sweep, came, here

from qtlib.learning.search import SweepParams
from qtlib.runs.sweep import bench
from qtlib.runs.sweep.crew import crew, work
from qtlib.runs.sweep.plan import Plan


def test_the_notebook_sweeps_with_processes_of_its_own(tmp_path):
    """Cell by cell, as it stands; and no process is left."""
    run = a_run(tmp_path, "sweep.workers=2", "sweep.folds=1", "sweep.min_trades=0")
    cells = json.loads((HOME / "notebooks" / "sweep.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            names |= {"run_dir": str(run.folder.path), "params": run.params.plain()}
    assert not multiprocessing.active_children()

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
