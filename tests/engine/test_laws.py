"""What holds at every instant of a session, whatever the market does and the strategy believes."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from builders import INSTRUMENTS, beliefs, make_bars, some_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.domain.account import Account
from qtlib.domain.advance import advance
from qtlib.domain.decisions import Choice
from qtlib.domain.events import CashMoved, DecisionMade, Filled, FundingPaid, OrderChanged
from qtlib.domain.orders import Role
from qtlib.domain.state import State
from qtlib.engine.backtest import backtest
from qtlib.engine.feeds import Past
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.report.metrics import metrics
from qtlib.report.tables import tables
from qtlib.rules.limits import RiskLimits
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams, stop_price


@dataclass(frozen=True)
class Dice:
    """Believes anything, at random: whatever the rules promise, they promise it for this, too."""

    seed: int
    lookback: int = 1
    name: str = "dice"

    def signals(self, panel):
        rng = np.random.default_rng(self.seed)
        n = panel.close.shape
        return beliefs(panel, rng.uniform(-1, 1, n), rng.uniform(0.3, 1, n), rng.uniform(0.002, 0.03, n))


markets = st.tuples(
    st.integers(0, 10_000), st.sampled_from([0.003, 0.01, 0.03, 0.08]), st.sampled_from([0.0, 0.02, -0.01])
)
limits = st.builds(
    RiskLimits,
    max_positions=st.integers(1, 3),
    max_notional_per_trade=st.sampled_from([60.0, 200.0, 2000.0]),
    max_notional_per_symbol=st.sampled_from([100.0, 2000.0]),
    max_gross_exposure=st.sampled_from([150.0, 800.0, 5000.0]),
    max_net_exposure=st.sampled_from([150.0, 600.0]),
    clusters=st.sampled_from([{}, {"BTCUSDT": "majors", "ETHUSDT": "majors"}]),
    max_cluster_exposure=st.just(250.0),
    max_day_fees_frac=st.just(0.2),
    cooldown_s=st.sampled_from([0.0, 7200.0]),
)
rules = st.builds(
    some_rules,
    limits=limits,
    exits=st.builds(ExitParams, profile=st.sampled_from(["one_r", "seed", "static"]), time_stop_s=st.just(20_000.0)),
    sizing=st.builds(SizingParams, profile=st.sampled_from(["seed", "risk"]), leverage=st.sampled_from([2, 5, 20])),
)
conducts = st.builds(
    Conduct,
    slippage_noise_frac=st.sampled_from([0.0, 0.001]),
    max_volume_share_frac=st.sampled_from([0.10, 0.000003]),  # the smaller one fills in parts
    margin_mode=st.sampled_from(["isolated", "cross"]),
)


def traded(market, rules_, conduct):
    seed, vol, gap = market
    rng = np.random.default_rng(seed)
    bars = {}
    for number, symbol in enumerate(INSTRUMENTS):
        frame = make_bars(60, seed=seed + number, vol=vol)
        jump = np.cumprod(1 + gap * (rng.random(60) < 0.1))  # opens that lie away from the last close
        bars[symbol] = frame[["open", "high", "low", "close"]].mul(jump, axis=0).assign(volume=frame["volume"])
    funding = {s: pd.Series(rng.normal(0, 0.001, 7), index=frame.index[::9][:7]) for s, frame in bars.items()}
    conduct = conduct.__class__(**{**_fields(conduct), "leverage": rules_.sizing.leverage})
    venue = SimulatedExchange(INSTRUMENTS, Decimal(10_000), conduct)
    return backtest(Past(bars, funding=funding), Dice(seed), rules_, venue), venue


def _fields(value):
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


@settings(max_examples=60, deadline=None)
@given(market=markets, rules_=rules, conduct=conducts)
def test_what_a_session_promises(market, rules_, conduct):
    journal, venue = traded(market, rules_, conduct)
    events = [event for _, event in journal.events()]
    _caps_hold_whenever_settled(events, rules_)
    _stops_only_tighten_and_lie_on_the_losing_side_first(events)
    _only_entries_add(events)
    _every_candidate_has_one_verdict(events)
    _the_account_is_the_sum_of_its_facts(events, venue)
    _profit_adds_up(events)


def _caps_hold_whenever_settled(events, rules_):
    """At each decision everything before it is settled: what is held, at its entry prices, lies under every cap."""
    state, within = State(), rules_.limits
    for event in events:
        if isinstance(event, DecisionMade):
            cost = {s: p.quantity * p.entry_price for s, p in state.account.positions.items()}
            whole = {s: abs(c) for s, c in cost.items()}
            assert len(cost) <= within.max_positions
            assert max(whole.values(), default=0) <= min(within.max_notional_per_trade, within.max_notional_per_symbol)
            assert sum(whole.values()) <= within.max_gross_exposure
            majors = [c for s, c in whole.items() if within.clusters.get(s) == "majors"]
            assert len(majors) < 2 or sum(majors) <= within.max_cluster_exposure
            for symbol, position in state.account.positions.items():
                trade = state.trades[symbol]
                just_heard = trade.naked_since == event.ts  # inside the bar that just closed
                assert trade.naked_since is None or just_heard or _nothing_could_rest(trade, position, state, rules_)
        state = advance(state, event)


def _nothing_could_rest(trade, position, state, rules_):
    """A position without a stop is one whose stop the price had passed, and that there was no volume to leave."""
    stop = stop_price(trade, position, INSTRUMENTS[position.symbol], rules_.sizing.leverage, rules_.exits)
    beyond = (Decimal(state.prices[position.symbol]) - stop) * position.quantity <= 0
    return beyond or Role.STOP_LOSS in trade.refused


def _stops_only_tighten_and_lie_on_the_losing_side_first(events):
    state, resting = State(), {}
    for event in events:
        if isinstance(event, OrderChanged) and event.client_id in state.orders:
            intent = state.orders[event.client_id].intent
            trade = state.trades.get(intent.symbol)
            if trade and intent.role is Role.STOP_LOSS and event.status.value == "open":
                sign = -intent.side.sign
                before = resting.get(trade.trade_id)
                if before is None:
                    assert sign * (intent.trigger - state.account.position(intent.symbol).entry_price) < 0
                else:
                    assert sign * (intent.trigger - before) >= 0
                resting[trade.trade_id] = intent.trigger
        state = advance(state, event)


def _only_entries_add(events):
    state = State()
    for event in events:
        before = state
        state = advance(state, event)
        if isinstance(event, Filled):
            symbol = event.fill.symbol
            held, now = before.account.position(symbol).quantity, state.account.position(symbol).quantity
            order = before.orders.get(event.fill.client_id)
            if order is None or order.intent.role is not Role.ENTRY:
                assert abs(now) < abs(held)
                assert now * held >= 0


def _every_candidate_has_one_verdict(events):
    for event in events:
        if isinstance(event, DecisionMade):
            verdicts = event.decision.verdicts
            assert sorted(v.symbol for v in verdicts) == sorted(INSTRUMENTS)
            assert all(v.reason.value for v in verdicts if v.choice is Choice.REFUSED)


def _the_account_is_the_sum_of_its_facts(events, venue):
    account = Account()
    for event in events:
        if isinstance(event, Filled):
            account = account.after(event.fill)
        elif isinstance(event, CashMoved | FundingPaid):
            account = account.with_cash(event.amount)
    assert account == venue.account


def _profit_adds_up(events):
    books = tables(events)
    figures = metrics(books)
    earned = figures["final_equity_quote"] - figures["start_equity_quote"] - figures["moved_quote"]
    assert abs(books.trades["pnl_quote"].sum() + figures["open_pnl_quote"] - earned) < 0.01
    net = figures["gross_pnl_quote"] - figures["fees_quote"] + figures["funding_quote"]
    assert abs(net - figures["net_pnl_quote"]) < 0.01
