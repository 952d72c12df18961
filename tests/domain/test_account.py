"""What fills do to an account: exactly, and however they are cut up."""

from decimal import Decimal
from itertools import pairwise

from builders import T0
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.account import Account, Position, exact
from qtlib.domain.orders import Fill, Side

quantities = st.decimals("0.001", "50", places=3)
prices = st.decimals("0.01", "100000", places=2)
sides = st.sampled_from(Side)


def a_fill(side, quantity, price, fee=Decimal(0), number=0):
    return Fill(str(number), "qt-1", "BTCUSDT", side, quantity, price, fee, T0)


fills = st.lists(st.builds(a_fill, sides, quantities, prices, st.decimals("0", "5", places=4)), max_size=8)


@given(before=fills, side=sides, price=prices, cuts=st.lists(st.integers(1, 9_999), max_size=6))
def test_a_fill_adds_up_however_it_is_split(before, side, price, cuts):
    account = Account(Decimal(1_000))
    for fill in before:
        account = account.after(fill)
    edges = sorted({0, 10_000, *cuts})
    parts = [Decimal(b - a) / 1000 for a, b in pairwise(edges)]
    whole = account.after(a_fill(side, sum(parts), price, Decimal("0.5")))
    split = account
    for part in parts:
        split = split.after(a_fill(side, part, price, Decimal("0.5") * part / 10))
    assert split.position("BTCUSDT").quantity == whole.position("BTCUSDT").quantity
    noise = Decimal("1e-15")
    assert abs(split.cash - whole.cash) <= noise * max(1, abs(whole.cash))
    there, here = split.position("BTCUSDT").entry_price, whole.position("BTCUSDT").entry_price
    assert abs(there - here) <= noise * max(1, here)


@given(fills=fills, price=st.floats(1, 1e5))
def test_equity_is_what_was_paid_in_less_what_was_paid_out(fills, price):
    """Cash flows seen from outside the account: every fill pays its notional and its fee, the rest is still held."""
    account = Account(Decimal(1_000))
    for fill in fills:
        account = account.after(fill)
    paid = sum((f.side.sign * f.quantity * f.price + f.fee for f in fills), Decimal(0))
    held = sum((f.side.sign * f.quantity for f in fills), Decimal(0)) * exact(price)
    assert abs(account.equity({"BTCUSDT": price}) - (1_000 - paid + held)) < Decimal("1e-12")


@given(fills=fills)
def test_a_flat_position_leaves_no_trace(fills):
    account = Account()
    for fill in fills:
        account = account.after(fill)
    position = account.position("BTCUSDT")
    if position.quantity:
        out = a_fill(Side.of(position.quantity).opposite, abs(position.quantity), Decimal(7))
        assert account.after(out).positions == {}


def test_turning_over_starts_from_the_price_that_turned_it():
    position, realized = Position("BTCUSDT", Decimal(2), Decimal(100)).after(
        a_fill(Side.SELL, Decimal(3), Decimal(110))
    )
    assert (position.quantity, position.entry_price, realized) == (Decimal(-1), Decimal(110), Decimal(20))
