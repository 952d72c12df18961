"""The promises of `exchanges/port.py`, over everything that makes them; and that all of it is the same market.

Each exchange stands at the same hour of the same market: the simulated one in this process, and the adapter to the
real venue's protocol, over a served one.
"""

import random
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from a_served_venue import LISTED, PAST, a_step, served
from a_venue import a_conduct
from builders import HOUR, T0
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.domain.account import Account
from qtlib.domain.events import Filled, FundingPaid, OrderChanged
from qtlib.domain.naming import name_of
from qtlib.domain.orders import (
    ZERO,
    Cancel,
    Order,
    OrderIntent,
    OrderStatus,
    OrderType,
    Role,
    Side,
    Submit,
    TimeInForce,
)
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.simulated import SimulatedExchange

SINCE = T0 + PAST * HOUR  # where every market stands at first
TINY = Decimal("0.002")


@dataclass
class Place:
    """An exchange, and how to let its market go on."""

    exchange: Any
    market: Any

    def step(self):
        raise NotImplementedError

    def submit(self, *intents):
        return list(self.exchange.carry_out([Submit(intent) for intent in intents]))

    def cancel(self, intent):
        return list(self.exchange.carry_out([Cancel(intent.client_id, intent.symbol)]))

    def told(self, *about, since=SINCE):
        return list(self.exchange.events(since, about))


class InProcess(Place):
    def step(self):
        self.exchange.advance(next(self.market))


class OverTheWire(Place):
    def step(self):
        assert self.exchange.step() == 1


@contextmanager
def in_process(coming, **conduct):
    engine = SimulatedExchange(LISTED, Decimal(10_000), a_conduct(**conduct))
    for hour in range(1, PAST + 1):
        engine.advance(a_step(hour))
    yield InProcess(engine, iter(coming))


@contextmanager
def over_the_wire(coming, **conduct):
    with served(coming, **conduct) as venue, open_exchange(Mode.SIM, url=venue.url, settle_s=0.0, in_turn=True) as ours:
        yield OverTheWire(ours, None)
        assert venue.doors.unrouted == {}


PLACES = {"in process": in_process, "over the wire": over_the_wire}


def a_market():
    """Up, on, and down through 58 000."""
    yield a_step(PAST + 1, 60_000, 61_200, 59_900, 61_000, funding=0.0001, next=61_000)
    yield a_step(PAST + 2, 61_000, 61_500, 60_900, 61_400, next=61_400)
    yield a_step(PAST + 3, 61_400, 61_400, 57_000, 57_500, next=57_500)


@pytest.fixture(params=PLACES)
def place(request):
    with PLACES[request.param](a_market()) as place:
        yield place


def an_intent(number, role=Role.ENTRY, side=Side.BUY, quantity="0.02", type=OrderType.MARKET, **more):
    plain = OrderIntent("", "BTCUSDT", side, Decimal(quantity), role, type, **more)
    return plain.named(name_of(plain, SINCE, number))


def an_entry(number=1, **more):
    return an_intent(number, **more)


def a_limit(number, price, **more):
    return an_intent(number, type=OrderType.LIMIT, price=Decimal(price), **more)


def a_stop(number, trigger=58_000, quantity="0.02"):
    return an_intent(
        number,
        Role.STOP_LOSS,
        Side.SELL,
        quantity,
        OrderType.STOP_MARKET,
        trigger=Decimal(trigger),
        reduce_only=True,
    )


def a_net_stop(number, trigger=55_000):
    return an_intent(
        number, Role.NET_STOP, Side.SELL, "0", OrderType.STOP_MARKET, trigger=Decimal(trigger), close_position=True
    )


def fills_of(events):
    return [event.fill for event in events if isinstance(event, Filled)]


def fates_of(events, intent):
    return [e.status for e in events if isinstance(e, OrderChanged) and e.client_id == intent.client_id]


def pending(intent):
    return Order(intent)


def resting(intent, filled=ZERO):
    return Order(intent, OrderStatus.OPEN, filled)


def test_an_order_that_trades_at_once_is_told_with_its_fill(place):
    entry = an_entry()
    told = place.submit(entry)
    (fill,) = fills_of(told)
    assert (fill.client_id, fill.quantity, fill.price) == (entry.client_id, Decimal("0.02"), 60_000)
    assert fill.fee == Decimal("0.6")
    assert fates_of(told, entry) == [OrderStatus.OPEN]


