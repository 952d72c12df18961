"""What trading does to the account: to the last digit where money is, and without mercy where margin is."""

import random
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
from a_venue import CASH, LAW, LISTED, a_step, a_venue, buy, fate, fills, sell, submit, told
from builders import BTC, HOUR, T0, a_bar
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.events import START, CashMoved, FundingPaid
from qtlib.domain.market import MarginBracket, Step
from qtlib.domain.orders import OrderType, Side
from qtlib.exchanges.port import Refused
from qtlib.exchanges.simulated import margin
from qtlib.rules.formulas import liquidation_price

D = Decimal
MODES = pytest.mark.parametrize("mode", ["isolated", "cross"])


def liquidations(venue):
    return [f for f in fills(venue) if f.client_id.startswith("autoclose-")]


def cleared(venue):
    return [e.amount for e in venue.events(T0) if isinstance(e, CashMoved) and e.reason == "insurance_clear"]


# --- fills and money --------------------------------------------------------------------------------------


def test_the_first_event_is_the_deposit():
    assert a_venue().events(START)[0] == CashMoved(START, CASH, "deposit", "deposit-0")


@MODES
@LAW
@given(parts=st.lists(st.integers(1, 300), min_size=1, max_size=6), price=st.integers(90, 110))
def test_fills_add_up_however_they_are_split(mode, parts, price):
    lots = [D(part) * BTC.lot * 100 for part in parts]
    whole, split = a_venue(margin_mode=mode), a_venue(margin_mode=mode)
    for side in (buy, sell):
        submit(whole, side(side.__name__, sum(lots)))
        submit(split, *(side(f"{side.__name__}{n}", lot) for n, lot in enumerate(lots)))
        for venue in (whole, split):
            venue.advance(a_step(1, price))
        assert whole.snapshot().cash == split.snapshot().cash
        assert whole.snapshot().positions == split.snapshot().positions
    assert not whole.snapshot().positions


@LAW
@given(
    held=st.integers(-50, 50).filter(bool),
    wanted=st.integers(1, 100),
    side=st.sampled_from(Side),
    kind=st.sampled_from(["market", "limit", "stop"]),
)
def test_reduce_only_never_increases_and_never_flips(held, wanted, side, kind):
    venue = a_venue()
    submit(venue, (buy if held > 0 else sell)("a", abs(held)))
    beyond = 101 if side is Side.BUY else 99
    terms = {"market": {}, "limit": {"price": beyond}, "stop": {"trigger": beyond}}[kind]
    submit(venue, (buy if side is Side.BUY else sell)("r", wanted, reduce_only=True, **terms))
    venue.advance(a_step(1, 100, 102, 98, 100))
    after = venue.account.position("BTCUSDT").quantity
    assert abs(after) <= abs(held)
    assert after * held >= 0
    assert after == held - (1 if held > 0 else -1) * (min(wanted, abs(held)) if side.sign * held < 0 else 0)


def test_what_has_nothing_left_to_reduce_expires_at_once():
    venue = a_venue()
    submit(
        venue,
        buy("a", 2),
        sell("stop", 2, trigger=95, reduce_only=True),
        sell("target", 1, price=103, reduce_only=True),
    )
    submit(venue, sell("net", 0, trigger=90, close_position=True))
    venue.advance(a_step(1, 100, 104, 100, 104))
    assert list(venue.snapshot().orders) == ["stop", "net"]
    submit(venue, sell("out", 1, reduce_only=True))
    assert not venue.snapshot().orders
    assert {fate(venue, name) for name in ("stop", "net")} == {"expired nothing left to reduce"}


def test_a_reversal_ends_the_orders_that_protected_the_other_side():
    venue = a_venue()
    submit(venue, buy("a", 2), sell("stop", 2, trigger=95, reduce_only=True), sell("turn", 5))
    assert venue.account.position("BTCUSDT").quantity == -3
    assert fate(venue, "stop") == "expired nothing left to reduce"


def test_close_position_closes_whatever_is_held_and_says_that_it_is_done():
    venue = a_venue()
    submit(venue, buy("a", 2), sell("net", 0, trigger=95, close_position=True), buy("more", 3))
    venue.advance(a_step(1, 100, 100, 94, 96))
    assert [(f.quantity, f.price) for f in fills(venue, "net")] == [(5, 95)]
    assert fate(venue, "net") == "filled"


