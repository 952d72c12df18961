"""The metrics of a run, from its tables. What can't be computed is None, never 0.

A *trade* is everything with one `trade_id`: its partial exits count once, with their sum; what is still open counts in
`open_pnl_quote` alone. Results are net of fees and funding. Money moved in or out is no profit: returns, ratios and
drawdowns are taken from equity less what was moved.
The same numbers come out for a backtest and a live run, because both are read from journals.
"""

from math import expm1, isfinite, log, sqrt

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.report.columns import Tables

DAYS_A_YEAR = 365  # this market never closes
DAY_US = 86_400_000_000

Metrics = dict[str, float | int | None]


def metrics(tables: Tables) -> Metrics:
    """Every metric that `record.json` promises, by name."""
    s, equity = tables.summary, tables.equity
    results = trade_results(tables.trades)
    pnl = results["pnl_quote"].to_numpy()
    wins, losses = pnl[pnl > 0], -pnl[pnl < 0]
    start, final = float(s.start_equity), float(s.final_equity)
    earned = less_moved(tables)
    daily = daily_returns(earned, start)
    deepest = float(np.fmax.reduce(equity["drawdown_frac"].to_numpy())) if len(equity) else None
    values: Metrics = {
        "trades": len(results),
        "win_rate_frac": _ratio(len(wins), len(results)),
        "breakeven_win_rate_frac": breakeven_win_rate(wins, losses),
        "net_pnl_quote": float(s.net_pnl),
        "gross_pnl_quote": float(s.gross_pnl),
        "fees_quote": float(s.fees),
        "funding_quote": float(s.funding),
        "slippage_quote": None if s.slippage is None else float(s.slippage),
        "start_equity_quote": start,
        "final_equity_quote": final,
        "return_frac": _ratio(float(s.final_equity - s.start_equity - s.moved), start),
        "max_drawdown_frac": deepest,
        "sharpe": sharpe(daily),
        "sortino": sortino(daily),
        "calmar": calmar(earned, start, deepest),
        "profit_factor": _ratio(float(wins.sum()), float(losses.sum())),
        "expectancy_quote": _ratio(float(np.nansum(pnl)), len(pnl)),
        "expectancy_r": float(results["r_multiple"].mean()),
        "exposure_frac": _ratio(int(np.count_nonzero(equity["open_positions"].to_numpy() != 0)), len(equity)),
        "max_open_positions": s.max_open_positions,
        "max_gross_exposure_quote": float(s.max_gross_exposure),
        "naked_seconds_max": s.naked_seconds_max,
        "bars": len(equity),
        "open_pnl_quote": float(s.open_pnl),
        "open_pnl_start_quote": float(s.open_pnl_start),
        "moved_quote": float(s.moved),
    }
    return {name: value if value is not None and isfinite(value) else None for name, value in values.items()}


def trade_results(trades: pd.DataFrame) -> pd.DataFrame:
    """One row a trade: `pnl_quote`, its exits' sum, and `r_multiple`, their mean weighted by what each closed.

    >>> exits = pd.DataFrame({"trade_id": ["a", "a", "b"], "quantity": [3.0, 7.0, 1.0],
    ...                       "pnl_quote": [30.0, 0.0, -10.0], "r_multiple": [1.0, 0.0, -1.0]})
    >>> trade_results(exits).to_dict("index")
    {'a': {'pnl_quote': 30.0, 'r_multiple': 0.3}, 'b': {'pnl_quote': -10.0, 'r_multiple': -1.0}}
    """
    who, names = pd.factorize(trades.trade_id)
    pnl, r, quantity = (trades[name].to_numpy() for name in ("pnl_quote", "r_multiple", "quantity"))
    told = np.bincount(who, ~np.isnan(pnl), len(names)) > 0
    sums = np.where(told, np.bincount(who, np.nan_to_num(pnl), len(names)), np.nan)
    ratio = np.bincount(who, r * quantity, len(names)) / np.bincount(who, quantity, len(names))
    return pd.DataFrame({"pnl_quote": sums, "r_multiple": ratio}, pd.Index(names, name="trade_id"))


