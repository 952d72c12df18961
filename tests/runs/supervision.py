"""Sessions to be disturbed: a real supervisor, with runners, kernels and a venue under it. A helper of the tests."""

import os
import sys
from functools import partial
from pathlib import Path

import psutil
from death_drill import a_notebook
from forked import CONTEXT
from patience import PATIENCE_S, until

from qtlib.params import resolve
from qtlib.runs.execution.policy import Restarts
from qtlib.runs.execution.supervisor import supervise
from qtlib.runs.record.folder import runs


def supervised(root, bodies, settings, restarts, environ):
    """Be a supervisor, to the end."""
    os.environ.update(environ, QT_RUNS_DIR=str(root / "runs"))  # so that whatever is started here can be told by it
    notebook = a_notebook(root / "session.ipynb", *bodies)
    outcome = supervise(
        notebook, resolve(overrides=settings), root=root / "runs", restarts=restarts, on_line=partial(_write, root)
    )
    sys.exit(outcome.exit_code)


def _write(root, line):
    with (root / "heard").open("a", encoding="utf-8") as heard:
        heard.write(f"{line['msg']}\n")


class Session:
    """A supervisor in a process of its own, and a way to everything below it."""

    def __init__(self, root, *bodies, settings=(), restarts=None, environ=None):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        given = (root, bodies, settings, restarts or Restarts(first_s=0.01), environ or {})
        self._process = CONTEXT.Process(target=supervised, args=given, daemon=True)
        self._process.start()
        self.supervisor = psutil.Process(self._process.pid)

    @property
    def folders(self):
        """Those of its segments, oldest first."""
        return list(runs(self.root / "runs"))[::-1]

    def heard(self):
        """What its terminal would have shown."""
        path = self.root / "heard"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def ticking(self, segment):
        """Wait until the loop of that segment (0 is the first) runs; its runner and its kernel."""
        until(lambda: len(self.folders) > segment and _ticks(self.folders[segment]))
        return self.processes()

    def processes(self):
        """The runner and the kernel of the segment that runs now."""
        runner = next(p for p in self.supervisor.children() if (self.folders[-1].record()["pid"]) == p.pid)
        return runner, next(p for p in runner.children() if "qtlib.runs.execution.kernel" in " ".join(p.cmdline()))

    def end(self, patience_s=PATIENCE_S):
        """The exit code, as a shell would tell it."""
        self._process.join(patience_s)
        assert self._process.exitcode is not None, f"it did not end within {patience_s:g} s"
        return self._process.exitcode


def left_of(root: Path):
    """The processes that have to do with what lies in `root`."""
    found = []
    for process in psutil.process_iter(["environ", "cmdline", "status"]):
        told = [*(process.info["environ"] or {}).values(), *(process.info["cmdline"] or [])]
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(f"{root}/" in f"{word}/" for word in told):
            found.append(process)
    return found


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _ticks(folder):
    log = folder / "log.jsonl"
    return (folder / "heartbeat.json").exists() and log.exists() and "tick" in log.read_text(encoding="utf-8")
