"""A listing that changes under a session: the next order is by what the venue lists now, and protection never waits."""

from dataclasses import replace
from decimal import Decimal

import pytest
from builders import INSTRUMENTS, T0, a_bar, a_signal, a_state, make_bars, some_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Choice, Moment, Reason
from qtlib.domain.events import FactsRead, Filled, OrderChanged, OrderRequested
from qtlib.domain.market import Step
from qtlib.domain.naming import role_of
from qtlib.domain.orders import OrderIntent, OrderStatus, Role, Side, Submit
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.exchanges.simulated.faults import Faults, fault
from qtlib.exchanges.simulated.faulty import FaultyExchange
from qtlib.journal import MemoryJournal
from qtlib.learning.strategies import Trend
from qtlib.rules.decide import decide
from qtlib.rules.limits import RiskLimits

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
PAST = Past({"BTCUSDT": make_bars(60, seed=7, vol=0.012), "XRPUSDT": make_bars(60, seed=8, vol=0.012)})
RULES = some_rules(limits=RiskLimits(cooldown_s=0, max_order_errors=1_000))


def lived_through(*faults):
    """A session that is closed at its end, over a venue with these faults; its journal's events, and the venue."""
    venue = SimulatedExchange(INSTRUMENTS, Decimal(10_000), Conduct())
    exchange, journal = FaultyExchange(venue, Faults(faults)), MemoryJournal()
    session(lived(exchange, replay(PAST, STRATEGY)), RULES, exchange, journal, close_at_end=True)
    return [event for _, event in journal.events()], venue


def refused(events, *roles):
    no = [e for e in events if isinstance(e, OrderChanged) and e.status is OrderStatus.REJECTED]
    return [e for e in no if role_of(e.client_id) in roles]


@settings(max_examples=12)
@given(what=st.sampled_from(["tick", "lot", "min_notional"]), factor=st.integers(2, 60), first=st.integers(40, 160))
def test_whatever_is_listed_otherwise_costs_one_round_of_refusals_and_everything_is_closed(what, factor, first):
    events, venue = lived_through(fault("filters", on="*", what=what, factor=factor, first=first))
    assert not venue.account.positions
    assert not venue.view.book.orders
    assert len({no.ts for no in refused(events, *Role)}) <= 1
    assert not refused(events, Role.EXIT) or what == "lot"


def test_a_lot_that_grew_larger_than_what_is_held_leaves_it_protected_and_closable():
    events, venue = lived_through(fault("filters", on="*", what="lot", factor=20_000, first=75))
    told = next(n for n, e in enumerate(events) if isinstance(e, FactsRead) and not e.run_id)
    assert events[told].instruments["BTCUSDT"].lot == 20  # more than any position
    stops = [e.intent for e in events[told:] if isinstance(e, OrderRequested) and e.intent.role is Role.STOP_LOSS]
    assert stops
    assert all(stop.quantity % venue.instruments[stop.symbol].lot == 0 for stop in stops)
    assert any(isinstance(e, Filled) and e.fill.quantity < 20 for e in events[told:])
    assert not venue.account.positions


def test_a_stop_that_is_refused_for_its_tick_is_placed_again_at_the_new_one_and_nothing_is_left_for_it():
    tick = fault("filters", on="*", what="tick", factor=10, first=1)
    peace, _ = lived_through()
    events, _ = lived_through(tick)
    [told] = [event for event in events if isinstance(event, FactsRead) and not event.run_id]
    assert told.instruments["BTCUSDT"].tick == 10 * INSTRUMENTS["BTCUSDT"].tick
    entries = [
        sum(isinstance(e, Filled) and role_of(e.fill.client_id) is Role.ENTRY for e in of) for of in (peace, events)
    ]
    assert entries[0] - entries[1] <= 2  # those that were refused, one of each symbol at most


def test_a_position_whose_stop_is_refused_for_its_tick_gets_one_at_the_new_tick_in_the_same_round_and_stays():
    venue = SimulatedExchange(INSTRUMENTS, Decimal(10_000), Conduct())
    exchange, journal = FaultyExchange(venue, Faults()), MemoryJournal()
    venue.advance(Step(T0, {"BTCUSDT": a_bar()}))
    venue.carry_out([Submit(OrderIntent("web-1", "BTCUSDT", Side.BUY, Decimal(1), Role.FOREIGN))])
    venue.relist(replace(INSTRUMENTS["BTCUSDT"], tick=Decimal("0.7")))
    session([Moment(venue.now, {})], RULES, exchange, journal)
    assert refused([event for _, event in journal.events()], Role.STOP_LOSS)
    assert venue.account.positions["BTCUSDT"].quantity == 1
    stops = [o.intent for o in venue.view.orders("BTCUSDT") if role_of(o.intent.client_id) is Role.STOP_LOSS]
    assert [stop.trigger % Decimal("0.7") for stop in stops] == [0]


def test_a_symbol_that_settles_is_not_entered_until_it_trades_again():
    events, venue = lived_through(
        fault("settling", on="BTCUSDT", first=14, times=10), fault("filters", on="X*", first=40)
    )
    facts = [event for event in events if isinstance(event, FactsRead) and not event.run_id]
    outs = [dict(told.out) for told in facts]
    assert {"BTCUSDT": "BTCUSDT is SETTLING, not TRADING"} in outs or not refused(events, *Role)
    assert not outs or not outs[-1]
    assert not venue.account.positions


@pytest.mark.parametrize("out", [{}, {"BTCUSDT": "BTCUSDT is SETTLING, not TRADING"}])
def test_where_the_venue_takes_no_entries_none_is_made_and_the_verdict_says_why(out):
    state = advance(a_state(), FactsRead(a_state().ts, "", INSTRUMENTS, {}, out))
    verdicts = {
        v.symbol: v for v in decide(Moment(state.ts, {}, (a_signal(), a_signal("ETHUSDT"))), state, RULES).verdicts
    }
    assert verdicts["ETHUSDT"].choice is Choice.ENTER
    said = (verdicts["BTCUSDT"].choice, verdicts["BTCUSDT"].reason, verdicts["BTCUSDT"].rule)
    assert said == ((Choice.REFUSED, Reason.VENUE, out["BTCUSDT"]) if out else (Choice.ENTER, Reason.NONE, said[2]))
