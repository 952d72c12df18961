"""What becomes of a command: from a state, what was asked and when it is, to the event that answers it.

A command can make trading stricter at any time, and never looser than what put the brake on allows: `RESUME` lets go
of a pause and of nothing else, `REARM` of everything else, by a code that fits only the brake it was shown for. What
is in force already is done, whoever asks for it. Guards ask nobody: they demand what they demand. The same holds of
what is asked for one position or limit: a stop is only moved nearer, and a limit that is loosened holds from the next
day on.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.events import CommandAnswered, TradingStatus
from qtlib.domain.orders import Order, OrderStatus, Role
from qtlib.domain.state import Brake, State, strictness
from qtlib.rules.in_force import reset, unfit

PATIENCE = timedelta(seconds=60)  # of whoever asks for what may not be wanted any more later
CODE_HOLDS = timedelta(minutes=10)

_SETS = {
    Verb.PAUSE: (TradingStatus.REDUCING, "paused"),
    Verb.REDUCE: (TradingStatus.REDUCING, "reducing only"),
    Verb.FLATTEN: (TradingStatus.HALTED, "flattened"),
    Verb.KILL: (TradingStatus.HALTED, "killed"),
}


def expiry(verb: Verb, asked: datetime) -> datetime | None:
    """Until when a command may be carried out: one that closes everything waits for as long as it takes."""
    return None if verb in (Verb.FLATTEN, Verb.KILL) else asked + PATIENCE


def answer(state: State, command: Command, now: datetime) -> CommandAnswered:
    """What becomes of `command`, asked of `state` at `now` [wall time]."""

    def says(outcome: Outcome, words: str, status: TradingStatus | None = None) -> CommandAnswered:
        return CommandAnswered(state.ts, command, outcome, words, now, status)

    if command.expires is not None and now > command.expires:
        late_s = (now - command.asked).total_seconds()
        return says(Outcome.EXPIRED, f"asked at {command.asked:%H:%M:%S} UTC, and heard {late_s:,.0f} s later")
    if command.verb is Verb.LIMITS:
        return _limits(state, command, now)
    if command.verb in _ASKS:
        refusal, done = _ASKS[command.verb](state, command)
        return says(Outcome.REFUSED, refusal) if refusal else says(Outcome.DONE, f"{done} by {command.by}")
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


_Asked = tuple[str, str]  # why not; what it is called where it is done


def _close(state: State, command: Command) -> _Asked:
    held = command.symbol in state.account.positions
    return "" if held else f"nothing is held in {command.symbol or 'no symbol'}", f"{command.symbol} to be closed"


def _tighten(state: State, command: Command) -> _Asked:
    symbol, wanted = command.symbol, command.price
    position, last = state.account.positions.get(symbol), state.prices.get(symbol)
    if position is None or last is None:
        return f"nothing is held in {symbol or 'no symbol'}", ""
    sign = 1 if position.quantity > 0 else -1
    stops = (o.intent.trigger for o in state.orders.values() if o.intent.symbol == symbol and _rests(o))
    resting = [stop for stop in stops if stop is not None]
    if wanted is None or not wanted.is_finite() or wanted <= 0:
        return f"a stop needs a price, and {wanted} is none", ""
    if not resting:
        return f"{symbol} has no confirmed stop yet, so there is none to move", ""
    now_at = max(resting) if sign > 0 else min(resting)
    where = "above" if sign > 0 else "below"
    if sign * (wanted - now_at) <= 0:
        return f"a stop is only moved nearer: {wanted} must lie {where} the one that rests at {now_at}", ""
    if sign * (last - float(wanted)) <= 0:
        return f"the price {last:.10g} is past {wanted} already: close the position instead", ""
    return "", f"{symbol} stop moved from {now_at} to {wanted}"


def _rests(order: Order) -> bool:
    return order.intent.role is Role.STOP_LOSS and order.status is OrderStatus.OPEN


def _stop(state: State, command: Command) -> _Asked:
    return "", "the session ends, and what is open stays protected: asked for"


def _retrain(state: State, command: Command) -> _Asked:
    if not state.learning.enabled:
        return "this session does not learn: strategy.name=learned and learning.enabled=true would", ""
    if state.learning.running:
        return f"retrain {state.learning.retrains} is running already", ""
    return "", "a retrain begins: asked for"


_ASKS: dict[Verb, Callable[[State, Command], _Asked]] = {
    Verb.CLOSE: _close,
    Verb.TIGHTEN: _tighten,
    Verb.STOP: _stop,
    Verb.RETRAIN: _retrain,
}


def _limits(state: State, command: Command, now: datetime) -> CommandAnswered:
    """Limits as they are from now on: those that were tightened, at once."""
    refusal, before = unfit(command.limits), state.limits
    if before is None:
        refusal = refusal or "no session has said its limits yet"
    if refusal or before is None:
        return CommandAnswered(state.ts, command, Outcome.REFUSED, refusal, now)
    after = replace(reset(before, command.limits, command.by, command.reason, now), ts=state.ts)
    at_once = [f"{k} {v:g}" for k, v in command.limits.items() if after.in_force[k] == v]
    later = [f"{k} {v:g}" for k, v in command.limits.items() if after.in_force[k] != v]
    if later and not command.reason.strip():
        words = f"this would loosen {', '.join(later)}: say why; it holds from the next UTC day on"
        return CommandAnswered(state.ts, command, Outcome.REFUSED, words, now)
    said = [f"at once: {', '.join(at_once)}"] if at_once else []
    said += [f"from the next UTC day on: {', '.join(later)} ({command.reason.strip()})"] if later else []
    return CommandAnswered(state.ts, command, Outcome.DONE, f"{'; '.join(said)}; by {command.by}", now, limits=after)


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
