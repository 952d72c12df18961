"""When a retrain is due: from counts in the journal, so that neither a crash nor asking often changes it."""

from datetime import timedelta

from builders import HOUR, T0
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.learned import Learning, ModelChanged, RetrainBegun, RetrainEnded, RetrainOutcome
from qtlib.learning.triggers import TriggerParams, due, next_due

PARAMS, NOTHING = TriggerParams(), Learning()


def closed(trades, learning=NOTHING, ts=T0):
    for _ in range(trades):
        learning = learning.counted(ts)
    return learning


def retrained(learning, ts=T0, outcome=RetrainOutcome.REFUSED, meanwhile=0):
    begun = learning.after(RetrainBegun(ts, learning.retrains + 1, "due"))
    return closed(meanwhile, begun, ts).after(RetrainEnded(ts, begun.retrains, outcome, "so it was"))


def test_the_fiftieth_closed_trade_makes_a_retrain_due_and_the_forty_ninth_does_not():
    assert due(closed(49), T0, PARAMS) == ""
    assert "50 closed trades" in due(closed(50), T0, PARAMS)


def test_a_day_and_one_new_sample_make_one_due():
    before = retrained(closed(50))
    day = T0 + 24 * HOUR
    assert due(before, day, PARAMS) == ""  # nothing is new
    assert due(closed(1, before), day - timedelta(seconds=1), PARAMS) == ""
    assert "24 h" in due(closed(1, before), day, PARAMS)
    assert next_due(closed(1, before), PARAMS) == day


def test_while_one_runs_none_is_due_and_what_closed_meanwhile_counts_for_the_next():
    running = closed(50).after(RetrainBegun(T0, 1, "due"))
    assert due(closed(100, running), T0 + 99 * HOUR, PARAMS) == ""
    after = retrained(closed(50), meanwhile=7)
    assert after.samples == 7


def test_one_that_failed_keeps_its_samples_and_backs_off():
    failed = retrained(closed(50), outcome=RetrainOutcome.FAILED)
    assert failed.samples == 50
    assert due(failed, T0 + 0.9 * HOUR, PARAMS) == ""
    assert due(failed, T0 + HOUR, PARAMS)
    again = retrained(failed, T0 + HOUR, RetrainOutcome.FAILED)
    assert due(again, T0 + 2.9 * HOUR, PARAMS) == ""
    assert due(again, T0 + 3 * HOUR, PARAMS)


def test_switched_off_nothing_is_due_and_the_counts_are_there():
    off = TriggerParams(enabled=False)
    assert due(closed(500), T0, off) == ""
    assert next_due(closed(500), off) is None
    assert closed(500).samples == 500


def test_drift_needs_a_sample_too():
    assert due(Learning(), T0, PARAMS, drift="the world moved") == ""
    later = T0 + timedelta(hours=PARAMS.interval_hours / 4)
    assert due(Learning(), later, PARAMS, drift="the world moved") == ""
    assert due(closed(1), later, PARAMS, drift="the world moved") == "the world moved"
    assert due(closed(1), later - timedelta(seconds=1), PARAMS, drift="the world moved") == ""


EVENTS = st.lists(st.sampled_from(["trade", "hour", "end", "fail", "ask"]), max_size=200)


@given(EVENTS)
def test_whatever_happens_each_retrain_begins_once_and_knows_all_that_had_closed(steps):
    """Every step asks; what is due is begun at once, as a session does."""
    learning, now, begun = Learning(), T0, []
    for step in steps:
        now += HOUR
        if step == "trade":
            learning = learning.counted(now)
        elif step in ("end", "fail") and learning.running:
            outcome = RetrainOutcome.REFUSED if step == "end" else RetrainOutcome.FAILED
            learning = learning.after(RetrainEnded(now, learning.retrains, outcome, "over"))
        if due(learning, now, TriggerParams(min_samples=3)):
            assert not learning.running
            learning = learning.after(RetrainBegun(now, learning.retrains + 1, "due"))
            begun.append(learning.closed)
        assert learning.samples >= 0
        assert due(learning, now, TriggerParams(min_samples=3)) == ""
    assert learning.retrains == len(begun)


def test_a_model_that_changed_is_no_retrain():
    before = closed(3)
    assert before.after(ModelChanged(T0, "v1", "abc", "promoted")).samples == 3
