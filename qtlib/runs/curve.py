"""The curve of a run of the compiled engine, bar by bar, in one pass."""

from typing import Any

import numpy as np
import numpy.typing as npt

from qtlib.compiler import compiled

Array = npt.NDArray[Any]


def curve(equity_u: Array, rows: Array, moves: Array, first: int, one: float, start_u: int) -> tuple[Array, ...]:
    """Equity, cash, drawdown as a fraction, what is committed, and how many positions are open, at each close.

    `equity_u` is equity at each close from bar `first` on, in units of money, `one` quote; a row of the account holds
    from its bar to that of the next, the first from `first` on. What the insurance fund paid (`moves`) is no profit: it
    lifts the peak, too.
    """
    made = (*(np.empty(len(equity_u)) for _ in range(4)), np.empty(len(equity_u), np.int64))
    _curve(equity_u, rows, moves, first, one, start_u, *made)
    return made


@compiled
def _curve(
    equity_u: Any,
    rows: Any,
    moves: Any,
    first: int,
    one: float,
    peak: int,
    equity: Any,
    cash: Any,
    drawdown: Any,
    gross: Any,
    count: Any,
) -> None:
    t, move = 0, 0
    for row in range(len(rows)):
        begun = t
        end = min(rows[row + 1].bar - first, len(equity_u)) if row + 1 < len(rows) else len(equity_u)
        while t < end:
            until = end
            while move < len(moves) and moves[move].bar - first <= t:
                peak += moves[move].amount_u
                move += 1
            if move < len(moves):
                until = min(end, moves[move].bar - first)
            for k in range(t, until):
                worth = equity_u[k]
                peak = max(peak, worth)
                equity[k] = worth / one
                drawdown[k] = (peak - worth) / peak if peak > 0 else 0.0
            t = until
        cash[begun:end] = rows[row].cash_u / one
        gross[begun:end] = rows[row].gross_u / one
        count[begun:end] = rows[row].open
