"""Processes of their own, forked from one that has loaded what most of them need: real ones, a second or two sooner.

What a fresh process loads, and how long that takes, is the business of `test_cold_start.py` and of `make bench`.
"""

import os
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

from patience import PATIENCE_S

HOME = Path(__file__).parent.parent
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("hypothesis", "pandas", "rich.table", "qtlib.cli", "qtlib.market", "qtlib.runs.data.bars"),
        *("qtlib.runs.execution.runner", "qtlib.runs.execution.supervisor", "qtlib.runs.execution.preflight"),
        *("qtlib.runs.session.overview", "qtlib.runs.session.exchange"),
    ]
)


class Qt:
    """`qt` with these words as a process, in a runs folder of its own, which knows no other setting of ours."""

    def __init__(self, *words, root, cwd=HOME, **extra):
        self._args = ["qt", *map(str, words)]
        self._said = [tempfile.NamedTemporaryFile() for _ in ("out", "err")]  # noqa: SIM115  closed at the end
        names = [file.name for file in self._said]
        self._process = CONTEXT.Process(target=_be, args=(self._args, environment(root) | extra, cwd, names))
        self._process.start()
        self.pid = self._process.pid

    def send_signal(self, signum):
        os.kill(self.pid, signum)

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        """It goes on no longer than the block that needs it."""
        self.kill()

    def kill(self):
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def ended(self, patience_s=PATIENCE_S):
        """How it ended, and all it said."""
        self._process.join(patience_s)
        assert self._process.exitcode is not None, f"{' '.join(self._args)} did not end within {patience_s:g} s"
        out, err = (file.read().decode() for file in self._said)
        return subprocess.CompletedProcess(self._args, self._process.exitcode, out, err)


def qt(*words, root, **given):
    """`qt` with these words, to its end."""
    return Qt(*words, root=root, **given).ended()


def environment(root):
    """That of a process of ours whose runs lie in `root`."""
    return {k: v for k, v in os.environ.items() if not k.startswith("QT_")} | {"QT_RUNS_DIR": str(root)}


def _be(words, env, cwd, said):
    """Be what the words say."""
    from qtlib.cli import main

    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for number, name in enumerate(said, 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    sys.argv = words
    main()
