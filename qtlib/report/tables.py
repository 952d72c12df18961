"""A journal, folded into tables: the trades, the equity, the decisions, and the exact sums behind them.

Accounting is exact (Decimal); floats appear only in the frames. Nothing is counted twice and nothing is lost:

* every row of `trades` nets out: gross − fees + funding = net;
* Σ net + open P&L at the end − open P&L at the start = final − start equity − money moved in or out;
* *open P&L* is the unrealized profit of what is open, less the entry fees, plus the funding, that no row has taken yet.

A run that ends with open positions hands what they have cost so far to the next (`Tables.carried`), so the rows of a
history cut into runs add up to those of the history in one piece.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from qtlib.domain.account import Position, exact
from qtlib.domain.advance import advance
from qtlib.domain.events import (
    BarClosed,
    CashCorrected,
    CashMoved,
    DecisionMade,
    Event,
    Filled,
    FundingPaid,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
)
from qtlib.domain.market import Bar
from qtlib.domain.orders import ZERO, ExitReason, OrderIntent, Role
from qtlib.domain.state import State
from qtlib.report.columns import DECISIONS, EQUITY, LEVELS, TRADES, Carried, Summary, Tables
from qtlib.report.exits import Exit, exit_reason, number, resting


def tables(events: Iterable[Event], start: State | None = None, carried: Mapping[str, Carried] | None = None) -> Tables:
    """What `events`, in order, add up to, begun from `start` with what its open positions had cost by then.

    The fills of one closing order are one row. A row of `equity` shows what was true at its `ts`: it takes in every
    event up to that instant and none later.
    """
    books = _Books(start or State(), carried or {})
    for event in events:
        books.enter(event)
    return books.close()


def bars(events: Iterable[Event]) -> dict[str, pd.DataFrame]:
    """The bars that a journal saw, by symbol, indexed by their close."""
    seen: dict[str, list[Bar]] = {}
    for event in events:
        if isinstance(event, BarClosed):
            for symbol, bar in event.bars.items():
                seen.setdefault(symbol, []).append(bar)
    return {symbol: pd.DataFrame(rows, columns=list(Bar._fields)).set_index("ts") for symbol, rows in seen.items()}


# --- the books --------------------------------------------------------------------------------------------


class _Books:
    def __init__(self, start: State, carried: Mapping[str, Carried]) -> None:
        self.state = start
        self.carried = dict(carried)
        self.intents: dict[str, OrderIntent] = {name: order.intent for name, order in start.orders.items()}
        self.exits: list[Exit] = []
        self.last_exit: dict[str, Exit] = {}  # by symbol
        self.protection: dict[str, tuple[str, Decimal | None, Decimal | None]] = {}
        self.equity: tuple[list[Any], ...] = tuple([] for _ in EQUITY)
        self.decisions: tuple[list[Any], ...] = tuple([] for _ in DECISIONS)
        self.levels: tuple[list[Any], ...] = tuple([] for _ in LEVELS)
        self.start_equity = self.peak = _equity(start)
        self.open_pnl_start = self._open_pnl()
        self.begun = False
        self.row_ts: datetime | None = None  # of a bar whose row is not written yet
        self.last_ts = start.ts
        self.moves: list[tuple[datetime, Decimal]] = []
        self.slippage: Decimal | None = None
        self.naked_max: float | None = 0.0 if start.trades else None
        self.max_open = len(start.account.positions)
        self.max_gross = _gross_exposure(start)
        for symbol in start.trades:
            self._note_levels(symbol, start.ts)

    def enter(self, event: Event) -> None:
        kind = type(event)
        if self.row_ts is not None and (event.ts > self.row_ts or kind is BarClosed):
            self._equity_row(self.row_ts)
        before, self.state = self.state, advance(self.state, event)
        self.last_ts = max(self.last_ts, event.ts)
        entry = _ENTRIES.get(kind)
        if entry is not None:
            entry(self, event, before)

    def close(self) -> Tables:
        if self.row_ts is not None:
            self._equity_row(self.row_ts)
        for trade in self.state.trades.values():
            if trade.naked_since is not None:
                self._naked(trade.naked_since, self.last_ts)
        summary = Summary(
            start_equity=self.start_equity,
            final_equity=_equity(self.state),
            open_pnl_start=self.open_pnl_start,
            open_pnl=self._open_pnl(),
            gross_pnl=sum((e.gross for e in self.exits), ZERO),
            fees=sum((e.fees for e in self.exits), ZERO),
            funding=sum((e.carried.funding for e in self.exits), ZERO),
            moves=tuple(self.moves),
            slippage=self.slippage,
            naked_seconds_max=self.naked_max,
            max_open_positions=self.max_open,
            max_gross_exposure=self.max_gross,
        )
        rows = [e.values() for e in sorted(self.exits, key=lambda e: e.ts)]
        return Tables(
            trades=_frame(tuple(zip(*rows, strict=True)) or tuple(() for _ in TRADES), TRADES),
            equity=_frame(self.equity, EQUITY),
            decisions=_frame(self.decisions, DECISIONS),
            levels=_frame(self.levels, LEVELS),
            summary=summary,
            carried={s: c for s, c in self.carried.items() if s in self.state.account.positions},
            state=self.state,
        )

    # what each kind of event adds

    def bar_closed(self, event: BarClosed, before: State) -> None:
        self.begun = True
        self.row_ts = event.ts

    def decision_made(self, event: DecisionMade, before: State) -> None:
        for v in event.decision.verdicts:
            wanted, allowed = v.wanted_notional, v.allowed_notional
            row = (event.ts, v.symbol, v.choice.value, v.reason.value, v.rule, wanted, allowed, v.confidence, v.score)
            _append(self.decisions, row)

    def order_requested(self, event: OrderRequested, before: State) -> None:
        self.intents[event.intent.client_id] = event.intent

    def order_changed(self, event: OrderChanged, before: State) -> None:
        if event.client_id in before.orders:
            self._watch(before.orders[event.client_id].intent.symbol, event.ts, before)

    def filled(self, event: Filled, before: State) -> None:
        self.begun = True
        fill, symbol = event.fill, event.fill.symbol
        held = before.account.position(symbol)
        intent = self.intents.get(fill.client_id)
        if intent is not None and intent.expected is not None:
            cost = fill.side.sign * (fill.price - intent.expected) * fill.quantity
            self.slippage = (self.slippage or ZERO) + cost

        against = held.quantity * fill.side.sign < 0
        closed = min(fill.quantity, abs(held.quantity)) if against else ZERO
        exit_fee = fill.fee if closed == fill.quantity else fill.fee * closed / fill.quantity
        if closed:
            row = self._exit(held, fill.client_id, intent, fill.ts, before)
            self._take(row, closed, held)
            row.reason = exit_reason(fill.client_id, intent, remains=closed < abs(held.quantity))
            row.exit_value = (row.exit_value or ZERO) + fill.price * closed
            row.gross += held.after(fill)[1]
            row.exit_fees += exit_fee
        if closed < fill.quantity:  # an opening part
            self.carried[symbol] = self._carried(symbol) + Carried(fees=fill.fee - exit_fee)
        self._watch(symbol, event.ts, before)

    def funded(self, event: FundingPaid, before: State) -> None:
        self.begun = True
        paid = Carried(funding=event.amount)
        if event.symbol in before.account.positions:
            self.carried[event.symbol] = self._carried(event.symbol) + paid
        elif event.symbol in self.last_exit:  # settled just before the close, heard of just after
            self.last_exit[event.symbol].carried += paid
        else:  # for a position that an earlier run closed
            self.moves.append((event.ts, event.amount))

    def moved(self, event: CashMoved | CashCorrected, before: State) -> None:
        if isinstance(event, CashMoved) and event.reason == "insurance_clear" and self._forgiven(event.amount):
            return
        self.peak = max(ZERO, self.peak + event.amount)
        if self.begun:
            self.moves.append((event.ts, event.amount))
        else:
            self.start_equity += event.amount

    def _forgiven(self, amount: Decimal) -> bool:
        """Book what the venue's insurance bore of a liquidation with it: a loss ends where the wallet does."""
        row = self.exits[-1] if self.exits else None
        if row is None or row.reason != ExitReason.LIQUIDATION.value:
            return False
        row.gross += amount
        return True

    def adopted(self, event: PositionAdopted, before: State) -> None:
        """A part that vanished leaves a row without an exit price: nobody knows what it brought."""
        self.begun = True
        symbol = event.position.symbol
        held, now = before.account.position(symbol), event.position.quantity
        gone = abs(held.quantity) if held.quantity * now <= 0 else max(ZERO, abs(held.quantity) - abs(now))
        if gone:
            row = self._exit(held, event.key, None, event.ts, before)
            self._take(row, gone, held)
            row.exit_value = None
        self._watch(symbol, event.ts, before)

    # how it is booked

    def _exit(self, held: Position, order: str, intent: OrderIntent | None, ts: datetime, before: State) -> Exit:
        """The row for a fill of `order`: the last one of its trade if that order made it, else a new one."""
        symbol, trade = held.symbol, before.trades[held.symbol]
        row = self.last_exit.get(symbol)
        if row is not None and (row.order, row.trade.trade_id) == (order, trade.trade_id):
            row.trade, row.ts = trade, ts
            return row
        stop, target = resting(before, symbol)
        if intent is not None and intent.role is Role.STOP_LOSS and intent.trigger is not None:
            stop = intent.trigger
        row = Exit(trade, order, held.quantity > 0, ExitReason.FLATTEN.value, ts, stop, target)
        self.exits.append(row)
        self.last_exit[symbol] = row
        return row

    def _take(self, row: Exit, closed: Decimal, held: Position) -> None:
        """Move the closed part, and its share of entry fees and funding, from what is open to its row."""
        carried = self._carried(held.symbol)
        share = carried.share(closed, abs(held.quantity))
        self.carried[held.symbol] = carried - share
        row.carried += share
        row.quantity += closed
        row.entry_value += held.entry_price * closed

    def _carried(self, symbol: str) -> Carried:
        return self.carried.get(symbol) or Carried()

    def _open_pnl(self) -> Decimal:
        carried = [self._carried(symbol) for symbol in self.state.account.positions]
        return _unrealized(self.state) + sum((c.funding - c.fees for c in carried), ZERO)

    def _equity_row(self, ts: datetime) -> None:
        account, equity = self.state.account, _equity(self.state)
        self.peak = max(self.peak, equity)
        drawdown = float(1 - equity / self.peak) if self.peak > 0 else 0.0
        exposure = float(_gross_exposure(self.state))
        _append(self.equity, (ts, float(equity), float(account.cash), drawdown, exposure, len(account.positions)))
        self.row_ts = None

    # what is watched between bars

    def _watch(self, symbol: str, ts: datetime, before: State) -> None:
        was, trade = before.trades.get(symbol), self.state.trades.get(symbol)
        if trade is not None and self.naked_max is None:
            self.naked_max = 0.0
        if was is not None and was.naked_since is not None and (trade is None or trade.naked_since != was.naked_since):
            self._naked(was.naked_since, ts)
        self.max_open = max(self.max_open, len(self.state.account.positions))
        self.max_gross = max(self.max_gross, _gross_exposure(self.state))
        self._note_levels(symbol, ts)

    def _naked(self, since: datetime, until: datetime) -> None:
        self.naked_max = max(self.naked_max or 0.0, (until - since).total_seconds())

    def _note_levels(self, symbol: str, ts: datetime) -> None:
        trade = self.state.trades.get(symbol)
        now = ("", None, None) if trade is None else (trade.trade_id, *resting(self.state, symbol))
        if now != self.protection.get(symbol, ("", None, None)):
            self.protection[symbol] = now
            _append(self.levels, (ts, symbol, now[0], number(now[1]), number(now[2])))


