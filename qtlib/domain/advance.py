"""How each event changes the state of trading: pure, one function a kind of event.

`state = advance(state, event)` is the only way state changes, in backtest and live alike. The journal stores the
events, so the state of any moment is a fold over a prefix of the journal.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from qtlib.domain.commands import Outcome, Verb
from qtlib.domain.decisions import Target
from qtlib.domain.events import (
    END_OF_DATA,
    INSURANCE_CLEAR,
    START_UP,
    BarClosed,
    CashCorrected,
    CashMoved,
    CommandAnswered,
    DecisionMade,
    Event,
    FactsRead,
    Filled,
    FundingPaid,
    LimitsSet,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
    ProtectionOverdue,
    SessionClosed,
    SessionOpened,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.learned import FeaturesSeen, ModelChanged, Realized, RetrainBegun, RetrainEnded
from qtlib.domain.market import Bar
from qtlib.domain.orders import ZERO, ExitReason, Fill, Order, OrderStatus, Role
from qtlib.domain.state import Brake, State, Trade, strictness
from qtlib.domain.universe import UniverseChanged
from qtlib.domain.values import changed


def advance(state: State, event: Event) -> State:
    """The state after `event`."""
    after: State = _ADVANCE[type(event)](state, event)
    return after


def _bar_closed(state: State, event: BarClosed) -> State:
    ts, bars, before = event.ts, event.bars, state.ts
    prices = {**state.prices, **{symbol: bar.close for symbol, bar in bars.items()}, **event.marks}
    equity, targets, trades = state.account.equity(prices), state.targets, state.trades
    if targets and ts > before:
        targets = _leaving(state)  # an entry is wished at the price of its bar, and of no later one
    if trades:
        trades = {symbol: _seen(trade, bars.get(symbol), state) for symbol, trade in trades.items()}
    dawn = ts.date() != before.date()
    after = changed(
        state,
        ts=ts if ts > before else before,
        prices=prices,
        peak_equity=equity if equity > state.peak_equity else state.peak_equity,
        day_equity=equity if dawn else state.day_equity,
        day_fees=ZERO if dawn else state.day_fees,
        targets=targets,
        trades=trades,
    )
    return after.valued(equity)


def _seen(trade: Trade, bar: Bar | None, state: State) -> Trade:
    """`trade`, with its extremes widened by a bar that closed after it opened."""
    if bar is None or bar.ts <= trade.opened or (trade.worst <= bar.low and bar.high <= trade.best):
        return trade
    long = state.account.positions[trade.symbol].quantity > 0
    best = max(trade.best, bar.high) if long else min(trade.best, bar.low)
    worst = min(trade.worst, bar.low) if long else max(trade.worst, bar.high)
    return trade if (best, worst) == (trade.best, trade.worst) else trade.but(best=best, worst=worst)


def _decision_made(state: State, event: DecisionMade) -> State:
    wanted, targets, decided = event.decision.targets, state.targets, state.decided
    idle = None if wanted or state.account.positions else state.idle_since or event.ts
    if targets or wanted:
        targets = {**_leaving(state), **wanted}
    grown = state.grown and tuple(s for s in state.grown if s in state.trades and state.trades[s].naked_since)
    after = changed(state, decided=max(decided, event.ts), grown=grown, idle_since=idle, targets=targets)
    return after.valued(state.equity)


def _leaving(state: State) -> dict[str, Target]:
    """The wishes that stand until they are done; an entry that is not renewed lapses."""
    return {symbol: target for symbol, target in state.targets.items() if not target.quantity}


def _order_requested(state: State, event: OrderRequested) -> State:
    order = Order(event.intent, since=event.ts)
    return state.but(orders={**state.orders, event.intent.client_id: order}, requests=state.requests + 1)


_TRADING = (Role.ENTRY, Role.EXIT)


def _order_changed(state: State, event: OrderChanged) -> State:
    order = state.orders.get(event.client_id)
    if order is None:
        return state
    intent = order.intent
    state = _with(state, Order(intent, event.status, order.filled, order.since))
    if event.status in (OrderStatus.REJECTED, OrderStatus.LOST) and intent.role in _TRADING:
        state = state.but(order_errors=state.order_errors + 1)  # a stop that is refused is answered by an exit
    if event.status.working:
        return _sheltered(state, intent.symbol, event.ts)
    if intent.role is Role.ENTRY and event.status is not OrderStatus.LOST:
        state = _content(state, intent.symbol)
    trade = state.trades.get(intent.symbol)
    protects = intent.role.protects and intent.side.sign * state.account.position(intent.symbol).quantity < 0
    if trade and protects and event.status is OrderStatus.REJECTED:
        state = _tracking(state, trade.but(refused=(*trade.refused, intent.role)))
    elif trade and intent.role is Role.TAKE_PROFIT and order.filled:
        state = _tracking(state, trade.but(partial_taken=True))  # as much of it as there was to have
    return _sheltered(state, intent.symbol, event.ts)


def _filled(state: State, event: Filled) -> State:
    fill, before = event.fill, state.account.position(event.fill.symbol)
    account = state.account.after(fill)
    after = account.position(fill.symbol)
    order, trade = state.orders.get(fill.client_id), state.trades.get(fill.symbol)
    earned = account.cash - state.account.cash
    net = earned if trade is None else trade.net + earned
    state = state.but(account=account, day_fees=state.day_fees + fill.fee)
    if event.ts > state.ts or fill.symbol not in state.prices:  # it knows better than the last bar
        state = state.but(prices={**state.prices, fill.symbol: float(fill.price)})
    if order is not None:
        state = _with(state, order.after(fill))
        if state.order_errors and order.intent.role in _TRADING:
            state = state.but(order_errors=0)

    if not after.quantity:
        state = _without_trade(_counted(state, trade, net, event.ts), fill.symbol, event.ts)
    elif trade is None or not before.quantity * after.quantity > 0:  # opened, or turned over
        state = _grown(_tracking(_counted(state, trade, net, event.ts), _opened(fill, order, event.ts)), fill.symbol)
    elif abs(after.quantity) < abs(before.quantity):
        done = order is not None and order.after(fill).status is OrderStatus.FILLED
        taken = done and order is not None and order.intent.role is Role.TAKE_PROFIT
        kept = trade.funding * after.quantity / before.quantity
        state = _tracking(state, trade.but(partial_taken=trade.partial_taken or taken, funding=kept, net=net))
    else:
        bought = trade.but(net=net, notional=trade.notional + fill.quantity * fill.price)
        state = _grown(_tracking(state, bought), fill.symbol)
    if abs(after.quantity) < abs(before.quantity):
        state = _content(state, fill.symbol)
    return _sheltered(state, fill.symbol, event.ts)


def _grown(state: State, symbol: str) -> State:
    return state if symbol in state.grown else state.but(grown=(*state.grown, symbol))


def _counted(state: State, ended: Trade | None, net: Decimal, ts: datetime) -> State:
    """`state` after a trade ended with `net`; one that was found, not opened, counts neither way."""
    if ended is None or ended.recovered:
        return state
    r, realized = ended.r_of(net), None
    if ended.decided and ended.confidence is not None and r is not None:
        realized = Realized(ended.decided, ended.confidence, r)
    learning = state.learning.counted(ts, ended.model_version, realized)
    if net < 0:
        return state.but(learning=learning, losses_in_row=state.losses_in_row + 1, lost=ts)
    return state.but(learning=learning, losses_in_row=0)


def _opened(fill: Fill, order: Order | None, ts: datetime) -> Trade:
    price = float(fill.price)
    intent = order.intent if order and order.intent.role is not Role.FOREIGN else None
    return Trade(
        trade_id=fill.client_id,
        symbol=fill.symbol,
        opened=ts,
        best=price,
        worst=price,
        exits=intent.exits if intent else None,
        confidence=intent.confidence if intent else None,
        model_version=intent.model_version if intent else "",
        decided=order.since if order and intent else None,
        notional=fill.quantity * fill.price,
        recovered=intent is None,
        net=-fill.fee,
    )


def _adopted(state: State, event: PositionAdopted) -> State:
    position = event.position
    known = state.account.position(position.symbol)
    state = state.but(account=state.account.holding(position))
    if event.price is not None:
        state = state.but(prices={**state.prices, position.symbol: event.price})
    if not position.quantity:
        return _without_trade(state, position.symbol, event.ts)
    if known.quantity * position.quantity > 0:  # corrected: what we know of the trade still holds
        return _sheltered(_content(state, position.symbol), position.symbol, event.ts)
    price = float(position.entry_price)
    found = Trade(
        trade_id=f"found-{position.symbol}-{event.ts:%Y%m%dT%H%M%S}",
        symbol=position.symbol,
        opened=event.ts,
        best=price,
        worst=price,
        exits=event.exits,
        recovered=True,
    )
    state = state.but(prices={position.symbol: price, **state.prices})
    return _sheltered(_content(_tracking(state, found), position.symbol), position.symbol, event.ts)


def _with(state: State, order: Order) -> State:
    """`state` with `order` as it is now; an order that no longer works leaves."""
    orders = {**state.orders, order.intent.client_id: order}
    if not order.status.working:
        del orders[order.intent.client_id]
    return state.but(orders=orders)


def _tracking(state: State, trade: Trade) -> State:
    return state.but(trades={**state.trades, trade.symbol: trade})


def _without_trade(state: State, symbol: str, ts: datetime) -> State:
    trades = {s: trade for s, trade in state.trades.items() if s != symbol}
    return _content(state.but(trades=trades, left={**state.left, symbol: ts}), symbol)


def _content(state: State, symbol: str) -> State:
    """`state` wishing no more than it has: a wish is made once, and a stop that fired is not bought back."""
    if symbol not in state.targets:
        return state
    return state.but(targets={s: target for s, target in state.targets.items() if s != symbol})


def _sheltered(state: State, symbol: str, ts: datetime) -> State:
    """`state` knowing since when, if at all, the position in `symbol` lacks a confirmed stop of its full size."""
    trade = state.trades.get(symbol)
    if trade is None:
        return state
    size = abs(state.account.positions[symbol].quantity)
    covered = any(
        o.status is OrderStatus.OPEN and o.intent.role is Role.STOP_LOSS and o.remaining >= size
        for o in state.orders.values()
        if o.intent.symbol == symbol
    )
    if covered == (trade.naked_since is None):
        return state
    return _tracking(state, trade.but(naked_since=None if covered else ts, overdue=trade.overdue and not covered))


def _overdue(state: State, event: ProtectionOverdue) -> State:
    trade = state.trades.get(event.symbol)
    return state if trade is None else _tracking(state, trade.but(overdue=True))


def _moved(state: State, event: CashMoved | CashCorrected) -> State:
    moved = state.but(account=state.account.with_cash(event.amount))
    if isinstance(event, CashMoved) and event.reason == INSURANCE_CLEAR:
        return moved
    # what was paid in is no profit, and what was taken out no drawdown; what is missing unexplained counts as lost
    amount = max(ZERO, event.amount) if isinstance(event, CashCorrected) else event.amount
    return moved.but(peak_equity=max(ZERO, state.peak_equity + amount), day_equity=max(ZERO, state.day_equity + amount))


def _funded(state: State, event: FundingPaid) -> State:
    paid = state.but(account=state.account.with_cash(event.amount))
    trade = state.trades.get(event.symbol)
    if trade is None:
        return paid
    return _tracking(paid, trade.but(funding=trade.funding + event.amount, net=trade.net + event.amount))


def _learned(state: State, event: RetrainBegun | RetrainEnded | ModelChanged) -> State:
    return state.but(learning=state.learning.after(event))


def _status_set(state: State, event: StatusSet) -> State:
    """The engine's own word never takes the place of a brake that is as strict."""
    if event.cause == END_OF_DATA:
        return state.but(status=event.status, cause=event.cause)
    if state.brake and state.brake.strictness >= strictness(event.status):
        return state.but(status=state.brake.status, cause=state.brake.cause)
    if event.by.startswith(START_UP):  # until the next session has looked again
        return state.but(status=event.status, cause=event.cause)
    return _braked(state, Brake(event.status, event.cause, event.by, event.ts, state.equity))


