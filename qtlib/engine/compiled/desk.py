"""Orders at a close in compiled code: what the venue makes of each that is asked for.

Where a decision that is exact there hangs on less than floats can tell, it gives up (`CLOSE_CALL`).
"""

from math import isnan
from typing import Any

from qtlib.compiler import part
from qtlib.engine.compiled import at
from qtlib.engine.compiled.fills import opened, paid_u, taken
from qtlib.engine.compiled.noted import changed
from qtlib.engine.compiled.numbers import near, ratio
from qtlib.engine.compiled.prices import against, at_hand, price_of, quantity_of, quoted, slippage, too_far, worth
from qtlib.engine.compiled.shapes import CLOSE_CALL, CROWDED, EXIT, NONE, OPEN, ORDERS, TARGET, VOLUME
from qtlib.rules.formulas import taker_price
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler


@part
def rests(w: Any, s: int, t: int, role: int, trigger: int, lots: int, reason: int, number: int) -> None:
    """A conditional order is asked for after bar `t`; refused where the price is beyond it already."""
    fact, h = at.facts(w, s), at.held(w, s)
    level = price_of(fact, trigger)
    up = (role == TARGET) == (h.lots > 0)
    price = quoted(w, s, t)[0]
    met = price >= level if up else price <= level
    if met or trigger <= 0 or lots > fact.max_market_lots:
        h.refused |= 1 << role
        h.hopeful = False
    elif h.resting >= ORDERS:
        at.account(w).outcome = CROWDED
    else:
        order = at.orders(w, s, h.resting)
        order.role, order.trigger, order.level, order.lots = role, trigger, level, lots
        order.number, order.bar, order.reason = number, t, reason
        h.resting += 1
    changed(w, s, t)


@part
def leaves(w: Any, s: int, t: int, role: int, lots: int, reason: int, number: int, expected_units: int) -> None:
    """A market order that only reduces is asked for after bar `t`."""
    h, a = at.held(w, s), at.account(w)
    price, mark = quoted(w, s, t)
    side = -1 if h.lots > 0 else 1
    if lots > at.facts(w, s).max_market_lots or too_far(w, s, side, price, mark):
        if role == EXIT:
            a.errors += 1
        else:
            h.refused |= 1 << role
        changed(w, s, t)
        return
    volume = 0.0 if isnan(at.bars(w, s, t, OPEN)) else at.bars(w, s, t, VOLUME)
    taken(w, s, role, lots, number, reason, expected_units, 0, price, volume, t, t)


@part
def enters(w: Any, s: int, t: int, side: int, lots: int, limit: int, number: int) -> None:
    """An entry is asked for after bar `t`: what can't be had at its limit or better at once, it does not get."""
    p, a, fact, h = at.settings(w), at.account(w), at.facts(w, s), at.held(w, s)
    price, mark = quoted(w, s, t)
    limit_f, notional = price_of(fact, limit), worth(w, s, lots, limit)
    if lots > fact.max_lots or limit <= 0:
        a.errors += 1
        return
    edge = mark * (1 + side * fact.band_frac)
    if near(limit_f, edge):
        a.outcome = CLOSE_CALL
        return
    if side * (limit_f - edge) > 0 or lots * limit < fact.least:
        a.errors += 1
        return
    quantity = quantity_of(fact, lots)
    assumed = limit_f if side > 0 else max(price * (1 + p.short_margin_frac), mark, limit_f)
    resulting = notional if side > 0 else quantity * assumed
    free = ratio(a.cash_u - a.backed_u, p.one)
    taker_frac = fact.taker_num / fact.taker_den
    cost = resulting / p.backing + quantity * max(0.0, side * (assumed - mark)) + quantity * assumed * taker_frac
    if near(resulting, fact.largest) or near(cost, max(0.0, free)):
        a.outcome = CLOSE_CALL
        return
    if resulting > fact.largest or cost > max(0.0, free):
        a.errors += 1
        return
    if side * (limit_f - price) < 0:
        return
    ticks = against(fact, side, taker_price(price, side, slippage(w)))
    ticks = min(ticks, limit) if side > 0 else max(ticks, limit)
    got = min(lots, at_hand(w, s, at.bars(w, s, t, VOLUME), t))
    if not got:
        return
    paid = paid_u(w, s, got, ticks, fact.taker_num, fact.taker_den)
    needed = worth(w, s, got, ticks) / p.backing + ratio(paid, p.one)
    if near(needed, free):
        a.outcome = CLOSE_CALL
        return
    if needed <= free:
        h.standing_bar = t if got == lots else NONE  # one that was not granted in full stands no longer
        opened(w, s, side, got, ticks, number, t, h.price_units)
