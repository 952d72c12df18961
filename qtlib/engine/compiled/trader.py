"""The trader in compiled code: what is decided at a close, and what is asked of the venue until nothing is missing.

It stands in for `rules/decide.py`, `limits.py`, `sizing.py`, `tpsl.py` and `plan.py`, in their order and on their
floats; each formula is theirs, by name.
"""

from math import floor, inf, isnan, nan
from typing import Any

from qtlib.compiler import part
from qtlib.domain.market import steps_down, steps_near, steps_up
from qtlib.engine.compiled import at
from qtlib.engine.compiled.numbers import added, at_least, ratio
from qtlib.engine.compiled.shapes import (
    ACTIVE,
    AI,
    AT_FEES,
    AT_LIMIT,
    AT_POSITIONS,
    CLAMPED,
    CLOSE,
    CONFIDENCE,
    COOLING,
    DONE,
    END,
    ENTERED,
    EXIT,
    FEE_RULE,
    FLATTEN,
    HALTED,
    HELD_UNUSABLE,
    HELD_WARMING,
    HIGH,
    HOLD,
    LEARNED,
    LEAVE,
    LOW,
    NET,
    NO_ROOM,
    NO_ROWS,
    NONE,
    ONE_R,
    OPEN,
    PARTIAL,
    POSITIONS_RULE,
    REDUCED,
    REDUCING,
    RISK_SIZE,
    SCORE,
    SEED_EXITS,
    SIGNAL,
    STATIC,
    STOP,
    STOP_LOSS,
    STOP_TOO_CLOSE,
    STOPPED,
    TARGET,
    TARGET_TOO_CLOSE,
    TIME_STOP,
    TOO_SMALL,
    TRAILING,
    UNSURE,
    UNUSABLE,
    VOLATILITY,
    WARMING,
    WEAK,
)
from qtlib.engine.compiled.venue import (
    DAY,
    changed,
    enters,
    first_at,
    leaves,
    note_levels,
    price_of,
    quantity_of,
    quoted,
    removed,
    rests,
    worth,
)
from qtlib.rules.formulas import (
    learned_levels,
    level,
    liquidation_room_frac,
    ratchet,
    risk_notional,
    seed_levels,
    seed_notional,
    stepped,
)
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler

ROUNDS = 12  # as the loop's
LINE = 32  # bars
HEADROOM = 1.0 + 1e-9  # as `plan`'s
BRAKED_BY_ERRORS, BRAKED_BY_DRAWDOWN = 2, 4  # which is the stricter


# --- a bar has closed -------------------------------------------------------------------------------------


