"""Indicators of TA-Lib, over blocks of bars that begin at fixed instants.

Most of TA-Lib's functions are recursions or running sums: each value depends a little on where they began. So here
they begin where every reader begins: time is divided into blocks of `BLOCK` bars by the clock alone, and the values of
a block are computed from its own bars and the `WARM_UP` before it, whether the whole past is there or only the last
`LOOKBACK` bars. What an indicator would remember of earlier bars is a few parts in 10,000 of its standard deviation at
most (means over 28 and 50 bars; for those over 14, less than one in a million). Where a bar is missing it begins anew,
and says nothing for `SETTLED` bars; nor does it where the price stood still, or nothing was traded.
"""

from collections.abc import Callable, Iterator
from inspect import unwrap
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qtlib.domain.panel import Array, Panel, Times
from qtlib.lean import without
from qtlib.learning.sharing import shared
from qtlib.learning.windows import finite, ratio, still

with without("polars"):  # a quarter of a second, for frames that TA-Lib could take and never gets here
    import talib

BLOCK = 256  # bars
WARM_UP = 256
LOOKBACK = WARM_UP + BLOCK
SETTLED = WARM_UP // 2  # bars after an interruption, or a listing, until a value is believed
FROM = LOOKBACK - 1  # the first column of which anything may be told
_STILL = 14  # bars

# the functions themselves: what is around them, for frames, takes longer than they do
_adosc = unwrap(talib.ADOSC)
_adx = unwrap(talib.ADX)
_aroonosc = unwrap(talib.AROONOSC)
_atr = unwrap(talib.ATR)
_ema = unwrap(talib.EMA)
_linearreg_slope = unwrap(talib.LINEARREG_SLOPE)
_macd = unwrap(talib.MACD)
_mfi = unwrap(talib.MFI)
_minus_di = unwrap(talib.MINUS_DI)
_plus_di = unwrap(talib.PLUS_DI)
_rsi = unwrap(talib.RSI)
_sar = unwrap(talib.SAR)
_ultosc = unwrap(talib.ULTOSC)


class Bars(NamedTuple):
    """Unbroken bars of one symbol."""

    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array


def rsi(p: Panel, span: int) -> Array:
    """Relative strength (Wilder 1978), -1 .. +1."""
    return _told(p, anchored(p, lambda bars: _rsi(bars.close, span)) / 50.0 - 1.0)


def macd(p: Panel, fast: int, slow: int, signal: int) -> Array:
    """The histogram of moving average convergence and divergence (Appel), in average true ranges."""
    return _told(p, ratio(anchored(p, lambda bars: _macd(bars.close, fast, slow, signal)[2]), average_range(p, 14)))


def ultimate(p: Panel, short: int, medium: int, long: int) -> Array:
    """The ultimate oscillator of three spans (Williams 1985), -1 .. +1."""
    found = anchored(p, lambda bars: _ultosc(bars.high, bars.low, bars.close, short, medium, long))
    return _told(p, found / 50.0 - 1.0)


def range_frac(p: Panel, span: int) -> Array:
    """Wilder's average true range, as a fraction of the close."""
    return _told(p, ratio(average_range(p, span), p.close[:, FROM:]))


def adx(p: Panel, span: int) -> Array:
    """How strong a trend is, whichever way (average directional index, Wilder 1978), 0 .. 1."""
    return _told(p, anchored(p, lambda bars: _adx(bars.high, bars.low, bars.close, span)) / 100.0)


def directional(p: Panel, span: int) -> Array:
    """Which way: the plus less the minus directional indicator (Wilder 1978), -1 .. +1."""
    plus = anchored(p, lambda bars: _plus_di(bars.high, bars.low, bars.close, span))
    minus = anchored(p, lambda bars: _minus_di(bars.high, bars.low, bars.close, span))
    return _told(p, (plus - minus) / 100.0)


def aroon(p: Panel, span: int) -> Array:
    """Whether the highest high or the lowest low is nearer (Chande 1995), -1 .. +1."""
    return _told(p, anchored(p, lambda bars: _aroonosc(bars.high, bars.low, span)) / 100.0)


def from_average(p: Panel, span: int) -> Array:
    """How far the close is from its exponential mean, in average true ranges."""
    mean = anchored(p, lambda bars: _ema(bars.close, span))
    return _told(p, ratio(p.close[:, FROM:] - mean, average_range(p, 14)))


def from_parabola(p: Panel, step: float, most: float) -> Array:
    """How far the close is from the parabolic stop (Wilder 1978), in average true ranges."""
    stop = anchored(p, lambda bars: _sar(bars.high, bars.low, step, most))
    return _told(p, ratio(p.close[:, FROM:] - stop, average_range(p, 14)))


