"""Plans in compiled code: the orders that are missing for a position, and those that are too many.

It stands in for `rules/plan.py` and `tpsl.py`, in their order and on their floats; each formula is theirs, by name.
"""

from math import floor, inf, isnan, nan
from typing import Any

from qtlib.compiler import part
from qtlib.domain.market import steps_down, steps_near, steps_up
from qtlib.engine.compiled import at
from qtlib.engine.compiled.limits import capped, committed_now, forget
from qtlib.engine.compiled.prices import price_of, quantity_of, worth
from qtlib.engine.compiled.shapes import (
    END,
    EXIT,
    FLATTEN,
    HALTED,
    NET,
    NONE,
    PARTIAL,
    SIGNAL,
    STOP,
    STOP_LOSS,
    TARGET,
    TIME_STOP,
    TRAILING,
)
from qtlib.rules.formulas import level, liquidation_room_frac, ratchet, stepped
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler

HEADROOM = 1.0 + 1e-9  # as `plan`'s
ENTRY_WISH, CANCEL, MARKET_TARGET = 0, 7, 8


@part
def planned(w: Any, s: int, t: int, count: int) -> int:  # noqa: PLR0912  as the rules come
    """The orders to place and to cancel for one position, behind the first `count` that are asked for."""
    p, a, fact, h = at.settings(w), at.account(w), at.facts(w, s), at.held(w, s)
    begun, sign, size = count, (1 if h.lots > 0 else -1), abs(h.lots)
    h.hopeful = False
    if isnan(h.room):
        h.room = room_frac(w, s)
    stop = stop_ticks(w, s, h.room)
    for k in range(h.resting):
        if at.orders(w, s, k).role == STOP:
            trigger = at.orders(w, s, k).trigger
            stop = max(trigger, stop) if sign > 0 else min(trigger, stop)
    reason = TRAILING if sign * (stop - initial_ticks(w, s)) > 0 else STOP_LOSS
    edge = price_of(fact, stop)
    unstoppable = bool(h.refused & (1 << STOP)) or sign * (h.price - edge) <= 0
    if not unstoppable:
        kept = found(w, s, STOP, stop, size)
        count = wish(w, count, s, STOP, stop, size, reason) if kept == NONE else others_out(w, s, STOP, kept, count)

    going, why = 0, NONE
    if a.status == HALTED:
        going, why = size, (END if a.at_end else FLATTEN)
    elif unstoppable:
        going, why = size, reason
    elif h.naked != NONE and (at.times(w, t) - h.naked) / 1e6 > p.protect_timeout_s:
        going, why = size, FLATTEN
    elif t >= h.due:
        going, why = size, TIME_STOP
    elif h.leaving:
        going, why = size, SIGNAL
    elif h.opened >= t:
        going = excess(w, s, t, sign)
        why = FLATTEN if going else NONE
    if why != NONE:
        return wish(w, count, s, EXIT, 0, going, why)

    if not any_of(w, s, NET) and not h.refused & (1 << NET):
        net = net_ticks(w, s, h.room)
        if net != NONE:
            count = wish(w, count, s, NET, net, 0, STOP_LOSS)
    count = target_planned(w, s, sign, size, count)
    only_rest = True
    for k in range(begun, count):
        only_rest = only_rest and at.asked(w, k).what in (STOP, TARGET, NET)
    if count == begun or (only_rest and not h.resting):
        calmed(w, s, sign, edge)
    return count


@part
def calmed(w: Any, s: int, sign: int, edge: float) -> None:
    """What rests is all that is wanted, up to which prices? `edge` is the stop's."""
    p, fact, h, beyond = at.settings(w), at.facts(w, s), at.held(w, s), sign * inf
    if not h.taken:
        beyond = price_of(fact, steps_near(level(sign, h.entry_f, h.target_frac), fact.tick))
    h.calm_low, h.calm_high = (edge, beyond) if sign > 0 else (beyond, edge)
    h.calm_best = sign * inf
    if trails(h):
        h.calm_best = next_step(sign, h.entry_f, h.best, h.trail_frac * p.ratchet_step_frac)
    h.calm = h.hopeful = h.steady = sign * (beyond - h.price) > 0


@part
def target_planned(w: Any, s: int, sign: int, size: int, count: int) -> int:
    """The target's order: the plan's share of the position, once."""
    fact, h = at.facts(w, s), at.held(w, s)
    if h.taken:
        return others_out(w, s, TARGET, NONE, count)
    price = steps_near(level(sign, h.entry_f, h.target_frac), fact.tick)
    already = -sign * (h.price - price_of(fact, price)) <= 0
    if already and any_of(w, s, TARGET):
        return count
    share = round(quantity_of(fact, size) * h.partial_frac / fact.lot)
    quantity = min(max(share, 1), size)
    at_market = already or bool(h.refused & (1 << TARGET))
    kept = NONE if at_market else found(w, s, TARGET, price, quantity)
    if kept == NONE:
        what = MARKET_TARGET if at_market else TARGET
        return wish(w, count, s, what, price, quantity, PARTIAL)
    return others_out(w, s, TARGET, kept, count)


