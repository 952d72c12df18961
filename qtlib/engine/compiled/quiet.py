"""The bars on which nothing can change, lived through at the speed of memory.

A bar is quiet if nothing is said on it that might be acted on, no settlement and no new day falls on it, and every
position's prices stay between its levels: then equity, extremes, peak and steps of a ratchet are all that comes of it.
Whoever is in doubt leaves the bar to the whole machinery, which comes to the same: so a bound here may be too near,
and never too far.
"""

from math import inf, isnan
from typing import Any

from qtlib.compiler import part
from qtlib.engine.compiled import at
from qtlib.engine.compiled.shapes import (
    CLOSE,
    HALTED,
    HIGH,
    LOW,
    OPEN,
    SCORE,
)
from qtlib.engine.compiled.trader import (
    BRAKED_BY_ERRORS,
    judged,
    kept_frac,
    marked_up,
    may_open,
    may_step_up,
    said,
    stepped_up,
)
from qtlib.engine.compiled.venue import reckon_alarms

AHEAD = 512  # bars


@part
def passed(w: Any, t: int, last: int) -> int:
    """Live through every quiet bar from `t` on; the first that is not, at most `last`."""
    p, a, since = at.settings(w), at.account(w), t
    if a.errors >= p.order_errors and a.braked < BRAKED_BY_ERRORS:  # that is about to be noticed
        return t
    t = heeded(w, t, last)
    if a.open:
        while a.funded < at.settlements(w) and at.funding(w, a.funded, 0) < since:
            a.funded += 1
        t = min(t, a.day_ends)
        if a.funded < at.settlements(w):
            t = min(t, at.funding(w, a.funded, 0))
        t = held_through(w, since, t) if a.open > 1 else one_held_through(w, since, t)
    elif a.equity_u != a.cash_u or a.cash_u > a.peak_u or (a.cash_u < a.safe_u and a.status != HALTED):
        return since
    else:
        curve = at.curve(w)
        curve[since:t] = a.cash_u
    if p.told:
        note_codes(w, since, t)
    return t


@part
def heeded(w: Any, t: int, last: int) -> int:
    """The first bar from `t` on at which something is said that may be acted on, at most `last`.

    That is, for what is held, to go the other way; for what is not, to go anywhere, unless a refusal is certain and
    nobody is told of it. Nobody listens far ahead: a position may end before.
    """
    a, first = at.account(w), min(t + AHEAD, last)
    if may_open(w):
        for s in range(at.symbols(w)):
            if at.coming(w)[s] < first:
                first = heeded_of(w, s, t, first)
    else:
        for place in range(a.open):
            first = heeded_of(w, at.held(w, place).book, t, first)
    return first


@part
def heeded_of(w: Any, s: int, t: int, until: int) -> int:
    coming, lots, score = at.coming(w), at.held(w, s).lots, at.all_beliefs(w)[SCORE, s]
    if coming[s] < t:
        coming[s] = said(w, s, t, until)
    while coming[s] < until and lots * score[coming[s]] > 0:
        coming[s] = said(w, s, coming[s] + 1, until)
    return min(coming[s], until)


@part
def held_through(w: Any, t: int, until: int) -> int:
    """Hold all positions from bar `t` on; the first bar that is not quiet for one of them, at most `until`."""
    a, curve = at.account(w), at.curve(w)
    count, marked = a.open, at.settings(w).marked
    for place in range(count):
        until = readied(w, at.held(w, place).book, t, until)
    while t < until:
        equity, steps = a.cash_u, False
        for place in range(count):
            s = at.held(w, place).book
            h = at.held(w, s)
            low, high, price = at.bars(w, s, t, LOW), at.bars(w, s, t, HIGH), at.bars(w, s, t, CLOSE)
            pnl = h.pnl_u
            if h.alarm_low < low and high < h.alarm_high:
                steps = steps or low <= h.step_low or high >= h.step_high
                if marked and not isnan(at.marks(w, s, t, CLOSE)):
                    price = at.marks(w, s, t, CLOSE)
                    if not (h.mark_low < at.marks(w, s, t, LOW) and at.marks(w, s, t, HIGH) < h.mark_high):
                        return t
                if not h.calm_low < price < h.calm_high:
                    return t
                pnl = (round(price * at.facts(w, s).scale) - h.entry_units) * h.lot_u
            elif not isnan(at.bars(w, s, t, OPEN)):
                return t
            equity += pnl
        if equity < a.safe_u:
            return t
        for place in range(count):
            moved_on(w, at.held(w, place).book, t)
        if equity > a.peak_u:
            marked_up(w, equity)
        curve[t] = a.equity_u = equity
        if steps and not all_stepped_up(w, t):
            return t
        t += 1
    return t


