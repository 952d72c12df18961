"""What needs a person: the events of a journal that somebody should hear of wherever they are, in a sentence each.

Pure, and strict: what a session mends by itself, and what somebody has just asked for, is no alarm; but that everything
is closed is one, whoever asked.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from qtlib.domain.commands import Outcome, Verb
from qtlib.domain.decisions import Decision
from qtlib.domain.events import (
    END_OF_DATA,
    INSURANCE_CLEAR,
    CashCorrected,
    CashMoved,
    CommandAnswered,
    Event,
    OrderRequested,
    PositionAdopted,
    ProtectionOverdue,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.learned import ModelChanged, RetrainEnded, RetrainOutcome
from qtlib.domain.orders import Role
from qtlib.domain.state import State

TAKEN_DOWN = ("rollback", "demote")  # actions of the registry after which another model trades, or none


@dataclass(frozen=True, slots=True)
class Alarm:
    """What to say, and about what."""

    topic: str  # two of one topic are one trouble, which need not be told twice in a row
    words: str
    once: bool = False  # never again of this topic


def alarm(event: Event) -> Alarm | None:
    """What a person should hear of `event`; None: nothing."""
    match event:
        case StatusSet() if event.status is not TradingStatus.ACTIVE and event.cause != END_OF_DATA:
            return _status(event)
        case CommandAnswered() if event.command.verb in (Verb.KILL, Verb.FLATTEN):
            return _closing(event)
        case ProtectionOverdue():
            words = f"{event.symbol} had no confirmed stop for {event.naked_s:.1f} s: it is closed at market."
            return Alarm(f"naked {event.symbol}", words)
        case OrderRequested() if event.intent.role is Role.FOREIGN:
            words = f"Somebody else trades on this account: {event.intent.symbol} order {event.intent.client_id}."
            return Alarm(f"stranger {event.intent.symbol}", f"{words} It is counted, and left alone.")
        case PositionAdopted():
            return _adopted(event)
        case CashCorrected():
            return Alarm("wallet", f"The venue's wallet differs from the journal's by {event.amount:+f}, unexplained.")
        case CashMoved() if event.reason == INSURANCE_CLEAR:
            return Alarm("insurance", "A position was liquidated, and lost more than was at stake.")
        case RetrainEnded() | ModelChanged():
            return _learning(event)
        case _:
            return None


def standing(state: State, decision: Decision | None, quiet_alarm_h: float | None) -> Alarm | None:
    """What is amiss because nothing happens: for `quiet_alarm_h` nothing was held, and every candidate was refused.

    `decision` is the last one.
    """
    since = state.idle_since
    if since is None or quiet_alarm_h is None or state.decided - since < timedelta(hours=quiet_alarm_h):
        return None
    reasons = Counter(verdict.reason.value for verdict in decision.verdicts) if decision else Counter()
    why = ", ".join(f"{reason} {count}×" for reason, count in reasons.most_common()) or "there were no candidates"
    words = f"No trade for {quiet_alarm_h:g} h, every candidate was refused; lately: {why}."
    return Alarm(f"quiet {since.isoformat()}", words, once=True)


def unnumbered(words: str) -> str:
    """`words` without what differs each time.

    >>> unnumbered("daily loss 3.1 % of 10,004.20 quote")
    'daily loss % of quote'
    """
    return " ".join(word for word in words.split() if not any(c.isdigit() for c in word))


def _status(event: StatusSet) -> Alarm:
    what = "closes everything, and halts" if event.status is TradingStatus.HALTED else "lets nothing grow any more"
    topic = f"{event.status.value} {unnumbered(event.cause)}"
    return Alarm(topic, f"The session {what}: {event.cause} (by {event.by}).")


def _closing(event: CommandAnswered) -> Alarm:
    """Never held back: two kills are two."""
    command = event.command
    asked = f"{command.verb.value.upper()}, asked by {command.by} at {command.asked:%H:%M:%S} UTC"
    if event.outcome is Outcome.DONE:
        return Alarm(command.key, f"{asked}: everything is closed at market, and nothing is opened until `qt rearm`.")
    return Alarm(command.key, f"{asked}, was {event.outcome.value}, and closed nothing: {event.words}")


def _adopted(event: PositionAdopted) -> Alarm:
    position = event.position
    held = f"{position.quantity:+f} @ {position.entry_price:f}" if position.quantity else "nothing"
    words = f"The venue holds {held} of {position.symbol}, which the journal can't explain: {event.evidence}"
    return Alarm(f"found {position.symbol}", words)


def _learning(event: RetrainEnded | ModelChanged) -> Alarm | None:
    if isinstance(event, ModelChanged):
        if event.action not in TAKEN_DOWN:
            return None
        now = f"{event.version} trades instead" if event.version else "no model trades any more"
        return Alarm(event.key, f"The model was taken down, {now}: {event.cause}")
    if event.outcome is RetrainOutcome.FAILED:
        return Alarm(
            "retrain failed", f"Retrain {event.number} failed, and what traded before still does: {event.words}"
        )
    if event.outcome is RetrainOutcome.ASKED:
        words = f"Model {event.version} passed the gate, and trades once you say so: qt models promote {event.version}"
        return Alarm(event.key, words)
    return None
