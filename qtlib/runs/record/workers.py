"""Processes that work for this one, and never outlive it."""

import os
import signal
import threading
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context

from qtlib.runs.record import guard

GRACE_S = 1.0  # for one that was killed, to be gone


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hired(processes: int) -> ProcessPoolExecutor:
    """So many, each begun when there is work for it."""
    # never a fork: who asks may be a kernel, with threads that a fork would leave in the middle of things
    return ProcessPoolExecutor(processes, get_context("spawn"), _bound, (os.getpid(),))


def let_go(executor: Executor) -> None:
    """Whatever they are at: they write nothing, so there is nothing to wait for."""
    there = list((getattr(executor, "_processes", None) or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in there:
        with suppress(ProcessLookupError, ValueError):
            process.kill()
    for process in there:
        process.join(GRACE_S)


def _bound(parent: int) -> None:
    """The first thing a worker does: it goes when `parent` goes, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        guard.wait_for_end(parent)
        os._exit(guard.ORPHANED)

    threading.Thread(target=watch, name="bound", daemon=True).start()
