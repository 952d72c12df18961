"""Journals made by hand and by dice: what an engine and a venue would have written, without either of them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
from builders import HOUR, T0

from qtlib.domain.account import Position
from qtlib.domain.advance import advance
from qtlib.domain.decisions import Choice, Decision, Reason, Target, Verdict
from qtlib.domain.events import (
    START,
    BarClosed,
    CashMoved,
    DecisionMade,
    Filled,
    FundingPaid,
    OrderChanged,
    OrderRequested,
)
from qtlib.domain.market import Bar
from qtlib.domain.orders import (
    ExitPlan,
    ExitReason,
    ExitSource,
    Fill,
    OrderIntent,
    OrderStatus,
    OrderType,
    Role,
    Side,
)
from qtlib.domain.state import State

D = Decimal
PLAN = ExitPlan(stop_frac=0.02, take_profit_frac=0.03, partial_frac=0.3, profile="one_r", source=ExitSource.STATIC)
DEPOSIT = CashMoved(START, D(10_000), "deposit", "deposit-0")


def a_close(ts, **prices):
    """A bar of each named symbol that did not move."""
    return BarClosed(ts, {symbol: Bar(ts, p, p, p, p, 1e6) for symbol, p in prices.items()})


def a_request(name, symbol, side, quantity, role=Role.ENTRY, ts=T0, **more):
    kind = OrderType.STOP_MARKET if role in (Role.STOP_LOSS, Role.NET_STOP) else OrderType.MARKET
    kind = OrderType.LIMIT if role is Role.TAKE_PROFIT else kind
    intent = OrderIntent(name, symbol, side, D(str(quantity)), role, more.pop("type", kind), **more)
    return OrderRequested(ts, intent)


def a_fill(name, symbol, side, quantity, price, fee="0", ts=T0, fill_id=None):
    fill_id = fill_id or f"{name}-{ts.isoformat()}-{quantity}-{price}"
    return Filled(ts, Fill(fill_id, name, symbol, side, D(str(quantity)), D(str(price)), D(str(fee)), ts))


def fold(events, state=None):
    state = state or State()
    for event in events:
        state = advance(state, event)
    return state


def made_journal(
    bars=400, seed=0, symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"), entry_rate=0.03, max_positions=3
):
    """`bars` hours of a careless trader: entries by dice, partials, stops that tighten, funding, refusals."""
    return _Dice(seed, symbols, entry_rate, max_positions).live(bars)


class _Dice:
    def __init__(self, seed, symbols, entry_rate, max_positions):
        self.rng = np.random.default_rng(seed)
        self.symbols, self.entry_rate, self.max_positions = symbols, entry_rate, max_positions
        self.state, self.events, self.names = State(), [], 0
        starts = (60_000.0, 3_000.0, 140.0, 2.2, 18.0)
        self.prices = dict(zip(symbols, starts, strict=False))

    def live(self, bars):
        self.tell(DEPOSIT)
        for n in range(1, bars + 1):
            ts = T0 + n * HOUR
            closed = {s: self.bar(s, ts) for s in self.symbols}
            for symbol in list(self.state.account.positions):
                self.reach(symbol, closed[symbol], ts)
            if ts.hour % 8 == 0:
                for symbol, p in list(self.state.account.positions.items()):
                    amount = -p.quantity * D(str(round(closed[symbol].close, 4))) * D("0.0001")
                    self.tell(FundingPaid(ts, symbol, amount, 0.0001))
            self.tell(BarClosed(ts, closed))
            self.decide(ts)
            for symbol in list(self.state.account.positions):
                self.ratchet(symbol, ts)
        return self.events

    def tell(self, event):
        self.events.append(event)
        self.state = advance(self.state, event)

    def bar(self, symbol, ts):
        open_ = self.prices[symbol]
        path = open_ * np.exp(np.cumsum(self.rng.normal(0, 0.003, 6)))
        self.prices[symbol] = float(path[-1])
        return Bar(ts, open_, float(max(open_, path.max())), float(min(open_, path.min())), float(path[-1]), 1e6)

    def name(self):
        self.names += 1
        return f"qt-{self.names:06d}"

    def order(self, symbol, side, quantity, role, ts, price=None, **more):
        """Ask for an order; without a trigger or a limit it fills at once, split in two now and then."""
        name = self.name()
        self.tell(a_request(name, symbol, side, quantity, role, ts, **more))
        if price is None:
            self.tell(OrderChanged(ts, name, OrderStatus.OPEN))
            return name
        self.fill(name, symbol, side, quantity, price, ts)
        return name

    def fill(self, name, symbol, side, quantity, price, ts):
        price = D(f"{price:.5g}") if price < 100_000 else D(str(round(price, 1)))
        first = (quantity / 3).quantize(D("0.00001")) if self.rng.random() < 0.3 else D(0)
        for part in (first, quantity - first):
            if part:
                self.tell(a_fill(name, symbol, side, part, price, part * price * D("0.0005"), ts, self.name()))

    def decide(self, ts):
        verdicts, targets, entries = [], {}, []
        for symbol in self.symbols:
            confidence, score = float(self.rng.uniform(0.4, 0.95)), float(self.rng.uniform(-1, 1))
            if symbol in self.state.account.positions:
                verdict = Verdict(symbol, Choice.HOLD, confidence=confidence, score=score)
            elif self.rng.random() > self.entry_rate:
                verdict = Verdict(symbol, Choice.REFUSED, Reason.LOW_CONFIDENCE, "", 0.0, 0.0, confidence, score)
            elif len(self.state.account.positions) + len(entries) >= self.max_positions:
                verdict = Verdict(symbol, Choice.REFUSED, Reason.POSITION_LIMIT, "", 150.0, 0.0, confidence, score)
            else:
                verdict = Verdict(symbol, Choice.ENTER, Reason.NONE, "", 180.0, 150.0, confidence, score)
                entries.append((symbol, score, confidence))
            verdicts.append(verdict)
        for symbol, score, confidence in entries:
            quantity = D(str(round(150 / self.prices[symbol], 5))) * (1 if score > 0 else -1)
            targets[symbol] = Target(symbol, quantity, exits=PLAN, confidence=confidence, ts=ts)
        self.tell(DecisionMade(ts, Decision(ts, targets, tuple(verdicts))))
        for symbol, score, confidence in entries:
            side, price = (Side.BUY if score > 0 else Side.SELL), self.prices[symbol]
            quantity = abs(targets[symbol].quantity)
            slipped = price * (1 + 0.0003 * side.sign)
            expected = D(f"{price:.5g}")
            self.order(
                symbol, side, quantity, Role.ENTRY, ts, slipped, expected=expected, exits=PLAN, confidence=confidence
            )
            self.protect(symbol, ts)

    def protect(self, symbol, ts):
        position = self.state.account.positions[symbol]
        long, size = position.quantity > 0, abs(position.quantity)
        away = Side.SELL if long else Side.BUY
        sign = 1 if long else -1
        stop = D(f"{float(position.entry_price) * (1 - sign * PLAN.stop_frac):.5g}")
        target = D(f"{float(position.entry_price) * (1 + sign * PLAN.take_profit_frac):.5g}")
        part = (size * D("0.3")).quantize(D("0.00001"))
        reason = ExitReason.STOP_LOSS
        self.order(symbol, away, size, Role.STOP_LOSS, ts, trigger=stop, reduce_only=True, reason=reason, expected=stop)
        self.order(symbol, away, part, Role.TAKE_PROFIT, ts, trigger=target, reduce_only=True)

    def resting(self, symbol, role):
        return [o for o in self.state.orders.values() if o.intent.symbol == symbol and o.intent.role is role]

    def reach(self, symbol, bar, ts):
        """Fill what the bar reached: the stop first."""
        long = self.state.account.positions[symbol].quantity > 0
        for order in self.resting(symbol, Role.STOP_LOSS):
            level = float(order.intent.trigger)
            if (bar.low <= level) if long else (bar.high >= level):
                self.out(symbol, order.intent, min(level, bar.open) if long else max(level, bar.open), ts)
                return
        for order in self.resting(symbol, Role.TAKE_PROFIT):
            level = float(order.intent.trigger)
            if (bar.high >= level) if long else (bar.low <= level):
                self.fill(order.intent.client_id, symbol, order.intent.side, order.intent.quantity, level, ts)
                self.ratchet(symbol, ts, force=True)
        if self.state.account.positions.get(symbol) and self.rng.random() < 0.02:
            intent = self.resting(symbol, Role.STOP_LOSS)[0].intent
            timed = replace(intent, client_id=self.name(), role=Role.EXIT, reason=ExitReason.TIME_STOP, expected=None)
            self.tell(OrderRequested(ts, timed))
            self.out(symbol, timed, bar.close, ts)

    def out(self, symbol, intent, price, ts):
        left = abs(self.state.account.positions[symbol].quantity)
        self.fill(intent.client_id, symbol, intent.side, left, price, ts)
        for order in [o for o in self.state.orders.values() if o.intent.symbol == symbol]:
            self.tell(OrderChanged(ts, order.intent.client_id, OrderStatus.CANCELED))

    def ratchet(self, symbol, ts, force=False):
        """Now and then a tighter stop: the new one in, then the old one out."""
        if not force and self.rng.random() > 0.15:
            return
        position = self.state.account.positions[symbol]
        long, price = position.quantity > 0, self.prices[symbol]
        old = self.resting(symbol, Role.STOP_LOSS)[0].intent
        new = D(f"{price * (0.985 if long else 1.015):.5g}")
        if (new > old.trigger) if long else (new < old.trigger):
            size, reason = abs(position.quantity), ExitReason.TRAILING
            self.order(
                symbol, old.side, size, Role.STOP_LOSS, ts, trigger=new, reduce_only=True, reason=reason, expected=new
            )
            self.tell(OrderChanged(ts, old.client_id, OrderStatus.CANCELED))


def a_position(symbol, quantity, price):
    return Position(symbol, D(str(quantity)), D(str(price)))


MINUTE = timedelta(minutes=1)
