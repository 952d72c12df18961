"""Quality: what may be wrong with bars, said before money hangs on it. Bad bars never trade.

`check` looks at one frame and leaves one `Finding` for each kind of fault. A finding that refuses makes the frame
unfit to be read at all; one that warns is for the eyes, and `usable` marks the single bars that may not be traded.
Frames are indexed by the bar's close (aware UTC), prices are in quote, volume in base.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.market.timeframes import Micros, datetime_at, micros_at, micros_in, micros_of

COLUMNS = ("open", "high", "low", "close", "volume")
OUTAGE = 3  # so many bars in a row without a trade are an outage, and what follows them starts anew
JUMP = 2.0  # a price that moves by this factor from one bar to the next deserves a look
MAX_FUNDING = 0.05  # no venue settles more than this fraction at once; more means percent
AT_ONCE = 16_384  # rows looked at together: what is reckoned of them stays in the processor's cache

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]  # numbers of rows, ascending


class Severity(Enum):
    REFUSE = "refuse"  # must not be read
    WARN = "warn"  # may be read, should be known


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault in one symbol's bars: how often, from when to when, and in words."""

    symbol: str
    series: str  # the one concerned, named as its file is: BTCUSDT-1h, BTCUSDT-1h-mark, BTCUSDT-funding
    kind: str  # order, duplicate, grid, missing value, ohlc, gap, no volume, jump, stale end, funding
    severity: Severity
    count: int
    first: datetime
    last: datetime
    words: str

    @property
    def refuses(self) -> bool:
        return self.severity is Severity.REFUSE

    def __str__(self) -> str:
        return f"{self.series}: {self.words}"


def check(
    bars: pd.DataFrame, timeframe: str, symbol: str, *, traded: bool = True, until: datetime | str | None = None
) -> tuple[Finding, ...]:
    """What is wrong with `bars`, worst first; nothing is found in good ones.

    `traded=False` is for mark prices, which have no volume. `until` is when the bars should reach.
    """
    if not len(bars):
        return ()
    ts, span = micros_in(bars.index), micros_of(timeframe)
    columns = [bars[name].to_numpy(np.float64) for name in COLUMNS]
    broken = _broken(ts, columns, span)
    at = _Where(symbol, f"{symbol}-{timeframe}" if traded else f"{symbol}-{timeframe}-mark", ts)
    found = [
        at.refuse("order", broken["order"], "bars that stand after a later one"),
        at.refuse("duplicate", broken["duplicate"], "bars that stand twice"),
        at.refuse("grid", broken["grid"], f"bars that do not close on the grid of {timeframe}"),
        at.refuse("missing value", broken["missing value"], "bars with a value that is no finite number"),
        at.refuse("ohlc", broken["ohlc"], "bars that break 0 < low <= open, close <= high, 0 <= volume"),
        at.refuse("gap", broken["gap"], f"{missing(ts, span)} bars are missing, in gaps"),
    ]
    if traded:
        silent = broken["no volume"]
        found.append(at.warn("no volume", silent, "bars without a trade" + _longest(silent)))
    found.append(
        at.warn("jump", broken["jump"], f"bars that close beyond {JUMP:g} or 1/{JUMP:g} times the close before")
    )
    if until is not None and ts[-1] < (due := micros_at(until)):
        last = datetime_at(ts[-1])
        words = f"bars end {(due - ts[-1]) // span} before {_when(due)}, at {_when(ts[-1])}"
        found.append(Finding(symbol, at.series, "stale end", Severity.WARN, 1, last, last, words))
    return tuple(sorted((f for f in found if f), key=lambda f: not f.refuses))


def check_funding(rates: "pd.Series[float]", symbol: str) -> tuple[Finding, ...]:
    """What is wrong with funding rates by settlement time: order, duplicates, numbers, and percent for fractions."""
    if not len(rates):
        return ()
    ts, values = micros_in(rates.index), rates.to_numpy(np.float64)
    step, at = np.diff(ts), _Where(symbol, f"{symbol}-funding", ts)
    with np.errstate(invalid="ignore"):
        huge = np.abs(values) > MAX_FUNDING
    found = (
        at.refuse("order", 1 + np.flatnonzero(step < 0), "funding rates that stand after a later one"),
        at.refuse("duplicate", 1 + np.flatnonzero(step == 0), "funding rates that stand twice"),
        at.refuse("missing value", np.flatnonzero(~np.isfinite(values)), "funding rates that are no finite number"),
        at.refuse(
            "funding",
            np.flatnonzero(huge),
            f"funding rates beyond {MAX_FUNDING} (percent, perhaps, where fractions belong)",
        ),
    )
    return tuple(f for f in found if f)


