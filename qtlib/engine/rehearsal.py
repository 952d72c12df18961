"""A recovery that is only looked at: the very lines of the real one, over a journal that forgets.

The exchange is asked, and nothing is asked of it; the journal is read, and nothing is written there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from qtlib.domain.account import Position
from qtlib.domain.commands import Command
from qtlib.domain.events import Event, Filled, OrderChanged, OrderRequested, PositionAdopted
from qtlib.domain.orders import Action, Submit
from qtlib.domain.state import State
from qtlib.engine.loop import Tell, recover
from qtlib.exchanges.port import Exchange
from qtlib.journal.fold import Step, fold
from qtlib.rules.plan import plan
from qtlib.rules.rules import Rules


class Readable(Protocol):
    """A journal, as far as it is read."""

    def state(self) -> State: ...

    def knows(self, key: str) -> bool: ...

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a recovery would learn and do, of one symbol; of the whole account, where `symbol` is empty."""

    symbol: str
    journal: Position | None
    exchange: Position | None
    learned: tuple[Step, ...]  # the evidence: what is news, with the state before and after
    actions: tuple[Action, ...]


def foresee(rules: Rules, exchange: Exchange, journal: Readable) -> list[Foreseen]:
    """What would be learned and done if a session began now, symbol by symbol; the account itself comes last."""
    scratch = _Scratch(journal)
    before = journal.state()
    after = recover(before, rules, exchange, scratch)
    there = exchange.snapshot().positions
    learned: dict[str, list[Step]] = {}
    for step in scratch.news:
        learned.setdefault(_symbol_of(step[1], step[0]), []).append(step)
    actions: dict[str, list[Action]] = {}
    for action in plan(after, rules):
        actions.setdefault(action.intent.symbol if isinstance(action, Submit) else action.symbol, []).append(action)
    symbols = {*learned, *actions, *before.account.positions, *there} - {""}
    return [
        Foreseen(
            symbol,
            before.account.positions.get(symbol),
            there.get(symbol),
            tuple(learned.get(symbol, ())),
            tuple(actions.get(symbol, ())),
        )
        for symbol in [*sorted(symbols), *([""] if "" in learned else [])]
    ]


class _Scratch:
    """A journal that keeps what it is told for as long as it is looked at."""

    def __init__(self, journal: Readable) -> None:
        self._journal = journal
        self._news: dict[str, Step] = {}

    @property
    def news(self) -> Iterator[Step]:
        return iter(self._news.values())

    def state(self) -> State:
        return self._journal.state()

    def absorb(
        self,
        state: State,
        events: Iterable[Event],
        *,
        then: Callable[[State, Tell], object] | None = None,
        synced: bool = False,
    ) -> State:
        after, news = fold(state, events, then, lambda key: key in self._news or self._journal.knows(key))
        self._news.update(news)
        return after

    def commands(self) -> list[Command]:
        return []

    def now(self) -> datetime:
        return self._journal.now()


def _symbol_of(event: Event, before: State) -> str:
    """Whose event it is; empty: the account's."""
    match event:
        case OrderRequested():
            return event.intent.symbol
        case OrderChanged():
            order = before.orders.get(event.client_id)
            return order.intent.symbol if order else ""
        case Filled():
            return event.fill.symbol
        case PositionAdopted():
            return event.position.symbol
    return str(getattr(event, "symbol", ""))
