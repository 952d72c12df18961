"""The account's stream on a served venue: everything is heard, and every way of hearing nothing is noticed."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf

import aiohttp
import pytest
from a_listener import Told, until
from a_proxy import Proxy
from a_served_venue import KEY, PAST, a_step, served
from aiohttp import web
from binance_messages import AT, order_told, trade_told
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.events import START, Filled, OrderChanged
from qtlib.domain.orders import OrderStatus
from qtlib.exchanges.binance.private_stream import PrivateStream
from qtlib.exchanges.binance.sockets import Patience, Pauses
from qtlib.exchanges.binance.told import Look, LostTouch, Restored
from qtlib.exchanges.port import Refused, Unavailable

BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
REST = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "59000",
    "quantity": "0.010",
}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": "0.010"}
STOP |= {"triggerPrice": "58000.00", "reduceOnly": "true"}
NET = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET", "closePosition": "true"}
NET |= {"triggerPrice": "57500.00"}
BRISK = Patience(first_pause_s=0.01, longest_pause_s=0.05)


def a_market():
    yield a_step(PAST + 1, 60_000, 60_500, 59_900, 60_400, funding=0.0001, next=60_400)
    yield a_step(PAST + 2, 60_400, 60_400, 57_000, 57_400, next=57_400)


class VenueKeys:
    """Listen keys of a served venue; counts what it was asked for."""

    def __init__(self, session, url):
        self.made, self.renewed, self.refused, self.closed, self.away = [], 0, 0, 0, None
        self._session, self._url = session, f"{url}/fapi/v1/listenKey"

    async def new_key(self):
        self.made.append((await self._ask("POST"))["listenKey"])
        return self.made[-1]

    async def extend_key(self):
        await self._ask("PUT")
        self.renewed += 1

    async def close_key(self):
        await self._ask("DELETE")
        self.closed += 1

    async def _ask(self, method):
        if self.away:
            self.refused += 1
            raise self.away
        async with self._session.request(method, self._url, headers={"X-MBX-APIKEY": KEY}) as answer:
            document = await answer.json()
        if answer.status != 200:
            raise Refused(document["msg"])
        return document


@pytest.fixture
def venue():
    with served(a_market()) as venue:
        yield venue


class Account:
    """A stream, what it told, its keys, and the proxy between it and the venue."""

    def __init__(self, venue, stream, told, keys, proxy):
        self.venue, self.stream, self.told, self.keys, self.proxy = venue, stream, told, keys, proxy

    async def ask(self, method, path, **asked):
        status, answer = await asyncio.to_thread(lambda: self.venue.ask(method, path, signed=True, **asked))
        assert status == 200, answer
        return answer

    async def order(self, name, **order):
        await self.ask("POST", "/fapi/v1/order", **order, newClientOrderId=name)

    async def trusted(self, generation=1):
        """As an owner does: it has asked REST."""
        restored = await self.told.until(Restored, generation)
        self.stream.reconciled(restored.generation)
        return restored


@asynccontextmanager
async def listening(venue, patience=BRISK):
    told = Told()
    async with Proxy(venue.port) as proxy, aiohttp.ClientSession() as session:
        keys = VenueKeys(session, venue.url)
        stream = PrivateStream(session, f"ws://127.0.0.1:{proxy.port}", keys, told, patience=patience)
        running = asyncio.create_task(stream.run())
        try:
            yield Account(venue, stream, told, keys, proxy)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert not stream.trusted


def test_what_is_heard_of_a_whole_round_is_what_happened(venue):
    async def live():
        async with listening(venue) as account:
            await account.trusted()
            await account.order("entry", **BUY)
            await account.ask("POST", "/fapi/v1/algoOrder", **STOP, clientAlgoId="stop")
            await account.ask("POST", "/fapi/v1/algoOrder", **NET, clientAlgoId="net")
            await account.order("rests", **REST)
            await account.ask("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="rests")
            await asyncio.to_thread(venue.step, 2)
            await account.told.until(Filled, 2)
            ended = await account.told.until(OrderChanged, 6)
            assert account.stream.trusted
            return account.told.of(OrderChanged, Filled), account.told.of(Look), ended

    facts, looks, ended = asyncio.run(live())
    happened = [e for e in venue.desk.engine.events(START) if isinstance(e, OrderChanged | Filled)]
    numbered = dict(zip(["1", "2", "3", "4"], ["entry", "stop", "net", "rests"], strict=True))  # as the engine does
    assert [_in_brief(fact) for fact in facts] == [_in_brief(fact, numbered) for fact in happened]
    assert (ended.client_id, ended.status) == ("net", OrderStatus.EXPIRED)
    assert [look.why for look in looks] == ["funding_fee"]
    trades = venue.ask("GET", "/fapi/v1/userTrades", signed=True, symbol="BTCUSDT")[1]
    assert [f.fill.fill_id for f in facts if isinstance(f, Filled)] == [str(trade["id"]) for trade in trades]


def test_a_net_stop_that_fires_is_told_to_be_filled():
    with served([a_step(PAST + 1, 60_000, 60_000, 57_000, 57_400, next=57_400)]) as venue:

        async def live():
            async with listening(venue) as account:
                await account.trusted()
                await account.order("entry", **BUY)
                await account.ask("POST", "/fapi/v1/algoOrder", **NET, clientAlgoId="net")
                await asyncio.to_thread(venue.step, 1)
                last = await account.told.until(OrderChanged, 3)
                await asyncio.sleep(0)
                return last, account.told.of(LostTouch)

        last, lost = asyncio.run(live())
        assert (last.client_id, last.status) == ("net", OrderStatus.FILLED)
        assert not lost


def test_a_stream_is_trusted_from_its_owners_answer_to_the_next_loss(venue):
    async def live():
        async with listening(venue) as account:
            first = await account.told.until(Restored)
            assert (first, account.stream.trusted) == (Restored(1, 0), False)
            account.stream.reconciled(1)
            assert account.stream.trusted
            await account.order("entry", **BUY)
            heard = await account.told.until(Filled)
            account.proxy.drop()
            await account.told.until(LostTouch)
            again = await account.told.until(Restored, 2)
            assert not account.stream.trusted
            account.stream.reconciled(1)  # an answer to what is over
            assert not account.stream.trusted
            account.stream.reconciled(again.generation)
            assert account.stream.trusted
            return again, heard

    again, heard = asyncio.run(live())
    assert again.since_ms == int(heard.ts.timestamp() * 1000)


def test_what_was_missed_before_an_answer_is_still_missing_after_the_next_loss(venue):
    async def live():
        async with listening(venue) as account:
            await account.told.until(Restored)
            await account.order("entry", **BUY)
            await account.told.until(Filled)
            account.proxy.drop()
            unanswered = await account.told.until(Restored, 2)
            account.proxy.drop()
            return unanswered, await account.trusted(3)

    unanswered, after = asyncio.run(live())
    assert unanswered.since_ms == after.since_ms == 0


def test_what_happens_after_a_broken_connection_is_heard_and_an_outage_is_told_once(venue):
    async def live():
        async with listening(venue) as account:
            await account.trusted()
            account.proxy.shut()
            await account.order("unheard", **REST)
            await account.told.until(LostTouch, 2)
            await asyncio.sleep(0.2)  # some attempts more
            assert account.proxy.connections == 1
            account.proxy.shut(False)
            await account.trusted(2)
            await account.order("heard", **REST)
            await account.told.until(OrderChanged)
            return account.told.of(OrderChanged), account.told.of(LostTouch)

    changes, lost = asyncio.run(live())
    assert [change.client_id for change in changes] == ["heard"]
    assert [type(each) for each in lost] == [LostTouch, LostTouch]  # the break, and that nobody answers
    assert "no connection" in lost[1].why


def test_a_silent_socket_is_given_up(venue):
    patience = Patience(probe_s=0.05, unanswered=4, first_pause_s=0.01)

    async def live():
        async with listening(venue, patience) as account:
            await account.trusted()
            account.proxy.silent = True
            lost = await account.told.until(LostTouch)
            account.proxy.silent = False
            await account.trusted(2)
            assert account.stream.age_s() < 0.2
            return lost

    assert asyncio.run(live()).why == "4 pings in a row, each 0.05 s, found no sign of life"


def test_a_quiet_account_is_no_silent_socket(venue):
    patience = Patience(probe_s=0.05, unanswered=4, settle_s=0.1)

    async def live():
        async with listening(venue, patience) as account:
            await account.trusted()
            await asyncio.sleep(0.6)
            return list(account.told), account.stream.trusted

    told, trusted = asyncio.run(live())
    assert told == [Restored(1, 0)]
    assert trusted


def test_a_socket_that_answers_but_keeps_an_accepted_order_back_is_given_up(venue):
    patience = Patience(settle_s=0.2, first_pause_s=0.01)

    async def live():
        async with listening(venue, patience) as account:
            await account.trusted()
            await account.order("rests", **REST)
            await account.told.until(OrderChanged)
            for name in ("rests", "kept-back"):
                account.stream.expect(name)
            lost = await account.told.until(LostTouch)
            await account.trusted(2)
            return lost

    assert asyncio.run(live()).why == "order kept-back was accepted, and in 0.2 s nothing followed"


def test_a_key_that_is_gone_is_replaced(venue):
    async def live():
        async with listening(venue) as account:
            await account.trusted()
            await account.keys.close_key()
            lost = await account.told.until(LostTouch)
            await account.trusted(2)
            await account.order("heard", **REST)
            await account.told.until(OrderChanged)
            assert len(set(account.keys.made)) == 2
            return lost

    assert asyncio.run(live()).why == "the listen key expired"


def test_a_key_is_renewed_in_time_and_given_back_at_the_end(venue):
    async def live():
        async with listening(venue, Patience(renew_s=0.05)) as account:
            await account.trusted()
            await until(lambda: account.keys.renewed >= 3)
            keys = account.keys
            assert not account.told.of(LostTouch)
        return keys

    keys = asyncio.run(live())
    assert (len(keys.made), keys.closed) == (1, 1)


@pytest.mark.parametrize("key_life_s", [inf, 0.0])
def test_a_key_that_cannot_be_renewed_does_no_harm_until_it_may_have_ended(venue, key_life_s):
    patience = Patience(renew_s=0.05, longest_pause_s=0.05, first_pause_s=0.01, key_life_s=key_life_s)

    async def live():
        async with listening(venue, patience) as account:
            await account.trusted()
            account.keys.away = Unavailable("maintenance")
            await until(lambda: account.keys.refused >= 3)
            account.keys.away = None
            await account.trusted(1 if key_life_s else 2)
            return account.told.of(LostTouch)

    lost = asyncio.run(live())
    assert (
        lost == [] if key_life_s else "the listen key could not be renewed: maintenance" in [each.why for each in lost]
    )


def test_a_refused_renewal_means_another_key(venue):
    async def live():
        async with listening(venue, Patience(renew_s=0.05, first_pause_s=0.01)) as account:
            await account.trusted()
            await asyncio.to_thread(venue.ask, "DELETE", "/fapi/v1/listenKey", key=KEY)
            lost = await account.told.until(LostTouch)
            await account.trusted(2)
            return lost

    assert asyncio.run(live()).why == "This listenKey does not exist."


def test_a_socket_is_replaced_before_its_time_and_nothing_is_missed_or_heard_twice(venue):
    async def live():
        async with listening(venue, Patience(life_s=0.1, overlap_s=0.05)) as account:
            await account.trusted()
            names = []
            async with asyncio.timeout(10):
                while account.proxy.connections < 5:
                    names.append(f"order-{len(names)}")
                    side = ("BUY", "SELL")[len(names) % 2]
                    await account.order(names[-1], **BUY | {"side": side, "quantity": "0.001"})
                    await asyncio.sleep(0.04)  # the venue takes 300 in ten seconds
            await account.told.until(Filled, len(names))
            assert account.stream.trusted
            return account.told, names

    told, names = asyncio.run(live())
    assert [filled.fill.client_id for filled in told.of(Filled)] == names
    assert [change.client_id for change in told.of(OrderChanged)] == names
    assert told.of(LostTouch, Restored) == [Restored(1, 0)]


# --- a venue of our own, that says what no served one does ---------------------------------------------------


class NoKeys:
    async def new_key(self):
        return "key"

    async def extend_key(self):
        pass

    async def close_key(self):
        pass


@asynccontextmanager
async def told_by(*messages):
    """What a stream makes of a venue that says these messages, bytes as pings, to who connects, after None to the next;
    and what it is asked, pongs among it."""
    told, left, asked = Told(), list(messages), []

    async def serve(request):
        asked.append(request.path_qs)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        while left and (message := left.pop(0)) is not None:
            say = {str: socket.send_str, bytes: socket.ping, dict: socket.send_json}[type(message)]
            await say(message)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.PONG:
                asked.append(bytes(message.data))
        return socket

    app = web.Application()
    app.router.add_get("/private/ws", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        base = f"ws://127.0.0.1:{runner.addresses[0][1]}"
        stream = PrivateStream(session, base, NoKeys(), told, patience=BRISK)
        running = asyncio.create_task(stream.run())
        try:
            yield stream, told, asked
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await runner.cleanup()


def test_a_gap_ends_the_trust_without_a_new_connection():
    async def live():
        lost_one = (order_told("NEW", at=AT), trade_told(2, "0.004", "0.006", "PARTIALLY_FILLED", at=AT + 5))
        async with told_by(*lost_one) as (stream, told, asked):
            restored = await told.until(Restored, 2)
            assert not stream.trusted
            stream.reconciled(restored.generation)
            assert stream.trusted
            return told, asked

    told, asked = asyncio.run(live())
    assert [type(each) for each in told] == [Restored, OrderChanged, Filled, LostTouch, Restored]
    assert told[3].why == "of order ours-1 0.006 is filled, and 0.004 was heard"
    assert told[4] == Restored(2, 0)  # the first was not answered
    assert asked == ["/private/ws?listenKey=key"]


def test_a_venues_pings_are_answered():
    async def live():
        async with told_by(b"still there?") as (_, told, asked):
            await until(lambda: asked[1:])
            return told, asked

    told, asked = asyncio.run(live())
    assert asked[1:] == [b"still there?"]
    assert told == [Restored(1, 0)]


@pytest.mark.parametrize("noise", ["[]", "no JSON", '{"e": "listenKeyExpired"}'])
def test_what_is_no_message_ends_the_connection_and_an_old_keys_end_does_not(noise):
    async def live():
        harmless = {"e": "listenKeyExpired", "listenKey": "another"}
        async with told_by(harmless, noise, None, order_told()) as (_, told, asked):
            await told.until(OrderChanged)
            return told, asked

    told, asked = asyncio.run(live())
    assert [type(each) for each in told] == [Restored, LostTouch, Restored, OrderChanged]
    assert len(asked) == 2


# --- laws ---------------------------------------------------------------------------------------------------


@given(st.integers(), st.lists(st.floats(0, 1e6), max_size=30))
def test_pauses_grow_to_a_bound_shrink_by_chance_and_are_the_same_for_the_same_seed(seed, lives):
    patience = Patience()
    one, other = (Pauses(patience, seed) for _ in range(2))
    pauses = [one.after(lived_s) for lived_s in lives]
    assert pauses == [other.after(lived_s) for lived_s in lives]
    assert all(patience.first_pause_s / 2 <= pause <= patience.longest_pause_s for pause in pauses)
    failing = Pauses(patience, seed)
    grown = [failing.after(0.0) for _ in range(12)]
    assert grown[-1] >= patience.longest_pause_s / 2 > 4 * grown[0]
    assert failing.after(lived_s=1e6) <= patience.first_pause_s


def _in_brief(fact, names=None):
    """A fact without the number of its fill, which is the wire's own, under the name that its order has there."""
    if isinstance(fact, OrderChanged):
        return replace(fact, client_id=(names or {}).get(fact.client_id, fact.client_id))
    name = (names or {}).get(fact.fill.client_id, fact.fill.client_id)
    return replace(fact, fill=replace(fact.fill, client_id=name, fill_id=""))