def test_a_client_id_is_accepted_once(place):
    entry = an_entry()
    first, again = place.submit(entry), place.submit(entry)
    assert {event.key for event in again} >= {event.key for event in first if isinstance(event, Filled)}
    assert place.exchange.snapshot().positions["BTCUSDT"].quantity == entry.quantity
    place.submit(an_intent(2, Role.EXIT, Side.SELL, reduce_only=True))
    place.submit(entry)  # also when it is long done
    assert place.exchange.snapshot().positions == {}


def test_cancelling_what_is_gone_is_no_error(place):
    order = a_limit(1, 59_000)
    place.submit(order)
    assert OrderStatus.CANCELED in fates_of(place.cancel(order), order)
    place.cancel(order)
    place.cancel(an_entry(2))  # nor what never was
    assert place.exchange.snapshot().orders == {}


def test_a_no_is_an_event_with_the_venues_words(place):
    for intent, words in (
        (an_entry(1, quantity="0.0001"), "-1111: "),
        (an_entry(2, quantity="119"), "-2019: Margin is insufficient."),
        (a_stop(3), "-2022: ReduceOnly Order is rejected."),
    ):
        (no,) = place.submit(intent)
        assert (no.status, no.client_id) == (OrderStatus.REJECTED, intent.client_id)
        assert no.reason.startswith(words)
        assert fates_of(place.told(pending(intent)), intent) == [OrderStatus.REJECTED]  # and it is repeated


def test_events_repeat_and_forget_nothing(place):
    entry, stop = an_entry(1), a_stop(2)
    heard = place.submit(entry, stop, a_net_stop(3))
    for _ in range(3):
        place.step()
    told = place.told(resting(stop), resting(a_net_stop(3)))
    assert [event.key for event in told] == [event.key for event in place.told(resting(stop), resting(a_net_stop(3)))]
    assert {e.key for e in heard if isinstance(e, Filled)} < {e.key for e in told}
    assert [(f.client_id, f.price) for f in fills_of(told)] == [(entry.client_id, 60_000), (stop.client_id, 58_000)]
    assert [e.amount for e in told if isinstance(e, FundingPaid)] == [Decimal("-0.122")]
    assert fates_of(told, a_net_stop(3))[-1] is OrderStatus.EXPIRED  # nothing was left for it to close
    assert [event.ts for event in told] == sorted(event.ts for event in told)


def test_what_became_of_an_order_is_told_until_it_is_certain(place):
    never, rests, waits, filled = an_entry(1), a_limit(2, 59_000), a_stop(3), an_entry(4)
    place.submit(filled, rests, waits)
    told = place.told(*map(pending, (never, rests, waits, filled)))
    assert fates_of(told, never) == [OrderStatus.LOST]
    assert fates_of(told, rests) == [OrderStatus.OPEN]
    assert fates_of(told, waits) == [OrderStatus.OPEN]
    assert [fill.client_id for fill in fills_of(told)] == [filled.client_id]
    place.cancel(waits)
    assert fates_of(place.told(resting(waits)), waits)[-1] is OrderStatus.CANCELED


def test_a_snapshot_holds_balance_positions_and_both_books(place):
    entry, target = an_entry(1), a_limit(2, 62_500, role=Role.EXIT, side=Side.SELL, reduce_only=True)
    place.submit(entry, target, a_stop(3), a_net_stop(4))
    snapshot = place.exchange.snapshot()
    assert snapshot.cash == Decimal("9999.4")
    assert snapshot.positions["BTCUSDT"].quantity == Decimal("0.02")
    assert snapshot.positions["BTCUSDT"].entry_price == 60_000
    assert snapshot.orders == {intent.client_id: intent for intent in (target, a_stop(3), a_net_stop(4))}


def test_a_conditional_order_goes_by_one_name_before_and_after_it_fires(place):
    place.submit(an_entry(1))
    limit = Decimal(62_000)  # above every price to come: it fires, and rests
    target = an_intent(
        2, Role.TAKE_PROFIT, Side.SELL, "0.02", OrderType.TAKE_PROFIT, price=limit, trigger=Decimal(61_000)
    )
    place.submit(target)
    place.step()
    assert list(place.exchange.snapshot().orders) == [target.client_id]
    assert OrderStatus.EXPIRED not in fates_of(place.told(resting(target)), target)
    assert OrderStatus.CANCELED in fates_of(place.cancel(target), target)
    assert place.exchange.snapshot().orders == {}


def test_protection_of_one_size_closes_what_is_held_and_no_more(place):
    place.submit(an_entry(1), a_stop(2, quantity="0.05"))
    for _ in range(3):
        place.step()
    told = place.told(resting(a_stop(2, quantity="0.05")))
    assert [fill.quantity for fill in fills_of(told)] == [Decimal("0.02"), Decimal("0.02")]
    assert place.exchange.snapshot().positions == {}
    assert fates_of(told, a_stop(2, quantity="0.05"))[-1] is OrderStatus.EXPIRED


