"""The lease: one writer per account, and a number that grows with every new holder.

A lease is had until a moment, and renewed before it. Whoever finds it expired, or its process dead on this very
machine, takes it over with a higher fencing number; every write names its writer's number, so the old holder,
if it wakes up again, finds its writes refused. Machines that share a journal keep their clocks in step.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psutil

from qtlib.journal.errors import Fenced, Held

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has, or last had, the lease of an account."""

    owner: str
    fence: int  # 1 for the first holder ever, and one more for each that follows
    until: datetime
    host: str
    pid: int
    started_s: float  # when that process started, since 1970: a pid is used again, a pid and its start are not
    machine: str  # names this boot and its space of pids: only inside it does a pid say anything

    def __str__(self) -> str:
        me = " (this very process)" if _is_me(self) else ""
        return f"{self.owner!r}, process {self.pid}{me} on {self.host}, until {self.until:%Y-%m-%d %H:%M:%S} UTC"

    def gone(self, now: datetime) -> bool:
        """Whether the lease is free at `now`: given back, run out, or its process has died on this machine."""
        return self.until <= now or (self.machine == _machine() and not _runs(self.pid, self.started_s))


class Shelf(Protocol):
    """Where the one holder of an account is written."""

    def holder(self) -> Holder | None: ...

    def swap(self, old: Holder | None, new: Holder) -> bool:
        """Write `new` if `old` is still what is written; whether it was."""


class Lease:
    """The right to write for an account. A context manager: leaving it gives the lease back.

    `renew` is the heartbeat: call it as often as you like, it writes when a third of the time has gone.
    """

    def __init__(self, shelf: Shelf, what: str, owner: str, ttl_s: float, now: Clock):
        self._shelf, self._what, self._now = shelf, what, now
        self._ttl = timedelta(seconds=ttl_s)
        found = shelf.holder()
        if found is not None and not found.gone(now()):
            raise Held(f"{what} is held by {found}: stop that session, or wait")
        self._mine = _me(owner, fence=found.fence + 1 if found else 1, until=now() + self._ttl)
        if not shelf.swap(found, self._mine):
            raise Held(f"{what} was taken this very moment, by {shelf.holder()}: stop that session, or wait")
        self.fence = self._mine.fence  # 0 once it is given back

    @property
    def until(self) -> datetime:
        return self._mine.until

    @property
    def owner(self) -> str:
        return self._mine.owner

    def renew(self) -> None:
        """Have the lease for its full time again; `Fenced` if somebody else has it by now."""
        now = self._now()
        if self._mine.until - now <= self._ttl * 2 / 3:
            self._put(now + self._ttl)

    def release(self) -> None:
        """Give the lease back; if somebody else has it by now, there is nothing to give."""
        if self.fence:
            self._shelf.swap(self._mine, replace(self._mine, until=self._now()))
            self.fence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()

    def _put(self, until: datetime) -> None:
        renewed = replace(self._mine, until=until)
        if not self.fence or not self._shelf.swap(self._mine, renewed):
            raise Fenced(
                f"{self._what}: {self.owner!r} with fencing number {self._mine.fence} lost its lease, which ran until "
                f"{self.until:%H:%M:%S} UTC, to {self._shelf.holder()}: end this session; starting again recovers"
            )
        self._mine = renewed


def _me(owner: str, fence: int, until: datetime) -> Holder:
    started_s = psutil.Process().create_time()
    return Holder(owner, fence, until, socket.gethostname(), os.getpid(), started_s, _machine())


def _is_me(holder: Holder) -> bool:
    return holder.machine == _machine() and holder.pid == os.getpid()


def _runs(pid: int, started_s: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started_s) < 2  # the system's idea of when it booted drifts
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: no containers to tell apart either
        return f"{socket.gethostname()}/{psutil.boot_time():.0f}"
