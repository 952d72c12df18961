"""The difference between what is wanted and what is: the orders to place and to cancel.

`plan` reads only the state and the rules, so calling it again after a crash, a lost answer or a partial fill asks
for exactly what is still missing; when nothing is, it returns nothing. What holds everywhere:

* protection first: the working stop is the first order after the first fill, and stays until the position is gone;
* a stop that moves is replaced: the new one in and confirmed, then the old one out;
* every order but an entry is reduce-only or closes the position, and no limit is asked about it;
* leaving needs no signal: a halt, a refused or missing stop, the time stop are read from the state.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from qtlib.domain.account import Position
from qtlib.domain.market import Instrument, steps_up
from qtlib.domain.orders import (
    ZERO,
    Action,
    Cancel,
    ExitReason,
    ExitSource,
    Order,
    OrderIntent,
    OrderStatus,
    OrderType,
    Role,
    Side,
    Submit,
    TimeInForce,
)
from qtlib.domain.state import State, Trade, TradingStatus
from qtlib.rules import limits
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import protective, static_plan, stop_reason, tighten

PREFIX = "qt-"  # of every client id of ours: what lacks it was not ordered by us
END_OF_DATA = "end of data"  # the cause of a halt that closes what is open because there is nothing more to trade


def plan(state: State, rules: Rules) -> tuple[Action, ...]:
    """The actions that turn what is into what is wanted."""
    if not (state.account.positions or state.orders or state.targets):
        return ()
    return tuple(_named(_actions(state, rules), state))


def _actions(state: State, rules: Rules) -> Iterator[Action]:
    concerned = {*state.account.positions, *state.targets, *(o.intent.symbol for o in state.orders.values())}
    for symbol in sorted(concerned & rules.instruments.keys()):
        orders = [o for o in state.orders.values() if o.intent.symbol == symbol]
        position = state.account.positions.get(symbol)
        if position:
            yield from _protect_and_leave(position, orders, state, rules)
        else:
            yield from _clear_and_enter(symbol, orders, state)


def _clear_and_enter(symbol: str, orders: list[Order], state: State) -> Iterator[Action]:
    """A flat symbol has no orders but an entry; a new entry waits until it has none at all."""
    yield from (Cancel(o.intent.client_id, symbol) for o in orders if o.intent.role is not Role.ENTRY)
    target = state.targets.get(symbol)
    if orders or target is None or not target.quantity or state.status is not TradingStatus.ACTIVE:
        return
    yield Submit(
        OrderIntent(
            "",
            symbol,
            Side.of(target.quantity),
            abs(target.quantity),
            Role.ENTRY,
            OrderType.LIMIT,
            price=target.limit_price,
            time_in_force=TimeInForce.IOC,
            expected=_last(symbol, state),
            exits=target.exits,
            confidence=target.confidence,
            model_version=target.model_version,
        )
    )


def _protect_and_leave(position: Position, orders: list[Order], state: State, rules: Rules) -> Iterator[Action]:
    symbol, instrument, trade = position.symbol, rules.instruments[position.symbol], state.trades[position.symbol]
    yield from (Cancel(o.intent.client_id, symbol) for o in orders if o.intent.role is Role.ENTRY)

    wanted = protective(trade, position, instrument, rules.sizing.leverage, rules.exits)
    stops = [o for o in orders if o.intent.role is Role.STOP_LOSS]
    sign = 1 if position.quantity > 0 else -1
    stop = wanted.stop_loss
    for order in stops:  # from the one that rests, not from thin air: a stop is never moved away
        if order.intent.trigger is not None:
            stop = tighten(order.intent.trigger, stop, sign)
    why = stop_reason(trade, position, stop, rules.exits)
    leaving = _leaving(trade, position, stop, why, state, rules)

    if not _passed(stop, sign, symbol, state) and Role.STOP_LOSS not in trade.refused:
        yield from _rest(_stop_order(position, Role.STOP_LOSS, stop, why), stops)
    if leaving is None:
        if wanted.net_stop is not None and not _has_net(trade, orders):
            yield Submit(_net_order(position, wanted.net_stop))
        targets = [o for o in orders if o.intent.role is Role.TAKE_PROFIT]
        yield from _take_profit(trade, position, wanted.take_profit, targets, instrument, state, rules)
    if leaving and not any(o.intent.role is Role.EXIT for o in orders):
        quantity, reason = leaving
        yield Submit(
            OrderIntent(
                "",
                symbol,
                Side.of(position.quantity).opposite,
                quantity,
                Role.EXIT,
                reduce_only=True,
                expected=_last(symbol, state),
                reason=reason,
            )
        )


def _leaving(
    trade: Trade, position: Position, stop: Decimal, why: ExitReason, state: State, rules: Rules
) -> tuple[Decimal, ExitReason] | None:
    """How much of `position` has to go at market now, and why; None: it may stay."""
    whole = abs(position.quantity)
    if state.status is TradingStatus.HALTED:
        return whole, ExitReason.END if state.cause == END_OF_DATA else ExitReason.FLATTEN
    if Role.STOP_LOSS in trade.refused or _passed(stop, 1 if position.quantity > 0 else -1, position.symbol, state):
        return whole, why
    if trade.naked_since and (state.ts - trade.naked_since).total_seconds() > rules.exits.protect_timeout_s:
        return whole, ExitReason.FLATTEN
    if _timed_out(trade, state.ts):
        return whole, ExitReason.TIME_STOP
    target = state.targets.get(position.symbol)
    if target and not target.quantity:
        return whole, target.reason or ExitReason.SIGNAL
    if trade.opened >= state.decided and not trade.recovered:
        excess = _excess(position, state, rules)
        return (excess, ExitReason.FLATTEN) if excess else None
    return None


def _timed_out(trade: Trade, ts: datetime) -> bool:
    limit_s = trade.exits.time_stop_s if trade.exits else None
    return limit_s is not None and not trade.partial_taken and (ts - trade.opened).total_seconds() >= limit_s


def _excess(position: Position, state: State, rules: Rules) -> Decimal:
    """What a fill dearer than reckoned put over the caps: it is cut back at once."""
    sign = 1 if position.quantity > 0 else -1
    book = limits.committed(state)
    cap, _ = limits.cap(position.symbol, sign, book, state, rules.limits)
    cost = float(position.cost)
    if cost <= cap * (1.0 + 1e-9):
        return ZERO
    lot = rules.instruments[position.symbol].lot
    over = steps_up((cost - cap) / float(position.entry_price), float(lot)) * lot
    return min(over, abs(position.quantity))


def _rest(wanted: OrderIntent, resting: list[Order]) -> Iterator[Action]:
    """`wanted` resting alone: it goes in if it is missing, and the others come out once it is confirmed."""
    same = [o for o in resting if (o.intent.trigger, o.remaining) == (wanted.trigger, wanted.quantity)]
    if not same:
        yield Submit(wanted)
    elif same[0].status is OrderStatus.OPEN:
        yield from (Cancel(o.intent.client_id, wanted.symbol) for o in resting if o is not same[0])


def _take_profit(
    trade: Trade,
    position: Position,
    price: Decimal | None,
    resting: list[Order],
    instrument: Instrument,
    state: State,
    rules: Rules,
) -> Iterator[Action]:
    """The target's order: the plan's share of the position, once; one that is filling is left alone."""
    if price is None:
        yield from (Cancel(o.intent.client_id, position.symbol) for o in resting)
        return
    already = _passed(price, -1 if position.quantity > 0 else 1, position.symbol, state)
    if any(o.filled for o in resting) or (already and resting):
        return
    share = (trade.exits or static_plan(rules.exits, ExitSource.RECOVERED)).partial_frac
    whole = abs(position.quantity)
    lots = round(float(whole) * share / float(instrument.lot))
    quantity = min(max(lots, 1) * instrument.lot, whole)
    reason = ExitReason.TAKE_PROFIT if quantity == whole else ExitReason.PARTIAL
    at_once = already or Role.TAKE_PROFIT in trade.refused  # no order could wait for a price that is there already
    side = Side.of(position.quantity).opposite
    wanted = OrderIntent(
        "",
        position.symbol,
        side,
        quantity,
        Role.TAKE_PROFIT,
        OrderType.MARKET if at_once else OrderType.TAKE_PROFIT_MARKET,
        trigger=None if at_once else price,
        reduce_only=True,
        expected=price,
        reason=reason,
    )
    yield from _rest(wanted, resting)


def _stop_order(position: Position, role: Role, trigger: Decimal, reason: ExitReason) -> OrderIntent:
    return OrderIntent(
        "",
        position.symbol,
        Side.of(position.quantity).opposite,
        abs(position.quantity),
        role,
        OrderType.STOP_MARKET,
        trigger=trigger,
        reduce_only=True,
        expected=trigger,
        reason=reason,
    )


def _net_order(position: Position, trigger: Decimal) -> OrderIntent:
    return replace(
        _stop_order(position, Role.NET_STOP, trigger, ExitReason.STOP_LOSS),
        quantity=ZERO,
        reduce_only=False,
        close_position=True,
    )


def _has_net(trade: Trade, orders: list[Order]) -> bool:
    """Whether a net stop rests, or will not: it never moves, and a refused one is not asked for twice."""
    return Role.NET_STOP in trade.refused or any(o.intent.role is Role.NET_STOP for o in orders)


def _passed(stop: Decimal, sign: int, symbol: str, state: State) -> bool:
    """Whether the price already lies beyond `stop`, so that no order could rest there."""
    price = state.prices.get(symbol)
    return price is not None and sign * (price - float(stop)) <= 0


def _last(symbol: str, state: State) -> Decimal | None:
    price = state.prices.get(symbol)
    return None if price is None else Decimal(repr(price))


def _named(actions: Iterable[Action], state: State) -> Iterator[Action]:
    """Names follow from the state: symbol, role, bar time, and the journal's own count of requests."""
    number = state.requests
    minutes = _base36(int(state.ts.timestamp()) // 60)
    for action in actions:
        if isinstance(action, Cancel):
            yield action
            continue
        intent = action.intent
        name = f"{PREFIX}{intent.symbol}-{_CODES[intent.role]}{minutes}-{_base36(number)}"
        yield Submit(replace(intent, client_id=name))
        number += 1


_CODES = {Role.ENTRY: "e", Role.EXIT: "x", Role.STOP_LOSS: "s", Role.TAKE_PROFIT: "t", Role.NET_STOP: "n"}


def _base36(number: int) -> str:
    """
    >>> _base36(0), _base36(35), _base36(36)
    ('0', 'z', '10')
    """
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if not number:
            return digits
