"""What happens: the events that a journal keeps, and that a state is the sum of.

Each has a `key`; the journal keeps one event per key, so hearing a thing twice is one fact. What is written is never
changed: a field that comes later has a default, so that older journals still read.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache

from qtlib.domain.account import Position
from qtlib.domain.commands import Command, Outcome
from qtlib.domain.decisions import Decision
from qtlib.domain.learned import FeaturesSeen, ModelChanged, RetrainBegun, RetrainEnded
from qtlib.domain.market import Bar, Instrument
from qtlib.domain.orders import ExitPlan, Fill, OrderIntent, OrderStatus
from qtlib.domain.universe import UniverseChanged
from qtlib.domain.values import value

START = datetime(1970, 1, 1, tzinfo=UTC)  # before the first event


class TradingStatus(Enum):
    ACTIVE = "active"
    REDUCING = "reducing"  # positions may shrink, not grow
    HALTED = "halted"  # every target is flat


END_OF_DATA = "end of data"  # the cause of a halt that closes what is open because there is nothing more to trade
START_UP = "start-up"  # who says so where a session found something amiss before it began


@value
class SessionOpened:
    """A run of the engine begins; its predecessor, if it died, left no `SessionClosed`."""

    ts: datetime  # venue time
    session_id: str
    run_id: str
    mode: str
    params_hash: str
    market: str = ""  # whose prices it trades by, in words
    learns: bool = False  # whether what closes makes it train models
    chooses: bool = False  # whether its universe is chosen anew each day; else it trades all that it names

    @property
    def key(self) -> str:
        return f"session:{self.run_id}"


@value
class FactsRead:
    """What a session knows of what it trades: the venue's own listing, and the leverage that was read back there.

    Read as it begins, and again by its exchange, which tells what it finds changed.
    """

    ts: datetime
    run_id: str  # whose session read it as it began; empty: it was read again meanwhile
    instruments: Mapping[str, Instrument]
    leverage: Mapping[str, int]
    out: Mapping[str, str] = field(default_factory=dict)  # where nothing may be entered for now, and why, by symbol

    @property
    def key(self) -> str:
        return f"facts:{self.run_id}:{self.ts.isoformat()}"


@value
class SessionClosed:
    ts: datetime
    run_id: str
    reason: str

    @property
    def key(self) -> str:
        return f"closed:{self.run_id}"


INSURANCE_CLEAR = "insurance_clear"  # why the venue pays in: a liquidation lost more than was at stake


@value
class CashMoved:
    """A deposit (positive), a withdrawal, or the venue making good the excess of a liquidation's loss."""

    ts: datetime
    amount: Decimal  # in quote
    reason: str
    ref: str  # the venue's own name for it

    @property
    def key(self) -> str:
        return f"cash:{self.ref}"


@value
class FundingPaid:
    ts: datetime
    symbol: str
    amount: Decimal  # in quote; positive: received
    rate_frac: float  # of notional, positive: longs pay

    @property
    def key(self) -> str:
        return f"funding:{self.symbol}:{self.ts.isoformat()}"


@value
class BarClosed:
    ts: datetime
    bars: Mapping[str, Bar]
    marks: Mapping[str, float] = field(default_factory=dict)  # where missing, positions are valued at the last price

    @property
    def key(self) -> str:
        return f"{_seconds(self.ts)}:bar"  # by time first: what is written together is then kept together


@value
class DecisionMade:
    ts: datetime
    decision: Decision

    @property
    def key(self) -> str:
        return f"{_seconds(self.ts)}:decision"


@value
class OrderRequested:
    """Written down before the exchange is asked."""

    ts: datetime
    intent: OrderIntent

    @property
    def key(self) -> str:
        return f"request:{self.intent.client_id}"


@value
class OrderChanged:
    ts: datetime
    client_id: str
    status: OrderStatus
    reason: str = ""  # the venue's words, where it gave any

    @property
    def key(self) -> str:
        return f"order:{self.client_id}:{self.status.word}"


@value
class Filled:
    ts: datetime
    fill: Fill

    @property
    def key(self) -> str:
        return f"fill:{self.fill.symbol}:{self.fill.fill_id}"


@value
class PositionAdopted:
    """The exchange holds what the journal cannot explain; now both hold it. Quantity 0: it is gone there."""

    ts: datetime
    position: Position
    exits: ExitPlan | None
    evidence: str  # both sides of the disagreement, in words
    price: float | None = None  # what it is valued at there, in quote

    @property
    def key(self) -> str:
        held = f"{self.position.quantity}@{self.position.entry_price}"
        return f"adopted:{self.position.symbol}:{self.ts.isoformat()}:{held}"


@value
class ProtectionOverdue:
    """By the wall clock `symbol` has gone without a confirmed stop for longer than it may: it is to be left."""

    ts: datetime
    symbol: str
    naked_s: float

    @property
    def key(self) -> str:
        return f"overdue:{self.symbol}:{self.ts.isoformat()}"


@value
class CashCorrected:
    """The venue's wallet differs from the journal's by `amount`, unexplained; now they agree."""

    ts: datetime
    amount: Decimal

    @property
    def key(self) -> str:
        return f"correction:{self.ts.isoformat()}:{self.amount}"


@value
class StatusSet:
    ts: datetime
    status: TradingStatus
    cause: str
    by: str = "engine"  # or who asked: a command's actor

    @property
    def key(self) -> str:
        return f"status:{self.ts.isoformat()}:{self.status.value}:{self.by}"


PlainLimits = Mapping[str, float | tuple[tuple[float, float], ...] | Mapping[str, str]]  # by the limit's name


@value
class LimitsSet:
    """The risk limits of a session: those that hold, and those that it asked for, which may from the next day on."""

    ts: datetime
    run_id: str
    in_force: PlainLimits
    asked: PlainLimits
    asked_at: datetime  # wall time
    by: str
    reason: str = ""  # for what was loosened
    settings: PlainLimits = field(default_factory=dict)  # what the session's settings ask: people may ask otherwise

    @property
    def key(self) -> str:
        return f"limits:{self.run_id}"


@value
class CommandAnswered:
    """What became of a command. What one that was done changes, it changes in this same event."""

    ts: datetime
    command: Command
    outcome: Outcome
    words: str  # why; of one that was done the status's cause
    answered: datetime  # wall time
    status: TradingStatus | None = None  # None: it stays as it is
    limits: LimitsSet | None = None  # of LIMITS: those from now on

    @property
    def key(self) -> str:
        return self.command.key


Event = (
    SessionOpened
    | SessionClosed
    | FactsRead
    | CashMoved
    | FundingPaid
    | BarClosed
    | DecisionMade
    | OrderRequested
    | OrderChanged
    | Filled
    | PositionAdopted
    | ProtectionOverdue
    | CashCorrected
    | StatusSet
    | CommandAnswered
    | LimitsSet
    | UniverseChanged
    | FeaturesSeen
    | RetrainBegun
    | RetrainEnded
    | ModelChanged
)


@lru_cache(maxsize=4)  # the events of a moment happen at one time
def _seconds(ts: datetime) -> int:
    return int(ts.timestamp())
