"""The golden vectors that the product promises, each through the function that trades by it."""

from decimal import Decimal

import pytest
from builders import T0, XRP, a_plan, a_position, a_signal, a_state, protective, some_rules

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Choice, Moment, Reason
from qtlib.domain.events import OrderRequested, PositionAdopted
from qtlib.domain.orders import ExitPlan, OrderStatus, Role, Side, Submit
from qtlib.domain.state import ExchangeSnapshot, State
from qtlib.rules import formulas
from qtlib.rules.decide import decide
from qtlib.rules.limits import RiskLimits
from qtlib.rules.plan import plan
from qtlib.rules.recovery import reconcile
from qtlib.rules.sizing import SizingParams, size
from qtlib.rules.tpsl import Costs, ExitParams, exit_plan


@pytest.mark.parametrize(
    ("confidence", "notional"),
    [(0.50, 100.0), (0.55, 115.5), (0.60, 132.0), (0.643, 147.0), (0.65, 149.5), (0.70, 168.0), (0.75, 187.5)],
)
def test_the_seed_profile_sizes_by_confidence(confidence, notional):
    wanted = size(a_signal(confidence=confidence), a_plan(), 10_000.0, SizingParams(), ExitParams())
    assert round(wanted, 1) == notional


@pytest.mark.parametrize("confidence", [0.781, 0.9, 1.0])
def test_a_trade_is_capped_at_its_notional(confidence):
    signal = a_signal(confidence=confidence)
    assert size(signal, a_plan(), 10_000.0, SizingParams(), ExitParams()) >= 200
    decision = decide(Moment(T0, {}, (signal,)), a_state(prices={"BTCUSDT": 100.0}), some_rules())
    (target,) = decision.targets.values()
    assert target.quantity * target.worst_price <= 200 < (target.quantity + Decimal("0.01")) * target.worst_price


def test_profit_is_a_fraction_of_entry_notional():
    assert f"{a_position(1, '141.7910').pnl_frac(Decimal('141.8900')):+.4%}" == "+0.0698%"
    assert f"{a_position(-1, '2.2211').pnl_frac(Decimal('2.1767')):+.2%}" == "+2.00%"


def test_profit_from_an_unknown_entry_is_an_error_not_zero():
    with pytest.raises(ValueError, match="known entry price"):
        a_position(1, 0).pnl_frac(Decimal(5))


def test_one_slot_left_goes_to_the_largest_of_three():
    rules = some_rules(limits=RiskLimits(max_positions=2))
    state = a_state(a_position(1, 50, "XRPUSDT"))
    signals = (a_signal("BTCUSDT", confidence=0.6), a_signal("ETHUSDT", confidence=0.7))
    decision = decide(Moment(T0, {}, signals), state, rules)
    assert list(decision.targets) == ["ETHUSDT"]
    (refused,) = [v for v in decision.verdicts if v.choice is Choice.REFUSED]
    assert (refused.symbol, refused.reason, refused.rule) == ("BTCUSDT", Reason.POSITION_LIMIT, "positions")


def test_a_planned_exit_frees_no_slot():
    rules = some_rules(limits=RiskLimits(max_positions=1))
    leaving = a_signal("XRPUSDT", score=-0.9)
    decision = decide(
        Moment(T0, {}, (leaving, a_signal("BTCUSDT"))), a_state(a_position(10, 1, "XRPUSDT"), prices={}), rules
    )
    assert [t.quantity for t in decision.targets.values()] == [0]
    assert {v.symbol: v.reason for v in decision.verdicts}["BTCUSDT"] is Reason.POSITION_LIMIT


