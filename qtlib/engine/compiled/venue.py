"""The simulated venue in compiled code: what a bar does to what rests and is held, and what an order meets at a close.

It stands in for `exchanges/simulated/venue.py`, isolated margin, and for what the trader's state makes of each event,
in the same order; the way through a bar is that module's own text. Where a decision that is exact there hangs on less
than floats can tell, it gives up (`CLOSE_CALL`), and the event loop runs instead.
"""

from math import inf, isnan, nan
from typing import Any

from qtlib.compiler import known, part
from qtlib.domain.market import steps_down, steps_up
from qtlib.engine.compiled import at
from qtlib.engine.compiled.numbers import near, ratio, scaled
from qtlib.engine.compiled.shapes import (
    CLOSE,
    CLOSE_CALL,
    CROWDED,
    DONE,
    EXIT,
    HIGH,
    LARGEST,
    LIQUIDATION,
    LOW,
    NO_ROWS,
    NO_SLIPS,
    NONE,
    OPEN,
    ORDERS,
    PARTIAL,
    STOP,
    TAKE_PROFIT,
    TARGET,
    TOO_LARGE,
    VOLUME,
)
from qtlib.exchanges.simulated import matching
from qtlib.rules.formulas import (
    bankruptcy_price,
    liquidation_price,
    maintenance_margin,
    taker_price,
)

for function in (matching.price_at, matching.reaches, matching._is_past):
    known(function)


# --- prices -----------------------------------------------------------------------------------------------


@part
def price_of(fact: Any, ticks: int) -> float:
    return (ticks * fact.tick_num) / fact.tick_den


@part
def quantity_of(fact: Any, lots: int) -> float:
    return (lots * fact.lot_num) / fact.lot_den


@part
def worth(w: Any, s: int, lots: int, ticks: int) -> float:
    """The float nearest to a notional."""
    return ratio(lots * ticks * at.facts(w, s).step_u, at.settings(w).one)


@part
def last_bar(w: Any, s: int, t: int) -> int:
    while isnan(at.bars(w, s, t, OPEN)):
        t -= 1
    return t


@part
def quoted(w: Any, s: int, t: int) -> Any:
    """What a taker meets after bar `t`, and the mark price there."""
    bar = last_bar(w, s, t)
    price, coming = at.bars(w, s, bar, CLOSE), bar + 1
    while coming < at.closes(w):
        if not isnan(at.bars(w, s, coming, OPEN)):
            price = at.bars(w, s, coming, OPEN)
            break
        coming += 1
    mark = price
    if at.settings(w).marked and not isnan(at.marks(w, s, bar, CLOSE)):
        mark = at.marks(w, s, bar, CLOSE)
    return price, mark


@part
def units_of(w: Any, s: int, price: float) -> int:
    return round(price * at.facts(w, s).scale)


@part
def at_hand(w: Any, s: int, volume: float, bar: int) -> int:
    """The lots that our orders may still take; `bar` is the last that was over when the taking began."""
    h = at.held(w, s)
    if h.taken_bar != bar:
        h.taken_bar, h.taken_volume = bar, 0.0
    return max(0, steps_down(volume * at.settings(w).share_frac - h.taken_volume, at.facts(w, s).lot))


@part
def slippage(w: Any) -> float:
    p, a = at.settings(w), at.account(w)
    if not p.noisy:
        return p.slippage_frac
    if a.fills >= at.most_slips(w):
        a.outcome = NO_SLIPS
        return p.slippage_frac
    return at.slips(w, a.fills)


@part
def against(fact: Any, side: int, raw: float) -> int:
    """`raw` in whole ticks, to the side that costs more; never below one."""
    return max(1, steps_up(raw, fact.tick) if side > 0 else steps_down(raw, fact.tick))


@part
def too_far(w: Any, s: int, side: int, price: float, mark: float) -> bool:
    """Whether a market order would sweep beyond what the venue allows."""
    met = taker_price(price, side, at.settings(w).slippage_frac)
    return side * (met - taker_price(mark, side, at.facts(w, s).band_frac)) > 0


