"""The panel's desk on this machine: an account's journal, its newest run, and the way to begin a session.

Reading leaves nothing behind, and asking leaves a row in the journal, as `qt pause` and its kind do.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtlib.domain.commands import Command, Verb
from qtlib.journal import Journal
from qtlib.panel.desk import Models, Outside
from qtlib.params import Params, resolve
from qtlib.report.words import speak
from qtlib.runs.believing.subjects import models
from qtlib.runs.record import atomic
from qtlib.runs.record.commands import commanded, left
from qtlib.runs.record.folder import DIED, HOME, RUNNING, RunFolder, RunsError, journal_location, runs, runs_root
from qtlib.runs.record.health import asked
from qtlib.runs.record.log import Tail
from qtlib.runs.wiring import LEARNED, prices_of

if TYPE_CHECKING:
    from qtlib.runs.believing.registered import Registered

LINES = 60  # of the log
PANEL = "QT_PANEL"  # what `qt panel` tells the page's kernel: {"params": FILE, "overrides": [SECTION.KEY=VALUE]}


def open_desk(params_file: str = "", overrides: Sequence[str] = (), root: Path | None = None) -> "RunsDesk":
    """The desk of the account that these settings name; the panel speaks their language from now on."""
    told = json.loads(os.environ.get(PANEL) or "{}") if not params_file else {}
    file = Path(params_file or told.get("params") or "params/sim.yaml")
    words = [*overrides, *told.get("overrides", [])]
    return RunsDesk(file, words, root or runs_root())


class RunsDesk:
    def __init__(self, file: Path, overrides: Sequence[str], root: Path) -> None:
        self._file = file if file.exists() or file.is_absolute() else HOME / file
        self._overrides, self._root = list(overrides), root
        params = resolve(self._file, self._overrides, os.environ).params
        speak(params.report.language)
        self._account, self._mode, self._market = params.session.account, params.mode, prices_of(params)
        self._registered = _registered(params, root)
        self._folder: RunFolder | None = None
        self._tail: Tail | None = None
        self._lines: deque[Mapping[str, Any]] = deque(maxlen=LINES)

    @property
    def account(self) -> str:
        return self._account

    @property
    def mode(self) -> str:
        return self._mode

    @property
    def market(self) -> str:
        return self._market

    @property
    def starting(self) -> str:
        return shlex.join(["qt", *self._words])

    def journal(self) -> Journal | None:
        where = journal_location(self._account, self._root)
        if isinstance(where, Path) and not where.exists():
            return None
        return Journal(where, self._account, reading=True)

    def outside(self) -> Outside:
        folder = self._newest()
        if folder is None:
            return Outside()
        record = folder.record()
        running = record["status"] == RUNNING
        beat = (atomic.read_json(folder / "heartbeat.json") or {}) if running else {}
        page = asked(beat["health"]) if beat.get("health") else None
        error = record.get("error") or {}
        return Outside(
            run_id=folder.run_id,
            run_status=str(record.get("status", DIED)),
            beat_age_s=max(0.0, time.time() - float(beat["ts"])) if "ts" in beat else None,
            rss_mb=beat.get("rss_mb"),
            done=beat.get("done"),
            total=beat.get("total"),
            health=page,
            log=tuple(self._log(folder)),
            error=error.get("message"),
        )

    def ask(self, verb: Verb, **what: Any) -> Command:
        return left(self._account, commanded(verb, **what), self._root)

    def models(self) -> Models | None:
        return self._registered.look() if self._registered else None

    def promote(self, version: str) -> None:
        if self._registered:
            self._registered.promote(version)

    def roll_back(self) -> None:
        if self._registered:
            self._registered.roll_back()

    def start(self) -> None:
        if self._newest() is not None and self.outside().run_status == RUNNING:
            raise RunsError(f"a session of account {self._account} runs already")
        env = {**os.environ, "QT_RUNS_DIR": str(self._root)}
        env.pop(PANEL, None)
        said = self._root / "journal" / f"{self._account}.started.log"
        said.parent.mkdir(parents=True, exist_ok=True)
        with said.open("ab") as out:
            subprocess.Popen(
                [sys.executable, "-m", "qtlib.cli", *self._words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                cwd=HOME,
                start_new_session=True,  # it outlives this page
            )

    @property
    def _words(self) -> list[str]:
        given = [word for override in self._overrides for word in ("-p", override)]
        return ["live", "--params", str(self._file), *given]

    def _newest(self) -> RunFolder | None:
        """The newest session's run of this account."""
        for folder in runs(self._root):
            if folder == self._folder:
                return folder
            if folder.kind == "live" and folder.record().get("session_id") in (self._account, None):
                self._folder, self._tail = folder, Tail(folder / "log.jsonl")
                self._lines.clear()
                return folder
        return None

    def _log(self, folder: RunFolder) -> deque[Mapping[str, Any]]:
        if self._tail is not None:
            self._lines.extend(self._tail.lines())
        return self._lines


def _registered(params: Params, root: Path) -> "Registered | None":
    if params.strategy.name != LEARNED:
        return None
    from qtlib.runs.believing.registered import Registered  # noqa: PLC0415  cold start: scikit-learn, that a rule has no use for

    return Registered(models(params, root))
