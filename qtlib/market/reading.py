"""Reading: a market from a folder of series, with only what is asked for, checked; or `BadData`.

A series may be somebody's own file or a folder of months (`series.py`): nothing here knows which. In memory a bar is
known by its close.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from qtlib.market.market import REFILL, BadData, Market, aggregate
from qtlib.market.names import FUNDING, MARKS, RATES, Name
from qtlib.market.quality import COLUMNS
from qtlib.market.series import Kept, Period, Rows, Series
from qtlib.market.timeframes import MINUTE, Micros, among, datetime_at, length_of, micros_at, micros_in, micros_of


def read(
    path: str | Path,
    symbols: Sequence[str],
    timeframe: str,
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    *,
    finer_timeframe: str | None = None,
    allow_gaps: bool = False,
    refill: int = REFILL,
    absent_ok: bool = False,
    keep: Kept | None = None,
) -> Market:
    """The bars in the folder `path` that open at or after `start` and close by `end`, checked, or `BadData`.

    Mark prices of the same timeframe and funding come along where there are any; what stands in for the rest is in
    the market's notes. With `allow_gaps` a gap is no refusal: bars after it are not `usable` until `refill` of them
    stand in a row. `finer_timeframe` adds the shorter bars inside, where there are some. With `absent_ok` a symbol that
    has no bars then is left out, with a note. Files that were read whole are put into `keep`: a survey need not again.
    """
    folder, span = Path(path), micros_of(timeframe)
    period = Period(None if start is None else micros_at(start), None if end is None else micros_at(end))
    asked = {symbol: Series(folder, str(Name(symbol, timeframe))) for symbol in symbols}
    there = [symbol for symbol, series in asked.items() if not absent_ok or _has_some(series, span, period)]
    found = {symbol: _bars(asked[symbol], span, period, keep) for symbol in there or symbols}
    absent = [
        f"{symbol}: it has no bars of {timeframe} {period}, and is left out" for symbol in asked if symbol not in found
    ]
    bars = {symbol: its.frame for symbol, its in found.items()}
    marks, rates = {}, {}
    for symbol, frame in bars.items():
        opened, closed = frame.index.min() - length_of(timeframe), frame.index.max()
        if (series := Series(folder, str(Name(symbol, timeframe, MARKS)))).exists():
            marks[symbol] = _bars(series, span, Period(micros_at(opened), micros_at(closed)), keep, required=False)
        if (series := Series(folder, str(Name(symbol, "", FUNDING)))).exists():
            rates[symbol] = _rates(series, micros_at(opened), micros_at(closed), keep)
    source, simulated = _told(folder, [*found.values(), *marks.values(), *rates.values()])
    late = [
        f"{s}: its bars begin at {f.index[0]:%Y-%m-%d %H:%M}" for s, f in bars.items() if _begins_late(f, span, period)
    ]
    finer, notes = _finer(folder, bars, finer_timeframe, timeframe, period, keep) if finer_timeframe else (None, ())
    if finer and finer.simulated != simulated:
        made, real = (timeframe, finer_timeframe) if simulated else (finer_timeframe, timeframe)
        raise BadData(f"bars of {made} are simulated and bars of {real} are not: they don't mix; use a folder for each")
    return Market.of(
        bars,
        timeframe,
        marks={symbol: file.frame for symbol, file in marks.items()},
        funding={symbol: file.frame["funding_rate"] for symbol, file in rates.items()},
        source=source,
        simulated=simulated,
        allow_gaps=allow_gaps,
        refill=refill,
        until=end,
        finer=finer,
        notes=(*absent, *late, *notes),
    )


def first_closes(path: str | Path, symbols: Sequence[str], timeframe: str) -> dict[str, datetime]:
    """When the first bar of each symbol in the folder closed; without those of which it has none."""
    found = {}
    for symbol in symbols:
        series = Series(Path(path), str(Name(symbol, timeframe)))
        if series.exists():
            rows, _ = series.load(())
            if len(rows):
                found[symbol] = datetime_at(int(rows.times.min()) + micros_of(timeframe))
    return found


@dataclass(frozen=True, slots=True)
class Frames:
    """What a folder has of some symbols, each with its own first and last bar; by symbol."""

    bars: Mapping[str, pd.DataFrame]
    marks: Mapping[str, pd.DataFrame]
    funding: Mapping[str, "pd.Series[float]"]


def read_each(path: str | Path, symbols: Sequence[str], timeframe: str, start: datetime | str | None = None) -> Frames:
    """The same of `symbols` one by one, over gaps: to be measured, and not to be traded on."""
    found = {symbol: read(path, [symbol], timeframe, start, allow_gaps=True) for symbol in symbols}
    return Frames(
        {symbol: its.bars[symbol] for symbol, its in found.items()},
        {symbol: its.marks[symbol] for symbol, its in found.items() if symbol in its.marks},
        {symbol: its.funding[symbol] for symbol, its in found.items() if symbol in its.funding},
    )


# --- below ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    frame: pd.DataFrame
    source: str
    simulated: bool


def _told(folder: Path, found: Sequence[_Found]) -> tuple[str, bool]:
    """Where series come from, in words, and whether they are simulated: all of them, or none."""
    made, real = ([its.name for its in found if its.simulated is kind] for kind in (True, False))
    if made and real:
        raise BadData(f"{made[0]} is simulated and {real[0]} is not: bars of the two don't mix; use a folder for each")
    return "; ".join(dict.fromkeys(its.source or f"files in {folder.name or folder}" for its in found)), bool(made)


def _bars(series: Series, span: int, period: Period, keep: Kept | None, required: bool = True) -> _Found:
    """The bars of `series` that lie within `period`, by their close."""
    opens = Period(period.start, None if period.end is None else period.end - span)
    rows, label = series.load(COLUMNS, opens, keep=keep)
    if required and not len(rows):
        held, _ = series.load(())
        there = f"its bars open {Period(int(held.times.min()), int(held.times.max()))}" if len(held) else "it is empty"
        raise BadData(f"{series.shown} has no bars {period}; {there}")
    return _Found(series.shown, rows.frame(forward=span), label.source, label.simulated)


def _has_some(series: Series, span: int, period: Period) -> bool:
    if not series.exists():
        return False
    rows, _ = series.load((), Period(period.start, None if period.end is None else period.end - span))
    return len(rows) > 0


def _rates(series: Series, opened: int, closed: int, keep: Kept | None) -> _Found:
    """The funding rates of `series` that bars from `opened` to `closed` meet: settled after the one, up to the other.

    The venue settles a few milliseconds late, so times are floored to the minute.
    """
    rows, label = series.load(RATES, Period(opened, closed + MINUTE), keep=keep)
    rows = Rows(rows.times // MINUTE * MINUTE, rows.values)
    met = rows.where((opened < rows.times) & (rows.times <= closed))
    return _Found(series.shown, met.frame(), label.source, label.simulated)


def _begins_late(frame: pd.DataFrame, span: int, period: Period) -> bool:
    """Whether the first bar asked for is not the first there is."""
    return period.start is not None and bool(micros_in(frame.index)[0] >= period.start + 2 * span)


def _finer(
    folder: Path,
    bars: Mapping[str, pd.DataFrame],
    timeframe: str,
    coarse: str,
    period: Period,
    keep: Kept | None,
) -> tuple[Market | None, tuple[str, ...]]:
    """The shorter bars that sum up exactly to bars of `bars`, and in words where there are none."""
    if micros_of(coarse) % micros_of(timeframe) or micros_of(coarse) == micros_of(timeframe):
        raise ValueError(f"bars of {timeframe} do not add up to {coarse}")
    held: dict[str, pd.DataFrame] = {}
    notes, all_found = [], []
    for symbol, frame in bars.items():
        series = Series(folder, str(Name(symbol, timeframe)))
        if not series.exists():
            notes.append(f"{symbol}: no bars of {timeframe}; inside a bar of {coarse} the order of prices is assumed")
            continue
        found = _bars(series, micros_of(timeframe), period, keep, required=False)
        if len(found.frame):
            Market.of({symbol: found.frame}, timeframe, source=f"{folder.name}/{found.name}", allow_gaps=True)
        fits = _fitting(found.frame, frame, coarse)
        if fits.any():
            held[symbol] = found.frame[among(_close_in(found.frame, coarse), micros_in(frame.index)[fits])]
        if not fits.all():
            notes.append(
                f"{symbol}: {np.count_nonzero(~fits)} of {len(frame)} bars have no bars of {timeframe} that add up to "
                "them; inside these the order of prices is assumed"
            )
        all_found.append(found)
    if not held:
        return None, tuple(notes)
    source, simulated = _told(folder, all_found)
    finer = Market.of(held, timeframe, source=source, simulated=simulated, allow_gaps=True, refill=1)
    return finer, tuple(notes)


def _fitting(finer: pd.DataFrame, bars: pd.DataFrame, timeframe: str) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which of `bars` are what their parts in `finer` add up to."""
    prices = list(COLUMNS[:4])
    summed = aggregate(finer, timeframe).reindex(bars.index)[prices].to_numpy()
    return np.asarray((summed == bars[prices].to_numpy()).all(axis=1))


def _close_in(finer: pd.DataFrame, timeframe: str) -> Micros:
    """The close of the longer bar that each of `finer` is a part of."""
    span = micros_of(timeframe)
    return -(-micros_in(finer.index) // span) * span
