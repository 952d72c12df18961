"""One segment of a session: a notebook, run to its end in an interpreter of its own, under a supervisor.

The supervisor writes one line to our standard input, the job; we write lines to standard output: that we live, in
which folder, and at last how it ended. Everything is one JSON object a line. When the supervisor is gone the run is
ended in order, as by SIGTERM: no session goes on that nobody watches.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from qtlib.params import Params
from qtlib.runs.execution.job import Job
from qtlib.runs.execution.runner import Export, run_notebook
from qtlib.runs.execution.watch import ENDING_SIGNALS
from qtlib.runs.record import atomic, guard
from qtlib.runs.record.ends import end_of
from qtlib.runs.record.folder import RunFolder

ALIVE_S = 1.0


def page(params: Params) -> Export:
    """How a run of these settings becomes a page to read: one that says whether its market was simulated.

    What makes it is loaded meanwhile, on a core that waits for the kernel.
    """
    simulated = params.data.source == "simulated"
    return _Page(simulated=f"Seed {params.data.seed}." if simulated else None, replayed=not simulated)


def main() -> None:
    """Wait for the job, run it, and say how it ended; without a job, end."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # until a run has begun there is nothing to end in order
    told = _Told()
    line = sys.stdin.readline()
    if not line:
        return
    job = Job.read(line)
    threading.Thread(target=_end_with, args=(job.starter,), name="starter", daemon=True).start()
    os.environ.update(job.env)
    resolved = job.resolved

    def began(folder: RunFolder) -> None:
        told.say(folder=str(folder.path))

    try:
        outcome = run_notebook(
            job.kind, Path(job.notebook), resolved, export=page(resolved.params), root=Path(job.root), on_start=began
        )
    except Exception as e:
        kinds = [kind.__name__ for kind in type(e).__mro__]
        status, code = end_of(kinds, getattr(e, "errno", None))
        error = {"type": kinds[0], "message": atomic.redact(str(e)), "cell": None}
        told.say(exit_code=code, record={"status": status, "error": error})
    else:
        told.say(exit_code=outcome.exit_code, record=dict(outcome.record))


class _Page:
    def __init__(self, **said: Any) -> None:
        self._said = said
        self._loading = threading.Thread(target=self._load, name="page", daemon=True)
        self._loading.start()

    def __call__(self, *args: Any, **given: Any) -> object:
        self._loading.join()
        return self._load().export(*args, **given, **self._said)

    @staticmethod
    def _load() -> Any:
        from qtlib.report import page  # noqa: PLC0415  cold start: a second that a run begins earlier

        page.packed_plotly()
        return page


class _Told:
    """Lines to the supervisor. It may be slow or gone, and neither is a reason to stop trading."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no message
        self._one_at_a_time = threading.Lock()
        threading.Thread(target=self._live, name="alive", daemon=True).start()

    def say(self, **what: Any) -> None:
        with self._one_at_a_time:
            try:
                self._out.write(json.dumps(what, ensure_ascii=False) + "\n")
                self._out.flush()
            except OSError:
                return

    def _live(self) -> None:
        while True:
            self.say(alive=time.time())
            time.sleep(ALIVE_S)


def _end_with(starter: int) -> None:
    if os.getppid() == starter:  # else it went before we came, and another may have its number
        guard.wait_for_end(starter)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
