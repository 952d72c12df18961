"""A bar has closed, in compiled code: positions at its prices, and what follows for peak, day and guard."""

from math import isnan
from typing import Any

from qtlib.compiler import part
from qtlib.engine.compiled import at
from qtlib.engine.compiled.numbers import at_least, ratio
from qtlib.engine.compiled.prices import DAY, first_at
from qtlib.engine.compiled.shapes import CLOSE, HALTED, HIGH, LOW, OPEN, REDUCING

BRAKED_BY_ERRORS, BRAKED_BY_DRAWDOWN = 2, 4  # which is the stricter


@part
def valued(w: Any, t: int) -> None:
    """Positions at the prices of bar `t`, their extremes widened by it, and what follows for peak, day and guard."""
    p, a = at.settings(w), at.account(w)
    equity = a.cash_u
    for place in range(a.open):
        s = at.held(w, place).book
        h = at.held(w, s)
        if not isnan(at.bars(w, s, t, OPEN)):
            h.price = at.bars(w, s, t, CLOSE)
            if p.marked and not isnan(at.marks(w, s, t, CLOSE)):
                h.price = at.marks(w, s, t, CLOSE)
            h.price_units = round(h.price * at.facts(w, s).scale)
            seen(w, s, t)
        equity += h.lots * (h.price_units - h.entry * at.facts(w, s).tick_units) * at.facts(w, s).value_u
    a.equity_u = equity
    if equity > a.peak_u:
        marked_up(w, equity)
    if t >= a.day_ends:
        a.day_equity_u, a.day_fees_u = equity, 0
        a.day_ends = first_at(w, t, (at.times(w, t) // DAY + 1) * DAY)
        a.loss_at_u = at_least(equity, p.loss_num, p.loss_den)
        a.fees_at_u = at_least(equity, p.fees_num, p.fees_den)
    guarded(w)


@part
def kept_frac(max_drawdown_frac: float) -> float:
    """The share of a peak above which no drawdown rule can speak."""
    return 1.0 - max_drawdown_frac * (1.0 - 1e-9)


@part
def marked_up(w: Any, equity: int) -> None:
    a = at.account(w)
    a.peak_u = equity
    a.safe_u = int(equity * kept_frac(at.settings(w).max_drawdown_frac)) + 1


@part
def unsettled(w: Any) -> None:
    for s in range(at.symbols(w)):
        at.held(w, s).calm = at.held(w, s).steady = False


@part
def seen(w: Any, s: int, t: int) -> None:
    h = at.held(w, s)
    low, high = at.bars(w, s, t, LOW), at.bars(w, s, t, HIGH)
    if t <= h.opened or (min(h.best, h.worst) <= low and high <= max(h.best, h.worst)):
        return
    if h.lots > 0:
        best, h.worst = max(h.best, high), min(h.worst, low)
    else:
        best, h.worst = min(h.best, low), max(h.worst, high)
    if best != h.best:
        h.best = best
        if best >= h.calm_best if h.lots > 0 else best <= h.calm_best:
            h.calm = False


@part
def drawdown_frac(w: Any) -> float:
    a, one = at.account(w), at.settings(w).one
    return 1.0 - ratio(a.equity_u, one) / ratio(a.peak_u, one) if a.peak_u > 0 else 0.0


@part
def guarded(w: Any) -> None:
    """What too deep a drawdown, or one refused order after the other, demands."""
    p, a = at.settings(w), at.account(w)
    if a.status != HALTED and a.equity_u < a.safe_u and drawdown_frac(w) >= p.max_drawdown_frac:
        a.status, a.braked, a.braked_down, a.braked_peak_u = HALTED, BRAKED_BY_DRAWDOWN, drawdown_frac(w), a.peak_u
        unsettled(w)
    elif a.errors >= p.order_errors and a.braked < BRAKED_BY_ERRORS:
        a.status, a.braked, a.braked_errors = REDUCING, BRAKED_BY_ERRORS, a.errors
