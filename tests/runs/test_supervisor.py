"""A session goes on whatever becomes of its parts, ends in order when it is told to, and leaves no process."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from a_receiver import a_receiver
from death_drill import LOOP, a_notebook
from hypothesis import given
from hypothesis import strategies as st
from patience import until
from supervision import Session, alive, left_of

from qtlib.journal import Held
from qtlib.params import Params, resolve
from qtlib.runs.execution.children import SegmentProcess, only_one
from qtlib.runs.execution.job import Job
from qtlib.runs.execution.policy import MEMORY, Restarts, next_check, next_rollover, why_roll_over

FINISH = "run.finish(metrics={'trades': 3})"
SLOW = LOOP.replace("time.sleep(0.3)", "time.sleep(3)")  # to end in order takes it longer than the next takes to begin
QUICK = ["session.hung_after_s=4", "session.grace_s=15"]


@pytest.fixture
def root(tmp_path):
    """Where a session lives; afterwards no process may have anything to do with it."""
    yield tmp_path
    until(lambda: left_of(tmp_path) == [])


@pytest.fixture
def receiver():
    with a_receiver() as found:
        yield found


def test_whatever_dies_or_hangs_the_session_goes_on_until_it_is_told_to_end(root, receiver):
    told_to = {"QT_ALERT_URLS": receiver.url}
    session = Session(root, SLOW, FINISH, settings=QUICK, restarts=Restarts(first_s=0.01, most=9), environ=told_to)
    disturbances = [
        ("kernel", psutil.Process.kill, "the kernel died"),
        ("runner", psutil.Process.kill, "killed by SIGKILL"),
        ("kernel", psutil.Process.suspend, "the kernel hung"),
        ("runner", psutil.Process.suspend, "no sign of life from the runner"),
    ]
    for segment, (who, happens, told) in enumerate(disturbances):
        runner, kernel = session.ticking(segment)
        happens(runner if who == "runner" else kernel)
        until(lambda n=segment: len(session.folders) > n + 1)
        assert not alive(runner)
        assert not alive(kernel)  # before the next one began
        assert told in session.heard()
    session.ticking(len(disturbances))
    session.supervisor.send_signal(signal.SIGTERM)
    assert session.end() == 143
    records = [folder.record() for folder in session.folders]
    assert [r["status"] for r in records] == ["failed", "died", "failed", "died", "interrupted"]
    assert [r["previous_run"] for r in records] == [None, *(r["run_id"] for r in records[:-1])]
    assert {r["session_id"] for r in records} == {"main"}
    assert records[-1]["metrics"] == {"trades": 3}  # the cells after the loop ran too
    assert records[-1]["stopped"] == "SIGTERM"
    orphan = (session.folders[1] / "log.jsonl").read_text()
    assert [word in orphan for word in ("is gone", "stopping", "flat")] == [True] * 3  # its kernel ended in order
    said = [json.loads(line)["msg"] for line in (root / "runs/journal/main.log.jsonl").read_text().splitlines()]
    assert sum("starting again" in msg for msg in said) == 4
    assert sum("starting again" in line for line in receiver.lines) == 1  # people hear of it, and once is enough
    assert sum("no sign of life from the runner" in line for line in receiver.lines) == 1


def test_an_account_has_one_supervisor_and_a_session_whose_supervisor_was_killed_ends_in_order(root):
    session = Session(root, LOOP, FINISH)
    session.ticking(0)
    lock = root / "runs" / "journal" / "main.lock"
    with (
        pytest.raises(Held, match=f"supervised by process {session.supervisor.pid}"),
        only_one(lock, "the account 'main'"),
    ):
        pass
    session.supervisor.kill()
    assert session.end() == -signal.SIGKILL
    until(lambda: left_of(root) == [])
    [folder] = session.folders
    assert folder.record()["status"] == "interrupted"
    assert folder.record()["metrics"] == {"trades": 3}
    with only_one(lock, "the account 'main'"):
        pass  # free with its end


def test_a_session_rolls_over_into_a_fresh_kernel_and_folder(root):
    session = Session(root, LOOP, FINISH, settings=["session.rollover_bars=20", "data.bars=5000"])
    until(lambda: len(session.folders) > 1)
    session.supervisor.send_signal(signal.SIGINT)
    assert session.end() == 130
    first, second = (folder.record() for folder in session.folders[:2])
    assert first["status"] == "ok"
    assert first["stopped"].startswith("roll-over: ")
    assert "bars >= session.rollover_bars 20" in first["stopped"]
    assert second["previous_run"] == first["run_id"]
    assert first["pid"] != second["pid"]


def test_what_starting_again_does_not_mend_ends_the_session(root):
    raises = "raise ValueError('stop 101 must lie below entry 100')"
    session = Session(root / "again", raises, restarts=Restarts(first_s=0.01, most=1))
    refused = Session(root / "held", "from qtlib.journal import Held; raise Held('process 7 holds main')")
    assert session.end() == 1
    assert len(session.folders) == 2
    assert "starting again in 0.01 s (1 of 1 within 15 min)" in session.heard()
    assert "1 restarts did not help" in session.heard()
    assert refused.end() == 4
    assert len(refused.folders) == 1
    assert "starting again" not in refused.heard()


def test_a_scheduled_session_makes_a_pass_each_interval_in_a_fresh_process(root):
    settings = ["session.event_driven=false", "session.check_interval_s=1", "data.bars=50"]
    session = Session(
        root, "assert run.params.session.once and run.params.session.max_bars == 1", FINISH, settings=settings
    )
    until(lambda: sum(folder.record()["status"] == "ok" for folder in session.folders) >= 2)
    session.supervisor.send_signal(signal.SIGHUP)
    assert session.end() == 129
    assert len({folder.record()["pid"] for folder in session.folders}) == len(session.folders)


def test_a_signal_that_comes_while_the_venue_opens_is_not_forgotten():
    segment = SegmentProcess()
    segment.signal(signal.SIGTERM)  # there is nothing to end yet
    segment.begin(Job("live", "never.ipynb", "never", {}, {}, None, {}, os.getpid()))
    until(segment.ended)
    assert segment.end() == "the runner ended with 0"
    assert segment.told is None


def test_a_signal_that_comes_while_a_segment_loads_is_heard_by_its_own_name(root):
    segment, resolved = SegmentProcess(), resolve()
    notebook, runs = a_notebook(root / "session.ipynb", LOOP, FINISH), root / "runs"
    segment.begin(Job("live", str(notebook), str(runs), resolved.params.plain(), {}, None, {}, os.getpid()))
    segment.signal(signal.SIGINT)
    until(segment.ended)
    segment.end()
    assert (segment.told["exit_code"], segment.told["record"]["status"]) == (130, "interrupted")
    assert "SIGTERM" not in (segment.folder / "log.jsonl").read_text()


def test_a_second_signal_does_not_wait_until_a_segment_has_loaded(tmp_path):
    segment = SegmentProcess()
    segment.begin(Job("live", str(tmp_path / "n.ipynb"), str(tmp_path), {}, {}, None, {}, os.getpid()))
    segment.signal(signal.SIGINT)
    segment.signal(signal.SIGINT)
    until(segment.ended)
    assert segment.end() == "the runner was killed by SIGTERM"


# --- when -------------------------------------------------------------------------------------------------


@given(deaths=st.lists(st.floats(0.0, 3_000.0), min_size=1, max_size=60).map(sorted))
def test_restarts_are_spaced_wider_and_wider_and_never_more_than_most_within_the_window(deaths):
    restarts, allowed = Restarts(), []
    for n, now in enumerate(deaths):
        pause = restarts.pause_s(now)
        recent = [t for t in deaths[: n + 1] if now - t < restarts.within_s]
        assert pause is None or restarts.first_s <= pause <= restarts.longest_s
        if pause is None:
            assert len(recent) > restarts.most
        else:
            allowed.append(now)
    for start in allowed:
        assert sum(start <= t < start + restarts.within_s for t in allowed) <= restarts.most + 1


def test_a_back_off_doubles_to_its_longest_and_a_long_life_begins_it_anew():
    restarts = Restarts(most=8)
    assert [restarts.pause_s(n) for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert restarts.pause_s(8.0) is None
    assert restarts.pause_s(8.0 + restarts.within_s) == 1


@given(after=st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1)))  # noqa: DTZ001  hypothesis adds the zone
def test_the_next_roll_over_is_within_a_day_and_at_its_time(after):
    due = next_rollover(after, "00:05")
    assert timedelta(0) < due - after <= timedelta(days=1)
    assert (due.hour, due.minute, due.second) == (0, 5, 0)
    assert next_rollover(after, None) is None


@given(
    rss_mb=st.floats(0, 4_000), bars=st.integers(0, 500), most=st.none() | st.integers(1, 400), due=st.booleans(),
    resting=st.booleans(),
)  # fmt: skip
def test_a_segment_rolls_over_by_memory_by_bars_or_by_the_clock_and_not_while_it_rests(
    rss_mb, bars, most, due, resting
):
    settings = Params().session.model_copy(update={"max_rss_mb": 1_000.0, "rollover_bars": most, "rollover": "00:05"})
    beat = {"rss_mb": rss_mb, "done": bars, "resting": resting}
    why = why_roll_over(beat, settings, due)
    too_much, enough = rss_mb > 1_000, most is not None and bars >= most
    assert (why is not None) == (not resting and (too_much or enough or due))
    if why:
        assert (MEMORY in why) == too_much  # which is told first: a fresh kernel may need as much
        assert why.startswith("roll-over: ")
    assert why_roll_over({}, settings, due) is None  # nothing has begun


@given(begun=st.floats(0, 1e6), late=st.floats(0, 1e5), every=st.floats(1, 86_400))
def test_a_check_is_due_within_one_interval_and_those_that_were_missed_are_left_out(begun, late, every):
    due = next_check(begun, begun + late, every)
    assert 0 <= due - (begun + late) <= every * (1 + 1e-6)
