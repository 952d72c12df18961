"""Deciding in compiled code: what becomes of every signal.

It stands in for `rules/decide.py`, `sizing.py` and `tpsl.py`, in their order and on their floats; each formula is
theirs, by name.
"""

from math import inf, isnan, nan
from typing import Any

from qtlib.compiler import part
from qtlib.domain.market import steps_up
from qtlib.engine.compiled import at
from qtlib.engine.compiled.limits import allowed, committed_now, forget
from qtlib.engine.compiled.numbers import ratio
from qtlib.engine.compiled.prices import quantity_of, worth
from qtlib.engine.compiled.shapes import (
    ACTIVE,
    AI,
    CLAMPED,
    CLOSE,
    CONFIDENCE,
    COOLING,
    HELD_UNUSABLE,
    HELD_WARMING,
    HOLD,
    LEARNED,
    LEAVE,
    LOW,
    NO_ROOM,
    NONE,
    ONE_R,
    OPEN,
    REDUCED,
    REDUCING,
    RISK_SIZE,
    SCORE,
    SEED_EXITS,
    STATIC,
    STOP_TOO_CLOSE,
    STOPPED,
    TARGET_TOO_CLOSE,
    UNSURE,
    UNUSABLE,
    VOLATILITY,
    WARMING,
    WEAK,
)
from qtlib.rules.formulas import learned_levels, risk_notional, seed_levels, seed_notional
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler

LINE = 32  # bars
SOON = 8  # bars
WORDS = 8  # that memory hands over at once


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
        for k in range(t + LINE, t + 2 * LINE, WORDS):
            at.soon_beliefs(w, SCORE, s, k)
        line, sure = confidence[t : min(t + LINE, until)], 0
        for k in range(len(line)):  # to its end: so several are looked at in one go
            sure += line[k] >= threshold
        if sure:
            for k in range(len(line)):
                if line[k] >= threshold:
                    near(w, s, t + k)
                    if is_said(w, s, t + k):
                        return t + k
        t += LINE
    return until


@part
def near(w: Any, s: int, t: int) -> None:
    """Have at hand what is looked at next if bar `t` matters: memory answers several questions as fast as one."""
    at.soon_beliefs(w, VOLATILITY, s, t)
    at.soon_times(w, t)
    for k in range(t, t + SOON):
        at.soon_bars(w, s, k, LOW)


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
