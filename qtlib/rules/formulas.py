"""The arithmetic of trading, as plain scalar functions: every formula stands here once.

The event loop calls them, and so does everything else that must agree with it to the last digit.
Arguments are plain numbers, floats or Decimals, one kind per call. `sign` is +1 for long (or buy) and -1 for short
(or sell); `*_frac` is a fraction, everything else is in quote unless it says otherwise; an absent number is `nan`.
"""

from decimal import Decimal
from math import floor, isnan
from typing import TypeVar

Number = TypeVar("Number", float, Decimal)


def clamp(value: float, low: float, high: float) -> float:
    """`value`, moved into `low .. high`.

    >>> clamp(1.5, 0.0, 1.0), clamp(-1.0, 0.0, 1.0)
    (1.0, 0.0)
    """
    return min(max(value, low), high)


# --- size -------------------------------------------------------------------------------------------------


def seed_notional(confidence: float, base_notional: float) -> float:
    """The notional of the seed profile: a base, scaled by confidence twice over.

    >>> [round(seed_notional(c, 200.0), 1) for c in (0.50, 0.55, 0.60, 0.643, 0.65, 0.70, 0.75)]
    [100.0, 115.5, 132.0, 147.0, 149.5, 168.0, 187.5]
    """
    return base_notional * confidence * clamp(0.5 + confidence, 0.3, 2.0)


def risk_notional(equity: float, risk_frac: float, stop_frac: float) -> float:
    """The notional that loses `risk_frac` of `equity` over a stop `stop_frac` away (fixed fraction, Vince 1990).

    >>> risk_notional(10_000.0, risk_frac=0.01, stop_frac=0.02)
    5000.0
    """
    return equity * risk_frac / stop_frac


# --- brackets ---------------------------------------------------------------------------------------------


def round_trip_cost_frac(fee_frac: float, slippage_frac: float) -> float:
    """What entering and leaving at market costs, as a fraction of notional.

    >>> round(round_trip_cost_frac(0.0005, 0.0002), 6)
    0.0014
    """
    return 2.0 * (fee_frac + slippage_frac)


def seed_levels(confidence: float, score: float, volatility_frac: float) -> tuple[float, float, float, float]:
    """Target, stop and trailing distance (fractions of price) and partial fraction of the seed exit profile.

    >>> [round(100 * x, 2) for x in seed_levels(0.75, 0.65, 0.025)]
    [6.75, 3.75, 2.5, 60.0]
    """
    if confidence > 0.8:
        m_tp, m_sl, m_trail, partial = 1.5, 0.8, 1.2, 0.50
    elif confidence > 0.6:
        m_tp, m_sl, m_trail, partial = 1.2, 1.0, 1.0, 0.60
    elif confidence > 0.4:
        m_tp, m_sl, m_trail, partial = 1.0, 1.0, 0.8, 0.75
    else:
        m_tp, m_sl, m_trail, partial = 0.8, 1.2, 0.5, 1.0
    strength = clamp(0.8 + 0.5 * abs(score), 0.8, 1.3)
    heat = clamp(1.0 + (volatility_frac - 0.02) / 0.02, 0.8, 1.5)
    take_profit = clamp(0.05 * m_tp * strength, 0.02, 0.15)
    stop = clamp(0.03 * m_sl * heat, 0.01, 0.05)
    trail = clamp(0.02 * m_trail * heat, 0.005, 0.04)
    return take_profit, stop, trail, partial


def learned_levels(
    take_profit_frac: float,
    stop_frac: float,
    trail_frac: float,
    volatility_frac: float,
    stop_atr_low: float,
    stop_atr_high: float,
    target_r_low: float,
    target_r_high: float,
) -> tuple[float, float, float, bool]:
    """Target, stop and trailing distance that a model proposes, moved to where they may lie, and whether any was.

    A stop is `stop_atr_low .. stop_atr_high` average true ranges away; a target `target_r_low .. target_r_high` times
    the stop; a trail no nearer than the nearest stop, and no further than the stop.

    >>> learned_levels(0.03, 0.02, 0.015, 0.01, 1.0, 4.0, 0.5, 4.0)
    (0.03, 0.02, 0.015, False)
    >>> learned_levels(0.5, 0.001, 0.015, 0.01, 1.0, 4.0, 0.5, 4.0)
    (0.04, 0.01, 0.01, True)
    """
    stop = clamp(stop_frac, stop_atr_low * volatility_frac, stop_atr_high * volatility_frac)
    take_profit = clamp(take_profit_frac, target_r_low * stop, target_r_high * stop)
    trail = clamp(trail_frac, stop_atr_low * volatility_frac, stop)
    return take_profit, stop, trail, take_profit != take_profit_frac or stop != stop_frac or trail != trail_frac


def level(sign: int, entry: float, distance_frac: float) -> float:
    """The price `distance_frac` of `entry` away, in the position's favour; a stop's distance is negative.

    >>> level(+1, 100.0, 0.02), level(-1, 100.0, 0.02), level(-1, 100.0, -0.03)
    (102.0, 98.0, 103.0)
    """
    return entry * (1.0 + sign * distance_frac)


def nearer(sign: int, stop: float, other: float) -> float:
    """The tighter of two stops: the higher one of a long position, the lower one of a short.

    >>> nearer(+1, 95.0, 97.0), nearer(-1, 105.0, 103.0)
    (97.0, 103.0)
    """
    return max(stop, other) if sign > 0 else min(stop, other)


