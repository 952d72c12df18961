"""The difference between what is wanted and what is: the orders to place and to cancel.

`plan` reads only the state and the rules, so calling it again after a crash, a lost answer or a partial fill asks
for exactly what is still missing; when nothing is, it returns nothing. What holds everywhere:

* protection first: the working stop is the first order after the first fill, and stays until the position is gone;
* a stop that moves is replaced: the new one in and confirmed, then the old one out;
* every order but an entry is reduce-only or closes the position, and no limit is asked about it: so it is of whole
  lots that cover what is held, however large a lot has become since that was bought;
* leaving needs no signal: a halt, a refused or missing stop, the time stop are read from the state.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from qtlib.domain.account import Position
from qtlib.domain.events import END_OF_DATA, TradingStatus
from qtlib.domain.market import Instrument, steps_up
from qtlib.domain.naming import TRIAL, name_of
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
from qtlib.domain.state import State, Trade
from qtlib.rules import limits
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import net_price, static_plan, stop_price, stop_reason, target_price, tighten, toward

MOST_CONDITIONAL = 200  # that may wait at once, per account: the venue takes no more


def plan(state: State, rules: Rules) -> tuple[Action, ...]:
    """The actions that turn what is into what is wanted."""
    positions = state.account.positions
    if not (positions or state.orders or state.targets):
        return ()
    working: dict[str, list[Order]] = {symbol: [] for symbol in (*positions, *state.targets)}
    for order in state.orders.values():
        working.setdefault(order.intent.symbol, []).append(order)
    actions: list[Action] = []
    for symbol in sorted(working):
        if symbol not in rules.instruments:
            continue
        orders, position = working[symbol], positions.get(symbol)
        if position:
            actions += _protect_and_leave(position, orders, state, rules)
        else:
            actions += _clear_and_enter(symbol, orders, state)
    return tuple(_named(_first_things_first(actions, state), state)) if actions else ()


def _first_things_first(actions: list[Action], state: State) -> list[Action]:
    """Stops before all else; and nothing that the venue's book of conditional orders has no room for.

    A place is kept for each position, as a stop that moves is replaced before it goes; of what is left net stops have
    the first, and targets wait until there is room.
    """
    if len(actions) > 1:
        actions.sort(key=_is_no_stop)
    asked = [action.intent for action in actions if isinstance(action, Submit) and action.intent.type.conditional]
    if not asked:
        return actions
    room = MOST_CONDITIONAL - len(state.account.positions)
    room -= sum(order.intent.type.conditional for order in state.orders.values())
    if len(asked) <= room:
        return actions
    by_rank = sorted((intent for intent in asked if intent.role is not Role.STOP_LOSS), key=_is_no_net)
    without = by_rank[max(0, room - (len(asked) - len(by_rank))) :]
    return [action for action in actions if not (isinstance(action, Submit) and action.intent in without)]


def _is_no_stop(action: Action) -> bool:
    return not (isinstance(action, Submit) and action.intent.role is Role.STOP_LOSS)


def _is_no_net(intent: OrderIntent) -> bool:
    return intent.role is not Role.NET_STOP


def _clear_and_enter(symbol: str, orders: list[Order], state: State) -> Sequence[Action]:
    """A flat symbol has no orders of ours but an entry; a new entry waits until it has none at all."""
    target = state.targets.get(symbol)
    if orders or target is None or not target.quantity or state.status is not TradingStatus.ACTIVE:
        return [Cancel(o.intent.client_id, symbol) for o in orders if not _may_rest(o.intent)]
    entry = OrderIntent(
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
    return (Submit(entry),)


def _may_rest(intent: OrderIntent) -> bool:
    """Whether `intent` has a place where nothing is held: an entry whose way out is known, or somebody else's order."""
    return _is_foreign(intent) or (intent.role is Role.ENTRY and intent.exits is not None)


def _is_foreign(intent: OrderIntent) -> bool:
    """Whether `intent` is somebody else's, and none of our business."""
    return intent.role is Role.FOREIGN and not intent.client_id.startswith(TRIAL)


def _protect_and_leave(position: Position, orders: list[Order], state: State, rules: Rules) -> Sequence[Action]:
    symbol, instrument, trade = position.symbol, rules.instruments[position.symbol], state.trades[position.symbol]
    sign, closing = (1, Side.SELL) if position.quantity > 0 else (-1, Side.BUY)
    actions: list[Action] = []
    by_role: dict[Role, list[Order]] = {}
    for order in orders:
        role = order.intent.role
        if _is_foreign(order.intent):
            continue
        if (
            role in (Role.ENTRY, Role.FOREIGN) or order.intent.side is not closing
        ):  # or left from a position that was turned over
            actions.append(Cancel(order.intent.client_id, symbol))
        else:
            by_role.setdefault(role, []).append(order)

    stops = by_role.get(Role.STOP_LOSS, [])
    stop = stop_price(trade, position, instrument, rules.sizing.leverage, rules.exits)
    for order in stops:  # from the one that rests, not from thin air: a stop is never moved away
        if order.intent.trigger is not None:
            stop = tighten(order.intent.trigger, stop, sign)
    unstoppable = Role.STOP_LOSS in trade.refused or _passed(stop, sign, symbol, state)
    if not unstoppable:
        kept = _found(stops, stop, abs(position.quantity), instrument)
        if kept is None:
            fits = instrument.price(float(stop), toward(sign))  # the one that rests may be of a finer tick
            actions.append(Submit(_stop_order(trade, position, fits, rules)))
        else:
            actions += _others_out(stops, kept)
    leaving = _leaving(trade, position, stop if unstoppable else None, state, rules)
    if leaving is None:
        if Role.NET_STOP not in by_role and Role.NET_STOP not in trade.refused:
            net = net_price(trade, position, instrument, rules.sizing.leverage, rules.exits)
            actions += () if net is None else (Submit(_net_order(position, net)),)
        actions += _take_profit(trade, position, by_role.get(Role.TAKE_PROFIT, []), instrument, state, rules)
    elif Role.EXIT not in by_role:
        quantity, reason = leaving
        side, expected = Side.of(position.quantity).opposite, _last(symbol, state)
        whole = instrument.covering(quantity)
        part = min(whole, instrument.largest or whole)  # what is left is asked for once it is filled
        leave = OrderIntent("", symbol, side, part, Role.EXIT, reduce_only=True, expected=expected, reason=reason)
        actions.append(Submit(leave))
    return actions


