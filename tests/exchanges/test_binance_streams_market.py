"""Bars on a served venue: each one is told, once and in its turn, whatever becomes of sockets, messages and REST."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import datetime
from math import inf

import aiohttp
import pytest
from a_listener import Told, no_clock, until
from a_proxy import Proxy
from a_served_venue import PAST, served
from aiohttp import web
from binance_messages import AT, kline_told
from builders import HOUR, T0
from hypothesis import example, given
from hypothesis import strategies as st

from qtlib.domain.market import Bar, Step
from qtlib.exchanges.binance.candles import Candles
from qtlib.exchanges.binance.market_stream import MarketStream
from qtlib.exchanges.binance.payloads import CandleNews, MarkNews
from qtlib.exchanges.binance.sockets import Patience
from qtlib.exchanges.binance.told import Alarm, LostTouch, Restored
from qtlib.exchanges.binance.words import ms_of, ts_of
from qtlib.exchanges.port import BarHeard, Refused, Unavailable
from qtlib.exchanges.simulated import facts

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT")
PATIENT = Patience(quiet_s=inf, first_pause_s=0.01, longest_pause_s=0.05)
BRISK = Patience(quiet_s=inf, connect_s=0.5, probe_s=0.05, unanswered=5, first_pause_s=0.01, longest_pause_s=0.05)


def a_bar_of(symbol, hour, more=0.0):
    price = 1_000.0 * (SYMBOLS.index(symbol) + 1) + hour + more
    return Bar(T0 + hour * HOUR, price, price + 2, price - 3, price + 1, 1_000.0 + hour)


def a_step_of_five(hour):
    """The step that closes `hour` hours after the first; marks stand half a dollar above last prices."""
    bars = {symbol: a_bar_of(symbol, hour) for symbol in SYMBOLS}
    return Step(T0 + hour * HOUR, bars, {symbol: a_bar_of(symbol, hour, more=0.5) for symbol in SYMBOLS})


@pytest.fixture
def venue():
    coming = (a_step_of_five(hour) for hour in range(PAST + 1, 100_000))
    listed = {symbol: facts()[symbol] for symbol in SYMBOLS}
    with served(coming, listed=listed, step_of=a_step_of_five) as venue:
        yield venue


class Rest:
    """Bars of a served venue, for as long as it is `there`; counts what it was asked."""

    def __init__(self, session, url):
        self.asked, self.there = 0, True
        self._session, self._url = session, url

    async def __call__(self, symbol, after):
        self.asked += 1
        if not self.there:
            raise Unavailable("maintenance")
        rows = await self._rows("klines", symbol, after)
        marks = {row[6]: float(row[4]) for row in await self._rows("markPriceKlines", symbol, after)}
        return [(Bar(ts_of(r[6] + 1), *map(float, r[1:6])), marks.get(r[6])) for r in rows[:-1]]  # the last is open

    async def now(self):
        async with self._session.get(f"{self._url}/sim") as answer:
            return datetime.fromisoformat((await answer.json())["now"])

    async def _rows(self, path, symbol, after):
        asked = {"symbol": symbol, "interval": "1h", "startTime": ms_of(after), "limit": 1_000}
        async with self._session.get(f"{self._url}/fapi/v1/{path}", params=asked) as answer:
            document = await answer.json()
        if answer.status != 200:
            raise Refused(f"{document['code']}: {document['msg']}")
        return document


@asynccontextmanager
async def listening(venue, patience=BRISK, symbols=SYMBOLS):
    """A market stream of the venue, what it told, the proxy it comes through, and the REST it asks."""
    told = Told()
    async with Proxy(venue.port) as proxy, aiohttp.ClientSession() as session:
        rest = Rest(session, venue.url)
        base, after = f"ws://127.0.0.1:{proxy.port}", T0 + PAST * HOUR
        stream = MarketStream(session, base, symbols, "1h", after, told, rest, rest.now, patience=patience)
        async with running(stream):
            yield told, proxy, rest, stream


@asynccontextmanager
async def running(stream):
    task = asyncio.create_task(stream.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def by_symbol(told):
    found = {symbol: [] for symbol in SYMBOLS}
    for heard in told.of(BarHeard):
        found[heard.symbol].append((heard.bar, heard.mark))
    return found


def all_bars(count):
    hours = range(PAST + 1, PAST + 1 + count)
    return {s: [(a_bar_of(s, hour), a_bar_of(s, hour, more=0.5).close) for hour in hours] for s in SYMBOLS}


async def step(venue, bars):
    await asyncio.to_thread(venue.step, bars)


def test_a_thousand_bars_of_five_symbols_come_complete_and_in_order_over_three_losses(venue):
    async def live():
        async with listening(venue) as (told, proxy, rest, stream):
            await told.until(Restored)
            await step(venue, 250)
            proxy.drop()
            await step(venue, 250)
            await told.until(Restored, 2)
            proxy.shut()
            await step(venue, 200)
            proxy.shut(False)
            await told.until(Restored, 3)
            await step(venue, 50)
            await told.until(BarHeard, 5 * 750)
            losses = len(told.of(LostTouch))
            proxy.silent = True
            await step(venue, 100)
            await told.until(LostTouch, losses + 1)
            proxy.silent = False
            await step(venue, 150)
            await told.until(BarHeard, 5 * 1_000)
            assert stream.age_s() < 5
            return told, rest.asked

    told, asked = asyncio.run(live())
    assert by_symbol(told) == all_bars(1_000)
    assert not told.of(Alarm)
    assert asked < 100


def test_bars_that_are_heard_are_not_asked_for(venue):
    async def live():
        async with listening(venue, PATIENT) as (told, _, rest, _):
            await told.until(Restored)
            await step(venue, 100)
            await told.until(BarHeard, 500)
            return told, rest.asked

    told, asked = asyncio.run(live())
    assert by_symbol(told) == all_bars(100)
    assert asked == 5  # at the beginning
    assert told.of(LostTouch) == []


def test_what_closed_before_the_stream_began_is_told_first(venue):
    venue.step(7)

    async def live():
        async with listening(venue) as (told, *_):
            await told.until(Restored)
            await step(venue, 3)
            await told.until(BarHeard, 50)
            return told

    told = asyncio.run(live())
    assert by_symbol(told) == all_bars(10)
    assert told.index(told.of(Restored)[0]) == 35  # once all that was missed is told


def test_a_socket_is_replaced_before_its_time_and_no_bar_is_told_twice(venue):
    async def live():
        async with listening(venue, Patience(quiet_s=inf, life_s=0.1, overlap_s=0.05)) as (told, proxy, *_):
            await told.until(Restored)
            stepped = 0
            async with asyncio.timeout(10):
                while proxy.connections < 5:
                    await step(venue, 1)
                    stepped += 1
            await told.until(BarHeard, 5 * stepped)
            return told, stepped

    told, stepped = asyncio.run(live())
    assert by_symbol(told) == all_bars(stepped)
    assert told.of(LostTouch) == []


def test_bars_wait_for_those_before_them_as_long_as_rest_is_away(venue):
    async def live():
        async with listening(venue) as (told, proxy, rest, _):
            await told.until(Restored)
            rest.there = False
            proxy.shut()
            await step(venue, 3)
            proxy.shut(False)
            await until(lambda: proxy.connections > 1)
            await asyncio.sleep(0.1)
            await step(venue, 4)
            asked = rest.asked
            await until(lambda: rest.asked > asked + 50)
            assert told.of(BarHeard, Alarm) == []
            rest.there = True
            await told.until(BarHeard, 35)
            await told.until(Restored, 2)
            return told

    assert by_symbol(asyncio.run(live())) == all_bars(7)


def test_a_market_that_says_nothing_is_a_lost_one(venue):
    async def live():
        async with listening(venue, Patience(quiet_s=0.2, probe_s=0.05)) as (told, *_):
            return await told.until(LostTouch)

    assert asyncio.run(live()).why == "market of 5 symbols: not a message for 0.2 s"


def test_a_stream_that_the_venue_does_not_have_is_told_as_a_loss(venue):
    async def live():
        async with listening(venue, symbols=("BTCUSDT", "TEAUSDT")) as (told, *_):
            return await told.until(LostTouch)

    assert "the venue refuses to tell" in asyncio.run(live()).why


# --- a venue of our own, that says what no served one does ---------------------------------------------------


@asynccontextmanager
async def a_venue(*messages):
    """A venue that says these messages to who subscribes, after None to who does so next; its address, and what it
    was told by whom."""
    commands, left = {}, list(messages)

    async def serve(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        mine = commands.setdefault(len(commands), [])
        async for message in socket:
            mine.append(json.loads(message.data))
            await socket.send_json({"result": None, "id": mine[-1]["id"]})
            while left and (said := left.pop(0)) is not None:
                await socket.send_json(said)
        return socket

    app = web.Application()
    app.router.add_get("/market/ws", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}", commands
    finally:
        await runner.cleanup()


def test_many_symbols_are_shared_out_among_sockets_which_are_not_asked_too_much():
    symbols = [f"S{number}USDT" for number in range(250)]

    async def nothing(symbol, after):
        return []

    async def live():
        async with a_venue() as (base, commands), aiohttp.ClientSession() as session:
            told = Told()
            async with running(MarketStream(session, base, symbols, "1m", T0, told, nothing, no_clock)):
                await told.until(Restored, 3)
                await until(lambda: sum(len(each) for each in commands.values()) >= 5)
                return commands

    commands = asyncio.run(live())
    assert len(commands) == 3
    asked = [name for said in commands.values() for command in said for name in command["params"]]
    wanted = [s.lower() + kind for s in symbols for kind in ("@kline_1m", "@markPrice@1s")]
    assert sorted(asked) == sorted(wanted)
    for said in commands.values():
        assert sum(len(command["params"]) for command in said) <= 200
        assert len(said) <= 2


@pytest.mark.parametrize(
    ("refusal", "words"),
    [(None, "the venue has none"), (Refused("-1121: Invalid symbol."), "-1121")],
    ids=["none", "no"],
)
def test_a_bar_that_the_venue_does_not_have_is_an_alarm_and_holds_nothing_up(refusal, words):
    minute = 60_000

    async def rest(symbol, after):
        if refusal:
            raise refusal
        return []

    async def live():
        messages = [kline_told(AT), kline_told(AT + 3 * minute), kline_told(AT + 4 * minute)]
        async with a_venue(*messages) as (base, _), aiohttp.ClientSession() as session:
            told = Told()
            stream = MarketStream(session, base, ["BTCUSDT"], "1m", T0, told, rest, no_clock, patience=PATIENT)
            async with running(stream):
                await told.until(BarHeard, 3)
                return told

    told = asyncio.run(live())
    assert [heard.bar.ts for heard in told.of(BarHeard)] == [ts_of(AT + n * minute) for n in (1, 4, 5)]
    assert len(told.of(Restored)) == 1
    alarm = told.of(Alarm)[-1]
    assert words in alarm.words
    assert "BTCUSDT after 2026-01-01 00:01 are missing" in alarm.words


def test_a_socket_that_lives_and_says_nothing_is_not_believed():
    minute, hasty = 60_000, Patience(quiet_s=inf, probe_s=0.05, settle_s=0.05)
    bars = [(Bar(ts_of(AT + n * minute), 1.0, 2.0, 0.5, 1.5, 10.0), 1.5) for n in range(1, 5)]
    venue_ms = [AT + minute]  # what time it is there

    async def rest(symbol, after):
        return [(bar, mark) for bar, mark in bars if after < bar.ts <= ts_of(venue_ms[0])]

    async def now():
        return ts_of(venue_ms[0])

    async def live():
        async with a_venue(kline_told(AT)) as (base, _), aiohttp.ClientSession() as session:
            told = Told()
            stream = MarketStream(session, base, ["BTCUSDT"], "1m", T0, told, rest, now, patience=hasty)
            async with running(stream):
                await told.until(BarHeard)
                await asyncio.sleep(0.2)
                early = len(told.of(BarHeard))
                venue_ms[0] += 3 * minute + 100
                await told.until(BarHeard, 4)
                return early, told

    early, told = asyncio.run(live())
    assert early == 1
    assert [heard.bar.ts for heard in told.of(BarHeard)] == [bar.ts for bar, _ in bars]
    assert told.of(LostTouch, Alarm) == []


def test_a_bar_that_makes_no_sense_ends_the_connection():
    async def live():
        nonsense = kline_told() | {"k": {"x": True, "t": AT}}
        async with a_venue(nonsense, None, kline_told()) as (base, _), aiohttp.ClientSession() as session:
            told = Told()

            async def rest(symbol, after):
                return []

            async with running(
                MarketStream(session, base, ["BTCUSDT"], "1m", T0, told, rest, no_clock, patience=BRISK)
            ):
                lost = await told.until(LostTouch)
                await told.until(BarHeard)
                return lost

    assert "kline makes no sense" in asyncio.run(live()).why


# --- laws ---------------------------------------------------------------------------------------------------

SPAN = 60_000


def a_candle(number, closed):
    opened = AT + number * SPAN
    bar = Bar(ts_of(opened + SPAN), *([float(number)] * 5)) if closed else None
    return CandleNews("BTCUSDT", opened, opened + SPAN, bar)


def candles_after(number=0):
    return Candles("BTCUSDT", ts_of(AT + number * SPAN), late_ms=5_000)


@given(st.integers(1, 25), st.data())
def test_whatever_is_lost_repeated_or_late_each_bar_is_told_once_and_in_its_turn(count, data):
    frames = [(n, closed) for n in range(count) for closed in (False, True)]
    kept = [frame for frame in frames if data.draw(st.sampled_from([True, True, False]))]
    for _ in range(data.draw(st.integers(0, 5)) if kept else 0):
        which = data.draw(st.integers(0, len(kept) - 1))
        kept.insert(data.draw(st.integers(which, len(kept))), kept[which])
    candles, told = candles_after(), []
    for number, closed in [*kept, (count, False)]:
        told += candles.hear(a_candle(number, closed))
        if candles.incomplete and data.draw(st.booleans()):  # REST may answer later
            known = data.draw(st.integers(0, number + closed))  # and know less than we
            told += candles.fill([(a_candle(n, True).bar, None) for n in range(known)])
    told += candles.fill([(a_candle(n, True).bar, None) for n in range(count)])
    assert [heard.bar for heard in told] == [a_candle(n, True).bar for n in range(count)]
    assert not candles.incomplete


@given(st.lists(st.integers(-2 * SPAN, 3 * SPAN), max_size=10))
def test_a_bar_bears_the_last_mark_within_it_and_never_a_later_one(offsets):
    candles = candles_after()
    for offset in offsets:
        candles.hear_mark(MarkNews("BTCUSDT", AT + offset, float(offset)))
    [heard] = candles.hear(a_candle(0, closed=True))
    within = [offset for offset in offsets if 0 < offset <= SPAN]
    assert heard.mark == (max(within) if within else None)


@given(st.integers(-3 * SPAN, 4 * SPAN))
@example(2 * SPAN + 5_000)
def test_a_bar_whose_end_is_not_told_is_missing_once_the_marks_are_well_beyond_it(offset):
    candles = candles_after()
    candles.hear(a_candle(0, closed=False))
    candles.hear_mark(MarkNews("BTCUSDT", AT + offset, 1.0))
    assert candles.incomplete == (offset > SPAN + 5_000)
    closed = max(0, (offset - 5_001) // SPAN)
    candles.fill([(a_candle(n, True).bar, None) for n in range(closed)])
    assert not candles.incomplete
