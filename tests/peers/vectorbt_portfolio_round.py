"""vectorbt with callbacks: many symbols that share four places and a cap, with a stop, a target and a trail.

Its order function is asked for each symbol of each bar, and gives one order at most: who is stopped out, or turned
round by a signal, can only enter again at a later bar. It keeps floats, knows no lots and no venue that may say no.
"""

import json
import sys
import time

import numpy as np
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio.enums import Direction, SizeType
from vectorbt.portfolio.nb import order_nb, order_nothing_nb

MOST, GROSS, STOP, TARGET, TRAIL, FEE, SLIPPAGE, THRESHOLD = 4, 800.0, 0.015, 0.02, 0.02, 0.0005, 0.0002, 0.55
LOTS, ENTRY, BEST = 0, 1, 2


@njit
def order(c, opened, high, low, close, score, confidence, held, shared):
    t, k = c.i, c.col
    if t == 0:
        return order_nothing_nb()
    lots = held[LOTS, k]
    wished = score[t - 1, k] if confidence[t - 1, k] >= THRESHOLD else 0.0
    if lots != 0.0:
        side, entry, price = np.sign(lots), held[ENTRY, k], 0.0
        level = side * max(side * entry * (1 - side * STOP), side * (held[BEST, k] - side * TRAIL * entry))
        take = entry * (1 + side * TARGET)
        worst, good = (low[t, k], high[t, k]) if side > 0 else (high[t, k], low[t, k])
        if side * wished < 0.0:
            price = opened[t, k]
        elif side * (worst - level) <= 0.0:
            price = side * min(side * level, side * opened[t, k])
        elif side * (good - take) >= 0.0:
            price = side * max(side * take, side * opened[t, k])
        if price == 0.0:
            held[BEST, k] = side * max(side * held[BEST, k], side * good)
            return order_nothing_nb()
        held[LOTS, k] = 0.0
        shared[0] -= 1.0
        shared[1] -= abs(lots) * entry
        return order_nb(-lots, price, SizeType.Amount, Direction.Both, FEE, 0.0, SLIPPAGE)
    if wished == 0.0 or shared[0] >= MOST:
        return order_nothing_nb()
    sure = confidence[t - 1, k]
    notional = min(200.0 * sure * (0.5 + sure), 200.0, GROSS - shared[1])
    if notional < 5.0:
        return order_nothing_nb()
    lots = np.sign(wished) * np.floor(notional / close[t - 1, k] * 1000.0) / 1000.0
    held[LOTS, k], held[ENTRY, k], held[BEST, k] = lots, opened[t, k], opened[t, k]
    shared[0] += 1.0
    shared[1] += abs(lots) * opened[t, k]
    return order_nb(lots, opened[t, k], SizeType.Amount, Direction.Both, FEE, 0.0, SLIPPAGE)


def main(path, bars, runs):
    given = np.load(path)
    names = ("open", "high", "low", "close", "score", "confidence")
    columns = [np.ascontiguousarray(given[name][:, :bars].T) for name in names]
    close = columns[3]

    def simulated():
        held, shared = np.zeros((3, close.shape[1])), np.zeros(2)
        return vbt.Portfolio.from_order_func(
            close, order, *columns, held, shared, init_cash=10_000.0, cash_sharing=True, group_by=True, row_wise=True
        )

    told = {"trades": int(simulated().trades.count()), "portfolio, ns/bar": []}
    for _ in range(runs):
        begun = time.process_time()
        simulated()
        told["portfolio, ns/bar"].append((time.process_time() - begun) / close.size * 1e9)
    print(json.dumps(told))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
