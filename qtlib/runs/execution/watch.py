"""What a runner watches while a notebook executes: signs of life, signals, and requests to end.

A thread beside papermill passes on log and progress, and has the kernel killed that hangs or outstays its grace.
Silence is counted only while the watcher itself was awake: a laptop that slept is not a kernel that hung.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from qtlib.runs.record import atomic
from qtlib.runs.record.folder import RunFolder
from qtlib.runs.record.guard import ALIVE
from qtlib.runs.record.log import Tail

POLL_S = 0.1
STILL_S = 15.0  # a process may stand still that long: the system reads a library from a cold disk, say
SECOND_GRACE_S = 2.0  # after a second Ctrl-C, or where nothing has begun that needs an orderly end
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Line = Callable[[Mapping[str, Any]], None]
Hear = Callable[[int, FrameType | None], None]


@dataclass(slots=True)
class Silence:
    """How long a sign of life has been the same, counted while somebody was awake to look."""

    lasted_s: float = 0.0
    _sign: object = None

    def after(self, sign: object, awake_s: float) -> float:
        self.lasted_s = self.lasted_s + awake_s if sign == self._sign else 0.0
        self._sign = sign
        return self.lasted_s


class Awake:
    """How much time has passed since it was last asked, as far as this process could use it."""

    def __init__(self) -> None:
        self._before = time.monotonic()

    def passed_s(self) -> float:
        now = time.monotonic()
        passed, self._before = min(now - self._before, 5 * POLL_S), now
        return passed


@dataclass(slots=True)
class Watch:
    """A thread beside papermill; `kill` ends the kernel at once, and says whether there was one."""

    folder: RunFolder
    hung_after_s: float
    grace_s: float
    kill: Callable[[], bool]
    on_line: Line
    on_beat: Line
    signals: list[int] = field(default_factory=list)
    killed: str | None = None  # why the kernel was killed here
    asked_s: float | None = None  # since the end was asked for
    beaten: bool = False  # the loop has given signs of life
    _last_beat: float | None = None
    _resting: bool = True
    _beats: Silence = field(default_factory=Silence)
    _lives: Silence = field(default_factory=Silence)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()

    def hear(self, signum: int, frame: FrameType | None = None) -> None:
        """A signal came: ask the loop to stop; the second one means it."""
        self.signals.append(signum)
        name = signal.Signals(signum).name
        if len(self.signals) == 1:
            self.asked_s = 0.0
            with suppress(OSError):  # a full disk must not keep us from stopping: the grace runs out
                ask_to_stop(self.folder, name)

    def _patience_s(self) -> float:
        """How long an end may take: little, once it was asked for twice, or where nothing that trades has begun."""
        begun = self.beaten or self.folder.kind == "live"
        return self.grace_s if begun and len(self.signals) < 2 else min(self.grace_s, SECOND_GRACE_S)

    def _watch(self) -> None:
        tail, awake = Tail(self.folder / "log.jsonl"), Awake()
        while not self._done.wait(POLL_S):
            self._look(awake.passed_s())
            pass_on(tail, self.on_line)
        pass_on(tail, self.on_line)

    def _look(self, awake_s: float) -> None:
        beat = atomic.read_json(self.folder / "heartbeat.json") or {}
        if beat and beat.get("ts") != self._last_beat:
            self._last_beat, self._resting = beat.get("ts"), bool(beat.get("resting"))
            self.beaten = True
            tell(self.on_beat, beat)
        silent_s = 0.0 if self._resting else self._beats.after(self._last_beat, awake_s)
        still_s = self._lives.after(self._sign_of_process(), awake_s)
        if self.asked_s is not None:
            self.asked_s += awake_s
        elif not self._resting and (self.folder / "stop").exists():
            self.asked_s = 0.0  # asked by hand, or by a supervisor: it binds the loop, and not the report after it
        if self.killed is not None:
            return
        if self.asked_s is not None and self.asked_s > self._patience_s() and (self.signals or not self._resting):
            self._kill(f"killed after a grace of {self._patience_s():g} s")
        elif silent_s > self.hung_after_s or still_s > max(self.hung_after_s, STILL_S):
            self._kill(f"no sign of life for {max(silent_s, still_s):.0f} s: the kernel hung, and was killed")

    def _sign_of_process(self) -> object:
        """What changes each second while a kernel's process runs, whatever it does; None before it begins.

        Only a session's is asked for: elsewhere a cell may compute for long in a single call.
        """
        if self.folder.kind != "live":
            return time.monotonic()
        try:
            return (self.folder / ALIVE).stat().st_mtime_ns
        except OSError:
            return time.monotonic()

    def _kill(self, why: str) -> None:
        if self.kill():  # else there is no kernel yet, and we look again
            self.killed = why


def ask_to_stop(folder: RunFolder, why: str) -> None:
    """Ask the run in `folder` to end in order."""
    atomic.write_json(folder / "stop", {"why": why, "ts": time.time()})


def pass_on(tail: Tail, listener: Line) -> None:
    for line in tail.lines():
        tell(listener, line)


def tell(listener: Line, what: Mapping[str, Any]) -> None:
    with suppress(OSError, ValueError):  # a terminal that was closed is no reason to stop watching
        listener(what)


@contextmanager
def hearing(hear: Hear) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP are heard by `hear` inside."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    before = {s: signal.signal(s, hear) for s in ENDING_SIGNALS}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
