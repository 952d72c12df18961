"""One round with the venue's own SDK, unmodified: REST, streams, WebSocket API. Prints what it saw, as JSON.

It runs in an environment that has the SDK and nothing of ours; the venue's address is its argument.
"""

import asyncio
import json
import sys
import urllib.request

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

URL = sys.argv[1]
WS = URL.replace("http", "ws")
SYMBOL = "BTCUSDT"

client = DerivativesTradingUsdsFutures(
    config_rest_api=ConfigurationRestAPI(api_key="sim", api_secret="sim", base_path=URL, timeout=10_000),
    config_ws_api=ConfigurationWebSocketAPI(api_key="sim", api_secret="sim", stream_url=f"{WS}/ws-fapi/v1"),
    config_ws_streams=ConfigurationWebSocketStreams(stream_url=WS),
)


def step():
    urllib.request.urlopen(urllib.request.Request(f"{URL}/sim/step", method="POST")).read()


def over_rest():
    rest = client.rest_api
    assert SYMBOL in {s.symbol for s in rest.exchange_information().data().symbols}
    assert len(rest.kline_candlestick_data(symbol=SYMBOL, interval="1h", limit=10).data()) == 10
    mark = float(rest.mark_price(symbol=SYMBOL).data().actual_instance.mark_price)
    assert rest.change_initial_leverage(symbol=SYMBOL, leverage=7).data().leverage == 7
    bought = rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01).data()
    stop = rest.new_algo_order(
        algo_type="CONDITIONAL",
        symbol=SYMBOL,
        side="SELL",
        type="STOP_MARKET",
        quantity=0.01,
        trigger_price=round(mark * 0.9),
        reduce_only="true",
    ).data()
    target = rest.new_order(
        symbol=SYMBOL,
        side="SELL",
        type="LIMIT",
        quantity=0.01,
        price=round(mark * 1.04),
        time_in_force="GTC",
        reduce_only="true",
    ).data()
    moved = rest.modify_order(
        symbol=SYMBOL, side="SELL", quantity=0.01, price=round(mark * 1.03), order_id=target.order_id
    ).data()
    [resting] = rest.current_all_open_orders(symbol=SYMBOL).data()
    [waiting] = rest.current_all_algo_open_orders(symbol=SYMBOL).data()
    held = [p for p in rest.position_information_v3().data() if float(p.position_amt)]
    step()
    rest.cancel_order(symbol=SYMBOL, order_id=target.order_id)
    rest.cancel_algo_order(algo_id=stop.algo_id)
    sold = rest.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01, reduce_only="true").data()
    trades = rest.account_trade_list(symbol=SYMBOL).data()
    income = rest.get_income_history().data()
    [asset] = rest.futures_account_balance_v3().data()
    assert rest.account_information_v3().data().total_wallet_balance == asset.balance
    assert resting.price == moved.price
    assert waiting.algo_id == stop.algo_id
    return {
        "bought": bought.status,
        "held": [p.position_amt for p in held],
        "moved": float(moved.price) < float(target.price),
        "sold": sold.status,
        "trades": [[t.side, t.qty] for t in trades],
        "earned": sum(float(t.realized_pnl) - float(t.commission) for t in trades),
        "told": sum(float(i.income) for i in income if i.income_type != "TRANSFER"),
        "wallet": float(asset.balance),
    }


async def over_sockets():
    heard, bars = [], []
    key = client.rest_api.start_user_data_stream().data().listen_key
    streams = await client.websocket_streams.create_connection()
    account = await streams.user_data(key)
    account.on("message", lambda message: heard.append(message.actual_instance))
    market = await streams.kline_candlestick_streams(symbol=SYMBOL.lower(), interval="1h")
    market.on("message", bars.append)
    calls = await client.websocket_api.create_connection()
    await calls.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    price = float((await calls.symbol_price_ticker(symbol=SYMBOL)).data().actual_instance.result.price)
    stop = await calls.new_algo_order(
        algo_type="CONDITIONAL",
        symbol=SYMBOL,
        side="SELL",
        type="STOP_MARKET",
        quantity=0.01,
        trigger_price=round(price * 0.9),
        reduce_only="true",
    )
    await calls.cancel_algo_order(algo_id=stop.data().result.algo_id)
    await calls.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01, reduce_only="true")
    await asyncio.to_thread(step)
    for _ in range(200):
        if bars and [kind(m) for m in heard].count("AccountUpdate") >= 2:
            break
        await asyncio.sleep(0.05)
    await calls.close_connection(close_session=True)
    await streams.close_connection(close_session=True)
    return {"heard": [kind(m) for m in heard], "bar": bars[0].e}


def kind(message):
    """The SDK's own name for what it understood a message to be."""
    return type(message).__name__


print(json.dumps(over_rest() | asyncio.run(over_sockets())))
