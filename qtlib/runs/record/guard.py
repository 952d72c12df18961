"""What stands guard in a kernel from its first instant, before any cell runs.

It watches the runner: when that is gone, the loop is told to stop, gets a bounded time to end in order, and then the
kernel ends itself; no orphan trades on. It turns signals into that same stop. It tells the runner each second that the
process runs, what went wrong in a cell, and when a loop that gave signs of life has ended. Without a runner
(JupyterLab) it does nothing.
"""

import json
import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from qtlib.runs.record import atomic

ORPHANED = 70  # exit code of a kernel that ended itself
ALIVE = "alive"  # a file, touched each second
_TICK_S = 1.0
reason: str | None = None  # why the loop should stop; set once
_busy = threading.Event()


def arm() -> None:
    """Called by the runner's first line in the kernel; what it needs to know is in the environment."""
    runner, folder = os.environ.get("QT_RUNNER_PID"), os.environ.get("QT_RUN_DIR")
    if not runner or not folder:
        return
    grace_s = float(os.environ.get("QT_RUN_GRACE_S", "20"))
    threading.Thread(target=_watch, args=(int(runner), Path(folder), grace_s), name="guard", daemon=True).start()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda number, frame: _stop(signal.Signals(number).name))
    _follow_cells(Path(folder))


def write_beat(folder: Path, figures: dict[str, Any]) -> None:
    """A sign of life, whole or not there; not synced, since nobody needs an old one."""
    tmp = folder / f".heartbeat.{os.getpid()}.tmp"
    tmp.write_text(json.dumps({"ts": time.time(), **figures}, default=str), encoding="utf-8")
    tmp.replace(folder / "heartbeat.json")


def wait_for_end(pid: int, tick: Callable[[], None] = lambda: None) -> None:
    """Return when process `pid` is gone; until then `tick` each second."""
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        tick()
        while not select.select([fd], [], [], _TICK_S)[0]:
            tick()
        os.close(fd)
        return
    while os.getppid() == pid:  # not Linux: we are its child, until it is no more
        tick()
        time.sleep(_TICK_S)


def _touch(path: Path) -> None:
    with suppress(OSError):
        path.touch()


def _stop(why: str) -> None:
    global reason  # noqa: PLW0603  one kernel, one guard: the flag that every loop in it reads
    reason = reason or why


def _watch(runner: int, folder: Path, grace_s: float) -> None:
    wait_for_end(runner, lambda: _touch(folder / ALIVE))
    _stop("the runner is gone")
    _note(folder, {"level": "error", "msg": f"runner {runner} is gone: no more entries, ending within {grace_s:g} s"})
    until = time.monotonic() + grace_s
    while _busy.is_set() and time.monotonic() < until:
        time.sleep(0.02)
    os._exit(ORPHANED)


def _follow_cells(folder: Path) -> None:
    from IPython import get_ipython  # noqa: PLC0415  cold start: 0.3 s, and there is none outside of a kernel

    shell = get_ipython()

    def before(info: Any) -> None:
        _busy.set()

    def after(result: Any) -> None:
        _busy.clear()
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            try:
                atomic.write_json(folder / "error.json", _described(error))
            except OSError:  # the disk is full, and this is what the room was kept for
                atomic.release(folder)
                atomic.write_json(folder / "error.json", _described(error))
        if (folder / "heartbeat.json").exists():
            with suppress(OSError):  # a full disk: the runner sees that the cell has ended without it
                write_beat(folder, {"resting": True})

    shell.events.register("pre_run_cell", before)
    shell.events.register("post_run_cell", after)


def _described(error: BaseException) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "kinds": [c.__name__ for c in type(error).__mro__],
        "message": str(error),
        "errno": getattr(error, "errno", None),
        "traceback": "".join(traceback.format_exception(error)),
    }


def _note(folder: Path, entry: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **entry}) + "\n")
