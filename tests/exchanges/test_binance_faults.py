"""Whatever goes wrong on the way: an order is at the venue once or not at all, and in the end we know which.

Every fault is injected by the venue itself, over the socket, from a seed.
"""

import time
from contextlib import contextmanager, suppress
from decimal import Decimal

import pytest
from a_served_venue import PAST, a_step, served
from builders import HOUR, T0
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.domain.events import Filled, OrderChanged
from qtlib.domain.orders import Cancel, Order, OrderIntent, OrderStatus, OrderType, Role, Side, Submit
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.port import ExchangeError, Unavailable, Untrusted
from qtlib.exchanges.simulated.faults import KINDS, PLACING, Faults, Place, fault, schedule

NOW = T0 + PAST * HOUR
SETTLE_S = 0.15
ON_STREAMS = [name for name, kind in KINDS.items() if kind.place in (Place.EVENT, Place.SOCKET)]
ON_REQUESTS = [name for name, kind in KINDS.items() if kind.place is Place.REQUEST and name != "banned"]


@contextmanager
def a_venue(*faults, seed=0, coming=(), deadline_s=0.4, settle_s=SETTLE_S):
    """A venue that goes wrong from the moment on in which the adapter is ready."""
    at_work = Faults(seed=seed)
    with (
        served(coming, faults=at_work, times=1000) as venue,
        open_exchange(Mode.SIM, url=venue.url, deadline_s=deadline_s, settle_s=settle_s) as ours,
    ):
        at_work.add(faults)
        yield venue, ours, at_work


def an_entry(number=1, quantity="0.02"):
    return OrderIntent(f"qt-BTCUSDT-e1-{number}", "BTCUSDT", Side.BUY, Decimal(quantity), Role.ENTRY)


def a_stop(number=2, trigger=58_000):
    return OrderIntent(
        f"qt-BTCUSDT-s1-{number}",
        "BTCUSDT",
        Side.SELL,
        Decimal("0.02"),
        Role.STOP_LOSS,
        OrderType.STOP_MARKET,
        trigger=Decimal(trigger),
        reduce_only=True,
    )


def landed(venue, intent):
    """How many orders of this name the venue ever took on."""
    return len(list(venue.desk.named(intent.client_id)))


def fates(events, intent):
    """What is said of an order: fills as FILLED."""
    said = [e.status for e in events if isinstance(e, OrderChanged) and e.client_id == intent.client_id]
    return said + [OrderStatus.FILLED for e in events if isinstance(e, Filled) and e.fill.client_id == intent.client_id]


IT_MAY_HAVE_HAPPENED = ["unknown_error", "timeout", "unexpected", "reset", "empty", "unanswered"]
IT_HAS_NOT = ["too_many", "unavailable", "overloaded", "engine_late"]


@pytest.mark.parametrize("intent", [an_entry(), a_stop()], ids=["plain", "conditional"])
@pytest.mark.parametrize("kind", IT_MAY_HAVE_HAPPENED)
def test_an_order_that_landed_without_an_answer_is_found(kind, intent):
    with a_venue() as (venue, ours, at_work):
        ours.carry_out([Submit(an_entry(0))])  # something to protect
        at_work.add([fault(kind, on=PLACING, executes=True)])
        assert fates(ours.carry_out([Submit(intent)]), intent)[0] is OrderStatus.OPEN
        assert landed(venue, intent) == 1


@pytest.mark.parametrize("intent", [an_entry(), a_stop()], ids=["plain", "conditional"])
@pytest.mark.parametrize("kind", IT_MAY_HAVE_HAPPENED)
def test_an_order_that_may_have_landed_is_never_sent_again_and_is_lost_when_that_is_certain(kind, intent):
    with a_venue() as (venue, ours, at_work):
        ours.carry_out([Submit(an_entry(0))])
        at_work.add([fault(kind, on=PLACING, executes=False)])
        assert fates(ours.carry_out([Submit(intent)]), intent) == []  # not known
        assert landed(venue, intent) == 0
        told = []
        while not told:  # the venue's time-out, as asked for here
            time.sleep(0.02)
            told = fates(ours.events(NOW, [Order(intent)]), intent)
        assert told == [OrderStatus.LOST]
        assert landed(venue, intent) == 0


