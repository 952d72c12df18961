"""Rounding has a direction that never adds risk, and what is on a step stays there."""

from decimal import Decimal

from builders import BTC, XRP
from hypothesis import given
from hypothesis import strategies as st

ticks = st.integers(1, 10**7)


@given(ticks)
def test_a_price_on_its_tick_stays_whichever_way_it_is_rounded(n):
    price = n * XRP.tick
    assert {XRP.price(float(price), way) for way in ("near", "down", "up")} == {price}


@given(st.floats(0.01, 1e6))
def test_down_and_up_enclose_and_near_is_one_of_them(raw):
    down, near, up = (BTC.price(raw, way) for way in ("down", "near", "up"))
    slack = Decimal("1e-8")
    assert down - slack <= Decimal(raw) <= up + slack
    assert up - down in (0, BTC.tick)
    assert near in (down, up)


@given(raw=st.floats(-1e4, 1e4), at=st.floats(0.1, 1e5))
def test_a_quantity_is_never_rounded_away_from_zero(raw, at):
    quantity = BTC.quantity(raw, at)
    assert abs(float(quantity)) <= abs(raw) * (1 + 1e-9) + 1e-11
    assert float(quantity) * raw >= 0
    assert quantity == 0 or abs(float(quantity)) * at >= float(BTC.min_notional)
