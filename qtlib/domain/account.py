"""Positions and cash, and what a fill, a fee and funding do to them."""

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal

from qtlib.domain.orders import ZERO, Fill
from qtlib.domain.values import value


def exact(price: float) -> Decimal:
    """`price` as the decimal it is written as: the shortest one that means this float."""
    return Decimal(repr(price))


@value
class Position:
    symbol: str
    quantity: Decimal = ZERO  # signed, in base: positive is long
    entry_price: Decimal = ZERO  # quantity-weighted average of the open part, in quote

    def after(self, fill: Fill) -> tuple["Position", Decimal]:
        """The position after `fill`, and the profit that the fill realized (before its fee)."""
        change = fill.side.sign * fill.quantity
        quantity = self.quantity + change
        if self.quantity * change >= 0:  # opening or adding: average the entry, realize nothing
            cost = self.entry_price * abs(self.quantity) + fill.price * fill.quantity
            return Position(self.symbol, quantity, cost / abs(quantity)), ZERO

        closed = min(abs(change), abs(self.quantity))
        direction = 1 if self.quantity > 0 else -1
        realized = direction * closed * (fill.price - self.entry_price)
        if quantity == 0:
            return Position(self.symbol), realized
        flipped = self.quantity * quantity < 0
        return Position(self.symbol, quantity, fill.price if flipped else self.entry_price), realized

    def unrealized(self, price: Decimal) -> Decimal:
        return self.quantity * (price - self.entry_price)

    @property
    def cost(self) -> Decimal:
        """What was committed: notional at the entry price, positive. Leverage plays no part in it."""
        return abs(self.quantity) * self.entry_price

    def pnl_frac(self, price: Decimal) -> Decimal:
        """Profit as a fraction of entry notional.

        >>> xrp = Position("XRPUSDT", Decimal("-67.1"), Decimal("2.2211"))
        >>> f"{xrp.pnl_frac(Decimal('2.1767')):+.2%}"
        '+2.00%'
        """
        if not self.entry_price:
            raise ValueError(f"{self.symbol}: profit is only computed from a known entry price")
        return self.unrealized(price) / self.cost


@value
class Account:
    cash: Decimal = ZERO  # wallet balance in quote: deposits + realized - fees + funding
    positions: Mapping[str, Position] = field(default_factory=dict)  # the open ones

    def position(self, symbol: str) -> Position:
        return self.positions.get(symbol) or Position(symbol)

    def after(self, fill: Fill) -> "Account":
        position, realized = self.position(fill.symbol).after(fill)
        return self.with_cash(realized - fill.fee).holding(position)

    def holding(self, position: Position) -> "Account":
        positions = {**self.positions, position.symbol: position}
        return Account(self.cash, {symbol: p for symbol, p in positions.items() if p.quantity})

    def with_cash(self, change: Decimal) -> "Account":
        return Account(self.cash + change, self.positions)

    def equity(self, prices: Mapping[str, float]) -> Decimal:
        """Cash and what closing everything at `prices` would add to it, before costs."""
        equity = self.cash
        for symbol, position in self.positions.items():
            equity += position.unrealized(exact(prices[symbol]))
        return equity
