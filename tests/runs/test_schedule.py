"""A schedule runs each job once for each time it was due, whatever restarts, and says what it missed."""

import json
import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from a_receiver import a_receiver
from apscheduler.schedulers.background import BackgroundScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import alone, until
from sqlalchemy import create_engine
from typer.testing import CliRunner

from qtlib.cli import app
from qtlib.domain.events import Filled, StatusSet, TradingStatus
from qtlib.domain.learned import Learning, RetrainBegun, RetrainEnded, RetrainOutcome
from qtlib.domain.state import State
from qtlib.journal import Held, Journal
from qtlib.params import Params, SettingsError, resolve
from qtlib.runs.clock.firings import CUT_OFF, DONE, FAILED, MISSED, REFUSED, SKIPPED, Firings
from qtlib.runs.clock.schedule import Schedule, location, scheduling
from qtlib.runs.clock.timetable import JOBS, Job
from qtlib.runs.record.folder import journal_location

NOW = datetime(2026, 7, 1, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAILY = NOW - 10 * MINUTE  # when the report of that day was due
CODE = "import sys, time, pathlib; pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2] + '\\n'); exec(sys.argv[3])"


class Clock:
    """A schedule of one job over a folder, at a time that the test sets; what it ran stands in `ran`."""

    def __init__(self, root, does="pass", words=()):
        self.root, self.does, self.now, self.heard = root, does, NOW, []
        self.resolved = resolve(overrides=["schedule.alerts=null", "schedule.retrain=null", *words])

    def schedule(self):
        job = Job("report", "a test", lambda due: [str(self.root / "ran"), f"{due:%d %H:%M}", self.does])
        program = (sys.executable, "-c", CODE)
        return Schedule(
            self.resolved, self.root, jobs=(job,), program=program, on_line=self.heard.append, now=lambda: self.now
        )

    @property
    def ran(self):
        path = self.root / "ran"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def outcomes(schedule):
    return [(f"{f.due:%d %H:%M}", f.outcome) for f in schedule.firings.all()]


def test_a_time_is_run_once_however_often_it_is_due_and_whoever_starts_anew(clock):
    for _ in range(2):
        schedule = clock.schedule()
        for _ in range(2):
            schedule.fire("report", [DAILY])
        schedule.close()
    assert clock.ran == ["01 00:20"]
    assert outcomes(schedule) == [("01 00:20", DONE)]


def test_of_what_was_missed_the_last_is_made_up_for_and_the_rest_is_said_and_told(clock, monkeypatch):
    with a_receiver() as receiver:
        monkeypatch.setenv("QT_ALERT_URLS", receiver.url)
        schedule = clock.schedule()
        schedule.fire("report", [DAILY - timedelta(days=n) for n in (2, 1, 0)])
        clock.now = NOW + timedelta(days=1, hours=2)
        schedule.fire("report", [DAILY + timedelta(days=1)])  # too late
        schedule.close()
    assert clock.ran == ["01 00:20"]
    assert outcomes(schedule) == [("29 00:20", MISSED), ("30 00:20", MISSED), ("01 00:20", DONE), ("02 00:20", MISSED)]
    assert clock.heard[0] == "report was missed 2 times, the first at 2026-06-29 00:20 UTC: nobody kept the clock"
    assert receiver.lines == [f"• {clock.heard[0]}"]  # the second telling would come too soon


@pytest.mark.parametrize(
    ("does", "outcome", "words"),
    [
        ("print('no journal'); sys.exit(2)", FAILED, "no journal"),
        ("sys.exit(3)", REFUSED, ""),
        ("print('key canary-4711'); sys.exit(1)", FAILED, "key ***"),
    ],
)
def test_how_a_job_ended_is_written_down_with_its_last_words(clock, monkeypatch, does, outcome, words):
    monkeypatch.setenv("QT_API_KEY", "canary-4711")
    clock.does = does
    schedule = clock.schedule()
    schedule.fire("report", [DAILY])
    last = schedule.firings.last()["report"]
    assert (last.outcome, last.words) == (outcome, words)


def test_what_still_runs_is_not_begun_again_even_by_a_schedule_that_comes_after(clock):
    clock.does = "time.sleep(60)"
    first = clock.schedule()
    threading.Thread(target=first.fire, args=("report", [DAILY]), daemon=True).start()
    until(lambda: clock.ran)
    clock.does, second = "pass", clock.schedule()
    assert [f.job for f in second.firings.left_open(NOW)] == ["report"]
    second.fire("report", [DAILY + MINUTE])
    assert [outcome for _, outcome in outcomes(second)] == [CUT_OFF, SKIPPED]
    begun = time.monotonic()
    first.close()
    assert time.monotonic() - begun < alone(10)
    second.fire("report", [DAILY + 2 * MINUTE])
    assert clock.ran == ["01 00:20", "01 00:22"]


def test_clocks_go_on_where_they_stood_so_that_a_restart_neither_repeats_nor_forgets(tmp_path):
    now = datetime.now(UTC)
    away = now + timedelta(hours=12)  # so that no time of its own is near, whenever this test runs
    clock = Clock(tmp_path, words=[f"schedule.report={away.minute} {away.hour} * * *"])
    clock.now = now
    schedule = clock.schedule()
    schedule.start()
    (coming,) = schedule.coming()
    assert (coming.next.hour, coming.next.minute) == (away.hour, away.minute)
    schedule.close()
    due = (clock.now - 3 * MINUTE).replace(second=0, microsecond=0)
    for _ in range(2):  # as if it had been off at that time; then anew, as if it had died before it moved the clock on
        _turned_back(clock, due)
        schedule = clock.schedule()
        assert schedule.coming()[0].next == due
        schedule.start()
        until(lambda: schedule.firings.last() and schedule.firings.last()["report"].outcome)  # noqa: B023
        until(lambda: schedule.coming()[0].next > clock.now)  # noqa: B023
        schedule.close()
    assert clock.ran == [f"{due:%d %H:%M}"]


def test_a_clock_that_is_set_otherwise_or_switched_off_is_believed(clock):
    schedule = clock.schedule()
    schedule.start()
    schedule.close()
    _turned_back(clock, NOW - MINUTE)
    for words, minute in ((["schedule.report=7 * * * *"], 7), (["schedule.report=null"], None)):
        clock = Clock(clock.root, words=words)
        schedule = clock.schedule()
        schedule.start()
        (coming,) = schedule.coming()
        assert (coming.next.minute if coming.next else None) == minute
        schedule.close()
    assert clock.ran == []
    with pytest.raises(SettingsError, match=r"schedule.report = '99 \* \* \* \*' is no clock"):
        Clock(clock.root, words=["schedule.report=99 * * * *"]).schedule()


def test_what_is_due_while_it_still_runs_is_skipped_and_written_down(clock):
    clock.now, clock.does = datetime.now(UTC), "time.sleep(60)"
    schedule = clock.schedule()
    schedule.start()
    job, executor = schedule._scheduler.get_job("report"), schedule._scheduler._lookup_executor("default")
    due = clock.now.replace(second=0, microsecond=0)
    executor.submit_job(job, [due - MINUTE])
    until(lambda: clock.ran)
    executor.submit_job(job, [due])
    until(lambda: SKIPPED in dict(outcomes(schedule)).values())
    schedule.close()


def test_one_process_an_account_keeps_the_clocks(clock):
    enough, params = threading.Event(), clock.resolved.params
    keeper = threading.Thread(target=scheduling, args=(clock.schedule(), enough, clock.root, params))
    keeper.start()
    lock = clock.root / "journal/main.schedule.lock"
    until(lambda: lock.exists() and lock.read_text().strip() == str(os.getpid()))
    with pytest.raises(Held, match="schedule of account 'main'"):
        scheduling(clock.schedule(), enough, clock.root, params)
    enough.set()
    keeper.join(10)
    assert not keeper.is_alive()


instants = st.integers(0, 5).map(lambda n: NOW + n * MINUTE)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("ab"), instants), max_size=30))
def test_whoever_claims_first_has_it_for_ever(claims):
    firings, had = Firings(create_engine("sqlite://")), set()
    for job, due in claims:
        assert firings.claim(job, due, NOW) == ((job, due) not in had)
        had.add((job, due))
    assert {(f.job, f.due) for f in firings.all()} == had
    assert {name: f.due for name, f in firings.last().items()} == {
        name: max(due for job, due in had if job == name) for name in {job for job, _ in had}
    }
    firings.forget(NOW + 3 * MINUTE)
    assert all(f.due >= NOW + 3 * MINUTE for f in firings.all())


