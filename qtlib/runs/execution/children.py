"""Processes that a supervisor starts, and those that they leave behind: nothing is orphaned while it lives.

On Linux a supervisor becomes the parent of whatever its dead children leave (a subreaper), so that a kernel whose
runner was killed stays within its sight and reach.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from qtlib.journal import Held
from qtlib.runs.execution.job import Job
from qtlib.runs.record.folder import RunFolder

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, of linux/prctl.h


class SegmentProcess:
    """A segment, as its supervisor sees it. It loads its rooms at once and waits for `begin`."""

    def __init__(self) -> None:
        self.folder: RunFolder | None = None
        self.alive_at: float | None = None  # its own word, on its own clock
        self.told: dict[str, Any] | None = None  # how it ended
        self._begun = False
        self._signals: deque[int] = deque()  # that it has not been sent yet
        self._process = subprocess.Popen(
            [sys.executable, "-m", "qtlib.runs.execution.segment"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the supervisor, who passes it on
        )
        self._listener = threading.Thread(target=self._listen, name="segment", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, job: Job) -> None:
        """Give it the job, unless a signal came first: without one it ends."""
        assert self._process.stdin is not None  # it was asked for above
        self._begun = True
        with suppress(BrokenPipeError):  # it died while it loaded: that is seen like any other death
            if not self._signals:
                self._process.stdin.write(job.line())
            self._process.stdin.close()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, signum: int) -> None:
        """Pass a signal on, once it has an ear for it: from its folder on. The second one does not wait for that."""
        self._signals.append(signum)
        if self.folder is not None:
            self._pass_on()
        elif self._begun and len(self._signals) > 1:
            self._process.terminate()

    def end(self) -> str:
        """See that it is gone, and has said all that it had to say; how it went, in words."""
        if not self.ended():
            self._process.kill()
        code = self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        return f"the runner was killed by {signal.Signals(-code).name}" if code < 0 else f"the runner ended with {code}"

    def _pass_on(self) -> None:
        with suppress(IndexError):  # all are passed on, here or by the listener
            while True:
                self._process.send_signal(self._signals.popleft())

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = _parsed(line)
            if "alive" in said:
                self.alive_at = said["alive"]
            elif "folder" in said:
                self.folder = RunFolder(Path(said["folder"]))
                self._pass_on()
            elif "exit_code" in said:
                self.told = said


def adopt_orphans() -> None:
    """From now on, what our children leave behind is ours; where the system has no such thing, nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


def left_behind(ours: set[int]) -> list[psutil.Process]:
    """Processes below us that are not `ours`, nor below one of them."""
    found = []
    for child in psutil.Process().children():
        if child.pid not in ours:
            with suppress(psutil.NoSuchProcess):
                found += [child, *child.children(recursive=True)]
    return found


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """The lock on `path`, which goes with this process however it ends; `Held`, by whom, if another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text(encoding="ascii").strip()
            raise Held(f"{what} is supervised by process {holder}: stop that session, or wait") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _parsed(line: str) -> dict[str, Any]:
    with suppress(ValueError):
        said = json.loads(line)
        if isinstance(said, dict):
            return said
    return {}
