"""Writing: parts are made beside those they replace, synced, and put in their places in the order of time.

A kill at any instant leaves each part as it was or as it should be, and of what is appended a beginning without a
hole. What a dead writer left over is swept away by the next one; two at once in one folder are refused.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qtlib.durable import sync_folder
from qtlib.market.market import BadData
from qtlib.market.series import LABEL, SEAL, TIME, Label, Rows, Series, seal

_ROW_GROUP = 65_536
_LOCK = ".writing"


@dataclass(slots=True)
class Staged:
    """Parts that are written, and not yet in place."""

    drafts: list[tuple[Path, Path]] = field(default_factory=list)  # the draft, and the part it will be

    def part(self, target: Path, rows: Rows, label: Label) -> None:
        """Write `rows` for `target`, down to the platter."""
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        self.drafts.append((draft, target))
        with draft.open("wb") as out:
            pq.write_table(
                _table(rows, label),
                out,
                compression="zstd",
                row_group_size=_ROW_GROUP,
                write_page_checksum=True,
                use_dictionary=False,
                column_encoding={"timestamp": "DELTA_BINARY_PACKED"} | dict.fromkeys(rows.values, "BYTE_STREAM_SPLIT"),
            )
            out.flush()
            os.fsync(out.fileno())

    def publish(self) -> list[Path]:
        """Every part in its place, the earliest first; their paths."""
        for draft, target in sorted(self.drafts, key=lambda pair: pair[1]):
            draft.replace(target)
        for folder in {target.parent for _, target in self.drafts}:
            sync_folder(folder)
        return sorted(target for _, target in self.drafts)


@contextlib.contextmanager
def staging() -> Iterator[Staged]:
    """What is staged and not published when it ends leaves nothing behind."""
    staged = Staged()
    try:
        yield staged
    finally:
        for draft, target in staged.drafts:
            draft.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                target.parent.rmdir()  # only if nothing was there, and nothing came


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else writes to `folder` meanwhile; the lock ends with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadData(f"another process writes to {folder}: wait until it is done") from None
        yield


def sweep(series: Series) -> None:
    """Take away what a writer that died has left; only while nobody else writes."""
    for place in (series.parts, series.folder):
        for litter in place.glob(f".{'*' if place == series.parts else series.entry.name}.*"):
            litter.unlink(missing_ok=True)


def by_month(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """`rows`, which ascend, in parts: each with the name of its month."""
    if not len(rows):
        return
    month = rows.times.view("datetime64[us]").astype("datetime64[M]")
    starts = np.flatnonzero(np.r_[True, month[1:] != month[:-1]])
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield f"{month[start]}.parquet", rows.where(slice(start, end))


def ascending(rows: Rows, name: str) -> Rows:
    """`rows`, if their times ascend and none stands twice."""
    step = np.diff(rows.times)
    if len(step) and step.min() <= 0:
        raise BadData(f"{name}: row {int(np.flatnonzero(step <= 0)[0]) + 1} stands at or before the row above it")
    return rows


def gone(files: Iterable[Path]) -> None:
    """Take parts away, the latest first, so that what is left has no hole."""
    for file in sorted(files, reverse=True):
        file.unlink(missing_ok=True)


# --- below ------------------------------------------------------------------------------------------------


def _table(rows: Rows, label: Label) -> pa.Table:
    times = pa.array(rows.times, pa.timestamp("us", tz="UTC")).cast(TIME)
    columns: Sequence[str] = tuple(rows.values)
    table = pa.table({"timestamp": times, **{name: rows.values[name] for name in columns}})
    said = label.document
    return table.replace_schema_metadata({LABEL: said, SEAL: seal(said, rows.times)})
