"""What a notebook holds of its run: settings in; log, tables and figures out.

    run = open_run(run_dir, params)

Papermill fills in `run_dir` and `params`. In JupyterLab both are empty, and the run makes a folder of its own from
`params/sim.yaml`. The notebook says what it found; how the run ended is the runner's to say.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from qtlib.params import Params, Resolved, resolve, validate
from qtlib.report.words import say, speak
from qtlib.runs.record import atomic, guard
from qtlib.runs.record.folder import HOME, OK, RunFolder, create, final_record, first_record, journal_location
from qtlib.runs.record.log import Log

if TYPE_CHECKING:
    import pandas as pd


def open_run(run_dir: str = "", params: Mapping[str, Any] | None = None) -> "Run":
    """The run that this notebook is part of; the settings are checked again, by the same model.

    What is shown from now on speaks their `report.language`.
    """
    if run_dir:
        given = validate(params or {})
        speak(given.report.language)
        return Run(RunFolder(Path(run_dir)), given)
    if params:
        own = validate(params)
        resolved = Resolved(own, {}, None, own.hash())
    else:
        resolved = resolve(HOME / "params" / "sim.yaml", environ=os.environ)
    speak(resolved.params.report.language)
    return Run(open_folder("lab", resolved, datetime.now(UTC)), resolved.params, adhoc=True)


def open_folder(kind: str, resolved: Resolved, started: datetime, root: Path | None = None) -> RunFolder:
    """A new run folder with its settings and its first record in it."""
    folder = create(kind, started, root)
    params = resolved.params
    record = first_record(
        folder,
        started,
        mode=params.mode,
        params_hash=resolved.hash,
        params_file=resolved.file,
        overrides=resolved.overrides,
        seed=params.data.seed if params.data.source == "simulated" else params.venue.seed,
        session_id=params.session.account if kind == "live" else None,
    )
    folder.write_record(record)
    atomic.write_text(folder / "params.yaml", resolved.dump_yaml())
    return folder


class Run:
    """One execution of a notebook."""

    def __init__(self, folder: RunFolder, params: Params, adhoc: bool = False) -> None:
        self.folder = folder
        self.params = params
        self.run_id = folder.run_id
        self.log = Log(folder / "log.jsonl")
        self._adhoc = adhoc
        self._stop_file = str(folder / "stop")
        self._next_beat = 0.0
        self._stopped: str | None = None  # why the loop was told to end
        self._process = psutil.Process()

    @property
    def journal(self) -> str | Path:
        """Where the account's journal lies."""
        return journal_location(self.params.session.account, self.folder.root)

    def stop_requested(self) -> str | None:
        """Why the loop should end in order now; None while it may go on. Cheap: asked at every bar."""
        if guard.reason is not None:
            self._stopped = guard.reason
        elif os.path.exists(self._stop_file):  # noqa: PTH110  a third of the time of Path.exists, twenty thousand times a second
            said = atomic.read_json(Path(self._stop_file)) or {}
            self._stopped = str(said.get("why", "stop was asked for"))
        return self._stopped

    def beat(self, done: int | None = None, total: int | None = None, **figures: Any) -> None:
        """A sign of life, with how far the loop is [bars], what memory it holds and what else may be shown; written
        once a heartbeat.

        From the first one until the cell ends, silence for `session.hung_after_s` means hung: the kernel is killed.
        """
        now = time.monotonic()
        if now < self._next_beat:
            return
        self._next_beat = now + self.params.session.heartbeat_s
        rss_mb = round(self._process.memory_info().rss / 1e6, 1)
        guard.write_beat(self.folder.path, {"done": done, "total": total, "rss_mb": rss_mb, **figures})

    def write_table(self, name: str, frame: "pd.DataFrame") -> Path:
        """`frame` as `<name>.parquet` in the run's folder."""
        if not name.isidentifier():
            raise ValueError(f"a table's name must be a plain name, not {name!r}")
        path = self.folder / f"{name}.parquet"
        atomic.write_parquet(path, frame)
        return path

    def finish(
        self,
        *,
        metrics: Mapping[str, Any] | None = None,
        counters: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        model: Mapping[str, Any] | None = None,
        stopped: str | None = None,
    ) -> None:
        """Hand what the notebook knows to the record. What is not a number is null there, never 0."""
        ended_by = self._stopped or stopped
        given = {"metrics": metrics, "counters": counters, "data": data, "model": model, "stopped": ended_by}
        told = {k: _plain(v) for k, v in given.items() if v is not None}
        if self._adhoc:
            record = atomic.read_json(self.folder / "record.json") or {}
            self.folder.write_record(final_record(self.folder, record, datetime.now(UTC), OK, told, None))
        else:
            atomic.write_json(self.folder / "result.json", told)

    def _repr_html_(self) -> str:
        market = say("simulated market") if self.params.data.source == "simulated" else say("bars on disk")
        words = say("run {run} · mode {mode} · {market}", run=self.run_id, mode=self.params.mode, market=market)
        return f"<p>{escape(words)}</p>"


def _plain(value: Any) -> Any:
    """As JSON can hold it: times in ISO 8601, numbers that are none as null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return json.loads(json.dumps(value, default=_number_or_text))


def _number_or_text(value: Any) -> float | str:
    try:
        number = float(value)  # a Decimal
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else str(value)
