"""Instruments and bars: what is traded, and what its price did.

Conventions used everywhere in qtlib:

* `Decimal` for anything that touches an order or the account; `float` for anything a model computes.
  The two meet only in `Instrument.price` and `Instrument.quantity`.
* `ts` is an aware UTC datetime. A bar's `ts` is its close: the first moment its contents are known.
* Money and prices are in quote unless a name says otherwise; `*_frac` is a fraction (0.03), never percent.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from math import ceil, floor
from typing import NamedTuple

from qtlib.domain.values import value

NOISE = 1e-9  # of a step: what binary fractions leave over when a decimal is divided by its own step


def steps_down(raw: float, step: float) -> int:
    """The whole steps in `raw`, rounded down.

    >>> steps_down(0.3, 0.1), steps_down(0.2999, 0.1)
    (3, 2)
    """
    return floor(raw / step + NOISE)


def steps_up(raw: float, step: float) -> int:
    """The whole steps in `raw`, rounded up."""
    return ceil(raw / step - NOISE)


def steps_near(raw: float, step: float) -> int:
    """The whole steps nearest to `raw`."""
    return round(raw / step)


_ROUNDED = {"near": steps_near, "down": steps_down, "up": steps_up}


@value
class MarginBracket:
    """Up to `notional_cap` [quote] a position needs `maintenance_frac` of its notional, less `cum` [quote]."""

    notional_cap: Decimal
    maintenance_frac: Decimal
    max_leverage: int
    cum: Decimal


@value
class Instrument:
    """A perpetual future, the steps in which its venue counts, and what trading it costs there."""

    symbol: str  # as the venue writes it, "BTCUSDT"
    tick: Decimal  # smallest price step, in quote
    lot: Decimal  # smallest quantity step, in base
    min_notional: Decimal = Decimal(5)  # smallest order worth, in quote
    max_quantity: Decimal = Decimal(1_000_000_000)  # of one limit order, in base
    max_market_quantity: Decimal = Decimal(1_000_000_000)  # of one market order, in base
    price_band_frac: Decimal = Decimal("0.05")  # limit prices, and sweeps of market orders, stay this near the mark
    maker_fee_frac: Decimal = Decimal("0.0002")  # of notional
    taker_fee_frac: Decimal = Decimal("0.0005")  # of notional
    liquidation_fee_frac: Decimal = Decimal("0.0125")  # of notional
    funding_interval_h: int = 8
    brackets: tuple[MarginBracket, ...] = (
        MarginBracket(Decimal(1_000_000), Decimal("0.01"), 50, Decimal(0)),
        MarginBracket(Decimal(1_000_000_000), Decimal("0.5"), 1, Decimal(490_000)),
    )

    def price(self, raw: float, rounded: str = "near") -> Decimal:
        """The tick nearest to `raw`, or the one `"down"` or `"up"` from it.

        >>> Instrument("BTCUSDT", tick=Decimal("0.10"), lot=Decimal("0.001")).price(60_000.06, rounded="down")
        Decimal('60000.00')
        """
        return _ROUNDED[rounded](raw, float(self.tick)) * self.tick

    @property
    def largest(self) -> Decimal:
        """The most that one order can enter, and one market order leave, as every stop is one: in whole lots."""
        return min(self.max_quantity, self.max_market_quantity) // self.lot * self.lot

    def quantity(self, raw: float, at: float) -> Decimal:
        """`raw` in whole lots, rounded toward zero: rounding never adds risk. 0 if worth too little `at` that price.

        It is never more than one order can leave again: the venue takes no stop for the rest.

        >>> btc = Instrument("BTCUSDT", tick=Decimal("0.1"), lot=Decimal("0.001"))
        >>> btc.quantity(-0.0019, at=60_000)
        Decimal('-0.001')
        >>> btc.quantity(0.0019, at=4_000)
        Decimal('0.000')
        """
        lots = min(steps_down(abs(raw), float(self.lot)) * self.lot, self.largest)
        if float(lots) * at < float(self.min_notional):
            return 0 * self.lot
        return lots if raw > 0 else -lots

    def covering(self, quantity: Decimal) -> Decimal:
        """The whole lots that hold `quantity`: what a reduce-only order closes all of it with, however it came about.

        >>> Instrument("NEARUSDT", tick=Decimal("0.001"), lot=Decimal(10)).covering(Decimal(23))
        Decimal('30')
        """
        return (quantity // self.lot + bool(quantity % self.lot)) * self.lot

    def bracket(self, notional: Decimal) -> MarginBracket:
        """The margin bracket that holds a position worth `notional` [quote, positive]."""
        for bracket in self.brackets:
            if notional <= bracket.notional_cap:
                return bracket
        return self.brackets[-1]


class Bar(NamedTuple):  # a tuple, because one is made for every bar of every symbol
    """One closed bar: prices in quote, volume in base."""

    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


class Step(NamedTuple):  # a tuple, because one is made for every bar
    """What the market did up to `ts`: what a venue lives through. A trader never sees it, only what it becomes."""

    ts: datetime
    bars: Mapping[str, Bar]  # of last prices, by symbol
    marks: Mapping[str, Bar] = {}  # of mark prices; where missing, last prices stand in
    funding: Mapping[str, float] = {}  # rate settled at `ts`, by symbol; positive: longs pay
    nexts: Mapping[str, float] = {}  # the first price after `ts`: what a taker meets there
