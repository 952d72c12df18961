"""The way through a bar in compiled code: what it does to what rests and is held, and what is settled at its close.

The way is `exchanges/simulated/matching.py`'s own text. Where a decision that is exact there hangs on less than floats
can tell, it gives up (`CLOSE_CALL`), and the event loop runs instead.
"""

from math import inf, isnan, nan
from typing import Any

from qtlib.compiler import known, part
from qtlib.engine.compiled import at
from qtlib.engine.compiled.fills import closed, paid_u, taken
from qtlib.engine.compiled.noted import changed, moved, removed
from qtlib.engine.compiled.numbers import ratio, scaled
from qtlib.engine.compiled.prices import against, quantity_of, quoted, slippage, too_far, units_of
from qtlib.engine.compiled.shapes import (
    CLOSE,
    CLOSE_CALL,
    DONE,
    HIGH,
    LARGEST,
    LIQUIDATION,
    LOW,
    NONE,
    OPEN,
    TARGET,
    TOO_LARGE,
    VOLUME,
)
from qtlib.exchanges.simulated import matching
from qtlib.rules.formulas import bankruptcy_price, liquidation_price, maintenance_margin, taker_price
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler

for function in (matching.price_at, matching.reaches, matching._is_past):
    known(function)


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
