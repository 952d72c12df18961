"""The one loop. A backtest is this loop over old bars and a simulated exchange; live is this loop.

Each round writes down what happened, decides, writes down what was decided, and acts until what is equals what is
wanted. Starting is recovering: a first start, a restart, a reconnect and a crash all come through `recover`. While the
exchange cannot be reached nothing is decided; the moment it can be again, what was missed is learned first. Where the
exchange tells of instruments that are listed otherwise, the very next order is by what it told.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from qtlib.domain.commands import Command
from qtlib.domain.decisions import Choice, Decision, Moment, Reason
from qtlib.domain.events import (
    END_OF_DATA,
    BarClosed,
    DecisionMade,
    Event,
    OrderRequested,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.learned import FeaturesSeen
from qtlib.domain.orders import Submit
from qtlib.domain.state import State
from qtlib.exchanges.port import Exchange, ExchangeError, Unavailable, Unknown
from qtlib.rules.calm import Calm, calm
from qtlib.rules.decide import decide
from qtlib.rules.in_force import limits_of
from qtlib.rules.limits import guard
from qtlib.rules.plan import plan
from qtlib.rules.recovery import reconcile
from qtlib.rules.rules import Rules
from qtlib.rules.status import answer
from qtlib.rules.universe import change

ROUNDS = 12  # an entry with its protection takes three; more means that the venue keeps saying no
LOOKS = 5  # at a venue on which something happens between two questions, before they are taken as they are

FOLLOWED = (Reason.COOLDOWN, Reason.POSITION_LIMIT, Reason.LIMIT, Reason.FEE_BUDGET, Reason.TOO_SMALL)  # in shadow

Tell = Callable[[Event], State]  # says that an event follows; the state after it


class Journal(Protocol):
    """What the loop needs of a journal."""

    def state(self) -> State: ...

    def absorb(
        self,
        state: State,
        events: Iterable[Event],
        *,
        then: Callable[[State, Tell], object] | None = None,
        synced: bool = False,
    ) -> State:
        """Write down what is news of `events`, and what `then` concludes, all or nothing; the state after."""

    def commands(self) -> list[Command]: ...

    def now(self) -> datetime:
        """Wall time: what people's commands live by."""


class Watch(Protocol):
    """Who looks on while the loop trades."""

    def look(self, state: State) -> None:
        """The state is now this."""

    def news(self, state: State) -> Event | None:
        """What follows from what only it knows: how long a position has been without a confirmed stop, what became of
        a retrain. Asked again after each; None: nothing."""

    def trouble(self, why: ExchangeError) -> None:
        """The exchange was not reached, or made no sense: the loop goes on without deciding, unless this raises."""


def trade(feed: Iterable[Moment], rules: Rules, exchange: Exchange, journal: Journal, watch: Watch) -> State:
    """Trade every moment of `feed`, after learning whatever happened since the last run.

    Knowing comes before acting: what the last run left undone is made good at the first moment, which a feed begins
    with at once. A moment is one entry in the journal, so that no restart can decide on half of one.
    """
    state, agreed, missed = journal.state(), False, _Missed()
    ruled = state  # by whose limits and facts `rules` are
    quiet: Calm | None = None
    for told in feed:
        if told.past:
            missed.moments.append(told)
            continue
        moment = missed.newest(told, journal)
        try:
            if moment.doubt or not agreed:
                state, agreed = recover(state, rules, exchange, journal), True
            heard = exchange.events(state.ts, state.orders.values())
            for passed in missed.moments:
                learned = partial(conclusions, moment=passed._replace(signals=()), rules=rules, watch=watch)
                state = journal.absorb(state, heard, then=learned)
                heard = ()
            missed.moments.clear()
            concluded = partial(conclusions, moment=moment, rules=rules, watch=watch, journal=journal, ruled=ruled)
            state = journal.absorb(state, heard, then=concluded)
            quiet = quiet if ruled.facts is state.facts else None
            rules, ruled = kept_up(rules, ruled, state), state
            watch.look(state)
            if quiet is None or not quiet.holds(state):
                state, quiet = settle(state, rules, exchange, journal)
                rules, ruled = kept_up(rules, ruled, state), state
                watch.look(state)
        except ExchangeError as why:
            watch.trouble(why)
            missed.keep(moment, journal)
            state, agreed = journal.state(), False  # what was written before it failed counts
            asked = partial(answers, waiting=journal.commands(), journal=journal)
            state = journal.absorb(state, [], then=asked)  # people need not wait for an exchange
            rules, ruled = kept_up(rules, ruled, state), state
            if not isinstance(why, Unavailable | Unknown) and state.status is TradingStatus.ACTIVE:  # ask a person
                state = journal.absorb(state, [StatusSet(state.ts, TradingStatus.REDUCING, str(why))])
        if state.ending:
            break
    return state


