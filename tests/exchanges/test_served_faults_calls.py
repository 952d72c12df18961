"""The same faults on the WebSocket API: a call meets what the request that it stands for would meet."""

import asyncio
import json
import time

import aiohttp
import pytest
from a_served_venue import KEY, PAST, SECRET, a_step, served
from patience import PATIENCE_S

from qtlib.exchanges.simulated.faults import Faults, fault
from qtlib.exchanges.simulated.served.auth import signature

BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
STOP = {"symbol": "BTCUSDT", "side": "BUY", "algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": "0.010"}
STOP |= {"triggerPrice": "70000.00"}
MAYBE = ("unknown_error", "timeout", "unexpected", "empty", "reset")


@pytest.fixture(scope="module")
def venue():
    with served([a_step(PAST + 1)]) as venue:
        yield venue


@pytest.fixture(autouse=True)
def _calm(venue):
    set_faults(venue, clear=True)


def set_faults(venue, *faults, **said):
    status, answer = venue.ask("POST", "/sim/faults", body=json.dumps({"faults": list(faults), **said}).encode())
    assert status == 200, answer


def signed(params):
    said = {**params, "apiKey": KEY, "timestamp": int(time.time() * 1000)}
    return {**said, "signature": signature(SECRET, "&".join(f"{n}={v}" for n, v in sorted(said.items())))}


def call(venue, *calls):
    """The answers to these calls by their ids, and in the order in which they came; None where the socket was lost."""

    async def ask():
        url = f"ws://127.0.0.1:{venue.port}/ws-fapi/v1"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            for number, (method, params) in enumerate(calls):
                await socket.send_json({"id": number, "method": method, "params": params})
            try:
                answers = [await socket.receive_json(timeout=PATIENCE_S) for _ in calls]
            except (TypeError, ConnectionError):
                return None
            return {answer["id"]: answer for answer in answers}

    return asyncio.run(ask())


def place(venue, name):
    return call(venue, ("order.place", signed({**BUY, "newClientOrderId": name})))


def look(venue, name):
    return call(venue, ("order.status", signed({"symbol": "BTCUSDT", "origClientOrderId": name})))[0]


@pytest.mark.parametrize(
    ("kind", "status", "code", "words"),
    [
        ("too_many", 429, -1003, "Too many requests"),
        ("banned", 418, -1003, "banned"),
        ("rejected", 400, -2010, "rejected"),
        ("unavailable", 503, None, "Service Unavailable."),
        ("overloaded", 503, -1008, "throttled"),
        ("unknown_error", 503, None, "Unknown error"),
        ("timeout", 408, -1007, "execution status unknown"),
        ("unexpected", 400, -1006, "status unknown"),
        ("engine_late", 400, -5028, "recvWindow"),
        ("key_refused", 401, -2015, "permissions"),
    ],
)
def test_it_answers_in_the_venues_words_and_nothing_has_happened(venue, kind, status, code, words):
    set_faults(venue, {"kind": kind, "on": "POST v1/order"} | ({"executes": False} if kind in MAYBE else {}))
    answer = place(venue, f"not-{kind}")[0]
    assert (answer["status"], answer["error"].get("code")) == (status, code)
    assert words in answer["error"]["msg"]
    assert look(venue, f"not-{kind}")["error"]["code"] == -2013
    assert place(venue, f"again-{kind}")[0]["status"] == 200  # once is once


@pytest.mark.parametrize("executes", [True, False])
@pytest.mark.parametrize("kind", MAYBE)
def test_where_it_may_have_happened_it_has_if_the_fault_says_so(venue, kind, executes):
    name = f"{kind}-{executes}"
    set_faults(venue, {"kind": kind, "on": "POST v1/order", "executes": executes})
    answers = place(venue, name)
    if kind == "reset":
        assert answers is None
    else:
        assert "result" not in answers[0]
    assert (look(venue, name)["status"] == 200) is executes


