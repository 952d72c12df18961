"""The WebSocket API: the same answers as over REST, for who signs as it is signed there; and dead man's switches."""

import asyncio
import time
from decimal import Decimal

import aiohttp
import pytest
from a_served_venue import KEY, PAST, SECRET, a_desk, a_step, served
from patience import PATIENCE_S

from qtlib.domain.orders import OrderIntent, OrderType, Role, Side
from qtlib.exchanges.simulated.served.auth import signature
from qtlib.exchanges.simulated.served.countdowns import Countdowns
from qtlib.exchanges.simulated.served.words import Asked

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
LIMIT = ORDER | {"type": "LIMIT", "timeInForce": "GTC", "price": "59000.00", "newClientOrderId": "mine"}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": "0.010"}
STOP |= {"triggerPrice": "58000.00", "reduceOnly": True, "clientAlgoId": "stop"}


@pytest.fixture
def venue():
    with served([a_step(PAST + 1)]) as venue:
        yield venue


def call(venue, *calls):
    """What the venue answers to these calls (method, parameters, whether signed), one after the other."""

    async def ask():
        url = f"ws://127.0.0.1:{venue.port}/ws-fapi/v1"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            answers = []
            for number, (method, params, signing) in enumerate(calls):
                said = signed(params) if signing else params
                await socket.send_json({"id": f"n{number}", "method": method, "params": said})
                answers.append(await socket.receive_json(timeout=PATIENCE_S))
            return answers

    return asyncio.run(ask())


def signed(params):
    said = {**params, "apiKey": KEY, "timestamp": int(time.time() * 1000)}
    words = "&".join(f"{n}={str(v).lower() if isinstance(v, bool) else v}" for n, v in sorted(said.items()))
    return {**said, "signature": signature(SECRET, words)}


def test_a_round_over_the_socket_is_a_round(venue):
    mine = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
    answers = call(
        venue,
        ("order.place", ORDER, True),
        ("algoOrder.place", STOP, True),
        ("order.place", LIMIT, True),
        ("order.modify", mine | {"side": "BUY", "quantity": "0.010", "price": "59500"}, True),
        ("order.status", mine, True),
        ("order.cancel", mine, True),
        ("algoOrder.cancel", {"clientAlgoId": "stop"}, True),
        ("account.position", {"symbol": "BTCUSDT"}, True),
        ("order.place", ORDER | {"side": "SELL", "reduceOnly": True}, True),
    )
    assert [answer["id"] for answer in answers] == [f"n{n}" for n in range(9)]
    assert {answer["status"] for answer in answers} == {200}, answers
    bought, stop, placed, amended, found, canceled, gone, [held], sold = (answer["result"] for answer in answers)
    assert (bought["status"], stop["algoStatus"], placed["status"]) == ("FILLED", "NEW", "NEW")
    assert (amended["price"], found["price"], canceled["status"]) == ("59500.00", "59500.00", "CANCELED")
    assert (gone["code"], held["positionAmt"], sold["status"]) == ("200", "0.010", "FILLED")
    counts = {(limit["rateLimitType"], limit["interval"]): limit["count"] for limit in answers[-1]["rateLimits"]}
    assert counts[("ORDERS", "MINUTE")] == 5
    assert venue.ask("GET", "/sim")[1]["unrouted"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("account.status", "v2/account"),
        ("v2/account.status", "v3/account"),
        ("account.balance", "v2/balance"),
        ("v2/account.balance", "v3/balance"),
        ("account.position", "v2/positionRisk"),
        ("v2/account.position", "v3/positionRisk"),
        ("ticker.price", "v1/ticker/price"),
        ("ticker.book", "v1/ticker/bookTicker"),
    ],
)
def test_what_is_asked_over_the_socket_is_answered_as_over_rest(venue, method, path):
    assert call(venue, (method, {}, True))[0]["result"] == venue.ask("GET", f"/fapi/{path}", signed=True)[1]


