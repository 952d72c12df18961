"""A stage: one process that has loaded everything, and from which the processes of a session are forked.

A life of the kill matrix is mostly starts, and a start is mostly imports. On a stage supervisor, runner, kernel and
venue are processes as ever, each with a number, a session, streams and an environment of its own, as whoever starts it
asks of `subprocess.Popen`, and each begins at its own `main`; only what it would load is there already. All that is
forked descends from the stage, whoever dies between, and is called by its part. A helper of the tests.
"""

import asyncio
import atexit
import contextvars
import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import psutil

SUPERVISOR, RUNNER, KERNEL, VENUE = "supervisor", "runner", "kernel", "venue"
PARTS = {  # what follows `python -m`: who that is, and where it begins
    "struck_session": (SUPERVISOR, "struck_session", "main"),
    "qtlib.runs.execution.segment": (RUNNER, "qtlib.runs.execution.segment", "main"),
    "qtlib.runs.execution.kernel": (KERNEL, "qtlib.runs.execution.kernel", "main"),
    "qtlib.cli": (VENUE, "qtlib.cli", "main"),
}
LOADED = (  # beside those: what they load when they are asked for something
    *("IPython.core.debugger", "IPython.extensions.storemagic", "ipykernel.debugger", "ipykernel.kernelapp"),
    *("qtlib.report.blocks", "qtlib.report.page", "qtlib.report.tables", "qtlib.runs.session.startup"),
    *("qtlib.runs.session.live", "qtlib.runs.session.exchange", "qtlib.cli.exchange", "qtlib.journal.migrate"),
    *("ccxt.async_support", "aiohttp.web", "pandas.core.arrays.arrow.extension_types", "pyarrow.pandas_compat"),
    "strike",
)
_SET_NAME, _SUBREAPER = 15, 36  # of linux/prctl.h


class Stage:
    """A stage, as whoever plays on it sees it. It ends with us."""

    def __init__(self) -> None:
        words, env = [sys.executable, __file__], os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else it warns
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def begin(self, module: str, *args: str, heard: Path, env: Mapping[str, str]) -> psutil.Process:
        """`python -m module args…` from here; what it says is added to `heard`."""
        self._process.stdin.write(json.dumps({"args": [module, *args], "heard": str(heard), "env": dict(env)}) + "\n")
        self._process.stdin.flush()
        return psutil.Process(int(self._process.stdout.readline()))

    def there(self) -> list[psutil.Process]:
        """All that was begun here or by whom was, and has not ended."""
        return [one for one in psutil.Process(self._process.pid).children(recursive=True) if alive(one)]


def alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


# --- the stage itself -------------------------------------------------------------------------------------


def main() -> None:
    """Fork what standard input asks for, and say its number, until that closes."""
    for _, module, _ in PARTS.values():
        import_module(module)
    for module in LOADED:
        import_module(module)
    _rehearse()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGCHLD, _reap)
    subprocess.Popen._execute_child = _execute_child
    for line in sys.stdin:
        asked = json.loads(line)
        with Path(asked["heard"]).open("a", encoding="utf-8") as heard:
            words = [sys.executable, "-m", *asked["args"]]
            begun = subprocess.Popen(words, env=asked["env"], stdout=heard, stderr=heard, start_new_session=True)
        begun.returncode = 0  # we reap it ourselves
        print(begun.pid, flush=True)


def _rehearse() -> None:
    """Make a page of a notebook: what its libraries compile when they are first used is kept for all."""
    page = import_module("qtlib.report.page")
    with TemporaryDirectory(prefix="qt-stage-") as folder:
        notebook = Path(folder) / "rehearsal.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), notebook)
        page.export(notebook, notebook.with_suffix(".html"), title="", lang="en", banner=None)


def _reap(signum, frame) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


_exec = subprocess.Popen._execute_child


def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
    """In place of its namesake, of the standard library: a part is forked, and all else executed as ever."""
    words = list(args) if isinstance(args, Sequence) and not isinstance(args, str) else []
    if words[:2] != [sys.executable, "-m"] or words[2] not in PARTS or cwd is not None:
        return _exec(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
    *_, reads, writes, read, written, errors_read, errors = rest[:9]
    new_session = rest[-2]
    sys.stdout.flush(), sys.stderr.flush()
    self.pid = os.fork()
    if not self.pid:
        _play(words[2], words[3:], env, (reads, written, errors), new_session)
    self._child_created = True
    self._close_pipe_fds(reads, writes, read, written, errors_read, errors)
    return None


def _play(module: str, args: Sequence[str], env: Mapping[str, str] | None, streams, new_session: bool) -> None:
    """Be that part, from its beginning to its end."""
    part, where, name = PARTS[module]
    begin: Callable[[], object] = getattr(sys.modules[where], name)
    code = 1
    try:
        _forget()
        if new_session:
            os.setsid()
        for fd, number in zip(streams, range(3), strict=True):
            if fd != -1:
                os.dup2(fd, number)
        os.closerange(3, 4096)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, m, closefd=False) for n, m in enumerate("rww"))
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
        sys.argv = [module, *args]
        if env is not None:
            os.environ.clear()
            os.environ.update(env)
        ctypes.CDLL(None).prctl(_SET_NAME, part.encode(), 0, 0, 0)
        contextvars.Context().run(begin)
        code = 0
    except SystemExit as why:
        code = why.code if isinstance(why.code, int) else int(why.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            threading._shutdown()
            atexit._run_exitfuncs()
        with suppress(OSError, ValueError):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def _forget() -> None:
    """Whatever was of the process that this one was forked from, and would act here."""
    gc.freeze()  # its files have numbers that ours get: none of them may be closed as garbage
    atexit._clear()
    weakref.finalize._registry.clear()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    asyncio._set_running_loop(None)
    asyncio.set_event_loop_policy(None)


if __name__ == "__main__":
    main()