# --- all of it is one market --------------------------------------------------------------------------------

CONDUCT = {"slippage_frac": 0.0003, "slippage_noise_frac": 0.0002, "seed": 5, "max_volume_share_frac": 0.1}


def a_wild_market(seed, hours):
    dice, price = random.Random(seed), 60_000.0
    for hour in range(PAST + 1, PAST + hours + 1):
        close = price + dice.randrange(-900, 900)
        high, low = max(price, close) + dice.randrange(600), min(price, close) - dice.randrange(600)
        funding = 0.0002 if hour % 8 == 0 else None
        yield a_step(hour, price, high, low, close, volume=dice.choice([0.2, 5.0, 1e5]), funding=funding, next=close)
        price = close


def some_intents(dice, number):
    """Good and bad orders near the price, named in the order in which they are thought of."""
    for count in range(dice.randrange(5)):
        side, quantity = dice.choice(list(Side)), f"{dice.randrange(1, 40) / 1000:.3f}"
        near, reduce = Decimal(60_000 + dice.randrange(-1_500, 1_500)), dice.random() < 0.5
        role = dice.choice([Role.ENTRY, Role.STOP_LOSS])
        kinds = [
            {"type": OrderType.MARKET, "reduce_only": reduce},
            {"type": OrderType.MARKET, "quantity": "0.0001"},
            {"type": OrderType.LIMIT, "price": near, "time_in_force": dice.choice(list(TimeInForce))},
            {"type": OrderType.STOP_MARKET, "trigger": near, "reduce_only": reduce},
            {"type": OrderType.TAKE_PROFIT_MARKET, "trigger": near, "reduce_only": reduce},
            {"type": OrderType.STOP, "trigger": near, "price": near},
            {"type": OrderType.TRAILING_STOP_MARKET, "callback_frac": Decimal("0.005"), "reduce_only": reduce},
            {"type": OrderType.STOP_MARKET, "trigger": near, "close_position": True, "quantity": "0"},
        ]
        yield an_intent(number + count, role, side, **{"quantity": quantity, **dice.choice(kinds)})


def a_life(place, seed, hours):
    """What is heard of a life that depends on nothing but the seed: fills, ends, funding, and the last snapshot."""
    dice, number, orders, heard = random.Random(seed), 0, {}, {}
    for _ in range(hours):
        intents = list(some_intents(dice, number))
        number += len(intents)
        orders |= {intent.client_id: Order(intent) for intent in intents}
        told = place.submit(*intents) if intents else []
        if orders and dice.random() < 0.3:
            told += place.cancel(dice.choice(sorted(orders.values(), key=lambda o: o.intent.client_id)).intent)
        place.step()
        told += place.told(*orders.values())
        for event in told:
            if not isinstance(event, OrderChanged | Filled | FundingPaid) or event.key in heard:
                continue
            heard[event.key] = event
            name = event.fill.client_id if isinstance(event, Filled) else getattr(event, "client_id", None)
            if name in orders:
                known = orders[name]
                after = (
                    known.after(event.fill)
                    if isinstance(event, Filled)
                    else Order(known.intent, event.status, known.filled)
                )
                orders[name] = after
                if not after.status.working:
                    del orders[name]
    return heard, set(orders), place.exchange.snapshot()


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_the_same_orders_lead_to_the_same_fills_fees_and_cash(seed):
    lives = []
    for at in (in_process, over_the_wire):
        with at(a_wild_market(seed, 12), **CONDUCT) as place:
            lives.append(a_life(place, seed, 12))
    (here, here_working, here_last), (there, there_working, there_last) = lives
    fills = [{k: e for k, e in heard.items() if isinstance(e, Filled | FundingPaid)} for heard in (here, there)]
    assert fills[0] == fills[1]
    assert here_working == there_working
    ends = [{k for k, e in h.items() if isinstance(e, OrderChanged) and not e.status.working} for h in (here, there)]
    assert ends[0] == ends[1]
    assert (here_last.ts, here_last.cash.quantize(Decimal("1e-8"))) == (there_last.ts, there_last.cash)
    assert here_last.positions.keys() == there_last.positions.keys()
    account = Account()
    for event in there.values():
        account = account.after(event.fill) if isinstance(event, Filled) else account
    assert {s: p.quantity for s, p in account.positions.items()} == {
        s: p.quantity for s, p in there_last.positions.items()
    }
