"""Clients that others wrote, unmodified: ccxt, one call at a time, side by side, and listening; each a full round.

None of them may ask for anything that leads nowhere.
"""

import asyncio

import ccxt
import ccxt.async_support
import ccxt.pro
import pytest
from a_served_venue import OPTIONS, PAST, a_client, a_step, point_at, served
from patience import PATIENCE_S

PAIR = "BTC/USDT:USDT"
STOP = {"stopLossPrice": 58_000, "reduceOnly": True, "newClientOrderId": "stop-1"}
CONDITIONAL = {"trigger": True}


def a_market():
    """Up, on, and then down through the stop."""
    yield a_step(PAST + 1, 60_000, 61_200, 59_900, 61_000, funding=0.0001, next=61_000)
    yield a_step(PAST + 2, 61_000, 61_500, 60_900, 61_400, next=61_400)
    yield a_step(PAST + 3, 61_400, 61_400, 57_000, 57_500, next=57_500)


@pytest.fixture
def venue():
    with served(a_market()) as venue:
        yield venue
        assert venue.doors.unrouted == {}


def test_ccxt_trades_a_full_round(venue):
    ex = a_client(venue.port)
    market = ex.load_markets()[PAIR]
    assert (market["precision"]["price"], market["limits"]["cost"]["min"]) == (0.1, 50)
    assert ex.fetch_ohlcv(PAIR, "1h", limit=3)[-1][4] == 60_000
    assert ex.fetch_ohlcv(PAIR, "4h", params={"price": "mark"})
    assert ex.set_leverage(7, PAIR)["leverage"] == 7
    assert ex.fetch_leverage(PAIR)["longLeverage"] == 7
    with pytest.raises(ccxt.MarginModeAlreadySet):
        ex.set_margin_mode("isolated", PAIR)
    assert ex.fetch_position_mode(PAIR)["hedged"] is False

    entry = ex.create_order(PAIR, "market", "buy", 0.02, params={"newClientOrderId": "entry-1"})
    assert (entry["status"], entry["filled"], entry["average"]) == ("closed", 0.02, None)
    assert ex.fetch_order(entry["id"], PAIR)["average"] == 60_000
    stop = ex.create_order(PAIR, "market", "sell", 0.02, params=STOP)
    target = ex.create_order(PAIR, "limit", "sell", 0.02, 62_500, {"reduceOnly": True})
    target = ex.edit_order(target["id"], PAIR, "limit", "sell", 0.02, 62_400)
    assert target["price"] == 62_400
    assert [o["id"] for o in ex.fetch_open_orders(PAIR)] == [target["id"]]
    assert [o["id"] for o in ex.fetch_open_orders(PAIR, params=CONDITIONAL)] == [stop["id"]]
    [position] = ex.fetch_positions()
    assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 0.02, "isolated")
    assert 50_000 < position["liquidationPrice"] < 58_000

    venue.step()
    assert ex.fetch_funding_history(PAIR)[0]["amount"] == pytest.approx(-0.02 * 61_000 * 0.0001)
    ex.cancel_order(target["id"], PAIR)
    ex.cancel_order(stop["id"], PAIR, CONDITIONAL)
    with pytest.raises(ccxt.OrderNotFound):
        ex.cancel_order(stop["id"], PAIR, CONDITIONAL)
    exit_ = ex.create_order(PAIR, "market", "sell", 0.02, params={"reduceOnly": True})
    with pytest.raises(ccxt.InvalidOrder, match="-2022"):
        ex.create_order(PAIR, "market", "sell", 0.02, params={"reduceOnly": True})
    assert ex.fetch_positions() == []
    trades = ex.fetch_my_trades(PAIR)
    assert [(t["order"], t["side"], t["price"]) for t in trades] == [
        (entry["id"], "buy", 60_000),
        (exit_["id"], "sell", 61_000),
    ]
    earned = 0.02 * 1_000 - sum(t["fee"]["cost"] for t in trades) - 0.122
    assert ex.fetch_balance()["USDT"]["total"] == pytest.approx(10_000 + earned)
    assert sum(row["amount"] * {"in": 1, "out": -1}[row["direction"]] for row in ex.fetch_ledger()) == pytest.approx(
        10_000 + earned
    )
    assert {o["status"] for o in ex.fetch_orders(PAIR)} == {"closed", "canceled"}


def test_ccxt_reads_what_is_public(venue):
    ex = a_client(venue.port)
    ex.load_markets()
    assert set(ex.fetch_tickers()) == set(ex.fetch_bids_asks()) == set(ex.fetch_last_prices()) == set(ex.symbols)
    assert ex.fetch_order_book(PAIR)["asks"][0][0] > 60_000
    assert ex.fetch_mark_prices()[PAIR]["markPrice"] == 60_000
    assert ex.fetch_funding_rate(PAIR)["fundingRate"] == 0
    venue.step()
    assert [rate["fundingRate"] for rate in ex.fetch_funding_rate_history(PAIR)] == [0.0001]
    assert ex.fetch_leverage_tiers([PAIR])[PAIR][0]["maxLeverage"] == 150
    assert ex.fetch_trading_fee(PAIR)["taker"] == 0.0005
    assert ex.fetch_time() > 1_700_000_000_000


