"""The journal of a backtest: the durable one's promises, kept in memory for as long as the process lives."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Self

from qtlib.domain.advance import advance
from qtlib.domain.commands import Command
from qtlib.domain.events import Event
from qtlib.domain.state import State
from qtlib.journal.fold import Conclusions, Listener, fold
from qtlib.journal.lease import Clock, Holder, Lease, wall_clock


class MemoryJournal:
    """Every event once, in the order we heard of it. It keeps the values themselves, so there is nothing to refuse."""

    def __init__(self, account: str = "main", *, now: Clock = wall_clock):
        self.account = account
        self._now = now
        self._events: list[Event] = []
        self._keys: set[str] = set()
        self._commands: dict[str, Command] = {}
        self._kept = (0, State())
        self._holder: Holder | None = None
        self.listener: Listener | None = None

    def absorb(
        self, state: State, events: Iterable[Event], *, then: Conclusions | None = None, synced: bool = False
    ) -> State:
        """Write down what is news of `events`, and what `then` concludes, all or nothing; the state after."""
        state, news = fold(state, events, then, self._keys.__contains__)
        if news:
            self._keys.update(news)
            self._events += [event for _, event, _ in news.values()]
            if self.listener:
                for step in news.values():
                    self.listener(*step)
        return state

    @property
    def last(self) -> int:
        """The number of the newest event; 0 before the first."""
        return len(self._events)

    def events(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Each event later than number `after`, with its number, in order."""
        return enumerate(islice(self._events, after, None), after + 1)

    def knows(self, key: str) -> bool:
        """Whether an event of this key is written."""
        return key in self._keys

    def state(self) -> State:
        """What the events add up to."""
        after, state = self._kept
        for _, event in self.events(after):
            state = advance(state, event)
        return state

    def keep(self, state: State) -> None:
        """Start later folds from `state`: it must be what the events add up to now."""
        self._kept = (len(self._events), state)

    def command(self, command: Command) -> None:
        """Leave `command` for the engine to answer."""
        self._commands.setdefault(command.key, command)

    def commands(self) -> list[Command]:
        """The commands that no event has answered yet, oldest first."""
        if not self._commands:
            return []
        self._commands = {key: command for key, command in self._commands.items() if key not in self._keys}
        return list(self._commands.values())

    def now(self) -> datetime:
        """Wall time."""
        return self._now()

    def lease(self, owner: str, ttl_s: float = 30) -> Lease:
        """The right to write for this account, or `Held` and by whom."""
        return Lease(self, f"the journal of {self.account!r} in memory", owner, ttl_s, self._now)

    def close(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def holder(self) -> Holder | None:
        return self._holder

    def swap(self, old: Holder | None, new: Holder) -> bool:
        same = self._holder == old
        if same:
            self._holder = new
        return same