def usable(bars: pd.DataFrame, timeframe: str, refill: int) -> "pd.Series[bool]":
    """Which bars may be traded on: those that traded, and whose last `refill` bars are there, without an outage.

    Each answer reads only the bars up to its own.
    """
    ts, volume, span = micros_in(bars.index), bars["volume"].to_numpy(np.float64), micros_of(timeframe)
    found, begun = np.empty(len(ts), np.bool_), 0
    for start in range(0, len(ts), AT_ONCE):
        before = max(0, start - OUTAGE)  # what can tell whether a bar begins anew
        here, seen = slice(start, start + AT_ONCE), slice(before, start + AT_ONCE)
        anew = _anew(ts[seen], volume[None, seen], span)[0, start - before :]
        row = np.arange(start, start + len(anew))
        last = np.maximum.accumulate(np.where(anew, row, begun))
        found[here] = (volume[here] != 0) & (row - last >= refill - 1)
        begun = last[-1]
    return pd.Series(found, index=bars.index, name="usable")


def fit(ts: Micros, volume: npt.NDArray[np.float64], timeframe: str, refill: int) -> Mask:
    """What `usable` says of the last bar of each symbol, a row of `volume`; NaN is a bar that is not there.

    They hold `refill` closes and `OUTAGE - 1` before, as a bar among those may be the one that follows an outage.
    """
    anew = _anew(ts, volume, micros_of(timeframe))[:, volume.shape[1] - refill + 1 :]
    return np.asarray((volume[:, -1] > 0) & ~anew.any(axis=1))


def _anew(ts: Micros, volume: npt.NDArray[np.float64], span: int) -> Mask:
    """Which bars begin anew: after one that is not there, or after `OUTAGE` in a row without a trade.

    One that is not there did not trade either, and before a symbol's first bar there is none: where a window begins
    says nothing about what lies before it, so both ways of reading, the whole past and a window of it, agree.
    """
    known, slot = ~np.isnan(volume), ts // span
    traded = np.where(volume > 0, slot, np.iinfo(np.int64).min)
    last = np.maximum.accumulate(traded, axis=1)[:, :-1]
    gap = ~known[:, :-1] | (np.diff(slot) > 1)
    anew = known.copy()
    anew[:, 1:] &= gap | (slot[1:] - 1 - OUTAGE >= last)
    return anew


def missing(ts: Micros, span: int) -> int:
    """How many bars are not there between the first and the last."""
    step = np.diff(ts)
    wide = step[step > span]
    return int(np.sum(wide // span - 1)) if len(wide) else 0


# --- below ------------------------------------------------------------------------------------------------


def _broken(ts: Micros, columns: Sequence[npt.NDArray[np.float64]], span: int) -> dict[str, Rows]:
    """Which rows are broken, by the kind of fault."""
    parts: dict[str, list[Rows]] = {}
    for start in range(0, len(ts), AT_ONCE):
        before, end = max(0, start - 1), start + AT_ONCE  # with the row before, for what is between two
        masks = _masks(ts[before:end], [values[before:end] for values in columns], span)
        for kind, mask in masks.items():
            rows = before + np.flatnonzero(mask)
            parts.setdefault(kind, []).append(rows[rows >= start])
    return {kind: np.concatenate(rows) for kind, rows in parts.items()}


def _masks(ts: Micros, columns: Sequence[npt.NDArray[np.float64]], span: int) -> dict[str, Mask]:
    o, h, low, c, volume = columns
    step = np.diff(ts, prepend=ts[0] - span)
    numbers = np.isfinite(o) & np.isfinite(h) & np.isfinite(low) & np.isfinite(c) & np.isfinite(volume)
    sane = (h >= np.maximum(o, c)) & (low <= np.minimum(o, c)) & (low > 0) & (volume >= 0)
    jumped = np.zeros(len(ts), np.bool_)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = c[1:] / c[:-1]
        jumped[1:] = (ratio > JUMP) | (ratio < 1 / JUMP)
    return {
        "order": step < 0,
        "duplicate": step == 0,
        "grid": ts % span != 0,
        "missing value": ~numbers,
        "ohlc": numbers & ~sane,
        "gap": step > span,
        "no volume": volume == 0,
        "jump": jumped,
    }


@dataclass(frozen=True, slots=True)
class _Where:
    """Turns rows into findings that say which they are."""

    symbol: str
    series: str
    at: Micros  # of all rows

    def refuse(self, kind: str, rows: Rows, what: str) -> Finding | None:
        return self._finding(kind, Severity.REFUSE, rows, what)

    def warn(self, kind: str, rows: Rows, what: str) -> Finding | None:
        return self._finding(kind, Severity.WARN, rows, what)

    def _finding(self, kind: str, severity: Severity, rows: Rows, what: str) -> Finding | None:
        if not len(rows):
            return None
        first, last = int(rows[0]), int(rows[-1])
        words = f"{what}: {len(rows)}, first {_when(self.at[first])} (row {first})"
        words += f", last {_when(self.at[last])} (row {last})" if len(rows) > 1 else ""
        begins, ends = datetime_at(self.at[first]), datetime_at(self.at[last])
        return Finding(self.symbol, self.series, kind, severity, len(rows), begins, ends, words)


def _when(micros: int) -> str:
    return f"{datetime_at(micros):%Y-%m-%d %H:%M} UTC"


def _longest(rows: Rows) -> str:
    """In words, how many of `rows` stand in a row, at most."""
    edges = np.flatnonzero(np.diff(rows, prepend=-2, append=-2) != 1)
    longest = int(np.diff(edges).max(initial=0))
    return f" (up to {longest} in a row)" if longest > 1 else ""
