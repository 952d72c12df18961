"""The one loop. A backtest is this loop over old bars and a simulated exchange; live is this loop.

Each round writes down what happened, decides, writes down what was decided, and acts until what is equals what is
wanted. Starting is recovering: a first start, a restart and a crash all come through `recover`.
"""

from collections.abc import Iterable
from typing import Protocol

from qtlib.domain.decisions import Moment
from qtlib.domain.orders import Submit
from qtlib.domain.state import BarClosed, DecisionMade, Event, OrderRequested, State, StatusSet
from qtlib.exchanges.port import Exchange
from qtlib.rules.decide import decide
from qtlib.rules.limits import guard
from qtlib.rules.plan import plan
from qtlib.rules.recovery import reconcile
from qtlib.rules.rules import Rules

ROUNDS = 12  # an entry with its protection takes three; more means that the venue keeps saying no


class Journal(Protocol):
    """What the loop needs of a journal."""

    def state(self) -> State: ...

    def absorb(self, state: State, events: Iterable[Event], *, synced: bool = False) -> State: ...

    def commands(self) -> list[StatusSet]: ...


def trade(feed: Iterable[Moment], rules: Rules, exchange: Exchange, journal: Journal) -> State:
    """Trade every moment of `feed`, after making good whatever the last run left undone."""
    state = recover(rules, exchange, journal)
    for moment in feed:
        events: list[Event] = [*exchange.events(since=state.ts), *journal.commands()]
        if moment.bars:  # else only time has passed
            events.append(BarClosed(moment.ts, moment.bars, moment.marks))
        state = journal.absorb(state, events)
        halt = guard(state, rules.limits)
        if halt:
            state = journal.absorb(state, [halt])
        if moment.signals:
            state = journal.absorb(state, [DecisionMade(moment.ts, decide(moment, state, rules))])
        state = settle(state, rules, exchange, journal)
    return state


def recover(rules: Rules, exchange: Exchange, journal: Journal) -> State:
    """The state to start from: what the journal knows, what the venue has to add, and what neither can explain."""
    state = journal.state()
    state = journal.absorb(state, exchange.events(since=state.ts))
    state = journal.absorb(state, reconcile(state, exchange.snapshot(), rules))
    return settle(state, rules, exchange, journal)


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
