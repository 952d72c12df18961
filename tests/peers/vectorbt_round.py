"""vectorbt: its simulation call alone, the whole call with curve, trades and statistics, and a grid of exits.

Signals are given, shifted by one bar, and filled at the open. It keeps floats, knows no lots, no venue that may say no
and no caps; stops and targets are met inside the bar, the stop first, as here.
"""

import itertools
import json
import sys
import time

import numpy as np
import pandas as pd
import vectorbt as vbt


def main(path, bars, runs):
    given = np.load(path)
    opened, high, low, close, score = (given[name][:bars] for name in ("open", "high", "low", "close", "score"))
    index = pd.to_datetime(given["times"][:bars], unit="us")
    wished = np.concatenate([[0.0], score[:-1]])
    frame = {name: pd.Series(values, index) for name, values in (("open", opened), ("high", high), ("low", low))}
    frame["close"] = pd.Series(close, index)

    def simulated(stop=0.015, target=0.02):
        return vbt.Portfolio.from_signals(
            frame["close"],
            entries=pd.Series(wished > 0, index),
            short_entries=pd.Series(wished < 0, index),
            price=frame["open"],
            open=frame["open"],
            high=frame["high"],
            low=frame["low"],
            sl_stop=stop,
            tp_stop=target,
            size=200.0,
            size_type="value",
            fees=0.0005,
            slippage=0.0002,
            init_cash=10_000.0,
            accumulate=False,
            upon_opposite_entry="ignore",
            freq="1min",
        )

    def whole():
        done = simulated()
        return done.value(), done.trades.records, done.stats()

    grid = list(itertools.product(np.linspace(0.01, 0.03, 5), np.linspace(0.01, 0.04, 10)))
    stops, targets = (np.array([[pair[n] for pair in grid]]) for n in (0, 1))  # a column each

    def swept():
        done = simulated(stops, targets)
        return done.total_return(), done.sharpe_ratio(), done.max_drawdown(), done.trades.win_rate()

    told = {"trades": int(simulated().trades.count())}
    for name, work, cells in (("simulation", simulated, bars), ("whole", whole, bars)):
        work()
        told[name] = [_ns(work, cells) for _ in range(runs)]
    if bars <= 100_000:
        swept()
        told["a setting, ms"] = [_ns(swept, len(grid)) / 1e6 for _ in range(runs)]
    print(json.dumps(told))


def _ns(work, cells):
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / cells * 1e9


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
