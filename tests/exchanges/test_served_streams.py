"""What listeners hear: which messages, in which order, in which words, and at which of the venue's addresses."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import aiohttp
import pytest
from a_served_venue import KEY, PAST, a_step, served
from patience import PATIENCE_S

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": "0.010"}
STOP |= {"triggerPrice": "58000.00", "reduceOnly": "true", "clientAlgoId": "stop"}


def a_market():
    yield a_step(PAST + 1, 60_000, 60_500, 59_900, 60_400, funding=0.0001, next=60_400)
    yield a_step(PAST + 2, 60_400, 60_400, 57_000, 57_500, next=57_500)


@pytest.fixture
def venue():
    with served(a_market()) as venue:
        yield venue


@asynccontextmanager
async def listening(venue, path):
    """A socket of the venue, as a function that gives what it heard within a moment."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{venue.port}{path}") as socket:

        async def heard(patience=0.3):
            messages = []
            while True:
                try:
                    message = await socket.receive(timeout=patience)
                except TimeoutError:
                    return messages
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return [*messages, message.type]
                messages.append(message.json())

        heard.socket = socket
        yield heard


def listen_key(venue, method="POST"):
    return venue.ask(method, "/fapi/v1/listenKey", key=KEY)


def in_brief(message):
    """A message of the account as few words."""
    match message["e"]:
        case "ORDER_TRADE_UPDATE":
            return f"order {message['o']['x']} {message['o']['X']}"
        case "ALGO_UPDATE":
            return f"algo {message['o']['X']}"
        case "ACCOUNT_UPDATE":
            return f"account {message['a']['m']}"
    return message["e"]


