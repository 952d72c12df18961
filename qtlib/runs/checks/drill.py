"""The fire drill: a real `qt live` on the simulated exchange, struck on purpose, and what was left of it.

It has a runs folder and an account of its own, and never touches another. The session, its supervisor, its kernel and
its venue are those that trade otherwise; the market runs fast, and waits for nobody. Somebody stands at the venue
meanwhile, as a client of their own, and counts for how long a position is without its stop.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from qtlib.domain.commands import Verb
from qtlib.domain.events import START
from qtlib.exchanges.simulated.faults import PLACING
from qtlib.params import Params, Resolved, SettingsError, dump_yaml, resolve
from qtlib.runs.checks.drill_eye import Eye, Left, control, what_is_left
from qtlib.runs.record import atomic
from qtlib.runs.record.commands import ask
from qtlib.runs.record.folder import runs, runs_root
from qtlib.runs.session.venue import URL

ACCOUNT, BARS_PAST = "drill", 40
BAR, SPEED = timedelta(hours=1), 2_880.0  # a bar in 1.25 s
BARS_AGAIN = 2  # after a strike, until it is said that it trades again
READY_S, AGAIN_S, ENDING_S = 90.0, 60.0, 60.0  # until it trades, until it trades again, until it has ended
RESTING_S = 3.0  # for which a line is down
SETTINGS = (
    "mode=sim",
    f"session.account={ACCOUNT}",
    "session.health_port=null",
    "session.heartbeat_s=0.2",
    "session.hung_after_s=5",
    f"venue.speed={SPEED:g}",
    "data.source=simulated",
    "data.bars=20000",
    "data.timeframe=1h",
    "universe.symbols=BTCUSDT,ETHUSDT,SOLUSDT",
    "strategy.name=trend",
    "strategy.params={fast: 4, medium: 8, slow: 12, volatility_span: 12}",
    "sizing.confidence_threshold=0.55",
    "limits.cooldown_s=0",
)


@dataclass(frozen=True, slots=True)
class Struck:
    """One strike, and what followed."""

    what: str
    happened: str
    again_s: float | None  # until bars were traded again; None: they were not
    bare_s: float  # the longest that a position was seen without its stop

    @property
    def survived(self) -> bool:
        return self.again_s is not None


@dataclass(frozen=True, slots=True)
class Report:
    seed: int
    seconds: float
    folder: str
    struck: tuple[Struck, ...]
    left: Left
    trouble: str = ""  # why the drill itself ended early

    @property
    def survived(self) -> bool:
        return not self.trouble and not self.left.wrong and all(one.survived for one in self.struck)

    @property
    def verdict(self) -> str:
        if self.survived:
            bare_s = max((one.bare_s for one in self.struck), default=0.0)
            return (
                f"it survived all {len(self.struck)} strikes: no order twice, none left over, every sum to the cent; "
                f"a position was without its stop for {bare_s:.1f} s at most"
            )
        lost = [f"no bar was traded within {AGAIN_S:.0f} s of: {one.what}" for one in self.struck if not one.survived]
        return "it did not survive: " + "; ".join([*([self.trouble] if self.trouble else []), *lost, *self.left.wrong])

    @property
    def document(self) -> dict[str, Any]:
        return {**asdict(self), "survived": self.survived, "verdict": self.verdict, "wrong": self.left.wrong}


def drill(
    given: Resolved,
    minutes: float | None = None,
    seed: int = 7,
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Strike with each of `STRIKES` once, or (by `minutes`) over and over, in an order drawn from `seed`."""
    if given.params.mode != "sim":
        raise SettingsError(f"mode {given.params.mode}: a drill is for mode sim alone (-p mode=sim)")
    begun, dice = time.monotonic(), random.Random(f"drill:{seed}")
    root = runs_root() / "drill" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    root.mkdir(parents=True)
    params = resolve(None, [*SETTINGS, f"data.seed={seed}"], {}).params
    struck: list[Struck] = []
    trouble = ""
    with _session(params, root) as scene:
        try:
            tell(f"a session of its own begins in {root}")
            scene.begin()
            while True:
                coming = [name for name in STRIKES if not only or name in only]
                dice.shuffle(coming)
                for name in coming:
                    if minutes is None or time.monotonic() - begun < 60 * minutes or not struck:
                        tell(name)
                        struck.append(scene.strike(name, STRIKES[name]))
                if minutes is None or time.monotonic() - begun >= 60 * minutes:
                    break
            scene.end()
        except _GaveUp as why:
            trouble = str(why)
    report = Report(
        seed, round(time.monotonic() - begun, 1), str(root), tuple(struck), what_is_left(params, root), trouble
    )
    atomic.write_json(root / "drill.json", report.document)
    return report


class _GaveUp(Exception):
    """The session does not trade, and nothing more can be learned."""


