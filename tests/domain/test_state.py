"""State changes by events only, and each knows what it must of an open trade."""

from dataclasses import replace
from decimal import Decimal

from builders import HOUR, T0, a_bar, a_plan, a_position, a_state

from qtlib.domain.account import Position
from qtlib.domain.decisions import Decision
from qtlib.domain.orders import ExitPlan, Fill, OrderIntent, OrderStatus, OrderType, Role, Side
from qtlib.domain.state import (
    BarClosed,
    CashMoved,
    DecisionMade,
    Filled,
    FundingPaid,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
    State,
    advance,
)


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
