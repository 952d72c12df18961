"""What holds in the simulated venue after anything whatever has happened to it."""

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal

from a_venue import LISTED, a_conduct, told
from builders import HOUR, T0, a_bar
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qtlib.domain.advance import advance
from qtlib.domain.events import START, CashMoved, Filled, FundingPaid, OrderChanged, OrderRequested
from qtlib.domain.market import Step
from qtlib.domain.orders import (
    ZERO,
    Cancel,
    OrderIntent,
    OrderStatus,
    OrderType,
    Role,
    Side,
    Submit,
    TimeInForce,
    TriggerBy,
)
from qtlib.domain.state import State
from qtlib.exchanges.port import Refused
from qtlib.exchanges.simulated import SimulatedExchange, margin
from qtlib.exchanges.simulated.book import reduces

SYMBOLS = ("BTCUSDT", "ETHUSDT")
HARSH = {s: replace(LISTED[s], liquidation_fee_frac=Decimal("0.05"), price_band_frac=Decimal("0.5")) for s in SYMBOLS}
prices = st.integers(40, 250)
symbols, sides, triggers = st.sampled_from(SYMBOLS), st.sampled_from(Side), st.sampled_from(TriggerBy)
kinds = st.sampled_from([kind for kind in OrderType if kind.conditional])
quantities = st.integers(1, 80).map(lambda n: Decimal(n) / 4)
aways = st.integers(-12, 12)  # in quote, from the last price


