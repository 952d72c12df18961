"""The venue beside a session: `qt exchange` as a process of its own, with the settings of the session.

It keeps what it knows on the account's own file, and so outlives a killed trader and its own death: started again, it
answers at the same address with every order and balance. It never outlives whoever started it, however that ended.
"""

import atexit
import json
import os
import select
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from qtlib.params import Params, SettingsError, dump_yaml
from qtlib.runs.record import atomic
from qtlib.runs.record.folder import runs_root, venue_location

URL = "QT_VENUE_URL"  # in the environment: where the venue of this session answers
READY_S = 120.0  # from its start to open doors; a long market has to be lived through again
ENDING_S = 5.0  # an orderly end takes a fraction of it
_started: dict[Path, "VenueProcess"] = {}  # by this process, for notebooks: by the file that each is kept in


def opened(params: Params, root: Path | None = None) -> str:
    """The address of the session's venue: as the environment says, or of one started here, which ends with us."""
    if given := os.environ.get(URL):
        return given
    store = venue_location(params.session.account, root)
    there = _started.get(store)
    if there is not None and there.alive() and there.params == params:
        return there.url
    if there is not None:
        there.end()
    mine = _started[store] = VenueProcess(params, root)
    atexit.register(mine.end)
    mine.start()
    return mine.wait_until_ready()


class VenueProcess:
    """The served venue of an account. `start` it, and again when it died: the address stays the same."""

    def __init__(self, params: Params, root: Path | None = None) -> None:
        self.params = params
        self.url = ""  # from when it is ready for the first time
        self._store = venue_location(params.session.account, root or runs_root())
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin to open; a venue of this account that is about to end has time to do so."""
        if self._process and self._process.stdout:  # of the one that died
            self._process.stdout.close()
        _wait_until_free(self._store)
        settings = self._store.with_suffix(".params.yaml")
        atomic.write_text(settings, dump_yaml(self.params.plain()))
        # without our QT_ names: the file holds what they came to, and a venue needs no keys
        env = {name: value for name, value in os.environ.items() if not name.startswith("QT_")}
        with self._words.open("w", encoding="utf-8") as words:
            self._process = subprocess.Popen(
                [*_COMMAND, *self._options(), "--params", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                env=env,
                start_new_session=True,  # Ctrl-C is for the session; its venue is there until that has ended
            )

    def wait_until_ready(self) -> str:
        """The address, once it answers there; what it died of, if it did instead."""
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("start the venue first")
        readable, _, _ = select.select([self._process.stdout], [], [], READY_S)
        said = self._process.stdout.readline() if readable else ""
        if not said:
            self.end()
            raise SettingsError(f"the venue did not open: {self.last_words() or f'no answer within {READY_S:g} s'}")
        answer: dict[str, Any] = json.loads(said)
        self.url = str(answer["url"])
        return self.url

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        """Ask it to end, and see that it does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:  # stopped, or stuck: its file is whole whenever it dies
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def last_words(self) -> str:
        """The last thing it said, if it said anything."""
        try:
            lines = self._words.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    @property
    def _words(self) -> Path:
        return self._store.with_suffix(".log")

    def _options(self) -> list[str]:
        speed = self.params.venue.speed
        port = self.url.rpartition(":")[2] or "0"
        return [
            *("--state", str(self._store), "--port", port, "--speed", "step" if speed is None else f"{speed:g}"),
            *("--past", str(self.params.data.history + 1)),  # without a history the account begins with the market
            *("--until-pid", str(os.getpid()), "--json"),
            *(("--faults", self.params.venue.faults) if self.params.venue.faults else ()),
        ]


_COMMAND = [sys.executable, "-m", "qtlib.cli", "exchange"]


def _wait_until_free(store: Path) -> None:
    """The last venue of this account lets go of its file as it ends, which takes a moment after its starter has."""
    if not store.exists():
        return
    until = time.monotonic() + ENDING_S
    with suppress(sqlite3.Error), closing(sqlite3.connect(store, timeout=max(0.0, until - time.monotonic()))) as db:
        db.execute("BEGIN IMMEDIATE")  # if it can't be had: the new venue will say so, in its own words
        db.rollback()
