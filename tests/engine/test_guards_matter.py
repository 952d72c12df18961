"""Each guard matters: with it a law holds, and with its one line taken out the same law breaks.

Nothing else is changed, and nothing is faked: the law is looked at in a small session, a seeded trial of `make prove`,
or one decision. A new guard is a row of `GUARDS`. That each rule of the limits binds alone is in
`tests/rules/test_limits.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from a_trial import trial
from builders import BTC, HOUR, T0, a_plan, a_position, a_signal, a_state, beliefs, make_bars, some_rules
from lived_trials import live
from mutants import without

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Moment, Target
from qtlib.domain.events import CashMoved, Filled, OrderRequested, StatusSet, TradingStatus
from qtlib.domain.orders import Order, OrderIntent, OrderStatus, Role, Side, Submit
from qtlib.engine import loop
from qtlib.engine.auditor import Auditor, Unwatched
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.live import Subject, _Windows
from qtlib.engine.session import session
from qtlib.exchanges.port import BarHeard
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.exchanges.simulated.faults import Faults, fault
from qtlib.exchanges.simulated.faulty import FaultyExchange
from qtlib.journal import Fenced, Journal, MemoryJournal
from qtlib.journal.lease import Lease
from qtlib.rules import limits
from qtlib.rules.decide import _judge, decide
from qtlib.rules.limits import RiskLimits
from qtlib.rules.plan import _clear_and_enter, _excess, _leaving, _protect_and_leave, plan
from qtlib.rules.sizing import SizingParams


class Guard(NamedTuple):
    name: str
    within: Callable[..., Any]  # the function that it stands in
    line: str
    instead: str  # without it
    law: Callable[[], bool]  # whether it is kept


# --- laws, by a session in a market that falls ---------------------------------------------------------------


@dataclass(frozen=True)
class Bull:
    """Believes that all goes up."""

    lookback: int = 1
    name: str = "bull"

    def signals(self, panel):
        return beliefs(panel, 0.9)


def fallen(*faults, watch=None, beats=0, **within):
    """The journal of one that buys all the way down, at a venue with these faults, and so many moments to a bar."""
    free = {"max_daily_loss_frac": 0.99, "max_losses_in_row": 10_000, "max_drawdown_frac": 0.99, "cooldown_s": 0.0}
    free |= {"max_notional_per_trade": 600.0, "max_notional_per_symbol": 600.0, "drawdown_ladder": ()}
    rules = some_rules(
        limits=RiskLimits(**{**free, "max_order_errors": 10_000, **within}), sizing=SizingParams(base_notional=600.0)
    )
    venue = FaultyExchange(SimulatedExchange({"BTCUSDT": BTC}, Decimal(1_000)), Faults(list(faults)))
    bars, journal = {"BTCUSDT": make_bars(60, drift=-0.01, vol=0.004)}, MemoryJournal()
    feed = (
        moment for told in lived(venue, replay(Past(bars), Bull())) for moment in (told, *beats * [Moment(told.ts, {})])
    )
    session(feed, rules, venue, journal, watch=watch or Unwatched())
    return journal


def no_more_is_lost_than_the_drawdown_allows():
    state = fallen(max_drawdown_frac=0.05).state()
    return float(state.equity) > 0.92 * float(state.peak_equity)


def what_is_refused_time_and_again_is_not_tried_for_ever():
    journal = fallen(fault("timeout", on="POST v1/order", executes=False, times=None), max_order_errors=4)
    asked = [e for _, e in journal.events() if isinstance(e, OrderRequested) and e.intent.role is Role.ENTRY]
    return len(asked) <= 5


NO_STOPS = fault("timeout", on="POST v1/algoOrder", executes=False, times=None)


def what_no_stop_can_be_had_for_is_left_after_a_bar():
    return longest(fallen(NO_STOPS)) == HOUR


def what_no_stop_can_be_had_for_is_left_in_seconds_where_somebody_counts_them():
    seconds = count()
    return longest(fallen(NO_STOPS, beats=8, watch=Auditor(3.0, 3.0, print, clock=lambda: next(seconds)))) < HOUR


def longest(journal):
    """How long the longest of its positions was held."""
    begun, lasted = None, []
    for _, event in journal.events():
        if isinstance(event, Filled) and begun is None:
            begun = event.fill.ts
        elif isinstance(event, Filled):
            lasted.append(event.fill.ts - begun)
            begun = None
    return max(lasted)


# --- laws, by one decision -----------------------------------------------------------------------------------


def wanted(**so):
    """How much a strong belief is granted, in quote, in a state that is `so`."""
    state = a_state(**so)
    targets = decide(Moment(T0, {}, signals=(a_signal(score=0.9, confidence=0.9),)), state, some_rules()).targets
    return sum(float(abs(target.quantity)) * 100 for target in targets.values())


def after_a_bad_day_nothing_is_entered():
    return not wanted(day_equity=Decimal(10_500))


def after_losses_in_a_row_nothing_is_entered():
    return not wanted(losses_in_row=RiskLimits().max_losses_in_row, lost=T0)


def when_the_days_fees_are_spent_nothing_is_entered():
    return not wanted(day_fees=Decimal(10_000))


def deep_under_the_peak_less_is_entered():
    rung, _ = RiskLimits().drawdown_ladder[0]
    return wanted(peak_equity=Decimal(10_000) / (1 - Decimal(str(rung + 0.001)))) < wanted()


def braked(state):
    return advance(state, StatusSet(T0, TradingStatus.REDUCING, "a person asked"))


def under_a_brake_nothing_is_decided():
    state, moment = braked(a_state()), Moment(T0, {}, signals=(a_signal(score=0.9, confidence=0.9),))
    return not decide(moment, state, some_rules()).targets


def under_a_brake_nothing_is_entered_that_was_decided_before():
    target = Target("BTCUSDT", Decimal(1), limit_price=Decimal(101), worst_price=Decimal(101), exits=a_plan(), ts=T0)
    return not plan(braked(a_state(targets={"BTCUSDT": target}, prices={"BTCUSDT": 100.0})), some_rules())


def in_a_halt_all_is_left():
    state = advance(a_state(a_position(1)), StatusSet(T0, TradingStatus.HALTED, "kill"))
    return any(action.intent.role is Role.EXIT for action in plan(state, some_rules()))


def waiting(role, **its):
    """One order in BTCUSDT, as a state has it."""
    intent = OrderIntent(f"qt-BTCUSDT-{role.value[0]}1-1", "BTCUSDT", quantity=Decimal("0.1"), role=role, **its)
    return {"orders": {intent.client_id: Order(intent, OrderStatus.OPEN)}}


def asked(state, role):
    """What is planned of that role."""
    actions = plan(state, some_rules())
    return [a.intent for a in actions if isinstance(a, Submit) and a.intent.role is role]


def while_an_entry_is_under_way_no_other_is_decided():
    return not wanted(**waiting(Role.ENTRY, side=Side.BUY, price=Decimal(100)))


def no_stop_is_moved_away():
    nearer = waiting(Role.STOP_LOSS, side=Side.SELL, trigger=Decimal(99), reduce_only=True)
    return [stop.trigger for stop in asked(a_state(a_position("0.2"), **nearer), Role.STOP_LOSS)] == [99]


def where_the_price_is_beyond_the_stop_none_is_asked_for_and_the_position_is_left():
    passed = a_state(a_position(1), prices={"BTCUSDT": 97.0})
    return not asked(passed, Role.STOP_LOSS) and bool(asked(passed, Role.EXIT))


def beliefs_of_bars_that_an_outage_made_old_are_not_acted_on():
    times, missed = [T0], loop._Missed()
    journal = MemoryJournal(now=lambda: times[-1])
    [(_, moment)] = replay(Past({"BTCUSDT": make_bars(1)}), Bull())
    missed.keep(moment._replace(holds_s=60.0), journal)
    times.append(T0 + HOUR)
    return not missed.newest(Moment(moment.ts, {}), journal).signals


def beliefs_of_bars_that_were_heard_late_open_nothing():
    windows = _Windows(Subject(Bull(), ("BTCUSDT",), "1h", HOUR, lambda times, volume: volume[:, -1] > 0))
    [(step, _)] = replay(Past({"BTCUSDT": make_bars(1)}), Bull())
    heard = {"BTCUSDT": BarHeard("BTCUSDT", step.bars["BTCUSDT"])}
    signals = windows.moment(step.ts, heard, past=False, stale=True).signals
    return bool(signals) and not decide(Moment(step.ts, {}, signals=signals), a_state(), some_rules()).targets


# --- laws, by two who write for one account ------------------------------------------------------------------


def overtaken():
    """The journal and the lease of one whom another overtook, and who has slept since."""
    folder, times = TemporaryDirectory(prefix="qt-lease-"), [T0]
    one, other = (Journal(Path(folder.name) / "journal.sqlite", now=lambda: times[-1]) for _ in range(2))
    mine = one.lease("one", ttl_s=30)
    times.append(T0 + HOUR)
    other.lease("other", ttl_s=30)
    times.append(T0 + 2 * HOUR)
    return one, mine, [one, other, folder]


def who_lost_the_lease_writes_no_more():
    journal, _, things = overtaken()
    try:
        journal.absorb(journal.state(), [CashMoved(T0, Decimal(1), "deposit", "1")])
    except Fenced:
        return True
    finally:
        closed(things)
    return False


def who_lost_the_lease_is_told_by_its_heartbeat():
    _, lease, things = overtaken()
    try:
        lease.renew()
    except Fenced:
        return True
    finally:
        closed(things)
    return False


def closed(things):
    *journals, folder = things
    for journal in journals:
        journal.close()
    folder.cleanup()


# --- laws of the witness, by a trial that needs the guard ----------------------------------------------------


def of_trial(seed):
    """The laws of `make prove`, in the trial of that seed."""

    def law():
        try:
            return not live(trial(seed)).broken
        except Exception:  # a session that ends by an error has broken the first of them
            return False

    return law


GUARDS = (
    Guard(
        "the deepest drawdown halts",
        limits.guard,
        "if down >= limits.max_drawdown_frac and",
        "if False and",
        no_more_is_lost_than_the_drawdown_allows,
    ),
    Guard(
        "order errors in a row",
        limits.guard,
        "if errors >= limits.max_order_errors and",
        "if False and",
        what_is_refused_time_and_again_is_not_tried_for_ever,
    ),
    Guard(
        "bare by the bars' clock",
        _leaving,
        "> rules.exits.protect_timeout_s",
        "> 1e18",
        what_no_stop_can_be_had_for_is_left_after_a_bar,
    ),
    Guard(
        "bare by the auditor's clock",
        Auditor.news,
        "if bare and not trade.overdue and",
        "if False and",
        what_no_stop_can_be_had_for_is_left_in_seconds_where_somebody_counts_them,
    ),
    Guard(
        "overdue is left",
        _leaving,
        "if trade.overdue:",
        "if False:",
        what_no_stop_can_be_had_for_is_left_in_seconds_where_somebody_counts_them,
    ),
    Guard("daily loss", limits.daily_loss, "_held(symbol, state) if", "inf if", after_a_bad_day_nothing_is_entered),
    Guard(
        "losses in a row",
        limits.losing_streak,
        "_held(symbol, state) if",
        "inf if",
        after_losses_in_a_row_nothing_is_entered,
    ),
    Guard(
        "fees of a day",
        limits.fee_budget,
        "_held(symbol, state) if",
        "inf if",
        when_the_days_fees_are_spent_nothing_is_entered,
    ),
    Guard(
        "drawdown ladder",
        limits.drawdown,
        "if shares else inf",
        "if False else inf",
        deep_under_the_peak_less_is_entered,
    ),
    Guard(
        "brake, of what is decided",
        _judge,
        "if state.status is not TradingStatus.ACTIVE:",
        "if False:",
        under_a_brake_nothing_is_decided,
    ),
    Guard(
        "brake, of what was decided before",
        _clear_and_enter,
        " or state.status is not TradingStatus.ACTIVE",
        "",
        under_a_brake_nothing_is_entered_that_was_decided_before,
    ),
    Guard("halt", _leaving, "if state.status is TradingStatus.HALTED:", "if False:", in_a_halt_all_is_left),
    Guard(
        "one entry at a time",
        _judge,
        "if any(order.intent.symbol == symbol for order in state.orders.values()):",
        "if False:",
        while_an_entry_is_under_way_no_other_is_decided,
    ),
    Guard(
        "stops only tighten",
        _protect_and_leave,
        "stop = tighten(order.intent.trigger, stop, sign)",
        "pass",
        no_stop_is_moved_away,
    ),
    Guard(
        "a stop that was passed",
        _protect_and_leave,
        " or _passed(stop, sign, symbol, state)",
        "",
        where_the_price_is_beyond_the_stop_none_is_asked_for_and_the_position_is_left,
    ),
    Guard(
        "beliefs that an outage made old",
        loop._Missed.newest,
        ">= self.moments[-1].holds_s",
        ">= 1e18",
        beliefs_of_bars_that_an_outage_made_old_are_not_acted_on,
    ),
    Guard(
        "beliefs about bars heard late",
        _Windows._signals,
        "if stale and not s.fault",
        "if False",
        beliefs_of_bars_that_were_heard_late_open_nothing,
    ),
    Guard(
        "lease, by each write",
        Journal.__init__,
        "statements.append(leased=True)",
        "statements.append(leased=False)",
        who_lost_the_lease_writes_no_more,
    ),
    Guard(
        "lease, by its heartbeat",
        Lease._put,
        "if not self.fence or not self._shelf.swap(self._mine, renewed):",
        "if False:",
        who_lost_the_lease_is_told_by_its_heartbeat,
    ),
    Guard("too much is cut back", _excess, "if cost <= cap * (1.0 + 1e-9):", "if True:", of_trial(26)),
    Guard("a second look after a snapshot", loop.recover, "if state is before:", "if True:", of_trial(52)),
    Guard("first on paper", loop.settle, "if requests:", "if False:", of_trial(0)),
    Guard(
        "what is in flight counts",
        limits.committed,
        "if intent.role is Role.ENTRY or grows:",
        "if False:",
        of_trial(4),
    ),
    Guard(
        "orders of the other side go",
        _protect_and_leave,
        " or order.intent.side is not closing",
        "",
        of_trial(1),
    ),
    Guard("stop", _protect_and_leave, "if not unstoppable:", "if False:", of_trial(0)),
    Guard(
        "exits only reduce",
        _protect_and_leave,
        "Role.EXIT, reduce_only=True",
        "Role.EXIT, reduce_only=False",
        of_trial(3),
    ),
)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_law_holds_by_its_guard_and_breaks_without_it(guard):
    assert guard.law()
    with without(guard.within, guard.line, guard.instead):
        assert not guard.law()
    assert guard.law()
