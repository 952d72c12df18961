"""The simulated market's life, a chunk of bars after the other: what chance says, and the bars that come of it.

Arrays are (bar, symbol); where there are several of a kind, they lie one behind the other, each of them whole. Dice are
thrown for the market and for each symbol, all of them with a generator of its own, by seed, name and chunk: so
neighbours and what comes later change nothing.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from qtlib.market.simulated.likeness import Likeness, Numbers
from qtlib.market.simulated.regimes import DAY, Regime, Weather, guided, weather
from qtlib.market.timeframes import HOUR, Micros, micros_at

Array = npt.NDArray[np.float64]

CHUNK = 1024  # bars drawn at once; part of what a seed means
YEAR = 365.25 * 24 * HOUR  # [µs]
FLOOR_TICKS = 10  # no price falls below so many ticks
_MONDAY = micros_at("1970-01-05")


@dataclass(frozen=True)
class World:
    """All that the market is made from; arrays are by symbol."""

    seed: int
    symbols: tuple[str, ...]
    span: int  # of a bar [µs]
    start: int  # the first open [µs]
    edge: float
    drift_half_life_h: float
    regimes: tuple[Regime, ...]
    prices: Array
    ticks: tuple[Decimal, ...]
    yearly: Array  # volatility, fraction of price
    shared: Array  # correlation with what moves all symbols
    daily_volume: Array  # quote
    likeness: Likeness

    @cached_property
    def tick(self) -> Array:
        return np.array([float(tick) for tick in self.ticks])

    @cached_property
    def half_lives_h(self) -> Array:
        """Of what wanders: the parts of volatility, of volume and of funding, the drift, what jumps leave behind."""
        its = self.likeness
        parts = (its.volatility_half_lives_h, its.volume_half_lives_h, its.funding_half_lives_h)
        return np.array([*(h for part in parts for h in part), self.drift_half_life_h, its.jump_half_life_h])

    @cached_property
    def reach(self) -> float:
        """How much more variance a bar's range has than its change."""
        its = self.likeness
        return float(np.interp(math.log(self.span / HOUR), np.log(its.reach_spans_h), its.reach))

    @cached_property
    def diffusive(self) -> Array:
        """Yearly volatility without that of jumps, which come on top."""
        jumps = 2 * self.likeness.jumps_per_year * self.likeness.jump_size**2
        return np.asarray(self.yearly * math.sqrt(max(0.0, 1 - jumps)), dtype=np.float64)


class Lived(NamedTuple):
    ts: Micros  # closes
    last: Array  # symbol, column, bar
    mark: Array  # the same
    rates: Array  # symbol, bar: what would be settled at each close; NaN: nothing is


