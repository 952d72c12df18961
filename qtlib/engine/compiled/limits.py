"""The limits in compiled code: how large may a position be?

It stands in for `rules/limits.py`, rule by rule in their order, and on their floats.
"""

from math import inf, isnan, nan
from typing import Any

from qtlib.compiler import part
from qtlib.domain.market import steps_down, steps_up
from qtlib.engine.compiled import at
from qtlib.engine.compiled.numbers import added, ratio
from qtlib.engine.compiled.prices import DAY, price_of, quantity_of, worth
from qtlib.engine.compiled.shapes import (
    AT_FEES,
    AT_LIMIT,
    AT_POSITIONS,
    CLOSE,
    ENTERED,
    FEE_RULE,
    NO_ROWS,
    NONE,
    ORDER_RULE,
    POSITIONS_RULE,
    SCORE,
    TOO_SMALL,
)
from qtlib.engine.compiled.valued import drawdown_frac
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler


@part
def committed_now(w: Any, t: int) -> int:
    """What each symbol has committed, signed, listed in the order in which they were opened: what is held at its entry,
    or, at the close at which it was wished, at the dearest it might have been."""
    for place in range(at.account(w).open):
        s = at.held(w, place).book
        h = at.held(w, s)
        at.held(w, place).listed = s
        at.held(w, s).committed = worth(w, s, h.lots, h.entry)
        if h.standing_bar == t and abs(h.standing) > abs(h.committed):
            h.committed = h.standing
    return at.account(w).open


@part
def forget(w: Any, members: int) -> None:
    """What was committed is reckoned anew next time: until then nobody has committed anything."""
    for place in range(members):
        at.held(w, at.held(w, place).listed).committed = nan


@part
def allowed(w: Any, s: int, t: int, wanted: float, members: int) -> bool:
    """Whether the caps leave anything of a candidate; then `lots` and `limits` have it, signed and in ticks."""
    p, fact = at.settings(w), at.facts(w, s)
    sign = 1 if at.beliefs(w, SCORE, s, t) > 0 else -1
    price, slip = at.bars(w, s, t, CLOSE), p.entry_slippage_frac
    cap, rule = capped(w, s, sign, t, members, 0.0)
    worst = steps_up(price * (1.0 + slip), fact.tick)
    raw = min(wanted / price, cap / price_of(fact, worst))
    granted = min(steps_down(abs(raw), fact.lot), fact.most_lots)
    if quantity_of(fact, granted) * price < fact.min_notional:
        granted = 0
    code = ENTERED
    if not granted:
        code = TOO_SMALL
        if cap <= 0.0:
            code = AT_POSITIONS if rule == POSITIONS_RULE else AT_FEES if rule == FEE_RULE else AT_LIMIT
    if p.told:
        rule = rule if cap < wanted else 0
        if raw > quantity_of(fact, fact.most_lots):
            rule = ORDER_RULE
        told(w, s, t, code, rule, wanted, quantity_of(fact, granted) * price)
    if not granted:
        return False
    at.held(w, s).wished = sign * granted
    raw = price * (1.0 + sign * slip)
    at.held(w, s).limit = steps_down(raw, fact.tick) if sign > 0 else steps_up(raw, fact.tick)
    return True


@part
def told(w: Any, s: int, t: int, code: int, rule: int, wanted: float, allowed: float) -> None:
    a = at.account(w)
    if a.verdicts >= at.most_verdicts(w):
        a.outcome = NO_ROWS
        return
    row = at.verdicts(w, a.verdicts)
    row.bar, row.symbol, row.code, row.rule, row.wanted, row.allowed = t, s, code, rule, wanted, allowed
    a.verdicts += 1


@part
def summed(w: Any, s: int, members: int, signed: bool, cluster: int) -> float:
    """What the others have committed, as Python sums it up; of one cluster alone, unless that is -1."""
    total = lost = 0.0
    for place in range(members):
        other = at.held(w, place).listed
        if other == s or (cluster != NONE and at.facts(w, other).cluster != cluster):
            continue
        number = at.held(w, other).committed if signed else abs(at.held(w, other).committed)
        if at.settings(w).compensated:
            total, lost = added(total, lost, number)
        else:
            total += number
    return total + lost


@part
def capped(w: Any, s: int, sign: int, t: int, members: int, held: float) -> Any:  # noqa: PLR0912  as the rules come
    """The tightest cap on a position in `s`, and the rule that set it. `held`: what is held of it, at its entry."""
    p, a, ts = at.settings(w), at.account(w), at.times(w, t)
    others = summed(w, s, members, False, NONE)
    tightest, rule = inf, 0
    if p.per_trade < tightest:
        tightest, rule = p.per_trade, 1
    if p.per_symbol < tightest:
        tightest, rule = p.per_symbol, 2
    cap = max(p.gross - others, 0.0)
    if cap < tightest:
        tightest, rule = cap, 3
    cap = max(p.net - sign * summed(w, s, members, True, NONE), 0.0)
    if cap < tightest:
        tightest, rule = cap, 4
    if at.facts(w, s).cluster != NONE:
        cap = max(p.cluster - summed(w, s, members, False, at.facts(w, s).cluster), 0.0)
        if cap < tightest:
            tightest, rule = cap, 5
    cap = max(p.max_leverage * ratio(a.equity_u, p.one) - others, 0.0)
    if cap < tightest:
        tightest, rule = cap, 6
    if members - (0 if isnan(at.held(w, s).committed) else 1) >= p.max_positions and held < tightest:
        tightest, rule = held, 7
    if a.day_equity_u - a.equity_u >= a.loss_at_u and held < tightest:
        tightest, rule = held, 8
    if a.losses >= p.losses_in_row and a.lost_day == ts // DAY and held < tightest:
        tightest, rule = held, 9
    if a.day_fees_u >= a.fees_at_u and held < tightest:
        tightest, rule = held, 10
    down, share = drawdown_frac(w), inf
    for k in range(at.rungs(w)):
        if down >= at.ladder(w, k, 0):
            share = min(share, at.ladder(w, k, 1))
    if share < inf:
        cap = max(share * p.per_trade, held)
        if cap < tightest:
            tightest, rule = cap, 11
    return tightest, rule
