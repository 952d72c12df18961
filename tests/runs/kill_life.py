"""A life to be struck: one account from its first bar to its last, over as many sessions as it takes.

Everything in it is real: supervisor, runner, kernel and venue, each a process. Blows fall at steps of theirs, in their
order; whoever kills the supervisor has to start another session, as a person would. A helper of the kill matrix.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import ProxyHandler, build_opener

import psutil
from stage import SUPERVISOR, VENUE, Stage, alive
from strike import FOLDER, TRIAL, WIRE, Blow

from qtlib.domain.events import BarClosed, DecisionMade, Event, Filled, OrderChanged, OrderRequested
from qtlib.domain.orders import OrderStatus, Role
from qtlib.journal import Journal
from qtlib.market.timeframes import length_of
from qtlib.params import Params, dump_yaml, resolve
from qtlib.runs import wiring
from qtlib.runs.record.folder import HOME, journal_location, venue_location

KILL, STOP = "SIGKILL", "SIGSTOP"  # who is stopped stays so until somebody kills it
HELD_S = 0.8  # there, so that a blow can fall; less than an order may take
ENTRY, STOP_LOSS = "entry", "stop"
SETTINGS = (
    *("universe.symbols=BTCUSDT,ETHUSDT,SOLUSDT", "sizing.confidence_threshold=0.55", "limits.cooldown_s=0"),
    "strategy.params={fast: 4, medium: 8, slow: 12, volatility_span: 12}",  # it trades from the first day on
    *("exits.protect_timeout_s=60", "exits.recover_timeout_s=60"),  # for how long it is bare, the machine decides
    "venue.slippage_noise_frac=0",  # it goes by the number of the fill, and what is asked for again comes later
    *("session.heartbeat_s=0.1", "session.hung_after_s=3", "session.grace_s=10"),
)


@cache
def stage() -> Stage:
    """The one that lives of this process play on, one after another."""
    return Stage()


class Slot(NamedTuple):
    """An entry that a life makes, and its stop: there a blow can fall."""

    symbol: str
    wished: str  # at which bar, as names have it
    closed: str  # when that closed
    before: str  # and the one before it

    def order(self, kind: str) -> str:
        """What it is called, as a pattern: how many orders were asked for before is nobody's business."""
        return f"qt-{self.symbol}-{'e' if kind == ENTRY else 's'}{self.wished}-*"


