"""Finished trials on disk: a folder of parquet files, each whole before anyone is told of what is in it.

The folder is one of the bars and the code that trials are made of, and no sweep's own: what one sweep has traded, the
next one finds. A kill at any instant loses what was not yet `kept`, and nothing else. Any reader takes the folder as
it lies: `pandas.read_parquet`, `polars.scan_parquet`, `duckdb`.
"""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qtlib.durable import into_place
from qtlib.runs.record.folder import RunsError
from qtlib.runs.sweep.trial import FAILED, NUMBERS, Array, Result

COLUMNS = ("key", "status", "why", "seconds", "first_day", *NUMBERS)
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "status", "why")),
        ("seconds", pa.float64()),
        ("first_day", pa.int64()),
        *((name, pa.float64()) for name in NUMBERS),
        ("returns", pa.list_(pa.float64())),
    ]
)


FOLDER = "sweeps"  # beside the runs: a store for each market and version of the code
IN_USE = timedelta(days=1)  # so long a sweep may run without a finished trial


def disposable(keep: int, now: datetime, root: Path) -> list[Path]:
    """The stores under `root` beyond the `keep` that were used last; never one that may be in use."""
    used = {path: datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in (root / FOLDER).glob("[!.]*")}
    newest = sorted(used, key=lambda path: used[path], reverse=True)
    return [path for path in newest[keep:] if now - used[path] > IN_USE]


class Store:
    """The finished trials in `folder`, which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # when it was used last
        self.folder = folder
        self._parts: list[Path] = []
        self._part_of: dict[str, int] = {}
        for path in sorted(folder.glob("part-*.parquet")):
            told = _read(path, ["key", "status"]).to_pydict()  # what failed is tried again: starting anew is mending
            self._note(path, [k for k, how in zip(told["key"], told["status"], strict=True) if how != FAILED])

    def __contains__(self, key: str) -> bool:
        return key in self._part_of

    def __len__(self) -> int:
        return len(self._part_of)

    def keep(self, results: Sequence[Result]) -> None:
        """`results` are on disk when this returns, or none of them is."""
        rows = [
            {"key": r.key, "status": r.status, "why": r.why, "seconds": r.seconds, "first_day": r.first_day}
            | {name: r.numbers.get(name) for name in NUMBERS}
            | {"returns": r.returns}
            for r in results
        ]
        path = self.folder / f"part-{time.time_ns()}-{os.getpid()}.parquet"
        with into_place(path) as tmp:
            pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), tmp, compression="zstd")
            with tmp.open("rb") as f:
                os.fsync(f.fileno())
        self._note(path, [r.key for r in results])

    def frame(self, keys: Sequence[str]) -> pd.DataFrame:
        """What came of these trials, in their order, without their days; all of them must be there."""
        parts = [_read(self._parts[p], list(COLUMNS)).to_pandas() for p in sorted({self._part_of[k] for k in keys})]
        if not parts:
            return pd.DataFrame({name: pd.Series(dtype=float if name in NUMBERS else object) for name in COLUMNS})
        found = pd.concat([part[part["key"].isin(set(keys))] for part in parts])
        ours: pd.DataFrame = found.drop_duplicates("key", keep="last").set_index("key").loc[list(keys)].reset_index()
        return ours

    def returns(self, keys: Sequence[str]) -> Iterator[tuple[str, int, Array]]:
        """Key, first day and daily returns of each of these trials, a part in memory at a time."""
        wanted: dict[int, set[str]] = {}
        for key in keys:
            wanted.setdefault(self._part_of[key], set()).add(key)
        for part, names in sorted(wanted.items()):
            told = _read(self._parts[part], ["key", "first_day", "returns"])
            days = told["returns"]
            for row, (key, first) in enumerate(
                zip(told["key"].to_pylist(), told["first_day"].to_pylist(), strict=True)
            ):
                if key in names:
                    yield key, first, np.asarray(days[row].values, dtype=np.float64)

    def _note(self, path: Path, keys: Sequence[str]) -> None:
        self._parts.append(path)
        self._part_of.update(dict.fromkeys(keys, len(self._parts) - 1))


def _read(path: Path, columns: list[str]) -> Any:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException, ValueError) as e:
        raise RunsError(f"{path} is damaged ({e}); take it away: its trials will be traded again") from e
