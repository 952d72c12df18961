from datetime import timedelta
from decimal import Decimal

import pytest
from builders import HOUR, T0, a_bar
from hypothesis import given, settings
from hypothesis import strategies as st
from made_journal import DEPOSIT, PLAN, D, a_close, a_fill, a_position, a_request, made_journal

from qtlib.domain.events import (
    BarClosed,
    CashCorrected,
    CashMoved,
    DecisionMade,
    FundingPaid,
    OrderChanged,
    PositionAdopted,
)
from qtlib.domain.orders import ExitPlan, ExitReason, ExitSource, OrderStatus, OrderType, Role, Side
from qtlib.report.columns import DECISIONS, EQUITY, TRADES
from qtlib.report.tables import bars, tables

SOL = "SOLUSDT"
CENT = Decimal("0.005")


def a_long_trade():
    """Two bought at 100, a quarter taken at 103, the rest stopped at 101 in two fills."""
    t1, t2, t3 = T0 + HOUR, T0 + 2 * HOUR, T0 + 3 * HOUR
    return [
        DEPOSIT,
        a_close(T0, SOLUSDT=100.0),
        a_request("entry", SOL, Side.BUY, 2, exits=PLAN, expected=D("99.9"), confidence=0.7, model_version="m1"),
        a_fill("entry", SOL, Side.BUY, 2, 100, fee="0.10"),
        a_request(
            "stop", SOL, Side.SELL, 2, Role.STOP_LOSS, trigger=D(98), reason=ExitReason.TRAILING, expected=D(101)
        ),
        OrderChanged(T0 + timedelta(seconds=2), "stop", OrderStatus.OPEN),
        a_request("target", SOL, Side.SELL, "0.5", Role.TAKE_PROFIT, price=D(103)),
        OrderChanged(T0 + timedelta(seconds=2), "target", OrderStatus.OPEN),
        FundingPaid(t1, SOL, D("-0.40"), 0.001),
        BarClosed(t1, {SOL: a_bar(t1, 100, 102, 99, 102)}),
        a_fill("target", SOL, Side.SELL, "0.5", 103, fee="0.02575", ts=t2),
        BarClosed(t2, {SOL: a_bar(t2, 102, 104, 102, 102)}),
        a_fill("stop", SOL, Side.SELL, 1, 101, fee="0.0505", ts=t3),
        a_fill("stop", SOL, Side.SELL, "0.5", "100.7", fee="0.025", ts=t3),
        BarClosed(t3, {SOL: a_bar(t3, 102, 102, 100, 100)}),
    ]


def test_a_trade_with_a_partial_leaves_two_rows_that_say_everything():
    partial, rest = tables(a_long_trade()).trades.to_dict("records")
    assert partial == {
        "trade_id": "entry",
        "symbol": SOL,
        "side": "long",
        "quantity": 0.5,
        "entry_ts": T0,
        "entry_price": 100.0,
        "exit_ts": T0 + 2 * HOUR,
        "exit_price": 103.0,
        "exit_reason": "partial",
        "fees_quote": pytest.approx(0.05075),  # a quarter of 0.10, and 0.02575
        "funding_quote": pytest.approx(-0.10),
        "pnl_quote": pytest.approx(1.34925),  # 1.5 - 0.05075 - 0.10
        "pnl_frac": pytest.approx(0.026985),  # of 50
        "r_multiple": pytest.approx(1.34925),  # 2 % of 50 were at risk
        "mae_frac": pytest.approx(-0.01),
        "mfe_frac": pytest.approx(0.03),
        "confidence": 0.7,
        "model_version": "m1",
        "exits_source": "static",
        "stop_price": 98.0,
        "take_profit_price": 103.0,
    }
    assert (rest["exit_reason"], rest["quantity"], rest["trade_id"]) == ("trailing", 1.5, "entry")
    assert rest["exit_price"] == pytest.approx(100.9)  # (101 + 50.35) / 1.5
    assert rest["pnl_quote"] == pytest.approx(1.35 - 0.0755 - 0.075 - 0.30)
    assert rest["mfe_frac"] == pytest.approx(0.04)


def test_the_frames_have_the_columns_that_were_promised():
    full, empty = tables(made_journal(100)), tables([])
    for made in (full, empty):
        assert dict(made.trades.dtypes.astype(str)) == TRADES
        assert dict(made.equity.dtypes.astype(str)) == EQUITY
        assert dict(made.decisions.dtypes.astype(str)) == DECISIONS


