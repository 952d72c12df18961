"""Fills in compiled code: what an entry opens, what an exit closes, and all that follows for account and trade.

It stands in for what the venue makes of a fill, and the trader's state of the event.
"""

from math import nan
from typing import Any

from qtlib.compiler import part
from qtlib.engine.compiled import at
from qtlib.engine.compiled.noted import changed, moved, removed, resting_levels
from qtlib.engine.compiled.numbers import ratio, scaled
from qtlib.engine.compiled.prices import DAY, against, at_hand, due_bar, price_of, quantity_of, slippage
from qtlib.engine.compiled.shapes import EXIT, LARGEST, NO_ROWS, NONE, PARTIAL, STOP, TAKE_PROFIT, TARGET, TOO_LARGE
from qtlib.rules.formulas import taker_price
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler


@part
def opened(w: Any, s: int, side: int, lots: int, ticks: int, number: int, t: int, expected_units: int) -> None:
    """An entry filled: `held[s]` has the plan and the belief that it was wished with already."""
    p, a, fact, h = at.settings(w), at.account(w), at.facts(w, s), at.held(w, s)
    h.taken_volume += quantity_of(fact, lots)
    paid = paid_u(w, s, lots, ticks, fact.taker_num, fact.taker_den)
    a.fills += 1
    a.asked = True
    a.slippage_u += side * (ticks * fact.tick_units - expected_units) * lots * fact.value_u
    a.cash_u -= paid
    a.day_fees_u += paid
    a.errors = 0
    h.lots, h.entry, h.entry_f = side * lots, ticks, price_of(fact, ticks)
    h.opened, h.number = t, number
    h.best = h.worst = h.entry_f
    h.taken, h.refused, h.leaving, h.first_stop = False, 0, False, 0
    h.funding_f, h.funding_u, h.whole = 0.0, 0, True
    h.net_u = -paid
    h.fees_f, h.paid_f = ratio(paid, p.one), 0.0
    h.room, h.hopeful, h.steady = nan, False, False
    h.due = due_bar(w, t, h.time_stop_s)
    h.naked = at.times(w, t)
    h.wallet_u = lots * ticks * fact.step_u // p.cent // p.backing * p.cent
    a.backed_u += h.wallet_u
    at.held(w, a.open).book = s
    place = a.open
    while place > 0 and at.held(w, place - 1).among > s:
        at.held(w, place).among = at.held(w, place - 1).among
        place -= 1
    at.held(w, place).among = s
    a.open += 1
    a.gross_u += lots * ticks * fact.step_u
    a.max_open, a.max_gross_u = max(a.max_open, a.open), max(a.max_gross_u, a.gross_u)
    a.naked_max = max(a.naked_max, 0)
    changed(w, s, t)


