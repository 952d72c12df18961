"""What clients are answered over REST: signatures, limits, refusals in the venue's words, documents, and the clock."""

import time
import urllib.request
from decimal import Decimal
from urllib.parse import quote, urlencode

import pytest
from a_served_venue import KEY, PAST, SECRET, a_step, served
from builders import HOUR, T0

from qtlib.exchanges.simulated.served.auth import signature
from qtlib.exchanges.simulated.served.limits import BAN_S, DEAF_AFTER, ORDERS_10S, WEIGHT_1M

HOUR_MS = 3_600_000
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": "0.010"}
STOP |= {"triggerPrice": "58000.00", "reduceOnly": "true"}


@pytest.fixture(scope="module")
def venue():
    """One for all tests that leave the account as it was."""
    with served() as venue:
        yield venue


@pytest.fixture
def fresh():
    """One that a test may trade at, with a market that falls to its stop."""
    with served(
        [a_step(PAST + 1, 60_000, 60_500, 59_000, 59_500, next=59_500), a_step(PAST + 2, 59_500, None, 57_500)]
    ) as v:
        yield v


def now_ms():
    return int(time.time() * 1000)


# --- who asks ---------------------------------------------------------------------------------------------


def signed(message):
    return f"{message}&signature={signature(SECRET, message)}"


STYLES = {
    "query": lambda words: ("GET", signed(words), None),
    "body, even to delete": lambda words: ("DELETE", "", signed(words)),
    "query and body": lambda words: ("POST", words, f"a=1&signature={signature(SECRET, words + 'a=1')}"),
    "signature first": lambda words: ("GET", f"signature={signature(SECRET, words)}&{words}", None),
    "upper case": lambda words: ("GET", f"{words}&signature={signature(SECRET, words).upper()}", None),
    "signed before it was encoded": lambda words: (
        "GET",
        f"{words}&x={quote('a b|c')}&signature={signature(SECRET, words + '&x=a b|c')}",
        None,
    ),
}


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
def test_a_right_signature_is_accepted_however_a_client_sends_it(venue, style):
    words = urlencode({"symbol": "BTCUSDT", "origClientOrderId": "nobody", "timestamp": now_ms()})
    method, query, body = style(words)
    path = "/fapi/v1/order" if method != "POST" else "/fapi/v1/leverage"
    request = urllib.request.Request(
        f"{venue.url}{path}?{query}", body and body.encode(), {"X-MBX-APIKEY": KEY}, method=method
    )
    status, answer = venue.send(request)
    assert (status, answer["code"]) == (400, {"GET": -2013, "DELETE": -2011, "POST": -1102}[method])  # it got that far


@pytest.mark.parametrize(
    ("headers", "changed", "answer"),
    [
        ({}, {}, (401, -2014)),
        ({"X-MBX-APIKEY": "other"}, {}, (401, -2015)),
        ({"X-MBX-APIKEY": KEY}, {"signature": "0" * 64}, (400, -1022)),
        ({"X-MBX-APIKEY": KEY}, {"signature": ""}, (400, -1102)),
        ({"X-MBX-APIKEY": KEY}, {"behind_ms": 5_200}, (400, -1021)),
        ({"X-MBX-APIKEY": KEY}, {"behind_ms": 5_200, "recvWindow": 10_000}, (200, None)),
        ({"X-MBX-APIKEY": KEY}, {"behind_ms": 500, "recvWindow": 100}, (400, -1021)),
        ({"X-MBX-APIKEY": KEY}, {"behind_ms": -3_000}, (400, -1021)),
        ({"X-MBX-APIKEY": KEY}, {"recvWindow": 60_001}, (400, -1131)),
    ],
)
def test_a_wrong_key_time_or_signature_is_refused(venue, headers, changed, answer):
    asked = {"timestamp": now_ms() - changed.pop("behind_ms", 0), **changed}
    words = urlencode({name: value for name, value in asked.items() if name != "signature"})
    given = asked.get("signature", signature(SECRET, words))
    status, document = venue.send(
        urllib.request.Request(f"{venue.url}/fapi/v3/account?{words}&signature={given}", None, headers)
    )
    assert (status, document.get("code")) == answer


