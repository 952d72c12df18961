"""A loop that plans nothing while a calm holds misses nothing."""

from dataclasses import replace
from datetime import timedelta

from builders import BTC, ETH, a_bar, a_plan, a_position, a_state, some_rules
from hypothesis import given
from hypothesis import strategies as st
from test_plan import settled

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Decision, Target
from qtlib.domain.events import BarClosed, DecisionMade, FundingPaid, ProtectionOverdue
from qtlib.domain.market import Bar
from qtlib.domain.orders import ZERO
from qtlib.rules.calm import calm
from qtlib.rules.plan import plan

RULES = some_rules()
MINUTE = timedelta(minutes=1)

plans = st.builds(
    a_plan,
    trail_frac=st.sampled_from([None, 0.02]),
    trail_from_start=st.booleans(),
    partial_frac=st.sampled_from([0.3, 1.0]),
    time_stop_s=st.sampled_from([None, 300.0]),
)
trades = st.fixed_dictionaries({"exits": plans, "partial_taken": st.booleans(), "recovered": st.booleans()})
paths = st.lists(st.tuples(st.floats(96.0, 104.0), st.floats(0.0, 2.5), st.sampled_from([0, 0, 0, 1, 2])), max_size=8)


def protected(quantity, trade, symbol="BTCUSDT"):
    """A position that has the orders it should have, one decision after it was opened."""
    state = a_state(a_position(quantity, symbol=symbol))
    state = settled(state.but(trades={symbol: replace(state.trades[symbol], **trade)}))
    return advance(state, DecisionMade(state.ts + MINUTE, Decision(state.ts + MINUTE)))


@given(quantity=st.sampled_from([1, -1]), trade=trades, path=paths)
def test_while_a_calm_holds_a_plan_asks_for_nothing(quantity, trade, path):
    state = protected(quantity, trade)
    quiet = None if plan(state, RULES) else calm(state, RULES)
    for price, reach, more in path:
        ts = state.ts + MINUTE
        bar = Bar(ts, price, price + reach, price - reach, price, 1.0)
        state = advance(state, BarClosed(ts, {"BTCUSDT": bar}))
        if more == 1:
            state = advance(state, FundingPaid(ts, "BTCUSDT", BTC.tick, 0.0001))
        elif more == 2:
            wished = Target("BTCUSDT", ZERO)
            state = advance(state, DecisionMade(ts, Decision(ts, {"BTCUSDT": wished})))
        if quiet and quiet.holds(state):
            assert plan(state, RULES) == ()


def test_a_bar_that_changes_nothing_ends_no_calm():
    state = protected(1, {"exits": a_plan(trail_frac=0.02)})
    quiet = calm(state, RULES)
    ts = state.ts + MINUTE
    after = advance(state, BarClosed(ts, {"BTCUSDT": a_bar(ts, 100.05, high=100.15, low=99.0)}))
    assert after.trades != state.trades
    assert quiet.holds(after)


def test_nothing_is_calm_before_it_is_known_to_be():
    state = a_state(a_position(1), a_position(1, symbol=ETH.symbol))
    assert calm(state, RULES) is None  # bare
    assert calm(settled(state), RULES) is None  # it may be larger than its caps allow, until the next decision


def test_time_and_the_auditor_end_a_calm():
    state = protected(1, {"exits": a_plan(time_stop_s=300.0)})
    quiet = calm(state, RULES)
    assert quiet.holds(advance(state, BarClosed(state.ts + 4 * MINUTE, {})))
    assert not quiet.holds(advance(state, BarClosed(state.ts + 5 * MINUTE, {})))
    assert not quiet.holds(advance(state, ProtectionOverdue(state.ts, "BTCUSDT", 4.0)))