@dataclass(slots=True)
class Life:
    """An account under `root`, and the session that trades it now."""

    root: Path
    faults: Sequence[Mapping[str, Any]] = ()
    blows: Sequence[Blow] = ()
    bars: int = 120
    struck: list[str] = field(default_factory=list)  # what was done to it, in order
    _session: psutil.Process | None = None
    _held: int = 0  # requests that the venue held before the next blow was due

    @property
    def settings(self) -> list[str]:
        return [*SETTINGS, f"data.bars={self.bars}", f"venue.faults={self.root / 'faults.yaml'}"]

    @property
    def params(self) -> Params:
        return resolve(HOME / "params" / "sim.yaml", self.settings).params

    def live(self, within_s: float = 1800.0) -> None:
        """From the first bar to the last."""
        (self.root / FOLDER).mkdir(parents=True)
        (self.root / FOLDER / "plan.json").write_text(json.dumps([asdict(blow) for blow in self.blows]))
        (self.root / "faults.yaml").write_text(dump_yaml({"seed": 0, "faults": list(self.faults)}))
        ends = time.monotonic() + within_s
        while (left := self._bars_left()) or len(self.struck) < len(self.blows):
            assert left, f"its last bar came before {self.blows[len(self.struck)]}; {self.struck}"
            self._begin(left)
            while alive(self._session):
                assert time.monotonic() < ends, f"not over within {within_s:g} s, after {self.struck}:\n{self.heard()}"
                if len(self.struck) < len(self.blows) and self._is_reached(self.blows[len(self.struck)]):
                    self._strike(self.blows[len(self.struck)])
                time.sleep(0.03)
            while left := stage().there():  # what a killed supervisor leaves ends by itself
                assert time.monotonic() < ends, f"{left} are left"
                time.sleep(0.1)

    def end(self) -> None:
        """Kill what is there."""
        for process in stage().there():
            process.kill()

    def heard(self) -> str:
        return (self.root / "heard").read_text(encoding="utf-8")

    def ending(self) -> dict[str, Any]:
        """All that must be the same however often it was struck; a duplicate order would show in it."""
        state, events, theirs, resting = self._left()
        fills = [event.fill for event in events if isinstance(event, Filled)]
        return {
            "account": state.account,
            "venue": theirs,
            "trades": {symbol: trade.but(trade_id="") for symbol, trade in state.trades.items()},
            "targets": state.targets,
            "open orders": sorted(_brief(order.intent) for order in state.orders.values()),
            "resting": sorted(map(_brief, resting)),
            "fills": sorted((f.ts, f.symbol, f.side.name, f.quantity, f.price, f.fee) for f in fills),
            "bars": sum(isinstance(event, BarClosed) for event in events),
            "decisions": sum(isinstance(event, DecisionMade) for event in events),
            "entries": sorted(_entered(events)),
        }

    def wrongs(self) -> list[str]:
        """The laws that it broke, whatever a life in peace looks like."""
        state, events, theirs, resting = self._left()
        times = Counter(_entered(events))
        wrongs = [f"{n} entries came of one decision: {which}" for which, n in times.items() if n > 1]
        ours, there = sorted(_brief(order.intent) for order in state.orders.values()), sorted(map(_brief, resting))
        wrongs += [f"open are {there}, believed {ours}"] if ours != there else []
        stopped = {i.symbol for i in resting if i.role is Role.STOP_LOSS}
        wrongs += [f"{symbol} is held without a stop" for symbol in sorted(set(theirs.positions) - stopped)]
        if {s: p.quantity for s, p in theirs.positions.items()} != {
            s: p.quantity for s, p in state.account.positions.items()
        }:
            wrongs.append(f"held are {theirs.positions}, believed {state.account.positions}")
        return wrongs

    def slots(self, order: str, rejected: bool, apart: int = 2) -> list[Slot]:
        """Where a life like this one can be struck: at entries, or entries and stops, of which that became."""
        _, events, _, _ = self._left()
        fates = {e.client_id: e.status for e in events if isinstance(e, OrderChanged)}
        filled = {e.fill.client_id for e in events if isinstance(e, Filled)}
        span = length_of(self.params.data.timeframe)
        found, last = [], None
        stops = {
            _of_one_wish(e.intent.client_id): fates.get(e.intent.client_id)
            for e in events
            if isinstance(e, OrderRequested) and e.intent.role is Role.STOP_LOSS
        }
        for event in events:
            if not isinstance(event, OrderRequested) or event.intent.role is not Role.ENTRY:
                continue
            name, early = event.intent.client_id, last is not None and event.ts - last < apart * span
            stop = stops.get(_of_one_wish(name), OrderStatus.PENDING)
            refused = fates.get(name) if order == ENTRY else stop
            fits = refused is OrderStatus.REJECTED if rejected else name in filled and stop is not OrderStatus.PENDING
            if fits and not early:
                _, symbol, wished, _ = name.split("-")
                found.append(Slot(symbol, wished[1:], event.ts.isoformat(), (event.ts - span).isoformat()))
                last = event.ts
        return found

    def last(self) -> str:
        """When its last bar closed."""
        _, events, _, _ = self._left()
        return max(event.ts for event in events if isinstance(event, BarClosed)).isoformat()

    # --- below --------------------------------------------------------------------------------------------

    def _left(self):
        """What journal and venue say, while nobody runs."""
        params = self.params
        with Journal(journal_location(params.session.account, self.root), params.session.account) as journal:
            state, events = journal.state(), [event for _, event in journal.events()]
        venue = wiring.venue(params, wiring.instruments(params), venue_location(params.session.account, self.root))
        theirs, resting = venue.account, [order.intent for order in venue.view.book.orders.values()]
        venue.close()
        return state, events, theirs, resting

    def _begin(self, bars: int) -> None:
        words = [*self.settings, f"session.max_bars={bars}"]
        env = {k: v for k, v in os.environ.items() if not k.startswith("QT_")} | {"QT_RUNS_DIR": str(self.root)}
        self._session = stage().begin("struck_session", str(self.root), *words, heard=self.root / "heard", env=env)

    def _bars_left(self) -> int:
        """Counted where it is exact, while nobody writes."""
        where, in_all = journal_location(self.params.session.account, self.root), wiring.bars_to_trade(self.params)
        if not where.exists():
            return in_all
        with Journal(where, self.params.session.account) as journal:
            return in_all - sum(isinstance(event, BarClosed) for _, event in journal.events())

    def _is_reached(self, blow: Blow) -> bool:
        if blow.step != WIRE:
            return (self.root / FOLDER / f"reached-{len(self.struck)}").exists()
        if blow.about != TRIAL and not (self.root / FOLDER / f"near-{len(self.struck)}").exists():
            return False
        held = self._requests_held(blow)
        if held <= self._held:
            self._held = held
            return False
        time.sleep(HELD_S / 8)  # what is held after it was heard has been, by then
        return True

    def _requests_held(self, blow: Blow) -> int:
        """By the venue that there is now, so far; 0 if there is none."""
        venue = self._find(VENUE)
        try:
            port = next(at.laddr.port for at in venue.net_connections("tcp") if at.status == psutil.CONN_LISTEN)
            with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/sim/faults", timeout=2) as answer:
                document = json.load(answer)
        except (AttributeError, StopIteration, OSError, ValueError, psutil.Error):
            return 0
        ours = {f["fault"] for f in document["faults"] if (f["kind"], f["about"]) == (f"delay_{blow.side}", blow.about)}
        return sum(one["fault"] in ours for one in document["injected"])

    def _strike(self, blow: Blow) -> None:
        number, process = len(self.struck), self._find(blow.who)
        assert process is not None, f"there is no {blow.who} to strike: {blow}, after {self.struck}"
        (self.root / FOLDER / f"struck-{number}").touch()
        if blow.how == KILL:
            process.kill()
        else:
            process.suspend()
            gone, _ = psutil.wait_procs([process], timeout=60)
            assert gone, f"a {blow.who} that was stopped is still there: {blow}"
        (self.root / FOLDER / f"go-{number}").touch()
        self.struck.append(f"{blow} ({blow.about})")

    def _find(self, who: str) -> psutil.Process | None:
        if who == SUPERVISOR:
            return self._session
        found = self._session.children(recursive=True) if alive(self._session) else []
        for process in sorted(found, key=lambda one: one.create_time(), reverse=True):
            with suppress(psutil.NoSuchProcess):
                if process.name() == who and alive(process):
                    return process
        return None


def _brief(intent) -> tuple[str, ...]:
    """What an order is, whatever it is called."""
    return intent.symbol, intent.role.name, str(intent.trigger), str(intent.quantity)


def _entered(events: Sequence[Event]) -> Iterator[str]:
    """Entries that the venue took, by symbol and bar: one that certainly did not arrive may be asked for again."""
    fates = {e.client_id: e.status for e in events if isinstance(e, OrderChanged)}
    for event in events:
        if not isinstance(event, OrderRequested) or event.intent.role is not Role.ENTRY:
            continue
        if fates.get(event.intent.client_id) not in (OrderStatus.LOST, OrderStatus.REJECTED):
            yield f"{event.intent.symbol} at {event.ts}"


def _of_one_wish(client_id: str) -> tuple[str, str]:
    """What the names of an entry and of its stop have in common."""
    _, symbol, wished, _ = client_id.split("-")
    return symbol, wished[1:]
