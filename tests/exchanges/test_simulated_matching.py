"""How orders meet a market made of bars."""

from decimal import Decimal

import pytest
from a_venue import LAW, a_step, a_venue, buy, by_mark, fate, fills, sell, submit
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.market import Bar
from qtlib.domain.orders import OrderType, TimeInForce
from qtlib.exchanges.simulated import matching
from qtlib.exchanges.simulated.matching import path, price_at, reaches, runs_out, trail

D = Decimal


def bars():
    prices = st.integers(50, 150).map(float)
    return st.tuples(prices, prices, prices, prices).map(lambda p: Bar(None, p[0], max(p), min(p), p[1], 1.0))


# --- takers -----------------------------------------------------------------------------------------------


def test_a_market_order_fills_at_once_at_the_first_price_after_the_close():
    venue = a_venue()
    venue.advance(a_step(1, 100, 101, 99, 100, nexts=100.7))
    submit(venue, buy("a"))
    assert [f.price for f in fills(venue)] == [D("100.70")]


@pytest.mark.parametrize(("order", "paid"), [(buy, "100.03"), (sell, "99.97")])
def test_slippage_and_rounding_are_against_the_taker(order, paid):
    venue = a_venue(slippage_frac=0.000_21)  # 100.021 or 99.979, and the worse tick
    submit(venue, order("a"))
    assert fills(venue)[0].price == D(paid)


def test_a_marketable_limit_takes_the_market_price_and_never_worse_than_its_own():
    venue = a_venue(slippage_frac=0.01)
    submit(venue, buy("far", price=104), buy("near", price="100.50"))
    assert [f.price for f in fills(venue)] == [D("101.00"), D("100.50")]
    assert not any(f.maker for f in fills(venue))


def test_taking_costs_the_takers_fee_and_resting_the_makers():
    venue = a_venue()
    submit(venue, buy("taker"), buy("maker", price=99))
    venue.advance(a_step(1, 100, 100, 98, 99))
    assert [(f.client_id, f.fee, f.maker) for f in fills(venue)] == [
        ("taker", D("0.05"), False),
        ("maker", D("0.0198"), True),
    ]


def test_no_more_than_a_share_of_the_volume_fills_and_the_rest_of_a_market_order_expires():
    venue = a_venue()
    venue.advance(a_step(1, 100, volume=35))
    submit(venue, buy("a", 2), buy("b", 5), buy("c", 1))
    assert [(f.client_id, f.quantity) for f in fills(venue)] == [("a", 2), ("b", D("1.5"))]
    assert fate(venue, "b") == "expired 3.500 unfilled: no more at hand"
    assert fate(venue, "c") == "expired 1 unfilled: no more at hand"


def test_what_was_taken_right_after_a_close_is_taken_from_the_bar_it_traded_in():
    venue = a_venue()
    venue.advance(a_step(1, 100, volume=30))
    submit(venue, buy("a", 2), buy("rests", 3, price=99))
    venue.advance(a_step(2, 100, 100, 98, 99, volume=40))
    assert sum(f.quantity for f in fills(venue)) == 4


def test_a_resting_limit_fills_in_parts_until_it_is_whole():
    venue = a_venue()
    submit(venue, buy("a", 5, price=99))
    for hour in (1, 2, 3):
        venue.advance(a_step(hour, 100, 100, 98, 100, volume=20))
    assert [f.quantity for f in fills(venue)] == [2, 2, 1]
    assert "a" not in venue.snapshot().orders


@pytest.mark.parametrize(("volume", "filled"), [(50, 5), (49, 0)])
def test_fill_or_kill_is_all_or_nothing(volume, filled):
    venue = a_venue()
    venue.advance(a_step(1, 100, volume=volume))
    submit(venue, buy("a", 5, price=101, time_in_force=TimeInForce.FOK))
    assert sum(f.quantity for f in fills(venue)) == filled


def test_immediate_or_cancel_never_rests():
    venue = a_venue()
    venue.advance(a_step(1, 100, volume=20))
    ioc = TimeInForce.IOC
    submit(venue, buy("part", 5, price=101, time_in_force=ioc), buy("none", 5, price=98, time_in_force=ioc))
    assert (sum(f.quantity for f in fills(venue)), dict(venue.snapshot().orders)) == (2, {})
    assert fate(venue, "part").startswith("expired")
    assert fate(venue, "none").startswith("expired")


@pytest.mark.parametrize(("at_once", "ends"), [(True, "rejected -5022"), (False, "expired -5022")])
def test_post_only_never_takes(at_once, ends):
    venue = a_venue(gtx_refused_at_once=at_once)
    submit(venue, buy("takes", price=100, time_in_force=TimeInForce.GTX))
    submit(venue, buy("rests", price="99.99", time_in_force=TimeInForce.GTX))
    assert fate(venue, "takes").startswith(ends)
    assert fate(venue, "rests") == "open"
    assert not fills(venue)


