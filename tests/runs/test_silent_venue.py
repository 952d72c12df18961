"""A real served venue whose sockets fall silent: noticed in seconds, said on the health page, and nothing is missed."""

import time
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

from a_served_venue import PAST, a_step, served
from builders import HOUR, T0
from patience import alone, until

from qtlib.domain.events import Filled
from qtlib.domain.orders import OrderIntent, OrderType, Role, Side, Submit
from qtlib.engine.health import SILENT_S, Link
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.binance.sockets import Patience
from qtlib.exchanges.port import BarHeard
from qtlib.exchanges.simulated.faults import Faults, fault
from qtlib.rules.limits import RiskLimits
from qtlib.runs.record.health import Health
from qtlib.runs.session.live import link_of

ENTRY = OrderIntent("qt-BTCUSDT-e1-1", "BTCUSDT", Side.BUY, Decimal("0.02"), Role.ENTRY)
STOP = OrderIntent(
    *("qt-BTCUSDT-s1-2", "BTCUSDT", Side.SELL, Decimal("0.02"), Role.STOP_LOSS, OrderType.STOP_MARKET),
    trigger=Decimal(58_000),
    reduce_only=True,
)
USUAL = Patience()
NOTICED_S = (USUAL.unanswered + 1) * USUAL.probe_s  # a ping may just have been answered when silence falls
SLACK_S = 1.5  # until we look


@contextmanager
def a_session(coming):
    """A venue, the adapter that watches it with the patience of every day, and a health page of it."""
    faults = Faults()
    with served(coming, faults=faults) as venue, open_exchange(Mode.SIM, url=venue.url, settle_s=0.1) as ours:
        heard = ours.watch(("BTCUSDT", "ETHUSDT"), "1h")
        until(lambda: ours.events(T0) is not None and ours.trusted and not ours.streams_lost)
        yield ours, heard, faults, Health("sim", "simulated", "main", RiskLimits(), link=partial(link_of, ours))


def page(health):
    return health.page()["exchange"]


def took_s(so):
    """How long it took until it was so."""
    begun = time.monotonic()
    until(so)
    return time.monotonic() - begun


def test_a_silent_venue_is_noticed_in_seconds_and_what_it_kept_back_is_learned():
    with a_session([a_step(PAST + 1), a_step(PAST + 2, 60_000, low=57_000)]) as (ours, heard, faults, health):
        ours.carry_out([Submit(ENTRY), Submit(STOP)])
        until(lambda: page(health)["streams_age_s"] < 1)
        faults.add([fault("silent_socket", on="bar"), fault("silent_socket", on="ORDER_TRADE_UPDATE")])
        ours.step(2)  # in the second bar the stop is filled, and nobody is told
        seen = []
        noticed_s = took_s(lambda: seen.append(page(health)) or "pings" in (seen[-1]["streams_lost"] or ""))
        assert noticed_s < NOTICED_S + alone(SLACK_S)
        assert max(one["streams_age_s"] for one in seen) > SILENT_S  # it said so before it was sure
        assert took_s(lambda: page(health)["streams_lost"] is None) < alone(SLACK_S)  # there is a new socket at once
        fills = [event.fill.client_id for event in ours.events(T0) if isinstance(event, Filled)]
        assert fills == [ENTRY.client_id, STOP.client_id]
        until(lambda: ours.events(T0) is not None and ours.trusted)
        bars = [said for said in (heard.get(timeout=5) for _ in range(heard.qsize())) if isinstance(said, BarHeard)]
        assert sorted((one.symbol, one.bar.ts) for one in bars) == [
            (symbol, T0 + (PAST + hour) * HOUR) for symbol in ("BTCUSDT", "ETHUSDT") for hour in (1, 2)
        ]


def test_a_page_out_of_touch_is_degraded_and_says_why():
    for link in (Link(streams_age_s=SILENT_S + 0.1), Link(streams_lost="the account: 3 pings"), Link(reachable=False)):
        assert link.out_of_touch
    assert not Link(True, 0.0, 30.0, SILENT_S).out_of_touch  # a quiet market is no silent one
    assert not Link().out_of_touch
