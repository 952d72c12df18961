"""What becomes of a command: from a state, what was asked and when it is, to the event that answers it.

A command can make trading stricter at any time, and never looser than what put the brake on allows: `RESUME` lets go
of a pause and of nothing else, `REARM` of everything else, by a code that fits only the brake it was shown for. What
is in force already is done, whoever asks for it. Guards ask nobody: they demand what they demand.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.state import Brake, CommandAnswered, State, TradingStatus, strictness

PATIENCE = timedelta(seconds=60)  # of whoever asks for what may not be wanted any more later
CODE_HOLDS = timedelta(minutes=10)

_SETS = {
    Verb.PAUSE: (TradingStatus.REDUCING, "paused"),
    Verb.REDUCE: (TradingStatus.REDUCING, "reducing only"),
    Verb.FLATTEN: (TradingStatus.HALTED, "flattened"),
    Verb.KILL: (TradingStatus.HALTED, "killed"),
}


def expiry(verb: Verb, asked: datetime) -> datetime | None:
    """Until when a command may be carried out: one that closes positions waits for as long as it takes."""
    return None if verb in (Verb.FLATTEN, Verb.KILL) else asked + PATIENCE


def answer(state: State, command: Command, now: datetime) -> CommandAnswered:
    """What becomes of `command`, asked of `state` at `now` [wall time]."""

    def says(outcome: Outcome, words: str, status: TradingStatus | None = None) -> CommandAnswered:
        return CommandAnswered(state.ts, command, outcome, words, now, status)

    if command.expires is not None and now > command.expires:
        late_s = (now - command.asked).total_seconds()
        return says(Outcome.EXPIRED, f"asked at {command.asked:%H:%M:%S} UTC, and heard {late_s:,.0f} s later")
    if command.verb in (Verb.RESUME, Verb.REARM):
        refusal = _keeps(state.brake, command, now)
        if refusal:
            return says(Outcome.REFUSED, refusal)
        if state.brake is None:
            return says(Outcome.DONE, "nothing holds trading back")
        ended = "resumed" if command.verb is Verb.RESUME else "re-armed"
        return says(Outcome.DONE, f"{ended} by {command.by}, after: {state.brake.cause}", TradingStatus.ACTIVE)

    status, done = _SETS[command.verb]
    brake = state.brake
    if brake and brake.verb is command.verb:
        return says(Outcome.DONE, f"already {brake.cause}")
    if brake and brake.strictness > strictness(status, command.verb):
        return says(Outcome.REFUSED, f"it is {brake.status.value} already, which is stricter: {brake.cause}")
    before = f"; before that: {brake.cause}" if brake else ""
    return says(Outcome.DONE, f"{done} by {command.by}{before}", status)


def code(brake: Brake, now: datetime) -> str:
    """What re-arming needs to be told, within `CODE_HOLDS` of `now`: it fits this brake and no other."""
    minute = int(now.timestamp()) // 60
    what = (brake.status.value, brake.cause, brake.by, brake.since.astimezone(UTC).isoformat(), str(brake.equity))
    return sha256("\0".join((*what, str(minute))).encode()).hexdigest()[:6]


def _keeps(brake: Brake | None, command: Command, now: datetime) -> str:
    """Why `command` may not let go of `brake`; empty: it may."""
    if brake is None:
        return ""
    paused = brake.verb is Verb.PAUSE
    if command.verb is Verb.RESUME:
        return "" if paused else f"it is {brake.status.value}, which only `qt rearm` ends: {brake.cause}"
    if paused:
        return f"`qt resume` ends a pause: {brake.cause}"
    minutes = range(int(CODE_HOLDS.total_seconds()) // 60 + 1)
    if command.code in {code(brake, now - timedelta(minutes=m)) for m in minutes}:
        return ""
    return f"code {command.code!r} does not fit, or is older than 10 minutes; `qt rearm` shows it for: {brake.cause}"
