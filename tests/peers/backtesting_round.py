"""backtesting.py: the whole call, which ends with its curve, its trades and its statistics.

Signals are given; orders fill at the next open, with stop and target inside the bar. It has one account of floats in
whole units, spread instead of slippage, and no caps.
"""

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

SCALE = 1000  # units of a thousandth, as it trades whole ones


class Crossing(Strategy):
    def init(self):
        self.score = self.I(lambda: self.data.Score, plot=False)

    def next(self):
        said, price = self.score[-1], self.data.Close[-1]
        if self.position or said == 0:
            return
        if said > 0:
            self.buy(size=max(1, int(200 / price)), sl=price * 0.985, tp=price * 1.02)
        else:
            self.sell(size=max(1, int(200 / price)), sl=price * 1.015, tp=price * 0.98)


def main(path, bars, runs):
    given = np.load(path)
    columns = {name.capitalize(): given[name][:bars] / SCALE for name in ("open", "high", "low", "close")}
    columns |= {"Volume": np.full(bars, 1e6), "Score": given["score"][:bars]}
    frame = pd.DataFrame(columns, pd.to_datetime(given["times"][:bars], unit="us"))
    found, told = [], {}
    warnings.simplefilter("ignore")
    for _ in range(runs):
        begun = time.process_time()
        done = Backtest(frame, Crossing, cash=10_000, commission=0.0005, spread=0.0002).run()
        found.append((time.process_time() - begun) / bars * 1e9)
        told["trades"] = int(done["# Trades"])
    print(json.dumps({**told, "whole": found}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