def test_the_account_hears_of_a_whole_round_in_the_venues_order(venue):
    key = listen_key(venue)[1]["listenKey"]

    async def round_trip():
        async with listening(venue, f"/private/ws?listenKey={key}") as heard:
            await ask(venue, "POST", "/fapi/v1/order", **ORDER)
            await ask(venue, "POST", "/fapi/v1/algoOrder", **STOP)
            await ask(
                venue, "POST", "/fapi/v1/order", **ORDER | {"type": "LIMIT", "timeInForce": "GTC", "price": "59000"}
            )
            await ask(venue, "DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
            await asyncio.to_thread(venue.step, 2)
            return await heard()

    heard = asyncio.run(round_trip())
    assert [in_brief(m) for m in heard] == [
        *("order NEW NEW", "TRADE_LITE", "order TRADE FILLED", "account ORDER"),
        "algo NEW",
        *("order NEW NEW", "order CANCELED CANCELED"),
        "account FUNDING_FEE",
        *("algo TRIGGERED", "order NEW NEW", "TRADE_LITE", "order TRADE FILLED", "account ORDER", "algo FINISHED"),
    ]
    times = [m["E"] for m in heard]
    assert times == sorted(times)
    [_, lite, filled, opened, algo, *_, fired, _, _, sold, flat, _] = heard
    assert (lite["i"], lite["t"], lite["L"]) == (filled["o"]["i"], filled["o"]["t"], filled["o"]["L"])
    assert (filled["o"]["L"], filled["o"]["l"], filled["o"]["n"]) == ("60000.00", "0.010", "0.30000000")
    assert (opened["a"]["P"][0]["pa"], opened["a"]["B"][0]["wb"]) == ("0.010", "9999.70000000")
    assert (algo["o"]["ai"], algo["o"]["caid"]) == ("", "stop")
    assert (fired["o"]["ai"], fired["o"]["act"]) == (str(sold["o"]["i"]), "MARKET")
    assert (sold["o"]["c"], sold["o"]["ot"], sold["o"]["rp"]) == ("stop", "STOP_MARKET", "-20.00000000")
    assert (flat["a"]["P"][0]["pa"], flat["a"]["P"][0]["cr"]) == ("0.000", "-20.00000000")


def test_a_liquidation_is_told_as_one_and_its_order_can_be_looked_up():
    with served([a_step(PAST + 1, 60_000, 60_000, 50_000, 50_000)], leverage=20) as venue:
        key = listen_key(venue)[1]["listenKey"]

        async def live():
            async with listening(venue, f"/private/ws?listenKey={key}") as heard:
                await ask(venue, "POST", "/fapi/v1/order", **ORDER)
                await ask(
                    venue, "POST", "/fapi/v1/order", **ORDER | {"type": "LIMIT", "timeInForce": "GTC", "price": "55000"}
                )
                await asyncio.to_thread(venue.step, 1)
                return await heard()

        heard = asyncio.run(live())[5:]
        assert [in_brief(m) for m in heard] == [
            "order CANCELED CANCELED",
            "order CALCULATED FILLED",
            "account ORDER",
            "account INSURANCE_CLEAR",  # its loss was more than what backed it
        ]
        taken = next(m["o"] for m in heard if in_brief(m) == "order CALCULATED FILLED")
        assert taken["c"].startswith("autoclose-")
        assert (taken["o"], taken["f"]) == ("LIMIT", "IOC")
        found = venue.ask("GET", "/fapi/v1/order", signed=True, symbol="BTCUSDT", orderId=taken["i"])[1]
        assert (found["status"], found["clientOrderId"]) == ("FILLED", taken["c"])


def test_a_stop_that_closes_the_position_ends_with_it_or_by_itself(venue):
    key = listen_key(venue)[1]["listenKey"]
    net = {name: value for name, value in STOP.items() if name not in ("quantity", "reduceOnly")}
    net |= {"closePosition": "true", "clientAlgoId": "net"}

    async def live():
        async with listening(venue, f"/private/ws?listenKey={key}") as heard:
            await ask(venue, "POST", "/fapi/v1/order", **ORDER)
            await ask(venue, "POST", "/fapi/v1/algoOrder", **net)
            await ask(venue, "POST", "/fapi/v1/algoOrder", **STOP | {"triggerPrice": "58100"})
            await asyncio.to_thread(venue.step, 2)
            return await heard()

    told = [(m["o"]["caid"], m["o"]["X"]) for m in asyncio.run(live()) if m["e"] == "ALGO_UPDATE"]
    assert told[:2] == [("net", "NEW"), ("stop", "NEW")]
    assert set(told[2:]) == {("stop", "TRIGGERED"), ("stop", "FINISHED"), ("net", "EXPIRED")}
    child = venue.ask("GET", "/fapi/v1/allOrders", signed=True, symbol="BTCUSDT")[1][-1]
    assert (child["clientOrderId"], child["status"], child["origQty"]) == ("stop", "FILLED", "0.010")


def test_what_the_stream_told_is_what_rest_tells(venue):
    key = listen_key(venue)[1]["listenKey"]

    async def round_trip():
        async with listening(venue, f"/stream?streams={key}") as heard:
            await ask(venue, "POST", "/fapi/v1/order", **ORDER)
            await asyncio.to_thread(venue.step, 1)
            return [m["data"] for m in await heard() if m["stream"] == key]

    heard = asyncio.run(round_trip())
    [trade] = venue.ask("GET", "/fapi/v1/userTrades", signed=True, symbol="BTCUSDT")[1]
    told = next(m["o"] for m in heard if in_brief(m) == "order TRADE FILLED")
    assert (told["t"], told["i"], told["L"], told["n"]) == (
        trade["id"],
        trade["orderId"],
        trade["price"],
        trade["commission"],
    )
    wallet = venue.ask("GET", "/fapi/v3/account", signed=True)[1]["totalWalletBalance"]
    assert heard[-1]["a"]["B"][0] == {
        "a": "USDT",
        "wb": wallet,
        "cw": heard[-1]["a"]["B"][0]["cw"],
        "bc": "-0.06040000",
    }


def test_a_bar_that_closed_says_so_and_then_the_one_that_begins(venue):
    async def listen():
        async with listening(venue, "/market/ws/btcusdt@kline_1h/ethusdt@markPrice@1s") as heard:
            await asyncio.to_thread(venue.step, 1)
            return await heard()

    [closed, begun, mark] = asyncio.run(listen())
    assert (closed["k"]["x"], closed["k"]["c"], closed["k"]["h"]) == (True, "60400.00", "60500.00")
    assert (begun["k"]["x"], begun["k"]["o"], begun["k"]["t"]) == (False, "60400.00", closed["k"]["T"] + 1)
    assert closed["E"] == begun["k"]["t"] == mark["E"]
    assert (mark["e"], mark["s"], mark["p"]) == ("markPriceUpdate", "ETHUSDT", "2000.00000000")


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        ("btcusdt@bookTicker", "bookTicker"),
        ("btcusdt@miniTicker", "24hrMiniTicker"),
        ("btcusdt@aggTrade", "aggTrade"),
        ("btcusdt@markPrice", "markPriceUpdate"),
        ("btcusdt@kline_4h", "kline"),
        ("!markPrice@arr@1s", "markPriceUpdate"),
        ("!miniTicker@arr", "24hrMiniTicker"),
        ("btcusdt@ticker", "24hrTicker"),
        ("!ticker@arr", "24hrTicker"),
        ("!bookTicker", "bookTicker"),
        ("btcusdt@trade", "trade"),
        ("btcusdt@depth", "depthUpdate"),
        ("btcusdt@depth20@100ms", "depthUpdate"),
        ("btcusdt_perpetual@continuousKline_4h", "continuous_kline"),
    ],
)
def test_streams_are_subscribed_to_listed_and_left(venue, stream, event):
    async def listen():
        async with listening(venue, "/public/stream/0") as heard:  # some clients put a number there
            answers, told = [], []
            for n, command in enumerate(["SUBSCRIBE", "LIST_SUBSCRIPTIONS", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS"]):
                await heard.socket.send_json({"method": command, "params": [stream], "id": f"n{n}"})
                while "stream" in (said := await heard.socket.receive_json(timeout=PATIENCE_S)):
                    told.append(said)
                answers.append(said)
                if command == "SUBSCRIBE":
                    await asyncio.to_thread(venue.step, 1)
            return answers, told[0]

    answers, told = asyncio.run(listen())
    assert answers == [
        {"result": None, "id": "n0"},
        {"result": [stream], "id": "n1"},
        {"result": None, "id": "n2"},
        {"result": [], "id": "n3"},
    ]
    assert told["stream"] == stream
    message = told["data"][0] if isinstance(told["data"], list) else told["data"]
    assert message["e"] == event


@pytest.mark.parametrize("text", ['{"method": "SUBSCRIBE", "params": ["btcusdt@tea"], "id": 1}', "{", "[]", "1"])
def test_what_is_no_stream_or_no_command_is_said_to_be_none(venue, text):
    async def listen():
        async with listening(venue, "/ws") as heard:
            await heard.socket.send_str(text)
            return await heard.socket.receive_json(timeout=PATIENCE_S)

    assert "error" in asyncio.run(listen())


def test_a_listen_key_stays_the_same_while_it_lives_and_its_end_is_told():
    at = [6_000_000.0]
    with served(a_market(), wall=lambda: at[0]) as venue:
        assert listen_key(venue, "PUT") == (400, {"code": -1125, "msg": "This listenKey does not exist."})
        key = listen_key(venue)[1]["listenKey"]
        at[0] += 3_000
        assert listen_key(venue)[1]["listenKey"] == key
        at[0] += 3_000
        assert listen_key(venue, "PUT")[0] == 200

        async def listen():
            async with listening(venue, f"/private/ws/{key}") as heard:
                at[0] += 3_601
                return await heard(patience=1.5)

        [end] = asyncio.run(listen())
        assert (end["e"], end["listenKey"]) == ("listenKeyExpired", key)
        assert listen_key(venue, "PUT")[1]["code"] == -1125
        other = listen_key(venue)[1]["listenKey"]
        assert other != key
        assert listen_key(venue, "DELETE") == (200, {})
        assert listen_key(venue)[1]["listenKey"] not in (key, other)


def test_who_has_no_valid_key_hears_nothing_of_the_account(venue):
    listen_key(venue)

    async def listen():
        async with listening(venue, "/private/ws?listenKey=guessed") as heard:
            await ask(venue, "POST", "/fapi/v1/order", **ORDER)
            return await heard()

    assert asyncio.run(listen()) == []


def test_every_wallet_move_that_is_told_adds_up(venue):
    key = listen_key(venue)[1]["listenKey"]

    async def listen():
        async with listening(venue, f"/private/ws?listenKey={key}") as heard:
            await ask(venue, "POST", "/fapi/v1/order", **ORDER)
            await asyncio.to_thread(venue.step, 2)
            await ask(venue, "POST", "/fapi/v1/order", **ORDER | {"side": "SELL", "reduceOnly": "true"})
            return await heard()

    heard = asyncio.run(listen())
    wallet = Decimal(10_000)
    for message in heard:
        if message["e"] == "ORDER_TRADE_UPDATE" and message["o"]["x"] == "TRADE":
            wallet += Decimal(message["o"]["rp"]) - Decimal(message["o"]["n"])
        if message["e"] == "ACCOUNT_UPDATE":
            wallet += Decimal(message["a"]["B"][0]["bc"])
            assert Decimal(message["a"]["B"][0]["wb"]) == wallet


async def ask(venue, method, path, **asked):
    status, answer = await asyncio.to_thread(lambda: venue.ask(method, path, signed=True, **asked))
    assert status == 200, answer


# --- more of what is told ---------------------------------------------------------------------------------


def hears(venue, path, *doing, patience=0.3):
    """What is heard at `path` while these are done, one after the other: requests, or numbers of steps."""

    async def listen():
        async with listening(venue, path) as heard:
            for one in doing:
                await (asyncio.to_thread(venue.step, one) if isinstance(one, int) else ask(venue, *one[:2], **one[2]))
            return await heard(patience)

    return asyncio.run(listen())


BUY = ("POST", "/fapi/v1/order", ORDER)


def test_who_asks_for_some_events_hears_those_alone(venue):
    key = listen_key(venue)[1]["listenKey"]
    heard = hears(venue, f"/private/ws?listenKey={key}&events=ACCOUNT_UPDATE/TRADE_LITE", BUY)
    assert [m["e"] for m in heard] == ["TRADE_LITE", "ACCOUNT_UPDATE"]


def test_a_setting_that_changed_is_told(venue):
    key = listen_key(venue)[1]["listenKey"]
    leverage = ("POST", "/fapi/v1/leverage", {"symbol": "BTCUSDT", "leverage": 9})
    crossed = ("POST", "/fapi/v1/marginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"})
    told, changed = hears(venue, f"/private/ws?listenKey={key}", leverage, crossed)
    assert (told["e"], told["ac"]) == ("ACCOUNT_CONFIG_UPDATE", {"s": "BTCUSDT", "l": 9})
    assert (in_brief(changed), changed["a"]["P"][0]["mt"]) == ("account MARGIN_TYPE_CHANGE", "cross")


@pytest.mark.parametrize(("mode", "cash", "low"), [("isolated", 10_000, 57_280), ("cross", 66, 57_010)])
def test_a_position_near_its_liquidation_is_called_for_margin_once(mode, cash, low):
    falls = [a_step(PAST + 1, 58_000), a_step(PAST + 2, low), a_step(PAST + 3, low - 1)]
    with served(falls, leverage=20, margin_mode=mode, cash=cash) as venue:
        key = listen_key(venue)[1]["listenKey"]
        order = ("POST", "/fapi/v1/order", ORDER | {"quantity": "0.020"})
        calls = [m for m in hears(venue, f"/private/ws?listenKey={key}", order, 3) if m["e"] == "MARGIN_CALL"]
    [call] = calls
    assert ("cw" in call) == (mode == "cross")
    [position] = call["p"]
    assert (position["s"], position["pa"]) == ("BTCUSDT", "0.020")
    assert position["mt"] == ("CROSSED" if mode == "cross" else "ISOLATED")
    assert Decimal(position["mm"]) > 0 > Decimal(position["up"])


def test_a_liquidation_is_seen_by_the_market_and_in_the_accounts_own_list():
    with served([a_step(PAST + 1, 60_000, 60_000, 50_000, 50_000), a_step(PAST + 2)], leverage=20) as venue:
        heard = hears(venue, "/market/ws/btcusdt@forceOrder/!forceOrder@arr", BUY, 2)
        assert [m["e"] for m in heard] == ["forceOrder", "forceOrder"]
        assert (heard[0]["o"]["S"], heard[0]["o"]["q"], heard[0]["o"]["X"]) == ("SELL", "0.010", "FILLED")
        [own] = venue.ask("GET", "/fapi/v1/forceOrders", signed=True)[1]
        assert Decimal(own["avgPrice"]) == Decimal(heard[0]["o"]["ap"])
        assert own["clientOrderId"].startswith("autoclose-")


def test_a_book_that_follows_its_changes_is_the_book(venue):
    asked = venue.ask("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=5)[1]
    changes = hears(venue, "/public/ws/btcusdt@depth@100ms", 1, 1)
    assert changes[0]["U"] <= asked["lastUpdateId"] <= changes[0]["u"]  # the venue's rule for going on from there
    assert changes[1]["pu"] == changes[0]["u"]
    book = {side: dict(asked[side]) for side in ("bids", "asks")}
    for change in changes:
        for side, short in (("bids", "b"), ("asks", "a")):
            book[side] |= dict(change[short])
    now = venue.ask("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=5)[1]
    for side in ("bids", "asks"):
        assert [[p, q] for p, q in book[side].items() if q != "0"] == now[side]


def test_a_bar_is_one_trade_in_every_way_that_trades_are_told(venue):
    trade, total = hears(venue, "/public/ws/btcusdt@trade/btcusdt@aggTrade", 1)
    [listed] = venue.ask("GET", "/fapi/v1/trades", symbol="BTCUSDT", limit=1)[1]
    [summed] = venue.ask("GET", "/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=listed["id"])[1]
    assert (trade["t"], trade["p"], trade["q"], trade["T"]) == tuple(listed[n] for n in ("id", "price", "qty", "time"))
    assert {n: total[n] for n in summed} == summed
    older = venue.ask("GET", "/fapi/v1/historicalTrades", key=KEY, symbol="BTCUSDT", fromId=1, limit=2)[1]
    assert [t["id"] for t in older] == [1, 2]


# --- how much may be said -----------------------------------------------------------------------------------


def test_who_says_too_much_in_a_second_or_stays_for_a_day_is_cut_off():
    at = [6_000_000.0]
    with served(a_market(), wall=lambda: at[0]) as venue:

        async def talk():
            async with listening(venue, "/ws") as heard:
                for n in range(10):
                    await heard.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": n})
                answers = [await heard.socket.receive_json(timeout=PATIENCE_S) for _ in range(10)]
                at[0] += 1  # another second
                await heard.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 10})
                answers.append(await heard.socket.receive_json(timeout=PATIENCE_S))
                for n in range(10):
                    await heard.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": n})
                return answers, (await heard())[-1]

        async def stay():
            async with listening(venue, "/ws/btcusdt@markPrice") as heard:
                await asyncio.to_thread(venue.step, 1)
                at[0] += 86_400
                return await heard(patience=2.5)

        answers, end = asyncio.run(talk())
        assert [a["id"] for a in answers] == list(range(11))
        assert end is aiohttp.WSMsgType.CLOSE
        told, end = asyncio.run(stay())
        assert (told["e"], end) == ("markPriceUpdate", aiohttp.WSMsgType.CLOSE)


def test_a_stream_that_is_none_is_refused_where_it_is_subscribed_to_and_counted_wherever_it_is_named(venue):
    async def listen():
        async with listening(venue, "/market/ws/0/btcusdt@tea") as heard:
            await heard.socket.send_json({"method": "SUBSCRIBE", "params": ["!tea@arr", "no-key"], "id": 1})
            return await heard.socket.receive_json(timeout=PATIENCE_S)

    assert "!tea@arr" in asyncio.run(listen())["error"]["msg"]
    asked = [words.split(" for ")[0] for words in venue.ask("GET", "/sim")[1]["unrouted"]]
    assert asked == ["STREAM btcusdt@tea", "STREAM !tea@arr"]


def test_a_socket_listens_to_so_many_streams_and_no_more(venue):
    async def listen():
        async with listening(venue, "/ws") as heard:
            many = [f"btcusdt@depth{level}@{n}ms" for level in (5, 10, 20) for n in range(400)]
            answers = []
            for names in (many[:1_024], many[:1_025]):
                await heard.socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
                answers.append(await heard.socket.receive_json(timeout=PATIENCE_S))
            return answers

    taken, refused = asyncio.run(listen())
    assert taken == {"result": None, "id": 1}
    assert "1024" in refused["error"]["msg"]
