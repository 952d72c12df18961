"""A retrain beside a session: a process of its own, which is asked, watched and heard, and never waited for.

It runs `qt retrain` with the session's own settings, gently, and ends with the process that began it. What it came to
it says as one JSON object, into a file that outlives both.
"""

import fcntl
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from qtlib.domain.learned import RetrainEnded, RetrainOutcome
from qtlib.runs.record import atomic

ENDING_S = 5.0


class Retrainer:
    """At most one retrain at a time, of one account."""

    def __init__(self, settings: Path, models: Path, account: str) -> None:
        """`settings` is the session's `params.yaml`; what is said lies in `models` under the account's name."""
        self._settings, self._folder, self._account = settings, models / "retrains", account
        self._process: subprocess.Popen[bytes] | None = None
        self._number = 0

    @property
    def number(self) -> int:
        """Of the one that runs here, or ran last; 0: none did."""
        return self._number

    def begin(self, number: int, until: datetime) -> None:
        """Start the retrain of this number, which learns nothing later than `until`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._said(number).open("wb") as out, self._said(number).with_suffix(".log").open("wb") as log:
            fcntl.flock(out, fcntl.LOCK_EX)  # the child holds it while it lives: whoever else asks can see that it runs
            self._process = subprocess.Popen(
                self.command(until),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1", "QT_RUNS_DIR": str(self._settings.parent.parent)},
                start_new_session=True,  # Ctrl-C is the session's
            )
        self._number = number

    def command(self, until: datetime) -> list[str]:
        """What is run."""
        words = ["retrain", "--params", str(self._settings), "-p", f"learning.until={until.isoformat()}"]
        words += ["-p", "strategy.params={}", "--until-pid", str(os.getpid()), "--json"]
        return [sys.executable, "-m", "qtlib.cli", *words]

    def ended(self, number: int, ts: datetime) -> RetrainEnded | None:
        """What became of the retrain of this number; None while it runs, here or elsewhere on this machine."""
        if self._process is not None and self._number == number:
            if self._process.poll() is None:
                return None
            self._process = None
        elif self._runs_elsewhere(number):
            return None
        record = atomic.read_json(self._said(number))
        if record is None:
            words = self._last_words(number) or "it ended with the session that began it"
            return RetrainEnded(ts, number, RetrainOutcome.FAILED, words)
        model, error = record.get("model") or {}, record.get("error") or {}
        if record.get("status") != "ok" or "outcome" not in model:
            words = error.get("message") or f"the run {record.get('status', 'said nothing')}"
            return RetrainEnded(ts, number, RetrainOutcome.FAILED, words, run_id=record.get("run_id", ""))
        outcome = RetrainOutcome(model["outcome"])
        return RetrainEnded(ts, number, outcome, model["words"], model.get("version") or "", record["run_id"])

    def wait(self, timeout_s: float) -> bool:
        """Whether nothing runs any more, after so long at most."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """Let none run on."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        if not self.wait(ENDING_S):
            self._process.kill()
            self._process.wait()

    def _said(self, number: int) -> Path:
        return self._folder / f"{self._account}-{number}.json"

    def _runs_elsewhere(self, number: int) -> bool:
        try:
            with self._said(number).open("rb") as said:
                fcntl.flock(said, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _last_words(self, number: int) -> str:
        try:
            lines = self._said(number).with_suffix(".log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return next((atomic.redact(line.strip()) for line in reversed(lines) if line.strip()), "")
