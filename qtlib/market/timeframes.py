"""Timeframes: how long a bar is, and the grid on which bars close.

A timeframe is written as the venue writes it, "5m" or "1h". Times inside this room are whole microseconds since
1970 UTC (`int64`), because arrays of them compare and subtract exactly and fast.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

Micros = npt.NDArray[np.int64]

MINUTE = 60_000_000  # [µs]
HOUR = 60 * MINUTE

_STAMP = pd.DatetimeTZDtype("us", "UTC")
_UNITS = {"m": MINUTE, "h": HOUR, "d": 24 * HOUR}


def micros_of(timeframe: str) -> int:
    """The length of a bar, in microseconds.

    >>> micros_of("15m") == 15 * MINUTE
    True
    """
    count, unit = timeframe[:-1], timeframe[-1:]
    if not (count.isascii() and count.isdigit() and int(count) and unit in _UNITS):
        raise ValueError(
            f"{timeframe!r} is no timeframe: write a whole number of minutes, hours or days, as in 5m, 1h, 1d"
        )
    return int(count) * _UNITS[unit]


def length_of(timeframe: str) -> timedelta:
    """The length of a bar."""
    return timedelta(microseconds=micros_of(timeframe))


def micros_at(instant: datetime | str) -> int:
    """`instant` (or the ISO text of one) in microseconds since 1970; what names no zone is UTC.

    >>> micros_at("1970-01-01 01:00") == micros_at(datetime(1970, 1, 1, 1, tzinfo=UTC)) == HOUR
    True
    """
    stamp = pd.Timestamp(instant)
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
    return int(stamp.as_unit("us").asm8.astype(np.int64))


def datetime_at(micros: int) -> datetime:
    """The aware UTC datetime at `micros`."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(micros))


def index_of(micros: Micros) -> pd.DatetimeIndex:
    """`micros` as the index every frame has: aware, UTC, named ts."""
    return pd.DatetimeIndex(micros, dtype=_STAMP, name="ts", copy=False)


def indexed(index: pd.Index) -> pd.DatetimeIndex:
    """The same times as the index every frame has; as it is where it is one."""
    if isinstance(index, pd.DatetimeIndex) and index.dtype == _STAMP and index.name == "ts" and index.freq is None:
        return index
    return index_of(micros_in(index))


def micros_in(index: pd.Index) -> Micros:
    """The times of an aware index, in microseconds."""
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise ValueError("bars are indexed by the time of their close, aware and in UTC")
    return np.asarray((index if index.unit == "us" else index.as_unit("us")).asi8, dtype=np.int64)


def among(times: Micros, others: Micros) -> npt.NDArray[np.bool_]:
    """Which of `times` are in `others`, which ascend.

    >>> among(np.array([1, 2, 5]), np.array([2, 3, 4])).tolist()
    [False, True, False]
    """
    if np.array_equal(times, others):  # as bars and their mark prices do, mostly
        return np.ones(len(times), dtype=np.bool_)
    if not len(others):
        return np.zeros(len(times), dtype=np.bool_)
    place = np.minimum(np.searchsorted(others, times), len(others) - 1)
    return np.asarray(others[place] == times)
