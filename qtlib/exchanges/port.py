"""What trading needs from an exchange.

Three calls. The simulated exchange and every real one pass the same tests, so the engine cannot
tell them apart. These promises hold for all of them:

* a `client_id` is accepted once; submitting it again changes nothing;
* cancelling what is already gone is no error;
* `events` repeats what it is unsure of, and forgets nothing (the journal drops repeats);
* of an order that was asked for and not heard of since, `events` says what became of it, LOST once that is certain;
* a venue's "no" to one order is an event (`OrderChanged` to REJECTED, with its words), not an exception; and where an
  instrument is listed otherwise by now, `FactsRead` follows it at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from qtlib.domain.events import Event
from qtlib.domain.market import Bar
from qtlib.domain.orders import Action, Order
from qtlib.domain.state import ExchangeSnapshot


class Exchange(Protocol):
    def carry_out(self, actions: Sequence[Action]) -> Sequence[Event]:
        """Ask for orders and for orders' ends, in this order; the events that followed at once."""

    def events(self, since: datetime, about: Iterable[Order] = ()) -> Sequence[Event]:
        """Fills, order changes, funding and cash moves at or after `since`, oldest first; and what became of the
        orders `about` which the caller believes to be working."""

    def snapshot(self) -> ExchangeSnapshot:
        """What is open and held now."""


class Finding(NamedTuple):
    """What one step of a preflight found; `ok` is False where entries must not begin."""

    step: str
    ok: bool
    found: str


class BarHeard(NamedTuple):
    """A bar that closed, and the mark price at its close, where one was heard."""

    symbol: str
    bar: Bar
    mark: float | None = None


class Woken(NamedTuple):
    """Something happened to the account, or to the connection: it is worth looking."""

    why: str
    missed: bool = False  # something may have been missed


Heard = BarHeard | Woken


class Settled(NamedTuple):
    """A funding rate that was settled."""

    ts: datetime
    rate_frac: float  # of notional; positive: longs pay


class MarketData(Protocol):
    """What trading needs to know of the market: bars that have closed, from the venue that is traded on."""

    @property
    def now(self) -> datetime:
        """The venue's time, by which bars close."""

    def bars(self, symbols: Iterable[str], timeframe: str, count: int) -> Mapping[str, Sequence[Bar]]:
        """The last `count` closed bars of each symbol, oldest first; fewer where there are not so many."""

    def marks(self, symbols: Iterable[str], timeframe: str, count: int) -> Mapping[str, Sequence[Bar]]:
        """The same of mark prices."""

    def funding(self, symbols: Iterable[str], since: datetime) -> Mapping[str, Sequence[Settled]]:
        """The funding rates of each symbol that were settled at or after `since`, oldest first."""


class WaitingMarket(MarketData, Protocol):
    """One that goes on when it is told to."""

    def step(self) -> int:
        """Let the market go on by a bar; 0 if there are no more."""


class RunningMarket(MarketData, Protocol):
    """One that goes on by itself."""

    def watch(self, symbols: Iterable[str], timeframe: str) -> "SimpleQueue[Heard]":
        """All that happens from now on."""


class ExchangeError(Exception):
    """Base of what an adapter raises, by what the caller should do."""


class Unavailable(ExchangeError):
    """Nothing is known to have happened: wait, then recover."""


class Unknown(ExchangeError):
    """It may have happened: ask by client id, never resend."""


class Refused(ExchangeError):
    """The exchange understood and said no: do not send it again."""


class Untrusted(ExchangeError):
    """The answer makes no sense (unknown symbol, wrong account mode): reduce, and ask a person."""