def kept_up(rules: Rules, before: State, state: State) -> Rules:
    """`rules` by the limits and facts of `state`, where others were set or told since `before`."""
    if state.limits is not None and state.limits is not before.limits:
        rules = replace(rules, limits=limits_of(state.limits.in_force, rules.limits))
    if state.facts is not None and state.facts is not before.facts:
        listed = state.facts.instruments
        rules = replace(rules, instruments={s: listed.get(s, known) for s, known in rules.instruments.items()})
    return rules


@dataclass(slots=True)
class _Missed:
    """Bars that closed while nobody looked, or nobody answered: they are learned, and not acted on."""

    moments: list[Moment] = field(default_factory=list)
    since: dict[datetime, datetime] = field(default_factory=dict)  # wall time, by the close of the one that failed

    def newest(self, told: Moment, journal: Journal) -> Moment:
        """`told`; or the last of these, where no bar has closed since and its signals still hold."""
        if not self.moments or told.bars:
            return told
        since = self.since.get(self.moments[-1].ts)
        if since is None or (journal.now() - since).total_seconds() >= self.moments[-1].holds_s:
            return told
        return self.moments.pop()._replace(doubt=told.doubt)

    def keep(self, moment: Moment, journal: Journal) -> None:
        if moment.bars:
            self.since = {moment.ts: self.since.get(moment.ts, journal.now())}
            self.moments.append(moment)


def answers(state: State, tell: Tell, waiting: Iterable[Command], journal: Journal) -> State:
    """Tells what becomes of each command that waits, judged by the state that the one before it left."""
    for command in waiting:
        state = tell(answer(state, command, journal.now()))
    return state


def conclusions(
    state: State,
    tell: Tell,
    moment: Moment,
    rules: Rules,
    watch: Watch,
    journal: Journal | None = None,
    ruled: State | None = None,
) -> State:
    """Tells what a moment leads to; first what is answered to the commands in `journal`, unless the moment has passed.

    `ruled` is the state by which `rules` are.
    """
    if journal and (waiting := journal.commands()):
        state = answers(state, tell, waiting, journal)
    rules = kept_up(rules, ruled or state, state)
    while (event := watch.news(state)) is not None:
        state = tell(event)
    if moment.bars:  # else only time has passed
        state = tell(BarClosed(moment.ts, moment.bars, moment.marks))
        if state.cause == END_OF_DATA:  # a halt for want of data ends; what held trading back before it still does
            state = tell(StatusSet(state.ts, TradingStatus.ACTIVE, "there is more to trade"))
        if halt := guard(state, rules.limits):
            state = tell(halt)
    if moment.picked and (changed := change(moment.picked, moment.ts, state)):
        state = tell(changed)
    if moment.signals:
        decision = decide(moment, state, rules)
        state = tell(DecisionMade(moment.ts, decision))
        if seen := to_learn_from(moment, decision):
            state = tell(seen)
    return state


def to_learn_from(moment: Moment, decision: Decision) -> FeaturesSeen | None:
    """The features of what was entered, and of what would have been but for a limit or its costs."""
    rows = {s.symbol: s.features for s in moment.signals if s.features}
    if not rows:
        return None
    followed = {v.symbol for v in decision.verdicts if v.choice is Choice.ENTER or v.reason in FOLLOWED}
    rows = {symbol: features for symbol, features in rows.items() if symbol in followed}
    return FeaturesSeen(moment.ts, moment.signals[0].schema, rows) if rows else None


def recover(state: State, rules: Rules, exchange: Exchange, journal: Journal) -> State:
    """`state` with what the venue has to add, and with what neither can explain.

    What changes at the venue between two answers would look like a disagreement: so it is asked for its events again
    after its snapshot, until there were none in between.
    """
    state = journal.absorb(state, exchange.events(state.ts, state.orders.values()))
    for _ in range(LOOKS):
        there, before = exchange.snapshot(), state
        state = journal.absorb(state, exchange.events(state.ts, state.orders.values()))
        if state is before:
            break
    return journal.absorb(state, reconcile(state, there, rules))


def settle(state: State, rules: Rules, exchange: Exchange, journal: Journal) -> tuple[State, Calm | None]:
    """Act until what is equals what is wanted, or the venue has said no too often: the next bar tries again.

    The state then, and for how long there is nothing to do about it.
    """
    for _ in range(ROUNDS):
        actions = plan(state, rules)
        if not actions:
            return state, calm(state, rules)
        requests = [OrderRequested(state.ts, action.intent) for action in actions if isinstance(action, Submit)]
        if requests:
            state = journal.absorb(state, requests, synced=True)  # first on paper
        before, state = state, journal.absorb(state, exchange.carry_out(actions))
        rules = kept_up(rules, before, state)
    return state, None
