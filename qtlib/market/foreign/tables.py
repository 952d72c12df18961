"""CSV and parquet of anybody: which column is which is said, or taken from names that everybody uses.

What a file can't say of itself (symbol, timeframe, zone of its times, whether a time is the open or the close of its
bar) is said by hints, or stands in a name as ours are, `BTCUSDT-1h.csv`.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qtlib.market.foreign.offer import Damaged, Offer, Text, counted, offered
from qtlib.market.names import FUNDING, MARKS, Name
from qtlib.market.series import Label, Rows
from qtlib.market.timeframes import Micros

_USUAL = {
    "time": ("timestamp", "time", "date", "datetime", "open_time", "opentime", "ts", "fundingtime", "calc_time"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v", "vol"),
    "funding_rate": ("funding_rate", "fundingrate", "last_funding_rate", "rate"),
}


@dataclass(frozen=True, slots=True)
class Hints:
    """What files do not say of themselves."""

    symbol: str | None = None
    timeframe: str | None = None
    kind: str | None = None  # bars, mark, funding
    venue: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # ours -> theirs, as time=Date
    zone: str | None = None  # of times in words that name none
    stamped: str = "open"  # or close: which end of its bar a time is

    def __post_init__(self) -> None:
        if unknown := [name for name in self.columns if name not in _USUAL]:
            raise ValueError(f"unknown column {unknown[0]!r}: there are {', '.join(_USUAL)}")
        if self.stamped not in ("open", "close"):
            raise ValueError(f"times are stamped at the open or the close of a bar, not {self.stamped!r}")


def read_table(file: Path, hints: Hints) -> Offer:
    """What a CSV or parquet file offers."""
    name = _name(file, hints)
    rows, first_row, label = (
        _from_parquet(file, name, hints) if file.suffix == ".parquet" else _from_csv(file, name, hints)
    )
    if hints.stamped == "close":
        rows = Rows(rows.times - name.span, rows.values)
    if len(rows) > 1 and np.all(np.diff(rows.times) < 0):  # the newest first: as good an order as ours
        rows = rows.where(slice(None, None, -1))
    return offered(name, rows, label, file, first_row)


# --- below ------------------------------------------------------------------------------------------------


def _name(file: Path, hints: Hints) -> Name:
    """What it is: as its own name says, unless it is said otherwise."""
    own = Name.of(file.stem)
    symbol = hints.symbol or (own.symbol if own else None)
    kind = hints.kind or (own.kind if own else None)
    timeframe = hints.timeframe or (own.timeframe if own else None)
    if hints.symbol and own and own.symbol != hints.symbol:
        raise Damaged(f"it is named for {own.symbol}, and was said to be {hints.symbol}: which symbol is it?")
    if symbol is None or (timeframe is None and kind != FUNDING):
        missing = "symbol" if symbol is None else "timeframe"
        raise Damaged(f"its name does not say its {missing}, as BTCUSDT-1h would: say it with --{missing}")
    found = Name.of(
        f"{symbol}-{FUNDING}" if kind == FUNDING else f"{symbol}-{timeframe}{'-mark' if kind == MARKS else ''}"
    )
    if found is None:
        raise Damaged(f"{timeframe!r} is no timeframe: write 5m, 1h or 1d")
    return found


def _from_csv(file: Path, name: Name, hints: Hints) -> tuple[Rows, int, Label]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(f"it can't be read as text ({error})") from error
    lines = text.splitlines()
    if not lines:
        raise Damaged("it is empty")
    delimiter = max(",;\t", key=lines[0].count)
    cells = list(csv.reader(lines, delimiter=delimiter))
    header = [cell.strip() for cell in cells[0]]
    body = cells[1:]
    widths = np.array([len(row) for row in body])
    if len(bad := np.flatnonzero(widths != len(header))):
        at = int(bad[0])
        why = ": decimal commas? Numbers must have a point" if widths[at] > len(header) else ": cut off?"
        raise Damaged(f"row {at + 2}: {widths[at]} values, and there are {len(header)} columns{why}")
    columns = dict(zip(header, zip(*body, strict=True), strict=True)) if body else dict.fromkeys(header, ())
    theirs = _mapped(header, name, hints)
    table = Text({ours: columns[its] for ours, its in theirs.items()}, 2)
    values = {column: _volume_or(table, column, name) for column in name.columns}
    return (
        Rows(table.times("time", hints.zone), values),
        2,
        Label((f"CSV files in {file.parent.name}",), False, hints.venue or ""),
    )


def _volume_or(table: Text, column: str, name: Name) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """A column; mark prices have no volume, and need none."""
    if column == "volume" and name.kind == MARKS and column not in table.columns:
        return np.zeros(len(table.columns["close"]))
    return table.numbers(column)


def _from_parquet(file: Path, name: Name, hints: Hints) -> tuple[Rows, int, Label]:
    try:
        table = pq.ParquetFile(file).read()
    except (pa.ArrowException, OSError) as why:
        raise Damaged(f"it can't be read as parquet ({(str(why).splitlines() or ['?'])[0]}): get it again") from why
    theirs = _mapped(table.column_names, name, hints)
    for column in theirs.values():
        if table.column(column).null_count:
            at = int(np.flatnonzero(table.column(column).is_null().to_numpy(zero_copy_only=False))[0])
            raise Damaged(f"row {at + 1}: no {column}")
    values = {}
    for column in name.columns:
        if column == "volume" and column not in theirs:
            values[column] = np.zeros(table.num_rows)
            continue
        its = table.column(theirs[column])
        if not (pa.types.is_floating(its.type) or pa.types.is_integer(its.type)):
            raise Damaged(f"{theirs[column]} is {its.type}, and must be a number")
        values[column] = its.to_numpy().astype(np.float64)
    own = Label.of(table.schema)
    label = own if own.sources else Label((f"parquet files in {file.parent.name}",), False, hints.venue or "")
    return Rows(_instants(table.column(theirs["time"]), theirs["time"], hints.zone), values), 1, label


def _instants(column: pa.ChunkedArray, name: str, zone: str | None) -> Micros:
    kind = column.type
    if pa.types.is_integer(kind):
        return counted(column.to_numpy().astype(np.int64), name, 1)
    if pa.types.is_timestamp(kind):
        if kind.tz is None and zone is None:
            raise Damaged(
                f"row 1: {name} names no time zone, and may be local time: say which with --zone, as --zone UTC"
            )
        if kind.tz is None and zone != "UTC":
            return Text({name: [str(at) for at in column.to_pylist()]}, 1).times(name, zone)
        return np.asarray(column.cast(pa.timestamp("us", tz=kind.tz)).cast(pa.int64()).to_numpy(), dtype=np.int64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Text({name: column.to_pylist()}, 1).times(name, zone)
    raise Damaged(f"{name} is {kind}, and must be a time")


def _mapped(there: Sequence[str], name: Name, hints: Hints) -> dict[str, str]:
    """Our columns, and theirs."""
    found = {}
    lowered = {theirs.lower(): theirs for theirs in there}
    for ours in ("time", *name.columns):
        said = hints.columns.get(ours)
        its = (
            said if said in there else None if said else next((lowered[w] for w in _USUAL[ours] if w in lowered), None)
        )
        if its is not None:
            found[ours] = its
        elif not (ours == "volume" and name.kind == MARKS):
            asked = f"{said!r} for {ours}" if said else f"that is known as {ours}"
            raise Damaged(
                f"it has no column {asked}; it has {', '.join(there)}: say which it is with --map {ours}=COLUMN"
            )
    return found
