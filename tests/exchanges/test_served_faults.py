"""Every fault that a request can meet, over a real socket, with a client that knows nothing of it."""

import http.client
import json
import time
import urllib.error
from decimal import Decimal

import pytest
from a_served_venue import PAST, a_step, served

from qtlib.exchanges.simulated.faults import KINDS, Faults, fault

BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError)


@pytest.fixture(scope="module")
def venue():
    with served([a_step(PAST + 1)]) as venue:
        yield venue


@pytest.fixture(autouse=True)
def _calm(venue):
    set_faults(venue, clear=True)


def set_faults(venue, *faults, **said):
    body = json.dumps({"faults": list(faults), **said}).encode()
    status, answer = venue.ask("POST", "/sim/faults", body=body)
    assert status == 200, answer


def place(venue, name, **said):
    return venue.ask("POST", "/fapi/v1/order", signed=True, **{**BUY, "newClientOrderId": name, **said})


def look(venue, name):
    return venue.ask("GET", "/fapi/v1/order", signed=True, symbol="BTCUSDT", origClientOrderId=name)


def exists(venue, name):
    return look(venue, name)[0] == 200


def injected(venue, since=0):
    return [(i["kind"], i["on"]) for i in venue.ask("GET", "/sim/faults")[1]["injected"]][since:]


@pytest.mark.parametrize(
    ("kind", "status", "code", "words"),
    [
        ("too_many", 429, -1003, "Too many requests"),
        ("banned", 418, -1003, "banned"),
        ("unavailable", 503, None, "Service Unavailable."),
        ("overloaded", 503, -1008, "throttled"),
        ("unknown_error", 503, None, "Unknown error, please check your request or try again later."),
        ("timeout", 408, -1007, "execution status unknown"),
        ("unexpected", 400, -1006, "status unknown"),
        ("engine_late", 400, -5028, "recvWindow"),
        ("key_refused", 401, -2015, "permissions"),
    ],
)
def test_it_answers_in_the_venues_words_and_nothing_has_happened(venue, kind, status, code, words):
    takes = {"executes": False} if kind in ("unknown_error", "timeout", "unexpected") else {}
    set_faults(venue, {"kind": kind, "on": "POST v1/order", **takes})
    answer = place(venue, f"not-{kind}")
    assert (answer[0], answer[1].get("code")) == (status, code)
    assert words in answer[1]["msg"]
    assert ("Retry-After" in venue.last_headers) == (status in (429, 418))
    assert not exists(venue, f"not-{kind}")
    assert place(venue, f"again-{kind}")[0] == 200  # once is once


@pytest.mark.parametrize("executes", [True, False])
@pytest.mark.parametrize("kind", ["unknown_error", "timeout", "unexpected", "reset", "empty"])
def test_where_it_may_have_happened_it_has_if_the_fault_says_so(venue, kind, executes):
    name = f"{kind}-{executes}"
    set_faults(venue, {"kind": kind, "on": "POST v1/order", "executes": executes})
    if kind == "reset":
        with pytest.raises(BROKEN):
            place(venue, name)
    elif kind == "empty":
        with pytest.raises(json.JSONDecodeError):
            place(venue, name)
    else:
        assert place(venue, name)[0] != 200
    assert exists(venue, name) is executes


def test_what_reduces_or_cancels_is_never_throttled(venue):
    set_faults(venue, {"kind": "overloaded", "on": "*", "times": None})
    venue.ask("GET", "/fapi/v1/time")
    assert place(venue, "throttled")[1]["code"] == -1008
    assert place(venue, "reduces", side="SELL", reduceOnly="true")[0] == 200
    cancel = venue.ask("DELETE", "/fapi/v1/order", signed=True, symbol="BTCUSDT", origClientOrderId="x")
    assert cancel[1]["code"] == -2011


@pytest.mark.parametrize("kind", ["delay_before", "delay_after"])
def test_a_delayed_request_takes_its_time(venue, kind):
    set_faults(venue, {"kind": kind, "on": "GET v1/time", "seconds": 0.3})
    begun = time.monotonic()
    assert venue.ask("GET", "/fapi/v1/time")[0] == 200
    assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize("seconds", [30, -30])
