"""Labels: what came of a long and of a short begun at each bar, under the very brackets that trade.

Decided at a bar's close, filled at the next bar's open with slippage and the taker's fee; then the profile's stop,
target with its share, breakeven, ratchet in its steps and time stop, by the formulas that both engines call. Inside a
bar prices take the way that hurts: to the extreme against the position first. Funding is paid on what is held at a
settlement. A label is known at the close of its own end, and reads nothing later; where its end is not there yet, it
is NaN and its end -1. Between bars of a symbol nothing happens to it.

Held to the event loop on the simulated venue by `tests/learning/test_labels.py`. It differs from it by design: nothing
is rounded to ticks and lots; a bar's volume limits no fill; an entry is filled however far the next open lies from the
close it was decided at; nothing is liquidated; no opposite signal and no limit ends a trade early; the close stands in
for the mark price at which funding is reckoned. And where the rules would refuse a trade because its target or its stop
lies too close, its label says what would have come of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan, nan

import numpy as np
import numpy.typing as npt

from qtlib.compiler import compiled
from qtlib.domain.decisions import Signal
from qtlib.domain.orders import ExitPlan
from qtlib.domain.panel import Array, Panel, Times
from qtlib.rules import jitted  # noqa: F401  # it makes the formulas known to compiled code
from qtlib.rules.formulas import fee, funding_payment, level, nearer, ratchet, seed_levels, stepped, taker_price
from qtlib.rules.tpsl import Costs, ExitParams, exit_plan

Indices = npt.NDArray[np.int64]

SETTLED_EVERY_US = 8 * 3_600_000_000  # funding, where nothing else is said
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What came of each decision; every array is (symbols, bars), the bar at whose close it was made."""

    long_frac: Array  # net of fees, slippage and funding, of entry notional; NaN: its end is not there yet
    short_frac: Array
    long_r: Array  # the same in R: over the stop's distance
    short_r: Array
    long_end: Indices  # the column at whose close it was known; -1: not yet
    short_end: Indices
    favourable_frac: Array  # the furthest the price went up from the next open, of that, before time was out
    adverse_frac: Array  # the furthest down; for a short the two change places
    excursion_end: Indices  # the column at whose close both were known; -1: not yet


def labels(
    panel: Panel,
    volatility_frac: Array,
    exits: ExitParams,
    costs: Costs,
    *,
    settled_frac: Array | None = None,
    confidence: float = 0.65,
    strength: float = 0.5,
    excursion_s: float | None = None,
) -> Labels:
    """The outcomes of a long and a short at every bar where `volatility_frac` (average true range) is known and not 0.

    `settled_frac` (symbols, bars) has the funding rates settled at each close, 0 where none was (`settlements` makes
    it); without it, the panel's own rates are taken to be settled every eight hours. `confidence` and `strength` (the
    absolute score) are those of the belief that the seed profile asks for. `excursion_s` is how long prices are
    followed for `favourable_frac` and `adverse_frac`: until the profile's time stop, or for a day if it has none.
    """
    plan = exit_plan(Signal("", datetime(1970, 1, 1, tzinfo=UTC), strength, confidence, 1.0, 1.0), exits, costs)
    time_stop_us = nan if plan.time_stop_s is None else 1e6 * plan.time_stop_s
    followed_us = 1e6 * (excursion_s or plan.time_stop_s or DAY_S)
    settled = _by_the_clock(panel) if settled_frac is None else np.nan_to_num(settled_frac)
    shape = panel.close.shape
    frac, r = np.full((2, *shape), np.nan), np.full((2, *shape), np.nan)
    ends = np.full((3, *shape), -1, dtype=np.int64)
    reached = np.full((2, *shape), np.nan)
    for row in range(shape[0]):
        there = np.flatnonzero(~np.isnan(panel.close[row]))
        if not len(there):
            continue
        opened, high, low, close = (c[row, there] for c in (panel.open, panel.high, panel.low, panel.close))
        times = panel.times[there]
        paid = np.add.reduceat(settled[row], np.r_[0, there[:-1] + 1])  # what a gap settled is paid at its end
        volatility = np.where(volatility_frac[row, there] > 0.0, volatility_frac[row, there], np.nan)
        stop, target, trail, partial = _levels(plan, volatility, confidence, strength)
        up, down, until = _excursions(opened, high, low, times, volatility, followed_us)
        reached[0, row, there], reached[1, row, there], ends[2, row, there] = up, down, _columns(there, until)
        for side, sign in enumerate((+1, -1)):
            net, end = _outcomes(
                sign,
                opened,
                high,
                low,
                close,
                times,
                paid,
                stop,
                target,
                trail,
                partial,
                nan if plan.breakeven_frac is None else plan.breakeven_frac,
                plan.trail_from_start,
                time_stop_us,
                exits.ratchet_step_frac,
                costs.taker_fee_frac,
                costs.slippage_frac,
            )
            frac[side, row, there], r[side, row, there] = net, net / stop
            ends[side, row, there] = _columns(there, end)
    return Labels(frac[0], frac[1], r[0], r[1], ends[0], ends[1], reached[0], reached[1], ends[2])