# --- resting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("touch_fills", "low", "filled"), [(False, 99, 0), (False, 98.99, 1), (True, 99, 1)])
def test_a_limit_fills_when_traded_through_and_at_a_touch_only_if_told(touch_fills, low, filled):
    venue = a_venue(touch_fills=touch_fills)
    submit(venue, buy("a", price=99))
    venue.advance(a_step(1, 100, 100, low, 100))
    assert [f.price for f in fills(venue)] == [D(99)] * filled


def test_a_resting_limit_gapped_over_still_fills_at_its_own_price():
    venue = a_venue()
    submit(venue, buy("a", price=99))
    venue.advance(a_step(1, 90, 92, 88, 91))
    assert fills(venue)[0].price == 99


# --- triggers ---------------------------------------------------------------------------------------------


def test_a_triggered_stop_is_a_taker_and_slips_beyond_its_trigger():
    venue = a_venue(slippage_frac=0.001)
    submit(venue, buy("a"), sell("stop", trigger=95, reduce_only=True))
    venue.advance(a_step(1, 100, 100, 94, 96))
    assert fills(venue, "stop")[0].price == D("94.90")  # 94.905, and the worse tick
    assert not fills(venue, "stop")[0].maker


def test_a_gapped_stop_fills_at_the_open():
    venue = a_venue()
    submit(venue, buy("a"), sell("stop", trigger=95, reduce_only=True))
    venue.advance(a_step(1, 90, 97, 88, 96))
    assert fills(venue, "stop")[0].price == 90


def test_a_gapped_target_fills_at_the_better_open():
    venue = a_venue()
    target = sell("target", type=OrderType.TAKE_PROFIT_MARKET, trigger=105, reduce_only=True)
    submit(venue, buy("a"), target)
    venue.advance(a_step(1, 108, 109, 107, 108))
    assert fills(venue, "target")[0].price == 108


@pytest.mark.parametrize(("enter", "leave", "stop", "target"), [(buy, sell, 95, 105), (sell, buy, 105, 95)])
def test_where_one_bar_holds_both_the_stop_comes_before_the_target(enter, leave, stop, target):
    venue = a_venue()
    take = OrderType.TAKE_PROFIT_MARKET
    submit(venue, enter("a"), leave("target", type=take, trigger=target, reduce_only=True))
    submit(venue, leave("stop", trigger=stop, reduce_only=True))
    venue.advance(a_step(1, 100, 110, 90, 100))
    assert [f.price for f in fills(venue, "stop")] == [stop]
    assert fate(venue, "target") == "expired nothing left to reduce"


@LAW
@given(bar=bars(), trigger=st.integers(60, 140), slippage=st.floats(0, 0.01))
def test_a_stop_on_last_prices_never_fills_better_than_its_trigger(bar, trigger, slippage):
    venue = a_venue(slippage_frac=slippage)
    long = trigger < 100
    enter, leave = (buy, sell) if long else (sell, buy)
    submit(venue, enter("a"), leave("stop", trigger=trigger, reduce_only=True))
    venue.advance(a_step(1, bar.open, bar.high, bar.low, bar.close))
    reached = bar.low <= trigger if long else bar.high >= trigger
    stopped = fills(venue, "stop")
    if trigger != 100 and any(f.client_id == "a" for f in fills(venue)):
        liquidated = [f for f in fills(venue) if f.client_id.startswith("autoclose")]
        assert bool(stopped or liquidated) == reached or liquidated
    for fill in stopped:
        assert fill.price <= min(trigger, bar.open) if long else fill.price >= max(trigger, bar.open)


def test_mark_price_fires_only_orders_that_listen_to_it():
    venue = a_venue()
    submit(venue, buy("a", 2), sell("last", trigger=95, reduce_only=True))
    submit(venue, by_mark(sell("mark", trigger=95, reduce_only=True)))
    venue.advance(a_step(1, 100, 100, 98, 99, mark=(100, 100, 94, 99)))
    assert [f.client_id for f in fills(venue)] == ["a", "mark"]
    venue.advance(a_step(2, 99, 99, 94, 99, mark=(99, 99, 98, 99)))
    assert [f.client_id for f in fills(venue)] == ["a", "mark", "last"]


def test_an_order_fired_by_the_mark_price_meets_the_last_price_of_that_instant():
    venue = a_venue()
    submit(venue, buy("a"), by_mark(sell("stop", trigger=96, reduce_only=True)))
    venue.advance(a_step(1, 100, 100, 86, 90, mark=(100, 100, 92, 95)))  # halfway down
    assert fills(venue, "stop")[0].price == 93


def test_a_stop_limit_places_its_limit_when_it_fires():
    venue = a_venue()
    submit(venue, sell("near", type=OrderType.STOP, trigger=95, price=94))
    submit(venue, sell("above", type=OrderType.STOP, trigger=95, price=101))
    venue.advance(a_step(1, 100, 100, 93, 96))
    assert [(f.client_id, f.price, f.maker) for f in fills(venue)] == [("near", 95, False)]
    venue.advance(a_step(2, 96, 102, 96, 97))
    assert [(f.price, f.maker) for f in fills(venue, "above")] == [(101, True)]