def test_where_query_and_body_disagree_the_query_counts(venue):
    query, body = f"symbol=BTCUSDT&timestamp={now_ms()}", "symbol=NOSUCH&leverage=7"
    given = signature(SECRET, query + body)
    words = f"{venue.url}/fapi/v1/leverage?{query}&signature={given}"
    assert venue.send(urllib.request.Request(words, body.encode(), {"X-MBX-APIKEY": KEY}))[1]["symbol"] == "BTCUSDT"


# --- how much may be asked --------------------------------------------------------------------------------


def test_weight_is_counted_then_refused_then_banned_and_forgiven():
    at = [6_000_000.0]
    with served(wall=lambda: at[0]) as venue:
        assert venue.ask("GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1h", limit=1000)[0] == 200
        assert venue.last_headers["X-MBX-USED-WEIGHT-1M"] == "5"
        venue.doors._limits._weight.used = WEIGHT_1M  # as if asked that often
        answers = [venue.ask("GET", "/fapi/v1/ping") for _ in range(DEAF_AFTER + 2)]
        assert [status for status, _ in answers] == [429] * (DEAF_AFTER + 1) + [418]
        assert answers[0][1]["code"] == -1003
        assert 0 < int(venue.last_headers["Retry-After"]) <= BAN_S + 1
        at[0] += 61
        assert venue.ask("GET", "/fapi/v1/ping")[0] == 418
        at[0] += BAN_S
        assert venue.ask("GET", "/fapi/v1/ping") == (200, {})
        assert venue.last_headers["X-MBX-USED-WEIGHT-1M"] == "1"


def test_a_market_that_runs_faster_allows_and_lists_more():
    with served(times=60) as venue:
        listed = venue.ask("GET", "/fapi/v1/exchangeInfo")[1]["rateLimits"]
        assert [row["limit"] for row in listed] == [60 * WEIGHT_1M, 4 * 60 * ORDERS_10S, 60 * ORDERS_10S]
        venue.doors._limits._weight.used = 60 * WEIGHT_1M - 1
        assert [venue.ask("GET", "/fapi/v1/ping")[0] for _ in range(2)] == [200, 429]


def test_orders_have_a_count_of_their_own(fresh):
    fresh.ask("POST", "/fapi/v1/order", signed=True, **ORDER)
    assert fresh.last_headers["X-MBX-ORDER-COUNT-10S"] == fresh.last_headers["X-MBX-ORDER-COUNT-1M"] == "1"
    fresh.doors._limits._orders_10s.used = fresh.doors._limits._orders_1m.used = ORDERS_10S * 4
    assert fresh.ask("POST", "/fapi/v1/order", signed=True, **ORDER)[1]["code"] == -1015
    assert fresh.ask("GET", "/fapi/v1/openOrders", signed=True)[0] == 200
    assert "X-MBX-ORDER-COUNT-1M" not in fresh.last_headers


def test_what_leads_nowhere_is_answered_counted_and_logged(fresh, caplog):
    status, answer = fresh.ask("GET", "/fapi/v1/nothing")
    assert (status, answer) == (404, {"code": -5000, "msg": "Path /fapi/v1/nothing, Method GET is invalid"})
    assert fresh.ask("POST", "/fapi/v1/ping")[0] == 404
    asked = [words.partition(" for Python-urllib") for words in fresh.ask("GET", "/sim")[1]["unrouted"]]
    assert [(what, bool(client)) for what, client, _ in asked] == [
        ("GET /fapi/v1/nothing", True),
        ("POST /fapi/v1/ping", True),
    ]
    assert "GET /fapi/v1/nothing for Python-urllib" in caplog.text


# --- the market ---------------------------------------------------------------------------------------------


def test_market_time_is_simulated_and_server_time_is_the_walls(venue):
    assert abs(venue.ask("GET", "/fapi/v1/time")[1]["serverTime"] - now_ms()) < 5_000
    there = int((T0 + PAST * HOUR).timestamp() * 1000)
    assert venue.ask("GET", "/fapi/v1/ticker/price", symbol="BTCUSDT")[1]["time"] == there


