"""Lanes: the unbroken stretches of bars that indicators begin anew on, side by side for all symbols.

What recursions and running sums say depends a little on where they began. So they begin where every reader begins: time
is divided into blocks of `BLOCK` bars by the clock alone, and the values of a block are computed from its own bars and
the `WARM_UP` before it, whether the whole past is there or only the last `LOOKBACK` bars. Where a bar is missing they
begin anew, and say nothing for `SETTLED` bars.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qtlib.compiler import compiled
from qtlib.domain.panel import Array, Panel, Times
from qtlib.learning.sharing import shared

BLOCK = 256  # bars
WARM_UP = 256
LOOKBACK = WARM_UP + BLOCK
SETTLED = WARM_UP // 2  # bars after an interruption, or a listing, until a value is believed
FROM = LOOKBACK - 1  # the first column of which anything may be told

_LINE = 8  # lanes whose numbers lie side by side in a line of the cache

Stretches = npt.NDArray[np.int64]  # a row each: the symbol's row; the column of the first bar, of the first that is
# believed, and the one after the last


class Lanes(NamedTuple):
    """Stretches of bars, each (bars, lanes): all begin at the first row, and behind the end of a lane there is NaN."""

    high: Array
    low: Array
    close: Array
    volume: Array
    first: int  # rows before this one are warm-up in all of them


@shared
def lanes(panel: Panel) -> Lanes:
    """For each block and each symbol what is unbroken there, of the block's own bars and the warm-up before it."""
    stretches = _stretches(panel)
    if not len(stretches):
        none = np.empty((0, 0))
        return Lanes(none, none, none, none, 0)
    longest, count = int((stretches[:, 3] - stretches[:, 1]).max()), panel.close.size
    bars = np.empty((4, count + longest))
    for column, values in zip(bars, (panel.high, panel.low, panel.close, panel.volume), strict=True):
        column[:count].reshape(panel.close.shape)[:] = values
    high, low, close, volume = _laid(bars, len(panel), stretches, longest)
    return Lanes(high, low, close, volume, int((stretches[:, 2] - stretches[:, 1]).min()))


def placed(panel: Panel, found: Array) -> Array:
    """What was found in the lanes of `panel`, from their row `first` on, at its bars from the column `FROM` on."""
    out = np.full((len(panel.symbols), max(0, len(panel) - FROM)), np.nan)
    _put(found, _stretches(panel), lanes(panel).first, out)
    return out


# --- below ----------------------------------------------------------------------------------------------------------


@shared
def _stretches(panel: Panel) -> Stretches:
    """For each block, and each symbol that has unbroken bars there that are believed."""
    found: list[tuple[int, int, int, int]] = []
    there = ~np.isnan(panel.close + panel.volume)
    missing, turns = _so_far(~there.all(axis=0)), _so_far(np.diff(panel.times, 2) != 0)
    everybody = list(range(len(panel.symbols)))
    for block, end in _blocks(panel.times):
        first = block - WARM_UP
        whole = missing[first] == missing[end] and turns[first] == turns[end - 2]
        for rows, start, stop in [(everybody, first, end)] if whole else _unbroken(panel.times, there, first, end):
            known = max(block, start + SETTLED, FROM)
            if known < stop:
                found += [(row, start, known, stop) for row in rows]
    return np.array(found, dtype=np.int64).reshape(-1, 4)


def _blocks(times: Times) -> list[tuple[int, int]]:
    """The first column of each block, and the one after it; blocks whose warm-up is not all there are left out."""
    if len(times) <= WARM_UP:
        return []
    number = times // (BLOCK * np.diff(times).min())
    edges = [*(np.flatnonzero(np.diff(number)) + 1).tolist(), len(times)]
    return [(start, end) for start, end in pairwise(edges) if start >= WARM_UP and end >= LOOKBACK]


def _so_far(flags: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """How many there are before each place, and in all."""
    return np.concatenate([[0], np.cumsum(flags)])


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


@compiled
def _laid(bars: Any, width: int, stretches: Any, longest: int) -> Any:
    """Columns of symbols, one behind the other and each `width` bars long, as columns of (bars, lanes).

    Behind the last symbol as much as the longest lane is there, to be read over.
    """
    count = len(stretches)
    begins, lengths = stretches[:, 0] * width + stretches[:, 1], stretches[:, 3] - stretches[:, 1]
    out = np.empty((len(bars), longest, count))
    for column in range(len(bars)):
        flat, laid = bars[column], out[column]
        for lane in range(0, count, _LINE):
            end = min(lane + _LINE, count)
            for t in range(longest):
                for k in range(lane, end):
                    laid[t, k] = flat[begins[k] + t]
        for lane in range(count):
            laid[lengths[lane] :, lane] = np.nan
    return out


@compiled
def _put(found: Any, stretches: Any, first: int, out: Any) -> None:
    """Write into `out` what was found in each lane at the bars that are believed."""
    for lane in range(len(stretches)):
        row, start, known, stop = stretches[lane]
        for t in range(known, stop):
            out[row, t - FROM] = found[t - start - first, lane]
