"""Indicators of TA-Lib, over blocks of bars that begin at fixed instants.

Most of TA-Lib's functions are recursions or running sums: each value depends a little on where they began. So here
they begin where every reader begins: time is divided into blocks of `BLOCK` bars by the clock alone, and the values of
a block are computed from its own bars and the `WARM_UP` before it, whether the whole past is there or only the last
`LOOKBACK` bars. What an indicator would remember of earlier bars is a few parts in 10,000 of its standard deviation at
most (means over 28 and 50 bars; for those over 14, less than one in a million). Where a bar is missing it begins anew,
and says nothing for `SETTLED` bars; nor does it where the price stood still, or nothing was traded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from inspect import unwrap
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qtlib.domain.panel import Array, Panel, Times
from qtlib.lean import without
from qtlib.learning.sharing import shared
from qtlib.learning.windows import finite, still

with without("polars"):  # a quarter of a second, for frames that TA-Lib could take and never gets here
    import talib

BLOCK = 256  # bars
WARM_UP = 256
LOOKBACK = WARM_UP + BLOCK
SETTLED = WARM_UP // 2  # bars after an interruption, or a listing, until a value is believed
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


@dataclass(frozen=True)
class Bars:
    """Unbroken bars of one symbol."""

    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array

    @cached_property
    def range(self) -> Any:
        """The average true range of 14 bars (Wilder 1978): the unit of distances."""
        return _atr(self.high, self.low, self.close, 14)


Indicator = Callable[[Bars], Any]  # values for each of the bars


def anchored(panel: Panel, indicator: Indicator) -> Array:
    """`indicator` at each bar of `panel`, from the bars of its block and the warm-up before it. (symbols, bars)"""
    out = np.full(panel.close.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for row, start, known, end, bars in _stretches(panel):
            out[row, known:end] = indicator(bars)[known - start :]
    told = out[:, LOOKBACK - 1 :]
    told[_silent(panel)[:, LOOKBACK - 1 :]] = np.nan
    finite(told)
    return out


def rsi(span: int) -> Indicator:
    """Relative strength (Wilder 1978), -1 .. +1."""
    return lambda bars: _rsi(bars.close, span) / 50.0 - 1.0


def macd(fast: int, slow: int, signal: int) -> Indicator:
    """The histogram of moving average convergence and divergence (Appel), in average true ranges."""

    return lambda bars: _macd(bars.close, fast, slow, signal)[2] / bars.range


def ultimate(bars: Bars) -> Array:
    """The ultimate oscillator of three spans (Williams 1985), -1 .. +1."""
    values: Array = _ultosc(bars.high, bars.low, bars.close, 7, 14, 28) / 50.0 - 1.0
    return values


def range_frac(span: int) -> Indicator:
    """Wilder's average true range, as a fraction of the close."""
    return lambda bars: _atr(bars.high, bars.low, bars.close, span) / bars.close


def adx(span: int) -> Indicator:
    """How strong a trend is, whichever way (average directional index, Wilder 1978), 0 .. 1."""
    return lambda bars: _adx(bars.high, bars.low, bars.close, span) / 100.0


def directional(span: int) -> Indicator:
    """Which way: the plus less the minus directional indicator (Wilder 1978), -1 .. +1."""

    def of(bars: Bars) -> Any:
        prices = bars.high, bars.low, bars.close
        return (_plus_di(*prices, span) - _minus_di(*prices, span)) / 100.0

    return of


def aroon(span: int) -> Indicator:
    """Whether the highest high or the lowest low is nearer (Chande 1995), -1 .. +1."""
    return lambda bars: _aroonosc(bars.high, bars.low, span) / 100.0


def from_average(span: int) -> Indicator:
    """How far the close is from its exponential mean, in average true ranges."""
    return lambda bars: (bars.close - _ema(bars.close, span)) / bars.range


def from_parabola(bars: Bars) -> Any:
    """How far the close is from the parabolic stop (Wilder 1978), in average true ranges."""
    return (bars.close - _sar(bars.high, bars.low, 0.02, 0.2)) / bars.range


def slope(span: int) -> Indicator:
    """The slope of the least squares line through `span` closes, in average true ranges a bar."""
    return lambda bars: _linearreg_slope(bars.close, span) / bars.range


def money_flow(span: int) -> Indicator:
    """Relative strength weighted by volume (money flow index, Quong and Soudack 1989), -1 .. +1."""
    return lambda bars: _mfi(bars.high, bars.low, bars.close, bars.volume, span) / 50.0 - 1.0


def accumulation(fast: int, slow: int) -> Indicator:
    """Chaikin's oscillator of accumulation and distribution, in bars of mean volume over `slow` bars."""

    def of(bars: Bars) -> Any:
        flow = _adosc(bars.high, bars.low, bars.close, bars.volume, fast, slow)
        return flow / _ema(bars.volume, slow)

    return of


# --- below ----------------------------------------------------------------------------------------------------------


def _blocks(times: Times) -> list[tuple[int, int]]:
    """The first column of each block, and the one after it; blocks whose warm-up is not all there are left out."""
    if len(times) <= WARM_UP:
        return []
    number = times // (BLOCK * np.diff(times).min())
    edges = [*(np.flatnonzero(np.diff(number)) + 1).tolist(), len(times)]
    return [(start, end) for start, end in pairwise(edges) if start >= WARM_UP and end >= LOOKBACK]


@shared
def _stretches(panel: Panel) -> list[tuple[int, int, int, int, Bars]]:
    """For each symbol and block: its row, where unbroken bars start, from where they are believed, their end; they."""
    found = []
    columns = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    there = ~np.isnan(panel.close + panel.volume)
    for block, end in _blocks(panel.times):
        for rows, start, stop in _unbroken(panel.times, there, block - WARM_UP, end):
            known = max(block, start + SETTLED, LOOKBACK - 1)
            if known < stop:
                found += [(row, start, known, stop, Bars(*(c[row, start:stop] for c in columns))) for row in rows]
    return found


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