def test_an_order_the_venue_does_not_find_at_first_is_not_taken_for_lost():
    entry = an_entry()
    at_first = (fault("timeout", on=PLACING, executes=True), fault("stale", on=PLACING, asks=6))
    with a_venue(*at_first, deadline_s=0.1, settle_s=60.0) as (venue, ours, _):
        assert fates(ours.carry_out([Submit(entry)]), entry) == []
        told = []
        while not told:
            told = fates(ours.events(NOW, [Order(entry)]), entry)
        assert told == [OrderStatus.OPEN, OrderStatus.FILLED]
        assert landed(venue, entry) == 1


@pytest.mark.parametrize("kind", IT_HAS_NOT)
def test_what_certainly_did_not_happen_is_sent_again_under_its_name(kind):
    entry = an_entry()
    with a_venue(fault(kind, on=PLACING, times=2), deadline_s=4.0) as (venue, ours, _):
        assert OrderStatus.FILLED in fates(ours.carry_out([Submit(entry)]), entry)
        assert landed(venue, entry) == 1


def test_a_clock_that_is_off_is_set_anew():
    entry = an_entry()
    with a_venue() as (venue, ours, _):
        ours._client.options["timeDifference"] = 30_000
        assert OrderStatus.FILLED in fates(ours.carry_out([Submit(entry)]), entry)
        assert abs(ours.clock_offset_ms) < 1_000
        assert landed(venue, entry) == 1


def test_a_venue_that_never_answers_is_unavailable_and_the_order_lost():
    entry = an_entry()
    with a_venue(fault("unavailable", on=PLACING, times=None)) as (_, ours, at_work):
        with pytest.raises(Unavailable):
            ours.carry_out([Submit(entry)])
        at_work.clear()
        assert fates(ours.events(NOW, [Order(entry)]), entry) == [OrderStatus.LOST]


def test_of_several_orders_those_that_failed_are_lost_and_the_others_told():
    entry, stop = an_entry(), a_stop()
    with a_venue(fault("unavailable", on="POST v1/algoOrder", times=None)) as (_, ours, _faults):
        told = ours.carry_out([Submit(entry), Submit(stop)])
        assert OrderStatus.FILLED in fates(told, entry)
        assert fates(told, stop) == [OrderStatus.LOST]


def test_a_refused_key_needs_a_person_and_the_order_is_known_not_to_have_landed():
    entry = an_entry()
    with a_venue(fault("key_refused", on=PLACING)) as (venue, ours, _):
        with pytest.raises(Untrusted, match="-2015"):
            ours.carry_out([Submit(entry)])
        assert fates(ours.events(NOW, [Order(entry)]), entry) == [OrderStatus.LOST]
        assert landed(venue, entry) == 0


@pytest.mark.parametrize("kind", ["reset", "unavailable"])
def test_a_question_that_nobody_answered_is_asked_again(kind):
    with a_venue(fault(kind, on="GET v1/income|GET v3/account", times=2)) as (_, ours, _faults):
        assert list(ours.events(NOW)) == []
        assert ours.snapshot().cash == 10_000


def test_a_venue_that_hangs_does_not_hang_whoever_asks():
    with a_venue(fault("delay_before", on="GET v3/account", seconds=3)) as (_, ours, _faults):
        with pytest.raises(Unavailable, match="no answer"):
            ours._ask(ours._account.snapshot(), within_s=0.2)
        assert ours.snapshot().cash == 10_000


def test_a_busy_venue_is_left_alone_for_as_long_as_it_says():
    with a_venue(fault("too_many", on="GET v1/income", seconds=1)) as (venue, ours, _):
        with pytest.raises(Unavailable):
            ours._ask(ours._client.fapiPrivateGetIncome())
        began = venue.doors._wall()
        ours._ask(ours._client.fapiPublicGetPing())
        assert venue.doors._wall() - began > 0.5


