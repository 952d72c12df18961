"""A series on disk: one file, or a folder of months. Who reads never asks which; only folders are written.

`BTCUSDT-1h.parquet` is somebody's own file. `BTCUSDT-1h/` is ours: a parquet file a month, `2025-06.parquet`, each
replaced whole or not at all, so that a day more rewrites a month and nothing else. Both hold timestamp (the bar's
*open*, or the settlement, UTC) and the columns of the series, and any parquet reader understands them as they lie.
Files that this program wrote carry a label: their source, and whether they are simulated. Damage to their bytes is
found when they are read: a page has a checksum, and the label a seal.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qtlib.market.market import BadData
from qtlib.market.timeframes import Micros, datetime_at, index_of

READERS = os.cpu_count() or 1  # parts that are read side by side
LABEL = b"qtlib"  # where a file's metadata say what it holds
SEAL = b"qtlib.seal"  # ... and what binds that to its rows
TIME = pa.timestamp("ms", tz="UTC")
_MICROS = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` to `end` [µs], both included; None is open."""

    start: int | None = None
    end: int | None = None

    def __str__(self) -> str:
        said = ["" if at is None else f"{datetime_at(at):%Y-%m-%d %H:%M}" for at in (self.start, self.end)]
        return f"between {said[0] or 'the beginning'} and {said[1] or 'the end'}"

    def meets(self, first: int, last: int) -> bool:
        """Whether something from `first` to `last` lies in it."""
        return (self.start is None or last >= self.start) and (self.end is None or first <= self.end)

    def covers(self, first: int, last: int) -> bool:
        """Whether everything from `first` to `last` lies in it."""
        return (self.start is None or first >= self.start) and (self.end is None or last <= self.end)


