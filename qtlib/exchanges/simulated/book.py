"""What the simulated venue holds: orders, account, prices. All of it is plain data, so all of it can be written down.

`Book` and `Quote` are the two mutable things of this room, and only the venue changes them. Everybody else
(admission, margin) is handed a `View` and answers questions about it.
"""

from collections.abc import Iterator, KeysView, Mapping, Set
from dataclasses import dataclass, field
from decimal import Decimal

from qtlib.domain.account import Account
from qtlib.domain.market import Instrument, steps_down
from qtlib.domain.orders import ZERO, OrderIntent, OrderType, Side
from qtlib.domain.values import value
from qtlib.exchanges.simulated.conduct import Conduct

Brackets = tuple[tuple[float, float, float], ...]  # notional cap, maintenance fraction, cum: an instrument's, as floats


@value
class Resting:
    """An order the venue took on and has not ended."""

    intent: OrderIntent
    number: int  # in order of arrival
    filled: Decimal = ZERO
    triggered: bool = False  # of a conditional order: it is a plain one now
    extreme: float | None = None  # of a trailing stop, once awake: the best price since, in quote

    @property
    def waiting(self) -> bool:
        """In the book of conditional orders: it reserves nothing and meets nobody until its trigger."""
        return self.intent.type.conditional and not self.triggered

    @property
    def remaining(self) -> Decimal:
        return self.intent.quantity - self.filled


def reduces(intent: OrderIntent) -> bool:
    """Whether `intent` may only ever make a position smaller."""
    return intent.reduce_only or intent.close_position


def limit_of(intent: OrderIntent) -> Decimal | None:
    """The worst price `intent` trades at, if it has one."""
    return intent.price if intent.type.priced else None


def fires_upward(intent: OrderIntent) -> bool:
    """Whether the trigger of `intent` waits above: stops that buy and targets that sell do."""
    target = intent.type in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_MARKET)
    return (intent.side is Side.SELL) if target else (intent.side is Side.BUY)


@dataclass(slots=True)
class Quote:
    """One symbol's market, as it stands."""

    price: float  # what a taker meets, in quote
    mark: float
    volume: float = 0.0  # base, of the bar that measures how much there is to take
    taken: float = 0.0  # base, by our orders out of that bar

    def at_hand(self, share_frac: float, lot: Decimal) -> Decimal:
        """What our orders may still take, in whole lots."""
        return max(0, steps_down(self.volume * share_frac - self.taken, float(lot))) * lot


@dataclass(slots=True)
class Book:
    """Everything that is not a price."""

    account: Account = field(default_factory=Account)
    isolated: dict[str, Decimal] = field(default_factory=dict)  # the part of cash that backs each position, in quote
    leverage: dict[str, int] = field(default_factory=dict)  # where it differs from the conduct's
    crossed: dict[str, bool] = field(default_factory=dict)  # cross margin or not, where set for a symbol alone
    orders: dict[str, Resting] = field(default_factory=dict)  # of both books, by client id, in order of arrival
    orders_taken: int = 0  # ever
    fills_made: int = 0  # ever
    clearances: int = 0  # by the insurance fund, ever
    unmarked: list[str] = field(default_factory=list)  # symbols whose mark price had to be the last price


@value
class View:
    """The venue at one instant, for those who decide something about it and change nothing."""

    instruments: Mapping[str, Instrument]
    conduct: Conduct
    book: Book
    quotes: Mapping[str, Quote]
    brackets: Mapping[str, Brackets]  # of each instrument
    suspended: Set[str] = frozenset()  # listed, and not traded for now

    def leverage(self, symbol: str) -> int:
        return self.book.leverage.get(symbol, self.conduct.leverage)

    def cross(self, symbol: str) -> bool:
        """Whether the whole account backs a position in `symbol`, and not a part of the wallet by itself."""
        return self.book.crossed.get(symbol, self.conduct.cross)

    def held(self, symbol: str) -> Decimal:
        return self.book.account.position(symbol).quantity

    def orders(self, symbol: str) -> Iterator[Resting]:
        return (order for order in self.book.orders.values() if order.intent.symbol == symbol)

    def busy(self) -> KeysView[str]:
        """The symbols with a position or an order, always in the same order."""
        orders = (order.intent.symbol for order in self.book.orders.values())
        return dict.fromkeys((*self.book.account.positions, *orders)).keys()

    def at_hand(self, symbol: str) -> Decimal:
        return self.quotes[symbol].at_hand(self.conduct.max_volume_share_frac, self.instruments[symbol].lot)

    def wanted(self, intent: OrderIntent, filled: Decimal = ZERO) -> Decimal:
        """What `intent` would still trade: one that reduces never asks for more than is held on the other side."""
        if not reduces(intent):
            return intent.quantity - filled
        closable = max(ZERO, -intent.side.sign * self.held(intent.symbol))
        return closable if intent.close_position else min(intent.quantity - filled, closable)
