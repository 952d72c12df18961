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
from qtlib.engine.compiled.decide import judged, may_open, said
from qtlib.engine.compiled.prices import first_at
from qtlib.engine.compiled.settle import may_step_up, step_up
from qtlib.engine.compiled.shapes import (
    CLOSE,
    HALTED,
    HIGH,
    LOW,
    NONE,
    OPEN,
    SCORE,
)
from qtlib.engine.compiled.valued import BRAKED_BY_ERRORS, marked_up
from qtlib.engine.compiled.way import reckon_alarms

AHEAD = 512  # bars
STRETCH = 64  # bars


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
        t = held_through(w, since, t)
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

    That is, for what is held, to go the other way; for what is not, to go anywhere, unless a refusal is certain, as
    while it cools down, and nobody is told of it. Nobody listens far ahead: a position may end before.
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
        coming[s] = said(w, s, t if lots else cooled(w, s, t, until), until)
    while coming[s] < until and lots * score[coming[s]] > 0:
        coming[s] = said(w, s, coming[s] + 1, until)
    return min(coming[s], until)


@part
def cooled(w: Any, s: int, t: int, until: int) -> int:
    """The first bar from `t` on at which a flat symbol may be entered again, at most `until`; `t` if it is told why."""
    p, h = at.settings(w), at.held(w, s)
    if p.told or h.left == NONE:
        return t
    return min(first_at(w, t - 1, h.left + int(p.cooldown_s * 1e6) - 1), until)


@part
def held_through(w: Any, t: int, until: int) -> int:
    """Hold all positions from bar `t` on; the first bar that is not quiet for one of them, at most `until`.

    A stretch at a time, and in it one position after the other, whose bars lie side by side.
    """
    a = at.account(w)
    count = a.open
    for place in range(count):
        until = readied(w, at.held(w, place).book, t, until)
    while t < until:
        if count == 1:
            t = held_alone(w, at.held(w, 0).book, t, until)
        end = min(t + STRETCH, until)
        for place in range(count):
            end = quiet_until(w, at.held(w, place).book, t, end)
        if end == t:
            return t
        whole, end = end, safe_until(w, t, end)
        for place in range(count):
            moved_on(w, at.held(w, place).book, t, end)
        if end > t:
            a.equity_u = at.curve(w)[end - 1]
        if end < whole:
            return end
        if not all_stepped_up(w, end - 1):
            return end - 1
        t = end
    return t


@part
def held_alone(w: Any, s: int, t: int, until: int) -> int:
    """Hold the only position from bar `t` on, all at once: the first bar that it takes more than a look at."""
    h, a = at.held(w, s), at.account(w)
    if at.settings(w).marked or not h.step_low < h.best < h.step_high:
        return t
    bars, curve, scale = at.all_bars(w)[s, t:until], at.curve(w)[t:until], at.facts(w, s).scale
    low, high = max(h.alarm_low, h.step_low), min(h.alarm_high, h.step_high)
    calm_low, calm_high, entry, lot = h.calm_low, h.calm_high, h.entry_units, h.lot_u
    lowest, highest = min(h.best, h.worst), max(h.best, h.worst)
    cash, peak, safe, k = a.cash_u, a.peak_u, a.safe_u, 0
    while k < len(curve):
        bottom, top, price = bars[k, LOW], bars[k, HIGH], bars[k, CLOSE]
        if not ((low < bottom) & (top < high) & (calm_low < price) & (price < calm_high)):
            break
        equity = cash + (round(price * scale) - entry) * lot
        if equity < safe:
            break
        if equity > peak:
            marked_up(w, equity)
            peak, safe = a.peak_u, a.safe_u
        curve[k] = equity
        lowest, highest = min(lowest, bottom), max(highest, top)
        k += 1
    if k:
        h.best, h.worst = (highest, lowest) if h.lots > 0 else (lowest, highest)
        h.price = bars[k - 1, CLOSE]
        h.price_units = round(h.price * scale)
        h.pnl_u = (h.price_units - entry) * lot
        a.equity_u = cash + h.pnl_u
    return t + k


