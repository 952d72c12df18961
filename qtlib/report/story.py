"""The log as people read it: what an event means, in a line or two.

`tell` is pure: the state before and after say all that the event itself doesn't. It speaks where something changed and
keeps silent about bars and refusals that repeat; the full record is the journal, and the tables made of it. Percentages
are of price, money is quote, every price and quantity has at least four decimals.
"""

from collections import Counter
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal

from qtlib.domain.account import Position, exact
from qtlib.domain.commands import Verb
from qtlib.domain.decisions import Choice, Reason, Verdict
from qtlib.domain.events import (
    START,
    BarClosed,
    CashCorrected,
    CashMoved,
    CommandAnswered,
    DecisionMade,
    Event,
    FactsRead,
    Filled,
    FundingPaid,
    LimitsSet,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
    ProtectionOverdue,
    SessionClosed,
    SessionOpened,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.learned import ModelChanged, RetrainBegun, RetrainEnded, RetrainOutcome
from qtlib.domain.market import Instrument
from qtlib.domain.orders import ExitPlan, ExitSource, Order, OrderIntent, OrderStatus, Role
from qtlib.domain.state import State
from qtlib.domain.universe import UniverseChanged


def tell(
    before: State, event: Event, after: State, max_positions: int = 4, quiet_alarm_h: float | None = None
) -> list[str]:
    """What a person should know of `event`, which led from `before` to `after`; often nothing."""
    match event:
        case SessionOpened():
            opened = f"▶️ Session {event.run_id} opened (mode {event.mode}, parameters {event.params_hash[:8]})"
            return [opened, *_resumed(before), *_held_back(before)]
        case SessionClosed():
            return [f"⏹️ Session {event.run_id} closed: {event.reason}"]
        case CashMoved() | CashCorrected() | FundingPaid():
            return [_wallet(event)]
        case BarClosed():
            return _new_day(before, event, after)
        case DecisionMade():
            return [*_decision(event, after, max_positions), *_quiet(before, event, after, quiet_alarm_h)]
        case OrderRequested():
            return [_foreign(event.intent)] if event.intent.role is Role.FOREIGN else []
        case ProtectionOverdue():
            return [f"🚨 {event.symbol} had no confirmed stop for {event.naked_s:.1f} s: it is closed"]
        case OrderChanged():
            order = before.orders.get(event.client_id)
            return [] if order is None else _order(order, event)
        case Filled():
            return _fill(before, event)
        case PositionAdopted():
            return _adopted(before, event)
        case StatusSet() | CommandAnswered() | LimitsSet():
            return _set(before, event)
        case _:
            return _chosen(before, event)


def profit_line(position: Position, price: Decimal) -> str:
    """A position's profit at `price`.

    >>> profit_line(Position("SOLUSDT", Decimal(1), Decimal("141.7910")), Decimal("141.89"))
    '💰 SOLUSDT LONG P&L: +0.07% (entry=141.7910, current=141.8900)'
    """
    side, frac = _side(position.quantity), position.pnl_frac(price)
    entry, current = _number(position.entry_price), _number(price)
    return f"💰 {position.symbol} {side} P&L: {frac:+.2%} (entry={entry}, current={current})"


def exits_lines(symbol: str, plan: ExitPlan) -> list[str]:
    """Where a position is to be left, who says so, and how often that must succeed to pay.

    >>> for line in exits_lines("SOLUSDT", ExitPlan(0.03, 0.078, 0.02, source=ExitSource.AI)):
    ...     print(line)
    🎯 SOLUSDT using AI TP/SL: TP=7.8%, SL=3.0%, Trail=2.0%
       SOLUSDT needs a 27.8% win rate before costs
    >>> exits_lines("SOLUSDT", ExitPlan(0.015, 0.01, doubt="out of domain"))[0]
    '🎯 SOLUSDT using static (out of domain) TP/SL: TP=1.0%, SL=1.5%'
    """
    levels = f"TP={plan.take_profit_frac:.1%}, SL={plan.stop_frac:.1%}"
    trail = f", Trail={plan.trail_frac:.1%}" if plan.trail_frac is not None else ""
    more = f", takes {plan.partial_frac:.0%} at the target" if plan.partial_frac < 1 else ""
    more += f", leaves after {_span(plan.time_stop_s)} without it" if plan.time_stop_s is not None else ""
    needed = f"{plan.breakeven_win_rate_frac:.1%}".replace(".0%", "%")
    return [
        f"🎯 {symbol} using {_provenance(plan)} TP/SL: {levels}{trail}",
        f"   {symbol} needs a {needed} win rate before costs{more}",
    ]


def _listed(before: FactsRead, now: FactsRead) -> list[str]:
    """What the venue lists otherwise than it was known."""
    lines = []
    for symbol, instrument in sorted(now.instruments.items()):
        known = before.instruments.get(symbol, instrument)
        other = [f.name for f in fields(Instrument) if getattr(known, f.name) != getattr(instrument, f.name)]
        if other:
            words = (f"{n} {getattr(known, n)} → {getattr(instrument, n)}" if n != "brackets" else n for n in other)
            lines.append(f"📐 {symbol} is listed otherwise by now: {', '.join(words)}")
    lines += [f"⛔ {why}: nothing is entered there" for s, why in sorted(now.out.items()) if before.out.get(s) != why]
    return lines + [f"✅ {symbol} may be entered again" for symbol in sorted(before.out.keys() - now.out.keys())]


def _chosen(before: State, event: Event) -> list[str]:
    """Who trades from now on and how it is listed, and who believes."""
    match event:
        case UniverseChanged():
            return [_universe(before, event)]
        case FactsRead():
            return [] if event.run_id or before.facts is None else _listed(before.facts, event)
        case RetrainBegun():
            return [f"🎓 Retrain {event.number} begins beside the session: {event.cause}"]
        case ModelChanged():
            return [f"🧠 From the next bar on {event.version or 'the rule of thumb'} believes: {event.cause}"]
        case RetrainEnded():
            mark = "⚠️" if event.outcome is RetrainOutcome.FAILED else "🎓"
            return [f"{mark} Retrain {event.number} {event.outcome.value}: {event.words}"]
        case _:
            return []


# --- one family of events each ----------------------------------------------------------------------------


def _wallet(event: CashMoved | CashCorrected | FundingPaid) -> str:
    amount = _money(event.amount, signed=True)
    match event:
        case CashMoved():
            return f"🏦 {amount} moved: {event.reason}"
        case CashCorrected():
            return f"⚠️ Wallet corrected by {amount}: the venue's word, unexplained"
        case FundingPaid():
            return f"💸 {event.symbol} funding: {amount} (rate {event.rate_frac:+.4%})"


def _resumed(state: State) -> list[str]:
    """What the journal brings along from the last session."""
    positions = state.account.positions.values()
    known = f", up to {state.ts:%Y-%m-%d %H:%M} UTC" if state.ts > START else ""
    lines = [f"♻️ Recovered {len(positions)} positions from the journal{known}"]
    for position in positions:
        stops = [o.intent.trigger for o in state.orders.values() if _is_stop_of(o, position)]
        stop = f"stop ${_number(stops[-1])}" if stops and stops[-1] is not None else "no stop"
        lines.append(f"♻️ Resumed {position.symbol}: {_held(position)}, {stop}")
    return lines


def _held_back(state: State) -> list[str]:
    """What still holds trading back, and how a person lets go of it."""
    brake = state.brake
    if brake is None:
        return []
    what = "protects, and closes what is open" if brake.status is TradingStatus.HALTED else "protects and reduces"
    ends = "qt resume" if brake.verb is Verb.PAUSE else "qt rearm"
    return [
        f"🚦 {brake.status.name} since {brake.since:%Y-%m-%d %H:%M} UTC, by {brake.by}: {brake.cause}",
        f"   this session only {what}, until `{ends}`",
    ]


def _is_stop_of(order: Order, position: Position) -> bool:
    return order.intent.symbol == position.symbol and order.intent.role is Role.STOP_LOSS


def _held(position: Position) -> str:
    return f"{_side(position.quantity)} {_number(abs(position.quantity))} @ ${_number(position.entry_price)}"


def _new_day(before: State, event: BarClosed, after: State) -> list[str]:
    if before.ts.date() >= event.ts.date() or not before.prices:
        return []
    positions = after.account.positions.values()
    day = f"📅 {event.ts:%Y-%m-%d}: equity {_money(after.equity)}, {len(positions)} open"
    return [day, *(profit_line(p, exact(after.prices[p.symbol])) for p in positions if p.symbol in after.prices)]


def _decision(event: DecisionMade, after: State, max_positions: int) -> list[str]:
    decision = event.decision
    verdicts = {verdict.symbol: verdict for verdict in decision.verdicts}
    lines = _limits(decision.verdicts, after, max_positions)
    for symbol, target in decision.targets.items():
        held = after.account.position(symbol).quantity
        if not target.quantity:
            reason = f": {target.reason.value}" if target.reason else ""
            lines.append(f"🚪 {symbol} {_side(held)} to be closed{reason}")
            continue
        if (verdict := verdicts.get(symbol)) is not None:
            lines.append(_sizing(verdict, target.quantity))
        if target.exits is not None:
            lines += exits_lines(symbol, target.exits)
    return lines


def _quiet(before: State, event: DecisionMade, after: State, alarm_h: float | None) -> list[str]:
    """Once per stretch in which nothing was traded for `alarm_h`: that it was not, and why not lately."""
    since = after.idle_since
    if since is None or alarm_h is None:
        return []
    alarm = timedelta(hours=alarm_h)
    if not before.decided - since < alarm <= event.ts - since:
        return []
    reasons = Counter(f"{v.reason.value}{f' ({v.rule})' if v.rule else ''}" for v in event.decision.verdicts)
    why = ", ".join(f"{reason} {count}×" for reason, count in reasons.most_common()) or "there were no candidates"
    return [f"⚠️ No trade for {_span(alarm.total_seconds())}, every candidate was refused; now: {why}"]


def _sizing(verdict: Verdict, quantity: Decimal) -> str:
    wanted, allowed = verdict.wanted_notional, verdict.allowed_notional
    cut = f", cut from ${wanted:,.2f} by {verdict.rule or 'whole lots'}" if allowed < wanted else ""
    size = f"{_number(abs(quantity))} = ${allowed:,.2f} notional"
    return f"📏 {verdict.symbol} {_side(quantity)} sizing: {size} at confidence {verdict.confidence:.2f}{cut}"


def _limits(verdicts: tuple[Verdict, ...], after: State, max_positions: int) -> list[str]:
    """Slots, where candidates were more than those; and every other limit that left nothing."""
    lines = []
    entering = [v for v in verdicts if v.choice is Choice.ENTER]
    crowded = [v for v in verdicts if v.reason is Reason.POSITION_LIMIT]
    if crowded:
        on_the_way = {o.intent.symbol for o in after.orders.values() if o.intent.role is Role.ENTRY}
        taken = len(after.account.positions.keys() | on_the_way)
        slots = max(0, max_positions - taken)
        counts = f"{taken}/{max_positions} open, {len(entering)} new orders planned, {slots} slots available"
        lines.append(f"⚠️ Position limit: {counts} (no slot for {', '.join(v.symbol for v in crowded)})")
    for v in verdicts:
        if v.reason is Reason.LIMIT:
            lines.append(f"⚠️ {v.rule}: {v.symbol} wanted ${v.wanted_notional:,.2f}, ${v.allowed_notional:,.2f} allowed")
    return lines


def _order(order: Order, event: OrderChanged) -> list[str]:
    intent = order.intent
    name = f"{intent.symbol} {intent.role.value}"
    if event.status is OrderStatus.REJECTED:
        return [f"❌ {name} order rejected: {event.reason or 'the venue gave no reason'}"]
    if event.status is OrderStatus.LOST:
        return [f"❓ {name} order never reached the venue: {event.reason or 'not found there'}"]
    if event.status is OrderStatus.EXPIRED and not intent.role.protects:
        unfilled = f"{_number(order.remaining)} of {_number(intent.quantity)} unfilled"
        return [f"⌛ {name} order expired, {unfilled}" + (f": {event.reason}" if event.reason else "")]
    if event.status is OrderStatus.OPEN and order.status is OrderStatus.PENDING and intent.role.protects:
        level = intent.trigger if intent.trigger is not None else intent.price
        return [f"🛡️ {name} rests at {'the trailing distance' if level is None else '$' + _number(level)}"]
    return []


def _fill(before: State, event: Filled) -> list[str]:
    fill = event.fill
    order, held = before.orders.get(fill.client_id), before.account.position(fill.symbol)
    what = (order.intent.reason or order.intent.role).value if order else "not our order"
    deal = f"{fill.side.name} {_number(fill.quantity)} {fill.symbol} @ ${_number(fill.price)}"
    lines = [f"✅ {deal} ({what}, fee {_money(fill.fee)})"]
    closing = held.quantity * fill.side.sign < 0
    if closing and not held.entry_price:
        lines.append(f"🚨 {fill.symbol}: entry price unknown, so the profit is unknown")
    elif closing:
        lines.append(profit_line(held, fill.price))
    return lines


def _foreign(intent: OrderIntent) -> str:
    size = "the whole position" if intent.close_position else _number(intent.quantity)
    level = intent.trigger if intent.trigger is not None else intent.price
    at = "" if level is None else f" @ ${_number(level)}"
    deal = f"{intent.side.name} {size} {intent.symbol}{at}"
    return f"👤 {intent.symbol} order {intent.client_id} is not ours ({deal}): counted, and left alone"


def _adopted(before: State, event: PositionAdopted) -> list[str]:
    position = event.position
    if not position.quantity:
        held = before.account.position(position.symbol)
        gone = f"{_side(held.quantity)} {_number(abs(held.quantity))}" if held.quantity else "nothing"
        return [f"🗄️ {position.symbol} is gone at the venue, archived: {gone} ({event.evidence})"]
    lines = [f"♻️ Recovered {position.symbol}: {_held(position)}", f"   {event.evidence}"]
    return lines if event.exits is None else lines + exits_lines(position.symbol, event.exits)


def _set(before: State, event: StatusSet | CommandAnswered | LimitsSet) -> list[str]:
    """What a guard, a person or the settings set."""
    if isinstance(event, StatusSet):
        return [f"🚦 {before.status.name} → {event.status.name}, by {event.by}: {event.cause}"]
    if isinstance(event, LimitsSet):
        later = [f"{k} {event.in_force[k]} (then {v})" for k, v in event.asked.items() if event.in_force.get(k) != v]
        until = f"{event.asked_at + timedelta(days=1):%Y-%m-%d} UTC, loosened by {event.by}: {event.reason}"
        return [f"⚖️ Limits until {until}: {', '.join(later)}"] if later else []
    command = event.command
    took = f"{(event.answered - command.asked).total_seconds():.1f} s"
    return [f"🚦 {command.verb.value}, asked by {command.by}: {event.outcome.value} after {took}: {event.words}"]


def _universe(before: State, event: UniverseChanged) -> str:
    known = before.universe.members if before.universe else {}
    new = [symbol for symbol in event.members if symbol not in known]
    gone = [f"{symbol} ({event.out[symbol].replace('_', ' ')})" for symbol in known if symbol in event.out]
    moved = [f"new: {', '.join(new)}"] if new else []
    moved += [f"out: {', '.join(gone)}"] if gone else []
    members = ", ".join(event.members) or "nobody"
    return f"🌐 Universe of {len(event.members)}: {members}; {'; '.join(moved) or 'nobody came or went'}"


# --- words ------------------------------------------------------------------------------------------------


def _span(seconds: float) -> str:
    """
    >>> _span(7200.0), _span(172_800.0), _span(90.0)
    ('2 h', '2 d', '1.5 min')
    """
    for unit, size in (("d", 86_400), ("h", 3_600)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 60:g} min"


def _side(quantity: Decimal) -> str:
    return "LONG" if quantity > 0 else "SHORT"


def _provenance(plan: ExitPlan) -> str:
    if plan.doubt:
        return f"{_SOURCES[plan.source]} ({plan.doubt})"
    if plan.source is ExitSource.STATIC and plan.profile != "static":
        return f"static {plan.profile}"
    return _SOURCES[plan.source]


_SOURCES = {
    ExitSource.AI: "AI",
    ExitSource.CLAMPED: "clamped",
    ExitSource.STATIC: "static",
    ExitSource.RECOVERED: "recovered",
}


def _number(value: Decimal) -> str:
    """Four decimals, and below one as many as four digits need.

    >>> _number(Decimal("67.1")), _number(Decimal("0.001")), _number(Decimal("0.00001234567"))
    ('67.1000', '0.0010', '0.00001235')
    """
    below_one = -value.adjusted() if value and abs(value) < 1 else 0
    whole, decimals = f"{value:.{max(4, below_one + 3)}f}".split(".")
    return f"{whole}.{decimals[:4]}{decimals[4:].rstrip('0')}"


def _money(amount: Decimal, signed: bool = False) -> str:
    """
    >>> _money(Decimal("-1234.5")), _money(Decimal(2), signed=True)
    ('−$1,234.50', '+$2.00')
    """
    sign = "−" if amount < 0 else "+" if signed else ""
    return f"{sign}${abs(amount):,.2f}"