def lived(world: World, bars: int) -> Lived:
    """The first `bars` bars."""
    symbols, count = len(world.symbols), -(-bars // CHUNK)
    whole = Lived(
        world.start + (1 + np.arange(bars)) * world.span,
        np.empty((symbols, 5, bars)),
        np.empty((symbols, 5, bars)),
        np.empty((symbols, bars)),
    )
    state = _begin(world)
    with ThreadPoolExecutor(1) as ahead:  # dice are thrown while bars are made of those before
        thrown = ahead.submit(_throw, world, 0)
        for number in range(count):
            dice = thrown.result()
            if number + 1 < count:
                thrown = ahead.submit(_throw, world, number + 1)
            chunk, state = _chunk(world, number, dice, state)
            here = slice(number * CHUNK, min(bars, (number + 1) * CHUNK))
            rows = slice(here.stop - here.start)
            for column in range(5):
                whole.last[:, column, here] = chunk.last[column][rows].T
                whole.mark[:, column, here] = chunk.mark[column][rows].T
            whole.rates[:, here] = chunk.rates[rows].T
    return whole


# --- chance -----------------------------------------------------------------------------------------------


class _State(NamedTuple):
    """Where a chunk leaves off; by symbol."""

    wanderers: Array  # by (process, row): a row for the market, then one a symbol
    log_price: Array
    ticks: Array  # the last close
    mark: Array  # the last mark price
    astray: Array  # of the log price, from where a regime leads it


class _Dice(NamedTuple):
    """All that chance has to say in one chunk: by (bar, row), and a row is the market, then each symbol."""

    shocks: Array  # one behind the other for each process
    normal: Array  # ... and each use: the change, that of jumps, volume, mark price
    uniform: Array  # ... whether it jumps, how far up and down it reaches, where it opens
    tails: Array  # variance multipliers with mean 1


_CHANGE, _JUMP, _VOLUME, _MARK = range(4)
_JUMPS, _UP, _DOWN, _OPENS = range(4)
_DRIFT, _LEFT = -2, -1  # the last two that wander


def _begin(world: World) -> _State:
    rows = [_generator(world, name, 0).standard_normal(len(world.half_lives_h)) for name in ("", *world.symbols)]
    ticks = np.rint(world.prices / world.tick)
    wanderers = np.array(rows).T
    wanderers[_LEFT] = 0.0
    return _State(wanderers, np.log(world.prices), ticks, world.prices, np.zeros(len(ticks)))


def _generator(world: World, name: str, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([world.seed, crc32(name.encode()), number]))


def _throw(world: World, number: int) -> _Dice:
    shape, half = (CHUNK, 1 + len(world.symbols)), world.likeness.tails / 2
    processes = len(world.half_lives_h)
    found = _Dice(np.empty((processes, *shape)), np.empty((4, *shape)), np.empty((4, *shape)), np.empty(shape))
    for row, name in enumerate(("", *world.symbols)):
        dice = _generator(world, name, number + 1)
        found.shocks[:, :, row] = dice.standard_normal((CHUNK, processes)).T
        found.normal[:, :, row] = dice.standard_normal((CHUNK, 4)).T
        found.uniform[:, :, row] = dice.random((CHUNK, 4)).T
        found.tails[:, row] = (half - 1) / dice.standard_gamma(half, CHUNK)
    return found


def _wander(world: World, dice: _Dice, before: Array) -> Array:
    """Ornstein-Uhlenbeck processes of unit variance, bar by bar; the last of them is what jumps leave of variance."""
    kept = 0.5 ** (world.span / HOUR / world.half_lives_h)
    path = dice.shocks * np.sqrt(1 - kept * kept)[:, None, None]
    jumps = dice.uniform[_JUMPS] < world.likeness.jumps_per_year * world.span / YEAR
    path[_LEFT] = jumps * dice.shocks[_LEFT] ** 2
    held = np.repeat(kept[:, None], before.shape[1], axis=1)
    for now in path.swapaxes(0, 1):  # a recursion has no vector form that is exact
        now += held * before  # noqa: PLW2901 - in place, in `path`
        before = now
    return path


# --- bars -------------------------------------------------------------------------------------------------


class _Bars(NamedTuple):
    """What a chunk has: columns of (bar, symbol)."""

    last: list[Array]
    mark: list[Array]
    rates: Array


def _chunk(world: World, number: int, dice: _Dice, state: _State) -> tuple[_Bars, _State]:
    ts = world.start + (1 + CHUNK * number + np.arange(CHUNK)) * world.span
    sky = weather(world.regimes, world.symbols, ts - world.span, world.start, world.span)
    wanderers = _wander(world, dice, state.wanderers)
    usual, vol, moves = _moves(world, ts, wanderers, dice, sky)
    moves, astray = guided(moves, sky, state.astray)

    closes = state.log_price + np.cumsum(moves, axis=0)
    before = np.exp(np.concatenate([state.log_price[None], closes[:-1]]))
    up, down = _reached(moves, vol * math.sqrt(world.reach), dice.uniform[:, :, 1:])
    close = np.maximum(np.rint(np.exp(closes) / world.tick), FLOOR_TICKS)
    if sky.silent.any():
        close = _held(close, sky.silent, state.ticks)
    ended = np.concatenate([state.ticks[None], close[:-1]])
    open_ = np.maximum(ended + _seam(world, dice.uniform[_OPENS, :, 1:]), FLOOR_TICKS)
    high = np.maximum(np.rint(before * up / world.tick), np.maximum(open_, close))
    low = np.maximum(np.minimum(np.rint(before * down / world.tick), np.minimum(open_, close)), FLOOR_TICKS)
    ticks = [np.where(sky.silent, ended, price) for price in (open_, high, low, close)]
    volume = _volume(world, wanderers, dice, (high - low) * world.tick / before, np.exp(closes))
    last = [*(_priced(price, world.ticks) for price in ticks), np.where(sky.silent, 0.0, volume)]

    hourly = usual * math.sqrt(HOUR / world.span)
    away = np.exp(world.likeness.mark_noise * hourly * dice.normal[_MARK, :, 1:])
    mark_close = np.exp(closes) * away
    mark = _marks(world, state.mark, mark_close, before * np.sqrt(up), before * np.sqrt(down))
    rates = np.where(sky.silent, np.nan, _rates(world, wanderers))
    return _Bars(last, mark, rates), _State(wanderers[:, -1], closes[-1], ticks[3][-1], mark[3][-1], astray)


def _moves(world: World, ts: Micros, wanderers: Array, dice: _Dice, sky: Weather) -> tuple[Array, Array, Array]:
    """Of each bar: the usual volatility, its own with its tails, and its change of the log price."""
    its, years = world.likeness, world.span / YEAR
    part = slice(0, len(its.volatility_half_lives_h))
    seen = _averaged(world)[part]  # of what wanders faster than a bar, only the mean over the bar is seen
    together, alone = np.array(its.volatility_shared) * seen, np.array(its.volatility_own) * seen
    log_vol = _summed(wanderers[part], together, alone)
    log_vol -= (together**2).sum() + (alone**2).sum()  # the mean of the squares is 1
    season = _season(its, ts - world.span // 2)[:, None]
    usual = world.diffusive * math.sqrt(years) * season * np.exp(log_vol) * sky.volatility

    alike, apart = world.shared, np.sqrt(1 - world.shared**2)
    change = dice.normal[_CHANGE] * np.sqrt(dice.tails)
    change = alike * change[:, :1] + apart * change[:, 1:]
    # a jump's variance is let go by halves, so that it has aftershocks
    let_go = wanderers[_LEFT] * (1 - 0.5 ** (world.span / HOUR / its.jump_half_life_h)) * its.jump_size**2
    jump = np.sqrt(let_go) * dice.normal[_JUMP]
    jump = jump[:, :1] + jump[:, 1:]
    jumpy = world.yearly**2 * (let_go[:, :1] + let_go[:, 1:])

    sure = alike * wanderers[_DRIFT, :, :1] + apart * wanderers[_DRIFT, :, 1:]
    drift = world.edge * world.yearly * sure * years - (usual**2 + jumpy) / 2  # a price, not its logarithm, drifts by 0
    vol = np.sqrt(usual**2 * (alike**2 * dice.tails[:, :1] + apart**2 * dice.tails[:, 1:]) + jumpy)
    return usual, vol, drift + usual * change + world.yearly * jump


def _summed(wanderers: Array, shared: Array | Numbers, own: Array | Numbers) -> Array:
    """What wanders, as the sum of its parts: those of the market, and each symbol's own."""
    together = sum(its[:, :1] * size for its, size in zip(wanderers, shared, strict=True))
    return np.asarray(together + sum(its[:, 1:] * size for its, size in zip(wanderers, own, strict=True)), np.float64)


def _averaged(world: World) -> Array:
    """Standard deviation of a bar's mean of what wanders, by how fast it does."""
    x = math.log(2) * world.span / HOUR / world.half_lives_h
    return np.sqrt(2 * (x - 1 + np.exp(-x)) / x**2)


def _season(its: Likeness, ts: Micros) -> Array:
    hour = (ts % DAY) // HOUR
    weekday = (ts - _MONDAY) // DAY % 7
    return np.asarray(np.array(its.hours)[hour] * np.array(its.days)[weekday], dtype=np.float64)


def _reached(moves: Array, vol: Array, uniform: Array) -> tuple[Array, Array]:
    """How far up and down each bar goes, as factors of its open: extremes of a Brownian bridge to its close."""
    wide = [np.sqrt(moves**2 - 2 * vol**2 * np.log(1 - uniform[use])) for use in (_UP, _DOWN)]
    return np.exp((moves + wide[0]) / 2), np.exp((moves - wide[1]) / 2)


def _seam(world: World, uniform: Array) -> Array:
    """Ticks between a close and the next open: none, or one up or down."""
    same = world.likeness.unmoved
    return np.where(uniform < same, 0.0, np.where(uniform < (1 + same) / 2, -1.0, 1.0))


def _held(close: Array, silent: npt.NDArray[np.bool_], before: Array) -> Array:
    """The last close at which something traded."""
    row = np.where(silent, 0, np.arange(1, len(close) + 1)[:, None])
    known = np.concatenate([before[None], close])
    return np.take_along_axis(known, np.maximum.accumulate(row, axis=0), axis=0)


def _volume(world: World, wanderers: Array, dice: _Dice, range_frac: Array, price: Array) -> Array:
    """In base: more where prices range further, with good and bad months."""
    its = world.likeness
    first = len(its.volatility_half_lives_h)
    part = slice(first, first + len(its.volume_half_lives_h))
    seen = _averaged(world)[part]
    level = _summed(wanderers[part], np.array(its.volume_shared) * seen, np.array(its.volume_own) * seen)
    usual = 1.5 * world.yearly * math.sqrt(world.span / YEAR)  # the range in the middle, nearly
    busy = its.volume_slope * np.log(np.maximum(range_frac, 0.02 * usual) / usual)
    traded = (
        world.daily_volume * world.span / DAY * np.exp(busy + level + its.volume_noise * dice.normal[_VOLUME, :, 1:])
    )
    return np.maximum(np.round(traded / price, 3), 0.001)


def _marks(world: World, opens: Array, close: Array, high: Array, low: Array) -> list[Array]:
    """Bars of the mark price: smoother than trades, and each opens where the one before closed."""
    fine = tuple(tick / 100 for tick in world.ticks)  # its own, finer tick
    size = np.array([float(tick) for tick in fine])
    close, high, low = (_priced(np.rint(price / size), fine) for price in (close, high, low))
    open_ = np.concatenate([opens[None], close[:-1]])
    high, low = np.maximum(high, np.maximum(open_, close)), np.minimum(low, np.minimum(open_, close))
    return [open_, high, low, close, np.zeros_like(close)]


def _rates(world: World, wanderers: Array) -> Array:
    """Funding rates: a wandering rank, told as the rate of that rank."""
    its = world.likeness
    part = slice(_DRIFT - len(its.funding_half_lives_h), _DRIFT)
    rank = _summed(wanderers[part], its.funding_shared, its.funding_own)
    return np.round(np.interp(rank, its.funding_levels, its.funding_rates), 8)


def _priced(count: Array, ticks: tuple[Decimal, ...]) -> Array:
    """Whole ticks as prices: the floats that the decimals are written as."""
    places = [-int(tick.normalize().as_tuple().exponent) for tick in ticks]
    scale = np.array([10.0**p for p in places])
    step = np.array([float(tick.scaleb(p)) for tick, p in zip(ticks, places, strict=True)])
    return np.asarray(count * step / scale, dtype=np.float64)
