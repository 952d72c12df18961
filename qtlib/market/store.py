"""Bars on disk: one parquet file a series, written whole or not at all, read with only what is asked for.

`SYMBOL-TIMEFRAME.parquet` and `SYMBOL-TIMEFRAME-mark.parquet` hold timestamp (the bar's *open*, UTC), open, high, low,
close and volume; `SYMBOL-funding.parquet` holds timestamp (of the settlement) and funding_rate. In memory a bar is
known by its close. Files that this program wrote carry their source, so that a simulated market stays one.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qtlib.market.market import REFILL, BadData, Market, aggregate
from qtlib.market.quality import COLUMNS
from qtlib.market.timeframes import (
    MINUTE,
    Micros,
    among,
    datetime_at,
    index_of,
    length_of,
    micros_at,
    micros_in,
    micros_of,
)

_LABEL = b"qtlib"  # where a file's metadata say what it holds
_TIME = pa.timestamp("ms", tz="UTC")


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
) -> Market:
    """The bars in the folder `path` that open at or after `start` and close by `end`, checked, or `BadData`.

    Mark prices of the same timeframe and funding come along where there are files of them; what stands in for the
    rest is in the market's notes. With `allow_gaps` a gap is no refusal: bars after it are not `usable` until
    `refill` of them stand in a row. `finer_timeframe` adds the shorter bars inside, where files have them.
    """
    folder, span = Path(path), micros_of(timeframe)
    period = _Period(None if start is None else micros_at(start), None if end is None else micros_at(end))
    files = {symbol: _bars(folder / f"{symbol}-{timeframe}.parquet", span, period) for symbol in symbols}
    bars = {symbol: file.frame for symbol, file in files.items()}
    marks, rates = {}, {}
    for symbol, frame in bars.items():
        opened, closed = frame.index.min() - length_of(timeframe), frame.index.max()
        if (file := folder / f"{symbol}-{timeframe}-mark.parquet").exists():
            marks[symbol] = _bars(file, span, _Period(micros_at(opened), micros_at(closed)), required=False)
        if (file := folder / f"{symbol}-funding.parquet").exists():
            rates[symbol] = _rates(file, micros_at(opened), micros_at(closed))
    source, simulated = _told(folder, [*files.values(), *marks.values(), *rates.values()])
    late = [
        f"{s}: its bars begin at {f.index[0]:%Y-%m-%d %H:%M}" for s, f in bars.items() if _begins_late(f, span, period)
    ]
    finer, notes = _finer(folder, bars, finer_timeframe, timeframe, period) if finer_timeframe else (None, ())
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
        notes=(*late, *notes),
    )


@dataclass(frozen=True)
class Store:
    """A folder of bars that this program may write to; `read` reads it."""

    folder: Path

    def write(self, market: Market) -> tuple[Path, ...]:
        """`market` on disk: each file is replaced whole, or stays as it was. The files written."""
        label = {"source": market.source, "simulated": market.simulated}
        back = micros_of(market.timeframe)
        series = {f"{symbol}-{market.timeframe}": (frame, back) for symbol, frame in market.bars.items()}
        series |= {f"{symbol}-{market.timeframe}-mark": (frame, back) for symbol, frame in market.marks.items()}
        series |= {f"{symbol}-funding": (rates.to_frame(), 0) for symbol, rates in market.funding.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        written = {self.folder / f"{name}.parquet": _table(*values) for name, values in series.items()}
        for file, table in written.items():
            _may_replace(file, table, market.simulated)
        for file, table in written.items():
            _replace(file, table.replace_schema_metadata({_LABEL: json.dumps(label)}))
        finer = self.write(market.finer) if market.finer else ()
        return (*written, *finer)

    def list(self) -> pd.DataFrame:
        """What is there, a row for each file; one that can't be read says so under problem."""
        rows = [_listed(file) for file in sorted(self.folder.glob("*.parquet")) if not file.name.startswith(".")]
        columns = ["symbol", "timeframe", "kind", "first", "last", "rows", "gaps", "simulated", "source", "problem"]
        return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True, slots=True)
class _Period:
    """From `start` to `end` [µs], both included; None is open."""

    start: int | None
    end: int | None

    def __str__(self) -> str:
        said = ["" if at is None else f"{datetime_at(at):%Y-%m-%d %H:%M}" for at in (self.start, self.end)]
        return f"between {said[0] or 'the beginning'} and {said[1] or 'the end'}"


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    frame: pd.DataFrame
    source: str
    simulated: bool


