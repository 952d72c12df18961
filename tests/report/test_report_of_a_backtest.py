"""What the report promises, held against what the engine and the simulated venue really write."""

from decimal import Decimal

import pytest

from qtlib.domain.advance import advance
from qtlib.domain.events import DecisionMade, Filled
from qtlib.domain.state import State
from qtlib.engine.backtest import backtest
from qtlib.exchanges.simulated import Conduct, SimulatedExchange, instruments
from qtlib.learning.strategies import Trend
from qtlib.market.simulated import SimulatedMarket, simulate
from qtlib.report.metrics import metrics
from qtlib.report.story import tell
from qtlib.report.tables import tables
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "LINKUSDT")
LIMITS = RiskLimits(max_positions=3, max_gross_exposure=450.0)


@pytest.fixture(scope="module")
def events():
    listed = instruments(SYMBOLS, {})
    venue = SimulatedExchange(listed, Decimal(10_000), Conduct(slippage_noise_frac=0.0001, seed=3))
    market = simulate(SimulatedMarket(seed=3, symbols=SYMBOLS), bars=600)
    journal = backtest(market, Trend(), Rules(listed, limits=LIMITS), venue)
    return [event for _, event in journal.events()]


def test_the_books_balance_to_the_cent(events):
    s = tables(events).summary
    assert abs(s.net_pnl + s.open_pnl - (s.final_equity - s.start_equity - s.moved)) < 0.005
    assert s.open_pnl == 0  # a backtest closes what is open at its end
    assert s.start_equity == 10_000


def test_a_run_cut_anywhere_has_the_rows_of_the_whole(events):
    whole = tables(events)
    cut = next(i for i, e in enumerate(events) if i > len(events) // 2 and isinstance(e, Filled))
    first = tables(events[: cut + 1])
    second = tables(events[cut + 1 :], first.state, first.carried)
    assert first.summary.net_pnl + second.summary.net_pnl == pytest.approx(whole.summary.net_pnl)
    assert second.summary.open_pnl_start == pytest.approx(first.summary.open_pnl)
    assert len(first.equity) + len(second.equity) == len(whole.equity)


def test_no_row_breaks_a_limit_and_no_instant_either(events):
    made = tables(events)
    assert made.equity.open_positions.max() <= made.summary.max_open_positions <= 3
    assert made.equity.gross_exposure_quote.max() <= float(made.summary.max_gross_exposure) <= 450 * 1.005


def test_every_trade_is_told_whole(events):
    trades = tables(events).trades
    told = trades.drop(columns=["take_profit_price"])  # it is gone once the partial is taken
    assert len(trades) > 30
    assert not told.isna().any(axis=None)
    assert set(trades.exit_reason) <= {"stop_loss", "trailing", "partial", "take_profit", "time_stop", "signal", "end"}


def test_no_metric_is_missing_from_a_run_that_traded(events):
    unknown = [name for name, value in metrics(tables(events)).items() if value is None]
    assert unknown == []


def test_each_candidate_has_one_row_and_each_refusal_one_reason(events):
    decisions = tables(events).decisions
    assert len(decisions) == sum(len(e.decision.verdicts) for e in events if isinstance(e, DecisionMade))
    assert not decisions.duplicated(["ts", "symbol"]).any()
    assert (decisions.reason[decisions.action == "refused"] != "").all()


def test_the_whole_run_can_be_told(events):
    state, lines = State(), []
    for event in events:
        after = advance(state, event)
        lines += tell(state, event, after, LIMITS.max_positions)
        state = after
    assert sum(line.startswith("💰") for line in lines) >= len(tables(events).trades)
    limits = [line for line in lines if line.startswith("⚠️ Position limit")]
    assert limits
    assert all("/3 open, " in line for line in limits)
