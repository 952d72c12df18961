"""Orders and fills: what we ask of an exchange, and what it answers."""

from datetime import datetime
from decimal import Decimal
from enum import Enum

from qtlib.domain.values import changed, value

ZERO = Decimal(0)


class Side(Enum):
    BUY = "buy"
    SELL = "sell"

    sign: int  # +1 for a buy, -1 for a sell: `sign * quantity` is the change of position

    def __init__(self, word: str):
        self.sign = 1 if word == "buy" else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY

    @staticmethod
    def of(quantity: Decimal | float) -> "Side":
        return Side.BUY if quantity > 0 else Side.SELL


class Role(Enum):
    """Why an order exists."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP_LOSS = "stop_loss"  # the working stop: reduce-only, whole position, only tightens
    TAKE_PROFIT = "take_profit"  # reduce-only, the share that the exit plan takes at its target
    NET_STOP = "net_stop"  # closes whatever is held, wider than the working stop, never moved
    FOREIGN = "foreign"  # somebody else's: counted, never touched

    protects: bool
    __hash__ = object.__hash__  # as roles are compared: by what they are, not by their name

    def __init__(self, word: str):
        self.protects = word in ("stop_loss", "take_profit", "net_stop")


class OrderType(Enum):
    """The venue's order types."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"

    conditional: bool  # waits in a book of its own for a trigger
    priced: bool  # trades at its limit or better

    def __init__(self, word: str):
        self.conditional = word not in ("MARKET", "LIMIT")
        self.priced = word in ("LIMIT", "STOP", "TAKE_PROFIT")


class TriggerBy(Enum):
    LAST = "CONTRACT_PRICE"
    MARK = "MARK_PRICE"


class TimeInForce(Enum):
    GTC = "GTC"
    IOC = "IOC"  # what can't fill at once expires
    FOK = "FOK"  # all at once, or nothing
    GTX = "GTX"  # post only: never takes


class ExitReason(Enum):
    """Why a position, or a part of it, was closed."""

    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING = "trailing"
    PARTIAL = "partial"
    TIME_STOP = "time_stop"
    SIGNAL = "signal"
    LIQUIDATION = "liquidation"
    FLATTEN = "flatten"
    END = "end"
    UNIVERSE = "universe"  # it dropped out of what is traded


class OrderStatus(Enum):
    PENDING = "pending"  # written down, not yet acknowledged
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"  # the venue understood, and said no
    EXPIRED = "expired"  # the venue ended it: nothing (more) to fill, or nothing left to reduce
    LOST = "lost"  # it certainly never reached the venue

    word: str
    working: bool

    def __init__(self, word: str):
        self.word, self.working = word, word in ("pending", "open")


class ExitSource(Enum):
    AI = "ai"  # a healthy model's own levels
    CLAMPED = "clamped"  # ... moved to where the rules allow them
    STATIC = "static"
    RECOVERED = "recovered"


@value
class ExitPlan:
    """How a position is to be left. Distances are fractions of its entry price, so the levels follow from the fill."""

    stop_frac: float
    take_profit_frac: float
    trail_frac: float | None = None  # the ratchet's distance behind the best price
    partial_frac: float = 1.0  # of the position, closed at the target; the rest runs with the ratchet
    trail_from_start: bool = True  # False: the ratchet waits for the partial
    breakeven_frac: float | None = None  # once the partial is taken, the stop is at least this far in profit
    time_stop_s: float | None = None  # after entry, unless the partial was taken by then
    net_frac: float | None = None  # of the net stop; None: no second layer
    profile: str = "static"
    source: ExitSource = ExitSource.STATIC
    doubt: str = ""  # why a model's own levels were not taken

    @property
    def breakeven_win_rate_frac(self) -> float:
        """The share of winners at which stop and target cancel out, before costs.

        >>> round(ExitPlan(stop_frac=0.02, take_profit_frac=0.078).breakeven_win_rate_frac, 3)
        0.204
        """
        return self.stop_frac / (self.take_profit_frac + self.stop_frac)


@value
class OrderIntent:
    """An order we want, under a name of ours: a name is requested once, so asking twice asks once."""

    client_id: str
    symbol: str
    side: Side
    quantity: Decimal  # positive, in base; 0 with `close_position`
    role: Role
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None  # the limit
    trigger: Decimal | None = None  # of a conditional order
    trigger_by: TriggerBy = TriggerBy.LAST
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    close_position: bool = False  # closes whatever is held when it fires
    callback_frac: Decimal | None = None  # of a trailing stop: its distance behind the extreme
    activation: Decimal | None = None  # of a trailing stop: it sleeps until this price
    expected: Decimal | None = None  # the price we reckoned with when asking: what slippage is measured from
    reason: ExitReason | None = None  # on orders that close
    exits: ExitPlan | None = None  # on an entry: holds from its first fill
    confidence: float | None = None  # on an entry: what was believed
    model_version: str = ""  # on an entry: by whom

    def named(self, client_id: str) -> "OrderIntent":
        """The same order, under this name."""
        return changed(self, client_id=client_id)


@value
class Submit:
    intent: OrderIntent


@value
class Cancel:
    client_id: str
    symbol: str


Action = Submit | Cancel


@value
class Fill:
    fill_id: str  # the venue's own
    client_id: str
    symbol: str
    side: Side
    quantity: Decimal  # positive, in base
    price: Decimal
    fee: Decimal  # in quote; negative is a rebate
    ts: datetime
    maker: bool = False


@value
class Order:
    intent: OrderIntent
    status: OrderStatus = OrderStatus.PENDING
    filled: Decimal = ZERO
    since: datetime | None = None  # when it was requested

    @property
    def remaining(self) -> Decimal:
        return self.intent.quantity - self.filled

    def after(self, fill: Fill) -> "Order":
        filled = self.filled + fill.quantity
        done = filled >= self.intent.quantity and not self.intent.close_position
        return Order(self.intent, OrderStatus.FILLED if done else OrderStatus.OPEN, filled, self.since)
