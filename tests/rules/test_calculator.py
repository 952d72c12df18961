"""The calculator's figures agree with one another, and with what rules and accounts reckon, whatever is typed."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qtlib.domain.account import Position
from qtlib.domain.market import MarginBracket
from qtlib.domain.orders import ExitPlan
from qtlib.rules.calculator import outlook
from qtlib.rules.formulas import maintenance_margin

BRACKET = MarginBracket(Decimal(50_000), Decimal("0.004"), 125, Decimal(0))
fracs = st.floats(0.0005, 0.3)
signs = st.sampled_from([1, -1])
entries = st.floats(0.001, 100_000)
sizes = st.floats(5, 1e6)
leverages = st.integers(1, 50)
costs = st.floats(0, 0.002)


def at(sign, entry, notional=1_000.0, leverage=5, stop_frac=0.02, target_frac=0.078, cost=0.0007):
    stop, target = entry * (1 - sign * stop_frac), entry * (1 + sign * target_frac)
    return outlook(sign, entry, notional, leverage, stop, target, BRACKET, cost)


@pytest.mark.parametrize(("target", "stop", "rate"), [(0.078, 0.02, 0.204), (0.010, 0.015, 0.60)])
def test_the_break_even_win_rate_is_that_of_the_golden_vectors(target, stop, rate):
    for sign in (1, -1):
        assert at(sign, 100.0, stop_frac=stop, target_frac=target).breakeven_win_rate_frac == pytest.approx(
            rate, abs=5e-4
        )


@given(sign=signs, entry=entries, notional=sizes, leverage=leverages, stop=fracs, target=fracs, cost=costs)
def test_its_figures_agree_with_accounts_and_plans(sign, entry, notional, leverage, stop, target, cost):
    found = at(sign, entry, notional, leverage, stop, target, cost)
    rate = ExitPlan(stop_frac=stop, take_profit_frac=target).breakeven_win_rate_frac
    assert found.breakeven_win_rate_frac == pytest.approx(rate, rel=1e-6)
    assert found.target.roi_frac == pytest.approx(target * leverage, rel=1e-6)
    assert found.target.roi_frac * found.margin_quote == pytest.approx(found.target.pnl_quote, rel=1e-9)
    assert (found.stop.r, found.target.r) == (pytest.approx(-1), pytest.approx(target / stop, rel=1e-6))
    held = Position("X", Decimal(repr(found.quantity)), Decimal(repr(entry)))
    assert float(held.pnl_frac(Decimal(repr(found.target.price)))) == pytest.approx(target, rel=1e-6)
    won, lost = found.target.net_quote, found.stop.net_quote
    p = found.breakeven_win_rate_net_frac
    assert p * won + (1 - p) * lost == pytest.approx(0, abs=1e-6 * notional)
    assert p >= found.breakeven_win_rate_frac or cost == 0


@given(sign=signs, entry=entries, notional=sizes, cost=costs)
def test_leaving_at_the_break_even_price_nets_nothing(sign, entry, notional, cost):
    price = at(sign, entry, notional, cost=cost).breakeven_price
    quantity = sign * notional / entry
    assert quantity * (price - entry) - cost * notional * (1 + price / entry) == pytest.approx(0, abs=1e-6 * notional)


@given(sign=signs, entry=entries, notional=sizes, leverage=leverages, stop=fracs)
def test_at_the_liquidation_price_what_is_left_is_the_maintenance_margin(sign, entry, notional, leverage, stop):
    found = at(sign, entry, notional, leverage, stop)
    assume(found.liquidation_price is not None)
    left = found.margin_quote + found.quantity * (found.liquidation_price - entry)
    needed = maintenance_margin(found.quantity, found.liquidation_price, 0.004, 0.0)
    assert left == pytest.approx(needed, abs=1e-6 * notional)
    assert found.stop_is_first == (stop < found.liquidation_frac)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"sign": 1, "stop": 101.0, "target": 110.0}, "stop 101 must lie below the entry 100"),
        ({"sign": -1, "stop": 99.0, "target": 90.0}, "stop 99 must lie above the entry 100"),
        ({"sign": 1, "stop": 98.0, "target": 99.0}, "target 99 must lie above the entry 100"),
        ({"sign": 1, "stop": float("nan"), "target": 110.0}, "stop nan must be above 0"),
    ],
)
def test_levels_that_make_no_sense_are_refused_with_their_numbers(what, words):
    with pytest.raises(ValueError, match=words):
        outlook(entry=100.0, notional_quote=100.0, leverage=5, bracket=BRACKET, cost_frac=0.0, **what)