def test_every_job_of_the_timetable_has_its_clock_and_is_a_command(tmp_path, monkeypatch):
    assert {job.name for job in JOBS} == set(type(Params().schedule).model_fields) - {"late_s"}
    for job in JOBS:
        words = job.words(NOW)
        options = [word for word in words if word.startswith("--")]
        command = [word for word in words if word.isalpha()]
        help_text = CliRunner().invoke(app, [*command, "--help"])
        assert help_text.exit_code == 0
        assert all(option in help_text.output for option in [*options, "--params"])
    monkeypatch.setenv("QT_RUNS_DIR", str(tmp_path))
    answer = CliRunner().invoke(app, ["schedule", "--show", "--json"])
    assert [row["job"] for row in json.loads(answer.stdout)["jobs"]] == [job.name for job in JOBS]


# --- a retrain without a session --------------------------------------------------------------------------


@pytest.fixture
def unattended(tmp_path, monkeypatch):
    """Asks for a retrain if one is due of the account in `tmp_path`; what retrains is a process that says so."""
    from qtlib.runs.believing import unattended

    said = json.dumps(
        {"status": "ok", "run_id": "r1", "model": {"outcome": "refused", "words": "no edge", "version": "m1"}}
    )
    command = [sys.executable, "-c", f"print({said!r})"]
    monkeypatch.setattr("qtlib.runs.believing.retrainer.Retrainer.command", lambda self, until: command)
    resolved = resolve(overrides=["strategy.name=learned", "learning.min_samples=3"])
    return lambda: unattended.retrain_if_due(resolved, tmp_path)