@part
def found(w: Any, s: int, role: int, trigger: int, lots: int) -> int:
    """The number of the first order that rests for `s` as it should, or `NONE`."""
    for k in range(at.held(w, s).resting):
        order = at.orders(w, s, k)
        if order.role == role and order.trigger == trigger and order.lots == lots:
            return int(order.number)
    return NONE


@part
def others_out(w: Any, s: int, role: int, kept: int, count: int) -> int:
    """The ends of all orders of that role but the one that is kept."""
    for k in range(at.held(w, s).resting):
        if at.orders(w, s, k).role == role and at.orders(w, s, k).number != kept:
            count = wish(w, count, s, CANCEL, at.orders(w, s, k).number, 0, 0)
    return count


@part
def wish(w: Any, count: int, s: int, what: int, ticks: int, lots: int, reason: int) -> int:
    asked = at.asked(w, count)
    asked.symbol, asked.what, asked.ticks, asked.lots, asked.reason = s, what, ticks, lots, reason
    return count + 1


@part
def any_of(w: Any, s: int, role: int) -> bool:
    found = False
    for k in range(at.held(w, s).resting):
        found = found or at.orders(w, s, k).role == role
    return found


@part
def room_frac(w: Any, s: int) -> float:
    """The widest stop, as a fraction of entry, that is hit before liquidation comes near."""
    p, h = at.settings(w), at.held(w, s)
    count = at.facts(w, s).brackets
    cost = worth(w, s, abs(h.lots), h.entry)
    maintenance = at.brackets(w, s, count - 1).maintenance_frac
    for k in range(count):
        if cost <= at.brackets(w, s, k).cap:
            maintenance = at.brackets(w, s, k).maintenance_frac
            break
    margin = 1.0 / p.leverage + h.funding_f / cost
    return liquidation_room_frac(1 if h.lots > 0 else -1, margin, maintenance) - p.liquidation_margin_frac


@part
def toward(w: Any, s: int, raw: float) -> int:
    fact = at.facts(w, s)
    return steps_up(raw, fact.tick) if at.held(w, s).lots > 0 else steps_down(raw, fact.tick)


@part
def stop_ticks(w: Any, s: int, room: float) -> int:
    """Where the working stop belongs: the initial level, or as near as the ratchet and breakeven have brought it."""
    p, h = at.settings(w), at.held(w, s)
    sign = 1 if h.lots > 0 else -1
    best, trail, breakeven = h.best, nan, nan
    if trails(h):
        trail = h.trail_frac
        best = stepped(sign, h.entry_f, h.best, trail * p.ratchet_step_frac)
    if h.taken:
        breakeven = h.breakeven_frac
    stop = ratchet(sign, h.entry_f, best, room if room < h.stop_frac else h.stop_frac, trail, breakeven)
    return toward(w, s, stop)


@part
def trails(h: Any) -> bool:
    return h.trail_from_start or h.taken


@part
def next_step(sign: int, entry: float, best: float, step_frac: float) -> float:
    """A price that is surely not beyond the next step after `best`: until then `stepped` is what it is."""
    step = entry * step_frac
    if step == 0.0:
        return best
    return entry + sign * ((floor(sign * (best - entry) / step) + 1.0) * step - 1e-9 * entry)


@part
def initial_ticks(w: Any, s: int) -> int:
    h = at.held(w, s)
    if not h.first_stop:
        h.first_stop = toward(w, s, level(1 if h.lots > 0 else -1, h.entry_f, -h.stop_frac))
    return h.first_stop


@part
def net_ticks(w: Any, s: int, room: float) -> int:
    """Where the net stop rests for good; -1 where there is no room for a second one."""
    h = at.held(w, s)
    net = room if room < h.net_frac else h.net_frac
    if isnan(h.net_frac) or net <= h.stop_frac:
        return NONE
    return toward(w, s, level(1 if h.lots > 0 else -1, h.entry_f, -net))


@part
def excess(w: Any, s: int, t: int, sign: int) -> int:
    """The lots that a fill dearer than reckoned put over the caps."""
    fact, h = at.facts(w, s), at.held(w, s)
    members = committed_now(w, t)
    cost = worth(w, s, abs(h.lots), h.entry)
    cap, _ = capped(w, s, sign, t, members, cost)
    forget(w, members)
    if cost <= cap * HEADROOM:
        return 0
    return min(steps_up((cost - cap) / h.entry_f, fact.lot), abs(h.lots))
