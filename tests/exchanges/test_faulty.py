"""The venue in process while things go wrong: the port's promises hold, and a session comes through any schedule."""

from collections import Counter
from decimal import Decimal

import pytest
from a_venue import a_step, a_venue, buy, fills, sell, told
from builders import BTC, ETH, T0, make_bars, some_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.domain.decisions import Moment
from qtlib.domain.events import (
    START,
    CashCorrected,
    Filled,
    LimitsSet,
    OrderChanged,
    PositionAdopted,
)
from qtlib.domain.orders import Cancel, Order, OrderStatus, Submit
from qtlib.engine.auditor import Unwatched
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.port import ExchangeError, Unavailable, Unknown, Untrusted
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.exchanges.simulated.faults import Faults, fault, schedule
from qtlib.exchanges.simulated.faulty import AT_THE_PORT, FaultyExchange
from qtlib.journal import MemoryJournal
from qtlib.learning.strategies import Trend

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
HISTORY = Past({"BTCUSDT": make_bars(44, seed=7, vol=0.012), "ETHUSDT": make_bars(44, seed=8, vol=0.012)})
CALM_AT_THE_END = 10  # bars


def faulty(*faults):
    return FaultyExchange(a_venue(), Faults(faults))


def place(exchange, *intents):
    return exchange.carry_out([Submit(intent) for intent in intents])


def in_brief(events):
    return [
        f"{e.fill.client_id} traded" if isinstance(e, Filled) else f"{e.client_id} {e.status.value}"
        for e in events
        if isinstance(e, Filled | OrderChanged)
    ]


def asked(exchange, *intents):
    return in_brief(exchange.events(T0, [Order(intent) for intent in intents]))


# --- one fault at a time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error"),
    [("too_many", Unavailable), ("banned", Unavailable), ("unavailable", Unavailable), ("key_refused", Untrusted)],
)
def test_what_fails_for_sure_has_not_happened(kind, error):
    exchange = faulty(fault(kind, on="POST v1/order", first=2))
    with pytest.raises(error, match=kind):
        place(exchange, buy("a"), buy("b"), buy("c"))
    assert [f.client_id for f in fills(exchange.engine)] == ["a"]  # and what came after it was never asked for
    assert asked(exchange, buy("b"))[-1] == "b lost"


@pytest.mark.parametrize("executes", [True, False])
@pytest.mark.parametrize("kind", ["unknown_error", "timeout", "unexpected", "empty"])
def test_where_it_may_have_happened_nothing_is_said_until_asked(kind, executes):
    exchange = faulty(fault(kind, on="POST v1/order", executes=executes))
    assert place(exchange, buy("a")) == []
    assert bool(fills(exchange.engine)) is executes
    assert asked(exchange, buy("a")) == (["a open", "a traded"] if executes else ["a lost"])


@pytest.mark.parametrize("executes", [True, False])
def test_a_reset_connection_is_an_error_and_may_have_happened(executes):
    exchange = faulty(fault("reset", on="POST v1/order", executes=executes))
    with pytest.raises(Unknown):
        place(exchange, buy("a"))
    assert bool(fills(exchange.engine)) is executes


def test_what_reduces_is_never_throttled():
    exchange = faulty(fault("overloaded", first=2, times=None, on="*"))
    place(exchange, buy("a"))
    place(exchange, sell("b", reduce_only=True))
    with pytest.raises(Unavailable):
        place(exchange, buy("c"))


def test_a_question_that_is_not_answered_changes_nothing():
    exchange = faulty(fault("reset", on="GET *", times=2))
    with pytest.raises(Unavailable):
        exchange.snapshot()
    with pytest.raises(Unavailable):
        exchange.events(T0)
    assert exchange.snapshot() == exchange.engine.snapshot()


def test_a_hidden_order_is_told_of_after_so_many_questions_and_its_trades_at_once():
    exchange = faulty(fault("stale", on="POST *", asks=2, times=2))
    assert in_brief(place(exchange, buy("a"), sell("s", trigger=90, reduce_only=True))) == ["a traded"]
    assert asked(exchange, buy("a")) == ["a traded"]
    exchange.carry_out([Cancel("s", "BTCUSDT")])
    assert asked(exchange) == ["a traded"]
    assert asked(exchange) == ["a open", "s open", "s canceled", "a traded"]


def test_events_come_twice_later_in_their_instant_or_with_the_next_question():
    twice = faulty(fault("repeat", on="ORDER_TRADE_UPDATE", first=2))
    assert in_brief(place(twice, buy("a"))) == ["a open", "a traded", "a traded"]
    late = faulty(fault("reorder", on="ORDER_TRADE_UPDATE"))
    assert in_brief(place(late, buy("a"))) == ["a traded", "a open"]
    owed = faulty(fault("omit", on="ORDER_TRADE_UPDATE"))
    assert in_brief(place(owed, buy("a"))) == ["a traded"]
    owed.advance(a_step(1, 100))
    assert in_brief(owed.events(owed.now)) == ["a open"]  # though it lies before what was asked for


def test_the_market_goes_wrong_here_too():
    exchange = faulty(fault("gap", frac=0.1))
    place(exchange, buy("a"), sell("s", trigger=95, reduce_only=True))
    exchange.advance(a_step(1, 100))
    assert fills(exchange.engine, "s")[0].price == 90


# --- any schedule --------------------------------------------------------------------------------------------


class Patient(Unwatched):
    def trouble(self, why):
        assert isinstance(why, ExchangeError)


def run(seed, kinds=AT_THE_PORT):
    """A session of 44 bars through the schedule of `seed`, calm at the end; the exchange, and what it was told."""
    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct(slippage_noise_frac=0.0001))
    faults = Faults(schedule(seed, kinds=kinds, within=12), seed)
    exchange, journal = FaultyExchange(venue, faults), MemoryJournal(now=lambda: T0)

    def feed():
        bars = 0
        for moment in lived(exchange, replay(HISTORY, STRATEGY)):
            bars += bool(moment.bars)
            if bars == 44 - CALM_AT_THE_END:
                faults.clear()
            yield moment
        yield Moment(exchange.now, {}, doubt="the end")

    state = session(feed(), some_rules(), exchange, journal, watch=Patient())
    return exchange, journal, state


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_a_session_comes_through_any_schedule(seed):
    exchange, journal, state = run(seed)
    venue = exchange.engine
    assert state.account.positions == venue.account.positions
    assert state.account.cash == venue.account.cash
    assert {*state.orders} == {*venue.view.book.orders}
    assert all(trade.naked_since is None for trade in state.trades.values())
    account = told(venue.events(START))
    assert (account.cash, dict(account.positions)) == (venue.account.cash, dict(venue.account.positions))
    opened = Counter(
        e.client_id for e in venue.events(START) if isinstance(e, OrderChanged) and e.status is OrderStatus.OPEN
    )
    assert not opened or max(opened.values()) == 1
    assert not [e for _, e in journal.events() if isinstance(e, PositionAdopted | CashCorrected)]  # all was told


def told_of(journal):
    """All that was written down, but for the limits, which bear the wall clock's time."""
    return [event for _, event in journal.events() if not isinstance(event, LimitsSet)]


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_the_same_seed_is_the_same_life(seed):
    (one, journal, _), (other, again, _) = run(seed), run(seed)
    assert one.faults.document == other.faults.document
    assert told_of(journal) == told_of(again)
