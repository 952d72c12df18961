"""Looks over the loop's shoulder: is every position protected, and is the exchange there?

It counts by the wall clock, in a thread of its own, from the states that the loop hands it. So it also counts, and
says, what a loop that hangs in a call would not. It never acts: what is overdue the loop hears from it as an event,
and leaves the position.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from qtlib.domain.events import ProtectionOverdue
from qtlib.domain.orders import OrderStatus
from qtlib.domain.state import State
from qtlib.exchanges.port import ExchangeError

PERIOD_S = 0.2


@dataclass(slots=True)
class _Bare:
    """A position without a confirmed stop of its full size."""

    since_s: float
    allowed_s: float
    said: bool = False


class Auditor:
    """A `Watch` that keeps count."""

    def __init__(
        self,
        timeout_s: float,
        timeout_at_start_s: float,
        tell: Callable[[str], None],
        beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` hears sentences for people, `beat` every period that this thread lives."""
        self._timeout_s, self._at_start_s = timeout_s, timeout_at_start_s
        self._tell, self._beat, self._clock = tell, beat, clock
        self._lock = threading.Lock()
        self._bare: dict[str, _Bare] = {}  # by trade
        self._longest_s: dict[str, float] = {}
        self._state: State | None = None
        self._gone_since_s: float | None = None

    @property
    def naked_s(self) -> Mapping[str, float]:
        """The longest stretch that each trade was seen without a confirmed stop."""
        with self._lock:
            return dict(self._longest_s)

    @property
    def settled(self) -> bool:
        """Whether the exchange has answered, and it is known of every order what became of it."""
        orders = self._state.orders.values() if self._state else ()
        return self._gone_since_s is None and all(order.status is not OrderStatus.PENDING for order in orders)

    def look(self, state: State) -> None:
        """The state is now this, and the exchange has answered."""
        if self._gone_since_s is not None:
            self._tell(f"🔌 The exchange answers again, after {self._clock() - self._gone_since_s:.1f} s")
            self._gone_since_s = None
        self._count(state)

    def news(self, state: State) -> ProtectionOverdue | None:
        """The first position that has been bare for longer than it may, and is not being left for that already."""
        if not state.trades:
            return None
        self._count(state)
        for symbol, trade in state.trades.items():
            bare = self._bare.get(trade.trade_id)
            if bare and not trade.overdue and (waited_s := self._clock() - bare.since_s) > bare.allowed_s:
                return ProtectionOverdue(state.ts, symbol, round(waited_s, 3))
        return None

    def trouble(self, why: ExchangeError) -> None:
        """Said once, until the exchange answers again."""
        if self._gone_since_s is None:
            self._gone_since_s = self._clock()
            self._tell(
                f"🔌 {why}: no entries until the exchange answers again; what is open stays protected there, and it is "
                "asked again"
            )

    @contextmanager
    def watching(self) -> Iterator["Auditor"]:
        """Count in a thread of its own."""
        done = threading.Event()
        thread = threading.Thread(target=self._watch, args=[done], name="auditor", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(PERIOD_S):
            self._beat()
            if self._state is not None:
                self._count(self._state)

    def _count(self, state: State) -> None:
        now_s, first = self._clock(), self._state is None
        with self._lock:
            self._state = state
            for name, bare in self._bare.items():
                self._longest_s[name] = max(self._longest_s.get(name, 0.0), now_s - bare.since_s)
            naked = {trade.trade_id: trade for trade in state.trades.values() if trade.naked_since is not None}
            self._bare = {name: bare for name, bare in self._bare.items() if name in naked}
            for name, trade in naked.items():
                allowed_s = self._at_start_s if first or trade.recovered else self._timeout_s
                bare = self._bare.setdefault(name, _Bare(now_s, allowed_s))
                if not bare.said and now_s - bare.since_s > bare.allowed_s:
                    bare.said = True
                    self._tell(f"🚨 {trade.symbol} has had no confirmed stop for {now_s - bare.since_s:.1f} s")


class Unwatched:
    """Nobody looks on: time passes from bar to bar, and the exchange is in this process."""

    def look(self, state: State) -> None:
        """Seen by nobody."""

    def news(self, state: State) -> None:
        """By the bars' clock `plan` knows itself."""

    def trouble(self, why: ExchangeError) -> None:
        """An exchange in this process fails for good."""
        raise why
