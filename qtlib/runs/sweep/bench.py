"""Where trials are traded: one process's market, with what is believed of it, prepared once for all that share it.

A trial that changes neither bars nor strategy costs its trading alone. What a bench holds does not grow with the
trials it has seen. It is the same bench whoever runs it: this process, one beside it, or a worker of a cluster.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from qtlib.compiler import fingerprint
from qtlib.domain.events import START
from qtlib.domain.panel import Panel
from qtlib.engine import compiled
from qtlib.engine.compiled import Tape, Undecided, Wishes
from qtlib.engine.feeds import lived, panel_of, replay
from qtlib.engine.session import session
from qtlib.journal import MemoryJournal
from qtlib.market import Market
from qtlib.params import Params, SettingsError, validate, validate_changes
from qtlib.report.tables import tables
from qtlib.runs import wiring
from qtlib.runs.backtested import CHOSEN, COMPILED
from qtlib.runs.record.folder import RunsError
from qtlib.runs.sweep import figures
from qtlib.runs.sweep.trial import FAILED, OK, REFUSED, Array, Result, Stretch, Task, bars_of, changed, digest

T = TypeVar("T")
Figures = tuple[figures.Numbers, int, Array]


@dataclass(frozen=True, slots=True)
class Job:
    """What all trials of a sweep have in common, as it travels to whoever trades them."""

    plain: Mapping[str, Any]  # the sweep's own settings
    root: str  # where runs, and models, lie
    code: str


@cache
def code() -> str:
    """A hash of all the code that a trial comes from."""
    return fingerprint(Path(__file__))


def trade(job: Job, tasks: list[Task]) -> list[Result]:
    """What comes of `tasks`, traded on this process's bench."""
    if job.code != code():
        raise RunsError(f"a worker runs other code ({code()}) than the sweep ({job.code}): give it the same version")
    with _TURN:  # a cluster's worker may have threads, and a bench has one
        return [_BENCH.result(job, task) for task in tasks]


class Bench:
    """A market, prepared for one trial after the other."""

    def __init__(self) -> None:
        self._grounds = _Kept[Ground]()
        self._footings = _Kept[Footing]()
        self._wishes = _Kept[Wishes]()
        self._base: tuple[Mapping[str, Any], Params] | None = None  # the settings of the last job

    def result(self, job: Job, task: Task) -> Result:
        """What comes of `task`; settings that do not go together are refused in words, and the sweep goes on."""
        began = time.perf_counter()
        plain = changed(job.plain, task.settings)
        try:
            params = self._params(job, plain)
            on = self.footing(params, plain)
            if on.market.fingerprint != task.data:
                raise RunsError(
                    f"the bars here ({on.market.fingerprint[:12]}) are not those of the sweep ({task.data[:12]}): "
                    "data.path must name the same files for every worker"
                )
            (numbers, first, daily), why = self._traded(params, plain, on, task.stretch, Path(job.root))
        except SettingsError as no:
            return Result(task.key, REFUSED, str(no))
        except RunsError:
            raise
        except Exception as e:  # a fault in one corner of the space: it is told, and the other corners are seen
            return Result(task.key, FAILED, f"{type(e).__name__}: {e}")
        return Result(task.key, OK, why, time.perf_counter() - began, numbers, first, daily)

    def _params(self, job: Job, plain: Mapping[str, Any]) -> Params:
        """The settings that `plain` is, made of those of `job`."""
        if self._base is None or self._base[0] is not job.plain:
            self._base = (job.plain, validate(job.plain))
        return validate_changes(self._base[1], job.plain, plain)

    def footing(self, params: Params, plain: Mapping[str, Any]) -> "Footing":
        """The bars of `params`, whose `plain` form that is, and which of them may be traded on."""
        bars, refill = bars_of(plain), wiring.lookback(params)
        ground = self._grounds.get(bars, lambda: Ground(wiring.market(params)))
        return self._footings.get((bars, refill), lambda: Footing(ground, refill, bars))

    def _traded(
        self, params: Params, plain: Mapping[str, Any], on: "Footing", stretch: Stretch, root: Path
    ) -> tuple[Figures, str]:
        """The figures of a backtest of `params` over `stretch`, and why it was not compiled, if so."""
        strategy, listed = wiring.strategy(params, root), wiring.instruments(params)
        rules, venue, why = wiring.rules(params, listed), wiring.venue(params, listed), ""
        if params.session.engine == COMPILED:
            mind = digest([on.bars, plain["strategy"], plain["learning"], on.refill, str(root)])
            try:
                if params.universe.rule:
                    raise Undecided(CHOSEN)
                tape = on.tape
                done = compiled.trade(
                    tape,
                    self._wishes.get(mind, lambda: compiled.wishes(strategy.signals(on.panel), tape)),
                    rules,
                    venue.conduct,
                    venue.account.cash,
                    close_at_end=stretch.close,
                    max_bars=stretch.bars,
                    after=stretch.after,
                    told=False,
                )
                return figures.of_arrays(done, rules), ""
            except Undecided as undecided:
                why = str(undecided)
        journal = MemoryJournal()
        after, chosen = START + timedelta(microseconds=stretch.after), wiring.universe(params, on.market)
        feed = lived(venue, replay(on.market, strategy, after=after, universe=chosen))
        session(feed, rules, venue, journal, max_bars=stretch.bars, close_at_end=stretch.close)
        return figures.of_books(tables(event for _, event in journal.events())), why


class Ground:
    """A market, and what takes longest to make of it."""

    def __init__(self, market: Market) -> None:
        self.market = market

    @cached_property
    def panel(self) -> Panel:
        return panel_of(self.market)

    @cached_property
    def tape(self) -> Tape:
        """The market as the compiled engine reads it; `Undecided` if it can't."""
        return compiled.tape(self.market, self.panel)


class Footing:
    """A market, of which those bars may be traded on whose last `refill` are there."""

    def __init__(self, ground: Ground, refill: int, bars: str) -> None:
        market, self.refill, self._ground = ground.market, refill, ground
        self.bars = bars  # what they are made by
        self.market = market.refilled(refill)

    @property
    def panel(self) -> Panel:
        return self._ground.panel

    @cached_property
    def tape(self) -> Tape:
        """As the ground's, whose settlements are those of any footing."""
        whole = self._ground.tape
        return replace(whole, usable=compiled.tape(replace(self.market, funding={}), self.panel).usable)


# --- below ------------------------------------------------------------------------------------------------


class _Kept(Generic[T]):
    """The last few things that were made, by what they were made of."""

    MOST = 2

    def __init__(self) -> None:
        self._there: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, made_of: Hashable, make: Callable[[], T]) -> T:
        if made_of not in self._there:
            while len(self._there) >= self.MOST:
                self._there.popitem(last=False)
            self._there[made_of] = make()
        self._there.move_to_end(made_of)
        return self._there[made_of]


_BENCH, _TURN = Bench(), threading.Lock()