def _told(folder: Path, files: Sequence[_File]) -> tuple[str, bool]:
    """Where `files` come from, in words, and whether they are simulated: all of them, or none."""
    made, real = ([file.name for file in files if file.simulated is kind] for kind in (True, False))
    if made and real:
        raise BadData(f"{made[0]} is simulated and {real[0]} is not: bars of the two don't mix; use a folder for each")
    return "; ".join(dict.fromkeys(file.source or f"files in {folder.name or folder}" for file in files)), bool(made)


def _bars(file: Path, span: int, period: _Period, required: bool = True) -> _File:
    """The bars of `file` that lie within `period`, by their close."""
    opens = _Period(period.start, None if period.end is None else period.end - span)
    table = _load(file, COLUMNS, opens)
    if required and not table.num_rows:
        held = _micros(_load(file, (), _Period(None, None)))
        there = f"its bars open {_Period(int(held.min()), int(held.max()))}" if len(held) else "it is empty"
        raise BadData(f"{file.name} has no bars {period}; {there}")
    return _file(file, table, _micros(table) + span)


def _file(file: Path, table: pa.Table, ts: Micros) -> _File:
    label = _label(table.schema)
    values = {name: table.column(name).to_numpy() for name in table.column_names if name != "timestamp"}
    frame = pd.DataFrame({name: v.astype(np.float64, copy=False) for name, v in values.items()}, index=index_of(ts))
    return _File(file.name, frame, str(label.get("source", "")), bool(label.get("simulated", False)))


def _begins_late(frame: pd.DataFrame, span: int, period: _Period) -> bool:
    """Whether the first bar asked for is not the first there is."""
    return period.start is not None and bool(micros_in(frame.index)[0] >= period.start + 2 * span)


def _rates(file: Path, opened: int, closed: int) -> _File:
    """The funding rates of `file` that bars from `opened` to `closed` meet: settled after the one, up to the other.

    The venue settles a few milliseconds late, so times are floored to the minute.
    """
    table = _load(file, ("funding_rate",), _Period(opened, closed + MINUTE))
    settled = _micros(table) // MINUTE * MINUTE
    met = (opened < settled) & (settled <= closed)
    return _file(file, table.filter(pa.array(met)), settled[met])


def _load(file: Path, columns: Iterable[str], period: _Period) -> pa.Table:
    """The rows of `file` with a timestamp in `period`: only these columns, only the row groups that overlap it."""
    wanted = ["timestamp", *columns]
    try:
        schema = pq.read_schema(file)
        _must_have(file, schema, wanted)
        unit = schema.field("timestamp").type
        bounds = [(">=", period.start), ("<=", period.end)]
        filters = [
            ("timestamp", op, pa.scalar(at, _MICROS).cast(unit, safe=False)) for op, at in bounds if at is not None
        ]
        table = pq.read_table(file, columns=wanted, filters=filters or None, partitioning=None)
    except FileNotFoundError:
        raise BadData(f"{file.name} is not in {file.parent}; {_there(file)}") from None
    except (pa.ArrowException, OSError) as error:
        raise BadData(f"{file.name} can't be read as parquet ({_first_line(error)}); get it again") from error
    for name in wanted:
        if table.column(name).null_count:
            null = table.column(name).is_null().to_numpy(zero_copy_only=False)
            raise BadData(
                f"{file.name}: rows without a {name}: {np.count_nonzero(null)} of {len(null)} read, the first is row "
                f"{np.flatnonzero(null)[0]}; get the file again"
            )
    return table


_MICROS = pa.timestamp("us", tz="UTC")