ALWAYS = Period()


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Rows of a series: `times` [µs] as they are stored, and the values beside them."""

    times: Micros
    values: Mapping[str, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.times)

    def where(self, which: npt.NDArray[np.bool_] | slice | npt.NDArray[np.int64]) -> "Rows":
        return Rows(self.times[which], {name: values[which] for name, values in self.values.items()})

    def frame(self, forward: int = 0) -> pd.DataFrame:
        """As a frame, each row `forward` [µs] later than it is stored: by its span, for bars, makes the close of it."""
        return pd.DataFrame(dict(self.values), index=index_of(self.times + forward), copy=False)

    def same(self, other: "Rows") -> bool:
        return np.array_equal(self.times, other.times) and all(
            np.array_equal(values, other.values[name]) for name, values in self.values.items()
        )


@dataclass(frozen=True, slots=True)
class Label:
    """What a file says of itself; empty where nothing is known."""

    sources: tuple[str, ...] = ()  # in words
    simulated: bool = False
    venue: str = ""

    @property
    def source(self) -> str:
        return "; ".join(self.sources)

    @staticmethod
    def of(schema: pa.Schema) -> "Label":
        told = (schema.metadata or {}).get(LABEL)
        said = dict(json.loads(told)) if told else {}
        sources = said.get("sources") or ([said["source"]] if said.get("source") else [])
        return Label(tuple(sources), bool(said.get("simulated", False)), str(said.get("venue", "")))

    @staticmethod
    def in_file(file: Path) -> "Label":
        return Label.of(pq.read_schema(file))

    @property
    def document(self) -> bytes:
        return json.dumps({"sources": self.sources, "simulated": self.simulated, "venue": self.venue}).encode()

    def joined(self, other: "Label") -> "Label":
        """Of rows from both."""
        return Label(
            tuple(sorted({*self.sources, *other.sources})), self.simulated or other.simulated, self.venue or other.venue
        )


Kept = dict[tuple[Path, tuple[str, ...]], tuple[Rows, Label]]  # whole files, by these columns of them


@dataclass(frozen=True, slots=True)
class Series:
    """The series `name` in `folder`."""

    folder: Path
    name: str

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.parquet"

    @property
    def parts(self) -> Path:
        return self.folder / self.name

    @property
    def entry(self) -> Path:
        """What the catalogue says of it."""
        return self.folder / f"{self.name}.json"

    @property
    def shown(self) -> str:
        """What people find it by."""
        return self.file.name if self.file.exists() else self.name

    def exists(self) -> bool:
        return self.file.exists() or bool(months(self.parts))

    def files(self, period: Period = ALWAYS) -> list[Path]:
        """The files that may hold rows of `period`, in the order of time; BadData where there is nothing at all."""
        parts = months(self.parts)
        if self.file.exists() and parts:
            raise BadData(
                f"{self.folder.name} has {self.file.name} and {self.name}/: it would not be known which is meant; "
                f"`qt data import {self.file.name}` into another folder, or take one of them away"
            )
        if parts:
            within = [part for part in parts if period.meets(*month_of(part.stem))]
            return within or parts[-1:]  # one file tells what the columns are
        if not self.file.exists():
            raise BadData(f"{self.file.name} is not in {self.folder}; {_there(self.file)}")
        return [self.file]

    def load(
        self,
        columns: Sequence[str],
        period: Period = ALWAYS,
        *,
        keep: Kept | None = None,
        kept: Kept | None = None,
    ) -> tuple[Rows, Label]:
        """The rows in `period`, of these columns only, and what their files say of themselves.

        Files that had to be read whole are put into `keep`; those that `kept` has are taken out of it, and not read.
        """
        files = self.files(period)
        alone = len(files) == 1  # many are read side by side, and threads within each of them only cost

        def one(file: Path) -> tuple[Rows, Label]:
            name = file, tuple(columns)
            found = kept.pop(name, None) if kept else None
            rows, label, whole = (*found, False) if found else _load(file, columns, period, alone)
            if whole and keep is not None:
                keep[name] = rows, label
            return _within(rows, period), label

        with ThreadPoolExecutor(min(READERS, len(files))) as pool:
            read = list(pool.map(one, files))
            values = list(pool.map(lambda column: np.concatenate([rows.values[column] for rows, _ in read]), columns))
        labels = {label for _, label in read}
        if len({label.simulated for label in labels}) > 1 or len({label for label in labels if label.simulated}) > 1:
            told = "; ".join(sorted(label.source for label in labels))
            raise BadData(
                f"{self.name}/ holds parts of different markets ({told}): a write was cut off; write it again"
            )
        label = next(iter(labels))
        for other in labels:
            label = label.joined(other)
        return Rows(np.concatenate([rows.times for rows, _ in read]), dict(zip(columns, values, strict=True))), label


def seal(label: bytes, times: Micros) -> bytes:
    """What tells that a label and the rows it was written with belong together: a parquet footer has no checksum."""
    ends = (int(times[0]), int(times[-1])) if len(times) else ()
    return f"{crc32(repr((label, len(times), *ends)).encode()):08x}".encode()


def months(folder: Path) -> list[Path]:
    """The parts in `folder`, in the order of time."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))


def month_of(stem: str) -> tuple[int, int]:
    """The first and the last microsecond of the month that a part is named for.

    >>> month_of("1970-01") == (0, 31 * 24 * 3_600_000_000 - 1)
    True
    """
    try:
        first = np.datetime64(stem, "M")
    except ValueError:
        raise BadData(
            f"{stem}.parquet is not named for a month, as 2025-06.parquet: take it out of the folder"
        ) from None
    ends = (first + 1).astype("datetime64[us]").astype(np.int64)
    return int(first.astype("datetime64[us]").astype(np.int64)), int(ends) - 1


def named(file: Path) -> str:
    """A file, as people find it: a part with the folder that it is in."""
    return f"{file.parent.name}/{file.name}" if file.stem[:4].isdigit() else file.name


# --- below ------------------------------------------------------------------------------------------------


