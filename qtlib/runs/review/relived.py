"""A session's journal, lived through again: by the backtest's loop, over the same bars, in a venue of our own.

From the journal comes what no backtest could know: which stretches there were, with the settings that their records
have, which model believed when, which universe was chosen, what people asked for. All else is done again: beliefs,
decisions, orders, fills. What venue and market are like is the replay's to say (`World`); without a word of it they are
as the settings have them.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd

from qtlib.domain.decisions import Moment
from qtlib.domain.events import (
    END_OF_DATA,
    START,
    START_UP,
    BarClosed,
    CashMoved,
    CommandAnswered,
    DecisionMade,
    Event,
    FactsRead,
    OrderRequested,
    ProtectionOverdue,
    SessionOpened,
    StatusSet,
)
from qtlib.domain.learned import ModelChanged, RetrainBegun, RetrainEnded
from qtlib.domain.market import Instrument, Step
from qtlib.domain.state import State
from qtlib.domain.universe import Picked, UniverseChanged
from qtlib.engine.feeds import History, Past, Strategy, lived, replay
from qtlib.engine.session import Name, session
from qtlib.exchanges.port import ExchangeError
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.exchanges.simulated.late import LateExchange, late
from qtlib.journal import MemoryJournal
from qtlib.params import Params, resolve
from qtlib.report.parity import Belief, Candidate
from qtlib.report.tables import bars
from qtlib.runs import wiring
from qtlib.runs.record.folder import RunsError, find

FOREIGN = (CommandAnswered, ProtectionOverdue, RetrainBegun, RetrainEnded, ModelChanged)  # no bar makes them happen
MOMENT = timedelta(microseconds=1)
LEARNER = "feature parity"  # who brakes where what was seen is not what research makes of the same bars


@dataclass(frozen=True, slots=True)
class World:
    """What is taken from life instead of from the settings."""

    taker_fee_frac: Mapping[str, Decimal] = field(default_factory=dict)  # of notional, by symbol
    delay_s: float = 0.0  # from a close to the fills of what was decided at it
    asked: bool = False  # whether only those closes are decided at which the session decided
    believed: Mapping[Candidate, Belief] = field(default_factory=dict)  # what the session believed of a candidate
    slippage_frac: float = 0.0  # of price, of each fill that was not resting, beyond what the settings say


AS_SET = World()  # the backtest's: nothing is taken from life


@dataclass(frozen=True, slots=True)
class Told:
    """Something that no bar made happen."""

    after: datetime  # the last close before it
    event: Event
    acted: bool  # whether something was ordered upon it before the next close


@dataclass(slots=True)
class Stretch:
    """One run of a session."""

    opened: SessionOpened
    facts: FactsRead | None
    after: datetime  # the last close before it
    version: str  # of the model that believed then; empty: the rule of thumb
    closes: list[datetime] = field(default_factory=list)
    decided: set[datetime] = field(default_factory=set)
    believed: dict[datetime, str] = field(default_factory=dict)  # by close: the version that decided
    told: list[Told] = field(default_factory=list)
    misgivings: str = ""
    closed_at_end: bool = False
    _coming: str = ""  # the version that decides from the next close on
    _open: int = 0  # how much of what was told came before the last close

    def __post_init__(self) -> None:
        self._coming = self.version

    def take(self, event: Event, last: datetime) -> None:
        """What happened next, after the close `last`."""
        match event:
            case FactsRead() if event.run_id:
                self.facts = event
            case BarClosed():
                self.closes.append(event.ts)
                self._open = len(self.told)
            case DecisionMade():
                self.decided.add(event.ts)
                self.believed[event.ts] = self.version
                self.version = self._coming  # a model that was changed at a close believes from the next one on
            case OrderRequested():
                self.told[self._open :] = [replace(told, acted=True) for told in self.told[self._open :]]
                self._open = len(self.told)
            case StatusSet() if event.by.startswith(START_UP):
                self.misgivings = event.cause
            case StatusSet() if event.cause == END_OF_DATA:
                self.closed_at_end = True
            case ModelChanged():
                self._coming = event.version
                self.version = self.version if self.decided else event.version  # it was champion as the run began
        reread = isinstance(event, FactsRead) and not event.run_id
        if reread or isinstance(event, FOREIGN) or (isinstance(event, StatusSet) and event.by == LEARNER):
            self.told.append(Told(last, event, acted=False))

    @property
    def began(self) -> datetime:
        """Wall time."""
        return datetime.strptime(self.opened.run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def stretches(events: Iterable[Event]) -> list[Stretch]:
    """The runs in a journal, in their order, as far as a bar closed in them."""
    found: list[Stretch] = []
    facts, last, version = None, START, ""
    for event in events:
        if isinstance(event, SessionOpened):
            found.append(Stretch(event, facts, last, version))
        if not found:
            continue
        found[-1].take(event, last)
        if isinstance(event, BarClosed):
            last = max(last, event.ts)
        elif isinstance(event, FactsRead):
            facts = event
        elif isinstance(event, ModelChanged):
            version = event.version
    return [stretch for stretch in found if stretch.closes]


@dataclass(frozen=True, slots=True)
class Scene:
    """A stretch with all that living through it again takes."""

    stretch: Stretch
    params: Params
    pairs: Sequence[tuple[Step, Moment]]
    asked: Sequence[tuple[Step, Moment]]  # the same, with signals only where the session decided
    listed: Mapping[str, Instrument]


def scenes(events: Sequence[Event], root: Path, given: Params) -> list[Scene]:
    """Every stretch of the journal, with its settings from its record and its bars from where they came from.

    Bars of a market that was not ours come from the files that `given` names, or else from the journal, which has none
    from before the session.
    """
    found = stretches(events)
    if not found:
        raise RunsError("the journal has no bar yet: there is nothing to replay")
    last = found[-1].closes[-1]
    picked = {e.ts: Picked(e.ts, tuple(e.members), e.out) for e in events if isinstance(e, UniverseChanged)}
    heard: History | None = None
    made = []
    for stretch in found:
        params = _settings(stretch.opened.run_id, root, _opening(events))
        if params.mode == "sim":
            market: History = wiring.market(params, last)
        elif given.data.source == "files":
            market = wiring.market(given)
        else:
            market = heard = heard or _heard(events)
        moments = [(s, m._replace(picked=picked.get(m.ts))) for s, m in _moments(stretch, market, params, root)]
        first = min(stretch.decided, default=stretch.closes[-1])
        pairs = [(s, m if s.ts >= first else m._replace(signals=())) for s, m in moments]
        asked = [(s, m if s.ts in stretch.decided else m._replace(signals=())) for s, m in moments]
        listed = stretch.facts.instruments if stretch.facts else wiring.instruments(params)
        made.append(Scene(stretch, params, pairs, asked, listed))
    return made


def relive(played: Sequence[Scene], world: World = AS_SET) -> MemoryJournal:
    """The journal of the session as it goes in `world`."""
    listed = {symbol: instrument for scene in played for symbol, instrument in scene.listed.items()}
    charged = {s: replace(i, taker_fee_frac=world.taker_fee_frac.get(s, i.taker_fee_frac)) for s, i in listed.items()}
    venue = wiring.venue(_slipping(played[0].params, world.slippage_frac), charged)
    exchange = LateExchange(venue, world.delay_s) if world.delay_s else venue
    clock = _Clock()
    journal = MemoryJournal(now=clock)
    for scene in played:
        stretch, opened = scene.stretch, scene.stretch.opened
        clock.at = stretch.began
        pairs = _believing(scene.asked if world.asked else scene.pairs, world.believed)
        pairs = late(pairs, world.delay_s) if world.delay_s else pairs
        session(
            _relisted(_interrupted(lived(exchange, pairs), exchange, stretch.told), venue, stretch.told),
            wiring.rules(scene.params, scene.listed),
            exchange,
            journal,
            name=Name(
                opened.session_id,
                opened.run_id,
                opened.mode,
                opened.params_hash,
                reason="lived through again",
                chooses=opened.chooses,
            ),
            close_at_end=stretch.closed_at_end,
            watch=_Retold(stretch.told),
            misgivings=stretch.misgivings,
        )
    return journal


# --- below ------------------------------------------------------------------------------------------------


def _slipping(params: Params, more_frac: float) -> Params:
    slippage_frac = max(0.0, params.venue.slippage_frac + more_frac)
    return params.model_copy(update={"venue": params.venue.model_copy(update={"slippage_frac": slippage_frac})})


def _believing(
    pairs: Iterable[tuple[Step, Moment]], believed: Mapping[Candidate, Belief]
) -> Iterable[tuple[Step, Moment]]:
    """`pairs`, with other beliefs where some are given."""
    for step, moment in pairs:
        said = [believed.get((moment.ts, s.symbol), (s.score, s.confidence)) for s in moment.signals]
        told = zip(moment.signals, said, strict=True)
        signals = (s._replace(score=score, confidence=confidence) for s, (score, confidence) in told)
        yield step, moment._replace(signals=tuple(signals)) if believed else moment


class _Clock:
    """Wall time, as far as limits ask for it: that of the run that is lived through."""

    at = START

    def __call__(self) -> datetime:
        return self.at


class _Retold:
    """A `Watch` that says what no bar made happen, between the closes between which it happened."""

    def __init__(self, told: Sequence[Told]) -> None:
        self._waiting = deque(told)

    def look(self, state: State) -> None:
        """Seen by nobody."""

    def news(self, state: State) -> Event | None:
        if self._waiting and self._waiting[0].after <= state.ts:
            return self._waiting.popleft().event
        return None

    def trouble(self, why: ExchangeError) -> None:
        """An exchange in this process fails for good."""
        raise why


def _interrupted(
    moments: Iterable[Moment], venue: SimulatedExchange | LateExchange, told: Sequence[Told]
) -> Iterator[Moment]:
    """`moments`, with a heartbeat after each close upon which something was acted on before the next."""
    acted = {one.after for one in told if one.acted or (isinstance(one.event, CommandAnswered) and one.event.limits)}
    for moment in moments:
        yield moment
        if moment.bars and moment.ts in acted:
            yield Moment(venue.now, {})


def _relisted(moments: Iterable[Moment], venue: SimulatedExchange, told: Sequence[Told]) -> Iterator[Moment]:
    """`moments`, of a venue that lists otherwise when the session heard so; its fees stay."""
    waiting = deque(one for one in told if isinstance(one.event, FactsRead))
    for moment in moments:
        while waiting and waiting[0].after < moment.ts:
            facts = waiting.popleft().event
            assert isinstance(facts, FactsRead)
            for symbol, listed in facts.instruments.items():
                if symbol in venue.instruments:
                    venue.relist(replace(listed, taker_fee_frac=venue.instruments[symbol].taker_fee_frac))
        yield moment


def _settings(run_id: str, root: Path, balance: Decimal) -> Params:
    """Those of the run's own record, with what the account really had as it began."""
    folder = find(run_id, root)
    file = folder / "params.yaml"
    if not file.exists():
        raise RunsError(f"{file} is missing: a replay needs the settings that the session ran with")
    params = resolve(file, [], {}).params
    return params.model_copy(update={"venue": params.venue.model_copy(update={"balance": balance})})


