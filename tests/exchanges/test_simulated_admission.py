"""What the venue refuses, in its own words, and what it promises everyone who asks."""

from decimal import Decimal

import pytest
from a_venue import LAW, a_step, a_venue, buy, by_mark, fate, fills, sell, submit
from builders import T0
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.events import OrderChanged
from qtlib.domain.market import Instrument, MarginBracket
from qtlib.domain.orders import Cancel, OrderStatus, OrderType, Role, TimeInForce
from qtlib.exchanges.port import Refused

D = Decimal
TRAILING = OrderType.TRAILING_STOP_MARKET
SMALL = Instrument(
    "BTCUSDT",
    tick=D("0.10"),
    lot=D("0.01"),
    min_notional=D(50),
    max_quantity=D(40),
    max_market_quantity=D(20),
    brackets=(
        MarginBracket(D(1_000), D("0.01"), 50, D(0)),
        MarginBracket(D(5_000), D("0.02"), 5, D(10)),
        MarginBracket(D(10_000), D("0.5"), 2, D(2_410)),
    ),
)

REFUSED = {
    "unknown symbol": (buy("x", symbol="NOPEUSDT"), "-1121: Invalid symbol."),
    "symbol that is not traded yet": (buy("x", symbol="ETHUSDT"), "-4140"),
    "limit without price": (buy("x", type=OrderType.LIMIT), "-1102"),
    "market with price": (sell("x", trigger=95, price=100, type=OrderType.STOP_MARKET), "-1106"),
    "stop without trigger": (sell("x", type=OrderType.STOP_MARKET), "-1102"),
    "trailing without callback": (sell("x", type=TRAILING), "-1102"),
    "trailing with too wide a callback": (sell("x", type=TRAILING, callback_frac=D("0.11")), "-1130"),
    "activation of what does not trail": (sell("x", trigger=95, activation=D(110)), "-1106"),
    "close position by a limit": (sell("x", 0, type=OrderType.LIMIT, price=110, close_position=True), "-4136"),
    "close position with a quantity": (sell("x", 1, trigger=95, close_position=True), "-4137"),
    "close position and reduce-only": (sell("x", 0, trigger=95, close_position=True, reduce_only=True), "-4138"),
    "name too long": (buy("x" * 37), "-4015"),
    "name with a space": (buy("a b"), "-4015"),
    "no quantity": (buy("x", 0), "-4003"),
    "too much for a market order": (buy("x", "20.01"), "-4005"),
    "too much for a limit order": (buy("x", "40.01", price=100), "-4005"),
    "too many decimals in the quantity": (buy("x", "1.001"), "-1111"),
    "too many decimals in the price": (buy("x", price="99.001"), "-1111"),
    "off the tick": (buy("x", price="99.05"), "-4014"),
    "trigger off the tick": (sell("x", trigger="95.05"), "-4014"),
    "price of zero": (buy("x", price=0), "-4001"),
    "buying far above the mark": (buy("x", price="105.10"), "-4016: Limit price can't be higher than 105.00"),
    "selling far below the mark": (sell("x", price="94.90"), "-4024: Limit price can't be lower than 95.00"),
    "too small": (buy("x", "0.49"), "-4164: Order's notional must be no smaller than 50"),
    "reducing nothing": (sell("x", reduce_only=True), "-2022: ReduceOnly Order is rejected."),
    "closing nothing": (sell("x", 0, trigger=95, close_position=True), "-2022"),
    "stop already met": (sell("x", trigger=100), "-2021: Order would immediately trigger."),
    "target already met": (sell("x", trigger=100, type=OrderType.TAKE_PROFIT_MARKET), "-2021"),
    "trail already awake": (sell("x", type=TRAILING, callback_frac=D("0.01"), activation=D(100)), "-2021"),
    "a larger position than the brackets allow": (sell("x", 40, price=130), "-2027"),
    "more than the margin allows": (buy("x", 11), "-2019: Margin is insufficient."),
    "post-only that takes": (buy("x", price=101, time_in_force=TimeInForce.GTX), "-5022"),
    "all or nothing, and nothing at hand": (buy("x", price=99, time_in_force=TimeInForce.FOK), "-5021"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_order_says_why_in_the_venues_words_and_changes_nothing(case):
    order, words = REFUSED[case]
    venue = a_venue(cash=200, instruments={"BTCUSDT": SMALL, "ETHUSDT": SMALL})
    before = venue.snapshot()
    (event,) = submit(venue, order)
    assert isinstance(event, OrderChanged)
    assert event.status is OrderStatus.REJECTED
    assert event.reason.startswith(words), event.reason
    assert venue.snapshot() == before


def test_off_the_step_is_refused():
    coarse = Instrument("BTCUSDT", tick=D("0.1"), lot=D("0.25"))
    venue = a_venue(instruments={"BTCUSDT": coarse})
    submit(venue, buy("x", "1.10"), buy("y", "1.25"))
    assert fate(venue, "x") == "rejected -4023: Qty not increased by step size."
    assert fills(venue)[0].client_id == "y"


def test_mark_triggers_are_compared_with_the_mark_price():
    venue = a_venue()
    venue.advance(a_step(1, 100, mark=(90, 90, 90, 90)))
    submit(venue, by_mark(sell("met", trigger=95)), sell("ahead", trigger=95))
    assert fate(venue, "met").startswith("rejected -2021")
    assert fate(venue, "ahead") == "open"


def test_reducing_orders_are_exempt_from_smallness_margin_and_brackets():
    venue = a_venue(cash=200, instruments={"BTCUSDT": SMALL})
    submit(venue, buy("a", "9.8"))  # all the margin there is
    submit(venue, sell("tiny", "0.01", reduce_only=True), sell("all", 20, reduce_only=True))
    assert [f.client_id for f in fills(venue)] == ["a", "tiny", "all"]
    assert not venue.snapshot().positions


def test_an_order_that_closes_without_saying_so_needs_no_margin():
    venue = a_venue(cash=200, instruments={"BTCUSDT": SMALL})
    submit(venue, buy("a", "9.8"), sell("b", "9.8"))
    assert not venue.snapshot().positions


def test_resting_orders_reserve_their_margin():
    venue = a_venue(cash=100)
    submit(venue, buy("first", 3, price=99), buy("second", 3, price=99), sell("other", 2, price=101))
    assert [fate(venue, name).split(":")[0] for name in ("first", "second", "other")] == [
        "open",
        "rejected -2019",
        "open",
    ]


def test_no_margin_is_asked_before_the_trigger_and_all_of_it_then():
    venue = a_venue(cash=100)
    submit(venue, buy("stop", 50, trigger=102))
    assert fate(venue, "stop") == "open"
    venue.advance(a_step(1, 100, 103, 100, 103))
    assert fate(venue, "stop") == "rejected -2019: Margin is insufficient."


def test_an_order_whose_margin_is_gone_when_it_fills_expires():
    venue = a_venue(cash=100, margin_mode="cross")
    submit(venue, buy("a", 2), sell("stop", 2, trigger=60, reduce_only=True), buy("again", 2, price=59))
    venue.advance(a_step(1, 100, 100, 58, 60))
    assert [f.client_id for f in fills(venue)] == ["a", "stop"]
    assert fate(venue, "again") == "expired -2019: Margin is insufficient."


def test_at_most_so_many_conditional_orders_wait():
    venue = a_venue(max_conditional_orders=2)
    submit(venue, *(sell(f"s{n}", trigger=95) for n in range(3)))
    assert fate(venue, "s2") == "rejected -4045: Reach max stop order limit."


def test_at_most_so_many_orders_rest():
    venue = a_venue(max_orders=2)
    submit(venue, *(buy(f"b{n}", price=95) for n in range(3)))
    assert fate(venue, "b2") == "rejected -2025: Reach max open order limit."


def test_one_close_position_order_a_side_and_type():
    venue = a_venue()
    target = OrderType.TAKE_PROFIT_MARKET
    submit(venue, buy("a"), sell("net", 0, trigger=90, close_position=True, role=Role.NET_STOP))
    submit(venue, sell("twin", 0, trigger=89, close_position=True))
    submit(venue, sell("target", 0, type=target, trigger=120, close_position=True))
    assert fate(venue, "twin").startswith("rejected -4130")
    assert [fate(venue, name) for name in ("net", "target")] == ["open", "open"]


@pytest.mark.parametrize(("beside", "ends"), [(True, "open"), (False, "rejected -4130")])
def test_a_close_position_stop_beside_reduce_only_ones_is_the_conducts_choice(beside, ends):
    net, stop = sell("net", 0, trigger=90, close_position=True), sell("stop", trigger=95, reduce_only=True)
    for first, second in ((net, stop), (stop, net)):
        venue = a_venue(close_position_beside_reduce_only=beside)
        submit(venue, buy("a"), first, second)
        assert fate(venue, second.client_id).startswith(ends)


# --- promises of the port ---------------------------------------------------------------------------------


@LAW
@given(times=st.integers(1, 4))
def test_submitting_again_changes_nothing_and_repeats_what_is_known(times):
    venue = a_venue()
    filled, resting, refused = buy("filled"), buy("resting", price=95), buy("refused", symbol="NOPE")
    first = submit(venue, filled, resting, refused)
    before, events = venue.snapshot(), venue.events(T0)
    for _ in range(times):
        assert submit(venue, filled, resting, refused) == first
    assert (venue.snapshot(), venue.events(T0)) == (before, events)


def test_a_name_is_used_for_ever():
    venue = a_venue()
    submit(venue, buy("a", price=95))
    venue.carry_out([Cancel("a", "BTCUSDT")])
    submit(venue, buy("a", 3))
    assert not fills(venue)
    assert fate(venue, "a") == "canceled"


def test_cancelling_what_is_gone_is_no_error():
    venue = a_venue()
    submit(venue, buy("a"))
    known = venue.events(T0)
    venue.carry_out([Cancel("a", "BTCUSDT"), Cancel("never heard of", "BTCUSDT")])
    assert venue.events(T0) == known


def test_a_step_that_lies_behind_is_ignored():
    venue = a_venue()
    submit(venue, buy("a", price=95))
    venue.advance(a_step(1, 100))
    venue.advance(a_step(1, 100, 100, 90, 95))
    venue.advance(a_step(0, 100, 100, 90, 95))
    assert not fills(venue)


# --- settings ---------------------------------------------------------------------------------------------


def test_leverage_is_set_within_what_the_brackets_allow_and_never_lowered_under_an_isolated_position():
    venue = a_venue()
    venue.set_leverage("BTCUSDT", 10)
    submit(venue, buy("a", 10))
    assert (venue.leverage("BTCUSDT"), venue.isolated["BTCUSDT"]) == (10, 100)
    with pytest.raises(Refused, match="-4161"):
        venue.set_leverage("BTCUSDT", 5)
    with pytest.raises(Refused, match="-4028"):
        venue.set_leverage("BTCUSDT", 51)
    with pytest.raises(Refused, match="-1121"):
        venue.set_leverage("NOPE", 5)


@pytest.mark.parametrize(
    "wrong",
    [{"margin_mode": "both"}, {"max_volume_share_frac": 0}, {"slippage_frac": 2.0}, {"leverage": 0}, {"leverage": 99}],
)
def test_a_conduct_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        a_venue(**wrong)