def test_ccxt_places_and_cancels_side_by_side(venue):
    async def round_trip():
        ex = a_client(venue.port, ccxt.async_support.binanceusdm)
        try:
            await ex.load_markets()
            await ex.create_order(PAIR, "market", "buy", 0.02)
            stop = ex.create_order(PAIR, "market", "sell", 0.02, params=STOP)
            limits = [ex.create_order(PAIR, "limit", "buy", 0.01, 59_000 - n, {"postOnly": True}) for n in range(5)]
            placed = await asyncio.gather(stop, *limits)
            assert len({order["id"] for order in placed}) == 6
            batch = [
                {"symbol": PAIR, "type": "limit", "side": "buy", "amount": 0.01, "price": 58_500 + n} for n in range(3)
            ]
            assert [o["status"] for o in await ex.create_orders(batch)] == ["open"] * 3
            assert len(await ex.fetch_open_orders(PAIR)) == 8
            await ex.cancel_all_orders(PAIR)
            assert await ex.fetch_open_orders() == []
            assert len(await ex.fetch_open_orders(params=CONDITIONAL)) == 1
            await ex.cancel_all_orders(PAIR, CONDITIONAL)
            assert await ex.fetch_open_orders(params=CONDITIONAL) == []
            await ex.create_order(PAIR, "market", "sell", 0.02, params={"reduceOnly": True})
            assert await ex.fetch_positions() == []
        finally:
            await ex.close()

    asyncio.run(round_trip())


def test_ccxt_hears_of_its_orders_positions_and_bars_as_they_happen(venue):
    async def listen():
        ex = point_at(ccxt.pro.binanceusdm({**OPTIONS, "newUpdates": True}), venue.port)
        try:
            await ex.load_markets()
            orders = asyncio.create_task(
                until(ex.watch_orders, lambda o: o["status"] == "closed" and o["side"] == "sell")
            )
            trades = asyncio.create_task(until(ex.watch_my_trades, lambda t: t["side"] == "sell"))
            bars = asyncio.create_task(ex.watch_ohlcv(PAIR, "1h"))
            marks = asyncio.create_task(ex.watch_mark_price(PAIR))
            await listening(venue, 3)
            await ex.create_order(PAIR, "market", "buy", 0.02)
            await ex.create_order(PAIR, "market", "sell", 0.02, params=STOP)
            await asyncio.to_thread(venue.step, 3)  # the last of them falls through the stop
            heard = [(o["side"], o["status"]) for o in await asyncio.wait_for(orders, PATIENCE_S)]
            assert ("buy", "closed") in heard
            sold = (await asyncio.wait_for(trades, PATIENCE_S))[-1]
            assert (sold["price"], sold["amount"]) == (58_000, 0.02)
            assert (await asyncio.wait_for(bars, PATIENCE_S))[-1][4] in (61_000, 61_400, 57_500)
            assert (await asyncio.wait_for(marks, PATIENCE_S))["markPrice"] in (61_000, 61_400, 57_500)
        finally:
            await ex.close()

    asyncio.run(listen())


def test_ccxt_trades_over_one_socket(venue):
    async def round_trip():
        ex = point_at(ccxt.pro.binanceusdm(OPTIONS), venue.port)
        try:
            await ex.load_markets()
            bought = await ex.create_order_ws(PAIR, "market", "buy", 0.02)
            target = await ex.create_order_ws(PAIR, "limit", "sell", 0.02, 62_500, {"reduceOnly": True})
            moved = await ex.edit_order_ws(target["id"], PAIR, "limit", "sell", 0.02, 62_400)
            assert (await ex.fetch_order_ws(target["id"], PAIR))["price"] == moved["price"] == 62_400
            assert [p["contracts"] for p in await ex.fetch_positions_ws() if p["contracts"]] == [0.02]
            assert (await ex.cancel_order_ws(target["id"], PAIR))["status"] == "canceled"
            sold = await ex.create_order_ws(PAIR, "market", "sell", 0.02, params={"reduceOnly": True})
            assert (bought["status"], sold["status"]) == ("closed", "closed")
            assert (await ex.fetch_balance_ws())["USDT"]["total"] == pytest.approx(10_000 - 2 * 0.6)
        finally:
            await ex.close()

    asyncio.run(round_trip())


async def until(watch, is_it):
    """Everything `watch` yields for the pair, up to the first that it waits for."""
    heard = []
    while True:
        heard += await watch(PAIR)
        if is_it(heard[-1]):
            return heard


async def listening(venue, sockets):
    """Wait until so many sockets listen to something."""
    for _ in range(200):
        if sum(bool(listener.streams) for listener in venue.doors._streams._listeners) >= sockets:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nobody listens")
