"""A simulated market: several perpetual futures that behave much as real ones do, from a seed and nothing else.

What it has: one factor that moves all symbols and a part of each one's own; volatility that clusters over hours and
weeks and follows the hours of the day; fat tails and jumps; a tick between a close and the next open; volume that
grows with range; a mark price that is not quite the last price; funding every eight hours by the venue's formula.

What can be earned in it is planted and known. Each symbol's price drifts up or down for days (the drift's half-life is
`drift_half_life_h`), and `edge` is the annual Sharpe ratio, before costs, of one who *sees* the drift and holds in
proportion to it. Whoever sees only prices gets a fraction of that: at the default, following trends in five symbols for
20,000 hours made a Sharpe ratio of about 1.4 before costs and 1.0 after them, from 0.5 to 2 by seed. With `edge=0`
prices are a martingale: nobody who reads the past earns anything, and everyone pays costs.

A longer simulation begins with the shorter one, bit for bit; and a symbol's bars do not depend on which others are
simulated beside it. For bars with finer ones inside: `simulate(SimulatedMarket(timeframe="5m"), n).coarser("1h")`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.market.market import REFILL, Market
from qtlib.market.timeframes import HOUR, Micros, index_of, micros_at, micros_of

Array = npt.NDArray[np.float64]

CHUNK = 1024  # bars drawn at once; part of what a seed means
STEPS = 16  # prices inside a bar
YEAR = 365.25 * 24 * HOUR  # [µs]
FUNDING_EVERY = 8 * HOUR  # [µs]
FLOOR_TICKS = 10  # no price falls below so many ticks


@dataclass(frozen=True, slots=True)
class Listing:
    """What a simulated symbol starts from."""

    price: float  # the first one, in quote
    tick: Decimal
    volatility_frac: float  # of a year
    daily_volume_quote: float


# first prices and ticks as the venue had them in July 2026; volatilities and volumes in round numbers
LISTINGS: Mapping[str, Listing] = MappingProxyType(
    {
        "BTCUSDT": Listing(62681.2, Decimal("0.1"), 0.50, 12e9),
        "ETHUSDT": Listing(1759.10, Decimal("0.01"), 0.65, 9e9),
        "SOLUSDT": Listing(83.90, Decimal("0.01"), 0.85, 3e9),
        "XRPUSDT": Listing(1.1475, Decimal("0.0001"), 0.80, 1.5e9),
        "LINKUSDT": Listing(7.960, Decimal("0.001"), 0.85, 4e8),
        "NEARUSDT": Listing(2.011, Decimal("0.001"), 0.95, 2e8),
        "ADAUSDT": Listing(0.1794, Decimal("0.0001"), 0.85, 5e8),
        "BNBUSDT": Listing(573.03, Decimal("0.01"), 0.55, 7e8),
        "DOGEUSDT": Listing(0.07780, Decimal("0.00001"), 0.95, 1e9),
        "AVAXUSDT": Listing(6.924, Decimal("0.001"), 0.90, 3e8),
    }
)


@dataclass(frozen=True)
class SimulatedMarket:
    seed: int = 7
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "LINKUSDT")
    timeframe: str = "1h"  # must divide the eight hours between fundings
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)  # the first bar's open
    edge: float = 3.0  # annual Sharpe ratio of one who sees the drift; 0: there is none
    drift_half_life_h: float = 240.0
    correlation: float = 0.6  # of two symbols' changes
    jumps_per_year: float = 12.0  # of all symbols together, and of each one alone
    listings: Mapping[str, Listing] = field(default_factory=lambda: LISTINGS)

    def __post_init__(self) -> None:
        unknown = [symbol for symbol in self.symbols if symbol not in self.listings]
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
        if not (0 <= self.correlation <= 1 and self.edge >= 0 and self.seed >= 0 and self.drift_half_life_h > 0):
            raise ValueError(
                f"0 <= correlation {self.correlation} <= 1, edge {self.edge} >= 0, seed {self.seed} >= 0 "
                f"and drift_half_life_h {self.drift_half_life_h} > 0 must hold"
            )


def simulate(params: SimulatedMarket | None = None, bars: int = 2000, *, refill: int = REFILL) -> Market:
    """The first `bars` bars of the market that `params` describe."""
    params = params or SimulatedMarket()
    if bars < 1:
        raise ValueError(f"bars {bars} must be at least 1")
    state = _begin(params)
    chunks = []
    for number in range(-(-bars // CHUNK)):
        chunk, state = _lived(params, number, state)
        chunks.append(chunk)
    ts, last, mark, rates = (np.concatenate(parts)[:bars] for parts in zip(*chunks, strict=True))
    index = index_of(ts)
    settles = ts % FUNDING_EVERY == 0
    return Market.of(
        {symbol: _frame(last[:, i], index) for i, symbol in enumerate(params.symbols)},
        params.timeframe,
        marks={symbol: _frame(mark[:, i], index) for i, symbol in enumerate(params.symbols)},
        funding={s: pd.Series(rates[settles, i], index=index[settles]) for i, s in enumerate(params.symbols)},
        source=f"simulated market (seed {params.seed}, edge {params.edge:g})",
        simulated=True,
        refill=refill,
    )


# What wanders: processes that forget, each with a half-life and a standard deviation. One set for all symbols
# together (the market's own row) and one for each symbol. The drift's half-life is a parameter.
_HALF_LIVES_H = np.array([240.0, 8.0, np.nan, 24.0, 1.0])
_SLOW, _FAST, _DRIFT, _PREMIUM, _BASIS = range(5)
_SHARED_LOG_VOL, _OWN_LOG_VOL = (0.35, 0.25), (0.15, 0.20)  # standard deviations of log volatility, slow and fast
_LOG_VOL_VARIANCE = sum(s * s for s in (*_SHARED_LOG_VOL, *_OWN_LOG_VOL))
_TAILS = 6.0  # degrees of freedom of a bar's Student t
_JUMP_FRAC, _JUMPY = 0.03, 0.7  # standard deviation of a jump; of all together, in a symbol of this yearly volatility
_PREMIUM_FRAC = 0.0003  # ... of the premium that funding is made of
_BASIS_FRAC = 0.00015  # ... of mark against last price
_INTEREST_FRAC, _DAMPER_FRAC, _FUNDING_CAP_FRAC = 0.0001, 0.0005, 0.003
_DAY_WAVE, _WEEKEND = 0.35, 0.75  # how volatility follows the hours (highest at 15:00 UTC) and rests on weekends
_WAVE_SCALE = math.sqrt((1 + _DAY_WAVE**2 / 2) * (5 + 2 * _WEEKEND**2) / 7)


class _State(NamedTuple):
    """Where a chunk leaves off."""

    wanderers: Array  # a row for the market, then one a symbol; a column a process; of unit variance
    log_price: Array  # by symbol
    ticks: Array  # the last close
    mark: Array  # the last mark price


class _Dice(NamedTuple):
    """All that chance has to say about one row (the market, or a symbol) in one chunk."""

    shocks: Array  # bar, process
    steps: Array  # bar, step
    tails: Array  # bar: variance multipliers with mean 1
    jumps: Array  # bar: fractions, mostly 0
    where: npt.NDArray[np.int64]  # bar: the step of a jump
    bounce: Array  # bar: ticks between a close and the next open
    volume: Array  # bar


def _begin(params: SimulatedMarket) -> _State:
    rows = [_generator(params, name, 0).standard_normal(len(_HALF_LIVES_H)) for name in ("", *params.symbols)]
    listed = [params.listings[symbol] for symbol in params.symbols]
    price = np.array([listing.price for listing in listed])
    ticks = np.rint(price / np.array([float(listing.tick) for listing in listed]))
    return _State(np.array(rows), np.log(price), ticks, price)


def _generator(params: SimulatedMarket, name: str, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([params.seed, crc32(name.encode()), number]))


def _throw(params: SimulatedMarket, name: str, number: int) -> _Dice:
    dice = _generator(params, name, number + 1)
    likely = params.jumps_per_year * micros_of(params.timeframe) / YEAR
    return _Dice(
        shocks=dice.standard_normal((CHUNK, len(_HALF_LIVES_H))),
        steps=dice.standard_normal((CHUNK, STEPS)),
        tails=(_TAILS / 2 - 1) / dice.standard_gamma(_TAILS / 2, CHUNK),
        jumps=np.where(dice.random(CHUNK) < likely, _JUMP_FRAC, 0.0) * dice.standard_normal(CHUNK),
        where=dice.integers(0, STEPS, CHUNK),
        bounce=dice.integers(-1, 2, CHUNK).astype(np.float64),
        volume=dice.standard_normal(CHUNK),
    )


def _lived(params: SimulatedMarket, number: int, state: _State) -> tuple[tuple[Micros, Array, Array, Array], _State]:
    """Chunk `number`: closes' times, bars of last and mark prices (bar, symbol, column), premiums made into rates."""
    span = micros_of(params.timeframe)
    ts = micros_at(params.start) + (1 + CHUNK * number + np.arange(CHUNK)) * span
    market, *own = (_throw(params, name, number) for name in ("", *params.symbols))
    listed = [params.listings[symbol] for symbol in params.symbols]
    tick = np.array([float(listing.tick) for listing in listed])

    wanderers = _wander(params, np.stack([market.shocks, *(dice.shocks for dice in own)], axis=1), state.wanderers)
    shared, each = wanderers[:, :1], wanderers[:, 1:]
    yearly = np.array([listing.volatility_frac for listing in listed])
    typical = yearly * math.sqrt(span / YEAR) * _season(ts - span // 2)[:, None]  # of each bar's change
    log_vol = _OWN_LOG_VOL[0] * each[:, :, _SLOW] + _OWN_LOG_VOL[1] * each[:, :, _FAST]
    log_vol += _SHARED_LOG_VOL[0] * shared[:, :, _SLOW] + _SHARED_LOG_VOL[1] * shared[:, :, _FAST]
    vol = typical * np.exp(log_vol - _LOG_VOL_VARIANCE)

    alike, apart = math.sqrt(params.correlation), math.sqrt(1 - params.correlation)
    sure = alike * shared[:, :, _DRIFT] + apart * each[:, :, _DRIFT]
    drift = params.edge * yearly * sure * (span / YEAR) - vol * vol / 2  # a price, not its logarithm, drifts by 0
    moves = np.stack([_moves(dice) for dice in own], axis=1) * apart + _moves(market)[:, None] * alike
    moves = moves * (vol / math.sqrt(STEPS))[:, :, None] + (drift / STEPS)[:, :, None]
    _jump(moves, market.jumps[:, None] * (yearly / _JUMPY), market.where[:, None])
    _jump(moves, np.stack([dice.jumps for dice in own], axis=1), np.stack([dice.where for dice in own], axis=1))

    inside = np.cumsum(moves, axis=2)  # log price since the bar's open
    closes = state.log_price + np.cumsum(inside[:, :, -1], axis=0)
    before = np.concatenate([state.log_price[None], closes[:-1]])
    price_before = np.exp(before)
    close = _ticks(np.exp(closes), tick)
    bounce = np.stack([dice.bounce for dice in own], axis=1)
    open_ = np.maximum(np.concatenate([state.ticks[None], close[:-1]]) + bounce, FLOOR_TICKS)
    high = np.maximum(_ticks(price_before * np.exp(inside.max(axis=2)), tick), np.maximum(open_, close))
    low = np.minimum(_ticks(price_before * np.exp(inside.min(axis=2)), tick), np.minimum(open_, close))
    prices = np.stack([_priced(t, listed) for t in (open_, high, low, close)], axis=2)

    turnover = np.array([listing.daily_volume_quote for listing in listed]) * span / (24 * HOUR)
    busy = (0.4 + 0.4 * (high - low) * tick / (price_before * vol)) * (vol / typical)
    traded = turnover * busy * np.exp(0.35 * np.stack([dice.volume for dice in own], axis=1))
    volume = np.maximum(np.round(traded / prices[:, :, 3], 3), 0.001)

    basis = _BASIS_FRAC * (alike * shared[:, :, _BASIS] + apart * each[:, :, _BASIS])
    smooth = (inside + np.concatenate([np.zeros_like(inside[:, :, :1]), inside[:, :, :-1]], axis=2)) / 2
    mark_close = _fine(prices[:, :, 3] * (1 + basis), listed)
    mark_open = np.concatenate([state.mark[None], mark_close[:-1]])
    mark_high, mark_low = (
        _fine(price_before * np.exp(far) * (1 + basis), listed) for far in (smooth.max(axis=2), smooth.min(axis=2))
    )
    mark_high = np.maximum(mark_high, np.maximum(mark_open, mark_close))
    mark_low = np.minimum(mark_low, np.minimum(mark_open, mark_close))
    marks = np.stack([mark_open, mark_high, mark_low, mark_close, np.zeros_like(mark_close)], axis=2)

    premium = _INTEREST_FRAC + _PREMIUM_FRAC * (alike * shared[:, :, _PREMIUM] + apart * each[:, :, _PREMIUM])
    damped = premium + np.clip(_INTEREST_FRAC - premium, -_DAMPER_FRAC, _DAMPER_FRAC)
    rates = np.round(np.clip(damped, -_FUNDING_CAP_FRAC, _FUNDING_CAP_FRAC), 8).astype(np.float64)
    bars = np.concatenate([prices, volume[:, :, None]], axis=2)
    return (ts, bars, marks, rates), _State(wanderers[-1], closes[-1], close[-1], mark_close[-1])


def _wander(params: SimulatedMarket, shocks: Array, before: Array) -> Array:
    """Ornstein-Uhlenbeck processes of unit variance, bar by bar."""
    half_lives = np.where(np.isnan(_HALF_LIVES_H), params.drift_half_life_h, _HALF_LIVES_H)
    kept = 0.5 ** (micros_of(params.timeframe) / HOUR / half_lives)
    path = shocks * np.sqrt(1 - kept * kept)
    held = np.broadcast_to(kept, before.shape).copy()
    for now in path:  # a recursion has no vector form that is exact
        now += held * before  # noqa: PLW2901 - in place, in `path`
        before = now
    return path


def _season(ts: Micros) -> Array:
    hour = (ts % (24 * HOUR)) / HOUR
    weekday = (ts // (24 * HOUR) + 3) % 7  # 1970 began on a Thursday; Monday is 0
    wave = 1 + _DAY_WAVE * np.cos(2 * math.pi * (hour - 15) / 24)
    return np.asarray(wave * np.where(weekday >= 5, _WEEKEND, 1.0) / _WAVE_SCALE, dtype=np.float64)


def _moves(dice: _Dice) -> Array:
    """Steps of unit variance, with the tails of their bar."""
    return dice.steps * np.sqrt(dice.tails)[:, None]


def _jump(moves: Array, size: Array, step: npt.NDArray[np.int64]) -> None:
    bar, symbol = np.nonzero(size)
    where = np.broadcast_to(step, size.shape)[bar, symbol]
    moves[bar, symbol, where] += size[bar, symbol]


def _ticks(price: Array, tick: Array) -> Array:
    return np.maximum(np.rint(price / tick), FLOOR_TICKS)


def _priced(ticks: Array, listed: list[Listing]) -> Array:
    """Whole ticks as prices: the floats that the decimals are written as."""
    places = [-int(listing.tick.normalize().as_tuple().exponent) for listing in listed]
    scale = np.array([10.0**p for p in places])
    step = np.array([float(listing.tick.scaleb(p)) for listing, p in zip(listed, places, strict=True)])
    return np.asarray(ticks * step / scale, dtype=np.float64)


def _fine(price: Array, listed: list[Listing]) -> Array:
    """`price` to a hundredth of a tick, as a mark price is."""
    hundredths = np.array([float(listing.tick / 100) for listing in listed])
    return _priced(np.rint(price / hundredths), [replace(listing, tick=listing.tick / 100) for listing in listed])


def _frame(values: Array, index: pd.DatetimeIndex) -> pd.DataFrame:
    names = ("open", "high", "low", "close", "volume")
    return pd.DataFrame({name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)}, index=index)
