from math import isclose, sqrt

import pandas as pd
import pytest
from builders import HOUR, T0
from made_journal import DEPOSIT, PLAN, D, a_close, a_fill, a_request, made_journal

from qtlib.domain.events import CashMoved
from qtlib.domain.orders import Side
from qtlib.report.metrics import calmar, metrics, sharpe, sortino
from qtlib.report.tables import tables

PROMISED = [
    "trades",
    "win_rate_frac",
    "breakeven_win_rate_frac",
    "net_pnl_quote",
    "gross_pnl_quote",
    "fees_quote",
    "funding_quote",
    "slippage_quote",
    "start_equity_quote",
    "final_equity_quote",
    "return_frac",
    "max_drawdown_frac",
    "sharpe",
    "sortino",
    "calmar",
    "profit_factor",
    "expectancy_quote",
    "expectancy_r",
    "exposure_frac",
    "max_open_positions",
    "max_gross_exposure_quote",
    "naked_seconds_max",
    "bars",
]
SOL, DAY = "SOLUSDT", 24 * HOUR


def three_days():
    """+30 on the first day, −10 on the second, +10 on the third; nothing held over midnight."""
    journal = [DEPOSIT, a_close(T0 + HOUR, SOLUSDT=100.0)]
    for n, out in enumerate((130, 90, 110)):
        ts = T0 + n * DAY + 2 * HOUR
        journal += [
            a_request(f"in{n}", SOL, Side.BUY, 1, ts=ts, exits=PLAN, expected=D(100)),
            a_fill(f"in{n}", SOL, Side.BUY, 1, 100, ts=ts),
            a_close(ts, SOLUSDT=100.0),
            a_fill(f"out{n}", SOL, Side.SELL, 1, out, ts=ts + HOUR),
            a_close(T0 + (n + 1) * DAY, SOLUSDT=100.0),
        ]
    return journal


def test_the_metrics_of_three_days_by_hand():
    m = metrics(tables(three_days()))
    a, b, c = 30 / 10_000, -10 / 10_030, 10 / 10_020
    mean = (a + b + c) / 3
    deviation = sqrt(((a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2) / 2)
    expected = {
        "trades": 3,
        "win_rate_frac": 2 / 3,
        "breakeven_win_rate_frac": 10 / (20 + 10),
        "net_pnl_quote": 30,
        "gross_pnl_quote": 30,
        "fees_quote": 0,
        "funding_quote": 0,
        "slippage_quote": 0,
        "start_equity_quote": 10_000,
        "final_equity_quote": 10_030,
        "return_frac": 0.003,
        "max_drawdown_frac": 10 / 10_030,
        "sharpe": mean / deviation * sqrt(365),
        "sortino": mean / sqrt(b**2 / 3) * sqrt(365),
        "profit_factor": 4,
        "expectancy_quote": 10,
        "expectancy_r": 5,  # +15R, −5R, +5R: 2 % of 100 at risk
        "exposure_frac": 3 / 7,
        "max_open_positions": 1,
        "max_gross_exposure_quote": 100,
        "bars": 7,
        "open_pnl_quote": 0,
    }
    assert {name: m[name] for name in expected} == pytest.approx(expected)
    years = (3 * 24 - 1) / 24 / 365
    assert isclose(m["calmar"], ((10_030 / 10_000) ** (1 / years) - 1) / (10 / 10_030))


def test_every_promised_metric_is_there():
    assert set(PROMISED) <= set(metrics(tables(made_journal(50))))


def test_a_metric_that_cannot_be_computed_is_none():
    nothing = metrics(tables([]))
    unknown = set(PROMISED) - {name for name in PROMISED if nothing[name] is not None}
    assert unknown == {
        *("win_rate_frac", "breakeven_win_rate_frac", "slippage_quote", "return_frac", "max_drawdown_frac", "sharpe"),
        *(
            "sortino",
            "calmar",
            "profit_factor",
            "expectancy_quote",
            "expectancy_r",
            "exposure_frac",
            "naked_seconds_max",
        ),
    }
    idle = metrics(tables([DEPOSIT, *(a_close(T0 + n * DAY, SOLUSDT=1.0) for n in range(9))]))
    assert (idle["sharpe"], idle["sortino"], idle["calmar"], idle["win_rate_frac"]) == (None, None, None, None)
    assert (idle["return_frac"], idle["max_drawdown_frac"], idle["exposure_frac"]) == (0, 0, 0)


def test_a_deposit_changes_no_ratio():
    plain = three_days()
    paid = [*plain[:4], CashMoved(plain[3].ts, D(5_000), "deposit", "later"), *plain[4:]]
    before, after = metrics(tables(plain)), metrics(tables(paid))
    assert after["moved_quote"] == 5_000
    assert after["final_equity_quote"] == before["final_equity_quote"] + 5_000
    for name in ("return_frac", "sharpe", "sortino", "win_rate_frac", "expectancy_r"):
        assert after[name] == pytest.approx(before[name]), name


def test_partial_exits_are_one_trade():
    made = tables(made_journal(600, entry_rate=0.1))
    assert len(made.trades) > metrics(made)["trades"] == made.trades.trade_id.nunique()


def test_ratios_need_two_days_and_something_to_divide_by():
    assert sharpe(pd.Series([0.01])) is None
    assert sharpe(pd.Series([0.01, 0.01])) is None
    assert sortino(pd.Series([0.01, 0.02])) is None
    ts = pd.to_datetime(["2026-01-01 00:00", "2026-01-01 12:00"], utc=True)
    assert calmar(pd.Series([100.0, 101.0], ts), 100.0, 0.1) is None
