"""What a trade would bring and cost, from its levels: the arithmetic behind the panel's calculator.

Levels are prices in quote; the size is notional, and leverage enters margin, return on it, and the liquidation price.
"""

from dataclasses import dataclass
from math import isfinite

from qtlib.domain.market import MarginBracket
from qtlib.rules import formulas


@dataclass(frozen=True, slots=True)
class Level:
    """What it means to leave at one price."""

    price: float
    move_frac: float  # of entry, in the position's favour
    roi_frac: float  # of the margin put up
    pnl_quote: float  # before costs
    net_quote: float  # after fees and slippage of both ways
    r: float  # in what the stop would cost, before costs


@dataclass(frozen=True, slots=True)
class Outlook:
    quantity: float  # signed, in base
    margin_quote: float
    stop: Level
    target: Level
    breakeven_price: float  # where leaving nets nothing
    breakeven_win_rate_frac: float  # before costs: at which stop and target cancel out
    breakeven_win_rate_net_frac: float  # after costs; above 1: the target does not even pay for them
    liquidation_price: float | None  # None: there is none
    liquidation_frac: float | None  # of entry: how far away it is
    stop_is_first: bool  # before liquidation


def outlook(
    sign: int,
    entry: float,
    notional_quote: float,
    leverage: int,
    stop: float,
    target: float,
    bracket: MarginBracket,
    cost_frac: float,
) -> Outlook:
    """A trade of `notional_quote` at `entry`, long (+1) or short (-1). `cost_frac` is that of one way, of notional.

    >>> from decimal import Decimal
    >>> btc = MarginBracket(Decimal(50_000), Decimal("0.004"), 125, Decimal(0))
    >>> o = outlook(+1, 100.0, 1_000.0, 5, stop=98.0, target=107.8, bracket=btc, cost_frac=0.0005)
    >>> round(o.target.roi_frac, 4), round(o.target.r, 2), round(o.breakeven_win_rate_frac, 3)
    (0.39, 3.9, 0.204)
    """
    for name, value in {"entry": entry, "size": notional_quote, "stop": stop, "target": target}.items():
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{name} {value:g} must be above 0")
    if leverage < 1:
        raise ValueError(f"leverage {leverage} must be at least 1")
    if sign * (entry - stop) <= 0:
        raise ValueError(f"stop {stop:g} must lie {'below' if sign > 0 else 'above'} the entry {entry:g}")
    if sign * (target - entry) <= 0:
        raise ValueError(f"target {target:g} must lie {'above' if sign > 0 else 'below'} the entry {entry:g}")
    quantity, margin = sign * notional_quote / entry, notional_quote / leverage
    risk_frac = sign * (entry - stop) / entry

    def level(price: float) -> Level:
        move = sign * (price - entry) / entry
        costs = cost_frac * notional_quote * (1.0 + price / entry)
        gross = move * notional_quote
        return Level(price, move, move * leverage, gross, gross - costs, move / risk_frac)

    lose, win = level(stop), level(target)
    liquidation = formulas.liquidation_price(
        margin, quantity, entry, float(bracket.maintenance_frac), float(bracket.cum)
    )
    return Outlook(
        quantity,
        margin,
        lose,
        win,
        formulas.breakeven_price(quantity, entry, -cost_frac * notional_quote, cost_frac),
        -lose.pnl_quote / (win.pnl_quote - lose.pnl_quote),
        -lose.net_quote / (win.net_quote - lose.net_quote),
        liquidation or None,
        sign * (entry - liquidation) / entry if liquidation else None,
        not liquidation or sign * (stop - liquidation) > 0,
    )