def _command_answered(state: State, event: CommandAnswered) -> State:
    command = event.command
    if event.outcome is Outcome.DONE and command.verb in _DOES:
        return _DOES[command.verb](state, event)
    if event.status is None:
        return state
    state = _braked(state, Brake(event.status, event.words, command.by, event.answered, state.equity, command.verb))
    if command.verb is Verb.REARM:  # somebody looked at it: what they start again from is what there is
        state = state.but(peak_equity=state.equity, order_errors=0)
    return state


def _close(state: State, event: CommandAnswered) -> State:
    if event.command.symbol not in state.trades:
        return state
    leaving = Target(event.command.symbol, ZERO, reason=ExitReason.FLATTEN, ts=state.ts)
    return state.but(targets={**state.targets, leaving.symbol: leaving})


def _tightened(state: State, event: CommandAnswered) -> State:
    trade = state.trades.get(event.command.symbol)
    return state if trade is None else _tracking(state, trade.but(tightened=event.command.price))


_DOES: dict[Verb, Callable[[State, CommandAnswered], State]] = {
    Verb.RETRAIN: lambda state, event: state.but(learning=replace(state.learning, asked=event.command.by)),
    Verb.CLOSE: _close,
    Verb.TIGHTEN: _tightened,
    Verb.LIMITS: lambda state, event: state.but(limits=event.limits or state.limits),
    Verb.STOP: lambda state, event: state.but(ending=event.command.by),
}


