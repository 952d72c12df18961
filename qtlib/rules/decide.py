"""From a moment and a state to a decision: what to enter, what to leave, and why not the rest.

Exits are judged first and never limited; what is out of the universe is left, signal or not. Entries are made in
this order: how it would be left (the bracket), how large it should be (from the bracket), how large it may be (the
caps), in whole lots. The largest are served first, and each one served is counted before the next is judged. Every
signal ends in exactly one verdict.
"""

from typing import NamedTuple

from qtlib.domain.decisions import Choice, Decision, Moment, Reason, Signal, Target, Verdict
from qtlib.domain.events import TradingStatus
from qtlib.domain.market import Instrument
from qtlib.domain.orders import ZERO, ExitPlan, ExitReason
from qtlib.domain.state import State
from qtlib.rules import limits
from qtlib.rules.rules import Rules
from qtlib.rules.sizing import size
from qtlib.rules.tpsl import exit_plan, vet
from qtlib.rules.universe import why_out


class Candidate(NamedTuple):
    signal: Signal
    instrument: Instrument
    exits: ExitPlan
    wanted_notional: float  # in quote

    @property
    def sign(self) -> int:
        return 1 if self.signal.score > 0 else -1


def decide(moment: Moment, state: State, rules: Rules) -> Decision:
    """What to hold from now on, and for every candidate that is not traded the one reason why."""
    targets: dict[str, Target] = {}
    verdicts: list[Verdict] = []
    candidates: list[Candidate] = []
    for signal in moment.signals:
        judged = _judge(signal, state, rules)
        if isinstance(judged, Candidate):
            candidates.append(judged)
            continue
        verdicts.append(judged)
        if judged.choice is Choice.EXIT:
            reason = ExitReason.UNIVERSE if judged.reason is Reason.UNIVERSE else ExitReason.SIGNAL
            targets[signal.symbol] = Target(signal.symbol, ZERO, reason=reason, ts=moment.ts)
    for verdict in _silent_and_out(moment, state):
        verdicts.append(verdict)
        targets[verdict.symbol] = Target(verdict.symbol, ZERO, reason=ExitReason.UNIVERSE, ts=moment.ts)

    if candidates:
        book = limits.committed(state)
        candidates.sort(key=lambda c: (-c.wanted_notional, -abs(c.signal.score), c.signal.symbol))
        for candidate in candidates:
            target, verdict = _allow(candidate, book, state, rules)
            verdicts.append(verdict)
            if target:
                limits.reserve(book, target)  # the next candidate's limits count this one
                targets[target.symbol] = target
    return Decision(moment.ts, targets, tuple(verdicts))


def _judge(signal: Signal, state: State, rules: Rules) -> Candidate | Verdict:
    """What `signal` deserves before any limit is asked."""
    symbol, confidence, score = signal.symbol, signal.confidence, signal.score
    position = state.account.positions.get(symbol)
    if state.universe and (out := why_out(symbol, state)):
        return _verdict(signal, Choice.EXIT if position else Choice.REFUSED, Reason.UNIVERSE, out)
    if signal.fault:
        return _verdict(signal, Choice.HOLD if position else Choice.REFUSED, Reason.NO_SIGNAL, signal.fault)
    sure = confidence >= rules.sizing.confidence_threshold
    if position:
        against = float(position.quantity) * score < 0
        return _verdict(signal, Choice.EXIT if against and sure else Choice.HOLD)
    if state.status is not TradingStatus.ACTIVE:
        return _verdict(signal, Choice.REFUSED, Reason.STATUS, state.status.value)
    if state.facts and symbol in state.facts.out:
        return _verdict(signal, Choice.REFUSED, Reason.VENUE, state.facts.out[symbol])
    if not sure:
        return _verdict(signal, Choice.REFUSED, Reason.LOW_CONFIDENCE)
    if score == 0.0:
        return _verdict(signal, Choice.REFUSED, Reason.WEAK_SCORE)
    if symbol in state.left and (signal.ts - state.left[symbol]).total_seconds() < rules.limits.cooldown_s:
        return _verdict(signal, Choice.REFUSED, Reason.COOLDOWN)
    if any(order.intent.symbol == symbol for order in state.orders.values()):
        return _verdict(signal, Choice.REFUSED, Reason.IN_FLIGHT)

    instrument = rules.instruments[symbol]
    fresh = exit_plan(signal, rules.exits, rules.costs)
    exits, reason = vet(fresh, signal, instrument, rules.sizing.leverage, rules.exits, rules.costs)
    if reason is not Reason.NONE:
        return _verdict(signal, Choice.REFUSED, reason)
    wanted = size(signal, exits, float(state.equity), rules.sizing, rules.exits)
    return Candidate(signal, instrument, exits, wanted)


def _silent_and_out(moment: Moment, state: State) -> list[Verdict]:
    """An exit for each position that is out of the universe, and of which nothing is signalled any more."""
    if state.universe is None:
        return []
    heard = {signal.symbol for signal in moment.signals}
    held = [(symbol, why_out(symbol, state)) for symbol in state.account.positions if symbol not in heard]
    return [Verdict(symbol, Choice.EXIT, Reason.UNIVERSE, out) for symbol, out in held if out]


def _allow(candidate: Candidate, book: limits.Book, state: State, rules: Rules) -> tuple[Target | None, Verdict]:
    """The target that the caps leave of `candidate`, in whole lots, at the worst price it may be filled at."""
    signal, instrument, sign = candidate.signal, candidate.instrument, candidate.sign
    cap, rule = limits.cap(signal.symbol, sign, book, state, rules.limits)
    slip = rules.sizing.entry_slippage_frac
    worst = instrument.price(signal.price * (1.0 + slip), "up")  # a short's notional grows when it is filled well
    raw = min(candidate.wanted_notional / signal.price, cap / float(worst))
    lots = instrument.quantity(raw, at=signal.price)
    allowed = float(lots) * signal.price
    bound = rule if cap < candidate.wanted_notional else ""
    if raw > float(instrument.largest):
        bound = limits.LARGEST_ORDER
    if not lots:
        reason = Reason.TOO_SMALL
        if cap <= 0.0:
            reason = {"positions": Reason.POSITION_LIMIT, "fee_budget": Reason.FEE_BUDGET}.get(rule, Reason.LIMIT)
        return None, _verdict(signal, Choice.REFUSED, reason, bound, candidate.wanted_notional)
    target = Target(
        signal.symbol,
        sign * lots,
        limit_price=instrument.price(signal.price * (1.0 + sign * slip), "down" if sign > 0 else "up"),
        worst_price=worst,
        exits=candidate.exits,
        confidence=signal.confidence,
        model_version=signal.model_version,
        ts=signal.ts,
    )
    return target, _verdict(signal, Choice.ENTER, Reason.NONE, bound, candidate.wanted_notional, allowed)


def _verdict(
    signal: Signal,
    choice: Choice,
    reason: Reason = Reason.NONE,
    rule: str = "",
    wanted: float = 0.0,
    allowed: float = 0.0,
) -> Verdict:
    return Verdict(signal.symbol, choice, reason, rule, wanted, allowed, signal.confidence, signal.score)
