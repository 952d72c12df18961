"""One row of `trades`: what a closing order filled, why it did, and what protected the position until then."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from qtlib.domain.orders import ZERO, ExitReason, ExitSource, OrderIntent, OrderStatus, Role
from qtlib.domain.state import State, Trade
from qtlib.report.columns import Carried


@dataclass(slots=True)
class Exit:
    """A row of `trades`: what one closing order filled."""

    trade: Trade  # as it was at the last of these fills
    order: str
    long: bool
    reason: str
    ts: datetime
    stop: Decimal | None  # that rested at the first of these fills
    target: Decimal | None
    quantity: Decimal = ZERO
    entry_value: Decimal = ZERO  # of the closed part, at entry
    exit_value: Decimal | None = ZERO  # None: no fill tells
    gross: Decimal = ZERO
    exit_fees: Decimal = ZERO
    carried: Carried = field(default_factory=Carried)  # the closed part's share

    @property
    def fees(self) -> Decimal:
        return self.exit_fees + self.carried.fees

    @property
    def pnl(self) -> Decimal:
        return self.gross - self.fees + self.carried.funding

    def values(self) -> tuple[Any, ...]:
        """In the order of the columns of `TRADES`."""
        trade, plan = self.trade, self.trade.exits
        entry = self.entry_value / self.quantity
        price = None if self.exit_value is None else self.exit_value / self.quantity
        risk = float(self.entry_value) * plan.stop_frac if plan is not None else 0.0
        unplanned = ExitSource.RECOVERED if trade.recovered else ExitSource.STATIC
        return (
            trade.trade_id,
            trade.symbol,
            "long" if self.long else "short",
            float(self.quantity),
            trade.opened,
            float(entry),
            self.ts,
            number(price),
            self.reason,
            float(self.fees),
            float(self.carried.funding),
            float(self.pnl),
            float(self.pnl / self.entry_value) if self.entry_value else float("nan"),
            float(self.pnl) / risk if risk else float("nan"),
            *_excursions(trade, float(entry), price, self.long),
            float("nan") if trade.confidence is None else trade.confidence,
            trade.model_version,
            (plan.source if plan is not None else unplanned).value,
            number(self.stop),
            number(self.target),
        )


def exit_reason(client_id: str, intent: OrderIntent | None, remains: bool) -> str:
    """Why the order closed what it closed: its own word, where it has one."""
    if intent is None:  # not one of ours, or one that we cannot find
        reason = ExitReason.LIQUIDATION if client_id.startswith("autoclose") else ExitReason.FLATTEN
    elif intent.role is Role.TAKE_PROFIT:
        reason = ExitReason.PARTIAL if remains else ExitReason.TAKE_PROFIT
    else:
        reason = intent.reason or _REASONS.get(intent.role, ExitReason.FLATTEN)
    return str(reason.value)


_REASONS = {
    Role.STOP_LOSS: ExitReason.STOP_LOSS,
    Role.NET_STOP: ExitReason.STOP_LOSS,
    Role.ENTRY: ExitReason.SIGNAL,  # an entry the other way closes first
}


def resting(state: State, symbol: str) -> tuple[Decimal | None, Decimal | None]:
    """The confirmed working stop, the nearest where an old one is still leaving, and the target."""
    stop = target = None
    for order in state.orders.values():
        intent = order.intent
        if intent.symbol != symbol or order.status is not OrderStatus.OPEN:
            continue
        level = intent.trigger if intent.trigger is not None else intent.price
        if level is None:
            continue
        if intent.role is Role.TAKE_PROFIT:
            target = level
        elif intent.role is Role.STOP_LOSS:
            nearer = max if intent.side.sign < 0 else min  # a selling stop guards a long position
            stop = level if stop is None else nearer(stop, level)
    return stop, target


def _excursions(trade: Trade, entry: float, exit_price: Decimal | None, long: bool) -> tuple[float, float]:
    """Furthest against and furthest for the position, as fractions of `entry`; the exit itself was reached as well."""
    if not entry:
        return float("nan"), float("nan")
    seen = (trade.best, trade.worst, entry, *(() if exit_price is None else (float(exit_price),)))
    moves = [(price - entry) / entry if long else (entry - price) / entry for price in seen]
    return min(moves), max(moves)


def number(value: Decimal | None) -> float:
    return float("nan") if value is None else float(value)
