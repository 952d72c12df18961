"""jesse: its backtest for research, whose result holds trades and metrics.

Signals are given; an order is at the market and fills at the close that it was sent at, with a stop and a target as
orders of their own. It has one account of floats, fees but no slippage, and no caps.
"""

import json
import os
import sys
import tempfile
import time

import numpy as np

os.chdir(tempfile.mkdtemp())  # it makes a folder of its own where it runs
sys.path.insert(0, ".")

from jesse import research  # noqa: E402
from jesse.strategies import Strategy  # noqa: E402

SCORE = {}


class Crossing(Strategy):
    def said(self):
        return SCORE.get(int(self.current_candle[0]), 0.0)

    def should_long(self):
        return self.said() > 0

    def should_short(self):
        return self.said() < 0

    def go_long(self):
        self._go(1)

    def go_short(self):
        self._go(-1)

    def _go(self, side):
        quantity = 200 / self.price
        if side > 0:
            self.buy = quantity, self.price
        else:
            self.sell = quantity, self.price
        self.stop_loss = quantity, self.price * (1 - side * 0.015)
        self.take_profit = quantity, self.price * (1 + side * 0.02)

    def should_cancel_entry(self):
        return True


def main(path, bars, runs):
    given = np.load(path)
    opened = given["times"][:bars] // 1_000 - 60_000 + 1_600_000_020_000  # ms; it wants a date of this century
    columns = [given[name][:bars] for name in ("open", "close", "high", "low")]
    candles = np.stack([opened, *columns, np.full(bars, 1e6)], axis=1)
    SCORE.update({int(ts): s for ts, s in zip(opened, given["score"][:bars], strict=True) if s})
    exchange, symbol = "Binance Perpetual Futures", "BTC-USDT"
    config = {
        "starting_balance": 10_000,
        "fee": 0.0005,
        "type": "futures",
        "futures_leverage": 5,
        "futures_leverage_mode": "cross",
        "exchange": exchange,
        "warm_up_candles": 0,
    }
    routes = [{"exchange": exchange, "strategy": Crossing, "symbol": symbol, "timeframe": "1m"}]
    series = {f"{exchange}-{symbol}": {"exchange": exchange, "symbol": symbol, "candles": candles}}
    found, told = [], {}
    for _ in range(runs):
        begun = time.process_time()
        done = research.backtest(config, routes, [], series)
        found.append((time.process_time() - begun) / bars * 1e9)
        told["trades"] = int(done["metrics"]["total"])
    print(json.dumps({**told, "whole": found}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