@part
def paid_u(w: Any, s: int, lots: int, ticks: int, numerator: int, denominator: int) -> int:
    """The fee of a fill."""
    cent = at.settings(w).cent
    notional = lots * ticks * at.facts(w, s).step_u
    if notional > LARGEST:
        at.account(w).outcome = TOO_LARGE
    return scaled(notional // cent, numerator, denominator) * cent


@part
def closed(  # noqa: PLR0912, PLR0915  one fact, in all that it changes
    w: Any,
    s: int,
    lots: int,
    ticks: int,
    paid: int,
    order: int,
    reason: int,
    stop: int,
    target: int,
    done: bool,
    role: int,
    t: int,
) -> None:
    """`lots` of the position are closed at `ticks` by an order: the account, the trade and the row of it.

    `done`: that was all the order asked for.
    """
    p, a, fact, h = at.settings(w), at.account(w), at.facts(w, s), at.held(w, s)
    before, sign = h.lots, 1 if h.lots > 0 else -1
    gross = sign * lots * (ticks - h.entry) * fact.step_u
    a.fills += 1
    a.cash_u += gross - paid
    a.day_fees_u += paid
    h.net_u += gross - paid
    if role == EXIT:
        a.errors = 0

    row = h.row
    if row == NONE or at.rows(w, row).order != order or at.rows(w, row).trade_number != h.number:
        row = a.rows
        if row >= at.most_rows(w):
            a.outcome = NO_ROWS
            return
        a.rows += 1
        h.row = row
        r = at.rows(w, row)
        r.symbol, r.trade_bar, r.trade_number, r.order = s, h.opened, h.number, order
        r.long, r.stop, r.target = sign > 0, stop, target
        r.lots = r.entry_value = r.exit_value = r.gross_u = r.exit_fees_u = 0
        r.fees_f = r.funding_f = 0.0
        r.stop_frac, r.source, r.confidence = h.stop_frac, h.source, h.confidence
    r = at.rows(w, row)
    fees, funding = h.fees_f, h.paid_f
    if lots != abs(before):
        fees, funding = fees * lots / abs(before), funding * lots / abs(before)
    h.fees_f, h.paid_f = h.fees_f - fees, h.paid_f - funding
    r.bar, r.best, r.worst = t, h.best, h.worst
    r.fees_f, r.funding_f = r.fees_f + fees, r.funding_f + funding
    r.lots, r.entry_value = r.lots + lots, r.entry_value + h.entry * lots
    r.exit_value, r.gross_u, r.exit_fees_u = r.exit_value + ticks * lots, r.gross_u + gross, r.exit_fees_u + paid
    if role == TARGET:
        reason = PARTIAL if lots < abs(before) else TAKE_PROFIT
    r.reason = reason

    wallet = h.wallet_u
    if lots != abs(before):
        wallet = scaled(h.wallet_u // p.cent, lots, abs(before)) * p.cent
    h.wallet_u -= wallet
    a.backed_u -= wallet
    a.gross_u -= lots * h.entry * fact.step_u
    h.lots -= sign * lots
    h.leaving, h.standing_bar, h.room = False, NONE, nan
    if h.lots:
        kept = h.funding_f if not h.whole else ratio(h.funding_u, p.one)
        h.funding_f, h.whole = kept * abs(h.lots) / abs(before), False
        h.taken = h.taken or (role == TARGET and done)
        return
    if h.net_u < 0:
        a.losses, a.lost_day = a.losses + 1, at.times(w, t) // DAY
    else:
        a.losses = 0
    if h.naked != NONE:
        a.naked_max, h.naked = max(a.naked_max, at.times(w, t) - h.naked), NONE
    h.left = at.times(w, t)
    h.resting = 0
    at.coming(w)[s] = NONE  # what was said in its direction counts again
    for place in range(a.open):
        if at.held(w, place).book == s:
            for later in range(place, a.open - 1):
                at.held(w, later).book = at.held(w, later + 1).book
            break
    for place in range(a.open):
        if at.held(w, place).among == s:
            for later in range(place, a.open - 1):
                at.held(w, later).among = at.held(w, later + 1).among
            break
    a.open -= 1


@part
def taken(
    w: Any,
    s: int,
    role: int,
    lots: int,
    number: int,
    reason: int,
    expected_units: int,
    trigger: int,
    reference: float,
    volume: float,
    bar: int,
    t: int,
) -> int:
    """An order that only reduces takes what is at hand at `reference`; how many lots of it that was.

    `lots` is 0 where it closes whatever is held. What is left of it ends; so does all that has nothing to reduce.
    """
    fact, h, a = at.facts(w, s), at.held(w, s), at.account(w)
    side = -1 if h.lots > 0 else 1
    ticks = against(fact, side, taker_price(reference, side, slippage(w)))
    asked = abs(h.lots) if lots == 0 else min(lots, abs(h.lots))
    got = min(asked, at_hand(w, s, volume, bar))
    stop, target = resting_levels(w, s)
    if role == STOP:
        stop = trigger
    if got:
        h.taken_volume += quantity_of(fact, got)
        a.asked = True
        a.slippage_u += side * (ticks * fact.tick_units - expected_units) * got * fact.value_u
        paid = paid_u(w, s, got, ticks, fact.taker_num, fact.taker_den)
        closed(w, s, got, ticks, paid, number, reason, stop, target, got == lots, role, t)
    for place in range(h.resting):
        if at.orders(w, s, place).number == number:
            removed(w, s, place)
            break
    if h.lots and role == TARGET and got:
        h.taken = True  # as much of it as there was to have
    if got:
        moved(w, t, a.backed_u)
    changed(w, s, t)
    return got
