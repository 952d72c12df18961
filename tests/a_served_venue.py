"""A served venue to try clients on: in a thread of its own on a free port, stepped by hand; and ccxt pointed at it."""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlencode

import ccxt
from a_venue import a_conduct
from builders import HOUR, T0, a_bar

from qtlib.domain.market import Step
from qtlib.exchanges.simulated import SimulatedExchange, facts
from qtlib.exchanges.simulated.served import Desk, Doors, Ledger, serve
from qtlib.exchanges.simulated.served.auth import Credentials, signature
from qtlib.exchanges.simulated.served.chart import Chart

KEY, SECRET = "sim", "sim"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
LISTED = {symbol: facts()[symbol] for symbol in SYMBOLS}
PAST = 30  # hours that were before the account was


def a_step(hour, open=60_000.0, high=None, low=None, close=None, volume=1e6, funding=None, next=None):
    """The step that closes `hour` hours after the first: bitcoin as said, ether flat at 2 000."""
    ts = T0 + hour * HOUR
    bars = {
        "BTCUSDT": a_bar(ts, open, high, low, close, volume),
        "ETHUSDT": a_bar(ts, 2_000.0, volume=volume),
    }
    rates = {} if funding is None else {"BTCUSDT": funding}
    nexts = {} if next is None else {"BTCUSDT": next}
    return Step(ts, bars, bars, rates, nexts)


def a_desk(store=None, cash=10_000, past=PAST, listed=LISTED, step_of=a_step, **conduct):
    """A desk that stands `past` hours after the first, as does its chart; `store` is a folder."""
    engine = SimulatedExchange(listed, Decimal(cash), a_conduct(**conduct), store and store / "venue.db")
    chart = Chart(timedelta(hours=1))
    for hour in range(1, past + 1):
        chart.live(step_of(hour))
    desk = Desk(engine, Ledger(store and store / "orders.db"), chart)
    desk.live(step_of(past))
    return desk


class Served:
    """The venue while its doors are open, and how to knock at them without any client library."""

    def __init__(self, doors, desk, port):
        self.doors, self.desk, self.port = doors, desk, port
        self.url = f"http://127.0.0.1:{port}"
        self.last_headers = {}

    def ask(self, method, path, *, signed=False, key=None, body=None, **asked):
        """Status and document of one request; `signed` as the venue's own SDK does it."""
        if signed:
            asked = {**asked, "timestamp": int(time.time() * 1000)}
            asked["signature"] = signature(SECRET, urlencode(asked))
        headers = {"X-MBX-APIKEY": key or KEY} if signed or key else {}
        where = f"{self.url}{path}" + (f"?{urlencode(asked)}" if asked else "")
        return self.send(urllib.request.Request(where, body, headers, method=method))

    def send(self, request):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                self.last_headers = dict(answer.headers)
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as no:
            self.last_headers = dict(no.headers)
            return no.code, json.loads(no.read())

    def step(self, bars=1):
        return self.ask("POST", "/sim/step", bars=bars)[1]


@contextmanager
def served(coming=(), speed=None, wall=time.time, faults=None, times=1, make=a_desk, **said):
    """A venue behind open doors, made and used in a thread of its own; `coming` is what its market will do."""
    loop, opened, closing = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found = []

    async def stay_open():
        desk = make(**said)
        doors = Doors(desk, iter(coming), Credentials(KEY, SECRET), speed, wall, faults, times)
        async with serve(doors) as port:
            found.append(Served(doors, desk, port))
            opened.set()
            await closing.wait()
        desk.engine.close()
        desk.ledger.close()

    thread = threading.Thread(target=loop.run_until_complete, args=[stay_open()], daemon=True)
    thread.start()
    assert opened.wait(60)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join(10)
        loop.close()


def point_at(client, port):
    """A ccxt client that can reach this venue and nothing else, by its own documented options."""
    rest, ws = f"http://127.0.0.1:{port}/fapi", f"ws://127.0.0.1:{port}"
    client.urls["demo"] = {
        "fapiPublic": f"{rest}/v1",
        "fapiPublicV2": f"{rest}/v2",
        "fapiPublicV3": f"{rest}/v3",
        "fapiPrivate": f"{rest}/v1",
        "fapiPrivateV2": f"{rest}/v2",
        "fapiPrivateV3": f"{rest}/v3",
        "fapiData": f"http://127.0.0.1:{port}/futures/data",
        "ws": {"linear": f"{ws}/ws", "ws-api": {"linear": f"{ws}/ws-fapi/v1"}},
    }
    client.enable_demo_trading(True)
    for kind in ("exact", "broad"):
        client.exceptions[kind].update(client.exceptions["linear"].get(kind, {}))
    return client


OPTIONS = {
    "apiKey": KEY,
    "secret": SECRET,
    "enableRateLimit": False,
    "options": {"fetchCurrencies": False, "fetchOpenOrders": {"warnWithoutSymbol": False}},
}


def a_client(port, kind=ccxt.binanceusdm):
    return point_at(kind(OPTIONS), port)
