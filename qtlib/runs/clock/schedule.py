"""The schedule of an account: jobs of the timetable, run on their clocks as processes of their own, each time once.

APScheduler keeps the clocks, in a database beside the journal. Before a job runs, the very instant it was due is
written down there under a key that exists once, so that no restart and no second schedule runs it again; what was
missed while nobody kept the clock is written down too, and said. Of several missed times the last is run, if it is not
too long ago.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from apscheduler.executors.base import BaseExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import create_engine

from qtlib.params import Params, Resolved, SettingsError
from qtlib.runs.alerting.alerts import Alerts, alerts
from qtlib.runs.clock.firings import DONE, FAILED, MISSED, REFUSED, SKIPPED, Firing, Firings
from qtlib.runs.clock.timetable import JOBS, Job
from qtlib.runs.execution.children import only_one
from qtlib.runs.record.atomic import redact

QT = (sys.executable, "-m", "qtlib.cli")
KEPT = timedelta(days=90)  # of what was run
ENDING_S = 30.0  # for a job to end in order when the schedule does
_HOW = {0: DONE, 3: REFUSED, 4: SKIPPED}  # by a command's exit code; 4: a session sees to it


@dataclass(frozen=True, slots=True)
class Next:
    """When a job runs next, and how it went last."""

    job: str
    what: str
    clock: str | None  # as crontab writes it; None: it is off
    next: datetime | None
    idle: str  # why it does not run
    last: Firing | None


class Schedule:
    """Of one account, from `start` to `close`."""

    def __init__(
        self,
        resolved: Resolved,
        root: Path,
        *,
        jobs: Sequence[Job] = JOBS,
        program: Sequence[str] = QT,
        on_line: Callable[[str], None] = lambda line: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`on_line` hears what happens, in sentences. `program` is what the words of a job are given to."""
        self._params, self._root, self._jobs = resolved.params, root, {job.name: job for job in jobs}
        self._settings, self._program, self._on_line, self._now = _settings(resolved), program, on_line, now
        self._clocks = {job.name: clock_of(self._params, job.name) for job in jobs}
        (root / "journal").mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(f"sqlite:///{location(self._params, root)}")
        self.firings = Firings(self._engine)
        self._alerts: Alerts | None = alerts(self._params, root, on_line)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._closing = False
        self._scheduler = BackgroundScheduler(
            jobstores={"default": SQLAlchemyJobStore(engine=self._engine)},
            executors={"default": _Executor(self.fire)},
            job_defaults={"coalesce": False, "max_instances": 1_000, "misfire_grace_time": None},  # `fire` sees to that
            timezone=UTC,
        )

    def start(self) -> None:
        """Keep the clocks from now on. A clock that is as it was goes on from where it stood, and so misses nothing."""
        self.firings.forget(self._now() - KEPT)
        for left in self.firings.left_open(self._now()):
            self._on_line(f"{left.job}, due {left.due:%Y-%m-%d %H:%M} UTC: the schedule ended before it did")
        self._scheduler.start(paused=True)
        for name, trigger in self._clocks.items():
            job, idle = self._scheduler.get_job(name), self._jobs[name].idle(self._params)
            if trigger is None or idle:
                if job is not None:
                    job.remove()
            elif job is None or str(job.trigger) != str(trigger):
                self._scheduler.add_job(due, trigger, (name,), id=name, replace_existing=True)
        for job in self._scheduler.get_jobs():
            if job.id not in self._jobs:
                job.remove()
        self._scheduler.resume()

    def close(self) -> None:
        """Keep no clock any more; what runs is asked to end, and waited for."""
        self._closing = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        for child in list(self._children.values()):
            _end(child)
        for thread in threading.enumerate():
            if thread.name.startswith("job "):
                thread.join(ENDING_S)
        if self._alerts is not None:
            self._alerts.close()
        self._engine.dispose()

    def coming(self) -> list[Next]:
        """Every job: when it runs next, and how it went last. Also before `start`, and beside another schedule."""
        last, stored = self.firings.last(), self._stored()
        rows = []
        for name, job in self._jobs.items():
            trigger, idle = self._clocks[name], self._jobs[name].idle(self._params)
            runs_next = None if trigger is None or idle else stored.get(name) or _after(trigger, self._now())
            clock = getattr(self._params.schedule, name)
            rows.append(Next(name, job.what, clock, runs_next, idle, last.get(name)))
        return rows

    def fire(self, name: str, times: Sequence[datetime]) -> None:
        """Run the job of this name for the last of `times` at which it was due, once; say what was missed."""
        *missed, last = times
        late = self._now() - last > timedelta(seconds=self._params.schedule.late_s)
        missed += [last] if late else []
        if missed := [ts for ts in missed if self.firings.claim(name, ts, self._now())]:
            for ts in missed:
                self.firings.close(name, ts, self._now(), MISSED, "nobody kept the clock")
            first = f"{missed[0]:%Y-%m-%d %H:%M} UTC"
            many = f", the first at {first}" if len(missed) > 1 else f" at {first}"
            self._trouble(name, f"{name} was missed {len(missed)} times{many}: nobody kept the clock")
        if late or self._closing or not self.firings.claim(name, last, self._now()):
            return
        outcome, words = self._run(name, last)
        self.firings.close(name, last, self._now(), outcome, words)
        self._on_line(f"{name}, due {last:%Y-%m-%d %H:%M} UTC: {outcome}{f', {words}' if words else ''}")
        if outcome == FAILED and not self._closing:
            self._trouble(name, f"the scheduled {name} failed: {words}")

    # --- below ----------------------------------------------------------------------------------------------

    def _run(self, name: str, ts: datetime) -> tuple[str, str]:
        """How the job went, and why."""
        if (runs := self.firings.running(name, ts)) is not None:
            return SKIPPED, f"the one before still runs (process {runs})"
        log = self._root / "journal" / f"{self._params.session.account}.{name}.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                [*self._program, *self._jobs[name].words(ts), *self._settings],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | {"QT_RUNS_DIR": str(self._root)},
                start_new_session=True,  # Ctrl-C is ours, and we pass it on
            )
        self._children[name] = child
        self.firings.runs_as(name, ts, child.pid, psutil.Process(child.pid).create_time())
        code = child.wait()
        del self._children[name]
        said = [redact(line.strip()) for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return _HOW.get(code, FAILED), "" if code == 0 or not said else said[-1][:400]

    def _trouble(self, name: str, words: str) -> None:
        self._on_line(words)
        if self._alerts is not None:
            self._alerts.tell(words, f"schedule {name}")
            self._alerts.look()

    def _stored(self) -> Mapping[str, datetime]:
        """When each job runs next, as the database has it."""
        if self._scheduler.running:
            return {job.id: job.next_run_time for job in self._scheduler.get_jobs()}
        store = SQLAlchemyJobStore(engine=self._engine)
        store.start(self._scheduler, "default")
        return {job.id: job.next_run_time for job in store.get_all_jobs()}


def due(name: str) -> str:
    """What the database remembers of a job: its name. What it does is looked up when it is due."""
    return name


def scheduling(schedule: Schedule, until: threading.Event, root: Path, params: Params) -> None:
    """Keep the clocks until told otherwise; one process an account does."""
    account = params.session.account
    with only_one(root / "journal" / f"{account}.schedule.lock", f"the schedule of account {account!r}"):
        schedule.start()
        try:
            while not until.wait(3_600.0):
                pass
        finally:
            schedule.close()


def clock_of(params: Params, name: str) -> CronTrigger | None:
    """The clock of a job; None: it is off."""
    clock = getattr(params.schedule, name)
    if clock is None:
        return None
    try:
        return CronTrigger.from_crontab(clock, UTC)
    except ValueError as why:
        raise SettingsError(f"schedule.{name} = {clock!r} is no clock as crontab writes it: {why}") from None


def location(params: Params, root: Path) -> Path:
    """Where clocks and firings are kept."""
    return root / "journal" / f"{params.session.account}.schedule.sqlite"


class _Executor(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Fires each job in a thread of its own, with every time at which it was due."""

    def __init__(self, fire: Callable[[str, Sequence[datetime]], None]) -> None:
        super().__init__()
        self._fire = fire

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        threading.Thread(target=self._one, args=(job, run_times), name=f"job {job.id}", daemon=True).start()

    def _one(self, job: Any, run_times: list[datetime]) -> None:
        try:
            self._fire(job.id, run_times)
        finally:
            self._run_job_success(job.id, [])


def _settings(resolved: Resolved) -> list[str]:
    """The same settings for every command: the same file, made absolute, and what was said beside it."""
    words = [] if resolved.file is None else ["--params", str(Path(resolved.file).absolute())]
    said = [f"{path}={json.dumps(value, ensure_ascii=False)}" for path, value in resolved.overrides.items()]
    return words + [word for text in said for word in ("-p", text)]


def _after(trigger: CronTrigger, now: datetime) -> datetime | None:
    found: datetime | None = trigger.get_next_fire_time(None, now)
    return found


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
