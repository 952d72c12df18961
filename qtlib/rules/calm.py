"""For how long a plan that asked for nothing goes on asking for nothing.

Between two bars little changes of what a plan reads: a price, the best price of a trade, the time. While each of them
stays where it makes no difference, and all else is the very same, there is nothing to plan. Whoever is in doubt plans:
that a calm ends too early costs time and nothing else.
"""

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from qtlib.domain.account import Account, Position
from qtlib.domain.events import TradingStatus
from qtlib.domain.orders import Order, Role, Side
from qtlib.domain.state import State, Trade
from qtlib.domain.values import changed
from qtlib.rules.plan import timed_out
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import ExitParams, followed, target_price


class Calm(NamedTuple):
    """What must stay as it is."""

    account: Account
    orders: Mapping[str, Order]
    status: TradingStatus
    held: tuple["_Held", ...]
    exits: ExitParams

    def holds(self, state: State) -> bool:
        """Whether `plan` would ask for nothing, seen without planning."""
        if (
            state.account is not self.account
            or state.orders is not self.orders
            or state.status is not self.status
            or state.targets
        ):
            return False
        for position, known, low, high, best in self.held:
            trade = state.trades[position.symbol]
            if not low < state.prices[position.symbol] < high or timed_out(trade, state.ts):
                return False
            if trade is not known and (
                followed(trade, position, self.exits) != best
                or changed(trade, best=known.best, worst=known.worst) != known
            ):
                return False
        return True


class _Held(NamedTuple):
    """A position under the protection that it should have."""

    position: Position
    trade: Trade
    low: float  # beyond `low` and `high` lie its stop and its target
    high: float
    best: float | None  # as far as its stop follows it


def calm(state: State, rules: Rules) -> Calm | None:
    """The calm that begins at `state`, of which `plan` has asked for nothing; None where it may any moment."""
    if state.targets or state.status is TradingStatus.HALTED:
        return None
    held = []
    for symbol, position in state.account.positions.items():
        if symbol in rules.instruments:
            its = _held(position, state, rules)
            if its is None:
                return None
            held.append(its)
    return Calm(state.account, state.orders, state.status, tuple(held), rules.exits)


def _held(position: Position, state: State, rules: Rules) -> _Held | None:
    symbol, trade = position.symbol, state.trades[position.symbol]
    if trade.overdue or trade.naked_since is not None or timed_out(trade, state.ts):
        return None
    if symbol in state.grown and not trade.recovered:  # it may have become larger than it may be
        return None
    closing = Side.of(position.quantity).opposite
    stops = [
        order.intent.trigger
        for order in state.orders.values()
        if order.intent.symbol == symbol and order.intent.role is Role.STOP_LOSS and order.intent.side is closing
    ]
    price = state.prices.get(symbol)
    if len(stops) != 1 or stops[0] is None or price is None:
        return None
    stop, target = float(stops[0]), target_price(trade, position, rules.instruments[symbol], rules.exits)
    if position.quantity > 0:
        low, high = stop, inf if target is None else float(target)
    else:
        low, high = -inf if target is None else float(target), stop
    return _Held(position, trade, low, high, followed(trade, position, rules.exits)) if low < price < high else None
