"""State changes by events only, and each knows what it must of an open trade."""

from dataclasses import replace
from decimal import Decimal

import pytest
from builders import HOUR, T0, a_bar, a_plan, a_position, a_state

from qtlib.domain.account import Position
from qtlib.domain.advance import advance
from qtlib.domain.decisions import Decision, Target
from qtlib.domain.events import (
    BarClosed,
    CashCorrected,
    CashMoved,
    DecisionMade,
    Filled,
    FundingPaid,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
)
from qtlib.domain.orders import ExitPlan, Fill, OrderIntent, OrderStatus, OrderType, Role, Side
from qtlib.domain.state import State


def fold(state, *events):
    for event in events:
        state = advance(state, event)
    return state


def an_order(client_id="qt-1", side=Side.BUY, quantity="1", role=Role.ENTRY, **more):
    return OrderIntent(client_id, "BTCUSDT", side, Decimal(quantity), role, **more)


def a_fill(order, price, fill_id="1", quantity=None, fee="0"):
    fill = Fill(
        fill_id, order.client_id, "BTCUSDT", order.side, quantity or order.quantity, Decimal(price), Decimal(fee), T0
    )
    return Filled(T0, fill)


def test_a_trade_begins_with_its_first_fill_and_ends_when_flat():
    entry, out = an_order(exits=a_plan(), confidence=0.7), an_order("qt-2", Side.SELL, role=Role.EXIT)
    state = fold(State(ts=T0), OrderRequested(T0, entry), a_fill(entry, 100))
    trade = state.trades["BTCUSDT"]
    assert (trade.trade_id, trade.best, trade.worst, trade.confidence) == ("qt-1", 100.0, 100.0, 0.7)
    assert trade.exits == a_plan()
    assert trade.naked_since == T0
    state = fold(state, OrderRequested(T0, out), a_fill(out, 101, "2"))
    assert (state.trades, state.account.positions, state.left) == ({}, {}, {"BTCUSDT": T0})


def test_a_position_is_naked_until_a_stop_of_its_whole_size_is_confirmed():
    state = a_state(a_position(2))
    small = an_order("s1", Side.SELL, "1", Role.STOP_LOSS, type=OrderType.STOP_MARKET, trigger=Decimal(98))
    whole = replace(small, client_id="s2", quantity=Decimal(2))
    state = fold(state, OrderRequested(T0, small), OrderChanged(T0, "s1", OrderStatus.OPEN))
    assert state.trades["BTCUSDT"].naked_since == T0
    state = fold(state, OrderRequested(T0, whole))
    assert state.trades["BTCUSDT"].naked_since == T0
    state = fold(state, OrderChanged(T0, "s2", OrderStatus.OPEN))
    assert state.trades["BTCUSDT"].naked_since is None
    state = fold(state, OrderChanged(T0 + HOUR, "s2", OrderStatus.CANCELED))
    assert state.trades["BTCUSDT"].naked_since == T0 + HOUR


def test_extremes_come_from_bars_after_the_entry_only():
    state = a_state(a_position(-1))
    state = fold(state, BarClosed(T0, {"BTCUSDT": a_bar(T0, 100, high=150, low=50)}))
    assert (state.trades["BTCUSDT"].best, state.trades["BTCUSDT"].worst) == (100.0, 100.0)
    state = fold(state, BarClosed(T0 + HOUR, {"BTCUSDT": a_bar(T0 + HOUR, 100, high=104, low=97)}))
    assert (state.trades["BTCUSDT"].best, state.trades["BTCUSDT"].worst) == (97.0, 104.0)


def test_positions_are_valued_at_the_mark_where_there_is_one():
    state = a_state(a_position(1))
    bar = {"BTCUSDT": a_bar(T0 + HOUR, 110)}
    assert fold(state, BarClosed(T0 + HOUR, bar)).equity == Decimal(10_010)
    assert fold(state, BarClosed(T0 + HOUR, bar, {"BTCUSDT": 109.0})).equity == Decimal(10_009)


