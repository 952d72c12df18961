"""Indicators: what recursions make of bars, as pure numbers.

They begin where every reader begins, in `lanes`; their arithmetic is in `recursions`. What an indicator would remember
of bars before its warm-up is a few parts in 10,000 of its standard deviation at most (means over 28 and 50 bars; for
those over 14, less than one in a million). They say nothing where the price stood still, or nothing was traded.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from qtlib.compiler import compiled
from qtlib.domain.panel import Array, Panel
from qtlib.learning import recursions
from qtlib.learning.lanes import FROM, lanes, placed
from qtlib.learning.recursions import Pair
from qtlib.learning.sharing import shared
from qtlib.learning.windows import ratio, still

_STILL = 14  # bars


def rsi(p: Panel, span: int) -> Array:
    """Relative strength (Wilder 1978), -1 .. +1."""
    on = lanes(p)
    return _told(p, placed(p, recursions.rsi(on.close, span, on.first)) / 50.0 - 1.0)


def macd(p: Panel, fast: int, slow: int, signal: int) -> Array:
    """The histogram of moving average convergence and divergence (Appel), in average true ranges."""
    on = lanes(p)
    found = placed(p, recursions.macd(on.close, fast, slow, signal, on.first))
    return _told(p, ratio(found, average_range(p, 14)))


def ultimate(p: Panel, short: int, medium: int, long: int) -> Array:
    """The ultimate oscillator of three spans (Williams 1985), -1 .. +1."""
    on = lanes(p)
    found = placed(p, recursions.ultimate(on.high, on.low, on.close, short, medium, long, on.first))
    return _told(p, found / 50.0 - 1.0)


def range_frac(p: Panel, span: int) -> Array:
    """Wilder's average true range, as a fraction of the close."""
    return _told(p, ratio(average_range(p, span), p.close[:, FROM:]))


def adx(p: Panel, span: int) -> Array:
    """How strong a trend is, whichever way (average directional index, Wilder 1978), 0 .. 1."""
    return _told(p, placed(p, _movement(p, span)[1]) / 100.0)


def directional(p: Panel, span: int) -> Array:
    """Which way: the plus less the minus directional indicator (Wilder 1978), -1 .. +1."""
    return _told(p, placed(p, _movement(p, span)[0]) / 100.0)


def aroon(p: Panel, span: int) -> Array:
    """Whether the highest high or the lowest low is nearer (Chande 1995), -1 .. +1."""
    on = lanes(p)
    return _told(p, placed(p, recursions.aroon(on.high, on.low, span, on.first)) / 100.0)


def from_average(p: Panel, span: int) -> Array:
    """How far the close is from its exponential mean, in average true ranges."""
    on = lanes(p)
    mean = placed(p, recursions.mean(on.close, span, on.first))
    return _told(p, ratio(p.close[:, FROM:] - mean, average_range(p, 14)))


def from_parabola(p: Panel, step: float, most: float) -> Array:
    """How far the close is from the parabolic stop (Wilder 1978), in average true ranges."""
    on = lanes(p)
    stop = placed(p, recursions.parabola(on.high, on.low, step, most, on.first))
    return _told(p, ratio(p.close[:, FROM:] - stop, average_range(p, 14)))


def slope(p: Panel, span: int) -> Array:
    """The slope of the least squares line through `span` closes, in average true ranges a bar."""
    on = lanes(p)
    return _told(p, ratio(placed(p, recursions.slope(on.close, span, on.first)), average_range(p, 14)))


def money_flow(p: Panel, span: int) -> Array:
    """Relative strength weighted by volume (money flow index, Quong and Soudack 1989), -1 .. +1."""
    on = lanes(p)
    return _told(p, placed(p, recursions.money_flow(*on[:4], span, on.first)) / 50.0 - 1.0)


def accumulation(p: Panel, fast: int, slow: int) -> Array:
    """Chaikin's oscillator of accumulation and distribution, in bars of mean volume over `slow` bars."""
    on = lanes(p)
    flow = placed(p, recursions.accumulation(*on[:4], fast, slow, on.first))
    return _told(p, ratio(flow, placed(p, recursions.mean(on.volume, slow, on.first))))


@shared
def average_range(p: Panel, span: int) -> Array:
    """The average true range (Wilder 1978), the unit of distances, from the column `FROM` on."""
    on = lanes(p)
    return placed(p, recursions.average_range(on.high, on.low, on.close, span, on.first))


# --- below ----------------------------------------------------------------------------------------------------------


@shared
def _movement(p: Panel, span: int) -> Pair:
    on = lanes(p)
    return recursions.directional(on.high, on.low, on.close, span, on.first)


def _told(panel: Panel, values: Array) -> Array:
    """`values` from the column `FROM` on, as (symbols, bars): nothing before, nor where nothing happens."""
    out = np.empty(panel.close.shape)
    out[:, :FROM] = np.nan
    _speak(values, _silent(panel), out)
    return out


@compiled
def _speak(values: Any, silent: Any, out: Any) -> None:
    for row in range(len(values)):
        for t in range(values.shape[1]):
            value = values[row, t]
            out[row, FROM + t] = value + 0.0 if value - value == 0.0 and not silent[row, t] else np.nan


@shared
def _silent(panel: Panel) -> npt.NDArray[np.bool_]:
    """Where the price has stood still, or nothing was traded: nothing is said there. From the column `FROM` on."""
    recent = panel.between(max(0, FROM - _STILL), len(panel))  # and a close before the first of those bars
    moves = recent.high != recent.low
    moves[:, 1:] |= recent.close[:, 1:] != recent.close[:, :-1]
    return still(moves & (recent.volume > 0.0), _STILL)[:, _STILL:]