def _braked(state: State, brake: Brake) -> State:
    free = brake.status is TradingStatus.ACTIVE
    return state.but(status=brake.status, cause=brake.cause, brake=None if free else brake)


def _limits_set(state: State, event: LimitsSet) -> State:
    return state.but(limits=event)


def _facts_read(state: State, event: FactsRead) -> State:
    """What was refused of an instrument that was listed otherwise may be asked for again."""
    before, now = state.facts.instruments if state.facts else {}, event.instruments
    again = {s: t.but(refused=()) for s, t in state.trades.items() if t.refused and before.get(s) != now.get(s)}
    return state.but(facts=event, trades={**state.trades, **again} if again else state.trades)


def _universe_changed(state: State, event: UniverseChanged) -> State:
    return state.but(universe=event)


def _session_opened(state: State, event: SessionOpened) -> State:
    learning = replace(state.learning, enabled=event.learns)
    universe = state.universe if event.chooses else None
    return state.but(ending="", market=event.market or state.market, learning=learning, universe=universe)


def _unchanged(state: State, event: SessionClosed | FeaturesSeen) -> State:
    return state


_ADVANCE: dict[type, Any] = {
    SessionOpened: _session_opened,
    SessionClosed: _unchanged,
    FactsRead: _facts_read,
    CashMoved: _moved,
    CashCorrected: _moved,
    FundingPaid: _funded,
    BarClosed: _bar_closed,
    DecisionMade: _decision_made,
    OrderRequested: _order_requested,
    OrderChanged: _order_changed,
    Filled: _filled,
    PositionAdopted: _adopted,
    ProtectionOverdue: _overdue,
    StatusSet: _status_set,
    CommandAnswered: _command_answered,
    LimitsSet: _limits_set,
    UniverseChanged: _universe_changed,
    FeaturesSeen: _unchanged,
    RetrainBegun: _learned,
    RetrainEnded: _learned,
    ModelChanged: _learned,
}