def test_with_its_clock_off_the_venue_refuses_what_was_signed_by_the_right_one(venue, seconds):
    set_faults(venue, {"kind": "clock_skew", "seconds": seconds, "times": 3})
    assert place(venue, "skewed")[1]["code"] == -1021
    told = venue.ask("GET", "/fapi/v1/time")[1]["serverTime"] / 1000
    assert told - time.time() == pytest.approx(seconds, abs=2)  # who sets his clock by the venue's gets through
    assert not exists(venue, "skewed")
    assert place(venue, f"right-again{seconds}")[0] == 200


def test_a_fresh_order_is_not_found_for_some_asks_by_either_of_its_names(venue):
    set_faults(venue, {"kind": "stale", "asks": 2})
    number = place(venue, "hidden")[1]["orderId"]
    assert look(venue, "hidden")[1]["code"] == -2013
    by_number = venue.ask("GET", "/fapi/v1/order", signed=True, symbol="BTCUSDT", orderId=number)
    assert by_number[1]["code"] == -2013
    assert look(venue, "hidden")[1]["status"] == "FILLED"


def test_a_fresh_conditional_order_is_not_found_for_a_while(venue):
    set_faults(venue, {"kind": "stale", "on": "POST v1/algoOrder", "asks": 1, "seconds": 0.4})
    stop = {**BUY, "algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "70000"}
    placed = venue.ask("POST", "/fapi/v1/algoOrder", signed=True, **stop)[1]

    def code():
        return venue.ask("GET", "/fapi/v1/algoOrder", signed=True, algoId=placed["algoId"])[1].get("code")

    begun = time.monotonic()
    assert code() == -2013
    while code() == -2013:
        time.sleep(0.05)
    assert time.monotonic() - begun >= 0.35


def test_it_acts_from_its_first_time_on_as_often_as_it_may(venue):
    before = len(injected(venue))
    set_faults(venue, {"kind": "unavailable", "on": "GET v1/t*|GET v1/ping", "first": 3, "times": 2})
    venue.ask("GET", "/fapi/v1/exchangeInfo")  # not meant
    said = [venue.ask("GET", f"/fapi/v1/{path}")[0] for path in ("time", "ping", "time", "ping", "time")]
    assert said == [200, 200, 503, 503, 200]
    assert injected(venue, before) == [("unavailable", "GET v1/time"), ("unavailable", "GET v1/ping")]
    [at_work] = venue.ask("GET", "/sim/faults")[1]["faults"]
    assert (at_work["seen"], at_work["acted"]) == (5, 2)


def test_several_act_on_one_request(venue):
    set_faults(
        venue,
        {"kind": "delay_before", "seconds": 0.2, "on": "POST v1/order"},
        {"kind": "timeout", "on": "POST v1/order"},
        {"kind": "stale", "asks": 1},
    )
    begun = time.monotonic()
    assert place(venue, "all-at-once")[1]["code"] == -1007
    assert time.monotonic() - begun >= 0.2
    assert not exists(venue, "all-at-once")
    assert exists(venue, "all-at-once")


def test_the_same_seed_and_the_same_requests_go_wrong_the_same_way():
    def life(seed):
        told = []
        faults = Faults([fault("unavailable", on="GET *", times=None, chance=0.5)], seed)
        with served(faults=faults) as venue:
            for _ in range(20):
                told.append(venue.ask("GET", "/fapi/v1/time")[0])
            return told, injected(venue)

    assert life(1) == life(1)
    assert life(1) != life(2)


def test_every_kind_can_be_asked_for_while_the_venue_runs(venue):
    set_faults(venue, *({"kind": kind, "on": "nothing"} for kind in KINDS), clear=True)
    assert [one["kind"] for one in venue.ask("GET", "/sim/faults")[1]["faults"]] == list(KINDS)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"faults": [{"kind": "rest"}]}, "did you mean reset?"),
        ({"faults": [{"kind": "reset", "frist": 1}]}, "did you mean first?"),
        ({"faults": [{"kind": "reset", "first": 0}]}, "at least 1"),
        ({"faults": [{"kind": "reset", "executes": 1}]}, "true or false"),
        ({"fault": []}, "did you mean faults?"),
        ({"clear": 1}, "true or false"),
        ([], "expected"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(venue, document, words):
    status, answer = venue.ask("POST", "/sim/faults", body=json.dumps(document).encode())
    assert status == 400
    assert words in answer["msg"]
    assert venue.ask("GET", "/sim/faults")[1]["faults"] == []


def test_what_goes_wrong_with_the_market_is_told_in_the_venues_words():
    """Over the wire: a position deleveraged, a symbol that settles, another tick, funding at the instant of a close."""
    steps = [a_step(PAST + hour) for hour in range(1, 6)]
    with served(steps) as venue:
        set_faults(venue, {"kind": "adl", "on": "BTCUSDT", "frac": 0.5}, {"kind": "funding", "frac": 0.001})
        place(venue, "in", quantity="0.100")
        stop = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET"}
        stop |= {"quantity": "0.100", "triggerPrice": "58000", "reduceOnly": "true"}
        assert venue.ask("POST", "/fapi/v1/algoOrder", signed=True, **stop)[0] == 200
        venue.step()
        assert venue.ask("GET", "/fapi/v3/positionRisk", signed=True)[1][0]["positionAmt"] == "0.050"
        assert venue.ask("GET", "/fapi/v1/openAlgoOrders", signed=True)[1] == []
        closed = venue.ask("GET", "/fapi/v1/userTrades", signed=True, symbol="BTCUSDT")[1][-1]
        assert (closed["qty"], closed["price"], closed["commission"]) == ("0.050", "60000.00", "0.00000000")
        forced = venue.ask("GET", "/fapi/v1/forceOrders", signed=True, autoCloseType="ADL")[1]
        assert [order["clientOrderId"] for order in forced] == ["adl_autoclose-BTCUSDT-2"]
        assert venue.ask("GET", "/fapi/v1/forceOrders", signed=True, autoCloseType="LIQUIDATION")[1] == []
        paid = venue.ask("GET", "/fapi/v1/income", signed=True, incomeType="FUNDING_FEE")[1]
        assert [row["income"] for row in paid] == ["-3.00000000"]

        set_faults(
            venue, {"kind": "settling", "on": "BTCUSDT", "times": 1}, {"kind": "filters", "on": "BTC*"}, clear=True
        )
        venue.step()
        listed = {s["symbol"]: s for s in venue.ask("GET", "/fapi/v1/exchangeInfo")[1]["symbols"]}
        assert [s["status"] for s in listed.values()] == ["SETTLING", "TRADING"]
        assert listed["BTCUSDT"]["filters"][0]["tickSize"] == "1.00"
        assert place(venue, "out", side="SELL", quantity="0.050", reduceOnly="true")[1]["code"] == -4108
        venue.step()
        assert place(venue, "fine", type="LIMIT", timeInForce="GTC", price="59000.5")[1]["code"] == -4014
        assert place(venue, "out", side="SELL", quantity="0.050", reduceOnly="true")[0] == 200
        income = venue.ask("GET", "/fapi/v1/income", signed=True, startTime=0)[1]
        balance = venue.ask("GET", "/fapi/v3/account", signed=True)[1]["totalWalletBalance"]
        assert sum(Decimal(row["income"]) for row in income) == Decimal(balance)


def test_a_liquidation_comes_though_the_last_price_stands_still():
    with served([a_step(PAST + 1)], leverage=10) as venue:
        set_faults(venue, {"kind": "liquidation"})
        place(venue, "in", quantity="0.100")
        venue.step()
        assert venue.ask("GET", "/fapi/v3/positionRisk", signed=True)[1] == []
        assert len(venue.ask("GET", "/fapi/v1/forceOrders", signed=True, autoCloseType="LIQUIDATION")[1]) == 1
