"""A plan closes the gap between what is wanted and what is, and never leaves a position bare on the way."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from math import ceil

import pytest
from builders import BTC, HOUR, T0, a_plan, a_position, a_state, some_rules
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Decision, Target
from qtlib.domain.events import (
    DecisionMade,
    Filled,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
    ProtectionOverdue,
    TradingStatus,
)
from qtlib.domain.naming import PREFIX, TRIAL
from qtlib.domain.orders import (
    ZERO,
    Cancel,
    ExitReason,
    Fill,
    OrderIntent,
    OrderStatus,
    OrderType,
    Role,
    Side,
    Submit,
)
from qtlib.rules.limits import RiskLimits
from qtlib.rules.plan import MOST_CONDITIONAL, plan
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams

RULES = some_rules()


def obey(state, action, fills=True):
    """`state` after a venue did at once what it was asked, at the price of the state."""
    if isinstance(action, Cancel):
        return advance(state, OrderChanged(state.ts, action.client_id, OrderStatus.CANCELED))
    intent = action.intent
    state = advance(state, OrderRequested(state.ts, intent))
    state = advance(state, OrderChanged(state.ts, intent.client_id, OrderStatus.OPEN))
    if intent.type in (OrderType.MARKET, OrderType.LIMIT) and fills:
        price = BTC.price(state.prices[intent.symbol])
        fill = Fill(intent.client_id, intent.client_id, intent.symbol, intent.side, intent.quantity, price, ZERO, T0)
        state = advance(state, Filled(state.ts, fill))
    return state


def settled(state, rules=RULES, rounds=8):
    for _ in range(rounds):
        actions = plan(state, rules)
        if not actions:
            return state
        for action in actions:
            state = obey(state, action)
    raise AssertionError(f"still planning after {rounds} rounds: {plan(state, rules)}")


def wishing(state, quantity, reason=None):
    exits = a_plan(partial_frac=0.5, trail_frac=0.02)
    target = Target("BTCUSDT", Decimal(str(quantity)), Decimal(101), Decimal(101), exits, reason, ts=T0)
    return advance(state, DecisionMade(T0, Decision(T0, {"BTCUSDT": target})))


@st.composite
def states(draw):
    held = draw(st.sampled_from([0, 1, -1, 0.5, -2]))
    state = a_state(*([a_position(held)] if held else []), prices={"BTCUSDT": draw(st.floats(97, 103))})
    if draw(st.booleans()):
        state = settled(state)
    state = state.but(status=draw(st.sampled_from(TradingStatus)))
    wish = draw(st.sampled_from([None, 0, 1, -1]))
    return state if wish is None or (wish and held) else wishing(state, wish)


@given(states())
def test_a_plan_carried_out_leaves_nothing_to_plan(state):
    assert plan(settled(state), RULES) == ()


@given(states())
def test_a_position_once_sheltered_is_never_bare(state):
    """No step of any later plan leaves the position without a confirmed stop of its full size, on the right side."""
    for status in TradingStatus:
        moving = settled(state.but(status=TradingStatus.ACTIVE)).but(status=status, prices={"BTCUSDT": 103.0})
        for _ in range(6):
            for action in plan(moving, RULES):
                moving = obey(moving, action)
                trade = moving.trades.get("BTCUSDT")
                assert trade is None or trade.naked_since is None


@given(states())
def test_everything_but_an_entry_only_reduces(state):
    for action in plan(state, RULES):
        if isinstance(action, Submit) and action.intent.role is not Role.ENTRY:
            held = state.account.position("BTCUSDT").quantity
            assert action.intent.reduce_only or action.intent.close_position
            assert action.intent.side.sign * held < 0
            assert action.intent.quantity <= abs(held)


@given(states().filter(lambda s: s.status is not TradingStatus.ACTIVE))
def test_only_an_active_engine_enters(state):
    assert all(a.intent.role is not Role.ENTRY for a in plan(state, RULES) if isinstance(a, Submit))


@given(states().filter(lambda s: s.status is TradingStatus.HALTED))
def test_a_halted_engine_ends_flat_with_no_order_left(state):
    after = settled(state)
    assert not after.account.positions
    assert not after.orders


@given(states())
def test_a_position_rests_with_one_stop_one_target_and_one_net(state):
    after = settled(state.but(status=TradingStatus.ACTIVE))
    for position in after.account.positions.values():
        roles = sorted(o.intent.role.value for o in after.orders.values())
        assert roles == ["net_stop", "stop_loss", "take_profit"]
        stop = next(o.intent for o in after.orders.values() if o.intent.role is Role.STOP_LOSS)
        assert stop.quantity == abs(position.quantity)
        assert (stop.trigger - position.entry_price) * position.quantity < 0


@given(states())
def test_the_same_state_asks_under_the_same_names(state):
    first, second = plan(state, RULES), plan(state, RULES)
    assert first == second
    names = [a.intent.client_id for a in first if isinstance(a, Submit)]
    assert len(names) == len(set(names))
    assert all(name.startswith(PREFIX) and len(name) <= 36 for name in names)


def test_the_stop_is_the_first_order_after_the_fill():
    state = wishing(a_state(prices={"BTCUSDT": 100.0}), 1)
    (entry,) = plan(state, RULES)
    assert entry.intent.role is Role.ENTRY
    (first, *_) = plan(obey(state, entry), RULES)
    assert (first.intent.role, first.intent.side, first.intent.trigger) == (Role.STOP_LOSS, Side.SELL, Decimal(98))


def test_levels_follow_from_the_fill_not_from_the_signal():
    state = wishing(a_state(prices={"BTCUSDT": 100.0}), 1)
    (entry,) = plan(state, RULES)
    state = advance(state, OrderRequested(T0, entry.intent))
    fill = Fill("1", entry.intent.client_id, "BTCUSDT", Side.BUY, Decimal(1), Decimal("100.50"), ZERO, T0)
    (first, *_) = plan(advance(state, Filled(T0, fill)), RULES)
    assert first.intent.trigger == Decimal("98.49")


def test_a_moved_stop_goes_in_before_the_old_one_comes_out():
    state = settled(wishing(a_state(prices={"BTCUSDT": 100.0}), 1))
    trade = replace(state.trades["BTCUSDT"], best=102.5)
    state = state.but(trades={"BTCUSDT": trade}, prices={"BTCUSDT": 102.0})
    (new,) = plan(state, RULES)
    assert (new.intent.role, new.intent.trigger) == (Role.STOP_LOSS, Decimal("100.40"))
    asked = advance(state, OrderRequested(T0, new.intent))
    assert plan(asked, RULES) == ()
    (old,) = plan(advance(asked, OrderChanged(T0, new.intent.client_id, OrderStatus.OPEN)), RULES)
    assert isinstance(old, Cancel)


@given(
    sign=st.sampled_from([1, -1]),
    nearer_frac=st.floats(0.0, 0.9),
    best_frac=st.floats(0.0, 0.03),
    funding=st.floats(-30, 30),
    leverage=st.integers(1, 20),
    partial=st.booleans(),
)
def test_no_stop_is_asked_for_behind_one_that_rests(sign, nearer_frac, best_frac, funding, leverage, partial):
    """Whatever made that one: what a level is worked out from may have changed since, and goes both ways."""
    state = settled(a_state(a_position(sign)))
    trade = replace(
        state.trades["BTCUSDT"],
        best=100 * (1 + sign * best_frac),
        funding=Decimal(str(round(funding, 2))),
        partial_taken=partial,
    )
    name, order = next((n, o) for n, o in state.orders.items() if o.intent.role is Role.STOP_LOSS)
    at = BTC.price(float(order.intent.trigger) + nearer_frac * (100 - float(order.intent.trigger)))
    resting = replace(order, intent=replace(order.intent, trigger=at))
    rules = some_rules(sizing=SizingParams(leverage=leverage))
    state = state.but(trades={"BTCUSDT": trade}, orders={**state.orders, name: resting})
    for action in plan(state, rules):
        if isinstance(action, Submit) and action.intent.role is Role.STOP_LOSS:
            assert sign * (action.intent.trigger - at) > 0
        if isinstance(action, Cancel):
            assert action.client_id != name


def test_a_stop_that_funding_brought_nearer_stays_there_when_the_funding_comes_back():
    rules = some_rules(sizing=SizingParams(leverage=25))
    state = settled(a_state(a_position(1)), rules)
    paid = replace(state.trades["BTCUSDT"], funding=Decimal("-1.0"))  # gone from the margin: liquidation is nearer
    moved = settled(state.but(trades={"BTCUSDT": paid}), rules)
    assert stops_of(moved)[0] > stops_of(state)[0]
    back = moved.but(trades={"BTCUSDT": replace(moved.trades["BTCUSDT"], funding=ZERO)})
    assert stops_of(settled(back, rules)) == stops_of(moved)


def stops_of(state):
    return [order.intent.trigger for order in state.orders.values() if order.intent.role is Role.STOP_LOSS]


def test_a_partial_is_taken_once_and_the_rest_runs_protected():
    state = settled(wishing(a_state(prices={"BTCUSDT": 100.0}), 1))
    target = next(o for o in state.orders.values() if o.intent.role is Role.TAKE_PROFIT)
    assert target.intent.quantity == Decimal("0.500")
    intent = target.intent
    fill = Fill("tp", intent.client_id, "BTCUSDT", intent.side, intent.quantity, intent.trigger, ZERO, T0)
    after = settled(advance(state, Filled(T0, fill)))
    assert after.trades["BTCUSDT"].partial_taken
    roles = sorted((o.intent.role.value, o.intent.quantity) for o in after.orders.values())
    assert roles == [("net_stop", ZERO), ("stop_loss", Decimal("0.500"))]


@pytest.mark.parametrize("refused", [Role.STOP_LOSS, Role.TAKE_PROFIT, Role.NET_STOP])
def test_what_the_venue_refuses_is_done_at_market_or_not_asked_twice(refused):
    state = wishing(a_state(prices={"BTCUSDT": 100.0}), 1)
    state = obey(state, plan(state, RULES)[0])
    for action in plan(state, RULES):
        state = advance(state, OrderRequested(T0, action.intent))
        ok = action.intent.role is not refused
        answer = OrderStatus.OPEN if ok else OrderStatus.REJECTED
        state = advance(state, OrderChanged(T0, action.intent.client_id, answer))
    asked = [a.intent for a in plan(state, RULES)]
    if refused is Role.NET_STOP:
        assert asked == []
    else:
        (order,) = asked
        assert order.type is OrderType.MARKET
        assert order.reduce_only


def test_a_stop_that_fired_is_not_bought_back():
    state = settled(wishing(a_state(prices={"BTCUSDT": 100.0}), 1))
    stop = next(o.intent for o in state.orders.values() if o.intent.role is Role.STOP_LOSS)
    fill = Fill("sl", stop.client_id, "BTCUSDT", stop.side, stop.quantity, stop.trigger, ZERO, T0)
    after = settled(advance(state, Filled(T0, fill)))
    assert not after.account.positions
    assert not after.orders
    assert not after.targets


def test_an_entry_that_expired_is_not_asked_for_again():
    state = wishing(a_state(prices={"BTCUSDT": 100.0}), 1)
    (entry,) = plan(state, RULES)
    state = advance(state, OrderRequested(T0, entry.intent))
    assert plan(advance(state, OrderChanged(T0, entry.intent.client_id, OrderStatus.EXPIRED)), RULES) == ()
    (again,) = plan(advance(state, OrderChanged(T0, entry.intent.client_id, OrderStatus.LOST)), RULES)
    assert again.intent.client_id != entry.intent.client_id


def test_the_time_stop_leaves_unless_the_partial_was_taken():
    state = settled(a_state(a_position(1)))
    trade = replace(state.trades["BTCUSDT"], exits=a_plan(time_stop_s=7200.0))
    late = state.but(ts=T0 + 2 * HOUR, trades={"BTCUSDT": trade})
    (out,) = plan(late, RULES)
    assert (out.intent.role, out.intent.reason) == (Role.EXIT, ExitReason.TIME_STOP)
    assert plan(late.but(ts=T0 + timedelta(seconds=7199)), RULES) == ()
    secured = late.but(trades={"BTCUSDT": replace(trade, partial_taken=True)})
    assert all(isinstance(a, Cancel) for a in plan(secured, RULES))


def test_a_position_that_stays_bare_too_long_is_flattened():
    bare = a_state(a_position(1)).but(ts=T0 + timedelta(seconds=4))
    roles = [a.intent.role for a in plan(bare, RULES) if isinstance(a, Submit)]
    assert roles == [Role.STOP_LOSS, Role.EXIT]


def test_a_price_beyond_the_stop_leaves_at_market():
    state = a_state(a_position(1), prices={"BTCUSDT": 97.0})
    (out,) = plan(state, RULES)
    assert (out.intent.type, out.intent.reason) == (OrderType.MARKET, ExitReason.STOP_LOSS)


def test_a_fill_dearer_than_its_cap_is_cut_back_at_once():
    short = a_state(a_position(-2, 103)).but(prices={"BTCUSDT": 103.0})
    sheltered = [a for a in plan(short, RULES) if isinstance(a, Submit) and a.intent.role is Role.EXIT]
    (cut,) = sheltered
    assert cut.intent.side is Side.BUY
    left = (2 - cut.intent.quantity) * 103
    assert left <= 200 < left + Decimal("0.2")


@given(held=st.decimals("0.001", "9", places=3), largest=st.decimals("0.4", "3", places=4))
def test_what_is_larger_than_one_order_may_be_is_left_in_several(held, largest):
    listed = {"BTCUSDT": replace(BTC, max_market_quantity=largest)}
    rules = replace(RULES, instruments=listed)
    state = a_state(a_position(held), status=TradingStatus.HALTED)
    parts = []
    while state.account.positions:
        (out,) = [a.intent for a in plan(state, rules) if isinstance(a, Submit) and a.intent.role is Role.EXIT]
        parts.append(out.quantity)
        state = obey(state, Submit(out))
    assert sum(parts) == held
    assert max(parts) <= largest
    assert len(parts) == ceil(held / listed["BTCUSDT"].largest)


def test_a_venue_that_lists_no_largest_order_is_asked_for_the_whole_way_out():
    rules = replace(RULES, instruments={"BTCUSDT": replace(BTC, max_market_quantity=ZERO)})
    halted = a_state(a_position(2), status=TradingStatus.HALTED)
    (out,) = [a.intent for a in plan(halted, rules) if isinstance(a, Submit) and a.intent.role is Role.EXIT]
    assert out.quantity == 2


@pytest.mark.parametrize("protected", [True, False])
def test_a_fill_that_is_heard_of_with_a_later_decision_is_still_cut_back_to_its_cap(protected):
    """One that was protected has been looked at: what it outgrows by later caps may stay."""
    dear = a_state(a_position(-2, 103), prices={"BTCUSDT": 103.0})
    stop = next(a for a in plan(dear, RULES) if isinstance(a, Submit) and a.intent.role is Role.STOP_LOSS)
    state = obey(dear, stop) if protected else dear
    later = advance(state, DecisionMade(state.ts + HOUR, Decision(state.ts + HOUR, {}, ())))
    cuts = [a for a in plan(later, RULES) if isinstance(a, Submit) and a.intent.role is Role.EXIT]
    assert bool(cuts) is not protected


def test_no_order_is_planned_for_a_symbol_without_facts():
    state = a_state(a_position(1, symbol="NEWUSDT"))
    assert plan(state, RULES) == ()


def test_smaller_moves_than_worth_an_order_leave_the_stop_alone():
    state = settled(wishing(a_state(prices={"BTCUSDT": 100.0}), 1))
    trade = replace(state.trades["BTCUSDT"], best=100.19)
    assert plan(state.but(trades={"BTCUSDT": trade}), some_rules(exits=ExitParams(ratchet_step_frac=0.1))) == ()


@pytest.mark.parametrize("held", [2, -2])
def test_an_order_left_from_a_position_that_was_turned_over_is_taken_back_and_protects_nothing(held):
    state = settled(a_state(a_position(held)))
    turned = a_position(-held)
    state = advance(state, PositionAdopted(T0, turned, a_plan(), "turned over by hand"))
    old = {o.intent.client_id for o in state.orders.values()}
    actions = plan(state, RULES)
    assert {action.client_id for action in actions if isinstance(action, Cancel)} == old
    stop = next(action.intent for action in actions if isinstance(action, Submit))
    assert (stop.role, stop.side, stop.quantity) == (Role.STOP_LOSS, Side.of(held), abs(turned.quantity))


def test_somebody_elses_order_is_never_touched_and_blocks_an_entry():
    theirs = OrderIntent("web-1", "BTCUSDT", Side.BUY, Decimal(1), Role.FOREIGN, OrderType.LIMIT, Decimal(90))
    state = advance(a_state(), OrderRequested(T0, theirs))
    state = advance(state, OrderChanged(T0, "web-1", OrderStatus.OPEN))
    assert plan(state, RULES) == ()
    assert plan(wishing(state, 1), RULES) == ()


@pytest.mark.parametrize("held", [0, 1, -1])
@pytest.mark.parametrize("side", Side)
def test_a_stop_that_a_start_up_only_tried_out_is_taken_back_when_it_is_found(held, side):
    state = settled(a_state(*([a_position(held)] if held else []), prices={"BTCUSDT": 100.0}))
    tried = OrderIntent(
        f"{TRIAL}1-2", "BTCUSDT", side, Decimal(1), Role.FOREIGN, OrderType.STOP_MARKET, trigger=Decimal(130)
    )
    found = advance(advance(state, OrderRequested(T0, tried)), OrderChanged(T0, tried.client_id, OrderStatus.OPEN))
    assert plan(found, RULES) == (Cancel(tried.client_id, "BTCUSDT"),)


def test_an_entry_of_which_nobody_knows_how_to_leave_it_is_taken_back():
    ours = OrderIntent("qt-x", "BTCUSDT", Side.BUY, Decimal(1), Role.ENTRY, OrderType.LIMIT, Decimal(90))
    state = advance(advance(a_state(), OrderRequested(T0, ours)), OrderChanged(T0, "qt-x", OrderStatus.OPEN))
    assert plan(state, RULES) == (Cancel("qt-x", "BTCUSDT"),)


def test_a_position_that_was_bare_for_too_long_is_left_even_where_a_stop_could_still_be_placed():
    state = advance(a_state(a_position(2)), ProtectionOverdue(T0, "BTCUSDT", 3.1))
    roles = [action.intent.role for action in plan(state, RULES) if isinstance(action, Submit)]
    assert roles == [Role.STOP_LOSS, Role.EXIT]


@pytest.mark.parametrize("count", [3, 60, 66, 67, 90, 100])
def test_every_position_has_its_stop_before_any_has_more_and_the_venues_book_never_overflows(count):
    listed = {f"S{n:03d}USDT": replace(BTC, symbol=f"S{n:03d}USDT") for n in range(count)}
    wide = RiskLimits(max_positions=count, max_gross_exposure=1e6, max_net_exposure=1e6, max_leverage=100.0)
    rules = replace(RULES, instruments=listed, limits=wide)
    state = a_state(*(a_position(1, symbol=symbol) for symbol in listed))
    first = [action.intent.role for action in plan(state, rules)]
    assert first[:count] == [Role.STOP_LOSS] * count
    held = settled(state, rules)
    roles = Counter(order.intent.role for order in held.orders.values())
    assert roles[Role.STOP_LOSS] == count
    assert len(held.orders) + count <= MOST_CONDITIONAL  # each stop can be replaced by a nearer one
    assert roles[Role.NET_STOP] == min(count, MOST_CONDITIONAL - 2 * count)
    assert roles[Role.TAKE_PROFIT] == max(0, min(count, MOST_CONDITIONAL - 3 * count))