def _leaving(
    trade: Trade, position: Position, missed: Decimal | None, state: State, rules: Rules
) -> tuple[Decimal, ExitReason] | None:
    """How much of `position` has to go at market now, and why; None: it may stay. `missed` is a stop that can't be."""
    whole = abs(position.quantity)
    if state.status is TradingStatus.HALTED:
        return whole, ExitReason.END if state.cause == END_OF_DATA else ExitReason.FLATTEN
    if missed is not None:
        return whole, stop_reason(trade, position, missed, rules.instruments[position.symbol], rules.exits)
    if trade.overdue:
        return whole, ExitReason.FLATTEN
    if trade.naked_since and (state.ts - trade.naked_since).total_seconds() > rules.exits.protect_timeout_s:
        return whole, ExitReason.FLATTEN
    if timed_out(trade, state.ts):
        return whole, ExitReason.TIME_STOP
    target = state.targets.get(position.symbol)
    if target and not target.quantity:
        return whole, target.reason or ExitReason.SIGNAL
    if position.symbol in state.grown and not trade.recovered:
        excess = _excess(position, state, rules)
        return (excess, ExitReason.FLATTEN) if excess else None
    return None


def timed_out(trade: Trade, ts: datetime) -> bool:
    """Whether `trade` was given so long to reach its target, and did not."""
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


def _found(resting: list[Order], trigger: Decimal | None, quantity: Decimal, instrument: Instrument) -> Order | None:
    """The one of `resting` that is an order of `quantity` at `trigger`."""
    covering = instrument.covering(quantity)
    for order in resting:
        if order.intent.trigger == trigger and order.remaining in (quantity, covering):
            return order
    return None


def _others_out(resting: list[Order], kept: Order) -> Sequence[Action]:
    """The ends of all `resting` but the one that is kept, once that one is confirmed."""
    if len(resting) == 1 or kept.status is not OrderStatus.OPEN:
        return ()
    return [Cancel(o.intent.client_id, o.intent.symbol) for o in resting if o is not kept]


def _take_profit(
    trade: Trade, position: Position, resting: list[Order], instrument: Instrument, state: State, rules: Rules
) -> Sequence[Action]:
    """The target's order: the plan's share of the position, once; one that is filling is left alone."""
    price = target_price(trade, position, instrument, rules.exits)
    if price is None:
        return [Cancel(o.intent.client_id, position.symbol) for o in resting]
    already = _passed(price, -1 if position.quantity > 0 else 1, position.symbol, state)
    filling = [order for order in resting if order.filled]
    if filling or (resting and already):
        return ()
    share = (trade.exits or static_plan(rules.exits, ExitSource.RECOVERED)).partial_frac
    whole = abs(position.quantity)
    lots = round(float(whole) * share / float(instrument.lot))
    quantity = min(max(lots, 1) * instrument.lot, whole)
    trigger = None if already or Role.TAKE_PROFIT in trade.refused else price  # nothing can wait for what is there
    kept = _found(resting, trigger, quantity, instrument)
    if kept is None:
        return (Submit(_target_order(position, instrument.covering(quantity), trigger, price)),)
    return _others_out(resting, kept)


def _stop_order(trade: Trade, position: Position, trigger: Decimal, rules: Rules) -> OrderIntent:
    return OrderIntent(
        "",
        position.symbol,
        Side.of(position.quantity).opposite,
        rules.instruments[position.symbol].covering(abs(position.quantity)),
        Role.STOP_LOSS,
        OrderType.STOP_MARKET,
        trigger=trigger,
        reduce_only=True,
        expected=trigger,
        reason=stop_reason(trade, position, trigger, rules.instruments[position.symbol], rules.exits),
    )


def _net_order(position: Position, trigger: Decimal) -> OrderIntent:
    return OrderIntent(
        "",
        position.symbol,
        Side.of(position.quantity).opposite,
        ZERO,
        Role.NET_STOP,
        OrderType.STOP_MARKET,
        trigger=trigger,
        close_position=True,
        expected=trigger,
        reason=ExitReason.STOP_LOSS,
    )


def _target_order(position: Position, quantity: Decimal, trigger: Decimal | None, price: Decimal) -> OrderIntent:
    return OrderIntent(
        "",
        position.symbol,
        Side.of(position.quantity).opposite,
        quantity,
        Role.TAKE_PROFIT,
        OrderType.MARKET if trigger is None else OrderType.TAKE_PROFIT_MARKET,
        trigger=trigger,
        reduce_only=True,
        expected=price,
        reason=ExitReason.TAKE_PROFIT if quantity >= abs(position.quantity) else ExitReason.PARTIAL,
    )


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
    for action in actions:
        if isinstance(action, Cancel):
            yield action
            continue
        intent = action.intent
        yield Submit(intent.named(name_of(intent, state.ts, number)))
        number += 1