def stepped(sign: int, entry: float, best: float, step_frac: float) -> float:
    """`best` in whole steps of `step_frac` of `entry` away from it, rounded toward it: what a ratchet goes by.

    >>> round(stepped(+1, 100.0, 100.37, step_frac=0.001), 6), round(stepped(-1, 100.0, 99.63, step_frac=0.001), 6)
    (100.3, 99.7)
    >>> stepped(+1, 100.0, 100.37, step_frac=0.0)
    100.37
    """
    step = entry * step_frac
    return best if step == 0.0 else entry + sign * floor(sign * (best - entry) / step) * step


def ratchet(sign: int, entry: float, best: float, stop_frac: float, trail_frac: float, breakeven_frac: float) -> float:
    """Where the working stop belongs: the tightest of the initial stop, the trail behind `best`, and breakeven.

    `trail_frac` and `breakeven_frac` are `nan` while they do not hold yet. As `best` only improves and the others
    only begin to hold, the stop only tightens.

    >>> ratchet(+1, 100.0, 110.0, stop_frac=0.04, trail_frac=0.04, breakeven_frac=0.001)
    106.0
    >>> ratchet(-1, 100.0, 99.0, stop_frac=0.04, trail_frac=float("nan"), breakeven_frac=float("nan"))
    104.0
    """
    stop = level(sign, entry, -stop_frac)
    if not isnan(trail_frac):
        stop = nearer(sign, stop, best - sign * trail_frac * entry)
    if not isnan(breakeven_frac):
        stop = nearer(sign, stop, level(sign, entry, breakeven_frac))
    return stop


def liquidation_room_frac(sign: int, margin_frac: float, maintenance_frac: float) -> float:
    """How far an isolated position's liquidation price lies from its entry, as a fraction of entry.

    `margin_frac` is what is left of its margin, as a fraction of entry notional. The venue's formula; the bracket's
    `cum` is left out, which errs toward the entry.

    >>> round(liquidation_room_frac(+1, margin_frac=1 / 5, maintenance_frac=0.01), 4)
    0.1919
    >>> round(liquidation_room_frac(-1, margin_frac=1 / 5, maintenance_frac=0.01), 4)
    0.1881
    """
    return sign * (1.0 - (1.0 - sign * margin_frac) / (1.0 - sign * maintenance_frac))


# --- fills ------------------------------------------------------------------------------------------------


def taker_price(reference: Number, sign: int, slippage_frac: Number) -> Number:
    """What a taker pays or gets who meets `reference`: never better than it.

    >>> taker_price(100.0, +1, 0.002), taker_price(100.0, -1, 0.002)
    (100.2, 99.8)
    """
    return reference * (1 + sign * slippage_frac)


def fee(quantity: Number, price: Number, fee_frac: Number) -> Number:
    """The fee of a fill: a fraction of its notional, whichever way it went.

    >>> fee(Decimal("-0.5"), Decimal(60_000), Decimal("0.0005"))
    Decimal('15.00000')
    """
    return abs(quantity) * price * fee_frac


# --- margin -----------------------------------------------------------------------------------------------


def initial_margin(quantity: Number, price: Number, leverage: int) -> Number:
    """What a position must be backed with when it is opened.

    >>> initial_margin(-2.0, 100.0, 5)
    40.0
    """
    return abs(quantity) * price / leverage


def maintenance_margin(quantity: Number, mark: Number, maintenance_frac: Number, cum: Number) -> Number:
    """What must be left of a position's backing, or the venue closes it. `cum` makes neighbouring brackets meet.

    >>> maintenance_margin(100.0, 8_000.0, 0.005, 300.0)
    3700.0
    """
    return abs(quantity) * mark * maintenance_frac - cum


def liquidation_price(
    wallet: float, quantity_signed: float, entry: float, maintenance_frac: float, cum: float
) -> float:
    """The mark price at which `wallet` plus open profit no longer exceeds the maintenance margin; 0.0 if there is none.

    Isolated form (the venue's published formula, with no other position's profit or margin in it). `wallet` is what
    backs this position: for a position opened at leverage L, `abs(quantity) * entry / L`.

    >>> round(liquidation_price(20.0, 1.0, 100.0, 0.005, 0.0), 4)  # long, five times
    80.402
    >>> round(liquidation_price(20.0, -1.0, 100.0, 0.005, 0.0), 4)
    119.403
    >>> liquidation_price(200.0, 1.0, 100.0, 0.005, 0.0)  # backed in full
    0.0
    """
    slope = abs(quantity_signed) * maintenance_frac - quantity_signed
    if slope == 0.0:
        return 0.0
    return max(0.0, (wallet + cum - quantity_signed * entry) / slope)


def bankruptcy_price(mark: float, sign: int, balance_share_frac: float) -> float:
    """The price at which nothing is left: `balance_share_frac`, what is left now per notional, further against us.

    >>> bankruptcy_price(100.0, +1, 0.01), bankruptcy_price(100.0, -1, 0.01)
    (99.0, 101.0)
    """
    return mark * (1 - sign * balance_share_frac)


def breakeven_price(quantity_signed: float, entry: float, net: float, fee_frac: float) -> float:
    """Where leaving `quantity_signed` at market nets nothing, if `net` was earned (paid, if negative) so far.

    >>> round(breakeven_price(1.0, 100.0, -0.05, 0.0005), 4), round(breakeven_price(-1.0, 100.0, -0.05, 0.0005), 4)
    (100.1001, 99.9)
    """
    return (quantity_signed * entry - net) / (quantity_signed - abs(quantity_signed) * fee_frac)


# --- funding ----------------------------------------------------------------------------------------------


def funding_payment(quantity: Number, mark: Number, rate_frac: Number) -> Number:
    """What the holder of `quantity` receives when `rate_frac` is settled: longs pay a positive rate, shorts get it.

    >>> funding_payment(Decimal(2), Decimal(100), Decimal("0.0001"))
    Decimal('-0.0200')
    """
    return -quantity * mark * rate_frac