def test_the_days_first_equity_and_fees_start_anew_at_midnight():
    late = T0.replace(hour=23)
    state = fold(State(), CashMoved(T0, Decimal(1_000), "deposit", "1"), BarClosed(late, {}))
    assert state.day_equity == 1_000
    state = fold(state.but(day_fees=Decimal(9)), FundingPaid(late, "BTCUSDT", Decimal(-10), 0.001))
    state = fold(state, BarClosed(late + HOUR, {}))
    assert (state.day_equity, state.day_fees, state.peak_equity) == (990, 0, 1_000)


def test_a_withdrawal_is_no_drawdown():
    state = fold(State(), CashMoved(T0, Decimal(1_000), "deposit", "1"), BarClosed(T0, {}))
    state = fold(state, CashMoved(T0, Decimal(-400), "withdrawal", "2"))
    assert state.peak_equity == state.equity == 600


def test_what_is_known_of_a_trade_survives_a_correction_of_its_size():
    state = a_state(a_position(2))
    known = replace(state.trades["BTCUSDT"], best=120.0, partial_taken=True)
    state = state.but(trades={"BTCUSDT": known})
    fewer = Position("BTCUSDT", Decimal(1), Decimal(100))
    after = fold(state, PositionAdopted(T0, fewer, ExitPlan(0.015, 0.01), "by hand"))
    assert after.account.position("BTCUSDT") == fewer
    assert (after.trades["BTCUSDT"].best, after.trades["BTCUSDT"].partial_taken) == (120.0, True)


def test_a_partially_filled_target_that_expires_counts_as_taken():
    state = a_state(a_position(1))
    target = an_order("t1", Side.SELL, "0.5", Role.TAKE_PROFIT, type=OrderType.TAKE_PROFIT_MARKET, trigger=Decimal(103))
    state = fold(state, OrderRequested(T0, target), a_fill(target, 103, quantity=Decimal("0.2")))
    assert not state.trades["BTCUSDT"].partial_taken
    state = fold(state, OrderChanged(T0, "t1", OrderStatus.EXPIRED))
    assert state.trades["BTCUSDT"].partial_taken


def test_time_never_goes_back():
    state = fold(State(), BarClosed(T0 + HOUR, {}), DecisionMade(T0 + HOUR, Decision(T0 + HOUR)))
    state = fold(state, BarClosed(T0, {}), DecisionMade(T0, Decision(T0)))
    assert state.ts == state.decided == T0 + HOUR


def a_round(state, number, price_out, funding="0", fee="0.1", ts=T0):
    entry, out = an_order(f"e{number}"), an_order(f"x{number}", Side.SELL, role=Role.EXIT)
    state = fold(state, OrderRequested(ts, entry), a_fill(entry, 100, f"{number}i", fee=fee))
    state = fold(state, FundingPaid(ts + number * HOUR, "BTCUSDT", Decimal(funding), 0.0001))
    return fold(state, OrderRequested(ts, out), a_fill(out, price_out, f"{number}o", fee=fee))


@pytest.mark.parametrize(
    ("price_out", "funding", "lost"),
    [(101, "0", False), (99, "0", True), ("100.1", "0", True), ("100.3", "-0.2", True), ("99.9", "0.4", False)],
)
def test_a_loss_is_what_lost_after_fees_and_funding(price_out, funding, lost):
    state = a_round(State(ts=T0), 1, price_out, funding)
    assert (state.losses_in_row, state.lost == T0) == (int(lost), lost)


def test_losses_in_a_row_are_counted_until_a_trade_is_won():
    state = State(ts=T0)
    for number, price_out in enumerate([99, 99, 99]):
        state = a_round(state, number, price_out)
    assert state.losses_in_row == 3
    assert a_round(state, 4, 110).losses_in_row == 0


def test_a_trade_that_took_a_profitable_partial_is_judged_as_a_whole():
    entry, part, rest = an_order("e"), an_order("p", Side.SELL, role=Role.TAKE_PROFIT), an_order("x", Side.SELL)
    state = fold(State(ts=T0), OrderRequested(T0, entry), a_fill(entry, 100, "i"))
    state = fold(state, a_fill(part, 110, "p", quantity=Decimal("0.5")))
    assert state.trades["BTCUSDT"].net == 5
    assert fold(state, a_fill(rest, 91, "o", quantity=Decimal("0.5"))).losses_in_row == 0
    assert fold(state, a_fill(rest, 89, "o", quantity=Decimal("0.5"))).losses_in_row == 1


