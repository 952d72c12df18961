"""Runs to be killed: a real runner in a process of its own, with a real kernel under it. A helper of the tests."""

import os
import sys

import nbformat
import psutil
import pytest
from forked import CONTEXT
from nbformat.v4 import new_code_cell, new_notebook
from patience import PATIENCE_S, until

from qtlib.params import resolve
from qtlib.runs.execution.runner import run_notebook
from qtlib.runs.record.folder import runs

OPENING = "from qtlib.runs import open_run\nimport os, time\nrun = open_run(run_dir, params)"

LOOP = """
n = 0
while run.stop_requested() is None:
    n += 1
    run.beat(n, 1000)
    run.log.info("tick", n=n)
    time.sleep(0.01)
run.log.info("stopping", why=run.stop_requested())
time.sleep(0.3)  # what an orderly end takes
run.log.info("flat")
"""


def a_notebook(path, *bodies, opening=OPENING):
    """A notebook with a parameters cell, one that opens the run, and one cell for each body."""
    parameters = new_code_cell('run_dir = ""\nparams = {}', metadata={"tags": ["parameters"]})
    cells = [parameters, new_code_cell(opening), *(new_code_cell(body) for body in bodies)]
    # saved with a kernelspec that starts through a wrapper, and is on no machine: the runner must not care
    metadata = {"kernelspec": {"name": "uv-wrapper", "display_name": "wrapper", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def a_page(notebook, page, *, title, lang="en", banner=None):
    page.write_text(f"<title>{title}</title><p>{banner}</p>", encoding="utf-8")


def drill(root, *bodies, settings=(), **given):
    """Run a notebook of these cells here and now."""
    root.mkdir(parents=True, exist_ok=True)
    notebook = a_notebook(root / "drill.ipynb", *bodies, **given)
    return run_notebook("live", notebook, resolve(overrides=settings), export=a_page, root=root / "runs")


class Drill:
    """A runner in a process of its own."""

    def __init__(self, root, *bodies, settings=()):
        self.root = root
        self._process = CONTEXT.Process(target=_drill, args=(root, bodies, settings), daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def folder(self):
        return next(runs(self.root / "runs"))

    def log(self):
        path = self.folder / "log.jsonl"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def ticking(self):
        """Wait until the loop runs and has been heard; the kernel's process."""
        until(lambda: self._has_begun() and "tick" in self.log())
        kernels = psutil.Process(self.pid).children()
        return next(p for p in kernels if "qtlib.runs.execution.kernel" in " ".join(p.cmdline()))

    def _has_begun(self):
        return (
            (self.root / "runs").exists()
            and any(runs(self.root / "runs"))
            and (self.folder / "heartbeat.json").exists()
        )

    def end(self, patience_s=PATIENCE_S):
        """The exit code, as a shell would tell it."""
        self._process.join(patience_s)
        if self._process.exitcode is None:
            for process in (*psutil.Process(self.pid).children(recursive=True), psutil.Process(self.pid)):
                process.kill()
            pytest.fail(f"the runner did not end within {patience_s:g} s")
        return self._process.exitcode


def _drill(root, bodies, settings):
    os.setsid()
    sys.exit(drill(root, *bodies, settings=settings).exit_code)
