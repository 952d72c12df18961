"""The trial ledger: every fit, backtest and judgement, one line each, and none is ever taken back.

A file of JSON lines that people and programs can read. A line is whole and on disk when `add` returns; several
processes may add at once (each under a lock), and one that is killed leaves at most a torn line, which counts for
nothing and is closed by the next writer. Each line carries the hash of the line before, so that a line that was
changed or taken out is found by `rows`, with its number.

What is counted are distinct trials: the same parameters on the same data, run again, are one.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qtlib.learning.overfitting import moments

Array = npt.NDArray[np.float64]

FILE = "trials.jsonl"
KINDS = ("fit", "backtest", "judgement")
SHARPE = "sharpe_daily"  # among a trial's numbers, where its returns are not kept here
_BEGINNING = "0" * 16  # what the first line names as the hash before it


class LedgerError(Exception):
    """The ledger is not what was written: a person should look."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that was tried."""

    kind: str  # fit · backtest · judgement
    subject: str  # what is being searched for: all trials of one subject compete with each other
    purpose: str  # what it was tried for: challenger, validation, null test, sweep ...
    params_hash: str
    data_fingerprint: str
    first_day: int | None = None  # of `returns`, since 1970, UTC
    returns: tuple[float, ...] = ()  # net, a day each, as fractions of equity; none: they lie elsewhere
    numbers: Mapping[str, float | None] = field(default_factory=dict)  # whatever else it came to
    at: str = ""  # ISO 8601, UTC; empty: now

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} must be one of {', '.join(KINDS)}")
        if not self.subject or not self.params_hash or not self.data_fingerprint:
            raise ValueError(f"a trial names its subject, parameters and data, not {self}")

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it a trial of its own."""
        return self.subject, self.params_hash, self.data_fingerprint

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.at)


class Ledger:
    """The ledger in `folder` (`runs/models`), which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE

    def add(self, *trials: Trial) -> None:
        """Write `trials` down, in their order, all of them on disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        with self._locked() as fd:
            before, torn = _last(fd)
            first = before == _BEGINNING
            text = b"\n" if torn else b""
            for trial in trials:
                line = _line(trial if trial.at else _dated(trial, now), before)
                before, text = _hash(line), text + line + b"\n"
            while text:
                text = text[os.write(fd, text) :]
            os.fsync(fd)
            if first:
                _sync(self.path.parent)

    def rows(self) -> Iterator[Trial]:
        """Every trial, in the order they were written; `LedgerError` where a line was changed or is missing."""
        if not self.path.exists():
            return
        before = _BEGINNING
        with self.path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                row = _whole(raw)
                if row is None:  # torn: its writer was killed. Were it spoilt later, the next line would not follow
                    continue
                if row.pop("before") != before:
                    raise LedgerError(
                        f"{self.path} line {number} does not follow the line before it: one was changed or taken out; "
                        f"restore the file from a copy"
                    )
                if set(row) != set(Trial.__slots__):
                    raise LedgerError(f"{self.path} line {number} has {sorted(row)}, no trial of this version")
                before = _hash(raw.rstrip(b"\n"))
                yield Trial(**{**row, "returns": tuple(row["returns"])})

    def trials(self, subject: str, kind: str = "backtest") -> list[Trial]:
        """The distinct trials of `subject`, each as it came out last."""
        found = {t.key: t for t in self.rows() if t.subject == subject and t.kind == kind}
        return list(found.values())

    def sharpes(self, subject: str) -> Array:
        """The daily Sharpe ratio of each distinct backtest: what the deflated ratio is deflated by."""
        known = (_sharpe(t) for t in self.trials(subject))
        return np.array([ratio for ratio in known if ratio is not None])

    def matrix(self, subject: str) -> Array:
        """Daily returns, (days, trials), over the days that the newest distinct backtest shares with others.

        Trials that do not cover those days whole are left out: what is not known is not filled in.
        """
        dated = [t for t in self.trials(subject) if t.first_day is not None and len(t.returns) > 1]
        if not dated:
            return np.empty((0, 0))
        newest = dated[-1]
        assert newest.first_day is not None
        first, size = newest.first_day, len(newest.returns)
        columns = [
            t.returns[first - t.first_day : first - t.first_day + size]
            for t in dated
            if t.first_day is not None and t.first_day <= first and t.first_day + len(t.returns) >= first + size
        ]
        return np.array(columns).T

    def judged(self, subject: str) -> datetime | None:
        """When a challenger of `subject` was judged last."""
        times = [t.when for t in self.rows() if t.subject == subject and t.kind == "judgement"]
        return max(times, default=None)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # let go of by the system, should we die
            yield fd
        finally:
            os.close(fd)


def fingerprint(values: Sequence[float] | Mapping[str, Any] | str) -> str:
    """A short hash of parameters, the same for the same values in any order of their names.

    >>> fingerprint({"a": 1, "b": 2.5}) == fingerprint({"b": 2.5, "a": 1}) != fingerprint({"a": 1, "b": 2.6})
    True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _sharpe(trial: Trial) -> float | None:
    """By its returns; else as it says itself, since a sweep's thousands would drown the ledger in days."""
    if len(trial.returns) > 1:
        return moments(np.array(trial.returns)).sharpe
    return trial.numbers.get(SHARPE)


def _sync(folder: Path) -> None:
    """Put on disk that there is a new file in `folder`."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _dated(trial: Trial, now: str) -> Trial:
    return Trial(**{**{name: getattr(trial, name) for name in Trial.__slots__}, "at": now})


def _line(trial: Trial, before: str) -> bytes:
    row = asdict(trial) | {"before": before}
    return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:16]


def _whole(raw: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(raw)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "before" in row else None


def _last(fd: int) -> tuple[str, bool]:
    """The hash of the last whole line, and whether what follows it is torn. Reads from the end."""
    end = os.fstat(fd).st_size
    tail, at = b"", end
    while True:
        lines = tail.split(b"\n")
        whole = [line for line in lines[1 if at else 0 :] if _whole(line) is not None]
        if whole or at == 0:
            return (_hash(whole[-1]) if whole else _BEGINNING), bool(tail) and not tail.endswith(b"\n")
        step = min(at, 1 << 16)
        at -= step
        tail = os.pread(fd, step, at) + tail