@part
def quiet_until(w: Any, s: int, t: int, end: int) -> int:
    """The first bar from `t` on that is not quiet for `s`, or that follows one at which a stop may step nearer."""
    h, bars, marks, marked = at.held(w, s), at.all_bars(w)[s], at.all_marks(w)[s], at.settings(w).marked
    alarm_low, alarm_high, step_low, step_high = h.alarm_low, h.alarm_high, h.step_low, h.step_high
    calm_low, calm_high = h.calm_low, h.calm_high
    for k in range(t, end):
        low, high, price = bars[k, LOW], bars[k, HIGH], bars[k, CLOSE]
        if not (alarm_low < low and high < alarm_high):
            if isnan(bars[k, OPEN]):
                continue
            return k
        if marked and not isnan(marks[k, CLOSE]):
            price = marks[k, CLOSE]
            if not (h.mark_low < marks[k, LOW] and marks[k, HIGH] < h.mark_high):
                return k
        if not calm_low < price < calm_high:
            return k
        if low <= step_low or high >= step_high:
            return k + 1
    return end


@part
def safe_until(w: Any, t: int, end: int) -> int:
    """Write down equity at each close from `t` on; the first that a drawdown rule may speak at."""
    a, curve = at.account(w), at.curve(w)
    curve[t:end] = a.cash_u
    for place in range(a.open):
        earned(w, at.held(w, place).book, t, curve[t:end])
    for k in range(t, end):
        equity = curve[k]
        if equity < a.safe_u:
            return k
        if equity > a.peak_u:
            marked_up(w, equity)
    return end


@part
def earned(w: Any, s: int, t: int, curve: Any) -> None:
    """Add to `curve`, which begins at bar `t`, what the position is worth at each close."""
    h, bars, marks, marked = at.held(w, s), at.all_bars(w)[s, t:], at.all_marks(w)[s, t:], at.settings(w).marked
    scale, entry, lot, pnl = at.facts(w, s).scale, h.entry_units, h.lot_u, h.pnl_u
    for k in range(len(curve)):
        price = bars[k, CLOSE]
        if not isnan(price):
            if marked and not isnan(marks[k, CLOSE]):
                price = marks[k, CLOSE]
            pnl = (round(price * scale) - entry) * lot
        curve[k] += pnl


@part
def moved_on(w: Any, s: int, t: int, end: int) -> None:
    """What the quiet bars from `t` to the one before `end` make of a position."""
    h, bars, marks, marked = at.held(w, s), at.all_bars(w)[s], at.all_marks(w)[s], at.settings(w).marked
    lowest, highest, last = min(h.best, h.worst), max(h.best, h.worst), NONE
    for k in range(t, end):
        if not isnan(bars[k, OPEN]):
            lowest, highest, last = min(lowest, bars[k, LOW]), max(highest, bars[k, HIGH]), k
    if last == NONE:
        return
    h.best, h.worst = (highest, lowest) if h.lots > 0 else (lowest, highest)
    h.price = bars[last, CLOSE]
    if marked and not isnan(marks[last, CLOSE]):
        h.price = marks[last, CLOSE]
    h.price_units = round(h.price * at.facts(w, s).scale)
    h.pnl_u = (h.price_units - h.entry_units) * h.lot_u


@part
def all_stepped_up(w: Any, t: int) -> bool:
    """Whether a stop that is a step nearer was all that was missing, of every position; else bar `t` is not over."""
    count, all_calm = at.account(w).open, True
    for place in range(count):
        h = at.held(w, at.held(w, place).book)
        h.calm = h.step_low < h.best < h.step_high
        all_calm = all_calm and h.calm
    if all_calm:
        return True
    for place in range(count):  # all of them or none: a stop that rests from this close on must not meet its bar
        s = at.held(w, place).among
        if not (at.held(w, s).calm or may_step_up(w, s, t)):
            return False
    for place in range(count):
        s = at.held(w, place).among
        if not at.held(w, s).calm:
            step_up(w, s, t)
            readied(w, s, t, t)
    return True


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