@MODES
@LAW
@given(
    moves=st.lists(
        st.tuples(st.sampled_from([buy, sell]), st.integers(1, 400), st.integers(9_000, 11_000), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_cash_is_deposits_plus_realized_less_fees_plus_funding_to_the_last_digit(mode, moves):
    venue = a_venue(margin_mode=mode, slippage_noise_frac=0.0001)
    for n, (side, lots, cents, funded) in enumerate(moves):
        venue.advance(a_step(n + 1, cents / 100, funding=0.0003 if funded else None))
        submit(venue, side(f"o{n}", lots * BTC.lot * 100))
    events = venue.events(START)
    assert told(events) == venue.account
    paid = sum(f.fee for f in fills(venue))
    moved = sum(e.amount for e in events if isinstance(e, CashMoved | FundingPaid))
    spent = sum(f.side.sign * f.quantity * f.price for f in fills(venue))
    held = venue.account.position("BTCUSDT")
    assert venue.account.cash == pytest.approx(moved - paid - spent + held.quantity * held.entry_price, abs=D("1e-15"))


def test_twice_the_same_is_the_same():
    def lived():
        venue = a_venue(slippage_noise_frac=0.0005, seed=7)
        for n in range(1, 30):
            submit(venue, buy(f"b{n}", n % 3 + 1), sell(f"s{n}", 1, trigger=98 - n % 2))
            venue.advance(a_step(n, 100 + n % 5, 106, 95 + n % 4, 101, volume=50))
        return venue.events(START)

    assert lived() == lived()


# --- funding ----------------------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize(
    ("side", "rate", "amount"), [(buy, 1e-4, "-0.0208"), (sell, 1e-4, "0.0208"), (sell, -1e-4, "-0.0208")]
)
def test_funding_is_settled_on_the_mark_price_with_whoever_holds_at_that_instant(mode, side, rate, amount):
    venue = a_venue(margin_mode=mode)
    submit(venue, side("a", 2))
    before, backed = venue.account.cash, venue.isolated.get("BTCUSDT")
    venue.advance(a_step(1, 100, mark=(100, 104, 100, 104), funding=rate))
    submit(venue, side("later", 2))
    assert [e.amount for e in venue.events(T0) if isinstance(e, FundingPaid)] == [D(amount)]
    assert venue.account.cash == before + D(amount) - fills(venue, "later")[0].fee
    if mode == "isolated":
        assert venue.isolated["BTCUSDT"] == backed + D(amount) + 40


def test_who_left_during_the_bar_pays_no_funding():
    venue = a_venue()
    submit(venue, buy("a"), sell("stop", trigger=99, reduce_only=True))
    venue.advance(a_step(1, 100, 100, 98, 100, funding=0.01))
    assert not [e for e in venue.events(T0) if isinstance(e, FundingPaid)]


# --- margin -----------------------------------------------------------------------------------------------


def test_an_isolated_position_is_backed_by_its_own_part_of_the_wallet():
    venue = a_venue()
    submit(venue, buy("a", 4))
    assert venue.isolated == {"BTCUSDT": 80}
    venue.advance(a_step(1, 120))
    submit(venue, buy("b", 1))
    assert venue.isolated == {"BTCUSDT": 104}
    submit(venue, sell("c", 2))
    assert venue.isolated["BTCUSDT"] == D("62.4")
    submit(venue, sell("d", 3))
    assert venue.isolated == {}


def test_cross_margin_counts_open_profit_as_backing_if_told_to():
    for counts, opened in ((True, 2), (False, 1)):
        venue = a_venue(cash=100, margin_mode="cross", profit_backs_orders=counts)
        submit(venue, buy("a", 4))
        venue.advance(a_step(1, 125))
        submit(venue, buy("b", 3))
        assert len(fills(venue)) == opened


def test_available_is_what_positions_and_the_worse_side_of_resting_orders_leave():
    venue = a_venue(cash=1000, margin_mode="cross")
    submit(venue, buy("a", 10), buy("b", 5, price=90), sell("c", 12, price=110))
    assert margin.available(venue.view) == D("999.5") - (1000 + 450) / D(5)


@pytest.mark.parametrize(
    ("order", "reckoned"),
    [(buy("x"), "100.05"), (buy("x", price=99), "99"), (sell("x"), "100.15"), (sell("x", price=103), "103")],
)
def test_an_order_is_reckoned_at_a_price_rather_too_high_than_too_low(order, reckoned):
    assert margin.assumed_price(a_venue().view, order) == D(reckoned)
    plain = a_venue(long_margin_frac=0.0, short_margin_frac=0.0).view
    assert margin.assumed_price(plain, order) == (order.price or 100)


def test_an_order_costs_its_margin_the_loss_it_opens_with_and_its_fee():
    venue = a_venue(long_margin_frac=0.0)
    venue.advance(a_step(1, 100, mark=(99, 99, 99, 99)))
    assert margin.cost(venue.view, buy("x", 10)) == 200 + 10 + D("0.5")
    assert margin.cost(venue.view, sell("x", 10, price=100, reduce_only=True)) == 0


# --- liquidation ------------------------------------------------------------------------------------------


@LAW
@given(
    quantity=st.floats(0.01, 1000),
    long=st.booleans(),
    entry=st.floats(0.1, 100_000),
    leverage=st.integers(1, 50),
    frac=st.floats(0.004, 0.015),
)
def test_at_its_liquidation_price_a_position_has_exactly_its_maintenance_margin_left(
    quantity, long, entry, leverage, frac
):
    held, wallet = (quantity if long else -quantity), quantity * entry / leverage
    price = liquidation_price(wallet, held, entry, frac, 0.0)
    if leverage == 1 and long:
        assert price == pytest.approx(0, abs=1e-9 * entry)
    else:
        assert wallet + held * (price - entry) == pytest.approx(quantity * price * frac, abs=1e-9 * quantity * entry)
        assert (price < entry) == long


@LAW
@given(quantity=st.integers(1, 30_000), long=st.booleans(), leverage=st.integers(2, 40))
def test_the_first_of_the_brackets_prices_that_is_met_liquidates(quantity, long, leverage):
    brackets = margin.float_brackets(BTC)
    held, wallet = float(quantity if long else -quantity), quantity * 100.0 / leverage
    price = margin.isolated_liquidation_price(wallet, held, 100.0, brackets)

    def left(mark):
        return wallet + held * (mark - 100.0) - margin.maintenance(held, mark, brackets)

    if left(100.0) > 0:
        nearer = price + (100.0 - price) * 1e-6
        assert left(nearer) > 0 >= left(price) - 1e-6 * quantity


def test_liquidation_cannot_be_skipped_by_a_favourable_end_of_the_bar():
    venue = a_venue()
    submit(venue, buy("a", 10), sell("target", 10, type=OrderType.TAKE_PROFIT_MARKET, trigger=105, reduce_only=True))
    venue.advance(a_step(1, 100, 110, 80, 110))
    assert [f.client_id for f in fills(venue)] == ["a", "autoclose-BTCUSDT-2"]
    assert fate(venue, "target") == "canceled liquidation"


def test_a_stop_before_the_liquidation_price_saves_the_position_and_one_behind_it_does_not():
    for trigger, saved in ((85, True), (80, False)):
        venue = a_venue()
        submit(venue, buy("a", 10), sell("stop", 10, trigger=trigger, reduce_only=True))
        venue.advance(a_step(1, 100, 100, 70, 75))
        assert bool(fills(venue, "stop")) == saved
        assert bool(liquidations(venue)) != saved


def test_liquidation_follows_the_mark_price_and_never_the_last():
    venue = a_venue()
    submit(venue, buy("a", 10))
    venue.advance(a_step(1, 100, 100, 50, 100, mark=(100, 100, 81, 100)))
    assert not liquidations(venue)
    venue.advance(a_step(2, 100, mark=(100, 100, 80, 100)))
    assert liquidations(venue)


@pytest.mark.parametrize(("side", "to"), [(buy, 60), (sell, 140)])
def test_an_isolated_liquidation_costs_its_part_of_the_wallet_and_no_more(side, to):
    venue = a_venue(instruments={"BTCUSDT": BTC, "ETHUSDT": replace(BTC, symbol="ETHUSDT")})
    venue.advance(a_step(1, 100, symbol="ETHUSDT"))
    venue.advance(a_step(2, 100))
    submit(venue, side("a", 10), side("e", 1, symbol="ETHUSDT", price=100))
    venue.advance(a_step(3, to))  # a gap far beyond bankruptcy
    assert venue.account.cash == CASH - 200 - fills(venue, "a")[0].fee
    assert cleared(venue)[0] > 0
    assert list(venue.snapshot().orders) == ["e"]  # another symbol's orders stay


def test_a_cross_liquidation_takes_everything_and_leaves_zero():
    venue = a_venue(cash=1000, margin_mode="cross")
    both = {s: a_bar(T0 + HOUR, 100.0) for s in ("BTCUSDT", "ETHUSDT")}
    venue.advance(Step(T0 + HOUR, both))
    submit(venue, buy("b", 20), buy("e", 20, symbol="ETHUSDT"), buy("rests", 1, price=90, symbol="XRPUSDT"))
    fall = {s: a_bar(T0 + 2 * HOUR, 100.0, 100.0, 70.0, 100.0) for s in both}
    venue.advance(Step(T0 + 2 * HOUR, fall))
    assert {f.symbol for f in liquidations(venue)} == {"BTCUSDT", "ETHUSDT"}
    assert (venue.account.cash, dict(venue.account.positions), venue.snapshot().orders) == (0, {}, {})


def test_in_cross_margin_one_positions_profit_carries_another():
    for mode, survives in (("cross", True), ("isolated", False)):
        venue = a_venue(cash=1000, margin_mode=mode)
        both = {s: a_bar(T0 + HOUR, 100.0) for s in ("BTCUSDT", "ETHUSDT")}
        venue.advance(Step(T0 + HOUR, both))
        submit(venue, buy("b", 10), sell("e", 10, symbol="ETHUSDT"))
        fall = {s: a_bar(T0 + 2 * HOUR, 100.0, 100.0, 60.0, 60.0) for s in both}
        venue.advance(Step(T0 + 2 * HOUR, fall))
        assert (not liquidations(venue)) == survives


@pytest.mark.parametrize("begun", ["isolated", "cross"])
def test_a_crossed_wallet_may_be_below_zero_while_open_profit_carries_it(begun):
    venue = a_venue(cash=1000, margin_mode=begun)
    both = {s: a_bar(T0 + HOUR, 100.0) for s in ("BTCUSDT", "ETHUSDT")}
    venue.advance(Step(T0 + HOUR, both))
    for symbol in both:
        with suppress(Refused):
            venue.set_margin_mode(symbol, "cross")
    submit(venue, buy("b", 20), sell("e", 25, symbol="ETHUSDT"))
    venue.advance(Step(T0 + 2 * HOUR, {s: a_bar(T0 + 2 * HOUR, 40.0) for s in both}))
    submit(venue, sell("out", 20, reduce_only=True))
    assert (venue.account.cash < 0, cleared(venue), list(venue.account.positions)) == (True, [], ["ETHUSDT"])
    submit(venue, buy("home", 25, symbol="ETHUSDT", reduce_only=True))
    assert venue.account.cash > 1000


def test_the_liquidation_fee_is_charged_on_the_liquidated_notional():
    venue = a_venue()
    submit(venue, buy("a", 10))
    venue.advance(a_step(1, 100, 100, 80, 80))
    (fill,) = liquidations(venue)
    assert fill.fee == fill.price * 10 * BTC.liquidation_fee_frac
    assert fill.price == 80  # bankruptcy, which here is worse than the market at 80.8


def test_a_larger_position_in_a_steeper_bracket_is_liquidated_earlier():
    steep = replace(
        BTC, brackets=(MarginBracket(D(1000), D("0.01"), 50, D(0)), MarginBracket(D(10**9), D("0.1"), 10, D(90)))
    )
    venue = a_venue(instruments={"BTCUSDT": steep})
    submit(venue, buy("a", 50))
    venue.advance(a_step(1, 100, 100, 86, 100))
    assert liquidations(venue)


# --- what had to be assumed -------------------------------------------------------------------------------


def test_a_missing_mark_price_is_on_record():
    venue = a_venue()
    assert venue.fallbacks["BTCUSDT"] == "mark price: last price stands in"
    assert "pessimistic" in venue.fallbacks["intrabar"]
    assert "ETHUSDT" not in venue.fallbacks


# --- margin mode of a symbol ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("begun", "set_to"), [("isolated", "cross"), ("cross", "isolated")])
@LAW
@given(prices=st.lists(st.floats(60, 160), min_size=3, max_size=12), seed=st.integers(0, 99))
def test_a_mode_set_for_every_symbol_is_the_mode_the_venue_was_begun_with(begun, set_to, prices, seed):
    one, other = (a_venue(1_000, margin_mode=mode, leverage=20) for mode in (begun, set_to))
    for venue in (one, other):
        for symbol in LISTED:
            with suppress(Refused):
                venue.set_margin_mode(symbol, set_to)
        dice = random.Random(seed)
        for hour, price in enumerate(prices, 1):
            trade = dice.choice([buy, sell])(
                f"o{hour}", dice.randrange(1, 90), symbol=dice.choice(["BTCUSDT", "ETHUSDT"])
            )
            submit(venue, trade, sell(f"l{hour}", 1, price=round(price * 1.01)))
            bars = {s: a_step(hour, price, volume=1e6, symbol=s).bars[s] for s in ("BTCUSDT", "ETHUSDT")}
            venue.advance(Step(T0 + hour * HOUR, bars, {}, dict.fromkeys(bars, 0.001), {}))
    assert one.events(START) == other.events(START)
    assert (one.account, dict(one.isolated)) == (other.account, dict(other.isolated))
    assert margin.available(one.view) == margin.available(other.view)
