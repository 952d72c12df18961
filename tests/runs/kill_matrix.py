"""The kill matrix: a real `qt live` with all that is below it, struck at instants of its market, and what is left.

A life is one account from its first bar to its last, over as many sessions as it takes: whoever kills the supervisor
has to start another, as a person would. Lives of the same settings end the same, whatever struck them. A helper of the
tests, and of `make prove`.
"""

import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from supervision import left_of

from qtlib.domain.orders import OrderStatus
from qtlib.domain.state import BarClosed, DecisionMade, Filled, OrderChanged, OrderRequested
from qtlib.journal import Journal
from qtlib.params import Params, resolve
from qtlib.runs import atomic, wiring
from qtlib.runs.folder import journal_location, runs, venue_location

KERNEL, RUNNER, SUPERVISOR, VENUE = "kernel", "runner", "supervisor", "venue"
KILL, STOP = "kill", "stop"  # SIGKILL · SIGSTOP, and SIGCONT after `RESTING_S` if nobody has killed it by then
RESTING_S = 4.0
BUSY = ("universe.symbols=BTCUSDT,ETHUSDT,SOLUSDT", "sizing.confidence_threshold=0.55", "limits.cooldown_s=0")
BUSY += ("strategy.params={fast: 4, medium: 8, slow: 12, volatility_span: 12}",)  # it trades from the first day on
QUICK = ("session.heartbeat_s=0.1", "session.hung_after_s=3", "session.grace_s=10")


@dataclass(frozen=True, slots=True)
class Blow:
    """Who is struck, how, and when: as the market closes bar number `bar`, or up to `later_s` after that."""

    who: str
    how: str
    bar: int
    later_s: float = 0.0


def _entries(events):
    """Entries that reached the venue: one that certainly did not is asked for again, by another name."""
    asked = {e.intent.client_id for e in events if isinstance(e, OrderRequested) and e.intent.role.name == "ENTRY"}
    lost = {e.client_id for e in events if isinstance(e, OrderChanged) and e.status is OrderStatus.LOST}
    return len(asked - lost)


