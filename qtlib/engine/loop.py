"""The one loop. A backtest is this loop over old bars and a simulated exchange; live is this loop.

Each round writes down what happened, decides, writes down what was decided, and acts until what is equals what is
wanted. Starting is recovering: a first start, a restart and a crash all come through `recover`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from qtlib.domain.decisions import Moment
from qtlib.domain.orders import Submit
from qtlib.domain.state import BarClosed, DecisionMade, Event, OrderRequested, State, StatusSet, TradingStatus
from qtlib.exchanges.port import Exchange
from qtlib.rules.decide import decide
from qtlib.rules.limits import guard
from qtlib.rules.plan import END_OF_DATA, plan
from qtlib.rules.recovery import reconcile
from qtlib.rules.rules import Rules

ROUNDS = 12  # an entry with its protection takes three; more means that the venue keeps saying no


Conclusion = Callable[[State], Event | None]


class Journal(Protocol):
    """What the loop needs of a journal."""

    def state(self) -> State: ...

    def absorb(
        self, state: State, events: Iterable[Event], *, then: Iterable[Conclusion] = (), synced: bool = False
    ) -> State:
        """Write down what is news of `events`, and what each of `then` concludes, all or nothing; the state after."""

    def commands(self) -> list[StatusSet]: ...


def trade(feed: Iterable[Moment], rules: Rules, exchange: Exchange, journal: Journal) -> State:
    """Trade every moment of `feed`, after learning whatever happened since the last run.

    Knowing comes before acting: what the last run left undone is made good at the first moment, which a feed begins
    with at once. A moment is one entry in the journal, so that no restart can decide on half of one.
    """
    state = recover(rules, exchange, journal)
    for moment in feed:
        heard = [*exchange.events(state.ts, state.orders.values()), *journal.commands()]
        state = journal.absorb(state, heard, then=conclusions(moment, rules))
        state = settle(state, rules, exchange, journal)
    return state


def conclusions(moment: Moment, rules: Rules) -> Iterator[Conclusion]:
    """What a moment leads to, each from the state that the one before it left."""
    if moment.bars:  # else only time has passed
        yield lambda state: BarClosed(moment.ts, moment.bars, moment.marks)
        yield _reopened
        yield lambda state: guard(state, rules.limits)
    if moment.signals:
        yield lambda state: DecisionMade(moment.ts, decide(moment, state, rules))


def _reopened(state: State) -> Event | None:
    """A halt for want of data ends with the next bar."""
    if state.cause != END_OF_DATA:
        return None
    return StatusSet(state.ts, TradingStatus.ACTIVE, "there is more to trade")


def recover(rules: Rules, exchange: Exchange, journal: Journal) -> State:
    """The state to start from: what the journal knows, what the venue has to add, and what neither can explain."""
    state = journal.state()
    state = journal.absorb(state, exchange.events(state.ts, state.orders.values()))
    return journal.absorb(state, reconcile(state, exchange.snapshot(), rules))


def settle(state: State, rules: Rules, exchange: Exchange, journal: Journal) -> State:
    """Act until what is equals what is wanted, or the venue has said no too often: the next bar tries again."""
    for _ in range(ROUNDS):
        actions = plan(state, rules)
        if not actions:
            break
        requests = [OrderRequested(state.ts, action.intent) for action in actions if isinstance(action, Submit)]
        if requests:
            state = journal.absorb(state, requests, synced=True)  # first on paper
        state = journal.absorb(state, exchange.carry_out(actions))
    return state