def slope(p: Panel, span: int) -> Array:
    """The slope of the least squares line through `span` closes, in average true ranges a bar."""
    return _told(p, ratio(anchored(p, lambda bars: _linearreg_slope(bars.close, span)), average_range(p, 14)))


def money_flow(p: Panel, span: int) -> Array:
    """Relative strength weighted by volume (money flow index, Quong and Soudack 1989), -1 .. +1."""
    return _told(p, anchored(p, lambda bars: _mfi(bars.high, bars.low, bars.close, bars.volume, span)) / 50.0 - 1.0)


def accumulation(p: Panel, fast: int, slow: int) -> Array:
    """Chaikin's oscillator of accumulation and distribution, in bars of mean volume over `slow` bars."""
    flow = anchored(p, lambda bars: _adosc(bars.high, bars.low, bars.close, bars.volume, fast, slow))
    return _told(p, ratio(flow, anchored(p, lambda bars: _ema(bars.volume, slow))))


@shared
def average_range(p: Panel, span: int) -> Array:
    """The average true range (Wilder 1978), the unit of distances, from the column `FROM` on."""
    return anchored(p, lambda bars: _atr(bars.high, bars.low, bars.close, span))


def anchored(panel: Panel, of: Callable[[Bars], Any]) -> Array:
    """What TA-Lib makes of the bars of each block and the warm-up before it, at each bar from the column `FROM` on."""
    out = np.full((len(panel.symbols), max(0, len(panel) - FROM)), np.nan)
    for row, columns, before, bars in _stretches(panel):
        out[row, columns] = of(bars)[before:]
    return out


# --- below ----------------------------------------------------------------------------------------------------------


def _blocks(times: Times) -> list[tuple[int, int]]:
    """The first column of each block, and the one after it; blocks whose warm-up is not all there are left out."""
    if len(times) <= WARM_UP:
        return []
    number = times // (BLOCK * np.diff(times).min())
    edges = [*(np.flatnonzero(np.diff(number)) + 1).tolist(), len(times)]
    return [(start, end) for start, end in pairwise(edges) if start >= WARM_UP and end >= LOOKBACK]


def _told(panel: Panel, values: Array) -> Array:
    """`values` from the column `FROM` on, as (symbols, bars): nothing before, nor where nothing happens."""
    values[_silent(panel)[:, FROM:]] = np.nan
    out = np.full(panel.close.shape, np.nan)
    out[:, FROM:] = finite(values)
    return out


@shared
def _stretches(panel: Panel) -> list[tuple[int, slice, int, Bars]]:
    """For each symbol and block: its row, the columns after `FROM` at which unbroken bars are believed, how many there
    are before those; they."""
    found = []
    columns = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    there = ~np.isnan(panel.close + panel.volume)
    missing, turns = _so_far(~there.all(axis=0)), _so_far(np.diff(panel.times, 2) != 0)
    everybody = list(range(len(panel.symbols)))
    for block, end in _blocks(panel.times):
        first = block - WARM_UP
        whole = missing[first] == missing[end] and turns[first] == turns[end - 2]
        for rows, start, stop in [(everybody, first, end)] if whole else _unbroken(panel.times, there, first, end):
            known = max(block, start + SETTLED, FROM)
            if known < stop:
                believed, before = slice(known - FROM, stop - FROM), known - start
                found += [(row, believed, before, Bars(*(c[row, start:stop] for c in columns))) for row in rows]
    return found


def _so_far(flags: npt.ArrayLike) -> list[int]:
    """How many there are before each place, and in all."""
    return [0, *np.cumsum(flags).tolist()]


@shared
def _silent(panel: Panel) -> npt.NDArray[np.bool_]:
    """Where the price has stood still, or nothing was traded: nothing is said there."""
    moves = panel.high != panel.low
    moves[:, 1:] |= panel.close[:, 1:] != panel.close[:, :-1]
    return still(moves & (panel.volume > 0.0), _STILL)


def _unbroken(times: Times, there: npt.NDArray[np.bool_], first: int, end: int) -> Iterator[tuple[list[int], int, int]]:
    """The stretches without a missing bar from column `first` to `end`: of which rows, from where, to where."""
    steps = np.diff(times[first:end])
    jumps = np.flatnonzero(steps != steps.min()) + 1 + first  # where no symbol has a bar
    for a, b in pairwise([first, *jumps.tolist(), end]):
        present = there[:, a:b]
        whole = present.all(axis=1)
        yield np.flatnonzero(whole).tolist(), a, b
        for row in np.flatnonzero(~whole & present.any(axis=1)).tolist():
            edges = np.flatnonzero(np.diff(present[row].astype(np.int8), prepend=0, append=0)) + a
            yield from (([row], c, d) for c, d in edges.reshape(-1, 2).tolist())
