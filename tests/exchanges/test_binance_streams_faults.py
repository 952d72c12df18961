"""Streams under the venue's faults: what is heard, and what REST tells when it has to be asked, is all there is."""

import asyncio
import json
from contextlib import asynccontextmanager
from math import inf

import aiohttp
import pytest
from a_listener import Told, no_clock, until
from a_served_venue import KEY, PAST, a_step, served
from builders import HOUR, T0

from qtlib.domain.events import Filled
from qtlib.domain.market import Bar
from qtlib.exchanges.binance.market_stream import MarketStream
from qtlib.exchanges.binance.private_stream import PrivateStream
from qtlib.exchanges.binance.sockets import Patience
from qtlib.exchanges.binance.told import LostTouch, Restored
from qtlib.exchanges.binance.words import ts_of
from qtlib.exchanges.port import BarHeard, Refused

HASTY = Patience(
    quiet_s=inf, connect_s=1, probe_s=0.05, unanswered=5, settle_s=0.2, first_pause_s=0.01, longest_pause_s=0.05
)
EVENTS = ("ORDER_TRADE_UPDATE", "TRADE_LITE", "*")


class Owner:
    """Who trades, believes the stream while it is trusted, and asks REST whenever it is restored."""

    def __init__(self, venue, session):
        self.told, self.known, self.restored = Told(), set(), asyncio.Event()
        self._venue, self._session = venue, session
        base = f"ws://127.0.0.1:{venue.port}"
        self.stream = PrivateStream(session, base, self, self._hear, patience=HASTY)

    def _hear(self, told):
        self.told(told)
        if isinstance(told, Filled):
            self.known.add(told.fill.fill_id)
        if isinstance(told, Restored):
            self.restored.set()

    async def reconcile(self):
        while True:
            await self.restored.wait()
            self.restored.clear()
            generation = self.stream.generation
            self.known |= await self.trades()
            self.stream.reconciled(generation)

    async def trades(self):
        rows = await self._ask("GET", "userTrades", symbol="BTCUSDT")
        return {str(row["id"]) for row in rows}

    async def trade(self, count):
        for number in range(count):
            side, name = ("BUY", "SELL")[number % 2], f"order-{number}"
            order = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": "0.010"}
            await self._ask("POST", "order", **order, newClientOrderId=name)
            self.stream.expect(name)

    async def _ask(self, method, path, **asked):
        status, answer = await asyncio.to_thread(self._venue.ask, method, f"/fapi/v1/{path}", signed=True, **asked)
        assert status == 200, answer
        return answer

    async def new_key(self):
        return (await self._key("POST"))["listenKey"]

    async def extend_key(self):
        await self._key("PUT")

    async def close_key(self):
        pass  # the venue ends before

    async def _key(self, method):
        where = f"{self._venue.url}/fapi/v1/listenKey"
        async with self._session.request(method, where, headers={"X-MBX-APIKEY": KEY}) as answer:
            if answer.status != 200:
                raise Refused(await answer.text())
            return await answer.json()


def inject(venue, *faults):
    """These faults are at work from now on, and no others."""
    wanted = {"clear": True, "seed": 7, "faults": faults}
    status, answer = venue.ask("POST", "/sim/faults", body=json.dumps(wanted).encode())
    assert status == 200, answer


@asynccontextmanager
async def at_work(*tasks):
    working = [asyncio.create_task(task) for task in tasks]
    try:
        yield
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


@pytest.mark.parametrize(
    ("fault", "loses"),
    [
        *(({"kind": "repeat", "on": on, "chance": 0.5, "times": None}, False) for on in EVENTS),
        *(({"kind": "reorder", "on": on, "chance": 0.5, "times": None, "behind": 2}, False) for on in EVENTS),
        *(({"kind": "omit", "on": on, "chance": 0.3, "times": 12}, False) for on in EVENTS),
        ({"kind": "omit", "on": "*", "times": None}, True),
        ({"kind": "drop_socket", "first": 7, "times": 3}, True),
        ({"kind": "silent_socket", "first": 7, "times": 2}, True),
        ({"kind": "listen_key_expired", "first": 7}, True),
    ],
    ids=lambda value: f"{value['kind']} {value.get('on', '')}" if isinstance(value, dict) else None,
)
def test_whoever_asks_rest_when_told_to_misses_no_fill(fault, loses):
    async def live(venue):
        async with aiohttp.ClientSession() as session:
            owner = Owner(venue, session)
            async with at_work(owner.stream.run(), owner.reconcile()):
                await until(lambda: owner.stream.trusted)
                inject(venue, fault)
                await owner.trade(12)
                inject(venue)
                await asyncio.sleep(3 * HASTY.settle_s)
                await until(lambda: owner.stream.trusted)
                return owner, await owner.trades()

    with served() as venue:
        owner, trades = asyncio.run(live(venue))
    assert len(trades) == 12
    assert owner.known == trades
    fills = [filled.fill.fill_id for filled in owner.told.of(Filled)]
    assert len(fills) == len(set(fills))
    assert owner.told.of(LostTouch) or not loses


@pytest.mark.parametrize("kind", ["drop_socket", "silent_socket"])
def test_bars_stay_complete_whatever_becomes_of_the_socket(kind):
    async def live(venue):
        async with aiohttp.ClientSession() as session:

            async def bars(symbol, after):
                asked = {"symbol": symbol, "interval": "1h", "startTime": int(after.timestamp() * 1000)}
                async with session.get(f"{venue.url}/fapi/v1/klines", params=asked) as answer:
                    rows = await answer.json()
                return [(Bar(ts_of(row[6] + 1), *map(float, row[1:6])), None) for row in rows[:-1]]

            told, symbols = Told(), ("BTCUSDT", "ETHUSDT")
            base, after = f"ws://127.0.0.1:{venue.port}", T0 + PAST * HOUR
            stream = MarketStream(session, base, symbols, "1h", after, told, bars, no_clock, patience=HASTY)
            async with at_work(stream.run()):
                await told.until(Restored)
                inject(venue, {"kind": kind, "on": "bar", "first": 20, "times": 1})
                await asyncio.to_thread(venue.step, 40)
                await told.until(LostTouch)
                inject(venue, {"kind": kind, "on": "bar", "first": 10, "times": 1})
                await asyncio.to_thread(venue.step, 40)
                await told.until(BarHeard, 160)
                return told

    with served(a_step(hour, 60_000 + hour) for hour in range(PAST + 1, 1_000)) as venue:
        told = asyncio.run(live(venue))
    hours = [T0 + hour * HOUR for hour in range(PAST + 1, PAST + 81)]
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert [heard.bar.ts for heard in told.of(BarHeard) if heard.symbol == symbol] == hours