@dataclass(slots=True)
class Life:
    """An account under `root`, and the session that trades it now."""

    root: Path
    settings: Sequence[str]
    struck: list[str] = field(default_factory=list)  # what was done to it, in order
    _session: psutil.Popen | None = None

    @property
    def params(self) -> Params:
        return resolve("params/sim.yaml", [*self.settings, *QUICK]).params

    def live(self, blows: Sequence[Blow] = (), within_s: float = 600.0) -> None:
        """From the first bar to the last."""
        ends, coming = time.monotonic() + within_s, sorted(blows, key=lambda blow: blow.bar)
        while (left := self._bars_left()) or coming:
            if not left:
                raise AssertionError(f"the last bar came before {coming}")
            self._begin(left)
            while self._session.poll() is None:
                if time.monotonic() > ends:
                    self.end()
                    raise AssertionError(f"not over within {within_s:g} s, after {self.struck}:\n{self.heard()}")
                if coming and self._bar() >= coming[0].bar:
                    self._strike(coming.pop(0))
                time.sleep(0.02)
            while left_of(self.root):  # what a killed supervisor leaves ends by itself
                time.sleep(0.05)

    def end(self) -> None:
        """Kill what is there."""
        for process in left_of(self.root):
            process.kill()

    def heard(self) -> str:
        return (self.root / "heard").read_text(encoding="utf-8")

    def ending(self) -> dict[str, Any]:
        """All that must be the same however often it was struck; a duplicate order would show in it."""
        params = self.params
        with Journal(journal_location(params.session.account, self.root), params.session.account) as journal:
            state = journal.state()
            events = [event for _, event in journal.events()]
        venue = wiring.venue(params, wiring.instruments(params), venue_location(params.session.account, self.root))
        theirs = venue.account
        venue.close()
        fills = [event.fill for event in events if isinstance(event, Filled)]
        return {
            "account": state.account,
            "venue": theirs,
            "trades": {symbol: trade.but(trade_id="") for symbol, trade in state.trades.items()},
            "targets": state.targets,
            "open orders": sorted(
                (o.intent.symbol, o.intent.role.name, o.intent.trigger) for o in state.orders.values()
            ),
            "fills": [(f.ts, f.symbol, f.side, f.quantity, f.price, f.fee) for f in fills],
            "bars": sum(isinstance(event, BarClosed) for event in events),
            "decisions": sum(isinstance(event, DecisionMade) for event in events),
            "entries": _entries(events),
        }

    # --- below --------------------------------------------------------------------------------------------

    def _begin(self, bars: int) -> None:
        words = [*self.settings, *QUICK, f"session.max_bars={bars}"]
        command = [sys.executable, "-m", "qtlib.cli", "live", *(w for text in words for w in ("-p", text))]
        env = {k: v for k, v in os.environ.items() if not k.startswith("QT_")} | {"QT_RUNS_DIR": str(self.root)}
        with (self.root / "heard").open("a", encoding="utf-8") as heard:
            self._session = psutil.Popen(command, env=env, stdout=heard, stderr=heard, start_new_session=True)

    def _bars_left(self) -> int:
        """Counted where it is exact, while nobody writes."""
        where = journal_location(self.params.session.account, self.root)
        in_all = wiring.bars_to_trade(self.params) or 0
        if not where.exists():
            return in_all
        with Journal(where, self.params.session.account) as journal:
            return in_all - sum(isinstance(event, BarClosed) for _, event in journal.events())

    def _bar(self) -> int:
        """How many bars have closed, as far as the last sign of life tells."""
        newest = next(runs(self.root), None)
        beat = (newest and atomic.read_json(newest / "heartbeat.json")) or {}
        if "venue_ts" not in beat:
            return 0
        since = datetime.fromisoformat(beat["venue_ts"]) - wiring.simulated_market(self.params).start
        return round(since / timedelta(seconds=_span_s(self.params)))

    def _strike(self, blow: Blow) -> None:
        time.sleep(blow.later_s)
        process = self._find(blow.who)
        if process is None:
            self.struck.append(f"{blow}: nobody there")
            return
        process.kill() if blow.how == KILL else process.suspend()
        self.struck.append(f"{blow.who} {blow.how} at bar {self._bar()}")
        if blow.how == STOP:
            until = time.monotonic() + RESTING_S
            while time.monotonic() < until and process.is_running():
                time.sleep(0.05)
            if process.is_running():
                process.resume()

    def _find(self, who: str) -> psutil.Process | None:
        """The process of that part, once there is one: right after a blow the next may still be on its way."""
        word = {KERNEL: "ipykernel_launcher", RUNNER: "qtlib.runs.segment", VENUE: "exchange"}.get(who)
        until = time.monotonic() + 20
        while time.monotonic() < until and self._session.is_running():
            if word is None:
                return self._session
            for process in self._session.children(recursive=True):
                if word in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    return process
            time.sleep(0.02)
        return None


def some_blows(seed: int, bars: int, count: int) -> list[Blow]:
    """Blows to anybody at any time, drawn from `seed`."""
    dice = random.Random(seed)
    who, how = (KERNEL, RUNNER, SUPERVISOR, VENUE), (KILL, KILL, STOP)
    times = sorted(dice.sample(range(5, bars - 20), count))
    return [Blow(dice.choice(who), dice.choice(how), bar, dice.uniform(0.0, 0.3)) for bar in times]


def _span_s(params: Params) -> int:
    return {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400}[params.data.timeframe]


def main() -> None:
    """`python tests/runs/kill_matrix.py SEED…`: a life of that seed each, beside one that was left in peace."""
    settings = [*BUSY, "data.bars=300"]
    with TemporaryDirectory(prefix="qt-kills-") as folder:
        peace = Life(Path(folder) / "peace", settings)
        peace.root.mkdir()
        peace.live()
        for seed in map(int, sys.argv[1:] or ["1"]):
            life = Life(Path(folder) / f"seed-{seed}", settings)
            life.root.mkdir()
            begun = time.monotonic()
            life.live(some_blows(seed, 300, 5))
            same = life.ending() == peace.ending()
            print(f"seed {seed}: {'same' if same else 'DIFFERENT'}, {time.monotonic() - begun:.0f} s; {life.struck}")


if __name__ == "__main__":
    main()