def test_bars_are_asked_for_by_their_opens_and_the_last_one_is_still_open(fresh):
    def ask(**said):
        status, rows = fresh.ask("GET", "/fapi/v1/klines", symbol="BTCUSDT", **{"interval": "1h", **said})
        assert status == 200
        return rows

    first = int(T0.timestamp() * 1000)
    assert len(ask()) == PAST + 1
    assert ask(limit=2)[-1][:5] == [first + PAST * HOUR_MS, "60000.00", "60000.00", "60000.00", "60000.00"]
    fresh.step()
    closed, begun = ask(limit=2)
    assert closed[:5] == [first + PAST * HOUR_MS, "60000.00", "60500.00", "59000.00", "59500.00"]
    assert closed[6] == begun[0] - 1
    assert (begun[1], begun[5]) == ("59500.00", "0.000")
    assert [row[0] for row in ask(startTime=first + 1, limit=3)] == [first + n * HOUR_MS for n in (1, 2, 3)]
    assert [row[0] for row in ask(endTime=first + 3 * HOUR_MS, limit=2)] == [first + n * HOUR_MS for n in (2, 3)]
    assert [row[0] for row in ask(interval="8h", limit=2)] == [first + n * HOUR_MS for n in (16, 24)]
    assert ask(interval="8h", limit=1)[0][2:4] == ["60500.00", "59000.00"]
    marks = fresh.ask("GET", "/fapi/v1/markPriceKlines", symbol="BTCUSDT", interval="1h", limit=1)[1]
    assert marks[0][5] == "0"


@pytest.mark.parametrize(
    ("path", "asked", "code"),
    [
        ("klines", {"symbol": "BTCUSDT", "interval": "1s"}, -1120),
        ("klines", {"symbol": "BTCUSDT", "interval": "5m"}, -1120),  # shorter than the feed's bars
        ("klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": "1501"}, -1130),
        ("klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": "many"}, -1102),
        ("klines", {"symbol": "NOSUCH", "interval": "1h"}, -1121),
        ("klines", {"interval": "1h"}, -1102),
        ("depth", {"symbol": "BTCUSDT", "limit": "7"}, -4021),
        ("ticker/24hr", {"symbol": "NOSUCH"}, -1121),
    ],
)
def test_what_makes_no_sense_is_refused_in_the_venues_words(venue, path, asked, code):
    status, answer = venue.ask("GET", f"/fapi/v1/{path}", **asked)
    assert (status, answer["code"]) == (400, code)