# --- what is written down ---------------------------------------------------------------------------------


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


# --- fills ------------------------------------------------------------------------------------------------


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


DAY = 86_400_000_000


@part
def first_at(w: Any, t: int, ts: int) -> int:
    """The first bar after `t` that closes at `ts` or later; past the last, if none does."""
    low, step = t, 1
    while low + step < at.closes(w) and at.times(w, low + step) < ts:
        low += step
        step *= 2
    high = min(low + step, at.closes(w))
    while high - low > 1:
        middle = (low + high) // 2
        if at.times(w, middle) < ts:
            low = middle
        else:
            high = middle
    return high


@part
def due_bar(w: Any, t: int, time_stop_s: float) -> int:
    """The first bar after `t` that is `time_stop_s` later, or more."""
    if not time_stop_s < 1e12:
        return at.closes(w)
    wait = int(time_stop_s * 1e6) - 1
    while wait / 1e6 < time_stop_s:
        wait += 1
    return first_at(w, t, at.times(w, t) + wait)


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


# --- the way through a bar --------------------------------------------------------------------------------


@part
def reckon_alarms(w: Any, s: int) -> None:
    """The prices between which a bar is quiet for `s`."""
    h = at.held(w, s)
    low, high, sign = -inf, inf, 1 if h.lots > 0 else -1
    for k in range(h.resting):
        order = at.orders(w, s, k)
        if (order.role == TARGET) == (sign > 0):
            high = min(high, order.level)
        else:
            low = max(low, order.level)
    h.low, h.high = low, high
    price = isolated_liquidation_price(w, s)
    h.mark_low, h.mark_high = (price, inf) if sign > 0 else (-inf, price)
    h.stale = False


@part
def isolated_liquidation_price(w: Any, s: int) -> float:
    fact, h, bracket = at.facts(w, s), at.held(w, s), at.brackets(w, s, 0)
    wallet, quantity, entry = ratio(h.wallet_u, at.settings(w).one), quantity_of(fact, h.lots), h.entry_f
    first = liquidation_price(wallet, quantity, entry, bracket.maintenance_frac, bracket.cum)
    if abs(quantity) * max(entry, first) <= bracket.cap:
        return first
    for k in range(1, fact.brackets):
        bracket = at.brackets(w, s, k)
        price = liquidation_price(wallet, quantity, entry, bracket.maintenance_frac, bracket.cum)
        first = max(first, price) if quantity > 0 else min(first, price)
    return first


@part
def left_over(w: Any, s: int, wallet: float, quantity: float, mark: float) -> float:
    """What backs the position at `mark`, beyond its maintenance margin."""
    count = at.facts(w, s).brackets
    bracket = at.brackets(w, s, count - 1)
    left = wallet
    left += quantity * (mark - at.held(w, s).entry_f)
    notional = abs(quantity) * mark
    for k in range(count):
        if notional <= at.brackets(w, s, k).cap:
            bracket = at.brackets(w, s, k)
            break
    return left - maintenance_margin(quantity, mark, bracket.maintenance_frac, bracket.cum)


@part
def runs_out(w: Any, s: int, way: Any, since: float) -> float:
    """The first instant from `since` on at which nothing is left; `nan`: none. As `matching.runs_out`."""
    h = at.held(w, s)
    wallet, quantity = ratio(h.wallet_u, at.settings(w).one), quantity_of(at.facts(w, s), h.lots)
    if left_over(w, s, wallet, quantity, matching.price_at(way, since)) <= 0:
        return since
    safe = since
    for corner in range(int(since) + 1, 4):
        if left_over(w, s, wallet, quantity, matching.price_at(way, float(corner))) <= 0:
            low, high = safe, float(corner)
            middle = (low + high) / 2
            while low < middle < high:
                if left_over(w, s, wallet, quantity, matching.price_at(way, middle)) > 0:
                    low = middle
                else:
                    high = middle
                middle = (low + high) / 2
            return high
        safe = float(corner)
    return nan


