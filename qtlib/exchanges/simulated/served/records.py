"""What a desk keeps of its account's life, and what it tells of it as it happens."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from qtlib.domain.orders import ZERO, Fill, OrderIntent, OrderStatus, OrderType
from qtlib.exchanges.simulated.book import limit_of

ALGO_IDS = 2_000_000_000_000  # algo ids begin here, so that nobody takes one for an order id

CLOSED_BY_VENUE = {"LIQUIDATION": "autoclose-", "ADL": "adl_autoclose-"}  # how the client ids of its orders begin

_ENDED = {
    OrderStatus.FILLED: "FILLED",
    OrderStatus.CANCELED: "CANCELED",
    OrderStatus.REJECTED: "REJECTED",
    OrderStatus.EXPIRED: "EXPIRED",
}


@dataclass(slots=True)
class Record:
    """One order from its request on. A conditional one becomes a plain one, under the same number, when it fires."""

    number: int
    client_id: str
    intent: OrderIntent  # its client id is the engine's name for it
    born: datetime
    updated: datetime
    status: OrderStatus = OrderStatus.PENDING
    filled: Decimal = ZERO
    cost: Decimal = ZERO  # of what is filled, in quote
    fired: datetime | None = None  # when its trigger did
    reason: str = ""

    @property
    def algo_id(self) -> int:
        return ALGO_IDS + self.number

    @property
    def conditional(self) -> bool:
        return self.intent.type.conditional

    @property
    def is_plain(self) -> bool:
        """In the book of plain orders, or final there."""
        return self.fired is not None or not self.conditional

    @property
    def is_open(self) -> bool:
        return self.status is OrderStatus.OPEN

    @property
    def average(self) -> Decimal:
        return self.cost / self.filled if self.filled else ZERO

    @property
    def plain_status(self) -> str:
        if self.status in _ENDED:
            return _ENDED[self.status]
        return "PARTIALLY_FILLED" if self.filled else "NEW"

    @property
    def algo_status(self) -> str:
        if self.fired is None:
            return _ENDED.get(self.status, "NEW")
        return "TRIGGERED" if self.is_open else "FINISHED"

    @property
    def plain_type(self) -> OrderType:
        return OrderType.MARKET if limit_of(self.intent) is None else OrderType.LIMIT

    @property
    def quantity(self) -> Decimal:
        """What it asks for; of one that closes whatever is held, what that turned out to be."""
        return self.filled if self.intent.close_position else self.intent.quantity


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill with what it earned."""

    record: Record
    fill: Fill
    realized: Decimal  # in quote, before the fee

    @property
    def trade_id(self) -> int:
        return int(self.fill.fill_id)

    @property
    def liquidates(self) -> bool:
        """Whether the venue closed the position, by itself or against others that it liquidated."""
        return self.record.client_id.startswith(tuple(CLOSED_BY_VENUE.values()))


@dataclass(frozen=True, slots=True)
class Income:
    """One move of the wallet."""

    number: int
    ts: datetime
    kind: str
    symbol: str
    amount: Decimal  # in quote, signed
    info: str = ""
    trade_id: str = ""


@dataclass(frozen=True, slots=True)
class OrderTold:
    """Something became of a plain order."""

    ts: datetime
    record: Record
    execution: str  # NEW, AMENDMENT, TRADE, CANCELED, EXPIRED, CALCULATED
    trade: Trade | None = None


@dataclass(frozen=True, slots=True)
class AlgoTold:
    """Something became of a conditional order."""

    ts: datetime
    record: Record
    status: str


@dataclass(frozen=True, slots=True)
class AccountTold:
    """The wallet, or a position, changed."""

    ts: datetime
    reason: str
    symbols: tuple[str, ...] = ()
    moved: Decimal = ZERO  # beside profit and fees


@dataclass(frozen=True, slots=True)
class LeverageTold:
    """The leverage of a symbol was set."""

    ts: datetime
    symbol: str


@dataclass(frozen=True, slots=True)
class MarginCalled:
    """Positions that stand and fall together came near to their liquidation."""

    ts: datetime
    symbols: tuple[str, ...]


Told = OrderTold | AlgoTold | AccountTold | LeverageTold | MarginCalled
