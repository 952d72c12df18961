"""What the venue lists otherwise than it was known is told once: after a refusal that suggests it, and now and then."""

from contextlib import contextmanager
from decimal import Decimal

import pytest
from a_liar import lying
from a_served_venue import LISTED, PAST, SYMBOLS, a_step, served
from builders import HOUR, T0

from qtlib.domain.events import FactsRead, OrderChanged
from qtlib.domain.orders import OrderIntent, OrderStatus, OrderType, Role, Side, Submit
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.simulated.faults import Faults, fault

NOW = T0 + PAST * HOUR
BTC = LISTED["BTCUSDT"]


@contextmanager
def begun(*faults, hours=1):
    """An adapter that has read the listing, before these faults begin to act."""
    at_work, coming = Faults(), (a_step(PAST + n) for n in range(1, hours + 1))
    with served(coming, faults=at_work, times=1000) as venue, open_exchange(Mode.SIM, url=venue.url) as ours:
        assert ours.instruments(SYMBOLS) == LISTED
        at_work.add(faults)
        yield ours


def a_bid(number, price):
    return Submit(
        OrderIntent(
            f"qt-BTCUSDT-e1-{number}",
            "BTCUSDT",
            Side.BUY,
            Decimal("0.01"),
            Role.ENTRY,
            OrderType.LIMIT,
            price=Decimal(price),
        )
    )


def facts(events):
    return [event for event in events if isinstance(event, FactsRead)]


def test_a_refusal_that_another_listing_explains_is_followed_by_that_listing():
    with begun(fault("filters", on="BTC*", what="tick", factor=10)) as ours:
        ours.step()
        assert facts(ours.events(NOW)) == []  # nobody had a reason to look
        no, told = ours.carry_out([a_bid(1, "58000.10")])
        assert isinstance(no, OrderChanged)
        assert (no.status, no.reason[:5]) == (OrderStatus.REJECTED, "-4014")
        assert told.instruments["BTCUSDT"].tick == 10 * BTC.tick
        assert told.instruments["ETHUSDT"] == LISTED["ETHUSDT"]
        assert facts(ours.carry_out([a_bid(2, "58000.10")])) == []  # it is known by now
        assert [e.status for e in ours.carry_out([a_bid(3, "58000")])] == [OrderStatus.OPEN]


def test_a_refusal_for_another_reason_is_none_to_look():
    with begun(fault("filters", on="BTC*", what="tick", factor=10)) as ours:
        ours.step()
        far = a_bid(1, "58000")
        assert facts(ours.carry_out([Submit(far.intent.named("qt-BTCUSDT-x1-1")), far])) == []


def test_once_a_day_it_is_looked_at_anyway_and_more_often_while_something_is_out():
    settling = fault("settling", on="BTC*", first=24, times=3)
    with begun(settling, hours=30) as ours:
        outs = []
        for _ in range(30):
            ours.step()
            outs += [dict(told.out) for told in facts(ours.events(NOW))]
        assert outs == [{"BTCUSDT": "BTCUSDT is SETTLING, not TRADING"}, {}]


def test_leverage_that_somebody_changed_ends_entries_in_that_symbol():
    coming = (a_step(PAST + n) for n in range(1, 30))
    with served(coming, times=1000) as venue, open_exchange(Mode.SIM, url=venue.url) as ours:
        ours.instruments(SYMBOLS)
        assert all(finding.ok for finding in ours.preflight(SYMBOLS, 5, "isolated"))
        venue.ask("POST", "/fapi/v1/leverage", signed=True, symbol="ETHUSDT", leverage=9)
        ours.step(25)
        [told] = facts(ours.events(NOW))
    assert told.leverage == {"BTCUSDT": 5, "ETHUSDT": 9}
    assert dict(told.out) == {"ETHUSDT": "ETHUSDT is at leverage 9, and was set to 5"}


@pytest.mark.parametrize("gone", SYMBOLS)
def test_what_does_not_trade_as_a_session_begins_is_told_and_the_others_are_there(gone):
    def without(said):
        return {**said, "symbols": [row for row in said["symbols"] if row["symbol"] != gone]}

    with (
        served() as venue,
        lying(venue.url, {("GET", "/fapi/v1/exchangeInfo"): without}) as url,
        open_exchange(Mode.SIM, url=url) as ours,
    ):
        assert set(ours.instruments(SYMBOLS)) == set(SYMBOLS) - {gone}
        [told] = facts(ours.events(NOW))
        assert dict(told.out) == {gone: f"{gone} is not listed"}
        assert facts(ours.events(NOW)) == []