def test_a_row_of_equity_takes_in_its_own_instant_and_nothing_later():
    equity = tables(a_long_trade()).equity.set_index("ts")
    assert equity.open_positions.tolist() == [1, 1, 1, 0]
    assert equity.equity_quote.tolist() == pytest.approx(
        [
            10_000 - 0.10,
            10_000 - 0.10 - 0.40 + 4,
            10_000 - 0.10 - 0.40 + 1.5 - 0.02575 + 3,
            10_000 - 0.10 - 0.40 + 1.5 - 0.02575 + 1.35 - 0.0755,
        ]
    )
    assert equity.gross_exposure_quote.tolist() == [200.0, 200.0, 150.0, 0.0]
    assert equity.drawdown_frac.iloc[-1] == pytest.approx(1 - equity.equity_quote.iloc[-1] / equity.equity_quote.max())
    assert equity.drawdown_frac.iloc[0] == pytest.approx(0.10 / 10_000)  # below what the run started with


def test_slippage_is_what_fills_cost_against_the_prices_reckoned_with():
    summary = tables(a_long_trade()).summary
    assert summary.slippage == D("0.1") * 2 + 0 + D("0.3") * D("0.5")
    assert tables([DEPOSIT, a_close(T0, SOLUSDT=1.0)]).summary.slippage is None


def test_naked_time_runs_from_the_fill_to_the_confirmed_stop():
    assert tables(a_long_trade()).summary.naked_seconds_max == 2
    assert tables(made_journal(5, entry_rate=0)).summary.naked_seconds_max is None
    unprotected = [
        DEPOSIT,
        a_close(T0, SOLUSDT=100.0),
        a_fill("x", SOL, Side.BUY, 1, 100),
        a_close(T0 + HOUR, SOLUSDT=100.0),
    ]
    assert tables(unprotected).summary.naked_seconds_max == 3600


def test_levels_follow_what_rests_at_the_exchange():
    levels = tables(a_long_trade()).levels
    assert levels.stop_price.dropna().tolist() == [98.0, 98.0, 98.0]
    assert levels.trade_id.iloc[-1] == ""
    assert levels.take_profit_price.iloc[-2:].isna().all()  # filled, then closed


@pytest.mark.parametrize(("side", "nearer"), [(Side.BUY, 99.0), (Side.SELL, 98.0)])
def test_while_a_stop_is_being_replaced_the_nearer_one_counts(side, nearer):
    journal = [DEPOSIT, a_close(T0, SOLUSDT=100.0), a_fill("in", SOL, side, 1, 100)]
    for name, trigger in (("s1", 98), ("s2", 99), ("s3", 98)):
        journal.append(a_request(name, SOL, side.opposite, 1, Role.STOP_LOSS, trigger=D(trigger)))
        journal.append(OrderChanged(T0 + HOUR, name, OrderStatus.OPEN))
    journal.append(a_fill("out", SOL, side.opposite, 1, 100, ts=T0 + HOUR))
    assert tables(journal).trades.stop_price.tolist() == [nearer]


@pytest.mark.parametrize(
    ("role", "reason", "closed", "expected"),
    [
        (Role.TAKE_PROFIT, None, 1, "partial"),
        (Role.TAKE_PROFIT, None, 2, "take_profit"),
        (Role.STOP_LOSS, ExitReason.STOP_LOSS, 2, "stop_loss"),
        (Role.STOP_LOSS, ExitReason.TRAILING, 2, "trailing"),
        (Role.NET_STOP, None, 2, "stop_loss"),
        (Role.EXIT, ExitReason.TIME_STOP, 2, "time_stop"),
        (Role.EXIT, ExitReason.END, 2, "end"),
        (Role.EXIT, None, 2, "flatten"),
        (Role.ENTRY, None, 2, "signal"),
    ],
)
def test_the_exit_reason_is_the_closing_orders_own(role, reason, closed, expected):
    opened = [DEPOSIT, a_close(T0, SOLUSDT=100.0), a_fill("in", SOL, Side.BUY, 2, 100)]
    out = [a_request("out", SOL, Side.SELL, closed, role, reason=reason), a_fill("out", SOL, Side.SELL, closed, 101)]
    assert tables(opened + out).trades.exit_reason.tolist() == [expected]


def test_a_liquidation_and_a_strangers_order_are_told_apart():
    opened = [DEPOSIT, a_close(T0, SOLUSDT=100.0), a_fill("in", SOL, Side.BUY, 2, 100)]
    out = [a_fill("autoclose-SOLUSDT-1", SOL, Side.SELL, 1, 80), a_fill("web_17", SOL, Side.SELL, 1, 80)]
    assert tables(opened + out).trades.exit_reason.tolist() == ["liquidation", "flatten"]


