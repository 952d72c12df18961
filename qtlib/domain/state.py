"""The state of trading: what the next decision needs and nothing else, so that it does not grow with history.

A state is the sum of the events before it, as `advance` adds them up.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from qtlib.domain.account import Account, Position
from qtlib.domain.commands import Verb
from qtlib.domain.decisions import Target
from qtlib.domain.events import (
    START,
    FactsRead,
    LimitsSet,
    TradingStatus,
)
from qtlib.domain.learned import Learning
from qtlib.domain.orders import ZERO, ExitPlan, Order, OrderIntent, Role
from qtlib.domain.universe import UniverseChanged
from qtlib.domain.values import changed, value


@value
class Trade:
    """What we know of an open position beyond its size: from its first fill until it is flat."""

    trade_id: str  # client id of the order that opened it
    symbol: str
    opened: datetime
    best: float  # most favourable price since then, in quote
    worst: float
    exits: ExitPlan | None  # None: nothing is known, the static fallback holds
    confidence: float | None = None
    model_version: str = ""
    decided: datetime | None = None  # the close at which it was wished; None: it was found
    notional: Decimal = ZERO  # of all that was opened, at its prices, in quote
    partial_taken: bool = False
    funding: Decimal = ZERO  # received on what is open, in quote; paid, it is margin that is gone
    net: Decimal = ZERO  # realized, less fees, plus funding, so far, in quote
    recovered: bool = False
    tightened: Decimal | None = None  # where a person wants the stop at least [quote]
    naked_since: datetime | None = None  # None: a working stop of full size is confirmed
    overdue: bool = False  # it was naked for too long
    refused: tuple[Role, ...] = ()  # orders that the venue would not take: done at market, or done without

    def r_of(self, net: Decimal) -> float | None:
        """What `net` is in R: over what its stop would have cost of all that was opened."""
        if self.exits is None or not self.notional:
            return None
        return float(net / self.notional) / self.exits.stop_frac

    def but(self, **changes: Any) -> "Trade":
        """A copy with `changes`."""
        return changed(self, **changes)


@value
class Brake:
    """What holds trading back until a person lets go of it, and what the account was worth when it was put on."""

    status: TradingStatus
    cause: str
    by: str
    since: datetime  # of a command: when it was answered, wall time
    equity: Decimal
    verb: Verb | None = None  # the command that put it on; None: a guard did

    @property
    def strictness(self) -> int:
        return strictness(self.status, self.verb)


def strictness(status: TradingStatus, verb: Verb | None = None) -> int:
    """How much holds trading back: of what only reduces a pause is the least, of what halts being killed the most."""
    return _STRICTNESS[status] + (verb is Verb.KILL) - (verb is Verb.PAUSE)


_STRICTNESS = {TradingStatus.ACTIVE: 0, TradingStatus.REDUCING: 2, TradingStatus.HALTED: 4}


@value(caches=True)
class State:
    account: Account = field(default_factory=Account)
    orders: Mapping[str, Order] = field(default_factory=dict)  # working orders by client id
    trades: Mapping[str, Trade] = field(default_factory=dict)  # one per open position, by symbol
    targets: Mapping[str, Target] = field(default_factory=dict)  # wishes that still stand, by symbol
    prices: Mapping[str, float] = field(default_factory=dict)  # what positions are valued at: mark, else last price
    left: Mapping[str, datetime] = field(default_factory=dict)  # when a symbol was last closed
    idle_since: datetime | None = None  # the first decision since which nothing was held, nor wanted and granted
    requests: int = 0  # orders ever requested: the next client id's number
    decided: datetime = START  # the last decision
    grown: tuple[str, ...] = ()  # symbols whose positions grew, until a decision finds them protected
    ts: datetime = START  # the last bar's close
    peak_equity: Decimal = ZERO
    day_equity: Decimal = ZERO  # equity at the day's first bar, UTC
    day_fees: Decimal = ZERO  # paid since then
    losses_in_row: int = 0  # trades that lost, net of all costs, since the last one that did not
    lost: datetime = START  # when the last of them ended
    order_errors: int = 0  # entries and exits that were rejected or lost, since the last one that was filled
    status: TradingStatus = TradingStatus.ACTIVE
    cause: str = ""  # of the status
    brake: Brake | None = None  # outlasts a halt for want of data
    limits: LimitsSet | None = None  # the last
    facts: FactsRead | None = None  # the last
    ending: str = ""  # who asked this session to end; empty: nobody
    market: str = ""  # whose prices were traded by, in words; empty: no session said
    learning: Learning = field(default_factory=Learning)
    universe: UniverseChanged | None = None  # the last; None: whatever is signalled may be traded

    @cached_property
    def equity(self) -> Decimal:
        return self.account.equity(self.prices)

    def but(self, **changes: Any) -> "State":
        """A copy with `changes`, which is valued anew."""
        return changed(self, **changes)

    def valued(self, equity: Decimal) -> "State":
        """This very state, which need not compute its `equity` again."""
        self.__dict__["equity"] = equity
        return self


@value
class ExchangeSnapshot:
    """The venue's whole word at `ts`: balance, positions, plain *and* conditional orders."""

    ts: datetime
    cash: Decimal
    positions: Mapping[str, Position] = field(default_factory=dict)  # the open ones
    orders: Mapping[str, OrderIntent] = field(default_factory=dict)  # open ones of both books, by client id
    prices: Mapping[str, float] = field(default_factory=dict)  # mark prices of what is held