@part
def way_of(w: Any, s: int, t: int, short: bool, marks: bool) -> Any:
    if marks and at.settings(w).marked and not isnan(at.marks(w, s, t, CLOSE)):
        open_, high, low, close = (
            at.marks(w, s, t, OPEN),
            at.marks(w, s, t, HIGH),
            at.marks(w, s, t, LOW),
            at.marks(w, s, t, CLOSE),
        )
    else:
        open_, high, low, close = (
            at.bars(w, s, t, OPEN),
            at.bars(w, s, t, HIGH),
            at.bars(w, s, t, LOW),
            at.bars(w, s, t, CLOSE),
        )
    if short:
        return (open_, high, low, close)
    return (open_, low, high, close)


@part
def is_touched(w: Any, t: int) -> bool:
    """Whether anything could happen on the way through bar `t`."""
    for place in range(at.account(w).open):
        s = at.held(w, place).book
        h = at.held(w, s)
        if isnan(at.bars(w, s, t, OPEN)):
            continue
        if h.stale:
            reckon_alarms(w, s)
        low, high = at.bars(w, s, t, LOW), at.bars(w, s, t, HIGH)
        if low <= h.low or high >= h.high:
            return True
        if at.settings(w).marked and not isnan(at.marks(w, s, t, CLOSE)):
            low, high = at.marks(w, s, t, LOW), at.marks(w, s, t, HIGH)
        if low <= h.mark_low or high >= h.mark_high:
            return True
    return False


@part
def walk(w: Any, t: int) -> None:  # noqa: PLR0912  what comes first of all that could
    """Everything that happens on the way through bar `t`, in the order in which it lies there."""
    a = at.account(w)
    count = a.open
    for place in range(count):
        s = at.held(w, place).book
        at.held(w, place).there, at.held(w, s).short = (
            s,
            at.held(w, s).lots < 0,
        )  # the way hurts what was held when the bar began
    instant = 0.0
    while a.outcome == DONE:
        first, rank, first_number, first_s, first_k, first_price = inf, 9, 0, NONE, NONE, 0.0
        for place in range(count):
            s = at.held(w, place).there
            h = at.held(w, s)
            if not h.lots or isnan(at.bars(w, s, t, OPEN)):
                continue
            last, mark = way_of(w, s, t, h.short, False), way_of(w, s, t, h.short, True)
            if h.stale:
                reckon_alarms(w, s)
            lowest, highest = min(mark[1], mark[2]), max(mark[1], mark[2])
            if lowest <= h.mark_low * (1.0 + 1e-6) or highest >= h.mark_high * (1.0 - 1e-6):
                when = runs_out(w, s, mark, instant)
                if not isnan(when) and (when, 0, s) < (first, rank, first_number):
                    first, rank, first_number, first_s, first_k = when, 0, s, s, NONE
            for k in range(h.resting):
                order = at.orders(w, s, k)
                up = (order.role == TARGET) == (h.lots > 0)
                found = matching.reaches(last, order.level, instant, 1 if up else -1)
                if found is None:
                    continue
                when = found * 1.0  # a float for certain
                if (when, 1, order.number) < (first, rank, first_number):
                    first, rank, first_number, first_s, first_k = when, 1, order.number, s, k
                    first_price = last[0] if when == 0.0 else order.level
        if first_s == NONE:
            return
        instant = first
        last = way_of(w, first_s, t, at.held(w, first_s).short, False)
        mark = way_of(w, first_s, t, at.held(w, first_s).short, True)
        price, marked = matching.price_at(last, instant), matching.price_at(mark, instant)
        if rank == 0:
            liquidated(w, first_s, t, price, marked)
        else:
            fired(w, first_s, first_k, t, first_price, price, marked)