def test_what_the_insurance_bore_of_a_liquidation_is_no_loss_of_ours():
    journal = [
        DEPOSIT,
        a_close(T0, SOLUSDT=100.0),
        a_fill("in", SOL, Side.BUY, 1, 100),
        a_fill("autoclose-SOLUSDT-1", SOL, Side.SELL, 1, 75, fee="1", ts=T0 + HOUR),
        CashMoved(T0 + HOUR, D(6), "insurance_clear", "insurance-1"),
        a_close(T0 + 2 * HOUR, SOLUSDT=75.0),
    ]
    made = tables(journal)
    assert made.trades.pnl_quote.tolist() == [-20.0]  # of the 20 that five times leverage put at stake
    assert (made.summary.moved, made.summary.final_equity) == (0, 9_980)
    _holds(made)


def test_a_short_trade_counts_its_excursions_the_other_way():
    journal = [
        DEPOSIT,
        a_close(T0, SOLUSDT=100.0),
        a_fill("in", SOL, Side.SELL, 1, 100),
        BarClosed(T0 + HOUR, {SOL: a_bar(T0 + HOUR, 100, 105, 90, 95)}),
        a_fill("out", SOL, Side.BUY, 1, 95, ts=T0 + 2 * HOUR),
    ]
    row = tables(journal).trades.iloc[0]
    assert (row.side, row.pnl_quote, row.mae_frac, row.mfe_frac) == ("short", 5.0, -0.05, pytest.approx(0.10))


def test_an_order_that_turns_a_position_over_closes_one_trade_and_opens_the_next():
    journal = [
        DEPOSIT,
        a_close(T0, SOLUSDT=100.0),
        a_fill("long", SOL, Side.BUY, 1, 100, fee="0.1"),
        a_fill("turn", SOL, Side.SELL, 3, 110, fee="0.3"),
        a_fill("out", SOL, Side.BUY, 2, 100, fee="0.2"),
    ]
    trades = tables(journal).trades
    assert trades.trade_id.tolist() == ["long", "turn"]
    assert trades.pnl_quote.tolist() == pytest.approx([10 - 0.1 - 0.1, 20 - 0.2 - 0.2])


def test_what_vanished_at_the_venue_leaves_a_row_without_an_exit_price():
    gone = PositionAdopted(T0 + HOUR, a_position(SOL, 0, 0), None, "journal long 1, venue flat")
    journal = [DEPOSIT, a_close(T0, SOLUSDT=100.0), a_fill("in", SOL, Side.BUY, 1, 100, fee="0.1"), gone]
    made = tables(journal)
    row = made.trades.iloc[0]
    assert row.exit_price != row.exit_price
    assert (row.exit_reason, row.pnl_quote) == ("flatten", -0.1)
    _holds(made)


def test_a_recovered_position_says_so():
    held = PositionAdopted(T0, a_position(SOL, "-67.1", "2.2211"), None, "venue short 67.1, journal flat")
    journal = [DEPOSIT, a_close(T0, SOLUSDT=2.2), held, a_fill("out", SOL, Side.BUY, "67.1", "2.1767", ts=T0 + HOUR)]
    row = tables(journal).trades.iloc[0]
    assert (row.exits_source, row.side) == ("recovered", "short")
    assert f"{row.pnl_frac:+.2%}" == "+2.00%"


def test_money_moved_later_is_no_profit_and_money_moved_before_is_the_start():
    deposit = CashMoved(T0 + HOUR, D(500), "deposit", "d1")
    later = CashCorrected(T0 + 2 * HOUR, D(-20))
    journal = [DEPOSIT, a_close(T0, SOLUSDT=1.0), deposit, later, a_close(T0 + 3 * HOUR, SOLUSDT=1.0)]
    made = tables(journal)
    assert (made.summary.start_equity, made.summary.moved, made.summary.final_equity) == (10_000, 480, 10_480)
    assert made.equity.drawdown_frac.tolist() == [0.0, 0.0]
    _holds(made)


def test_bars_come_back_as_they_were_heard():
    frame = bars(a_long_trade())[SOL]
    assert frame.loc[T0 + HOUR].to_dict() == {"open": 100, "high": 102, "low": 99, "close": 102, "volume": 1e6}


def test_every_verdict_is_a_row():
    journal = made_journal(50)
    verdicts = [v for e in journal if isinstance(e, DecisionMade) for v in e.decision.verdicts]
    decisions = tables(journal).decisions
    assert decisions.symbol.tolist() == [v.symbol for v in verdicts]
    assert decisions.action.tolist() == [v.choice.value for v in verdicts]
    assert decisions.wanted_notional_quote.tolist() == [v.wanted_notional for v in verdicts]


# --- laws -------------------------------------------------------------------------------------------------

