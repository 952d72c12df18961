"""The compiled engine equals the event loop, trade for trade; what it does not know, it says."""

from decimal import Decimal

import market_data
import pytest
from builders import INSTRUMENTS, make_bars, some_rules
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twin_cases import Dice, agrees, case
from twins import assert_same, by_compiled, by_event_loop

from qtlib import compiler
from qtlib.engine import compiled
from qtlib.engine.compiled import Undecided, numbers
from qtlib.engine.feeds import Past, panel_of
from qtlib.exchanges.simulated import Conduct
from qtlib.exchanges.simulated import instruments as listed_as
from qtlib.learning.strategies import Trend
from qtlib.market import read
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import ExitParams
from qtlib.runs import columns

TRIED = 500


@settings(max_examples=TRIED, deadline=None)
@given(number=st.integers(0, 10**9))
@example(15556)  # a position is cut back in the moment of its entry, once another that was opened with it has gone
@example(
    1002449
)  # of three stops that would step nearer one may not: then none has met the bar at whose close it rests
def test_it_trades_as_the_event_loop_does(number):
    agrees(case(number))


@settings(max_examples=20, deadline=None)
@given(number=st.integers(0, 10**9), breath=st.integers(1, 90), asked=st.integers(1, 12))
def test_asked_now_and_then_whether_to_go_on_it_trades_the_same_until_it_may_not(number, breath, asked):
    one = case(number)
    panel = panel_of(one.history)
    try:
        tape = compiled.tape(one.history, panel)
        given_ = tape, compiled.wishes(one.strategy.signals(panel), tape), one.rules, one.conduct, one.cash
        whole, pieces = compiled.trade(*given_), compiled.trade(*given_, breath=breath)
        answers = iter(range(asked))
        cut = compiled.trade(*given_, breath=breath, go_on=lambda done, total: next(answers, None) is not None)
        until = compiled.trade(*given_, max_bars=cut.end, close_at_end=cut.end == whole.end)
    except Undecided:
        return

    for ours, theirs in ((pieces, whole), (cut, until)):
        assert_same(columns.tables(ours, one.rules), columns.tables(theirs, one.rules))


def test_the_cases_are_of_every_kind():
    """Reasons to leave, to stay out and to be cut are all met among few of them."""
    reasons, refused = set(), set()
    for number in range(40):
        one = case(number)
        try:
            ours = by_compiled(one.history, one.strategy, one.rules, one.conduct, one.cash)
        except Undecided:
            continue
        reasons |= set(ours.trades.exit_reason)
        refused |= set(ours.decisions.reason)

    assert reasons >= {"stop_loss", "take_profit", "trailing", "partial", "time_stop", "signal", "flatten", "end"}
    assert reasons >= {"liquidation"}
    assert refused >= {"no_signal", "status", "low_confidence", "weak_score", "cooldown", "target_too_close"}
    assert refused >= {"position_limit", "limit", "too_small", "fee_budget"}


@pytest.mark.parametrize(
    ("timeframe", "profile"),
    [("1m", "static"), ("5m", "one_r"), ("15m", "seed"), ("1h", "one_r"), ("1h", "static")],
)
def test_real_bars_are_traded_alike(timeframe, profile):
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]
    start = {"1m": "2025-06-01", "5m": "2025-05-01", "15m": "2025-03-01", "1h": "2024-06-01"}[timeframe]
    end = {"1m": "2025-06-04", "5m": "2025-05-14", "15m": "2025-04-10", "1h": "2024-11-01"}[timeframe]
    market = read(market_data.folder(), symbols, timeframe, start, end, allow_gaps=True)
    rules = Rules(
        listed_as(symbols, {}),
        limits=RiskLimits(max_positions=2, max_notional_per_trade=500.0, max_notional_per_symbol=500.0),
        exits=ExitParams(profile=profile),
    )
    given_ = (market, Trend(), rules, Conduct(slippage_noise_frac=0.0001), Decimal(10_000))

    ours = by_compiled(*given_)

    assert_same(ours, by_event_loop(*given_))
    assert len(ours.trades) > 5


def a_past(**more):
    return Past({s: make_bars(40, seed=k).round(2) for k, s in enumerate(INSTRUMENTS)}, **more)


@pytest.mark.parametrize(
    ("history", "rules", "conduct", "word"),
    [
        (a_past(), some_rules(), Conduct(margin_mode="cross"), "crossed"),
        (a_past(finer=a_past()), some_rules(), Conduct(), "finer"),
        (a_past(), some_rules(), Conduct(price_protect=True), "conducts"),
        (Past({s: make_bars(40, seed=1) for s in INSTRUMENTS}), some_rules(), Conduct(), "decimal places"),
        (a_past(), some_rules(limits=RiskLimits(max_daily_loss_frac=float("inf"))), Conduct(), "no number"),
    ],
)
def test_what_it_does_not_know_it_says(history, rules, conduct, word):
    with pytest.raises(Undecided, match=word):
        compiled.backtest(history, Dice(1), rules, conduct, Decimal(10_000))


@pytest.mark.parametrize("number", range(20))
def test_what_is_not_told_changes_nothing(number):
    one = case(number)
    on = compiled.tape(one.history, panel := panel_of(one.history))
    wished = compiled.wishes(one.strategy.signals(panel), on)

    told, untold = (compiled.trade(on, wished, one.rules, one.conduct, one.cash, told=told) for told in (True, False))

    count = told.world.account[0]["rows"]
    assert (told.world.curve == untold.world.curve).all()
    assert count == untold.world.account[0]["rows"]
    assert (told.world.rows[:count] == untold.world.rows[:count]).all()


def test_it_ends_after_so_many_bars_and_may_keep_what_is_open():
    given_ = (a_past(), Dice(2), some_rules(), Conduct(), Decimal(10_000))

    lived = compiled.backtest(*given_, close_at_end=False, max_bars=17)

    assert (lived.first, lived.end) == (0, 17)
    assert lived.world.account[0]["open"] > 0


@compiler.compiled
def ratio(number, whole):
    return numbers.ratio(number, whole)


@compiler.compiled
def scaled(number, numerator, denominator):
    return numbers.scaled(number, numerator, denominator)


@compiler.compiled
def at_least(number, numerator, denominator):
    return numbers.at_least(number, numerator, denominator)


@given(number=st.integers(-4 * 10**18, 4 * 10**18), digits=st.integers(0, 12))
def test_an_amount_is_the_float_that_its_decimal_is_nearest_to(number, digits):
    whole = 10**digits
    if abs(number) // whole < 2**53:
        assert ratio(number, whole) == float(Decimal(number) / Decimal(whole)) == number / whole


@given(
    number=st.integers(-(10**17), 10**17), numerator=st.integers(-(10**9), 10**9), denominator=st.integers(1, 10**15)
)
def test_a_share_is_rounded_half_to_even_from_a_product_of_any_length(number, numerator, denominator):
    exact = Decimal(number) * Decimal(numerator) / Decimal(denominator)
    if abs(exact) < 2**52:
        whole, rest = divmod(number * numerator, denominator)
        up = 2 * rest > denominator or (2 * rest == denominator and whole % 2)
        assert scaled(number, numerator, denominator) == whole + up


@given(number=st.integers(-(10**15), 10**15), numerator=st.integers(0, 1000), denominator=st.integers(1, 10**6))
def test_a_threshold_is_the_first_amount_that_reaches_it(number, numerator, denominator):
    least = at_least(number, numerator, denominator)
    assert least * denominator >= number * numerator > (least - 1) * denominator
