"""A run is a folder: `runs/<UTC time>-<kind>-<4 characters>/`, and its record says how it ended.

The folder is made first, then `record.json` with `status: running`, last the final record: each written whole or not
at all. A record that says running while its process is gone is a run that died; whoever lists runs sees that for
themselves. Everything the program writes lies under one folder, `runs/` or `QT_RUNS_DIR`.
"""

import errno
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psutil

from qtlib.runs.record import atomic

HOME = Path(__file__).resolve().parents[3]  # the project's folder, where notebooks, params and runs lie
RUNNING, OK, FAILED, INTERRUPTED, REFUSED, DIED = "running", "ok", "failed", "interrupted", "refused", "died"
FILES = {
    "notebook": "notebook.ipynb",
    "report": "report.html",
    "params": "params.yaml",
    "trades": "trades.parquet",
    "equity": "equity.parquet",
    "decisions": "decisions.parquet",
    "trials": "trials.parquet",
    "forward": "forward.parquet",
    "log": "log.jsonl",
}
LEAST_FREE_BYTES = 24_000_000  # a notebook, its page, the tables and what a session adds to its journal
_NAME = re.compile(r"\d{8}T\d{6}Z-[a-z]+-[0-9a-z]{4}")
_PACKAGES = ("numpy", "pandas", "pyarrow", "sqlalchemy", "pydantic", "plotly", "papermill", "ipykernel", "scikit-learn")
_LIVE_DAYS_KEPT = timedelta(days=30)


class RunsError(Exception):
    """The runs folder cannot do what was asked of it; the message says what to do."""