def settlements(panel: Panel, funding: Mapping[str, tuple[Times, Array]]) -> Array:
    """The funding rates settled at each close of `panel`: after the close before it, up to this one. (symbols, bars)

    `funding` has times of settlements [µs] and rates by symbol. Several in one bar add up; where none was, there is 0.
    """
    settled = np.zeros(panel.close.shape)
    for row, symbol in enumerate(panel.symbols):
        times, rates = funding.get(symbol, (np.empty(0, np.int64), np.empty(0)))
        places = np.searchsorted(panel.times, times)
        np.add.at(settled[row], places[places < len(panel)], rates[places < len(panel)])
    return settled


def uniqueness(start: Indices, end: Indices, bars: int) -> Array:
    """How much of each label is its own: the mean, over the bars it lasts, of one over the labels that last then.

    A label decided at the close of `start` and known at that of `end` lasts from the bar after `start` to `end`, of
    `bars` in all. The labels of one symbol; average uniqueness, López de Prado, "Advances in Financial Machine
    Learning" (2018), chapter 4.

    >>> uniqueness(np.array([0, 1, 5]), np.array([2, 3, 6]), 8).tolist()
    [0.75, 0.75, 1.0]
    """
    if len(start) and not (start < end).all():
        worst = int(np.argmax(start >= end))
        raise ValueError(f"a label ends after its decision: row {worst} is of {start[worst]} and ends at {end[worst]}")
    change = np.bincount(start + 1, minlength=bars + 2) - np.bincount(end + 1, minlength=bars + 2)
    at_once = np.cumsum(change)  # labels that last at each bar
    share = np.cumsum(np.divide(1.0, at_once, out=np.zeros(len(at_once)), where=at_once > 0))
    return np.asarray((share[end] - share[start]) / (end - start), dtype=np.float64)


def age_weights(at: Indices, half_life_bars: float) -> Array:
    """What each label counts for its age: 1 for the newest decision, a half for one `half_life_bars` before it.

    >>> age_weights(np.array([0, 50, 100]), 50.0).tolist()
    [0.25, 0.5, 1.0]
    """
    newest = at.max() if len(at) else 0
    return np.asarray(0.5 ** ((newest - at) / half_life_bars), dtype=np.float64)


# --- below ----------------------------------------------------------------------------------------------------------


def _by_the_clock(panel: Panel) -> Array:
    """The panel's own rates, as settled every eight hours: a rate is known as the last one at the close after it."""
    before = np.concatenate([panel.times[:1], panel.times[:-1]])
    count = panel.times // SETTLED_EVERY_US - before // SETTLED_EVERY_US
    rate = np.concatenate([panel.funding_frac[:, 1:], np.full((len(panel.symbols), 1), np.nan)], axis=1)
    return np.asarray(np.nan_to_num(rate * count), dtype=np.float64)


def _levels(plan: ExitPlan, volatility: Array, confidence: float, strength: float) -> tuple[Array, ...]:
    """Stop, target, trailing distance and partial fraction at each bar. `plan` is that of a volatility of 1."""
    if plan.profile == "seed":
        return tuple(_seed_levels(confidence, strength, volatility))
    if plan.profile not in ("one_r", "static"):
        raise ValueError(f"labels know the profiles one_r, seed and static, and not {plan.profile}")
    scale = volatility if plan.profile == "one_r" else np.where(np.isnan(volatility), np.nan, 1.0)
    trail = nan if plan.trail_frac is None else plan.trail_frac
    return plan.stop_frac * scale, plan.take_profit_frac * scale, trail * scale, np.full(len(scale), plan.partial_frac)


@compiled
def _seed_levels(confidence: float, strength: float, volatility: Array) -> Array:
    out = np.full((4, len(volatility)), np.nan)
    for bar in range(len(volatility)):
        if not isnan(volatility[bar]):
            target, stop, trail, partial = seed_levels(confidence, strength, volatility[bar])
            out[0, bar], out[1, bar], out[2, bar], out[3, bar] = stop, target, trail, partial
    return out


