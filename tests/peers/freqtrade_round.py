"""freqtrade: the backtest of its own class, and one turn of what its live loop does for fifty pairs.

Signals are given; an entry fills at the next open, with a stop-loss and a return on investment inside the bar. As no
line goes out, the exchange is its own class with one market put in: a spot market, so that only what is to be bought
is. It has one account of floats, fees but no slippage, and a table of trades. A turn is what `analyze` does between
closed candles and signals, with thirty indicators of TA-Lib over five hundred candles of each pair.
"""

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import talib
from freqtrade.enums import CandleType, RunMode
from freqtrade.exchange import Binance
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.strategy import IStrategy

PAIR, PAIRS, CANDLES, TURNS = "BTC/USDT", 50, 500, 3
NAMES = ("ADX", "ATR", "CCI", "NATR", "WILLR")  # of high, low and close, each over three spans
OF_CLOSE = ("EMA", "MOM", "ROC", "RSI", "SMA")


class Crossing(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    stoploss = -0.015
    minimal_roi = {"0": 0.02}  # noqa: RUF012  its own form
    startup_candle_count = 0
    process_only_new_candles = True

    def populate_indicators(self, dataframe, metadata):
        if "score" in dataframe:
            return dataframe
        high, low, close = (dataframe[name] for name in ("high", "low", "close"))
        for span in (7, 14, 28):
            for name in NAMES:
                dataframe[f"{name}{span}"] = getattr(talib, name)(high, low, close, timeperiod=span)
            for name in OF_CLOSE:
                dataframe[f"{name}{span}"] = getattr(talib, name)(close, timeperiod=span)
        dataframe["score"] = np.where(dataframe["EMA7"] > dataframe["EMA28"], 0.8, -0.8)
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = (dataframe["score"] > 0).astype(int)
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe


class Offline(Binance):
    def reload_markets(self, *args, **given):
        self._markets = {PAIR: MARKET}

    def get_min_pair_stake_amount(self, *args, **given):
        return 5.0


MARKET = {
    "id": "BTCUSDT",
    "symbol": PAIR,
    "base": "BTC",
    "quote": "USDT",
    "active": True,
    "spot": True,
    "type": "spot",
    "limits": {"amount": {"min": 0.001, "max": None}, "cost": {"min": 5.0, "max": None}, "price": {}, "leverage": {}},
    "precision": {"amount": 0.001, "price": 0.01},
    "info": {},
}


def config(folder):
    return {
        "exchange": {"name": "binance", "pair_whitelist": [PAIR], "pair_blacklist": []},
        "pairlists": [{"method": "StaticPairList"}],
        "strategy": "Crossing",
        "strategy_path": str(Path(__file__).parent),
        "user_data_dir": Path(folder),
        "datadir": Path(folder),
        "exportdirectory": Path(folder),
        "timeframe": "1m",
        "stake_currency": "USDT",
        "stake_amount": 200,
        "dry_run_wallet": 10_000,
        "tradable_balance_ratio": 1.0,
        "max_open_trades": 1,
        "fee": 0.0005,
        "dry_run": True,
        "runmode": RunMode.BACKTEST,
        "dataformat_ohlcv": "feather",
        "dataformat_trades": "feather",
        "export": "none",
        "entry_pricing": {"price_side": "same", "use_order_book": False},
        "exit_pricing": {"price_side": "same", "use_order_book": False},
        "unfilledtimeout": {"entry": 10, "exit": 30, "unit": "minutes"},
    }


def main(path, bars, runs):
    logging.disable(logging.CRITICAL)
    given = np.load(path)
    frame = pd.DataFrame({name: given[name][:bars] for name in ("open", "high", "low", "close")})
    frame.insert(0, "date", pd.to_datetime(given["times"][:bars] - 60_000_000, unit="us", utc=True).as_unit("ms"))
    frame["volume"], frame["score"] = 1e6, given["score"][:bars]
    found, told = [], {}
    with tempfile.TemporaryDirectory() as folder:
        settings = config(folder)
        exchange = Offline(settings, validate=False)
        exchange.reload_markets()
        tester = Backtesting(settings, exchange=exchange)
        tester._set_strategy(tester.strategylist[0])
        for _ in range(runs):
            begun = time.process_time()
            ready = tester.strategy.advise_all_indicators({PAIR: frame.copy()})
            done = tester.backtest(ready, frame["date"].iloc[0].to_pydatetime(), frame["date"].iloc[-1].to_pydatetime())
            found.append((time.process_time() - begun) / bars * 1e9)
            told["trades"] = len(done["results"])
        told["50 symbols, closed bar to decision, ms"] = [turn(tester, frame) for _ in range(TURNS)]
    print(json.dumps({**told, "whole": found}))


def turn(tester, frame):
    """Fifty pairs' candles to their signals, in ms."""
    candles = frame[["date", "open", "high", "low", "close", "volume"]].tail(CANDLES).reset_index(drop=True)
    begun = time.process_time()
    for n in range(PAIRS):
        metadata = {"pair": f"C{n}/USDT"}
        analyzed = tester.strategy.analyze_ticker(candles.copy(), metadata)
        tester.dataprovider._set_cached_df(metadata["pair"], "1m", analyzed, CandleType.SPOT)
        tester.strategy.get_entry_signal(metadata["pair"], "1m", analyzed)
    return (time.process_time() - begun) * 1e3


if __name__ == "__main__":  # its strategy is found by reading this file again
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
