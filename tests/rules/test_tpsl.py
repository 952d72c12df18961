"""Brackets lie on the right sides, stops only tighten, and nothing is opened that could not be left."""

from dataclasses import replace
from decimal import Decimal

import pytest
from builders import BTC, T0, XRP, a_plan, a_position, a_signal, a_state, protective, some_rules
from hypothesis import assume, given
from hypothesis import strategies as st

from qtlib.domain.decisions import Moment, Reason
from qtlib.domain.orders import ExitReason, ExitSource
from qtlib.domain.panel import DOUBTS
from qtlib.rules import formulas
from qtlib.rules.decide import decide
from qtlib.rules.sizing import SizingParams, size
from qtlib.rules.tpsl import Costs, ExitParams, exit_plan, static_plan, stop_reason, stop_room_frac, tighten, vet

PROFILES = st.sampled_from(["static", "seed", "one_r", "learned"])
signs = st.sampled_from([1, -1])


distances = st.one_of(st.floats(0.001, 0.2), st.floats(), st.sampled_from([0.0, -0.02, 1e300, 5e-324]))


@st.composite
def proposals(draw):
    """What a model may say of exits, sound or not."""
    levels = {name: draw(distances) for name in ("stop_frac", "take_profit_frac", "trail_frac")}
    return levels | {"exits_doubt": draw(st.sampled_from(["", "", "", "out of domain"])), "model_version": "m1"}


@st.composite
def signals(draw):
    return a_signal(
        score=draw(st.floats(0.01, 1)) * draw(signs),
        confidence=draw(st.floats(0, 1)),
        price=draw(st.floats(10, 1e5)),
        volatility_frac=draw(st.floats(0.004, 0.02)),
    )._replace(**draw(proposals()))


@given(signal=signals(), profile=PROFILES, leverage=st.integers(1, 20))
def test_a_bracket_lies_on_the_right_sides_and_before_liquidation(signal, profile, leverage):
    params, costs = ExitParams(profile=profile), Costs()
    made, reason = vet(exit_plan(signal, params, costs), signal, BTC, leverage, params, costs)
    assume(reason is Reason.NONE)
    sign = 1 if signal.score > 0 else -1
    position = a_position(sign, BTC.price(signal.price))
    trade = replace(a_state(position).trades["BTCUSDT"], exits=made)
    orders = protective(trade, position, BTC, leverage, params)
    entry, tick = float(position.entry_price), float(BTC.tick)
    assert sign * (float(orders.stop_loss) - entry) < tick
    assert sign * (float(orders.take_profit) - entry) > -tick
    if orders.net_stop is not None:
        assert sign * (orders.net_stop - orders.stop_loss) <= 0
    room = stop_room_frac(sign, BTC.brackets[0], 1 / leverage, params)
    assert sign * (float(orders.stop_loss) - entry * (1 - sign * room)) >= -1e-6 * entry


@given(
    sign=signs,
    path=st.lists(st.tuples(st.floats(90, 115), st.booleans()), min_size=1, max_size=12),
    profile=PROFILES,
)
def test_stops_only_tighten(sign, path, profile):
    params = ExitParams(profile=profile)
    position = a_position(sign, 100)
    trade = replace(
        a_state(position).trades["BTCUSDT"], exits=exit_plan(a_signal(volatility_frac=0.01), params, Costs())
    )
    resting = protective(trade, position, BTC, 5, params).stop_loss
    for price, partial in path:
        best = max(trade.best, price) if sign > 0 else min(trade.best, price)
        trade = replace(trade, best=best, partial_taken=trade.partial_taken or partial)
        moved = protective(trade, position, BTC, 5, params).stop_loss
        assert sign * (moved - resting) >= 0
        resting = moved


@given(
    resting=st.decimals("50", "150", places=2),
    stop=st.decimals("50", "150", places=2),
    sign=signs,
)
def test_a_stop_is_never_moved_away(resting, stop, sign):
    moved = tighten(resting, stop, sign)
    assert moved in (resting, stop)
    assert sign * (moved - resting) >= 0


def test_a_target_nearer_than_three_round_trips_is_no_trade():
    params, costs = ExitParams(profile="static", tp_frac=0.004, min_target_atr=0.0), Costs()
    signal = a_signal(volatility_frac=0.001)
    assert vet(exit_plan(signal, params, costs), signal, BTC, 5, params, costs)[1] is Reason.TARGET_TOO_CLOSE
    decision = decide(Moment(T0, {}, (signal,)), a_state(), some_rules(exits=params))
    assert [v.reason for v in decision.verdicts] == [Reason.TARGET_TOO_CLOSE]


def test_a_target_inside_the_noise_of_a_bar_is_no_trade():
    params, costs = ExitParams(profile="static"), Costs()
    signal = a_signal(volatility_frac=0.03)
    assert vet(exit_plan(signal, params, costs), signal, BTC, 5, params, costs)[1] is Reason.TARGET_TOO_CLOSE


def test_a_stop_inside_two_ticks_is_no_trade():
    params, costs = ExitParams(min_stop_atr=0.0, min_target_atr=0.0, min_cost_multiple=0.0), Costs()
    signal = a_signal(price=1.0, volatility_frac=0.001)
    assert vet(exit_plan(signal, params, costs), signal, BTC, 5, params, costs)[1] is Reason.STOP_TOO_CLOSE


def test_a_stop_beyond_liquidation_is_clamped_before_it():
    params, costs = ExitParams(), Costs()
    signal = a_signal(volatility_frac=0.04)
    made, reason = vet(exit_plan(signal, params, costs), signal, BTC, 20, params, costs)
    assert reason is Reason.NONE
    assert made.source is ExitSource.CLAMPED
    assert made.stop_frac == pytest.approx(1 - (1 - 1 / 20) / (1 - 0.01) - 0.01, abs=1e-6)