def _load(file: Path, columns: Sequence[str], period: Period, threads: bool) -> tuple[Rows, Label, bool]:
    """These columns of one file, of the row groups that may hold rows of `period`; and whether those are all."""
    wanted = ["timestamp", *columns]
    try:
        with pq.ParquetFile(file, memory_map=True, page_checksum_verification=True) as opened:
            schema, groups = opened.schema_arrow, _groups(opened, period)
            label, whole = Label.of(schema), len(groups) == opened.metadata.num_row_groups
            _must_have(file, schema, wanted)
            table = opened.read_row_groups(groups, columns=wanted, use_threads=threads)
    except FileNotFoundError:
        raise BadData(f"{named(file)} is not in {file.parent}; {_there(file)}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadData(f"{named(file)} can't be read as parquet ({_first_line(error)}); get it again") from error
    for name in wanted:
        if table.column(name).null_count:
            null = table.column(name).is_null().to_numpy(zero_copy_only=False)
            raise BadData(
                f"{named(file)}: rows without a {name}: {np.count_nonzero(null)} of {len(null)} read, the first is row "
                f"{np.flatnonzero(null)[0]}; get the file again"
            )
    times = np.asarray(table.column("timestamp").cast(_MICROS, safe=False).cast(pa.int64()).to_numpy(), dtype=np.int64)
    told = schema.metadata or {}
    sealed = seal(told.get(LABEL, b""), times)
    if whole and told.get(SEAL, sealed) != sealed:
        raise BadData(f"{named(file)} is damaged: its rows are not those that it was written with; get it again")
    values = {name: table.column(name).to_numpy().astype(np.float64, copy=False) for name in columns}
    return Rows(times, values), label, whole


def _within(rows: Rows, period: Period) -> Rows:
    times = rows.times
    if not len(times) or period.covers(int(times.min()), int(times.max())):
        return rows
    inside = (times >= (times.min() if period.start is None else period.start)) & (
        times <= (times.max() if period.end is None else period.end)
    )
    return rows.where(inside)


def _groups(opened: pq.ParquetFile, period: Period) -> list[int]:
    """The row groups that may hold rows of `period`."""
    count = opened.metadata.num_row_groups
    if count == 1 or (period.start is None and period.end is None):
        return list(range(count))
    place = opened.schema_arrow.get_field_index("timestamp")
    kept = []
    for number in range(count):
        known = opened.metadata.row_group(number).column(place).statistics
        if known is None or not known.has_min_max or period.meets(_micros(known.min), _micros(known.max)):
            kept.append(number)
    return kept


def _micros(instant: object) -> int:
    """A statistic, which is an aware time."""
    return int(pd.Timestamp(instant).as_unit("us").asm8.astype(np.int64))  # type: ignore[arg-type]


def _must_have(file: Path, schema: pa.Schema, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        raise BadData(f"{named(file)} has no column {', '.join(missing)}; it has {', '.join(schema.names) or 'none'}")
    time = schema.field("timestamp").type
    if not pa.types.is_timestamp(time) or time.tz is None:
        raise BadData(f"{named(file)}: timestamp is {time}, and must be a timestamp with a time zone (UTC)")
    for name in wanted[1:]:
        kind = schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise BadData(f"{named(file)}: {name} is {kind}, and must be a number")


def _there(missing: Path) -> str:
    """In words, which series might have been meant."""
    if not missing.parent.is_dir():
        return "there is no such folder"
    names = names_in(missing.parent)
    symbol = missing.stem.split("-")[0]
    same = [name for name in names if name.split("-")[0] == symbol]
    near = same or get_close_matches(missing.stem, names, n=3, cutoff=0.5) or names
    more = f" and {len(near) - 8} more" if len(near) > 8 else ""
    return f"there are {', '.join(near[:8])}{more}" if near else "the folder has no parquet files"


def names_in(folder: Path) -> list[str]:
    """The series in `folder`, by name."""
    files = {file.stem for file in folder.glob("*.parquet") if not file.name.startswith(".")}
    return sorted(files | {place.name for place in _folders(folder) if months(place)})


def _folders(folder: Path) -> Iterable[Path]:
    return (place for place in folder.iterdir() if place.is_dir() and "-" in place.name and place.name[0] != ".")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
