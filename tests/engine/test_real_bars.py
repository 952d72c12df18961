"""Four months of real bars, with the crash of November 2022 in them: live and backtest trade them row by row alike."""

from decimal import Decimal

import market_data
import pandas as pd
import pytest

from qtlib.engine.feeds import lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange, instruments
from qtlib.journal import Journal, MemoryJournal
from qtlib.learning.strategies import Trend
from qtlib.market import read
from qtlib.report.metrics import metrics
from qtlib.report.tables import tables
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BNBUSDT")
RULES = Rules(
    instruments(SYMBOLS, {}),
    SizingParams(confidence_threshold=0.62),
    RiskLimits(cooldown_s=14_400.0),
    ExitParams(time_stop_s=172_800.0),
)


@pytest.fixture(scope="module")
def market():
    return read(market_data.folder(), SYMBOLS, "1h", "2022-10-01", "2023-01-31")


def traded(market, journal, store=None, windowed=False):
    venue = SimulatedExchange(RULES.instruments, Decimal(10_000), Conduct(slippage_noise_frac=0.0001), store)
    session(lived(venue, replay(market, Trend(), windowed=windowed)), RULES, venue, journal, close_at_end=True)
    venue.close()
    return tables(event for _, event in journal.events())


@pytest.fixture(scope="module")
def backtested(market):
    return traded(market, MemoryJournal())


def test_the_crash_is_in_there_and_every_symbol_trades(market, backtested):
    assert market.bars["SOLUSDT"]["close"].pct_change(24).min() < -0.3
    assert market.last - market.first > pd.Timedelta(days=90)
    assert set(backtested.trades["symbol"]) == set(SYMBOLS)
    assert len(backtested.trades) > 200


def test_live_and_backtest_trade_real_bars_alike(market, backtested, tmp_path):
    """Live reads the last bars at each close, and keeps its journal and its venue on disk."""
    with Journal(tmp_path / "journal.sqlite") as journal:
        lived_ = traded(market, journal, tmp_path / "venue.sqlite", windowed=True)
    pd.testing.assert_frame_equal(lived_.trades, backtested.trades, check_exact=True)
    pd.testing.assert_frame_equal(lived_.equity, backtested.equity, check_exact=True)
    pd.testing.assert_frame_equal(lived_.decisions, backtested.decisions, check_exact=True)


def test_no_position_is_liquidated_that_had_a_stop(backtested):
    assert "liquidation" not in set(backtested.trades["exit_reason"])


def test_limits_hold_and_profit_adds_up_on_real_bars(backtested):
    figures = metrics(backtested)
    assert backtested.equity["gross_exposure_quote"].max() <= RULES.limits.max_gross_exposure
    assert backtested.equity["open_positions"].max() <= RULES.limits.max_positions
    earned = figures["final_equity_quote"] - figures["start_equity_quote"]
    assert backtested.trades["pnl_quote"].sum() == pytest.approx(earned, abs=0.01)
    assert figures["naked_seconds_max"] == 0
    assert figures["funding_quote"] != 0