def runs_root() -> Path:
    """Where everything that the program writes lies."""
    named = os.environ.get("QT_RUNS_DIR", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    return (HOME if (HOME / "notebooks").is_dir() else Path.cwd()) / "runs"


def with_room(root: Path) -> Path:
    """`root`, if a run's files can be written there and have room; made where it is not there yet."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=root) as f:
            f.write(b"can be written")
        free = shutil.disk_usage(root).free
    except OSError as e:
        raise RunsError(unwritable(root, e)) from e
    if free < LEAST_FREE_BYTES:
        raise RunsError(
            f"the disk under {root} has {free / 1e6:.1f} MB free, and a run may take {LEAST_FREE_BYTES / 1e6:.0f} MB; "
            "make room, or name another by QT_RUNS_DIR"
        )
    return root


def journal_location(account: str, root: Path | None = None) -> str | Path:
    """The journal of an account: QT_DATABASE_URL, or a file of its own under the runs folder."""
    url = os.environ.get("QT_DATABASE_URL", "").strip()
    return url or _made((root or runs_root()) / "journal") / f"{account}.sqlite"


def venue_location(account: str, root: Path | None = None) -> Path:
    """The simulated venue's own disk: not the trader's, and it outlives the trader."""
    return _made((root or runs_root()) / "exchange") / f"{account}.sqlite"


@dataclass(frozen=True, slots=True)
class RunFolder:
    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        return self.path.parent

    @property
    def kind(self) -> str:
        return self.run_id.split("-")[1] if _NAME.fullmatch(self.run_id) else ""

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def record(self) -> dict[str, Any]:
        """The record, with `died` where it says running and nothing runs."""
        record = atomic.read_json(self / "record.json")
        if record is None:
            return {"run_id": self.run_id, "kind": self.kind, "status": DIED}
        if record.get("status") == RUNNING and not _alive(record):
            return record | {"status": DIED}
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        atomic.write_json(self / "record.json", record)

    def files(self) -> dict[str, str | None]:
        """What there is, by what it is; None for what this run did not write."""
        return {what: name if (self / name).exists() else None for what, name in FILES.items()}


def create(kind: str, started: datetime, root: Path | None = None) -> RunFolder:
    """A new folder of its own; `runs/latest` names it."""
    root = root or runs_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        for _ in range(100):
            path = root / f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{kind}-{secrets.token_hex(2)}"
            try:
                path.mkdir()  # never an existing one: this is what makes the name unique
            except FileExistsError:
                continue
            atomic.write_text(root / "latest", f"{path.name}\n")
            return RunFolder(path)
    except OSError as e:
        raise RunsError(unwritable(root, e)) from e
    raise RunsError(f"{root} already holds a hundred runs of this very second; wait for the next")


def first_record(
    folder: RunFolder,
    started: datetime,
    *,
    mode: str,
    params_hash: str,
    params_file: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int | None = None,
    session_id: str | None = None,
) -> dict[str, Any]:
    """The record of a run that begins now, in this process; every key that it will ever have is there."""
    return {
        "run_id": folder.run_id,
        "kind": folder.kind,
        "mode": mode,
        "status": RUNNING,
        "started": timestamp(started),
        "ended": None,
        "seconds": None,
        "params_file": params_file,
        "params_hash": params_hash,
        "overrides": dict(overrides or {}),
        "code": _code(),
        "versions": _versions(),
        "data": None,
        "seed": seed,
        "pid": os.getpid(),
        "boot_id": _boot_id(),
        "process_started": _process_started(os.getpid()),
        "session_id": session_id,
        "previous_run": _predecessor(folder, session_id),
        "model": None,
        "stopped": None,
        "metrics": {},
        "counters": {},
        "files": {},
        "error": None,
    }


def final_record(
    folder: RunFolder,
    record: Mapping[str, Any],
    ended: datetime,
    status: str,
    told: Mapping[str, Any],
    error: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """`record` of a run that has ended: the runner's word on how, the notebook's (`told`) on what."""
    known = {k: told[k] for k in ("data", "model", "stopped", "metrics", "counters") if told.get(k) is not None}
    began = datetime.fromisoformat(record["started"])
    end = {"status": status, "ended": timestamp(ended), "seconds": round((ended - began).total_seconds(), 3)}
    return {**record, **known, **end, "files": folder.files(), "error": dict(error) if error else None}


def runs(root: Path | None = None) -> Iterator[RunFolder]:
    """Every run there is, newest first."""
    root = root or runs_root()
    if root.exists() and not root.is_dir():
        raise RunsError(f"{root} is a file, and runs lie in a folder; name one by QT_RUNS_DIR")
    if root.is_dir():
        names = sorted((p.name for p in root.iterdir() if _NAME.fullmatch(p.name)), reverse=True)
        yield from (RunFolder(root / name) for name in names)


def find(run_id: str, root: Path | None = None) -> RunFolder:
    """The run of that name, or of which it is an unmistakable part; "latest" is the newest."""
    there = list(runs(root))
    if not there:
        raise RunsError(f"there are no runs in {root or runs_root()} yet; `qt live` and `qt backtest` make some")
    if run_id == "latest":
        return there[0]
    found = [f for f in there if f.run_id == run_id] or [f for f in there if run_id in f.run_id]
    if len(found) == 1:
        return found[0]
    if found:
        raise RunsError(f"{run_id} fits {len(found)} runs, as {found[0].run_id} and {found[-1].run_id}; say more of it")
    raise RunsError(f"there is no run {run_id} in {there[0].root}; the newest of {len(there)} is {there[0].run_id}")


def disposable(keep: int, now: datetime, root: Path | None = None, kind: str | None = None) -> list[RunFolder]:
    """The runs beyond the newest `keep` of each kind; never one that runs, nor a live one of the last 30 days."""
    seen: dict[str, int] = {}
    found = []
    for folder in runs(root):
        if kind is not None and folder.kind != kind:
            continue
        seen[folder.kind] = seen.get(folder.kind, 0) + 1
        recent = folder.kind == "live" and now - _began(folder) < _LIVE_DAYS_KEPT
        if seen[folder.kind] > keep and not recent and folder.record()["status"] != RUNNING:
            found.append(folder)
    return found


def remove(folder: RunFolder) -> None:
    """Take a run away, whole: renamed first, so that half of it is never taken for a run."""
    doomed = folder.root / f".{folder.run_id}.removed"
    folder.path.rename(doomed)
    shutil.rmtree(doomed)


def timestamp(ts: datetime) -> str:
    return ts.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unwritable(root: Path, e: OSError) -> str:
    """Why nothing can be written there, and what to do."""
    if e.errno == errno.ENOSPC:
        free = shutil.disk_usage(root if root.exists() else Path.cwd()).free
        return f"the disk under {root} is full ({free / 1e6:.1f} MB free); make room, or name another by QT_RUNS_DIR"
    return f"the runs folder {root} cannot be written ({e.strerror or e}); mend that, or name another by QT_RUNS_DIR"


# --- the process and the code -----------------------------------------------------------------------------


def _alive(record: Mapping[str, Any]) -> bool:
    """The very process that wrote `record` runs: same machine start, same number, same birth."""
    if record.get("boot_id") != _boot_id():
        return False
    started = _process_started(int(record.get("pid") or 0))
    return started is not None and started == record.get("process_started")


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _process_started(pid: int) -> float | None:
    """When a process began, in the system's own count; None if there is none, or only its remains."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if after_name[0] in "ZX" else float(after_name[19])
    except OSError:
        if Path("/proc/self").exists():
            return None
    try:
        return round(psutil.Process(pid).create_time(), 1)
    except psutil.Error:
        return None


def _code() -> dict[str, Any]:
    commit = _git("rev-parse", "HEAD")
    dirty = None if commit is None else bool(_git("status", "--porcelain", "--untracked-files=no"))
    return {"version": _version("qtlib"), "commit": commit, "dirty": dirty}


def _git(*words: str) -> str | None:
    if not (HOME / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(HOME), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str | None]:
    return {"python": sys.version.split()[0]} | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _predecessor(folder: RunFolder, session_id: str | None) -> str | None:
    """The run before this one in the same session."""
    if session_id is None:
        return None
    for other in runs(folder.root):
        if (
            other.run_id < folder.run_id
            and other.kind == folder.kind
            and other.record().get("session_id") == session_id
        ):
            return other.run_id
    return None


def _began(folder: RunFolder) -> datetime:
    return datetime.strptime(folder.run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise RunsError(unwritable(folder, e)) from e
    return folder