def _opening(events: Iterable[Event]) -> Decimal:
    """What the account had before its first bar, in quote."""
    total = Decimal(0)
    for event in events:
        if isinstance(event, BarClosed):
            break
        if isinstance(event, CashMoved):
            total += event.amount
    return total


def _moments(stretch: Stretch, market: History, params: Params, root: Path) -> list[tuple[Step, Moment]]:
    """What the session knew at each of its closes, believed by whoever believed then."""
    new = stretch.after == START  # an account begins with the first close that it heard
    begins = stretch.closes[0] - MOMENT if new else stretch.after
    until = stretch.closes[-1]
    versions = sorted({*stretch.believed.values()}) or [""]
    told: dict[datetime, dict[str, Moment]] = {}
    steps: list[Step] = []
    for version in versions:
        believer = _believer(params, root, version)
        for step, moment in replay(market, believer, after=begins):
            if step.ts > until:
                break
            if version == versions[0]:
                steps.append(step)
            told.setdefault(step.ts, {})[version] = moment
    return [(step, told[step.ts][stretch.believed.get(step.ts, versions[0])]) for step in steps]


def _believer(params: Params, root: Path, version: str) -> Strategy:
    """Who believed: the settings' strategy, or a session's champion of that version."""
    if params.strategy.name != wiring.LEARNED:
        return wiring.strategy(params)
    from qtlib.runs.believing import believers  # noqa: PLC0415  cold start: scikit-learn takes a second

    return believers.champion(params, root, version)


def _heard(events: Iterable[Event]) -> Past:
    """The bars that the journal heard, valued at the marks that it heard."""
    told = [event for event in events if isinstance(event, BarClosed)]
    marks: dict[str, dict[datetime, float]] = {}
    for event in told:
        for symbol, mark in event.marks.items():
            marks.setdefault(symbol, {})[event.ts] = mark
    frames = {
        symbol: pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), series)).assign(volume=0.0)
        for symbol, series in ((symbol, pd.Series(values)) for symbol, values in marks.items())
    }
    return Past(bars(told), frames)