@pytest.mark.parametrize("kind", [*IT_MAY_HAVE_HAPPENED, "unavailable"])
@pytest.mark.parametrize("executes", [True, False])
def test_the_end_of_an_order_is_asked_for_until_it_is_certain(kind, executes):
    stop = a_stop()
    with a_venue() as (venue, ours, at_work):
        ours.carry_out([Submit(an_entry()), Submit(stop)])
        more = {"executes": executes} if kind in IT_MAY_HAVE_HAPPENED else {}
        at_work.add([fault(kind, on="DELETE v1/algoOrder", **more)])
        assert fates(ours.carry_out([Cancel(stop.client_id, stop.symbol)]), stop) == [OrderStatus.CANCELED]
        assert list(venue.desk.open_records()) == []


def test_fills_that_the_venue_writes_late_are_waited_for():
    entry = an_entry()
    with a_venue(fault("unavailable", on="GET v1/userTrades", times=3)) as (_, ours, _):
        assert fates(ours.carry_out([Submit(entry)]), entry) == [OrderStatus.OPEN, OrderStatus.FILLED]


# --- the law ------------------------------------------------------------------------------------------------


def a_market(hours):
    for hour in range(PAST + 1, PAST + hours + 1):
        low = 57_500 if hour % 3 == 0 else 59_500
        yield a_step(hour, 60_000, 60_500, low, 60_000, next=60_000)


@settings(max_examples=16)
@given(seed=st.integers(0, 1_000_000), watched=st.booleans())
def test_under_any_faults_each_order_lands_at_most_once_and_all_is_known_in_the_end(seed, watched):
    hours = 4
    faults = schedule(seed, kinds=ON_REQUESTS + ON_STREAMS * watched, longest_s=0.02, within=25)
    known, fills = {}, {}

    def learn(events):
        for event in events:
            if isinstance(event, Filled):
                fills[event.fill.fill_id] = event.fill
                order = known.get(event.fill.client_id)
                if order and order.status.working:
                    known[event.fill.client_id] = order.after(event.fill)
            elif isinstance(event, OrderChanged) and known[event.client_id].status.working:
                order = known[event.client_id]
                known[event.client_id] = Order(order.intent, event.status, order.filled)

    def working():
        return [order for order in known.values() if order.status.working]

    def tried(call, *asked):
        for _ in range(40):  # as the engine does: what is unavailable is asked again
            try:
                return call(*asked)
            except ExchangeError:
                continue
        raise AssertionError("the faults never ended")

    with a_venue(*faults, seed=seed, coming=a_market(hours), deadline_s=0.2) as (venue, ours, at_work):
        if watched:
            tried(ours.watch, ["BTCUSDT"], "1h")
        for hour in range(hours):
            intents = [an_entry(10 * hour, "0.01"), a_stop(10 * hour + 1), an_entry(10 * hour + 2, "0.0001")]
            for intent in intents:
                known[intent.client_id] = Order(intent)
            ends = [Cancel(o.intent.client_id, "BTCUSDT") for o in working() if o.status is OrderStatus.OPEN][:1]
            with suppress(ExchangeError):  # nothing was said: it is asked about below
                learn(ours.carry_out([*map(Submit, intents), *ends]))
            tried(ours.step)
            learn(tried(ours.events, NOW, working()))
        at_work.clear()
        for _ in range(60):
            tried(ours.snapshot)  # what an engine in doubt asks for first
            learn(tried(ours.events, NOW, working()))
            if not [o for o in working() if o.status is OrderStatus.PENDING]:
                break
        snapshot = tried(ours.snapshot)
        open_there = {record.client_id for record in venue.desk.open_records()}
        assert {o.intent.client_id for o in working()} == open_there == set(snapshot.orders)
        assert {fill_id: (f.client_id, f.quantity, f.price, f.fee) for fill_id, f in fills.items()} == {
            t.fill.fill_id: (t.record.client_id, t.fill.quantity, t.fill.price, t.fill.fee) for t in venue.desk.trades
        }
        for client_id, order in known.items():
            records = list(venue.desk.named(client_id))
            assert len(records) <= 1
            assert bool(records) == (order.status not in (OrderStatus.LOST, OrderStatus.REJECTED))
            if records and not records[0].is_open:
                assert order.status is records[0].status
