"""The curve of a run of the compiled engine, bar by bar: what changes at each close, and what holds from row to row."""

from typing import Any

import numpy as np
import numpy.typing as npt

from qtlib.compiler import compiled, part

Array = npt.NDArray[Any]

STRETCH = 128  # bars: what was read of them is still at hand when they are written


def curve(equity_u: Array, rows: Array, moves: Array, first: int, one: float, start_u: int) -> tuple[Array, ...]:
    """Equity, cash, drawdown as a fraction, what is committed, and how many positions are open, at each close.

    `equity_u` is equity at each close from bar `first` on, in units of money, `one` quote; a row of the account holds
    from its bar to that of the next, the first from `first` on. What the insurance fund paid (`moves`) is no profit: it
    lifts the peak, too.
    """
    room = np.empty((5, len(equity_u)))  # at once: memory that is new costs more than all that is done here
    made = (*room[:4], room[4].view(np.int64))
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
    for row in range(len(rows)):
        begun = max(0, rows[row].bar - first) if row else 0
        end = min(rows[row + 1].bar - first, len(equity_u)) if row + 1 < len(rows) else len(equity_u)
        cash[begun:end] = rows[row].cash_u / one
        gross[begun:end] = rows[row].gross_u / one
        count[begun:end] = rows[row].open
    t, move = 0, 0
    while t < len(equity_u):
        until = min(t + STRETCH, len(equity_u))
        while move < len(moves) and moves[move].bar - first <= t:
            peak += moves[move].amount_u
            move += 1
        if move < len(moves):
            until = min(until, moves[move].bar - first)
        peak = _fallen(equity_u[t:until], one, peak, equity[t:until], drawdown[t:until])
        t = until


@part
def _fallen(equity_u: Any, one: float, peak: int, equity: Any, drawdown: Any) -> int:
    """Write equity in quote, and how far it is below its peak, which was `peak` before; the peak after it."""
    highest = peak
    for k in range(len(equity_u)):
        equity[k] = equity_u[k] / one
        highest = max(highest, equity_u[k])
    if highest == peak and peak > 0:  # as nearly always: nothing hangs on the bar before, so several are done in one go
        for k in range(len(equity_u)):
            drawdown[k] = (peak - equity_u[k]) / peak
        return peak
    for k in range(len(equity_u)):
        peak = max(peak, equity_u[k])
        drawdown[k] = (peak - equity_u[k]) / peak if peak > 0 else 0.0
    return peak