def a_journal(root, samples):
    """Of an account with so many closed trades."""
    journal = Journal(journal_location("main", root), "main")
    state = journal.absorb(State(), [StatusSet(NOW, TradingStatus.ACTIVE, "begun")])
    counted = state.but(learning=Learning(enabled=True, closed=samples, first=NOW), ts=NOW)
    journal._folded = counted  # as if so many had been closed: a snapshot is what a start reads
    journal.keep(counted)
    return journal


def test_without_a_session_a_retrain_that_is_due_runs_once_and_the_journal_tells_of_it(tmp_path, unattended):
    assert unattended()["outcome"] == "not due"  # there is no journal yet
    a_journal(tmp_path, samples=3).close()
    assert unattended() == {
        "outcome": "refused",
        "words": "no edge",
        "number": 1,
        "version": "m1",
        "run_id": "r1",
    }
    assert unattended()["outcome"] == "not due"
    with Journal(journal_location("main", tmp_path), "main") as journal:
        told = [e for _, e in journal.events() if isinstance(e, RetrainBegun | RetrainEnded)]
        assert [type(e) for e in told] == [RetrainBegun, RetrainEnded]
        assert told[1].outcome is RetrainOutcome.REFUSED
        assert journal.state().learning.samples == 0


def test_where_a_session_is_there_it_is_left_to_it(tmp_path, unattended):
    with a_journal(tmp_path, samples=3) as journal, journal.lease("a session"):
        assert unattended()["outcome"] == "left to the session"
        assert not [e for _, e in journal.events() if isinstance(e, RetrainBegun | Filled)]


# --- below ------------------------------------------------------------------------------------------------


def _turned_back(clock, due):
    """What is on disk says that the report runs next at `due`."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore

    engine = create_engine(f"sqlite:///{location(clock.resolved.params, clock.root)}")
    store = SQLAlchemyJobStore(engine=engine)
    store.start(BackgroundScheduler(timezone=UTC), "default")
    (job,) = store.get_all_jobs()
    job._modify(next_run_time=due)
    store.update_job(job)
    engine.dispose()