def breakeven_win_rate(wins: npt.ArrayLike, losses: npt.ArrayLike) -> float | None:
    """The share of winners at which trades like these cancel out: average loss / (average win + average loss).

    Both are net of costs, so it may be compared with `win_rate_frac` directly; losses are given positive.

    >>> breakeven_win_rate([10.0, 20.0], [5.0])
    0.25
    """
    won, lost = np.asarray(wins, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if not len(won) or not len(lost):
        return None
    return float(lost.mean() / (won.mean() + lost.mean()))


def daily_returns(equity: pd.Series, start: float) -> pd.Series:
    """Change of the UTC day's last equity, as a fraction of the day before's; the first day begins at `start`.

    A bar that closes at midnight ends the day before it.

    >>> ts = pd.to_datetime(["2026-01-01 12:00", "2026-01-02 00:00", "2026-01-02 12:00"], utc=True)
    >>> daily_returns(pd.Series([90.0, 110.0, 99.0], ts), 100.0).round(6).tolist()
    [0.1, -0.1]
    """
    if equity.empty:
        return equity
    index = pd.DatetimeIndex(equity.index, copy=False)
    if index.unit != "us":  # it would be copied
        index = index.as_unit("us")
    first, last = ((index.asi8[place] - 1) // DAY_US for place in (0, -1))
    midnights = np.arange(first + 1, last + 2) * DAY_US
    lasts = np.unique(np.searchsorted(index.asi8, midnights, side="right") - 1)
    closes = equity.iloc[lasts].set_axis((index[lasts] - pd.Timedelta(microseconds=1)).normalize())
    return closes / closes.shift(1, fill_value=start) - 1


def sharpe(daily: npt.ArrayLike) -> float | None:
    """Mean over standard deviation (n − 1) of daily returns, × √365; the riskless rate is taken as 0 (Sharpe 1994).

    Scaling by the root of time assumes days that don't depend on each other (Lo 2002).

    >>> round(sharpe([0.01, 0.02, 0.03]), 4)  # 0.02 / 0.01 * 19.105
    38.2099
    """
    known = _known(daily)
    deviation = float(known.std(ddof=1)) if len(known) >= 2 else 0.0
    return float(known.mean()) / deviation * sqrt(DAYS_A_YEAR) if deviation > 1e-15 else None


def sortino(daily: npt.ArrayLike) -> float | None:
    """Mean over downside deviation √(Σ min(r, 0)² / n) of daily returns, × √365; target 0 (Sortino and Price 1994).

    >>> round(sortino([0.03, -0.01, 0.01, -0.01]), 4)  # 0.005 / 0.0070711 * 19.105
    13.5093
    """
    known = _known(daily)
    if len(known) < 2:
        return None
    downside = sqrt(float((np.minimum(known, 0.0) ** 2).mean()))
    return float(known.mean()) / downside * sqrt(DAYS_A_YEAR) if downside > 1e-15 else None


def calmar(equity: pd.Series, start: float, deepest_drawdown: float | None) -> float | None:
    """Yearly compound growth over the deepest drawdown (Young 1991); None within the first day, or without a drawdown.

    >>> ts = pd.to_datetime(["2025-01-01", "2026-01-01"], utc=True)
    >>> round(calmar(pd.Series([100.0, 120.0], ts), 100.0, 0.1), 9)  # +20 % a year, 10 % under water
    2.0
    """
    if len(equity) < 2:
        return None
    days = (equity.index[-1] - equity.index[0]) / pd.Timedelta(days=1)
    return calmar_over(days, float(equity.iloc[-1]), start, deepest_drawdown)


def calmar_over(days: float, final: float, start: float, deepest_drawdown: float | None) -> float | None:
    """The same, of an equity that went from `start` to `final` within so many days."""
    if days < 1 or not deepest_drawdown or start <= 0 or final <= 0:
        return None
    yearly = log(final / start) * DAYS_A_YEAR / days
    return expm1(min(yearly, 700.0)) / deepest_drawdown  # beyond, a float ends, and so does meaning


def less_moved(tables: Tables) -> pd.Series:
    """Equity by time, as if nothing had been moved in or out since the start."""
    told = tables.equity
    equity = pd.Series(told["equity_quote"].array, pd.DatetimeIndex(told["ts"], copy=False), copy=False)
    moves = tables.summary.moves
    if not moves:
        return equity
    moved = pd.Series([float(amount) for _, amount in moves], pd.DatetimeIndex([ts for ts, _ in moves]))
    so_far = moved.groupby(level=0).sum().sort_index().cumsum()
    earned: pd.Series = equity - so_far.reindex(equity.index, method="ffill").fillna(0.0)
    return earned


def _known(daily: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(daily, dtype=np.float64)
    known: npt.NDArray[np.float64] = values[~np.isnan(values)]
    return known


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
