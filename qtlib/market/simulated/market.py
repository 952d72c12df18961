"""Which market to simulate, and its bars: parameters in, a `Market` out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

import numpy as np
import pandas as pd

from qtlib.market.market import FUNDING_EVERY, REFILL, Market
from qtlib.market.quality import COLUMNS
from qtlib.market.simulated import life, regimes
from qtlib.market.simulated.life import Array
from qtlib.market.simulated.likeness import LIKENESS, Likeness, Traits
from qtlib.market.simulated.regimes import Regime
from qtlib.market.timeframes import index_of, micros_at, micros_of

EDITION = "second edition"  # of what a seed means: an account does not go on from one to another


@dataclass(frozen=True, slots=True)
class Listing:
    """What a simulated symbol starts from, and what it has of its own."""

    price: float  # the first one, in quote
    tick: Decimal
    traits: Traits | None = None  # None: those that were found of the symbol of this name


# first prices and ticks as the venue had them in July 2026
LISTINGS: Mapping[str, Listing] = MappingProxyType(
    {
        "BTCUSDT": Listing(62681.2, Decimal("0.1")),
        "ETHUSDT": Listing(1759.10, Decimal("0.01")),
        "SOLUSDT": Listing(83.90, Decimal("0.01")),
        "XRPUSDT": Listing(1.1475, Decimal("0.0001")),
        "LINKUSDT": Listing(7.960, Decimal("0.001")),
        "NEARUSDT": Listing(2.011, Decimal("0.001")),
        "ADAUSDT": Listing(0.1794, Decimal("0.0001")),
        "BNBUSDT": Listing(573.03, Decimal("0.01")),
        "DOGEUSDT": Listing(0.07780, Decimal("0.00001")),
        "AVAXUSDT": Listing(6.924, Decimal("0.001")),
    }
)


@dataclass(frozen=True)
class SimulatedMarket:
    """A market that is made from its seed: the same values make the same bars, to the bit. `simulate` makes them."""

    seed: int = 7
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "LINKUSDT")
    timeframe: str = "1h"  # must divide the eight hours between fundings
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)  # the first bar's open
    edge: float = 3.0  # annual Sharpe ratio of one who sees the drift; 0: there is none
    drift_half_life_h: float = 240.0
    regimes: tuple[Regime, ...] = ()
    listings: Mapping[str, Listing] = field(default_factory=lambda: LISTINGS)
    likeness: Likeness = LIKENESS

    def __post_init__(self) -> None:
        known = {s for s, its in self.listings.items() if its.traits or s in self.likeness.symbols}
        unknown = [symbol for symbol in self.symbols if symbol not in known]
        if unknown or not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise ValueError(
                f"symbols {self.symbols} must be different ones of {', '.join(self.listings)}, or have listings"
            )
        if FUNDING_EVERY % micros_of(self.timeframe):
            raise ValueError(
                f"timeframe {self.timeframe} must divide 8h; simulate a shorter one and take its coarser bars"
            )
        if micros_at(self.start) % micros_of(self.timeframe):
            raise ValueError(f"start {self.start} must lie on the grid of {self.timeframe}")
        if not (self.edge >= 0 and self.seed >= 0 and self.drift_half_life_h > 0):
            raise ValueError(
                f"edge {self.edge} >= 0, seed {self.seed} >= 0 and drift_half_life_h {self.drift_half_life_h} > 0 "
                "must hold"
            )
        regimes.check(self.regimes, self.symbols, micros_of(self.timeframe))

    @property
    def words(self) -> str:
        """What tells it from other simulated markets."""
        told = f"seed {self.seed}, edge {self.edge:g}"
        return told + "".join(f", {regime.words()}" for regime in self.regimes)


def simulate(params: SimulatedMarket | None = None, bars: int = 2000, *, refill: int = REFILL) -> Market:
    """The first `bars` bars of the market that `params` describe."""
    params = params or SimulatedMarket()
    if bars < 1:
        raise ValueError(f"bars {bars} must be at least 1")
    found = life.lived(_world(params), bars)
    index = index_of(found.ts)
    settles = found.ts % FUNDING_EVERY == 0
    rates = {}
    for i, symbol in enumerate(params.symbols):
        met = settles & np.isfinite(found.rates[i])
        rates[symbol] = pd.Series(found.rates[i][met], index=index[met])
    return Market.of(
        {symbol: _frame(found.last[i], index) for i, symbol in enumerate(params.symbols)},
        params.timeframe,
        marks={symbol: _frame(found.mark[i], index) for i, symbol in enumerate(params.symbols)},
        funding=rates,
        source=f"simulated market ({params.words})",
        simulated=True,
        refill=refill,
    )


def _world(params: SimulatedMarket) -> life.World:
    listed = [params.listings[symbol] for symbol in params.symbols]
    traits = [_traits(params, symbol) for symbol in params.symbols]
    return life.World(
        seed=params.seed,
        symbols=params.symbols,
        span=micros_of(params.timeframe),
        start=micros_at(params.start),
        edge=params.edge,
        drift_half_life_h=params.drift_half_life_h,
        regimes=params.regimes,
        prices=np.array([listing.price for listing in listed]),
        ticks=tuple(listing.tick for listing in listed),
        yearly=np.array([its.volatility_frac for its in traits]),
        shared=np.array([its.shared for its in traits]),
        daily_volume=np.array([its.daily_volume_quote for its in traits]),
        likeness=params.likeness,
    )


def _traits(params: SimulatedMarket, symbol: str) -> Traits:
    return params.listings[symbol].traits or params.likeness.symbols[symbol]


def _frame(values: Array, index: pd.DatetimeIndex) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)), index=index, copy=False)