def _must_have(file: Path, schema: pa.Schema, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        raise BadData(f"{file.name} has no column {', '.join(missing)}; it has {', '.join(schema.names) or 'none'}")
    time = schema.field("timestamp").type
    if not pa.types.is_timestamp(time) or time.tz is None:
        raise BadData(f"{file.name}: timestamp is {time}, and must be a timestamp with a time zone (UTC)")
    for name in wanted[1:]:
        kind = schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise BadData(f"{file.name}: {name} is {kind}, and must be a number")


def _micros(table: pa.Table) -> Micros:
    times = table.column("timestamp").cast(_MICROS, safe=False).cast(pa.int64())
    return np.asarray(times.to_numpy(), dtype=np.int64)


def _there(missing: Path) -> str:
    """In words, which file might have been meant."""
    if not missing.parent.is_dir():
        return "there is no such folder"
    names = sorted(file.stem for file in missing.parent.glob("*.parquet") if not file.name.startswith("."))
    symbol = missing.stem.split("-")[0]
    same = [name for name in names if name.split("-")[0] == symbol]
    near = same or get_close_matches(missing.stem, names, n=3, cutoff=0.5) or names
    more = f" and {len(near) - 8} more" if len(near) > 8 else ""
    return f"there are {', '.join(near[:8])}{more}" if near else "the folder has no parquet files"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _finer(
    folder: Path, bars: Mapping[str, pd.DataFrame], timeframe: str, coarse: str, period: _Period
) -> tuple[Market | None, tuple[str, ...]]:
    """The shorter bars that sum up exactly to bars of `bars`, and in words where there are none."""
    if micros_of(coarse) % micros_of(timeframe) or micros_of(coarse) == micros_of(timeframe):
        raise ValueError(f"bars of {timeframe} do not add up to {coarse}")
    held: dict[str, pd.DataFrame] = {}
    notes, files = [], []
    for symbol, frame in bars.items():
        file = folder / f"{symbol}-{timeframe}.parquet"
        if not file.exists():
            notes.append(f"{symbol}: no bars of {timeframe}; inside a bar of {coarse} the order of prices is assumed")
            continue
        found = _bars(file, micros_of(timeframe), period, required=False)
        if len(found.frame):
            Market.of({symbol: found.frame}, timeframe, source=f"{folder.name}/{file.name}", allow_gaps=True)
        fits = _fitting(found.frame, frame, coarse)
        if fits.any():
            held[symbol] = found.frame[among(_close_in(found.frame, coarse), micros_in(frame.index)[fits])]
        if not fits.all():
            notes.append(
                f"{symbol}: {np.count_nonzero(~fits)} of {len(frame)} bars have no bars of {timeframe} that add up to "
                "them; inside these the order of prices is assumed"
            )
        files.append(found)
    if not held:
        return None, tuple(notes)
    source, simulated = _told(folder, files)
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


def _table(frame: pd.DataFrame, back: int) -> pa.Table:
    times = pa.array(micros_in(frame.index) - back, _MICROS).cast(_TIME)
    return pa.table({"timestamp": times, **{str(name): frame[name].to_numpy() for name in frame.columns}})


def _label(schema: pa.Schema) -> dict[str, object]:
    told = (schema.metadata or {}).get(_LABEL)
    return dict(json.loads(told)) if told else {}


def _may_replace(file: Path, table: pa.Table, simulated: bool) -> None:
    """Real bars are replaced by real ones that cover as much, or not at all."""
    if not file.exists():
        return
    held = _load(file, (), _Period(None, None))
    if bool(_label(held.schema).get("simulated", False)) != simulated:
        there, coming = ("real", "simulated") if simulated else ("simulated", "real")
        raise BadData(f"{file.name} holds {there} bars and would be replaced by {coming} ones; use another folder")
    old, new = _micros(held), _micros(table)
    if not simulated and len(old) and not (len(new) and new.min() <= old.min() and old.max() <= new.max()):
        raise BadData(
            f"{file.name} holds times from {datetime_at(old.min())} to {datetime_at(old.max())}, which what would "
            "replace it does not cover; add to it, or use another folder"
        )


def _replace(file: Path, table: pa.Table) -> None:
    """`table` in place of `file`, at once: whoever reads meanwhile sees the old or the new."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with draft.open("wb") as out:
            pq.write_table(table, out, compression="zstd", row_group_size=65_536)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not every file system lets a folder be synced
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _listed(file: Path) -> dict[str, object]:
    symbol, _, rest = file.stem.partition("-")
    timeframe, _, kind = rest.partition("-")
    row: dict[str, object] = {"symbol": symbol, "timeframe": timeframe, "kind": kind or "bars", "problem": ""}
    if rest == "funding":
        row |= {"timeframe": "", "kind": "funding"}
    try:
        table = _load(file, (), _Period(None, None))
        ts = _micros(table)
        label = _label(table.schema)
        row |= {"rows": len(ts), "gaps": _gaps(ts, str(row["timeframe"]))}
        row |= {"simulated": label.get("simulated", False), "source": label.get("source", "")}
        row |= {"first": datetime_at(ts.min()), "last": datetime_at(ts.max())} if len(ts) else {}
    except (BadData, ValueError) as error:
        row["problem"] = str(error)
    return row


def _gaps(ts: Micros, timeframe: str) -> int:
    return int(np.count_nonzero(np.diff(ts) > micros_of(timeframe))) if timeframe else 0
