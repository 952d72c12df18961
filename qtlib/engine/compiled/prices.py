"""What things cost in compiled code: ticks and lots as floats, and what a taker meets after a bar.

It stands in for `exchanges/simulated/book.py` and `admission.py`, isolated margin.
"""

from math import isnan
from typing import Any

from qtlib.compiler import part
from qtlib.domain.market import steps_down, steps_up
from qtlib.engine.compiled import at
from qtlib.engine.compiled.numbers import ratio
from qtlib.engine.compiled.shapes import CLOSE, NO_SLIPS, OPEN
from qtlib.rules.formulas import taker_price
from qtlib.rules.jitted import FORMULAS

assert FORMULAS  # known to the compiler

DAY = 86_400_000_000  # microseconds


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