def test_a_trade_that_was_found_counts_neither_way():
    found = fold(State(ts=T0), PositionAdopted(T0, Position("BTCUSDT", Decimal(1), Decimal(100)), None, "by hand"))
    out = an_order("x", Side.SELL, role=Role.EXIT)
    assert fold(found.but(losses_in_row=3), a_fill(out, 90)).losses_in_row == 3


def test_orders_that_are_refused_or_lost_are_counted_until_one_is_filled():
    state = State(ts=T0)
    for number, status in enumerate([OrderStatus.REJECTED, OrderStatus.LOST, OrderStatus.EXPIRED]):
        order = an_order(f"e{number}")
        state = fold(state, OrderRequested(T0, order), OrderChanged(T0, order.client_id, status))
    stop = an_order("s", Side.SELL, role=Role.STOP_LOSS, type=OrderType.STOP_MARKET, trigger=Decimal(98))
    state = fold(state, OrderRequested(T0, stop), OrderChanged(T0, "s", OrderStatus.REJECTED))
    assert state.order_errors == 2  # what expired was heard, and what should have protected is answered by an exit
    good = an_order("g")
    assert fold(state, OrderRequested(T0, good), a_fill(good, 100)).order_errors == 0


def test_idle_is_the_time_in_which_nothing_is_held_or_wanted():
    quiet = [DecisionMade(T0 + n * HOUR, Decision(T0 + n * HOUR)) for n in range(4)]
    state = fold(State(), *quiet[:2])
    assert state.idle_since == T0
    wish = DecisionMade(T0, Decision(T0, {"BTCUSDT": Target("BTCUSDT", Decimal(1))}))
    assert fold(state, wish).idle_since is None
    assert fold(state, wish, *quiet[2:]).idle_since == T0 + 2 * HOUR
    assert fold(a_state(a_position(1)), *quiet).idle_since is None


def test_what_is_missing_without_an_explanation_counts_as_lost_and_what_is_found_is_no_profit():
    state = fold(State(), CashMoved(T0, Decimal(1_000), "deposit", "1"), BarClosed(T0, {}))
    less = fold(state, CashCorrected(T0, Decimal(-40)))
    assert (less.equity, less.peak_equity, less.day_equity) == (960, 1_000, 1_000)
    more = fold(state, CashCorrected(T0, Decimal(40)))
    assert (more.equity, more.peak_equity, more.day_equity) == (1_040, 1_040, 1_040)


def test_an_entry_is_wished_at_the_price_of_its_bar_and_lapses_with_the_next():
    enter, leave = Target("BTCUSDT", Decimal(1), ts=T0), Target("ETHUSDT", Decimal(0), ts=T0)
    state = fold(State(ts=T0), DecisionMade(T0, Decision(T0, {"BTCUSDT": enter, "ETHUSDT": leave})))
    assert {*advance(state, BarClosed(T0, {"BTCUSDT": a_bar()})).targets} == {"BTCUSDT", "ETHUSDT"}
    later = T0 + HOUR
    assert {*advance(state, BarClosed(later, {"BTCUSDT": a_bar(later)})).targets} == {"ETHUSDT"}


def test_a_refused_stop_of_a_position_that_was_turned_over_says_nothing_of_the_new_one():
    stop = an_order("s1", Side.SELL, "1", Role.STOP_LOSS, type=OrderType.STOP_MARKET, trigger=Decimal(98))
    refused = [OrderRequested(T0, stop), OrderChanged(T0, "s1", OrderStatus.REJECTED, "-2022")]
    assert fold(a_state(a_position(1)), *refused).trades["BTCUSDT"].refused == (Role.STOP_LOSS,)
    assert fold(a_state(a_position(-1)), *refused).trades["BTCUSDT"].refused == ()