_ENTRIES: dict[type, Any] = {
    BarClosed: _Books.bar_closed,
    DecisionMade: _Books.decision_made,
    OrderRequested: _Books.order_requested,
    OrderChanged: _Books.order_changed,
    Filled: _Books.filled,
    FundingPaid: _Books.funded,
    CashMoved: _Books.moved,
    CashCorrected: _Books.moved,
    PositionAdopted: _Books.adopted,
}


def _unrealized(state: State) -> Decimal:
    """Open profit; a position in a symbol that never had a price is worth its entry."""
    prices = state.prices
    positions = state.account.positions.items()
    return sum((p.unrealized(exact(prices[symbol])) for symbol, p in positions if symbol in prices), ZERO)


def _equity(state: State) -> Decimal:
    return state.account.cash + _unrealized(state)


def _gross_exposure(state: State) -> Decimal:
    return sum((position.cost for position in state.account.positions.values()), ZERO)


def _append(columns: tuple[list[Any], ...], row: tuple[Any, ...]) -> None:
    for column, value in zip(columns, row, strict=True):
        column.append(value)


def _frame(columns: tuple[Any, ...], types: Mapping[str, str]) -> pd.DataFrame:
    named = zip(types.items(), columns, strict=True)
    return pd.DataFrame({name: pd.Series(list(values), dtype=kind) for (name, kind), values in named})
