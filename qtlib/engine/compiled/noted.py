"""What is written down in compiled code, once something became of an order: its levels, and since when stops lack."""

from typing import Any

from qtlib.compiler import part
from qtlib.engine.compiled import at
from qtlib.engine.compiled.shapes import LIQUIDATION, NO_ROWS, NONE, STOP, TARGET


@part
def note_levels(w: Any, s: int, t: int) -> None:
    """The working stop, the nearest, and the target of `s`, where they are not what was last written down."""
    if not at.settings(w).told:
        return
    h, a = at.held(w, s), at.account(w)
    stop = target = 0
    for k in range(h.resting):
        order = at.orders(w, s, k)
        if order.role == TARGET:
            target = order.trigger
        elif order.role == STOP and (stop == 0 or (order.trigger - stop) * h.lots > 0):
            stop = order.trigger
    trade = h.number if h.lots else NONE
    if trade == NONE:
        stop = target = 0
    if (trade, stop, target) == (h.shown_trade, h.shown_stop, h.shown_target):
        return
    h.shown_trade, h.shown_stop, h.shown_target = trade, stop, target
    if a.levels >= at.most_levels(w):
        a.outcome = NO_ROWS
        return
    row = at.levels(w, a.levels)
    row.bar, row.symbol, row.trade_bar, row.trade_number, row.stop, row.target = t, s, h.opened, trade, stop, target
    a.levels += 1


@part
def sheltered(w: Any, s: int, ts: int) -> None:
    """Since when, if at all, the position lacks a stop of its full size."""
    h = at.held(w, s)
    if not h.lots:
        return
    covered = False
    for k in range(h.resting):
        if at.orders(w, s, k).role == STOP and at.orders(w, s, k).lots >= abs(h.lots):
            covered = True
    if covered:
        if h.naked != NONE:
            at.account(w).naked_max = max(at.account(w).naked_max, ts - h.naked)
        h.naked = NONE
    elif h.naked == NONE:
        h.naked = ts


@part
def changed(w: Any, s: int, t: int) -> None:
    """Something became of an order of `s`."""
    at.held(w, s).stale, at.held(w, s).calm, at.held(w, s).steady = True, False, False
    if at.held(w, s).taken:
        at.held(w, s).due = at.closes(w)  # a time stop holds until the target was met
    sheltered(w, s, at.times(w, t))
    note_levels(w, s, t)


@part
def removed(w: Any, s: int, place: int) -> None:
    h, orders = at.held(w, s), at.all_orders(w)
    for k in range(place, h.resting - 1):
        orders[s, k] = orders[s, k + 1]
    h.resting -= 1


@part
def moved(w: Any, t: int, floor_u: int) -> None:
    """The insurance fund makes good what cash lacks to `floor_u`; a liquidation's row ends where its wallet does."""
    a = at.account(w)
    if a.cash_u >= floor_u:
        return
    missing = floor_u - a.cash_u
    a.cash_u = floor_u
    if a.rows and at.rows(w, a.rows - 1).reason == LIQUIDATION:
        at.rows(w, a.rows - 1).gross_u += missing
    elif a.moves >= at.most_moves(w):
        a.outcome = NO_ROWS
    else:
        at.moves(w, a.moves).bar, at.moves(w, a.moves).amount_u = t, missing
        a.moves += 1


@part
def resting_levels(w: Any, s: int) -> Any:
    """The nearest working stop and the target that rest, in ticks; 0: none."""
    stop = target = 0
    for k in range(at.held(w, s).resting):
        order = at.orders(w, s, k)
        if order.role == TARGET:
            target = order.trigger
        elif order.role == STOP and (stop == 0 or (order.trigger - stop) * at.held(w, s).lots > 0):
            stop = order.trigger
    return stop, target
