"""What goes wrong with a market: whatever it is, fills, fees and funding add up to the account."""

from decimal import Decimal

import pytest
from a_venue import a_step, a_venue, buy, fate, fills, sell, submit, told
from builders import T0
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.events import START, FundingPaid
from qtlib.domain.orders import OrderType, Side
from qtlib.exchanges.simulated.faults import KINDS, Faults, Place, fault, schedule
from qtlib.exchanges.simulated.rough import RoughMarket

OF_MARKETS = tuple(kind for kind, its in KINDS.items() if its.place in (Place.STEP, Place.HELD))


def rough(*faults, **said):
    venue = a_venue(**said)
    return venue, RoughMarket(venue, Faults(faults))


def live(venue, market, hour, *ohlc, **said):
    step = market.meet(a_step(hour, *(ohlc or (100,)), **said))
    venue.advance(step)
    return step


@pytest.mark.parametrize(("order", "out"), [(buy, sell), (sell, buy)])
def test_a_gap_goes_against_the_position_and_through_its_stop(order, out):
    venue, market = rough(fault("gap", frac=0.1))
    live(venue, market, 1)
    submit(venue, order("in"))
    side = 1 if order is buy else -1
    submit(venue, out("stop", trigger=100 - 5 * side, reduce_only=True))
    live(venue, market, 2)
    [stopped] = fills(venue, "stop")
    assert stopped.price == 100 - 10 * side
    assert live(venue, market, 3).bars["BTCUSDT"].open == 100  # and it is over


def test_nothing_happens_to_positions_that_nobody_holds():
    venue, market = rough(*(fault(kind, times=None) for kind in ("gap", "liquidation", "adl", "funding")))
    step = a_step(1, 100)
    assert market.meet(step) == step
    assert not fills(venue)


@pytest.mark.parametrize("order", [buy, sell])
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_a_liquidation_is_one_though_the_last_price_stands_still(order, mode):
    venue, market = rough(fault("liquidation"), leverage=10, margin_mode=mode)
    submit(venue, order("in", 500))
    live(venue, market, 1)
    assert fills(venue)[-1].client_id.startswith("autoclose-BTCUSDT")
    assert not venue.account.positions


@pytest.mark.parametrize("order", [buy, sell])
def test_deleveraging_closes_a_share_at_mark_without_a_fee_and_ends_the_orders(order):
    venue, market = rough(fault("adl", frac=0.3))
    submit(venue, order("in", 10), buy("rests", 1, price=99))
    step = market.meet(a_step(1, 100))
    venue.advance(step)
    closed = fills(venue)[-1]
    assert (closed.client_id, closed.quantity, closed.price, closed.fee) == ("adl_autoclose-BTCUSDT-2", 3, 100, 0)
    assert closed.side is (Side.SELL if order is buy else Side.BUY)
    assert fate(venue, "rests") == "canceled auto-deleveraging"
    assert abs(venue.account.positions["BTCUSDT"].quantity) == 7
    assert market.meet(a_step(1, 100)) == step  # asked again it does nothing more
    assert len(fills(venue)) == 2


def test_all_of_a_position_can_be_deleveraged_and_never_less_than_a_lot():
    for frac, left in ((1, 0), (0.00001, Decimal("0.999"))):
        venue, market = rough(fault("adl", frac=frac))
        submit(venue, buy("in", 1))
        live(venue, market, 1)
        assert venue.account.position("BTCUSDT").quantity == left


def test_funding_is_paid_at_the_instant_of_the_step_by_whoever_holds():
    for order in (buy, sell):
        venue, market = rough(fault("funding", frac=0.01))
        submit(venue, order("in", 10))
        live(venue, market, 1)
        [paid] = [e for e in venue.events(T0) if isinstance(e, FundingPaid)]
        assert (paid.ts, paid.amount) == (venue.now, -10)


def test_of_a_thin_bar_some_lots_can_be_had():
    venue, market = rough(fault("partial_fills", lots=3, times=2))
    live(venue, market, 1)
    submit(venue, buy("in", 1))
    assert [f.quantity for f in fills(venue)] == [Decimal("0.003")]
    submit(venue, sell("out", 1, reduce_only=True))
    assert fate(venue, "out").startswith("expired")
    live(venue, market, 2)
    submit(venue, sell("out2", 1, reduce_only=True))
    assert not venue.account.positions


def test_a_settling_symbol_takes_no_orders_and_has_no_bars_until_it_is_traded_again():
    venue, market = rough(fault("settling", on="BTC*", times=2))
    submit(venue, buy("rests", price=90))
    step = live(venue, market, 1)
    assert not step.bars
    submit(venue, buy("no"))
    assert fate(venue, "no").startswith("rejected -4108")
    assert "rests" in venue.snapshot().orders
    live(venue, market, 2)
    assert live(venue, market, 3).bars
    submit(venue, buy("yes"))
    assert fills(venue, "yes")


def test_filters_change_under_who_knew_the_old_ones():
    venue, market = rough(
        fault("filters", what="tick", factor=100, times=1), fault("filters", what="min_notional", factor=10, first=2)
    )
    tick = venue.instruments["BTCUSDT"].tick
    fine = 90 + tick
    live(venue, market, 1)
    submit(venue, buy("off", type=OrderType.LIMIT, price=fine))
    assert fate(venue, "off").startswith("rejected -4014")
    live(venue, market, 2)
    submit(venue, buy("small", type=OrderType.LIMIT, price=fine, quantity="0.1"))
    assert fate(venue, "small").startswith("rejected -4164")
    assert venue.instruments["BTCUSDT"].tick == tick


@given(seed=st.integers(0, 10**6))
def test_whatever_goes_wrong_the_sums_hold_and_it_goes_wrong_again_the_same_way(seed):
    def life():
        faults = Faults(schedule(seed, kinds=OF_MARKETS, most=8, within=6), seed)
        venue = a_venue()
        market = RoughMarket(venue, faults)
        for hour in range(1, 13):
            side = buy if (seed >> hour) % 2 else sell
            submit(venue, side(f"m{hour}", 1 + hour % 3), side(f"s{hour}", 1, trigger=100, reduce_only=True))
            funding = 0.0001 if hour % 8 == 0 else None
            live(venue, market, hour, 100, 103, 96, 101, volume=50, funding=funding)
        return venue, faults.document

    (venue, injected), (again, injected_again) = life(), life()
    assert list(venue.events(START)) == list(again.events(START))
    assert injected == injected_again
    account = told(venue.events(START))
    assert (account.cash, dict(account.positions)) == (venue.account.cash, dict(venue.account.positions))
    assert account.cash >= 0