@part
def fired(w: Any, s: int, k: int, t: int, reference: float, price: float, mark: float) -> None:
    """The trigger of an order is met: it takes, unless the venue objects now."""
    h, order = at.held(w, s), at.orders(w, s, k)
    role, number, trigger = order.role, order.number, order.trigger
    if too_far(w, s, -1 if h.lots > 0 else 1, price, mark):
        removed(w, s, k)
        h.refused |= 1 << role
        changed(w, s, t)
        return
    expected = trigger * at.facts(w, s).tick_units
    lots, reason = order.lots, order.reason
    taken(w, s, role, lots, number, reason, expected, trigger, reference, at.bars(w, s, t, VOLUME), t - 1, t)


@part
def liquidated(w: Any, s: int, t: int, price: float, mark: float) -> None:
    """Orders go, then the position, at the worse of bankruptcy price and market; the wallet bears what it can."""
    p, a, fact, h = at.settings(w), at.account(w), at.facts(w, s), at.held(w, s)
    floor = a.cash_u - h.wallet_u
    side, lots = (-1 if h.lots > 0 else 1), abs(h.lots)
    quantity = quantity_of(fact, h.lots)
    balance = ratio(h.wallet_u, p.one) + quantity * (mark - h.entry_f)
    gross = abs(quantity) * mark
    bankrupt = bankruptcy_price(mark, -side, balance / gross)
    market = taker_price(price, side, slippage(w))
    worse = max(bankrupt, market) if side > 0 else min(bankrupt, market)
    steps = worse / fact.tick + (-1e-9 if side > 0 else 1e-9)
    if abs(steps - round(steps)) <= 4e-15 * abs(steps) and worse != market:
        a.outcome = CLOSE_CALL  # the balance is exact there
    while h.resting:
        removed(w, s, 0)
        changed(w, s, t)
    ticks = against(fact, side, worse)
    paid = paid_u(w, s, lots, ticks, fact.liq_num, fact.liq_den)
    closed(w, s, lots, ticks, paid, -2 - a.fills, LIQUIDATION, 0, 0, True, NONE, t)
    moved(w, t, floor)
    changed(w, s, t)


# --- funding ----------------------------------------------------------------------------------------------


@part
def funded(w: Any, t: int) -> None:  # noqa: PLR0912  as the venue has it
    """What is settled at the close of bar `t`, if anything is."""
    a, p = at.account(w), at.settings(w)
    while a.funded < at.settlements(w) and at.funding(w, a.funded, 0) < t:
        a.funded += 1
    since = end = a.funded
    while end < at.settlements(w) and at.funding(w, end, 0) == t:
        end += 1
    if since == end:
        return
    a.funded = end
    for place in range(a.open):
        s = at.held(w, place).book
        h = at.held(w, s)
        for k in range(since, end):
            if at.funding(w, k, 1) != s or at.funding(w, k, 2) == 0:
                continue
            if isnan(at.bars(w, s, t, OPEN)):
                mark = quoted(w, s, t)[1]
            elif p.marked and not isnan(at.marks(w, s, t, CLOSE)):
                mark = at.marks(w, s, t, CLOSE)
            else:
                mark = at.bars(w, s, t, CLOSE)
            worth_u = -h.lots * units_of(w, s, mark) * at.facts(w, s).value_u  # in 10^-digits; the rate has digits too
            places = p.digits + at.funding(w, k, 3) - 8
            if places > 18 or abs(float(h.lots) * units_of(w, s, mark) * at.facts(w, s).value_u) > LARGEST:
                a.outcome = TOO_LARGE
                return
            rate, whole = at.funding(w, k, 2), 1
            if places < 0:
                rate *= 10 ** (-places)
            else:
                for _ in range(places):
                    whole *= 10
            amount = scaled(worth_u, rate, whole) * p.cent
            a.cash_u += amount
            h.net_u += amount
            h.funding_u += amount
            h.funding_f = ratio(h.funding_u, p.one) if h.whole else h.funding_f + ratio(amount, p.one)
            h.paid_f += ratio(amount, p.one)
            wallet = max(0, h.wallet_u + amount)
            a.backed_u += wallet - h.wallet_u
            h.wallet_u = wallet
            h.stale, h.calm, h.room = True, False, nan
    moved(w, t, a.backed_u)


# --- orders at a close ------------------------------------------------------------------------------------


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
