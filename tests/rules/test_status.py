"""A command makes trading stricter at any time, and never looser than what holds it back allows."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import BTC, INSTRUMENTS, T0, a_position, a_state, some_rules
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.advance import advance
from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.events import (
    END_OF_DATA,
    START,
    BarClosed,
    CommandAnswered,
    LimitsSet,
    SessionOpened,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.orders import ExitReason, Order, OrderIntent, OrderStatus, Role, Side, Submit
from qtlib.rules.in_force import SETTABLE, in_force, limits_of, plain, tighter
from qtlib.rules.limits import RiskLimits, guard
from qtlib.rules.plan import plan
from qtlib.rules.status import CODE_HOLDS, PATIENCE, answer, code, expiry
from qtlib.rules.tpsl import ExitParams, stop_price

ACTIVE, REDUCING, HALTED = TradingStatus
STRICTER = {ACTIVE: 0, REDUCING: 1, HALTED: 2}
SECOND = timedelta(seconds=1)
GUARD = StatusSet(T0, HALTED, "drawdown 15.2% of peak equity")
FOREIGN = StatusSet(T0, REDUCING, "order web_1 is not ours")


def asked(verb, by="eva@desk", at=T0, code="", number=[0]):  # noqa: B006  one count for all: every command has its name
    number[0] += 1
    return Command(f"c{number[0]}", verb, by, at, expiry(verb, at), code)


def after(state, *steps, now=T0):
    """`state` after events, and after commands asked at `now`."""
    for step in steps:
        event = answer(state, asked(step, at=now), now) if isinstance(step, Verb) else step
        state = advance(state, event)
    return state


def outcome(state, verb, code="", now=T0):
    event = answer(state, asked(verb, code=code, at=now), now)
    return event.outcome, advance(state, event).status


steps = st.lists(st.sampled_from([*Verb, GUARD, FOREIGN]), max_size=6)


@given(steps=steps, verb=st.sampled_from(Verb))
def test_no_command_but_resume_and_rearm_ever_loosens(steps, verb):
    state = after(a_state(), *steps)
    _, status = outcome(state, verb)
    if verb in (Verb.RESUME, Verb.REARM):
        assert status is state.status or (verb is Verb.RESUME and state.brake.verb is Verb.PAUSE)
    else:
        assert STRICTER[status] >= STRICTER[state.status]


@given(steps=steps)
def test_one_that_was_killed_stays_so_whatever_is_said_but_its_code(steps):
    state = after(a_state(), Verb.KILL, *steps)
    assert (state.status, state.brake.verb) == (HALTED, Verb.KILL)


@given(steps=steps)
def test_whatever_holds_trading_back_one_rearming_with_its_code_ends_but_a_pause(steps):
    state = after(a_state(), *steps)
    given_code = code(state.brake, T0) if state.brake else ""
    result, status = outcome(state, Verb.REARM, given_code)
    paused = state.brake is not None and state.brake.verb is Verb.PAUSE
    assert (result is Outcome.REFUSED) == paused
    assert (status is ACTIVE) != paused


@given(steps=steps, verb=st.sampled_from([Verb.PAUSE, Verb.REDUCE, Verb.FLATTEN, Verb.KILL]))
def test_asking_again_for_what_is_in_force_is_done_and_changes_nothing(steps, verb):
    state = after(a_state(), *steps, verb)
    again = answer(state, asked(verb), T0)
    if state.brake.verb is verb:
        assert (again.outcome, again.status) == (Outcome.DONE, None)
        assert advance(state, again) == state


@pytest.mark.parametrize(
    ("verb", "status"),
    [(Verb.PAUSE, REDUCING), (Verb.REDUCE, REDUCING), (Verb.FLATTEN, HALTED), (Verb.KILL, HALTED)],
)
def test_each_command_sets_its_status_and_says_who_asked(verb, status):
    state = after(a_state(), verb)
    assert (state.status, state.brake.verb, state.brake.by) == (status, verb, "eva@desk")
    assert state.cause.endswith(" by eva@desk")


def test_resume_ends_a_pause_and_nothing_else():
    assert outcome(after(a_state(), Verb.PAUSE), Verb.RESUME) == (Outcome.DONE, ACTIVE)
    for step in (Verb.REDUCE, Verb.FLATTEN, Verb.KILL, GUARD, FOREIGN):
        state = after(a_state(), Verb.PAUSE, step)
        assert outcome(state, Verb.RESUME) == (Outcome.REFUSED, state.status)
    refused = answer(after(a_state(), GUARD), asked(Verb.RESUME), T0)
    assert "drawdown 15.2%" in refused.words
    assert "qt rearm" in refused.words


def test_a_code_fits_one_brake_for_ten_minutes():
    state = after(a_state(), GUARD)
    shown = code(state.brake, T0)
    for late in (timedelta(0), CODE_HOLDS - SECOND):
        assert outcome(state, Verb.REARM, shown, T0 + late) == (Outcome.DONE, ACTIVE)
    for given_code, now in (("", T0), ("000000", T0), (shown, T0 + CODE_HOLDS + timedelta(minutes=1))):
        assert outcome(state, Verb.REARM, given_code, now) == (Outcome.REFUSED, HALTED)
    again = after(after(state, CommandAnswered(T0, asked(Verb.REARM), Outcome.DONE, "", T0, ACTIVE)), Verb.KILL)
    assert outcome(again, Verb.REARM, shown) == (Outcome.REFUSED, HALTED)


def test_what_may_not_be_wanted_any_more_expires_and_what_closes_positions_waits():
    late = T0 + PATIENCE + SECOND
    for verb in Verb:
        event = answer(after(a_state(), Verb.PAUSE), asked(verb), late)
        waits = verb in (Verb.FLATTEN, Verb.KILL)
        assert (event.outcome is Outcome.EXPIRED) != waits
        assert (event.status is HALTED) == waits


def test_rearming_counts_the_drawdown_from_what_there_is():
    """Or the guard would halt it again at the next bar."""
    broken = a_state(cash=8_400, peak_equity=Decimal(10_000)).but(order_errors=5)
    halted = advance(broken, guard(broken, RiskLimits()))
    assert halted.brake.equity == 8_400
    again = advance(halted, answer(halted, asked(Verb.REARM, code=code(halted.brake, T0)), T0))
    assert (again.status, again.brake, again.peak_equity, again.order_errors) == (ACTIVE, None, 8_400, 0)
    assert guard(again, RiskLimits()) is None


def test_a_guard_that_says_again_what_holds_puts_no_new_brake_on():
    state = after(a_state(), GUARD)
    later = a_state(cash=9_000).but(brake=state.brake, status=HALTED)
    assert advance(later, StatusSet(T0 + SECOND, HALTED, GUARD.cause)).brake == state.brake


@given(steps=steps)
def test_a_halt_for_want_of_data_ends_and_what_held_before_it_still_does(steps):
    state = after(a_state(), *steps)
    ended = advance(state, StatusSet(T0, HALTED, END_OF_DATA))
    assert (ended.status, ended.brake) == (HALTED, state.brake)
    more = advance(ended, StatusSet(T0 + SECOND, ACTIVE, "there is more to trade"))
    assert (more.status, more.brake) == (state.status, state.brake)


def test_a_person_who_is_early_is_answered():
    """Before the first bar there is a state, and no time."""
    assert outcome(a_state().but(ts=START), Verb.KILL) == (Outcome.DONE, HALTED)
    assert advance(after(a_state(), Verb.KILL), BarClosed(T0, {})).status is HALTED


def protected(*positions, stops, **more):
    """`positions`, each with a confirmed stop of its full size at its price in `stops`."""
    orders = {}
    for position, stop in zip(positions, stops, strict=True):
        side = Side.SELL if position.quantity > 0 else Side.BUY
        intent = OrderIntent(
            f"s-{position.symbol}", position.symbol, side, abs(position.quantity), Role.STOP_LOSS, trigger=stop
        )
        orders[intent.client_id] = Order(intent, OrderStatus.OPEN)
    return a_state(*positions, orders=orders, **more)


def told(state, verb, now=T0, **what):
    event = answer(state, replace(asked(verb, at=now), **what), now)
    return event, advance(state, event)


prices = st.decimals(min_value=1, max_value=400, places=2)


@given(sign=st.sampled_from([1, -1]), stop=prices, wanted=prices, price=prices, tried=st.sampled_from([*INSTRUMENTS]))
def test_a_stop_that_a_person_moves_only_comes_nearer_and_stays_this_side_of_the_price(
    sign, stop, wanted, price, tried
):
    state = protected(a_position(sign * 2), stops=[stop], prices={"BTCUSDT": float(price)})
    event, after_it = told(state, Verb.TIGHTEN, symbol=tried, price=wanted)
    nearer = sign * (wanted - stop) > 0
    waits = sign * (float(price) - float(wanted)) > 0
    assert (event.outcome is Outcome.DONE) == (nearer and waits and tried == "BTCUSDT")
    for trade in after_it.trades.values():
        moved = stop_price(trade, a_position(sign * 2), BTC, 5, ExitParams())
        before = stop_price(state.trades["BTCUSDT"], a_position(sign * 2), BTC, 5, ExitParams())
        assert sign * (moved - before) >= 0
        if event.outcome is Outcome.DONE:
            assert sign * (moved - wanted) >= 0


def test_a_position_that_a_person_closes_goes_at_market_and_trading_goes_on():
    state = protected(a_position(2), a_position(-3, symbol="ETHUSDT"), stops=[Decimal(90), Decimal(110)])
    event, after_it = told(state, Verb.CLOSE, symbol="ETHUSDT")
    orders = [action.intent for action in plan(after_it, some_rules()) if isinstance(action, Submit)]
    (leaving,) = [order for order in orders if order.role is Role.EXIT]
    assert (leaving.symbol, leaving.quantity, leaving.reason) == ("ETHUSDT", 3, ExitReason.FLATTEN)
    assert leaving.reduce_only
    assert (event.outcome, after_it.status, after_it.brake) == (Outcome.DONE, ACTIVE, None)
    refused, same = told(state, Verb.CLOSE, symbol="XRPUSDT")
    assert (refused.outcome, same) == (Outcome.REFUSED, state)


def test_who_asks_the_session_to_end_is_remembered_until_the_next_one_opens():
    event, after_it = told(a_state(), Verb.STOP)
    assert (event.outcome, after_it.ending, after_it.status) == (Outcome.DONE, "eva@desk", ACTIVE)
    assert advance(after_it, SessionOpened(T0, "main", "r2", "sim", "")).ending == ""


names = st.sampled_from([*SETTABLE, "max_levrage", "clusters"])
changes = st.dictionaries(names, st.floats(-1, 2_000) | st.just(float("nan")) | st.integers(0, 5), max_size=3)


@given(changes=changes, reason=st.sampled_from(["", "eva slept on it"]), hours=st.integers(0, 60))
def test_a_person_tightens_limits_at_once_and_loosens_them_only_for_the_next_day_with_a_reason(changes, reason, hours):
    limits, now = RiskLimits(), T0 + timedelta(hours=hours)
    recorded = LimitsSet(T0, "r1", plain(limits), plain(limits), T0, "eva@desk", settings=plain(limits))
    event, after_it = told(a_state(limits=recorded), Verb.LIMITS, now, limits=changes, reason=reason)
    holding = limits_of(after_it.limits.in_force, limits)
    assert tighter(holding, limits) == holding  # nothing is looser than it was
    if event.outcome is Outcome.REFUSED:
        assert after_it.limits == recorded
        return
    asked_for_ = limits_of({**recorded.asked, **changes}, limits)
    assert holding == tighter(limits, asked_for_)  # and all that is stricter holds
    assert reason or holding == asked_for_
    assert in_force(asked_for_, after_it.limits, now + timedelta(days=1)) == asked_for_