@part
def valued(w: Any, t: int) -> None:
    """Positions at the prices of bar `t`, their extremes widened by it, and what follows for peak, day and guard."""
    p, a = at.settings(w), at.account(w)
    equity = a.cash_u
    for place in range(a.open):
        s = at.held(w, place).book
        h = at.held(w, s)
        if not isnan(at.bars(w, s, t, OPEN)):
            h.price = at.bars(w, s, t, CLOSE)
            if p.marked and not isnan(at.marks(w, s, t, CLOSE)):
                h.price = at.marks(w, s, t, CLOSE)
            h.price_units = round(h.price * at.facts(w, s).scale)
            seen(w, s, t)
        equity += h.lots * (h.price_units - h.entry * at.facts(w, s).tick_units) * at.facts(w, s).value_u
    a.equity_u = equity
    if equity > a.peak_u:
        marked_up(w, equity)
    if t >= a.day_ends:
        a.day_equity_u, a.day_fees_u = equity, 0
        a.day_ends = first_at(w, t, (at.times(w, t) // DAY + 1) * DAY)
        a.loss_at_u = at_least(equity, p.loss_num, p.loss_den)
        a.fees_at_u = at_least(equity, p.fees_num, p.fees_den)
    guarded(w)


@part
def kept_frac(max_drawdown_frac: float) -> float:
    """The share of a peak above which no drawdown rule can speak."""
    return 1.0 - max_drawdown_frac * (1.0 - 1e-9)


@part
def marked_up(w: Any, equity: int) -> None:
    a = at.account(w)
    a.peak_u = equity
    a.safe_u = int(equity * kept_frac(at.settings(w).max_drawdown_frac)) + 1


@part
def unsettled(w: Any) -> None:
    for s in range(at.symbols(w)):
        at.held(w, s).calm = at.held(w, s).steady = False


@part
def seen(w: Any, s: int, t: int) -> None:
    h = at.held(w, s)
    low, high = at.bars(w, s, t, LOW), at.bars(w, s, t, HIGH)
    if t <= h.opened or (min(h.best, h.worst) <= low and high <= max(h.best, h.worst)):
        return
    if h.lots > 0:
        best, h.worst = max(h.best, high), min(h.worst, low)
    else:
        best, h.worst = min(h.best, low), max(h.worst, high)
    if best != h.best:
        h.best = best
        if best >= h.calm_best if h.lots > 0 else best <= h.calm_best:
            h.calm = False


@part
def drawdown_frac(w: Any) -> float:
    a, one = at.account(w), at.settings(w).one
    return 1.0 - ratio(a.equity_u, one) / ratio(a.peak_u, one) if a.peak_u > 0 else 0.0


@part
def guarded(w: Any) -> None:
    """What too deep a drawdown, or one refused order after the other, demands."""
    p, a = at.settings(w), at.account(w)
    if a.status != HALTED and a.equity_u < a.safe_u and drawdown_frac(w) >= p.max_drawdown_frac:
        a.status, a.braked, a.braked_down, a.braked_peak_u = HALTED, BRAKED_BY_DRAWDOWN, drawdown_frac(w), a.peak_u
        unsettled(w)
    elif a.errors >= p.order_errors and a.braked < BRAKED_BY_ERRORS:
        a.status, a.braked, a.braked_errors = REDUCING, BRAKED_BY_ERRORS, a.errors


# --- deciding ---------------------------------------------------------------------------------------------


@part
def decided(w: Any, t: int) -> int:
    """What becomes of every signal of bar `t`; how many entries are wished, `lots` of each symbol, at `limits`."""
    p, count = at.settings(w), candidates(w, t)
    if not count:
        return 0
    entries, members = 0, committed_now(w, t)
    for place in range(count):
        s = at.held(w, place).ranked
        if allowed(w, s, t, at.held(w, s).wanted, members):
            entries += 1
            if isnan(at.held(w, s).committed):
                at.held(w, members).listed = s
                members += 1
                at.held(w, s).committed = 0.0
            worst = steps_up(at.bars(w, s, t, CLOSE) * (1.0 + p.entry_slippage_frac), at.facts(w, s).tick)
            at.held(w, s).standing = worth(w, s, at.held(w, s).wished, worst)
            if abs(at.held(w, s).standing) > abs(at.held(w, s).committed):
                at.held(w, s).committed = at.held(w, s).standing
    forget(w, members)
    return entries


@part
def candidates(w: Any, t: int) -> int:
    """Judge every signal of bar `t` that might matter; how many deserve to be acted on by opening, `ranked`."""
    told, count = at.settings(w).told, 0
    if may_open(w):
        for s in range(at.symbols(w)):
            if told or (at.coming(w)[s] <= t and is_said(w, s, t)):
                count = weighed(w, s, t, count)
    else:
        for place in range(at.account(w).open):
            if at.coming(w)[at.held(w, place).book] <= t:
                count = weighed(w, at.held(w, place).book, t, count)
    return count


@part
def may_open(w: Any) -> bool:
    """Whether it matters what is said of a symbol that is not held: a refusal that is certain may have to be told."""
    p, a = at.settings(w), at.account(w)
    return p.told or (a.status == ACTIVE and a.open < p.max_positions)


@part
def said(w: Any, s: int, t: int, until: int) -> int:
    """The first bar from `t` on at which something is said of `s`, and surely enough; at most `until`."""
    threshold, confidence = at.settings(w).threshold, at.all_beliefs(w)[CONFIDENCE, s]
    while t < until:
        line, sure = confidence[t : min(t + LINE, until)], 0
        for k in range(len(line)):  # to its end: so several are looked at in one go
            sure += line[k] >= threshold
        if sure:
            for k in range(len(line)):
                if is_said(w, s, t + k):
                    return t + k
        t += LINE
    return until


@part
def is_said(w: Any, s: int, t: int) -> bool:
    return at.beliefs(w, CONFIDENCE, s, t) >= at.settings(w).threshold and at.beliefs(w, SCORE, s, t) != 0.0


@part
def weighed(w: Any, s: int, t: int, count: int) -> int:
    """Rank the signal of `s` among the first `count` candidates, if it is one; how many there are then."""
    if isnan(at.bars(w, s, t, OPEN)):
        return count
    code = judged(w, s, t)
    if code:
        if at.settings(w).told:
            at.codes(w)[s, t] = code
        return count
    place = count
    while place > 0 and before(w, s, at.held(w, place - 1).ranked, t):
        at.held(w, place).ranked = at.held(w, place - 1).ranked
        place -= 1
    at.held(w, place).ranked = s
    return count + 1


@part
def before(w: Any, one: int, other: int, t: int) -> bool:
    if at.held(w, one).wanted != at.held(w, other).wanted:
        return at.held(w, one).wanted > at.held(w, other).wanted
    return abs(at.beliefs(w, SCORE, one, t)) > abs(at.beliefs(w, SCORE, other, t))


@part
def judged(w: Any, s: int, t: int) -> int:
    """What a signal deserves before any limit is asked; 0: it is a candidate, and `held[s]` has its plan."""
    p, a, h = at.settings(w), at.account(w), at.held(w, s)
    score, confidence, noise = (
        at.beliefs(w, SCORE, s, t),
        at.beliefs(w, CONFIDENCE, s, t),
        at.beliefs(w, VOLATILITY, s, t),
    )
    if isnan(score + confidence + noise):
        return HELD_WARMING if h.lots else WARMING
    if at.doubts(w) and not at.usable(w, s, t):
        return HELD_UNUSABLE if h.lots else UNUSABLE
    sure = confidence >= p.threshold
    if h.lots:
        if sure and quantity_of(at.facts(w, s), h.lots) * score < 0:
            h.leaving, h.calm = True, False
            return LEAVE
        return HOLD
    if a.status != ACTIVE:
        return REDUCED if a.status == REDUCING else STOPPED
    if not sure:
        return UNSURE
    if score == 0.0:
        return WEAK
    if h.left != NONE and (at.times(w, t) - h.left) / 1e6 < p.cooldown_s:
        return COOLING
    return vetted(w, s, t, score, confidence, noise)


@part
def vetted(w: Any, s: int, t: int, score: float, confidence: float, noise: float) -> int:
    """How a position opened on the signal would be left, and how large it should be; or why it can't be."""
    p, fact, h = at.settings(w), at.facts(w, s), at.held(w, s)
    time_stop = breakeven = nan
    partial, from_start, source, by_r = 1.0, True, p.source, p.exits == ONE_R
    if p.exits == ONE_R:
        stop = target = trail = p.atr_multiple * noise
        partial, from_start, breakeven, time_stop = p.partial_frac, False, p.round_trip_frac, p.time_stop_s
    elif p.exits == SEED_EXITS:
        target, stop, trail, partial = seed_levels(confidence, score, noise)
        breakeven = p.round_trip_frac
    elif p.exits == LEARNED and proposes(w, s, t):
        target, stop, trail, moved = learned_levels(
            at.own(w, 0, s, t),
            at.own(w, 1, s, t),
            at.own(w, 2, s, t),
            noise,
            p.learned_stop_atr_low,
            p.learned_stop_atr_high,
            p.learned_target_r_low,
            p.learned_target_r_high,
        )
        source, by_r = (CLAMPED if moved else AI), True
        partial, from_start, breakeven, time_stop = p.partial_frac, False, p.round_trip_frac, p.time_stop_s
    else:
        stop, target, trail, source = p.sl_frac, p.tp_frac, p.trail_frac, STATIC
    net = stop * (1.0 + p.net_r)
    if target < max(p.min_cost_multiple * p.round_trip_frac, p.min_target_atr * noise):
        return TARGET_TOO_CLOSE
    price = at.bars(w, s, t, CLOSE)
    nearest = max(p.min_stop_atr * noise, 2.0 * fact.tick / price)
    if stop < nearest:
        return STOP_TOO_CLOSE
    room = fact.room_long if score > 0 else fact.room_short
    if nearest > room:
        return NO_ROOM
    if stop > room:
        stop, source = room, CLAMPED
    if p.sizing == RISK_SIZE:
        notional = risk_notional(ratio(at.account(w).equity_u, p.one), p.risk_frac, stop)
    else:
        notional = seed_notional(confidence, p.base_notional)
    if by_r:
        most = risk_notional(ratio(at.account(w).equity_u, p.one), p.max_loss_r * p.r_frac, stop)
        notional = min(notional, most)
    at.held(w, s).wanted = notional if notional > 0.0 else 0.0
    h.stop_frac, h.target_frac, h.trail_frac, h.partial_frac = stop, target, trail, partial
    h.trail_from_start, h.breakeven_frac, h.time_stop_s, h.net_frac = from_start, breakeven, time_stop, net
    h.source, h.confidence = source, confidence
    return 0


@part
def proposes(w: Any, s: int, t: int) -> bool:
    """Whether a model's own levels are all distances."""
    if not at.proposals(w):
        return False
    return 0.0 < at.own(w, 0, s, t) < inf and 0.0 < at.own(w, 1, s, t) < inf and 0.0 < at.own(w, 2, s, t) < inf


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
    granted = steps_down(abs(raw), fact.lot)
    if quantity_of(fact, granted) * price < fact.min_notional:
        granted = 0
    code = ENTERED
    if not granted:
        code = TOO_SMALL
        if cap <= 0.0:
            code = AT_POSITIONS if rule == POSITIONS_RULE else AT_FEES if rule == FEE_RULE else AT_LIMIT
    if p.told:
        told(w, s, t, code, rule if cap < wanted else 0, wanted, quantity_of(fact, granted) * price)
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


# --- asking the venue -------------------------------------------------------------------------------------


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


ENTRY_WISH, CANCEL, MARKET_TARGET = 0, 7, 8


@part
def wish(w: Any, count: int, s: int, what: int, ticks: int, lots: int, reason: int) -> int:
    asked = at.asked(w, count)
    asked.symbol, asked.what, asked.ticks, asked.lots, asked.reason = s, what, ticks, lots, reason
    return count + 1


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
def planned(w: Any, s: int, t: int, count: int) -> int:  # noqa: PLR0912  as the rules come
    """The orders to place and to cancel for one position, behind the first `count` that are asked for."""
    p, a, fact, h = at.settings(w), at.account(w), at.facts(w, s), at.held(w, s)
    begun, sign, size = count, (1 if h.lots > 0 else -1), abs(h.lots)
    h.hopeful = False
    if isnan(h.room):
        h.room = room_frac(w, s)
    stop = stop_ticks(w, s, h.room)
    kept, stops = NONE, 0
    for k in range(h.resting):
        if at.orders(w, s, k).role == STOP:
            stops += 1
            trigger = at.orders(w, s, k).trigger
            stop = max(trigger, stop) if sign > 0 else min(trigger, stop)
    reason = TRAILING if sign * (stop - initial_ticks(w, s)) > 0 else STOP_LOSS
    edge = price_of(fact, stop)
    unstoppable = bool(h.refused & (1 << STOP)) or sign * (h.price - edge) <= 0
    if not unstoppable:
        for k in range(h.resting):
            order = at.orders(w, s, k)
            if kept == NONE and order.role == STOP and order.trigger == stop and order.lots == size:
                kept = order.number
        if kept == NONE:
            count = wish(w, count, s, STOP, stop, size, reason)
        elif stops > 1:
            for k in range(h.resting):
                if at.orders(w, s, k).role == STOP and at.orders(w, s, k).number != kept:
                    count = wish(w, count, s, CANCEL, at.orders(w, s, k).number, 0, 0)

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


@part
def any_of(w: Any, s: int, role: int) -> bool:
    found = False
    for k in range(at.held(w, s).resting):
        found = found or at.orders(w, s, k).role == role
    return found


@part
def target_planned(w: Any, s: int, sign: int, size: int, count: int) -> int:
    """The target's order: the plan's share of the position, once."""
    fact, h = at.facts(w, s), at.held(w, s)
    if h.taken:
        for k in range(h.resting):
            if at.orders(w, s, k).role == TARGET:
                count = wish(w, count, s, CANCEL, at.orders(w, s, k).number, 0, 0)
        return count
    price = steps_near(level(sign, h.entry_f, h.target_frac), fact.tick)
    already = -sign * (h.price - price_of(fact, price)) <= 0
    resting = 0
    for k in range(h.resting):
        resting += at.orders(w, s, k).role == TARGET
    if resting and already:
        return count
    share = round(quantity_of(fact, size) * h.partial_frac / fact.lot)
    quantity = min(max(share, 1), size)
    at_market = already or bool(h.refused & (1 << TARGET))
    kept = NONE
    if not at_market:
        for k in range(h.resting):
            order = at.orders(w, s, k)
            if kept == NONE and order.role == TARGET and order.trigger == price and order.lots == quantity:
                kept = order.number
    if kept == NONE:
        what = MARKET_TARGET if at_market else TARGET
        return wish(w, count, s, what, price, quantity, PARTIAL)
    if resting > 1:
        for k in range(h.resting):
            if at.orders(w, s, k).role == TARGET and at.orders(w, s, k).number != kept:
                count = wish(w, count, s, CANCEL, at.orders(w, s, k).number, 0, 0)
    return count


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