class AnyMarketAnyOrders(RuleBasedStateMachine):
    @initialize(
        mode=st.sampled_from(["isolated", "cross"]),
        leverage=st.sampled_from([2, 5, 50]),
        cash=st.sampled_from([300, 3_000, 100_000]),
        touch=st.booleans(),
        noise=st.sampled_from([0.0, 0.01]),
    )
    def open(self, mode, leverage, cash, touch, noise):
        conduct = a_conduct(
            margin_mode=mode, leverage=leverage, touch_fills=touch, slippage_frac=0.001, slippage_noise_frac=noise
        )
        self.venue = SimulatedExchange(HARSH, Decimal(cash), conduct)
        self.asked = {}
        self.lasts = dict.fromkeys(SYMBOLS, 100.0)
        self.hour = 0
        self.venue.advance(Step(T0, {s: a_bar(T0, 100.0) for s in SYMBOLS}))

    @rule(symbol=symbols, side=sides, quantity=quantities, away=aways, tif=st.sampled_from(TimeInForce))
    def plain(self, symbol, side, quantity, away, tif):
        if away == 0:
            return self.submit(symbol, side, quantity)
        return self.submit(symbol, side, quantity, OrderType.LIMIT, price=self.near(symbol, away), time_in_force=tif)

    @rule(symbol=symbols, side=sides, quantity=quantities, away=aways, beyond=aways, kind=kinds, by=triggers)
    def conditional(self, symbol, side, quantity, away, beyond, kind, by):
        self.submit(symbol, side, quantity, **self.terms(symbol, side, abs(away), beyond, kind), trigger_by=by)

    @rule(symbol=symbols, quantity=quantities, away=aways, beyond=aways, kind=kinds, by=triggers, net=st.booleans())
    def protect(self, symbol, quantity, away, beyond, kind, by, net):
        held = self.venue.account.position(symbol).quantity
        closes = net and kind in (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET)
        terms = self.terms(symbol, Side.of(-held), abs(away), beyond, kind)
        flag = {"close_position": True} if closes else {"reduce_only": True}
        self.submit(symbol, Side.of(-held), ZERO if closes else quantity, **terms, **flag, trigger_by=by)

    @rule(symbol=symbols, quantity=quantities, away=aways)
    def take_out(self, symbol, quantity, away):
        side, price = Side.of(-self.venue.account.position(symbol).quantity), self.near(symbol, away)
        self.submit(symbol, side, quantity, OrderType.LIMIT, price=price, reduce_only=True)

    def submit(self, symbol, side, quantity, type=OrderType.MARKET, **terms):
        client_id = f"o{len(self.asked)}"
        self.asked[client_id] = OrderIntent(client_id, symbol, side, quantity, Role.ENTRY, type, **terms)
        self.venue.carry_out([Submit(self.asked[client_id])])

    def near(self, symbol, away):
        return Decimal(round(self.lasts[symbol])) + away

    def terms(self, symbol, side, away, beyond, kind):
        """What a conditional order of `kind` needs, its trigger usually ahead of the price."""
        if kind is OrderType.TRAILING_STOP_MARKET:
            waits = {"activation": self.near(symbol, -side.sign * (away + 1))} if beyond > 0 else {}
            return {"type": kind, "callback_frac": Decimal("0.05"), **waits}
        target = kind in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_MARKET)
        trigger = self.near(symbol, side.sign * away * (-1 if target else 1))
        limited = {"price": trigger + beyond} if kind in (OrderType.STOP, OrderType.TAKE_PROFIT) else {}
        return {"type": kind, "trigger": trigger, **limited}

    @rule(number=st.integers(0, 5))
    def cancel(self, number):
        working = list(self.venue.snapshot().orders.values())
        self.venue.carry_out([Cancel(o.client_id, o.symbol) for o in working[number : number + 1]])

    @rule(number=st.integers(0, 5), quantity=quantities, away=aways)
    def amend(self, number, quantity, away):
        limits = [o for o in self.venue.snapshot().orders.values() if o.type is OrderType.LIMIT]
        for intent in limits[number : number + 1]:
            before, price = self.everything(), self.near(intent.symbol, away)
            try:
                self.venue.amend(intent.client_id, quantity, price)
            except Refused:
                assert self.everything() == before
            else:
                if intent.client_id not in self.ended():
                    self.asked[intent.client_id] = replace(intent, quantity=quantity, price=price)

    @rule(symbol=symbols, mode=st.sampled_from(["isolated", "cross"]))
    def set_margin_mode(self, symbol, mode):
        with suppress(Refused):
            self.venue.set_margin_mode(symbol, mode)

    @rule(symbol=symbols, amount=st.integers(-500, 500))
    def move_margin(self, symbol, amount):
        available = margin.available(self.venue.view)
        with suppress(Refused):
            self.venue.move_margin(symbol, Decimal(amount))
            assert margin.available(self.venue.view) == max(0, available - amount)

    def everything(self):
        return deepcopy((self.venue.events(START), self.venue.view.book, self.venue.view.quotes))

    def ended(self):
        """The orders that ended without filling all that was asked for."""
        last = {e.client_id: e.status for e in self.venue.events(START) if isinstance(e, OrderChanged)}
        return {client_id for client_id, status in last.items() if not status.working}

    @rule(
        ways=st.lists(st.tuples(prices, prices, prices), min_size=2, max_size=2),
        gap=st.sampled_from([1.0, 1.0, 0.8, 1.3]),
        volume=st.sampled_from([0.0, 20.0, 1e6]),
        marked=st.booleans(),
        funding=st.sampled_from([0.0, 0.0, 0.001, -0.02]),
    )
    def bar(self, ways, gap, volume, marked, funding):
        self.hour += 1
        ts, bars = T0 + self.hour * HOUR, {}
        for symbol, way in zip(SYMBOLS, ways, strict=True):
            open_ = self.lasts[symbol] * gap
            path = [open_, *(open_ * (0.7 + p / 500) for p in way)]
            bars[symbol] = a_bar(ts, open_, max(path), min(path), path[-1], volume)
            self.lasts[symbol] = path[-1]
        marks = {s: b._replace(low=b.low * 0.99, high=b.high * 1.01) for s, b in bars.items()} if marked else {}
        self.venue.advance(Step(ts, bars, marks, dict.fromkeys(SYMBOLS, funding) if funding else {}))

    @invariant()
    def the_events_add_up_to_the_account(self):
        assert told(self.venue.events(START)) == self.venue.account

    @invariant()
    def the_wallet_covers_what_backs_the_positions(self):
        cash, isolated = self.venue.account.cash, self.venue.isolated
        alone = {s for s in self.venue.account.positions if not self.venue.crossed(s)}
        assert set(isolated) == alone
        assert all(part >= 0 for part in isolated.values())
        assert cash >= sum(isolated.values(), ZERO) or set(self.venue.account.positions) > alone

    @invariant()
    def equity_is_what_was_put_in_less_what_was_paid_plus_what_is_held(self):
        quotes, events = self.venue.view.quotes, self.venue.events(START)
        held = sum(p.quantity * Decimal(repr(quotes[s].mark)) for s, p in self.venue.account.positions.items())
        moved = sum((e.amount for e in events if isinstance(e, CashMoved | FundingPaid)), ZERO)
        spent = sum(
            e.fill.side.sign * e.fill.quantity * e.fill.price + e.fill.fee for e in events if isinstance(e, Filled)
        )
        equity = self.venue.account.equity({s: quote.mark for s, quote in quotes.items()})
        assert abs(equity - (moved - spent + held)) < Decimal("1e-12")

    @invariant()
    def no_reducing_order_works_without_something_to_reduce(self):
        for order in self.venue.view.book.orders.values():
            if reduces(order.intent):
                assert order.intent.side.sign * self.venue.account.position(order.intent.symbol).quantity < 0

    @invariant()
    def the_domain_sees_the_same_open_orders(self):
        state = State()
        for intent in self.asked.values():
            state = advance(state, OrderRequested(START, intent))
        for event in self.venue.events(START):
            state = advance(state, event)
        assert {i: o.intent for i, o in state.orders.items()} == self.venue.snapshot().orders
        assert all(o.status is OrderStatus.OPEN for o in state.orders.values())

    @invariant()
    def every_event_has_a_key_of_its_own_and_time_does_not_run_back(self):
        events = self.venue.events(START)
        assert len({e.key for e in events}) == len(events)
        assert [e.ts for e in events] == sorted(e.ts for e in events)

    @invariant()
    def nothing_fills_more_than_it_asked_for_and_all_in_whole_lots_and_ticks(self):
        filled = dict.fromkeys(self.asked, ZERO)
        for event in self.venue.events(START):
            fill = getattr(event, "fill", None)
            if fill is not None:
                assert fill.quantity > 0
                assert fill.price > 0
                assert fill.quantity % HARSH[fill.symbol].lot == 0
                assert fill.price % HARSH[fill.symbol].tick == 0
                filled[fill.client_id] = filled.get(fill.client_id, ZERO) + fill.quantity
        assert all(filled[i] <= o.quantity or o.close_position for i, o in self.asked.items())

    @invariant()
    def what_was_refused_never_traded(self):
        events = self.venue.events(START)
        refused = {e.client_id for e in events if isinstance(e, OrderChanged) and e.status is OrderStatus.REJECTED}
        assert not refused & {e.fill.client_id for e in events if hasattr(e, "fill")}


TestAnyMarketAnyOrders = AnyMarketAnyOrders.TestCase
TestAnyMarketAnyOrders.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking so long a life takes minutes, and tells little
)
