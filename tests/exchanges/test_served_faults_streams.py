"""What goes wrong with what is told: events come twice, late or never, and sockets die, aloud or in silence."""

import asyncio

import aiohttp
import pytest
from a_served_venue import KEY, PAST, a_step, served

from qtlib.exchanges.simulated.faults import Faults, fault

BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
CALM = ["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ORDER_TRADE_UPDATE TRADE", "ACCOUNT_UPDATE"]
GONE = (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)


async def told(socket, patience=0.3):
    """What is heard within a moment, as few words each; `gone` where the socket is."""
    heard = []
    while True:
        try:
            message = await socket.receive(timeout=patience)
        except TimeoutError:
            return heard
        if message.type in GONE:
            return [*heard, "gone"]
        said = message.json()
        heard.append(f"{said['e']} {said['o']['x']}" if said["e"] == "ORDER_TRADE_UPDATE" else said["e"])


def after_a_buy(*faults, stream="private", orders=1, steps=0):
    """What a listener of the account, or of the market, hears while one buys."""

    async def listen(venue):
        key = (await asyncio.to_thread(venue.ask, "POST", "/fapi/v1/listenKey", key=KEY))[1]["listenKey"]
        path = f"/private/ws?listenKey={key}" if stream == "private" else "/market/ws/btcusdt@markPrice"
        where = f"ws://127.0.0.1:{venue.port}{path}"
        async with aiohttp.ClientSession() as session, session.ws_connect(where) as socket:
            for _ in range(orders):
                assert (await asyncio.to_thread(venue.ask, "POST", "/fapi/v1/order", signed=True, **BUY))[0] == 200
            await asyncio.to_thread(venue.step, steps) if steps else None
            return await told(socket)

    with served([a_step(PAST + 1), a_step(PAST + 2)], faults=Faults(faults)) as venue:
        return asyncio.run(listen(venue))


def test_without_faults_a_buy_is_told_once_and_in_order():
    assert after_a_buy() == CALM


def test_an_event_comes_twice():
    new, lite, trade, account = CALM
    assert after_a_buy(fault("repeat", on="ORDER_TRADE_UPDATE", first=2)) == [new, lite, trade, trade, account]


def test_an_event_comes_after_those_that_followed_it():
    new, lite, trade, account = CALM
    assert after_a_buy(fault("reorder", on="ORDER_TRADE_UPDATE", behind=2)) == [lite, trade, new, account]
    assert after_a_buy(fault("reorder", on="ACCOUNT_UPDATE", behind=9)) == CALM  # the last of its instant stays that


def test_an_event_never_comes():
    new, lite, _trade, account = CALM
    assert after_a_buy(fault("omit", on="ORDER_TRADE_UPDATE", first=2)) == [new, lite, account]


def test_a_socket_is_cut_off_amid_events():
    assert after_a_buy(fault("drop_socket", on="ACCOUNT_UPDATE"), orders=2)[-1] == "gone"


def test_a_silent_socket_is_not_cut_off_and_hears_nothing_any_more():
    heard = after_a_buy(fault("silent_socket", on="ACCOUNT_UPDATE"), orders=2)
    assert heard == CALM[:3]


def test_a_silent_socket_answers_no_ping():
    async def outlives_pings(venue):
        async with aiohttp.ClientSession() as session:
            where = f"ws://127.0.0.1:{venue.port}/private/ws"
            async with session.ws_connect(where, heartbeat=0.2) as socket:
                await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 1})
                await socket.receive()
                await asyncio.to_thread(venue.step)
                await asyncio.wait([asyncio.ensure_future(socket.receive())], timeout=1.0)
                return not socket.closed

    with served([a_step(PAST + 1)], faults=Faults([fault("silent_socket", on="bar")])) as venue:
        assert not asyncio.run(outlives_pings(venue))
    with served([a_step(PAST + 1)]) as venue:
        assert asyncio.run(outlives_pings(venue))


def test_an_expired_key_is_told_and_nothing_after_it():
    heard = after_a_buy(fault("listen_key_expired", on="ORDER_TRADE_UPDATE", first=2), orders=2)
    assert heard == [*CALM[:2], "listenKeyExpired"]


@pytest.mark.parametrize("kind", ["drop_socket", "silent_socket"])
def test_what_happens_to_the_markets_listeners_happens_at_a_bar(kind):
    heard = after_a_buy(fault(kind, on="bar", first=2), stream="market", steps=2)
    assert heard == ["markPriceUpdate", "gone"][: 1 + (kind == "drop_socket")]
    assert after_a_buy(fault(kind, on="bar"), steps=1) == CALM  # those of the account go on


def test_events_are_counted_whether_or_not_anybody_listens():
    faults = Faults([fault("omit", on="ORDER_TRADE_UPDATE", first=2)])
    with served(faults=faults) as venue:
        venue.ask("POST", "/fapi/v1/order", signed=True, newClientOrderId="mine", **BUY)
        [injected] = venue.ask("GET", "/sim/faults")[1]["injected"]
    assert (injected["kind"], injected["on"], injected["about"]) == ("omit", "ORDER_TRADE_UPDATE", "mine")