def test_a_listen_key_is_had_kept_and_given_back_with_the_key_alone(venue):
    mine = {"apiKey": KEY}
    calls = [(f"userDataStream.{what}", mine, False) for what in ("start", "ping", "stop", "ping")]
    start, ping, stop, late = call(venue, *calls)
    assert start["result"]["listenKey"] == ping["result"]["listenKey"]
    assert (stop["result"], late["status"], late["error"]["code"]) == ({}, 400, -1125)


def test_what_is_wrong_with_a_call_is_said(venue):
    answers = call(
        venue,
        ("order.place", signed(ORDER) | {"quantity": "0.020"}, False),
        ("order.place", ORDER, False),
        ("order.place", ORDER | {"side": "HOLD"}, True),
        ("depth", {"symbol": "BTCUSDT", "limit": 7}, False),
        ("order.guess", {}, False),
    )
    assert [(answer["status"], answer["error"]["code"]) for answer in answers] == [
        (400, -1022),
        (401, -2014),
        (400, -1117),
        (400, -4021),
        (404, -5000),
    ]
    [nowhere] = venue.ask("GET", "/sim")[1]["unrouted"]
    assert nowhere.startswith("CALL /ws-fapi/v1/order.guess for ")
    assert list(venue.desk.records()) == []


def test_what_is_no_call_is_said_to_be_none(venue):
    async def ask(text):
        url = f"ws://127.0.0.1:{venue.port}/ws-fapi/v1"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            await socket.send_str(text)
            return await socket.receive_json(timeout=PATIENCE_S)

    for text in ("{", "[]", "1", '{"id": 1}', '{"id": 1, "method": "depth", "params": 3}'):
        assert asyncio.run(ask(text))["status"] == 400


# --- dead man's switches ----------------------------------------------------------------------------------


def test_orders_of_who_is_not_heard_of_in_time_are_cancelled_and_conditional_ones_stay():
    later = [0.0]  # seconds that the venue's clock is ahead
    with served([a_step(PAST + 1)], wall=lambda: time.time() + later[0]) as venue:

        def ask(method, path, **said):
            return venue.ask(method, f"/fapi/v1/{path}", signed=True, recvWindow=60_000, **said)[1]

        def count_down(ms):
            return ask("POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=ms)

        ask("POST", "order", **ORDER)
        ask("POST", "order", **LIMIT)
        ask("POST", "algoOrder", **STOP | {"reduceOnly": "true"})
        assert count_down(20_000) == {"symbol": "BTCUSDT", "countdownTime": "20000"}
        later[0] += 15
        count_down(20_000)
        later[0] += 15
        time.sleep(1.2)  # the venue looks every second
        assert len(ask("GET", "openOrders")) == 1
        later[0] += 10
        patience = time.monotonic() + 10
        while ask("GET", "openOrders") and time.monotonic() < patience:
            time.sleep(0.05)
        assert ask("GET", "openOrders") == []
        assert len(ask("GET", "openAlgoOrders")) == 1


def test_a_countdown_outlives_the_venues_process(tmp_path):
    desk, at = a_desk(tmp_path), [1_000.0]
    Countdowns(desk, lambda: at[0]).set(desk, Asked({"symbol": "BTCUSDT", "countdownTime": "5000"}))
    limit = OrderIntent("mine", "BTCUSDT", Side.BUY, Decimal("0.010"), Role.ENTRY, OrderType.LIMIT, Decimal(59_000))
    record = desk.submit(limit)
    another = Countdowns(desk, lambda: at[0])
    another.run_out()
    assert record.is_open
    at[0] += 5
    another.run_out()
    assert not record.is_open


def test_a_countdown_can_be_ended(venue):
    def count_down(ms):
        said = {"symbol": "BTCUSDT", "countdownTime": ms}
        return venue.ask("POST", "/fapi/v1/countdownCancelAll", signed=True, **said)

    assert count_down(60_000)[0] == 200
    assert venue.doors._countdowns._due
    assert count_down(0)[0] == 200
    assert not venue.doors._countdowns._due
    assert count_down(-1)[1]["code"] == count_down("soon")[1]["code"] == -1102