def test_without_room_before_liquidation_there_is_no_trade():
    rules = some_rules(sizing=SizingParams(leverage=50))
    decision = decide(Moment(T0, {}, (a_signal(volatility_frac=0.03),)), a_state(), rules)
    assert decision.verdicts[0].reason is Reason.LIQUIDATION


def test_only_a_models_levels_are_called_ai():
    by_rule = exit_plan(a_signal(), ExitParams(), Costs())
    by_model = exit_plan(a_signal(model_version="m1"), ExitParams(), Costs())
    assert (by_rule.source, by_model.source) == (ExitSource.STATIC, ExitSource.AI)


@given(signal=signals())
def test_a_models_levels_lie_where_they_may_or_the_static_ones_hold_and_say_why(signal):
    params = ExitParams(profile="learned")
    made = exit_plan(signal, params, Costs())
    proposed = (signal.stop_frac, signal.take_profit_frac, signal.trail_frac)
    sound = all(0 < p < float("inf") for p in proposed) and not signal.exits_doubt
    assert (made.source is ExitSource.STATIC) == bool(made.doubt) == (not sound)
    if not sound:
        assert replace(made, doubt="") == static_plan(params, ExitSource.STATIC)
        assert made.doubt in DOUBTS
        return
    stop, target = made.stop_frac / signal.volatility_frac, made.take_profit_frac / made.stop_frac
    assert 1 - 1e-9 <= stop <= 4 + 1e-9
    assert 0.5 - 1e-9 <= target <= 4 + 1e-9
    assert signal.volatility_frac - 1e-12 <= made.trail_frac <= made.stop_frac
    moved = (made.stop_frac, made.take_profit_frac, made.trail_frac) != proposed
    assert made.source is (ExitSource.CLAMPED if moved else ExitSource.AI)
    assert made.net_frac > made.stop_frac


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "no proposal"),
        ({"stop_frac": 0.02, "take_profit_frac": 0.03}, "not finite"),
        ({"stop_frac": 0.02, "take_profit_frac": -0.03, "trail_frac": 0.01}, "not finite"),
        ({"stop_frac": 0.02, "take_profit_frac": 0.03, "trail_frac": 0.02, "exits_doubt": "stale"}, "stale"),
    ],
)
def test_a_model_without_a_sound_proposal_leaves_the_static_levels(said, why):
    made = exit_plan(a_signal(model_version="m1")._replace(**said), ExitParams(profile="learned"), Costs())
    assert (made.source, made.doubt) == (ExitSource.STATIC, why)
    assert made.breakeven_win_rate_frac == pytest.approx(0.6)


def test_a_learned_stop_never_costs_more_than_one_and_a_half_r():
    said = {"stop_frac": 0.03, "take_profit_frac": 0.06, "trail_frac": 0.02, "volatility_frac": 0.01}
    signal = a_signal(model_version="m1")._replace(**said)
    made = exit_plan(signal, ExitParams(profile="learned"), Costs())
    assert (made.source, made.stop_frac, made.take_profit_frac) == (ExitSource.AI, 0.03, 0.06)
    wanted = size(signal, made, 10_000.0, SizingParams(profile="risk", risk_frac=0.10), ExitParams())
    assert wanted * made.stop_frac == pytest.approx(1.5 * 0.015 * 10_000)


def test_a_filled_partial_needs_no_target_any_more():
    position = a_position(1)
    trade = replace(a_state(position).trades["BTCUSDT"], partial_taken=True, exits=a_plan(partial_frac=0.3))
    assert protective(trade, position, BTC, 5, ExitParams()).take_profit is None


def test_an_unknown_trade_gets_the_static_levels():
    position = a_position(-1)
    trade = replace(a_state(position).trades["BTCUSDT"], exits=None)
    orders = protective(trade, position, BTC, 5, ExitParams())
    assert (orders.stop_loss, orders.take_profit) == (Decimal("101.50"), Decimal("99.00"))


@given(sign=signs, paid_frac=st.floats(0, 0.15))
def test_funding_that_was_paid_brings_the_stop_nearer_before_liquidation_is(sign, paid_frac):
    position = a_position(sign, 100)
    wide = replace(a_state(position).trades["BTCUSDT"], exits=a_plan(stop_frac=0.17))
    eroded = replace(wide, funding=Decimal(repr(round(-100 * paid_frac, 6))))
    params = ExitParams()
    before, after = (protective(t, position, BTC, 5, params).stop_loss for t in (wide, eroded))
    assert sign * (after - before) >= 0
    left = formulas.liquidation_price(
        20 + float(eroded.funding), float(sign), 100.0, float(BTC.brackets[0].maintenance_frac), 0.0
    )
    assert sign * (float(after) - left) >= 1.0 - 0.02


@given(entry=st.decimals("0.1", "3", places=4), sign=signs, stop_frac=st.floats(0.005, 0.05))
def test_the_initial_stop_is_a_loss_however_coarse_the_tick(entry, sign, stop_frac):
    position = a_position(10 * sign, entry, "XRPUSDT")
    trade = replace(a_state(position).trades["XRPUSDT"], exits=a_plan(stop_frac=stop_frac, trail_frac=0.02))
    resting = protective(replace(trade, exits=a_plan(stop_frac=stop_frac)), position, XRP, 5, ExitParams()).stop_loss
    assert stop_reason(trade, position, resting, XRP, ExitParams()) is ExitReason.STOP_LOSS
    assert stop_reason(trade, position, resting + sign * XRP.tick, XRP, ExitParams()) is ExitReason.TRAILING