@part
def moved_on(w: Any, s: int, t: int) -> None:
    """What a quiet bar makes of a position."""
    h = at.held(w, s)
    if isnan(at.bars(w, s, t, OPEN)):
        return
    low, high, price = at.bars(w, s, t, LOW), at.bars(w, s, t, HIGH), at.bars(w, s, t, CLOSE)
    if at.settings(w).marked and not isnan(at.marks(w, s, t, CLOSE)):
        price = at.marks(w, s, t, CLOSE)
    h.price = price
    h.price_units = round(price * at.facts(w, s).scale)
    h.pnl_u = (h.price_units - h.entry_units) * h.lot_u
    if h.lots > 0:
        h.best, h.worst = max(h.best, high), min(h.worst, low)
    else:
        h.best, h.worst = min(h.best, low), max(h.worst, high)


@part
def all_stepped_up(w: Any, t: int) -> bool:
    """Whether a stop that is a step nearer was all that was missing, of every position; else bar `t` is not over."""
    count = at.account(w).open
    for place in range(count):
        h = at.held(w, at.held(w, place).among)
        h.calm = h.step_low < h.best < h.step_high
    for place in range(count):  # all of them or none: a stop that rests from this close on must not meet its bar
        s = at.held(w, place).among
        if not (at.held(w, s).calm or may_step_up(w, s, t)):
            return False
    for place in range(count):
        s = at.held(w, place).among
        if not at.held(w, s).calm and stepped_up(w, s, t):
            readied(w, s, t, t)
    return True


@part
def one_held_through(w: Any, t: int, until: int) -> int:
    """As `held_through`, of the only position: nothing is fetched or put back but bars and equity."""
    p, a, s = at.settings(w), at.account(w), at.held(w, 0).book
    h, scale, until = at.held(w, s), at.facts(w, s).scale, readied(w, s, t, until)
    bars, marks, curve, marked = at.all_bars(w)[s], at.all_marks(w)[s], at.curve(w), p.marked
    alarm_low, alarm_high, step_low, step_high = h.alarm_low, h.alarm_high, h.step_low, h.step_high
    calm_low, calm_high, entry, lot = h.calm_low, h.calm_high, h.entry_units, h.lot_u
    price, units, lowest, highest = h.price, h.price_units, min(h.best, h.worst), max(h.best, h.worst)
    cash, peak, safe, share = a.cash_u, a.peak_u, a.safe_u, kept_frac(p.max_drawdown_frac)
    while t < until:
        low, high, coming = bars[t, LOW], bars[t, HIGH], bars[t, CLOSE]
        if not (alarm_low < low and high < alarm_high):
            if not isnan(bars[t, OPEN]):
                break
            low, high, coming = lowest, highest, price
        elif marked and not isnan(marks[t, CLOSE]):
            coming = marks[t, CLOSE]
            if not (h.mark_low < marks[t, LOW] and marks[t, HIGH] < h.mark_high):
                break
        coming_units = round(coming * scale)
        equity = cash + (coming_units - entry) * lot
        if not calm_low < coming < calm_high or equity < safe:
            break
        price, units, lowest, highest = coming, coming_units, min(lowest, low), max(highest, high)
        if equity > peak:
            peak = equity
            safe = int(peak * share) + 1
        curve[t] = equity
        if low <= step_low or high >= step_high:
            h.price, h.price_units, a.equity_u = price, units, equity
            h.best, h.worst = (highest, lowest) if lot > 0 else (lowest, highest)
            if not all_stepped_up(w, t):
                break
            alarm_low, alarm_high, step_low, step_high = h.alarm_low, h.alarm_high, h.step_low, h.step_high
            calm_low, calm_high = h.calm_low, h.calm_high
        t += 1
    h.price, h.price_units, a.peak_u, a.safe_u = price, units, peak, safe
    a.equity_u = cash + (units - entry) * lot
    h.best, h.worst = (highest, lowest) if lot > 0 else (lowest, highest)
    return t


@part
def readied(w: Any, s: int, t: int, until: int) -> int:
    """Reckon between which prices a bar is quiet for `s`; up to which bar it may be, at most `until`."""
    h, fact = at.held(w, s), at.facts(w, s)
    h.entry_units, h.lot_u = h.entry * fact.tick_units, h.lots * fact.value_u
    h.pnl_u = (h.price_units - h.entry_units) * h.lot_u
    if not h.calm:
        return t
    if h.stale:
        reckon_alarms(w, s)
    h.alarm_low, h.alarm_high = max(h.low, h.mark_low), min(h.high, h.mark_high)
    h.step_low, h.step_high = (-inf, h.calm_best) if h.lots > 0 else (h.calm_best, inf)
    return min(until, h.due)


@part
def note_codes(w: Any, since: int, until: int) -> None:
    """What became of each signal on quiet bars."""
    codes = at.codes(w)
    for s in range(len(codes)):
        for t in range(since, until):
            if not isnan(at.bars(w, s, t, OPEN)):
                codes[s, t] = judged(w, s, t)
