"""Asking the venue in compiled code, until what is equals what is wanted, as the loop's rounds do."""

from math import isnan
from typing import Any

from qtlib.compiler import part
from qtlib.engine.compiled import at
from qtlib.engine.compiled.desk import enters, leaves, rests
from qtlib.engine.compiled.noted import changed, note_levels, removed
from qtlib.engine.compiled.plan import (
    CANCEL,
    ENTRY_WISH,
    MARKET_TARGET,
    initial_ticks,
    next_step,
    planned,
    stop_ticks,
    trails,
    wish,
)
from qtlib.engine.compiled.prices import price_of, quoted
from qtlib.engine.compiled.shapes import CLOSE, DONE, EXIT, HALTED, STOP, STOP_LOSS, TARGET, TRAILING
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler

ROUNDS = 12  # as the loop's


@part
def settled(w: Any, t: int, entries: int) -> None:  # noqa: PLR0912  as the rules come
    """Ask until what is equals what is wanted, or the venue has said no too often."""
    a = at.account(w)
    for turn in range(ROUNDS):
        count = 0
        if turn == 0 and entries:
            for s in range(at.symbols(w)):
                if at.held(w, s).lots:
                    if not is_calm(w, s, t):
                        count = planned(w, s, t, count)
                elif at.held(w, s).wished:
                    count = wish(w, count, s, ENTRY_WISH, at.held(w, s).limit, at.held(w, s).wished, 0)
        else:
            stepping = turn == 0
            for place in range(a.open):
                s = at.held(w, place).among
                if not is_calm(w, s, t):
                    stepping = stepping and stepped_up(w, s, t)
                    if not stepping:
                        count = planned(w, s, t, count)
        if not count:
            break
        number = a.requests
        for stops in (True, False):  # what protects goes first
            for k in range(count):
                if (at.asked(w, k).what == STOP) == stops and at.asked(w, k).what != CANCEL:
                    at.asked(w, k).number = number
                    number += 1
        a.requests = number
        for stops in (True, False):
            for k in range(count):
                if (at.asked(w, k).what == STOP) == stops:
                    carried_out(w, t, at.asked(w, k))
        for k in range(count):
            h = at.held(w, at.asked(w, k).symbol)
            h.calm = h.steady = h.calm or (h.hopeful and h.lots != 0)
        if turn == 0 and entries:
            for s in range(at.symbols(w)):
                at.held(w, s).wished = 0
        revalued(w)
        if a.outcome != DONE:
            return


@part
def revalued(w: Any) -> None:
    """Equity after what was done at this close; its prices are the same."""
    a = at.account(w)
    equity = a.cash_u
    for place in range(a.open):
        h, fact = at.held(w, at.held(w, place).book), at.facts(w, at.held(w, place).book)
        equity += h.lots * (h.price_units - h.entry * fact.tick_units) * fact.value_u
    a.equity_u = equity


@part
def carried_out(w: Any, t: int, action: Any) -> None:
    s, what, ticks, lots, reason, number = (
        action.symbol,
        action.what,
        action.ticks,
        action.lots,
        action.reason,
        action.number,
    )
    h, fact = at.held(w, s), at.facts(w, s)
    if what == ENTRY_WISH:
        h.price = at.bars(w, s, t, CLOSE)
        if at.settings(w).marked and not isnan(at.marks(w, s, t, CLOSE)):
            h.price = at.marks(w, s, t, CLOSE)
        h.price_units = round(h.price * fact.scale)
        enters(w, s, t, 1 if lots > 0 else -1, abs(lots), ticks, number)
    elif what == CANCEL:
        for place in range(h.resting):
            if at.orders(w, s, place).number == ticks:
                removed(w, s, place)
                changed(w, s, t)
                break
    elif not h.lots:
        at.account(w).errors += 1 if what == EXIT else 0  # nothing is left to reduce
    elif what == EXIT:
        leaves(w, s, t, EXIT, lots, reason, number, h.price_units)
    elif what == MARKET_TARGET:
        leaves(w, s, t, TARGET, lots, reason, number, ticks * fact.tick_units)
    else:
        rests(w, s, t, what, ticks, lots, reason, number)


@part
def is_calm(w: Any, s: int, t: int) -> bool:
    """Whether nothing can be missing that was not missing before; what was just opened may be cut back by caps that
    depend on all that is held, as long as its moment lasts."""
    h = at.held(w, s)
    return h.calm and h.opened < t and h.calm_low < h.price < h.calm_high and t < h.due


@part
def stepped_up(w: Any, s: int, t: int) -> bool:
    """Whether nothing was missing but a stop that is a step nearer, which now rests instead of the one before.

    It is what `planned` asks for in two turns, for the one case that is met again and again.
    """
    if not may_step_up(w, s, t):
        return False
    step_up(w, s, t)
    return True


@part
def step_up(w: Any, s: int, t: int) -> None:
    """Let the stop rest where `may_step_up` found that it belongs."""
    p, a, fact, h = at.settings(w), at.account(w), at.facts(w, s), at.held(w, s)
    sign, stop, k = 1 if h.lots > 0 else -1, h.next_stop, its_stop(w, s)
    if sign * (stop - at.orders(w, s, k).trigger) > 0:
        level = price_of(fact, stop)
        removed(w, s, k)
        order = at.orders(w, s, h.resting)
        h.resting += 1
        order.role, order.trigger, order.level, order.lots = STOP, stop, level, abs(h.lots)
        order.number, order.bar = a.requests, t
        order.reason = TRAILING if sign * (stop - initial_ticks(w, s)) > 0 else STOP_LOSS
        a.requests += 1
        if sign > 0:
            h.calm_low, h.low = level, max(level, h.low)
        else:
            h.calm_high, h.high = level, min(level, h.high)
        note_levels(w, s, t)
    h.calm = True
    if trails(h):
        h.calm_best = next_step(sign, h.entry_f, h.best, h.trail_frac * p.ratchet_step_frac)


@part
def may_step_up(w: Any, s: int, t: int) -> bool:
    """Whether nothing else is missing, and the venue would take the nearer stop, if there is one: `next_stop`."""
    a, fact, h = at.account(w), at.facts(w, s), at.held(w, s)
    if not h.steady or h.leaving or isnan(h.room) or h.opened >= t or t >= h.due or a.status == HALTED:
        return False
    if not h.calm_low < h.price < h.calm_high:
        return False
    sign, stop = 1 if h.lots > 0 else -1, stop_ticks(w, s, h.room)
    h.next_stop = stop
    if sign * (stop - at.orders(w, s, its_stop(w, s)).trigger) <= 0:
        return True
    level, price = price_of(fact, stop), quoted(w, s, t)[0]
    return sign * (h.price - level) > 0 and sign * (price - level) > 0 and stop > 0


@part
def its_stop(w: Any, s: int) -> int:
    k = 0
    while at.orders(w, s, k).role != STOP:
        k += 1
    return k