def test_the_book_shows_what_a_taker_gets():
    with served(slippage_frac=0.001) as venue:
        book = venue.ask("GET", "/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")[1]
        name = venue.ask("POST", "/fapi/v1/order", signed=True, **ORDER)[1]["clientOrderId"]
        found = venue.ask("GET", "/fapi/v1/order", signed=True, symbol="BTCUSDT", origClientOrderId=name)[1]
        assert Decimal(found["avgPrice"]) == Decimal(book["askPrice"]) == Decimal("60060.0")
        depth = venue.ask("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=5)[1]
        assert Decimal(depth["bids"][0][0]) < 60_000 < Decimal(depth["asks"][0][0])


def test_decimals_are_text_and_counts_are_numbers(venue):
    """As the venue's documents have them: what is money, price or quantity is never a JSON float."""
    for path in ("exchangeInfo", "premiumIndex", "ticker/24hr", "ticker/bookTicker", "fundingInfo", "fundingRate"):
        assert floats(venue.ask("GET", f"/fapi/v1/{path}")[1]) == []
    for path in ("v3/account", "v2/account", "v3/balance", "v2/positionRisk", "v1/symbolConfig", "v1/income"):
        assert floats(venue.ask("GET", f"/fapi/{path}", signed=True)[1]) == []
    brackets = venue.ask("GET", "/fapi/v1/leverageBracket", signed=True, symbol="BTCUSDT")[1][0]["brackets"]
    assert brackets[1] == {
        "bracket": 2,
        "initialLeverage": 100,
        "notionalCap": 800_000.0,
        "notionalFloor": 300_000.0,
        "maintMarginRatio": 0.005,
        "cum": 300.0,
    }


def floats(document):
    if isinstance(document, dict):
        return [f for value in document.values() for f in floats(value)]
    if isinstance(document, list):
        return [f for value in document for f in floats(value)]
    return [document] if isinstance(document, float) else []


# --- orders -----------------------------------------------------------------------------------------------


def place(venue, **said):
    return venue.ask("POST", "/fapi/v1/order", signed=True, **{**ORDER, **said})


@pytest.mark.parametrize(
    ("path", "said", "code"),
    [
        ("order", {"symbol": "NOSUCH"}, -1121),
        ("order", {"side": "HOLD"}, -1117),
        ("order", {"type": "STOP_MARKET"}, -4120),
        ("order", {"type": "GUESS"}, -1116),
        ("order", {"type": "LIMIT", "price": "60000"}, -1102),  # no timeInForce
        ("order", {"type": "LIMIT", "timeInForce": "GTD", "price": "60000"}, -1115),
        ("order", {"price": "60000"}, -1106),
        ("order", {"quantity": ""}, -1102),
        ("order", {"quantity": "0.00001"}, -1111),
        ("order", {"quantity": "0"}, -4003),
        ("order", {"quantity": "1e-05"}, -1111),  # as one client writes numbers
        ("order", {"quantity": "nan"}, -1102),
        ("order", {"positionSide": "LONG"}, -4061),
        ("order", {"reduceOnly": "true"}, -2022),
        ("order", {"newClientOrderId": "x" * 37}, -4015),
        ("order", {"side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "price": "40000"}, -4024),
        ("order", {"quantity": "100"}, -2019),
        ("order", {"priceMatch": "QUEUE"}, -5037),
        ("algoOrder", STOP | {"triggerPrice": "60001"}, -2022),
        ("algoOrder", STOP | {"reduceOnly": "false", "triggerPrice": "60001"}, -2021),
        ("algoOrder", STOP | {"type": "MARKET"}, -1116),
        ("algoOrder", STOP | {"algoType": "VWAP"}, -1128),
        ("algoOrder", STOP | {"closePosition": "true"}, -4137),
        ("algoOrder", STOP | {"priceProtect": "true"}, -1128),
        ("leverage", {"leverage": "151"}, -4028),
        ("marginType", {"marginType": "ISOLATED"}, -4046),
        ("marginType", {"marginType": "BOTH"}, -1130),
        ("positionMargin", {"amount": "1", "type": 1}, -4054),
        ("positionMargin", {"amount": "-1", "type": 1}, -4055),
        ("positionMargin", {"amount": "1", "type": 3}, -1102),
        ("positionSide/dual", {"dualSidePosition": "false"}, -4059),
        ("positionSide/dual", {"dualSidePosition": "true"}, -1128),
        ("multiAssetsMargin", {"multiAssetsMargin": "false"}, -4171),
    ],
)
def test_what_is_refused_is_refused_in_the_venues_words_and_leaves_nothing(venue, path, said, code):
    status, answer = venue.ask("POST", f"/fapi/v1/{path}", signed=True, **{**ORDER, **said})
    assert (status, answer["code"]) == (400, code)
    assert answer["msg"]
    assert list(venue.desk.records()) == []


def test_the_reply_to_an_order_leaves_out_what_the_venue_leaves_out(fresh):
    status, answer = place(fresh, newClientOrderId="mine")
    assert (status, answer["status"], answer["clientOrderId"]) == (200, "FILLED", "mine")
    assert isinstance(answer["orderId"], int)
    assert not {"avgPrice", "cumQuote", "time"} & set(answer)
    found = fresh.ask("GET", "/fapi/v1/order", signed=True, symbol="BTCUSDT", orderId=answer["orderId"])[1]
    assert set(found) - set(answer) == {"avgPrice", "cumQuote", "time"}
    assert set(answer) - set(found) == {"cumQty"}
    assert Decimal(found["cumQuote"]) == 600


def test_a_name_is_taken_while_its_order_is_open_and_free_again_after(fresh):
    limit = {"type": "LIMIT", "price": "59100.00", "timeInForce": "GTC", "newClientOrderId": "again"}
    first = place(fresh, **limit)[1]
    assert place(fresh, **limit) == (400, {"code": -4116, "msg": "ClientOrderId is duplicated."})
    gone = fresh.ask("DELETE", "/fapi/v1/order", signed=True, symbol="BTCUSDT", origClientOrderId="again")[1]
    assert (gone["status"], gone["orderId"]) == ("CANCELED", first["orderId"])
    again = fresh.ask("DELETE", "/fapi/v1/order", signed=True, symbol="BTCUSDT", origClientOrderId="again")
    assert again == (400, {"code": -2011, "msg": "Unknown order sent."})
    second = place(fresh, **limit)[1]
    assert second["orderId"] > first["orderId"]
    found = fresh.ask("GET", "/fapi/v1/order", signed=True, symbol="BTCUSDT", origClientOrderId="again")[1]
    assert (found["orderId"], found["status"]) == (second["orderId"], "NEW")
    every = fresh.ask("GET", "/fapi/v1/allOrders", signed=True, symbol="BTCUSDT")[1]
    assert [o["status"] for o in every] == ["CANCELED", "NEW"]


def test_a_conditional_order_waits_in_a_book_of_its_own_and_fires_into_the_plain_one(fresh):
    place(fresh)
    stop = fresh.ask("POST", "/fapi/v1/algoOrder", signed=True, **STOP, clientAlgoId="stop")[1]
    assert (stop["algoStatus"], stop["icebergQuantity"], stop["triggerTime"]) == ("NEW", None, 0)
    assert fresh.ask("GET", "/fapi/v1/openOrders", signed=True)[1] == []
    fresh.ask("DELETE", "/fapi/v1/allOpenOrders", signed=True, symbol="BTCUSDT")
    fresh.step()
    assert [o["algoId"] for o in fresh.ask("GET", "/fapi/v1/openAlgoOrders", signed=True)[1]] == [stop["algoId"]]
    fresh.step()
    assert fresh.ask("GET", "/fapi/v1/openAlgoOrders", signed=True)[1] == []
    fired = fresh.ask("GET", "/fapi/v1/algoOrder", signed=True, clientAlgoId="stop")[1]
    assert (fired["algoStatus"], fired["actualType"]) == ("FINISHED", "MARKET")
    assert int(fired["actualOrderId"]) != stop["algoId"]
    child = fresh.ask("GET", "/fapi/v1/order", signed=True, symbol="BTCUSDT", orderId=fired["actualOrderId"])[1]
    assert (child["status"], child["clientOrderId"], child["origType"]) == ("FILLED", "stop", "STOP_MARKET")
    cancel = fresh.ask("DELETE", "/fapi/v1/algoOrder", signed=True, algoId=stop["algoId"])
    assert cancel == (400, {"code": -2011, "msg": "Unknown order sent."})


def test_cancelling_all_of_one_book_leaves_the_other(fresh):
    place(fresh)
    fresh.ask("POST", "/fapi/v1/algoOrder", signed=True, **STOP)
    place(fresh, type="LIMIT", price="59100.00", timeInForce="GTC")
    done = fresh.ask("DELETE", "/fapi/v1/algoOpenOrders", signed=True, symbol="BTCUSDT")[1]
    assert done["code"] == 200
    assert len(fresh.ask("GET", "/fapi/v1/openOrders", signed=True)[1]) == 1
    algos = fresh.ask("GET", "/fapi/v1/allAlgoOrders", signed=True, symbol="BTCUSDT")[1]
    assert [(o["algoStatus"], o["actualOrderId"]) for o in algos] == [("CANCELED", "")]


def test_a_batch_is_answered_order_by_order(fresh):
    good, bad = {**ORDER, "newClientOrderId": "one"}, {**ORDER, "quantity": "0"}
    batch = str([good, bad]).replace("'", '"')
    status, answers = fresh.ask("POST", "/fapi/v1/batchOrders", signed=True, batchOrders=batch)
    assert (status, answers[0]["status"], answers[1]["code"]) == (200, "FILLED", -4003)
    six = str([good] * 6).replace("'", '"')
    assert fresh.ask("POST", "/fapi/v1/batchOrders", signed=True, batchOrders=six)[1]["code"] == -1130
    gone = fresh.ask("DELETE", "/fapi/v1/batchOrders", signed=True, symbol="BTCUSDT", orderIdList="[1]")[1]
    assert gone == [{"code": -2011, "msg": "Unknown order sent."}]


def test_account_documents_tell_of_one_account(fresh):
    place(fresh)
    place(fresh, type="LIMIT", price="59000.00", timeInForce="GTC")
    fresh.step()
    v3, v2 = (fresh.ask("GET", f"/fapi/{v}/account", signed=True)[1] for v in ("v3", "v2"))
    risk3, risk2 = (fresh.ask("GET", f"/fapi/{v}/positionRisk", signed=True)[1] for v in ("v3", "v2"))
    assert v3["totalMarginBalance"] == v2["totalMarginBalance"]
    wallet, open_profit = Decimal(v3["totalWalletBalance"]), Decimal(v3["totalUnrealizedProfit"])
    assert Decimal(v3["totalMarginBalance"]) == wallet + open_profit
    assert [p["symbol"] for p in risk3] == ["BTCUSDT"]  # v3 leaves out what is idle
    assert [p["symbol"] for p in risk2] == ["BTCUSDT", "ETHUSDT"]
    assert risk3[0]["unRealizedProfit"] == v3["positions"][0]["unrealizedProfit"] == v3["totalUnrealizedProfit"]
    assert (risk2[0]["leverage"], risk2[0]["marginType"]) == ("5", "isolated")
    assert {"leverage", "marginType"} & set(risk3[0]) == set()
    assert all(asset["updateTime"] for asset in v3["assets"])


def test_a_cross_position_has_a_bare_zero_for_its_isolated_margin():
    with served(margin_mode="cross") as venue:
        place(venue)
        risk = venue.ask("GET", "/fapi/v3/positionRisk", signed=True)[1][0]
        assert (risk["isolatedMargin"], risk["isolatedWallet"]) == ("0", "0")
        assert risk["liquidationPrice"] == "0"  # a wallet of 10 000 behind 600


def test_the_clock_runs_by_itself_at_its_speed_and_stands_when_the_bars_are_used_up():
    with served([a_step(PAST + n) for n in (1, 2, 3)], speed=3600 / 0.02) as venue:
        patience = time.monotonic() + 5
        while not venue.ask("GET", "/sim")[1]["ended"] and time.monotonic() < patience:
            time.sleep(0.02)
        assert venue.ask("GET", "/sim")[1]["now"] == (T0 + (PAST + 3) * HOUR).isoformat()
        assert venue.step(5)["lived"] == 0
        assert place(venue)[0] == 200


@pytest.mark.parametrize(
    ("path", "asked", "as_told_by"),
    [
        ("continuousKlines", {"pair": "BTCUSDT", "contractType": "PERPETUAL"}, "klines"),
        ("indexPriceKlines", {"pair": "BTCUSDT"}, "markPriceKlines"),
    ],
)
def test_bars_of_a_pair_are_bars_of_its_perpetual(venue, path, asked, as_told_by):
    there = venue.ask("GET", f"/fapi/v1/{as_told_by}", symbol="BTCUSDT", interval="1h", limit=5)
    assert venue.ask("GET", f"/fapi/v1/{path}", interval="1h", limit=5, **asked) == there
    assert len(there[1]) == 5


def test_a_contract_that_is_not_perpetual_is_not_offered(venue):
    asked = {"pair": "BTCUSDT", "contractType": "CURRENT_QUARTER", "interval": "1h"}
    assert venue.ask("GET", "/fapi/v1/continuousKlines", **asked)[1]["code"] == -1128


def test_how_many_orders_were_placed_can_be_asked_for(fresh):
    place(fresh)
    rates = fresh.ask("GET", "/fapi/v1/rateLimit/order", signed=True)[1]
    assert [(r["interval"], r["count"]) for r in rates] == [("MINUTE", 1), ("SECOND", 1)]


def test_statistics_are_not_had_here_and_that_is_said(fresh):
    assert fresh.ask("GET", "/futures/data/openInterestHist", symbol="BTCUSDT")[1]["code"] == -5000
    assert fresh.ask("GET", "/sim")[1]["unrouted"][0].startswith("GET /futures/data/openInterestHist for ")
