"""The numbers of a trial, straight from the arrays of the compiled engine: those of `report.metrics`, in no time.

A table of a hundred thousand bars takes longer to make than to trade. What is computed here is what `metrics` makes of
`columns.tables`, number by number; a run in which money was moved goes that longer way.
"""

from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.engine.compiled import Lived
from qtlib.report.columns import Tables
from qtlib.report.metrics import breakeven_win_rate, calmar_over, daily_returns, less_moved, metrics, sharpe, sortino
from qtlib.rules.rules import Rules
from qtlib.runs import columns
from qtlib.runs.sweep.trial import NUMBERS, Array

Numbers = dict[str, float | None]
Ints = npt.NDArray[np.int64]
DAY_US = 86_400_000_000


def of_books(books: Tables) -> tuple[Numbers, int, Array]:
    """The numbers of a trial, its first day and its daily returns, from its tables."""
    known = metrics(books)
    daily = daily_returns(less_moved(books), float(books.summary.start_equity))
    first = int(pd.DatetimeIndex(daily.index).as_unit("us").asi8[0] // DAY_US) if len(daily) else 0
    return {name: known[name] for name in NUMBERS}, first, daily.to_numpy(dtype=float)


def of_arrays(lived: Lived, rules: Rules) -> tuple[Numbers, int, Array]:
    """The same, from what the compiled engine left."""
    w, account = lived.world, lived.world.account[0]
    if account["moves"] or lived.end <= lived.first:
        return of_books(columns.tables(lived, rules))
    one, start = float(w.settings[0]["one"]), float(lived.cash)
    times, curve = w.times[lived.first : lived.end], w.curve[lived.first : lived.end]
    rows = w.rows[: account["rows"]]
    pnl, r = _trades(w, rows, one)
    wins, losses = pnl[pnl > 0], -pnl[pnl < 0]
    days, lasts, deepest = _days(times, curve, int(lived.cash * int(one)))
    closes = lasts / one
    daily = closes / np.r_[start, closes[:-1]] - 1.0
    fees = rows["exit_fees_u"].sum() / one + rows["fees_f"].sum()
    funding = rows["funding_f"].sum()
    known = r[~np.isnan(r)]
    final = account["equity_u"] / one
    numbers: Numbers = {
        "trades": len(pnl),
        "win_rate_frac": _ratio(len(wins), len(pnl)),
        "breakeven_win_rate_frac": breakeven_win_rate(wins, losses),
        "net_pnl_quote": rows["gross_u"].sum() / one - fees + funding,
        "fees_quote": fees,
        "funding_quote": funding,
        "return_frac": (final - start) / start,
        "max_drawdown_frac": deepest,
        "sharpe": sharpe(daily),
        "sortino": sortino(daily),
        "calmar": calmar_over((times[-1] - times[0]) / DAY_US, curve[-1] / one, start, deepest),
        "profit_factor": _ratio(float(wins.sum()), float(losses.sum())),
        "expectancy_quote": _ratio(float(pnl.sum()), len(pnl)),
        "expectancy_r": float(known.mean()) if len(known) else None,
        "exposure_frac": _ratio(_exposed(w, lived.end), len(curve)),
        "bars": len(curve),
    }
    plain = {name: None if value is None else float(value) for name, value in numbers.items()}
    return (
        {name: value if value is None or isfinite(value) else None for name, value in plain.items()},
        int(days[0]),
        daily,
    )


# --- below ------------------------------------------------------------------------------------------------


def _days(times: Ints, curve: Ints, start_u: int) -> tuple[Ints, Ints, float]:
    """Each day that has a close, the last equity of it, and how deep the curve's deepest drawdown was."""
    # a cold start: numba takes a second, and a trial of the event loop does not need it
    from qtlib.engine.compiled.curve import days_of  # noqa: PLC0415

    most = int((times[-1] - times[0]) // DAY_US) + 2
    days, lasts = np.empty(most, np.int64), np.empty(most, np.int64)
    count, deepest = days_of(times, curve, start_u, days, lasts)
    return days[:count], lasts[:count], deepest


def _trades(w: Any, rows: Any, one: float) -> tuple[Array, Array]:
    """What each trade came to, its exits together: in quote, and in R as a mean by what each closed."""
    if not len(rows):
        return np.empty(0), np.empty(0)
    if (np.diff(rows["bar"]) < 0).any():
        rows = rows[np.argsort(rows["bar"], kind="stable")]
    s = rows["symbol"]
    pnl = rows["gross_u"] / one - (rows["exit_fees_u"] / one + rows["fees_f"]) + rows["funding_f"]
    value = rows["entry_value"] * w.facts["step_u"][s] / one
    with np.errstate(divide="ignore", invalid="ignore"):
        r = pnl / (value * rows["stop_frac"])
    quantity = rows["lots"] * w.facts["lot_num"][s] / w.facts["lot_den"][s]
    who = _who(rows)
    pnl, r, closed = (_sums(who, column) for column in (pnl, r * quantity, quantity))
    return pnl, r / closed


def _sums(who: npt.NDArray[np.intp], column: Array) -> Array:
    return np.bincount(who, weights=column).astype(np.float64)


def _who(rows: Any) -> npt.NDArray[np.intp]:
    """To which trade each exit belongs, by number: a symbol, the bar it was entered at, and its number there."""
    bars, numbers = int(rows["trade_bar"].max()) + 2, int(rows["trade_number"].max()) + 2
    name = (rows["symbol"] * bars + rows["trade_bar"] + 1) * numbers + rows["trade_number"] + 1
    further = np.diff(name, prepend=name[0])
    if (further >= 0).all():  # as of one symbol, whose trades come one after the other
        return np.cumsum(further > 0)
    return np.unique(name, return_inverse=True)[1].astype(np.intp)


def _exposed(w: Any, end: int) -> int:
    """At how many closes a position was open; a row of the account holds until the next."""
    rows = w.accounts[: w.account[0]["accounts"]]
    return int(np.diff(rows["bar"], append=end)[rows["open"] > 0].sum())


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