def test_a_trailing_stop_follows_the_best_price_over_bars_and_fires_behind_it():
    venue = a_venue()
    submit(venue, buy("a"), sell("t", type=OrderType.TRAILING_STOP_MARKET, callback_frac=D("0.05"), reduce_only=True))
    venue.advance(a_step(1, 100, 110, 99, 108))
    venue.advance(a_step(2, 108, 120, 105, 119))
    assert not fills(venue, "t")
    venue.advance(a_step(3, 119, 119, 113, 116))
    assert fills(venue, "t")[0].price == D(114)  # 5 % below 120


def test_a_trailing_stop_sleeps_until_its_activation():
    venue = a_venue()
    kind = OrderType.TRAILING_STOP_MARKET
    submit(venue, buy("a"))
    submit(venue, sell("t", type=kind, callback_frac=D("0.02"), activation=D(105), reduce_only=True))
    venue.advance(a_step(1, 100, 104, 90, 92))
    assert not fills(venue, "t")
    venue.advance(a_step(2, 92, 106, 92, 105))
    venue.advance(a_step(3, 105, 105, 100, 100))
    assert fills(venue, "t")[0].price == D("103.88")  # 2 % below 106


def test_a_short_is_trailed_from_above():
    venue = a_venue()
    submit(venue, sell("a"), buy("t", type=OrderType.TRAILING_STOP_MARKET, callback_frac=D("0.05"), reduce_only=True))
    venue.advance(a_step(1, 100, 101, 90, 91))
    venue.advance(a_step(2, 91, 96, 91, 95))
    assert fills(venue, "t")[0].price == D("94.50")  # 5 % above 90


@pytest.mark.parametrize("protected", [True, False])
def test_price_protection_refuses_a_trigger_while_last_and_mark_are_apart(protected):
    venue = a_venue(price_protect=protected)
    submit(venue, buy("a"), sell("stop", trigger=95, reduce_only=True))
    venue.advance(a_step(1, 100, 100, 94, 95, mark=(88, 88, 88, 88)))
    assert bool(fills(venue, "stop")) != protected
    assert fate(venue, "stop").startswith("rejected price protection") == protected


def test_a_taker_stops_where_the_book_leaves_the_band_around_the_mark():
    venue = a_venue()
    submit(venue, buy("stop", trigger=104))
    venue.advance(a_step(1, 100, 106, 100, 106, mark=(90, 90, 90, 90)))
    assert fate(venue, "stop").startswith("rejected -4131")


def test_noise_comes_from_the_seed():
    def prices(seed):
        venue = a_venue(slippage_noise_frac=0.001, seed=seed)
        submit(venue, *(buy(f"a{n}") for n in range(5)))
        return [f.price for f in fills(venue)]

    assert prices(1) == prices(1) != prices(2)
    assert len(set(prices(1))) > 1
    assert min(prices(1)) >= 100


def test_a_symbol_without_a_bar_stands_still():
    venue = a_venue()
    submit(venue, buy("a"), sell("stop", trigger=95, reduce_only=True))
    venue.advance(a_step(1, 100, 100, 50, 60, symbol="ETHUSDT"))
    submit(venue, buy("b"))
    assert [f.client_id for f in fills(venue)] == ["a"]
    assert fate(venue, "b") == "expired 1 unfilled: no more at hand"


# --- the way through a bar --------------------------------------------------------------------------------


@LAW
@given(bar=bars(), short=st.booleans(), level=st.floats(40, 160), sign=st.sampled_from((1, -1)))
def test_a_level_is_reached_if_and_only_if_the_bar_holds_it(bar, short, level, sign):
    way = path(bar, short)
    instant = reaches(way, level, 0.0, sign)
    assert (instant is not None) == (bar.high >= level if sign > 0 else bar.low <= level)
    if instant is not None:
        assert 0 <= instant <= matching.END
        met = price_at(way, instant)
        assert met == pytest.approx(level) or (instant == 0 and sign * (met - level) > 0)


@LAW
@given(bar=bars(), short=st.booleans(), callback=st.floats(0.001, 0.1), sign=st.sampled_from((1, -1)))
def test_a_trailing_stop_fires_no_further_behind_the_best_price_than_its_callback(bar, short, callback, sign):
    walked = trail(path(bar, short), sign, callback, None, bar.open)
    if walked.fires is None:
        reach = max(abs(bar.close - walked.extreme), 0) / walked.extreme
        assert reach <= callback
        assert walked.extreme == (bar.low if sign > 0 else bar.high)
    else:
        assert walked.level == pytest.approx(walked.extreme * (1 + sign * callback))


@LAW
@given(bar=bars(), short=st.booleans(), wallet=st.floats(1, 60), held=st.sampled_from((1.0, -1.0)))
def test_no_instant_of_danger_hides_between_corners(bar, short, wallet, held):
    way = path(bar, short)

    def left(instant):
        mark = price_at(way, instant)
        return wallet + held * (mark - way[0]) - max(0.01 * mark, 0.05 * mark - 4)

    instants = [n / 50 for n in range(151)]
    first = runs_out(left, 0.0)
    assert (first is not None) >= any(left(i) <= 0 for i in instants)
    if first is not None:
        assert left(first) <= 0
        assert all(left(i) > 0 for i in instants if i < first)
