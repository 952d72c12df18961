"""`log.jsonl`: one JSON object a line, what happened in the order it did. It is bounded: at `max_bytes` the file
becomes `log.1.jsonl`, replacing an older one, and a new one begins.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from qtlib.runs.record.atomic import redact, secrets

MAX_BYTES = 20_000_000


class Log:
    """Writes lines; each is in the file when the call returns."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._secrets = secrets()
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self._size = path.stat().st_size

    def info(self, msg: str, **fields: Any) -> None:
        self.write("info", msg, **fields)

    def warning(self, msg: str, **fields: Any) -> None:
        self.write("warning", msg, **fields)

    def error(self, msg: str, **fields: Any) -> None:
        self.write("error", msg, **fields)

    def write(self, level: str, msg: str, **fields: Any) -> None:
        """One line: when, how grave, what, and whatever else is told."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = {"ts": now, "level": level, "msg": msg} | fields
        line = redact(json.dumps(entry, ensure_ascii=False, default=str), self._secrets) + "\n"
        self._size += len(line.encode())
        self._file.write(line)
        if self._size >= self._max_bytes:
            self._file.close()
            self.path.replace(older(self.path))
            self._file, self._size = self.path.open("a", encoding="utf-8", buffering=1), 0

    def close(self) -> None:
        self._file.close()


class Tail:
    """Reads what another process appends to a log, line by line, across its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._rest = ""

    def lines(self) -> Iterator[dict[str, Any]]:
        """What was written since the last call."""
        while True:
            if self._file is None:
                if not self._path.exists():
                    return
                self._file = self._path.open(encoding="utf-8", errors="replace")
            moved = (
                _inode(self._path) != os.fstat(self._file.fileno()).st_ino
            )  # asked before reading: what follows is all of it
            *whole, self._rest = (self._rest + self._file.read()).split("\n")
            for line in whole:
                entry = _parsed(line)
                if entry is not None:
                    yield entry
            if not moved:
                return
            self._file.close()
            self._file, self._rest = None, ""


def older(path: Path) -> Path:
    """Where a full log goes: log.jsonl becomes log.1.jsonl."""
    return path.with_name(f"{path.stem}.1{path.suffix}")


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
