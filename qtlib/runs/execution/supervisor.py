"""A session that goes on: segment after segment of one notebook, each in a process, a kernel and a folder of its own.

Whatever ends a segment, the next one begins where the journal stands; starting is recovering. It is ended in order by
a signal, by its last bar, or at the daily roll-over, after which a fresh kernel goes on. What died is started again
with a back-off, unless starting again cannot mend it: wrong settings, a refusal, an account that another session
holds. The supervisor trades nothing and loads nothing that trades. When it dies its segment ends in order.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from qtlib.domain.events import BarClosed
from qtlib.journal import Journal
from qtlib.params import Resolved, validate
from qtlib.runs.alerting.alerts import Alerts, alerts, watching
from qtlib.runs.execution.children import SegmentProcess, adopt_orphans, left_behind, only_one
from qtlib.runs.execution.job import Job
from qtlib.runs.execution.policy import MEMORY, Restarts, next_check, next_rollover, why_roll_over
from qtlib.runs.execution.watch import POLL_S, SECOND_GRACE_S, Awake, Line, Silence, ask_to_stop, hearing, pass_on, tell
from qtlib.runs.record import atomic
from qtlib.runs.record.ends import Outcome, sentence
from qtlib.runs.record.folder import FAILED, INTERRUPTED, journal_location, runs_root
from qtlib.runs.record.log import Log, Tail
from qtlib.runs.session.venue import URL, VenueProcess
from qtlib.runs.wiring import bars_to_trade

FAILED_CODE = 1  # of those that starting again may mend
LOADING_S = 120.0  # a runner says that it lives once its rooms are loaded, which a cold disk can make long
ENDING_S = 5.0  # beyond a kernel's own grace


def supervise(
    notebook: Path,
    resolved: Resolved,
    *,
    root: Path | None = None,
    venue: bool = False,
    restarts: Restarts | None = None,
    on_line: Line = lambda line: None,
    on_beat: Line = lambda beat: None,
) -> Outcome:
    """Run `notebook` as a session until it is over; how its last segment ended.

    With `venue` the served venue of these settings stands beside it, and is started again as often as a segment.
    `on_line` hears each line of each segment's log and our own, `on_beat` each sign of life.
    """
    root = root or runs_root()
    account = resolved.params.session.account
    adopt_orphans()
    with only_one(root / "journal" / f"{account}.lock", f"the account {account!r}"):
        restarts = restarts or Restarts()
        beside = _VenueBeside(VenueProcess(resolved.params, root), replace(restarts)) if venue else None
        session = _Session(notebook, resolved, root, beside, restarts, on_line, on_beat)
        with watching(session.alerts):
            try:
                with hearing(session.hear):
                    return session.run()
            finally:
                session.close()


@dataclass(slots=True)
class _VenueBeside:
    """The venue of a session, kept up."""

    process: VenueProcess
    restarts: Restarts
    due: float | None = None  # when it is started again [monotonic s]

    def keep_up(self, now: float) -> str | None:
        """See that it runs; what there is to say about it."""
        if self.process.alive():
            return None
        if self.due is None:
            pause_s = self.restarts.pause_s(now)
            if pause_s is None:
                raise _VenueLost(f"the venue died {self.restarts}: {self.process.last_words() or 'without a word'}")
            self.due = now + pause_s
            return f"the venue died; starting it again in {pause_s:g} s ({self.restarts}), at {self.process.url}"
        if now >= self.due:
            self.due = None
            self.process.start()
        return None


class _VenueLost(Exception):
    """It cannot be kept up."""


class _Session:
    def __init__(
        self,
        notebook: Path,
        resolved: Resolved,
        root: Path,
        venue: _VenueBeside | None,
        restarts: Restarts,
        on_line: Line,
        on_beat: Line,
    ) -> None:
        self._notebook, self._resolved, self._root, self._venue = notebook, resolved, root, venue
        self._settings = resolved.params.session
        self._on_line, self._on_beat = (lambda line: None if "ended" in line else on_line(line)), on_beat
        self._signals: list[int] = []
        self._segment = SegmentProcess()
        self._restarts = restarts
        self._enough = ""  # why the session should not go on after this segment
        self._log = Log(root / "journal" / f"{self._settings.account}.log.jsonl")
        self.alerts: Alerts | None = alerts(resolved.params, root, self._log.warning)  # where people are to be told
        self._begun = time.monotonic()
        self._bars_in_all = bars_to_trade(resolved.params)  # they do not begin anew with each segment
        self._journal_stood = self._journal_last()

    def hear(self, signum: int, frame: FrameType | None = None) -> None:
        """A signal came: it ends the session. The segment hears it too, the second one as well."""
        self._signals.append(signum)
        self._segment.signal(signum)

    def run(self) -> Outcome:
        """Segment after segment, until one is the last."""
        if self._venue:
            self._venue.process.start()
            self._venue.process.wait_until_ready()
        bars_left = self._bars_in_all
        while True:
            outcome, asked = self._live_through(self._job(bars_left))
            bars_left = self._bars_left()
            pause_s = self._pause_s(outcome, asked, bars_left)
            if pause_s is None:
                last = Outcome(outcome.folder, outcome.record, FAILED_CODE) if self._enough else outcome
                if last.exit_code and not self._signals:
                    self._alert("over", f"The session is over, and nobody starts it again: {_why(last)}")
                return last
            self._segment = SegmentProcess()  # it loads while we wait
            self._wait(pause_s)
            if self._signals:
                return Outcome(outcome.folder, outcome.record, 128 + self._signals[0])

    def close(self) -> None:
        """Leave no process behind."""
        self._segment.end()
        self._see_off()
        if self._venue:
            self._venue.process.end()
        self._log.close()

    # --- one segment --------------------------------------------------------------------------------------

    def _live_through(self, job: Job) -> tuple[Outcome, str | None]:
        """Run one segment to its end; how it ended, and why we asked it to, if we did."""
        segment, awake, silence = self._segment, Awake(), Silence()
        segment.begin(job)
        rolls_over = next_rollover(datetime.now(UTC), None if self._lockstep else self._settings.rollover)
        asked: str | None = None
        tail: Tail | None = None
        beat: dict[str, Any] = {}
        while not segment.ended():
            time.sleep(POLL_S)
            silent_s = silence.after(segment.alive_at, awake.passed_s())
            if silent_s > (LOADING_S if segment.alive_at is None else self._settings.hung_after_s):
                self._trouble("hung", f"no sign of life from the runner for {silent_s:.0f} s: it hung, and was killed")
                segment.end()
                break
            self._keep_venue_up()
            if segment.folder is None:
                continue
            tail = tail or Tail(segment.folder / "log.jsonl")
            pass_on(tail, self._on_line)
            beat = self._heard(segment, beat)
            due = rolls_over is not None and datetime.now(UTC) >= rolls_over
            if asked is None and (why := self._enough or why_roll_over(beat, self._settings, due)):
                asked = self._asked(segment, why)
        how = segment.end()
        self._see_off()
        if tail:
            pass_on(tail, self._on_line)
        return _outcome(segment, how, self._signals), asked

    def _heard(self, segment: SegmentProcess, last: dict[str, Any]) -> dict[str, Any]:
        """The newest sign of life of the loop, passed on once."""
        assert segment.folder is not None
        beat = atomic.read_json(segment.folder / "heartbeat.json") or last
        if beat.get("ts") != last.get("ts"):
            tell(self._on_beat, beat)
        return beat

    def _asked(self, segment: SegmentProcess, why: str) -> str | None:
        assert segment.folder is not None
        try:
            ask_to_stop(segment.folder, why)
        except OSError:  # a full disk: it is asked again
            return None
        self._say("info", f"{why}: the segment ends in order")
        return why

    def _keep_venue_up(self) -> None:
        if self._venue is None or self._enough:
            return
        try:
            if words := self._venue.keep_up(time.monotonic()):
                self._trouble("venue", words)
        except _VenueLost as lost:
            self._enough = str(lost)
            self._trouble("venue lost", f"{lost}: the session ends")

    def _see_off(self) -> None:
        """Wait for what the segment left behind, which ends in order by itself; what stays too long is killed."""
        venue = self._venue.process.pid if self._venue else None
        until = time.monotonic() + self._settings.grace_s + ENDING_S
        while left := left_behind({self._segment.pid, *([venue] if venue else [])}):
            _, stay = psutil.wait_procs(left, timeout=POLL_S)
            hurried = len(self._signals) > 1 and until - time.monotonic() > SECOND_GRACE_S
            until = time.monotonic() + SECOND_GRACE_S if hurried else until
            if stay and time.monotonic() > until:
                self._trouble("outstayed", f"process {stay[0].pid} outstayed its grace, and was killed")
                for process in stay:
                    process.kill()

    # --- between segments ---------------------------------------------------------------------------------

    def _pause_s(self, outcome: Outcome, asked: str | None, bars_left: int | None) -> float | None:
        """How long until the next segment begins; None: that was the last one."""
        settings, now = self._settings, time.monotonic()
        if self._enough or settings.once or outcome.exit_code not in (0, FAILED_CODE):
            return None
        if self._signals and (outcome.exit_code or not (asked or self._scheduled)):
            return None  # it heard them, or was over before it could
        if outcome.exit_code == 0:
            rolled_over = asked is not None and outcome.record.get("stopped") == asked
            told_to = outcome.record.get("stopped") is not None and not rolled_over  # by a command, or by hand
            if bars_left == 0 or told_to or not (rolled_over or self._scheduled) or self._no_more_bars(outcome):
                return None
            if not rolled_over:
                return next_check(self._begun, now, settings.check_interval_s) - now
            if MEMORY not in str(asked):
                return 0.0
        run = outcome.folder.run_id if outcome.folder else "the segment"
        why = str(asked) if outcome.exit_code == 0 else _why(outcome)
        pause_s = self._restarts.pause_s(now)
        if pause_s is None:
            self._trouble("gave up", f"{run}: {why}; {self._restarts.most} restarts did not help, so that is the end")
            return None
        self._trouble("died", f"{run}: {why}; starting again in {pause_s:g} s ({self._restarts})")
        return pause_s

    @property
    def _lockstep(self) -> bool:
        """The market waits for us, and its days are not those of our clock."""
        return self._resolved.params.mode == "sim" and self._resolved.params.venue.speed is None

    @property
    def _scheduled(self) -> bool:
        return not self._settings.event_driven

    def _no_more_bars(self, outcome: Outcome) -> bool:
        """Bars on disk come to an end: a pass that found none is the last."""
        found = (outcome.record.get("metrics") or {}).get("bars")
        return self._scheduled and self._resolved.params.data.source == "files" and not found

    def _wait(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0 and not self._signals:
            self._keep_venue_up()
            time.sleep(min(POLL_S, left_s))

    def _job(self, bars_left: int | None) -> Job:
        """The next segment: the session's own settings, with as many bars as it has left."""
        given: dict[str, Any] = {}
        if bars_left is not None and bars_left != self._bars_in_all:
            given["max_bars"] = bars_left
        if self._scheduled and not self._settings.once:
            given |= {"once": True, "max_bars": min(1, 1 if bars_left is None else bars_left)}
        plain = self._resolved.params.plain()
        plain["session"] |= given
        overrides = {**self._resolved.overrides, **{f"session.{name}": value for name, value in given.items()}}
        env = {URL: self._venue.process.url} if self._venue else {}
        params = validate(plain).plain()
        return Job(
            "live", str(self._notebook), str(self._root), params, overrides, self._resolved.file, env, os.getpid()
        )

    # --- what is left to trade ----------------------------------------------------------------------------

    def _bars_left(self) -> int | None:
        """Counted in the journal: it is exact, whenever a segment died."""
        where = self._journal_location()
        if self._bars_in_all is None or where is None:
            return self._bars_in_all
        with Journal(where, self._settings.account) as journal:
            traded = sum(isinstance(event, BarClosed) for _, event in journal.events(after=self._journal_stood))
        return max(0, self._bars_in_all - traded)

    def _journal_last(self) -> int:
        where = self._journal_location()
        if where is None:
            return 0
        with Journal(where, self._settings.account) as journal:
            return journal.last

    def _journal_location(self) -> str | Path | None:
        where = journal_location(self._settings.account, self._root)
        return where if isinstance(where, str) or where.exists() else None

    def _trouble(self, topic: str, words: str) -> None:
        self._say("error", words)
        self._alert(topic, words)

    def _alert(self, topic: str, words: str) -> None:
        if self.alerts is not None:
            self.alerts.tell(words, topic)

    def _say(self, level: str, words: str) -> None:
        self._log.write(level, words)
        ts = datetime.now(UTC).isoformat(timespec="milliseconds")
        tell(self._on_line, {"ts": ts, "level": "warning" if level == "error" else level, "msg": words})


def _why(last: Outcome) -> str:
    return sentence(str(last.record.get("status")), last.record.get("error"))


def _outcome(segment: SegmentProcess, how: str, signals: Sequence[int]) -> Outcome:
    """What the segment said of its end; what can be seen of it, if it did not get to say anything."""
    if segment.told is not None:
        return Outcome(segment.folder, segment.told["record"], segment.told["exit_code"])
    record = segment.folder.record() if segment.folder else {}
    if signals and segment.folder is None:
        return Outcome(None, {"status": INTERRUPTED, "error": None}, 128 + signals[0])  # nothing had begun
    error = {"type": "Died", "message": how, "cell": None}
    return Outcome(segment.folder, {"status": FAILED, **record, "error": error}, FAILED_CODE)