class _Scene:
    """The session under drill, and a way to everything below it."""

    def __init__(self, process: psutil.Popen, root: Path, eye: Eye) -> None:
        self.process, self.root, self.eye = process, root, eye

    # --- what is done to it -------------------------------------------------------------------------------------

    def kill(self, who: str) -> str:
        process = self._find(who)
        process.kill()
        return f"process {process.pid} was killed"

    def freeze(self, who: str, seconds: float | None) -> str:
        process = self._find(who)
        process.suspend()
        if seconds is None:
            return f"process {process.pid} was stopped, until somebody noticed"
        time.sleep(seconds)
        process.resume()
        return f"process {process.pid} answered nobody for {seconds:g} s"

    def inject(self, kind: str, on: str, times: int = 2, **more: Any) -> str:
        """Let it happen so often, or for as long as there is somebody to whom it can."""
        listed = [{"kind": kind, "on": on, "times": times, **more}]
        control(self.eye.url, "POST", "/sim/faults", {"clear": True, "faults": listed})
        acted = self._waited(lambda: self._acted() >= times, RESTING_S * 5)
        told = self._acted()
        control(self.eye.url, "POST", "/sim/faults", {"clear": True})
        return f"it happened {told} times" if acted or told else "nothing was asked that it could happen to"

    # --- and how it goes ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Wait until it trades bars."""
        if not self._waited(lambda: bool(self._address()), READY_S):
            raise _GaveUp(f"the session did not begin within {READY_S:.0f} s: {self.heard()}")
        self.eye.look_at(self._address())
        control(self.eye.url, "POST", f"/sim/step?bars={BARS_PAST}")
        if not self._waited(lambda: self._stands() > START, READY_S):
            raise _GaveUp(f"the session traded no bar within {READY_S:.0f} s: {self.heard()}")

    def strike(self, what: str, how: Callable[["_Scene"], str]) -> Struck:
        self.eye.reset()
        stood, begun = self._stands(), time.monotonic()
        try:
            happened = how(self)
        except (OSError, LookupError, psutil.Error) as why:
            happened = f"it could not be done: {why}"
        since = max(stood, self._stands()) + BARS_AGAIN * BAR  # what is struck may see one more, as it dies
        again = self._waited(lambda: self._stands() >= since and not self.eye.bare, AGAIN_S)
        again_s = round(time.monotonic() - begun, 1) if again else None
        if self.process.poll() is not None:
            raise _GaveUp(f"the session ended, at: {what}: {self.heard()}")
        return Struck(what, happened, again_s, round(self.eye.longest_s, 1))

    def end(self) -> None:
        """In order: everything is closed, so that the market, which goes on, changes nothing; then as by Ctrl-C."""
        ask(ACCOUNT, Verb.FLATTEN, wait_s=AGAIN_S, root=self.root)
        if not self._waited(lambda: self.eye.sees_nothing, AGAIN_S):
            raise _GaveUp(f"not everything was closed within {AGAIN_S:.0f} s: {self.heard()}")
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(ENDING_S)
        except psutil.TimeoutExpired:
            raise _GaveUp(f"the session did not end within {ENDING_S:.0f} s") from None

    def heard(self) -> str:
        """The last thing that the session said."""
        lines = (self.root / "heard").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    # --- below ------------------------------------------------------------------------------------------------

    def _find(self, who: str) -> psutil.Process:
        return next(p for p in self.process.children(recursive=True) if _WHO[who] in " ".join(p.cmdline()))

    def _address(self) -> str:
        with suppress(StopIteration, psutil.Error):
            return str(self._find("kernel").environ().get(URL, ""))
        return ""

    def _acted(self) -> int:
        with suppress(OSError):
            return sum(one["acted"] for one in control(self.eye.url, "GET", "/sim/faults")["faults"])
        return 0

    def _stands(self) -> datetime:
        """The bar that the loop has seen last."""
        newest = next(runs(self.root), None)
        beat = (newest and atomic.read_json(newest / "heartbeat.json")) or {}
        return datetime.fromisoformat(beat["venue_ts"]) if "venue_ts" in beat else START

    def _waited(self, what: Callable[[], bool], most_s: float) -> bool:
        ends = time.monotonic() + most_s
        while not what():
            if time.monotonic() > ends or self.process.poll() is not None:
                return False
            time.sleep(0.1)
        return True


_WHO = {
    "kernel": "qtlib.runs.execution.kernel",
    "runner": "qtlib.runs.execution.segment",
    "venue": "qtlib.cli exchange",
}

STRIKES: dict[str, Callable[[_Scene], str]] = {
    "orders time out after they were accepted": lambda s: s.inject("timeout", PLACING, executes=True),
    "orders time out, and were never heard": lambda s: s.inject("timeout", PLACING, executes=False),
    "connections are reset after an order was accepted": lambda s: s.inject("reset", PLACING, executes=True),
    "503: service unavailable": lambda s: s.inject("unavailable", "*", times=5),
    "429: too many requests": lambda s: s.inject("too_many", PLACING, seconds=1.0),
    "sockets are cut": lambda s: s.inject("drop_socket", "bar"),
    "sockets fall silent": lambda s: s.inject("silent_socket", "bar"),
    "the line is down": lambda s: s.freeze("venue", RESTING_S),
    "the trader's kernel is killed": lambda s: s.kill("kernel"),
    "the trader's kernel hangs": lambda s: s.freeze("kernel", None),
    "the runner above the kernel is killed": lambda s: s.kill("runner"),
    "the venue is killed": lambda s: s.kill("venue"),
}


@contextmanager
def _session(params: Params, root: Path) -> Iterator[_Scene]:
    """A `qt live` of these settings; whatever happens, nothing of it is left."""
    settings = root / "params.yaml"
    atomic.write_text(settings, dump_yaml(params.plain()))
    env = {name: value for name, value in os.environ.items() if not name.startswith("QT_")}
    with (root / "heard").open("w", encoding="utf-8") as heard:
        process = psutil.Popen(
            [sys.executable, "-m", "qtlib.cli", "live", "--params", str(settings)],
            env={**env, "QT_RUNS_DIR": str(root)},
            stdin=subprocess.DEVNULL,
            stdout=heard,
            stderr=heard,
            start_new_session=True,  # Ctrl-C is for the drill, which ends it
        )
    with Eye() as eye:
        try:
            yield _Scene(process, root, eye)
        finally:
            with suppress(psutil.NoSuchProcess):
                below = process.children(recursive=True)
                process.terminate()
                with suppress(psutil.TimeoutExpired):
                    process.wait(5)
                for one in [*below, process]:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                psutil.wait_procs([*below, process], 10)