@pytest.mark.parametrize("executes", [True, False])
def test_a_socket_can_fall_silent_for_good_and_another_one_is_answered(venue, executes):
    name = f"unanswered-{executes}"
    set_faults(venue, {"kind": "unanswered", "on": "POST v1/order", "executes": executes})

    async def ask():
        url = f"ws://127.0.0.1:{venue.port}/ws-fapi/v1"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            for number, (method, params) in enumerate(
                (("order.place", signed({**BUY, "newClientOrderId": name})), ("time", {}), ("ping", {}))
            ):
                await socket.send_json({"id": number, "method": method, "params": params})
                await asyncio.sleep(0.05)  # else the others may have been heard before it fell silent
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.3)
            assert not socket.closed

    asyncio.run(ask())
    assert (look(venue, name)["status"] == 200) is executes


def test_a_call_that_waits_lets_the_others_pass(venue):
    set_faults(venue, {"kind": "delay_before", "on": "POST v1/order", "seconds": 0.4})
    begun = time.monotonic()
    answers = call(venue, ("order.place", signed({**BUY, "newClientOrderId": "slow"})), ("time", {}))
    assert list(answers) == [1, 0]
    assert time.monotonic() - begun >= 0.4
    set_faults(venue, {"kind": "delay_after", "on": "POST v1/order", "seconds": 0.4}, clear=True)
    early = {"symbol": "BTCUSDT", "origClientOrderId": "acted"}
    answers = call(
        venue, ("order.place", signed({**BUY, "newClientOrderId": "acted"})), ("order.status", signed(early))
    )
    assert list(answers) == [1, 0]
    assert answers[1]["result"]["status"] == "FILLED"  # heard at once, and answered late


def test_a_fresh_order_of_either_book_is_not_found_for_some_asks(venue):
    set_faults(venue, {"kind": "stale", "asks": 2, "times": 2})
    number = place(venue, "hidden")[0]["result"]["orderId"]
    assert look(venue, "hidden")["error"]["code"] == -2013
    over_rest = venue.ask("GET", "/fapi/v1/order", signed=True, symbol="BTCUSDT", orderId=number)[1]
    assert over_rest["code"] == -2013  # an order is hidden, and not a way of asking
    assert look(venue, "hidden")["result"]["status"] == "FILLED"
    placed = call(venue, ("algoOrder.place", signed(STOP)))[0]["result"]
    assert venue.ask("GET", "/fapi/v1/algoOrder", signed=True, algoId=placed["algoId"])[1]["code"] == -2013


def test_with_its_clock_off_the_venue_refuses_what_was_signed_by_the_right_one(venue):
    set_faults(venue, {"kind": "clock_skew", "seconds": 30, "times": 2})
    assert place(venue, "skewed")[0]["error"]["code"] == -1021
    told = call(venue, ("time", {}))[0]["result"]["serverTime"] / 1000
    assert told - time.time() == pytest.approx(30, abs=2)
    assert place(venue, "right-again")[0]["status"] == 200


def test_a_fault_may_be_meant_for_some_orders_alone_and_counts_those(venue):
    set_faults(venue, {"kind": "rejected", "about": "mine-*|theirs", "first": 2, "times": 2})
    said = [place(venue, name)[0]["status"] for name in ("mine-1", "other", "theirs", "other-2", "mine-2", "mine-3")]
    assert said == [200, 200, 400, 200, 400, 200]


def test_the_same_seed_goes_wrong_the_same_way_over_either_way_of_asking():
    def life(over_rest, seed=5):
        faults = Faults([fault("unavailable", on="GET v1/time", times=None, chance=0.5)], seed)
        with served(faults=faults) as venue:
            if over_rest:
                said = [venue.ask("GET", "/fapi/v1/time")[0] for _ in range(20)]
            else:
                said = [call(venue, ("time", {}))[0]["status"] for _ in range(20)]
            return said, faults.document["injected"]

    assert life(True) == life(False) == life(False)
    assert life(False) != life(False, seed=6)