@pytest.mark.parametrize(
    ("confidence", "score", "volatility", "levels"),
    [
        (0.95, 0.85, 0.020, (9.19, 2.40, 2.40, 0.50)),
        (0.75, 0.65, 0.025, (6.75, 3.75, 2.50, 0.60)),
        (0.55, 0.55, 0.030, (5.38, 4.50, 2.40, 0.75)),
        (0.25, 0.45, 0.040, (4.10, 5.00, 1.50, 1.00)),
    ],
)
def test_the_seed_exit_profile(confidence, score, volatility, levels):
    signal = a_signal(confidence=confidence, score=score, volatility_frac=volatility)
    made = exit_plan(signal, ExitParams(profile="seed"), Costs())
    shown = [f"{100 * x:.2f}" for x in (made.take_profit_frac, made.stop_frac, made.trail_frac)]
    assert shown == [f"{x:.2f}" for x in levels[:3]]
    assert made.partial_frac == levels[3]


def test_the_one_r_profile_is_the_specification():
    made = exit_plan(a_signal(volatility_frac=0.01), ExitParams(), Costs())
    assert made.stop_frac == made.take_profit_frac == made.trail_frac == 0.02
    assert (made.partial_frac, made.trail_from_start, made.time_stop_s) == (0.30, False, 7200.0)
    assert made.net_frac == pytest.approx(0.026)
    assert made.breakeven_frac == formulas.round_trip_cost_frac(0.0005, 0.0002)


def test_one_r_never_risks_more_than_one_and_a_half_r():
    risky = SizingParams(profile="risk", risk_frac=0.10)
    made = exit_plan(a_signal(), ExitParams(), Costs())
    wanted = size(a_signal(), made, 10_000.0, risky, ExitParams())
    assert wanted * made.stop_frac == pytest.approx(1.5 * 0.015 * 10_000)


def test_break_even_win_rates():
    assert f"{ExitPlan(0.020, 0.078).breakeven_win_rate_frac:.1%}" == "20.4%"
    static = ExitParams()
    assert ExitPlan(static.sl_frac, static.tp_frac).breakeven_win_rate_frac == pytest.approx(0.60)


def test_a_position_without_state_is_adopted_with_its_stop_first():
    found = a_position("-67.1", "2.2211", "XRPUSDT")
    there = ExchangeSnapshot(T0, Decimal(1000), {"XRPUSDT": found})
    state = State(ts=T0)
    events = list(reconcile(state, there, some_rules()))
    for event in events:
        state = advance(state, event)

    assert state.account.position("XRPUSDT") == found
    trade = state.trades["XRPUSDT"]
    assert (trade.recovered, trade.best, trade.worst) == (True, 2.2211, 2.2211)
    first = plan(state, some_rules())[0]
    assert isinstance(first, Submit)
    stop = first.intent
    assert (stop.role, stop.side, stop.quantity) == (Role.STOP_LOSS, Side.BUY, Decimal("67.1"))
    assert stop.trigger == XRP.price(2.2211 * 1.015, "down")
    assert not [e for e in reconcile(state, there, some_rules()) if isinstance(e, PositionAdopted)]


def test_state_whose_position_is_gone_is_not_counted():
    state = a_state(a_position("-67.1", "2.2211", "XRPUSDT"))
    for event in reconcile(state, ExchangeSnapshot(T0, Decimal(10_000)), some_rules()):
        state = advance(state, event)
    assert not state.account.positions
    assert not state.trades


def test_the_one_r_stop_moves_to_breakeven_and_then_ratchets():
    rules = some_rules()
    made = exit_plan(a_signal(volatility_frac=0.01), rules.exits, rules.costs)
    position = a_position(1, 100)
    trade = a_state(position).trades["BTCUSDT"]

    def stop(**changes):
        from dataclasses import replace

        changed = replace(trade, exits=made, **changes)
        return protective(changed, position, rules.instruments["BTCUSDT"], 5, rules.exits).stop_loss

    assert stop(best=101.9) == Decimal("98.00")
    assert stop(best=102.0, partial_taken=True) == Decimal("100.14")
    assert stop(best=104.0, partial_taken=True) == Decimal("102.00")


def test_a_request_is_a_working_order_until_the_venue_answers():
    state = a_state(a_position(1))
    (first, *_) = plan(state, some_rules())
    state = advance(state, OrderRequested(T0, first.intent))
    assert state.orders[first.intent.client_id].status is OrderStatus.PENDING
