"""Journal against exchange: where they disagree, and what follows.

The exchange is right about what is open and held; the journal is right about why. What the journal cannot explain is
adopted with a stop before anything else happens; good state is never overwritten. Events the venue still had to tell
were absorbed before: what is left here is what no event explains.
"""

from collections.abc import Iterator
from decimal import Decimal

from qtlib.domain.account import Position
from qtlib.domain.orders import ExitSource, OrderIntent, OrderStatus
from qtlib.domain.state import (
    CashCorrected,
    Event,
    ExchangeSnapshot,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
    State,
    StatusSet,
    TradingStatus,
)
from qtlib.rules.plan import PREFIX
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import static_plan

NOISE_FRAC = Decimal("1e-8")  # of an entry price: venues average with fewer digits than we do


def reconcile(state: State, there: ExchangeSnapshot, rules: Rules) -> Iterator[Event]:
    """The events that bring `state` into line with the exchange; none when they agree."""
    yield from _orders(state, there)
    yield from _positions(state, there, rules)
    if there.cash != state.account.cash:
        yield CashCorrected(there.ts, there.cash - state.account.cash)
    foreign = sorted(i.client_id for i in there.orders.values() if not i.client_id.startswith(PREFIX))
    unlisted = sorted(there.positions.keys() - rules.instruments.keys())
    strange = [f"order {client_id} is not ours" for client_id in foreign]
    strange += [f"{symbol} is held, and this session has no facts about it" for symbol in unlisted]
    if strange and state.status is TradingStatus.ACTIVE:
        yield StatusSet(there.ts, TradingStatus.REDUCING, "; ".join(strange))


def _orders(state: State, there: ExchangeSnapshot) -> Iterator[Event]:
    for client_id, order in state.orders.items():
        if order.status is OrderStatus.PENDING:  # not there, it may be on its way: the exchange says when it is lost
            if client_id in there.orders:
                yield OrderChanged(there.ts, client_id, OrderStatus.OPEN)
        elif client_id not in there.orders:
            yield OrderChanged(there.ts, client_id, OrderStatus.CANCELED, "it is gone at the exchange")
    for client_id, intent in there.orders.items():
        if client_id not in state.orders and client_id.startswith(PREFIX):  # ours, of a journal that was lost
            yield from _taken_over(intent, there)


def _taken_over(intent: OrderIntent, there: ExchangeSnapshot) -> Iterator[Event]:
    yield OrderRequested(there.ts, intent)
    yield OrderChanged(there.ts, intent.client_id, OrderStatus.OPEN)


def _positions(state: State, there: ExchangeSnapshot, rules: Rules) -> Iterator[Event]:
    known = state.account.positions
    for symbol, found in sorted(there.positions.items()):
        ours = known.get(symbol, Position(symbol))
        if (
            found.quantity != ours.quantity
            or abs(found.entry_price - ours.entry_price) > NOISE_FRAC * found.entry_price
        ):
            evidence = f"the exchange holds {_words(found)}, the journal {_words(ours)}"
            yield PositionAdopted(there.ts, found, static_plan(rules.exits, ExitSource.RECOVERED), evidence)
    for symbol in sorted(known.keys() - there.positions.keys()):
        yield PositionAdopted(
            there.ts, Position(symbol), None, f"the exchange holds none, the journal {_words(known[symbol])}"
        )


def _words(position: Position) -> str:
    return f"{position.quantity} at {position.entry_price}" if position.quantity else "none"
