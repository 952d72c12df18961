"""Journal against exchange: where they disagree, and what follows.

The exchange is right about what is open and held; the journal is right about why. What the journal cannot explain is
adopted with a stop before anything else happens; good state is never overwritten. Events the venue still had to tell
were absorbed before: what is left here is what no event explains. Orders of others are counted and left alone.
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from qtlib.domain.account import Account, Position
from qtlib.domain.events import (
    CashCorrected,
    CashMoved,
    Event,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.naming import PREFIX
from qtlib.domain.orders import ExitSource, OrderIntent, OrderStatus, Role
from qtlib.domain.state import ExchangeSnapshot, State
from qtlib.rules.rules import Rules, Strangers
from qtlib.rules.tpsl import static_plan

NOISE_FRAC = Decimal("1e-8")  # of an entry price: venues average with fewer digits than we do
OPENING = "opening balance"
NOISE_QUOTE = Decimal("0.0001")  # of a wallet: venues round each profit and fee


def reconcile(state: State, there: ExchangeSnapshot, rules: Rules) -> Iterator[Event]:
    """The events that bring `state` into line with the exchange; none when they agree."""
    yield from _orders(state, there)
    adopted = list(_positions(state, there, rules))
    yield from adopted
    if state.account == Account() and there.cash:  # the journal knows of nothing yet
        yield CashMoved(there.ts, there.cash, OPENING, OPENING)
    elif abs(there.cash - state.account.cash) > NOISE_QUOTE:
        yield CashCorrected(there.ts, there.cash - state.account.cash)
    strange = [f"order {client_id} is not ours" for client_id in sorted(there.orders) if _is_new(client_id, state)]
    strange += [f"{event.position.symbol}: {event.evidence}" for event in adopted]
    yield from _status(state, there, strange, rules)


def _is_new(client_id: str, state: State) -> bool:
    """Whether an order of somebody else is seen for the first time."""
    return client_id not in state.orders and not client_id.startswith(PREFIX)


def _status(state: State, there: ExchangeSnapshot, strange: list[str], rules: Rules) -> Iterator[StatusSet]:
    """What policy makes of what is strange; what nothing is known of can't be protected, and lets nothing grow."""
    unlisted = sorted(there.positions.keys() - rules.instruments.keys())
    bare = [f"{symbol} is held, and this session has no facts about it" for symbol in unlisted]
    if strange and rules.strangers is Strangers.HALT and state.status is not TradingStatus.HALTED:
        yield StatusSet(there.ts, TradingStatus.HALTED, "; ".join([*strange, *bare]))
    elif (bare or (strange and rules.strangers is Strangers.REDUCE)) and state.status is TradingStatus.ACTIVE:
        causes = [*strange, *bare] if rules.strangers is Strangers.REDUCE else bare
        yield StatusSet(there.ts, TradingStatus.REDUCING, "; ".join(causes))


def _orders(state: State, there: ExchangeSnapshot) -> Iterator[Event]:
    for client_id, order in state.orders.items():
        if order.status is OrderStatus.PENDING:  # not there, it may be on its way: the exchange says when it is lost
            if client_id in there.orders:
                yield OrderChanged(there.ts, client_id, OrderStatus.OPEN)
        elif client_id not in there.orders:
            yield OrderChanged(there.ts, client_id, OrderStatus.CANCELED, "it is gone at the exchange")
    for client_id, intent in there.orders.items():
        if client_id not in state.orders:  # of a journal that was lost, or somebody else's
            ours = client_id.startswith(PREFIX)
            yield from _taken_over(intent if ours else replace(intent, role=Role.FOREIGN), there)


def _taken_over(intent: OrderIntent, there: ExchangeSnapshot) -> Iterator[Event]:
    yield OrderRequested(there.ts, intent)
    yield OrderChanged(there.ts, intent.client_id, OrderStatus.OPEN)


def _positions(state: State, there: ExchangeSnapshot, rules: Rules) -> Iterator[PositionAdopted]:
    known = state.account.positions
    for symbol, found in sorted(there.positions.items()):
        ours = known.get(symbol, Position(symbol))
        if (
            found.quantity != ours.quantity
            or abs(found.entry_price - ours.entry_price) > NOISE_FRAC * found.entry_price
        ):
            evidence = f"the exchange holds {_words(found)}, the journal {_words(ours)}"
            exits = static_plan(rules.exits, ExitSource.RECOVERED)
            yield PositionAdopted(there.ts, found, exits, evidence, there.prices.get(symbol))
    for symbol in sorted(known.keys() - there.positions.keys()):
        yield PositionAdopted(
            there.ts, Position(symbol), None, f"the exchange holds none, the journal {_words(known[symbol])}"
        )


def _words(position: Position) -> str:
    return f"{position.quantity} at {position.entry_price}" if position.quantity else "none"