prices = st.integers(50, 150).map(lambda p: Decimal(p) + Decimal("0.37"))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.sampled_from(Side), st.integers(1, 9), prices),
        st.tuples(st.just("bar"), prices),
        st.tuples(st.just("funding"), st.decimals(-3, 3, places=4)),
        st.tuples(st.just("move"), st.decimals(-300, 300, places=2)),
        st.tuples(st.just("adopt"), st.integers(-9, 9), prices),
    ),
    max_size=30,
)
PLANS = st.sampled_from([None, PLAN, ExitPlan(0.01, 0.05, source=ExitSource.AI)])


@given(steps, PLANS)
@settings(max_examples=150, deadline=None)
def test_rows_and_open_pnl_add_up_to_the_change_of_equity(plan_of_steps, exits):
    _holds(tables(_written(plan_of_steps, exits)))


@given(steps, st.integers(2, 4))
@settings(max_examples=100, deadline=None)
def test_fills_add_up_however_they_are_split(plan_of_steps, parts):
    whole, split = tables(_written(plan_of_steps)), tables(_written(plan_of_steps, parts=parts))
    assert split.summary.net_pnl == pytest.approx(whole.summary.net_pnl)
    assert split.summary.open_pnl == pytest.approx(whole.summary.open_pnl)
    assert len(split.trades) == len(whole.trades)
    for column in ("quantity", "entry_price", "exit_price", "pnl_quote", "fees_quote", "mae_frac", "mfe_frac"):
        assert split.trades[column].tolist() == pytest.approx(whole.trades[column].tolist(), nan_ok=True), column


@given(steps, st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_a_history_cut_in_two_adds_up_to_the_whole(plan_of_steps, where):
    journal = _written(plan_of_steps)
    whole, cut = tables(journal), round(where * len(journal))
    first = tables(journal[:cut])
    second = tables(journal[cut:], first.state, first.carried)
    _holds(first)
    _holds(second)
    for name in ("gross_pnl", "fees"):
        halves = getattr(first.summary, name) + getattr(second.summary, name)
        assert halves == pytest.approx(getattr(whole.summary, name)), name
    assert len(first.equity) + len(second.equity) == len(whole.equity)
    assert second.summary.open_pnl == pytest.approx(whole.summary.open_pnl)


@pytest.mark.parametrize("seed", range(3))
def test_a_whole_history_keeps_its_books(seed):
    made = tables(made_journal(600, seed))
    _holds(made)
    assert made.equity.gross_exposure_quote.max() <= float(made.summary.max_gross_exposure)
    assert made.equity.open_positions.max() <= 3
    assert (made.trades.mae_frac <= 0).all()
    assert (made.trades.mfe_frac >= 0).all()
    assert made.trades.exit_ts.is_monotonic_increasing


def _holds(made):
    s = made.summary
    earned = s.final_equity - s.start_equity - s.moved
    assert abs(s.net_pnl + s.open_pnl - s.open_pnl_start - earned) < CENT
    assert s.gross_pnl - s.fees + s.funding == s.net_pnl
    assert made.trades.pnl_quote.sum() == pytest.approx(float(s.net_pnl), abs=1e-6)
    assert made.trades.funding_quote.sum() == pytest.approx(float(s.funding), abs=1e-6)


def _written(plan_of_steps, exits=None, parts=1):
    """The journal of random steps, an hour apart, each order in `parts` fills."""
    journal = [DEPOSIT, a_close(T0, SOLUSDT=100.0)]
    for n, (kind, *what) in enumerate(plan_of_steps, 1):
        ts = T0 + n * HOUR
        if kind == "trade":
            side, lots, price = what
            intent = {"exits": exits, "type": OrderType.MARKET, "expected": price}
            journal.append(a_request(f"o{n}", SOL, side, lots, ts=ts, **intent))
            for part in range(parts):
                quantity = Decimal(lots) / parts if parts in (2, 4) else Decimal(lots * 1000 // parts) / 1000
                quantity = Decimal(lots) - quantity * (parts - 1) if part == parts - 1 else quantity
                fee = quantity * price * Decimal("0.0005")
                journal.append(a_fill(f"o{n}", SOL, side, quantity, price, fee, ts, f"f{n}-{part}"))
        elif kind == "bar":
            journal.append(a_close(ts, SOLUSDT=float(what[0])))
        elif kind == "funding":
            journal.append(FundingPaid(ts, SOL, what[0], 0.0001))
        elif kind == "move":
            journal.append(CashMoved(ts, what[0], "moved", f"m{n}"))
        else:
            journal.append(PositionAdopted(ts, a_position(SOL, what[0], what[1] if what[0] else 0), None, "made up"))
    return journal
