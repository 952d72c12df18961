"""Windows over the last axis: what a number at a bar may be made of, so that its bits depend on nothing else.

A window is joined in an order that depends on its length alone, and nothing accumulates: the same bits come out of
the whole past and of the window's own bars, in vectors or one by one. One unknown value makes its windows unknown.
"""

import numpy as np
import numpy.typing as npt

from qtlib.domain.panel import Array

_AT_ONCE = 8_192  # values joined at a time: what they are joined in stays in the cache, and is asked of nobody anew


def windowed(join: np.ufunc, values: Array, span: int) -> Array:
    """`join` (an add, a maximum) over the last `span` values, NaN before; the order of joining depends on `span` alone.

    Windows of 2, 4, 8 … are each made of two halves, and the window asked for is put together from those.

    >>> windowed(np.add, np.array([1.0, 2.0, 4.0, 8.0]), 3).tolist()
    [nan, nan, 7.0, 14.0]
    """
    size = values.shape[-1]
    out = np.full(values.shape, np.nan)
    width = max(4 * span, _AT_ONCE // max(1, values.size // max(1, size)))
    for first in range(0, size - span + 1, width):
        part = _joined(join, values[..., first : first + width + span - 1], span)
        out[..., first + span - 1 : first + span - 1 + part.shape[-1]] = part
    return out


def mean(values: Array, span: int) -> Array:
    """The mean of the last `span` values."""
    total = windowed(np.add, values, span)
    return np.divide(total, span, out=total)


def ratio(above: Array, below: Array | float) -> Array:
    """`above / below`, and NaN where there is nothing to compare with."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return finite(above / below)


def finite(values: Array) -> Array:
    """`values` with NaN in place of the infinite, in place."""
    with np.errstate(invalid="ignore"):
        values += values - values
    return values


def still(moves: npt.NDArray[np.bool_], span: int) -> npt.NDArray[np.bool_]:
    """Where none of the last `span` bars has moved. Counts are whole numbers, so that adding them up is exact."""
    count = np.zeros((*moves.shape[:-1], moves.shape[-1] + span), dtype=np.int32)
    np.cumsum(moves, axis=-1, out=count[..., span:])
    return np.equal(count[..., span:], count[..., :-span])


def _joined(join: np.ufunc, values: Array, span: int) -> Array:
    size = values.shape[-1]
    block, length = values, 1  # block[i] joins values[i : i + length]
    total, done = None, 0  # total[i] joins values[i : i + done]
    while True:
        if span & length:
            total = block if total is None else join(total[..., : size - done - length + 1], block[..., done:])
            done += length
        if done == span:
            break
        block = join(block[..., :-length], block[..., length:])
        length *= 2
    assert total is not None
    return total