def _columns(there: Indices, end: Indices) -> Indices:
    """Places among a symbol's own bars as columns of the panel; -1 stays."""
    return np.where(end < 0, -1, there[end])


@compiled
def _excursions(
    opened: Array, high: Array, low: Array, times: Times, volatility: Array, followed_us: float
) -> tuple[Array, Array, Indices]:
    """How far prices went up and down from the next open while no more time than `followed_us` had passed."""
    count = len(opened)
    up, down, until = np.full(count, np.nan), np.full(count, np.nan), np.full(count, -1)
    for begun in range(count - 1):
        last = begun + 1
        while last + 1 < count and times[last] - times[begun] < followed_us:
            last += 1
        if isnan(volatility[begun]) or times[last] - times[begun] < followed_us:
            continue
        top, bottom = opened[begun + 1], opened[begun + 1]
        for bar in range(begun + 1, last + 1):
            top, bottom = max(top, high[bar]), min(bottom, low[bar])
        up[begun], down[begun] = top / opened[begun + 1] - 1.0, 1.0 - bottom / opened[begun + 1]
        until[begun] = last
    return up, down, until


@compiled
def _outcomes(
    sign: int,
    opened: Array,
    high: Array,
    low: Array,
    close: Array,
    times: Times,
    settled: Array,
    stop_frac: Array,
    target_frac: Array,
    trail_frac: Array,
    partial_frac: Array,
    breakeven_frac: float,
    trail_from_start: bool,
    time_stop_us: float,
    step_frac: float,
    fee_frac: float,
    slippage_frac: float,
) -> tuple[Array, Indices]:
    """Net outcome as a fraction of entry notional, and the bar that ended it, of one side at each bar of a symbol."""
    count = len(opened)
    net_frac, ends = np.full(count, np.nan), np.full(count, -1)
    for begun in range(count - 1):
        if isnan(stop_frac[begun]):
            continue
        entry = taker_price(opened[begun + 1], sign, slippage_frac)
        target = level(sign, entry, target_frac[begun])
        stop = level(sign, entry, -stop_frac[begun])
        net, held, best, taken = -fee(1.0, entry, fee_frac), 1.0, entry, False  # of a position of 1 in base
        for bar in range(begun, count - 1):
            # at the close: what the loop makes of it, and has done at the next open
            coming = bar + 1
            if bar > begun:
                best = max(best, high[bar]) if sign > 0 else min(best, low[bar])
            elif sign * (close[bar] - target) >= 0:  # the open gapped so far against us that the target lies behind it
                share, taken = partial_frac[begun], True
                held, net = held - share, net + _sold(share, opened[coming], sign, entry, fee_frac, slippage_frac)
            trail = trail_frac[begun] if trail_from_start or taken else nan
            reached = best if isnan(trail) else stepped(sign, entry, best, trail * step_frac)
            stop = nearer(
                sign,
                stop,
                ratchet(sign, entry, reached, stop_frac[begun], trail, breakeven_frac if taken else nan),
            )
            late = bar > begun and not taken and times[bar] - times[begun] >= time_stop_us
            # through the next bar: its open, the extreme against the position, the other one
            against, along = (low[coming], high[coming]) if sign > 0 else (high[coming], low[coming])
            if late or sign * (close[bar] - stop) <= 0 or sign * (opened[coming] - stop) <= 0:
                net, held = net + _sold(held, opened[coming], sign, entry, fee_frac, slippage_frac), 0.0
            elif not taken and sign * (opened[coming] - target) >= 0:
                share, taken = partial_frac[begun], True
                held, net = held - share, net + _sold(share, opened[coming], sign, entry, fee_frac, slippage_frac)
            if held > 0.0 and sign * (against - stop) <= 0:
                net, held = net + _sold(held, stop, sign, entry, fee_frac, slippage_frac), 0.0
            elif held > 0.0 and not taken and sign * (along - target) >= 0:
                share, taken = partial_frac[begun], True
                held, net = held - share, net + _sold(share, target, sign, entry, fee_frac, slippage_frac)
            if held <= 0.0:
                net_frac[begun], ends[begun] = net / entry, coming
                break
            net += funding_payment(sign * held, close[coming], settled[coming])
    return net_frac, ends


@compiled
def _sold(share: float, reference: float, sign: int, entry: float, fee_frac: float, slippage_frac: float) -> float:
    """What closing `share` of the position at `reference` earns, after slippage and the fee."""
    price = taker_price(reference, -sign, slippage_frac)
    return sign * share * (price - entry) - fee(share, price, fee_frac)
