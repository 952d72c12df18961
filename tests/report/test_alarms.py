"""What needs a person is an alarm, and what does not is none."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import T0, a_position, a_state

from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.decisions import Choice, Decision, Reason, Verdict
from qtlib.domain.events import (
    END_OF_DATA,
    CashCorrected,
    CashMoved,
    CommandAnswered,
    PositionAdopted,
    ProtectionOverdue,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.learned import ModelChanged, RetrainEnded, RetrainOutcome
from qtlib.report.alarms import alarm, standing


def a_status(status, cause="daily loss 3.10 % of 10,000"):
    return StatusSet(T0, status, cause)


def answered(verb, outcome=Outcome.DONE):
    return CommandAnswered(T0, Command("c1", verb, "me@home", T0), outcome, "words", T0)


def ended(outcome):
    return RetrainEnded(T0, 3, outcome, "the gate said so", "20260701-boosted-1")


ALARMING = {
    "halted": a_status(TradingStatus.HALTED),
    "reducing": a_status(TradingStatus.REDUCING),
    "killed": answered(Verb.KILL),
    "kill refused": answered(Verb.KILL, Outcome.REFUSED),
    "flattened": answered(Verb.FLATTEN),
    "naked": ProtectionOverdue(T0, "BTCUSDT", 3.2),
    "found": PositionAdopted(T0, a_position("-0.5"), None, "the venue holds it"),
    "gone": PositionAdopted(T0, a_position("0"), None, "the venue holds nothing"),
    "wallet": CashCorrected(T0, Decimal(-7)),
    "liquidated": CashMoved(T0, Decimal(7), "insurance_clear", "1"),
    "retrain failed": ended(RetrainOutcome.FAILED),
    "retrain asks": ended(RetrainOutcome.ASKED),
    "demoted": ModelChanged(T0, "", "", "The model has decayed", "demote"),
    "rolled back": ModelChanged(T0, "m1", "h", "The model has decayed", "rollback"),
}
HARMLESS = {
    "active": a_status(TradingStatus.ACTIVE, ""),
    "end of data": a_status(TradingStatus.HALTED, END_OF_DATA),
    "paused": answered(Verb.PAUSE),
    "closed": answered(Verb.CLOSE),
    "deposit": CashMoved(T0, Decimal(7), "transfer", "1"),
    "promoted": ended(RetrainOutcome.PROMOTED),
    "refused": ended(RetrainOutcome.REFUSED),
    "another model": ModelChanged(T0, "m1", "h", "the gate said so"),
}


@pytest.mark.parametrize("event", ALARMING.values(), ids=ALARMING)
def test_what_needs_a_person_is_an_alarm(event):
    assert alarm(event).words.strip()


@pytest.mark.parametrize("event", HARMLESS.values(), ids=HARMLESS)
def test_what_does_not_is_none(event):
    assert alarm(event) is None


def test_the_same_trouble_with_other_numbers_is_the_same_trouble():
    again = a_status(TradingStatus.REDUCING, "daily loss 3.25 % of 10,100")
    assert alarm(again).topic == alarm(ALARMING["reducing"]).topic != alarm(ALARMING["halted"]).topic
    later = replace(answered(Verb.KILL).command, command_id="c2")
    assert alarm(replace(ALARMING["killed"], command=later)).topic != alarm(ALARMING["killed"]).topic


def test_a_long_quiet_is_said_once_it_was_long_enough_and_why():
    decision = Decision(T0, verdicts=(Verdict("BTCUSDT", Choice.REFUSED, Reason.LIMIT),))
    quiet = a_state(idle_since=T0, decided=T0 + timedelta(hours=24))
    assert standing(quiet.but(decided=T0 + timedelta(hours=23)), decision, 24.0) is None
    assert standing(quiet, decision, None) is None
    assert standing(a_state(decided=T0), decision, 24.0) is None
    found = standing(quiet, decision, 24.0)
    assert Reason.LIMIT.value in found.words
    assert found.once
