"""One round with python-binance, unmodified: REST, user and market streams, WebSocket API. Prints what it saw, as JSON.

It runs in an environment that has python-binance and nothing of ours; the venue's address is its argument.
"""

import asyncio
import json
import sys
import urllib.request

import binance.exceptions
from binance import AsyncClient, BinanceSocketManager, Client

URL = sys.argv[1]
SYMBOL = "BTCUSDT"
ROUND = {"symbol": SYMBOL, "quantity": "0.010"}
CLOSING = {**ROUND, "side": "SELL", "reduceOnly": "true"}


def point(client):
    """Its own class attributes say where the venue is."""
    client.FUTURES_URL, client.FUTURES_DATA_URL = f"{URL}/fapi", f"{URL}/futures/data"
    client.WS_FUTURES_URL = f"{URL.replace('http', 'ws')}/ws-fapi/v1"


def step():
    urllib.request.urlopen(urllib.request.Request(f"{URL}/sim/step", method="POST")).read()


def over_rest():
    client = Client("sim", "sim", ping=False)
    client.futures_ping()
    assert SYMBOL in {s["symbol"] for s in client.futures_exchange_info()["symbols"]}
    assert len(client.futures_klines(symbol=SYMBOL, interval="1h", limit=10)) == 10
    assert len(client.futures_continuous_klines(pair=SYMBOL, contractType="PERPETUAL", interval="1h", limit=5)) == 5
    mark = float(client.futures_mark_price(symbol=SYMBOL)["markPrice"])
    client.futures_change_leverage(symbol=SYMBOL, leverage=7)
    code = 0
    try:
        client.futures_change_margin_type(symbol=SYMBOL, marginType="ISOLATED")
    except binance.exceptions.BinanceAPIException as no:
        code = no.code

    bought = client.futures_create_order(**ROUND, side="BUY", type="MARKET", newOrderRespType="RESULT")
    stop = client.futures_create_order(**CLOSING, type="STOP_MARKET", triggerPrice=f"{mark * 0.9:.0f}")
    target = client.futures_create_order(**CLOSING, type="LIMIT", timeInForce="GTC", price=f"{mark * 1.04:.0f}")
    moved = client.futures_modify_order(
        symbol=SYMBOL, orderId=target["orderId"], side="SELL", quantity="0.010", price=f"{mark * 1.03:.0f}"
    )
    [waiting] = client.futures_get_open_algo_orders(symbol=SYMBOL)
    [resting] = client.futures_get_open_orders(symbol=SYMBOL)
    held = [p for p in client.futures_position_information() if float(p["positionAmt"])]
    step()
    client.futures_cancel_order(symbol=SYMBOL, orderId=target["orderId"])
    client.futures_cancel_algo_order(algoId=stop["algoId"])
    sold = client.futures_create_order(**CLOSING, type="MARKET")
    trades = client.futures_account_trades(symbol=SYMBOL)
    income = client.futures_income_history(limit=100)
    [asset] = client.futures_account_balance()
    assert client.futures_account()["totalWalletBalance"] == asset["balance"]
    assert resting["price"] == moved["price"]
    assert waiting["algoId"] == stop["algoId"]
    return {
        "margin_code": code,
        "bought": bought["status"],
        "held": [p["positionAmt"] for p in held],
        "moved": float(moved["price"]) < float(target["price"]),
        "sold": sold["status"],
        "trades": [[t["side"], t["qty"]] for t in trades],
        "earned": sum(float(t["realizedPnl"]) - float(t["commission"]) for t in trades),
        "told": sum(float(i["income"]) for i in income if i["incomeType"] != "TRANSFER"),
        "wallet": float(asset["balance"]),
    }


async def over_sockets():
    client = AsyncClient("sim", "sim")
    manager = BinanceSocketManager(client)
    manager.FSTREAM_URL = URL.replace("http", "ws") + "/"
    heard, bars = [], []
    account, market = manager.futures_user_socket(), manager.kline_futures_socket(SYMBOL, "1h")
    for socket in (account, market):  # left open: to close one takes this client ten seconds
        await socket.connect()
    await client.ws_futures_create_order(**ROUND, side="BUY", type="MARKET")
    mark = float((await client.ws_futures_get_all_tickers(symbol=SYMBOL))["price"])
    stop = await client.ws_futures_create_order(**CLOSING, type="STOP_MARKET", triggerPrice=f"{mark * 0.9:.0f}")
    await client.ws_futures_cancel_order(algoId=stop["algoId"])
    await client.ws_futures_create_order(**CLOSING, type="MARKET")
    await asyncio.to_thread(step)
    while not bars:
        bars.append(await asyncio.wait_for(market.recv(), 10))
    while [m["e"] for m in heard].count("ACCOUNT_UPDATE") < 2:
        heard.append(await asyncio.wait_for(account.recv(), 10))
    await client.close_connection()
    return {"heard": [m["e"] for m in heard], "bar": bars[0]["e"]}


point(Client)
point(AsyncClient)
print(json.dumps(over_rest() | asyncio.run(over_sockets())))
