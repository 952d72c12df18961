"""Follows the journal of a session in another process: the state by now, and what of the past is shown.

What is kept is bounded, however long it looks: bars by symbol, points of equity, fills, decisions, answers. It never
folds for long at a time; where a session writes faster than that, it goes on from a newer state.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from qtlib.domain.advance import advance
from qtlib.domain.commands import Command
from qtlib.domain.decisions import Decision
from qtlib.domain.events import (
    BarClosed,
    CommandAnswered,
    DecisionMade,
    Event,
    Filled,
    SessionOpened,
)
from qtlib.domain.market import Bar
from qtlib.domain.orders import ExitReason, Fill, Order, OrderStatus, Role
from qtlib.domain.state import State
from qtlib.journal import Journal, JournalError

BUDGET_S = 0.4  # of folding at a time
BEHIND = 20_000  # events: then it goes on from the newest state that is kept
BARS, POINTS, FILLS, CYCLES, ANSWERS = 400, 3_000, 400, 60, 30


@dataclass(frozen=True, slots=True)
class Mark:
    """A fill, as the chart shows it."""

    ts: datetime
    symbol: str
    price: float
    quantity: float  # signed: positive is bought
    entry: bool
    words: str  # why it was left, where it was


@dataclass(frozen=True, slots=True)
class Step:
    """Where stop and target rest from `ts` on; None: none does."""

    ts: datetime
    stop: float | None
    target: float | None


@dataclass(slots=True)
class Past:
    """What is kept of what happened."""

    bars: dict[str, deque[Bar]] = field(default_factory=dict)
    equity: deque[tuple[datetime, float]] = field(default_factory=lambda: deque(maxlen=POINTS))
    marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=FILLS))
    steps: dict[str, deque[Step]] = field(default_factory=dict)
    decisions: deque[Decision] = field(default_factory=lambda: deque(maxlen=CYCLES))
    answers: deque[CommandAnswered] = field(default_factory=lambda: deque(maxlen=ANSWERS))
    opened: SessionOpened | None = None  # the newest session


class Reader:
    """Reads what `journal()` opens, in the thread that calls it."""

    def __init__(self, journal: Callable[[], Journal | None]) -> None:
        self._open = journal
        self._journal: Journal | None = None
        self.state, self.last, self.past = State(), 0, Past()
        self.waiting: tuple[Command, ...] = ()
        self.session: str | None = None  # who holds the account's lease
        self.heard: float | None = None  # when something new was last read [monotonic s]
        self.trouble: str | None = None  # why it could not be read just now
        self.complete = False  # everything that is written has been read

    def look(self) -> None:
        """Read on for a bounded time; what cannot be read now is said, and tried again at the next look."""
        try:
            journal = self._opened()
            if journal is not None:
                self._read_on(journal)
                self.waiting = tuple(journal.commands())
                writer = journal.writer()
                self.session = writer.owner if writer else None
            self.trouble = None
        except JournalError as why:
            self.trouble = str(why)
            self.close()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = None

    def _opened(self) -> Journal | None:
        if self._journal is None:
            self._journal = self._open()
            if self._journal is not None and not self.last and self._journal.newest() > BEHIND:  # else it is read whole
                self.last, self.state = self._journal.recent()
                self._levels(self.state, None)
        return self._journal

    def _read_on(self, journal: Journal) -> None:
        if journal.newest() - self.last > BEHIND:
            self.state, self.last = journal.state(), journal.last
            self.past.steps.clear()
        until, begun = time.monotonic() + BUDGET_S, self.last
        self.complete = True
        for seq, event in journal.events(self.last):
            before, self.state = self.state, advance(self.state, event)
            self.last = seq
            self._keep(event, before)
            if time.monotonic() > until:
                self.complete = False
                break
        if self.last != begun:
            self.heard = time.monotonic()

    def _keep(self, event: Event, before: State) -> None:
        past, state = self.past, self.state
        match event:
            case BarClosed():
                for symbol, bar in event.bars.items():
                    past.bars.setdefault(symbol, deque(maxlen=BARS)).append(bar)
                past.equity.append((event.ts, float(state.equity)))
            case DecisionMade():
                past.decisions.append(event.decision)
            case Filled():
                past.marks.append(_mark(event.fill, before))
            case CommandAnswered():
                past.answers.append(event)
            case SessionOpened():
                past.opened = event
        if state.orders is not before.orders or state.trades is not before.trades:
            self._levels(state, before)

    def _levels(self, state: State, before: State | None) -> None:
        gone = set() if before is None else before.trades.keys() - state.trades.keys()
        for symbol in {*state.trades, *gone}:
            rest = resting(state, symbol) if symbol in state.trades else {}
            stop, target = rest.get(Role.STOP_LOSS), rest.get(Role.TAKE_PROFIT)
            steps = self.past.steps.setdefault(symbol, deque(maxlen=FILLS))
            step = Step(state.ts, _number(stop), _number(target))
            if not steps or (steps[-1].stop, steps[-1].target) != (step.stop, step.target):
                steps.append(step)


def resting(state: State, symbol: str) -> dict[Role, Decimal]:
    """Where the confirmed protective orders of `symbol` rest, by role; of two the nearer."""
    levels: dict[Role, Decimal] = {}
    for order in state.orders.values():
        intent = order.intent
        level = intent.trigger if intent.trigger is not None else intent.price
        if intent.symbol != symbol or not intent.role.protects or level is None or not _open(order):
            continue
        nearer = max if (intent.side.sign < 0) is (intent.role is not Role.TAKE_PROFIT) else min
        levels[intent.role] = nearer(level, levels.get(intent.role, level))
    return levels


def _open(order: Order) -> bool:
    return order.status is OrderStatus.OPEN


def _mark(fill: Fill, before: State) -> Mark:
    order = before.orders.get(fill.client_id)
    held = before.account.position(fill.symbol).quantity
    closing = held * fill.side.sign < 0
    reason = order.intent.reason if order else None
    words = (reason or ExitReason.FLATTEN).value if closing else ""
    return Mark(fill.ts, fill.symbol, float(fill.price), float(fill.side.sign * fill.quantity), not closing, words)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
