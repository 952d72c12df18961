"""One limiter for all calls: never beyond the venue's limits, and what protects is the last to be held back."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from a_served_venue import served
from hypothesis import given
from hypothesis import strategies as st
from test_binance_faults import a_stop, an_entry

from qtlib.domain.orders import Role, Submit
from qtlib.exchanges.binance.account import ABREAST
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.limits import SPARE_FRAC, Limits, protects, weight_of
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.port import Unavailable

MINUTE = 1_800_000_000.0 // 60 * 60  # a whole one


def some_limits(at=0.0, **used):
    limits = Limits(wall=lambda: MINUTE + at)
    for name, count in used.items():
        getattr(limits, name).at(MINUTE + at).used = count
    return limits


@pytest.mark.parametrize(
    ("asked", "weight"),
    [
        (("GET", "klines", {"limit": 99}), 1),
        (("GET", "klines", {"limit": 1000}), 5),
        (("GET", "markPriceKlines", {"limit": 1500}), 10),
        (("GET", "openOrders", {}), 40),
        (("GET", "openAlgoOrders", {"symbol": "BTCUSDT"}), 1),
        (("POST", "order", {}), 0),
        (("POST", "algoOrder", {}), 0),
        (("DELETE", "order", {}), 1),
        (("GET", "income", {}), 30),
        (("GET", "positionSide/dual", {}), 30),
        (("POST", "positionSide/dual", {}), 1),
        (("GET", "commissionRate", {}), 20),
        (("GET", "userTrades", {}), 5),
        (("GET", "time", {}), 1),
    ],
)
def test_a_call_weighs_what_the_venue_says(asked, weight):
    assert weight_of(*asked) == weight


def test_what_reduces_ends_or_looks_for_an_order_protects_and_nothing_else():
    assert protects("POST", "order", {"reduceOnly": "true"})
    assert protects("POST", "algoOrder", {"closePosition": "true"})
    assert protects("DELETE", "order", {})
    assert protects("GET", "algoOrder", {})
    assert protects("GET", "userTrades", {"orderId": "7"})
    assert not protects("POST", "order", {})
    assert not protects("GET", "income", {})


@given(used=st.integers(0, 2_400), weight=st.integers(1, 60), urgent=st.booleans(), at=st.floats(0, 59.9))
def test_nothing_goes_beyond_the_limit_and_a_tenth_is_kept_for_what_protects(used, weight, urgent, at):
    wait = some_limits(at, weight=used).wait_s(weight, False, urgent)
    most = 2_400 if urgent else 2_400 * (1 - SPARE_FRAC)
    assert (wait == 0) == (used + weight <= most or used == 0)
    assert wait <= 60.2 - at


@given(used=st.integers(0, 2_400), weight=st.integers(0, 60), places=st.booleans(), orders=st.integers(0, 300))
def test_what_protects_never_waits_longer(used, weight, places, orders):
    limits = some_limits(weight=used, orders_10s=orders, orders_1m=4 * orders)
    assert limits.wait_s(weight, places, urgent=True) <= limits.wait_s(weight, places, urgent=False)


def test_an_order_that_protects_is_never_held_back_for_its_weight():
    limits = some_limits(weight=2_400)
    assert limits.wait_s(0, True, urgent=True) == 0
    assert limits.wait_s(1, False, urgent=True) > 0


def test_orders_are_counted_in_windows_of_their_own():
    assert some_limits(orders_10s=300).wait_s(0, True, urgent=True) == 10
    assert some_limits(orders_1m=1_200).wait_s(0, True, urgent=True) == 60
    assert some_limits(orders_1m=1_200).wait_s(1, False, urgent=True) == 0  # questions go on


def test_the_venues_word_counts_for_more_than_our_own():
    limits = some_limits(weight=7)
    limits.heard({"X-MBX-USED-WEIGHT-1M": "2399", "X-MBX-ORDER-COUNT-10S": "300"})
    assert limits.wait_s(2, False, urgent=True) > 0
    assert limits.wait_s(0, True, urgent=True) > 0


def test_the_venues_list_of_limits_holds():
    limits = some_limits(weight=2_400)
    limits.allow([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000}])
    assert limits.wait_s(30, False, urgent=False) == 0


def test_while_it_is_to_be_quiet_nothing_is_sent_and_it_says_why():
    limits = some_limits()
    limits.quiet(120, "the venue bans us")
    assert limits.wait_s(0, True, urgent=True) == 120
    with pytest.raises(Unavailable, match="bans us"):
        asyncio.run(limits.room(0, places=True, urgent=True, patience_s=2.0))


def test_what_protects_goes_first_however_late_it_is_asked_for():
    entries = [an_entry(number, "0.001") for number in range(80)]
    others = [replace(entry, symbol="ETHUSDT", quantity=Decimal("0.02")) for entry in entries]
    with served(times=1000) as venue, open_exchange(Mode.SIM, url=venue.url) as ours:
        ours.carry_out([Submit(an_entry(100))])
        ours.carry_out([*map(Submit, others), Submit(a_stop(101))])
        arrived = [record.client_id for record in venue.desk.records()]
        assert arrived.index(a_stop(101).client_id) <= ABREAST
        assert len(arrived) == 82


def test_every_stop_is_confirmed_before_nets_and_targets_are_sent_and_no_entry_waits():
    """Else the requests of what can wait would be in the way of their answers."""
    with served(times=1000) as venue, open_exchange(Mode.SIM, url=venue.url) as ours:
        orders = []
        for symbol in ("BTCUSDT", "ETHUSDT"):
            ours.carry_out([Submit(replace(an_entry(), symbol=symbol, client_id=f"qt-{symbol}-e1-1"))])
            stop = replace(a_stop(1), symbol=symbol, client_id=f"qt-{symbol}-s1-1", trigger=Decimal(1_000))
            named = {role: f"qt-{symbol}-{role.value[0]}2-1" for role in (Role.NET_STOP, Role.TAKE_PROFIT)}
            net, target = (replace(stop, role=role, client_id=name) for role, name in named.items())
            orders += [stop, net, target]
        orders.append(replace(an_entry(), symbol="XRPUSDT", client_id="qt-XRPUSDT-e1-1", quantity=Decimal(20)))
        fetch, log = ours._client.fetch, []

        async def noted(url, method="GET", headers=None, body=None):
            asked = dict(pair.split("=", 1) for pair in str(body or "").split("&") if "=" in pair)
            name = asked.get("newClientOrderId") or asked.get("clientAlgoId") or ""
            log.append(name)
            answer = await fetch(url, method, headers, body)
            log.append(f"{name} answered")
            return answer

        ours._client.fetch = noted
        ours.carry_out([Submit(order) for order in orders])
    sent = {order: log.index(order.client_id) for order in orders}
    stops = [log.index(f"{order.client_id} answered") for order in sent if order.role is Role.STOP_LOSS]
    entry = next(sent[order] for order in sent if order.role is Role.ENTRY)
    assert max(stops) < min(sent[order] for order in sent if order.role in (Role.NET_STOP, Role.TAKE_PROFIT))
    assert entry < min(stops)


def test_an_adapter_that_begins_anew_asks_what_is_allowed_before_it_waits_for_it():
    with served(times=1_000) as venue:
        while int(venue.last_headers.get("X-MBX-USED-WEIGHT-1M", 0)) < Limits().weight.most:
            venue.ask("GET", "/fapi/v1/ticker/24hr")
        with open_exchange(Mode.SIM, url=venue.url) as ours:
            assert ours.used_weight > Limits().weight.most  # and it was not made to wait for the next minute
            assert ours._client.allowance.weight.most > ours.used_weight
