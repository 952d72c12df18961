"""The two engines side by side: one market traded by both, and wherever their tables differ, said."""

import numpy as np
import pandas as pd

from qtlib.engine import compiled
from qtlib.engine.backtest import backtest
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.report.metrics import metrics
from qtlib.report.tables import tables
from qtlib.runs import columns

CENT = 1e-8  # quote: floats of exact sums differ by less


def by_event_loop(history, strategy, rules, conduct, cash):
    venue = SimulatedExchange(rules.instruments, cash, conduct)
    return tables(event for _, event in backtest(history, strategy, rules, venue).events())


def by_compiled(history, strategy, rules, conduct, cash):
    return columns.tables(compiled.backtest(history, strategy, rules, conduct, cash), rules)


def assert_same(ours, theirs, figures=True):
    """Every row of every table, every sum, what is left at the end, and every figure, which follows from all that."""
    for name in ("trades", "decisions", "levels", "equity"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert list(one.columns) == list(other.columns), name
        assert (one.dtypes == other.dtypes).all(), (name, one.dtypes, other.dtypes)
        for column in one.columns:
            _assert_column(one, other, name, column)
    ours_, theirs_ = _sums(ours), _sums(theirs)
    if figures:
        ours_, theirs_ = ours_ | metrics(ours), theirs_ | metrics(theirs)
    for figure, value in theirs_.items():
        found = ours_[figure]
        if value is None or found is None:
            assert value == found, (figure, found, value)
        else:
            assert abs(found - value) <= CENT + 1e-7 * abs(value), (figure, found, value)
    for what in ("account", "status", "requests", "losses_in_row", "order_errors", "peak_equity", "cause"):
        assert getattr(ours.state, what) == getattr(theirs.state, what), what


def _sums(tables):
    """The summary's amounts, as floats."""
    sums = {name: getattr(tables.summary, name) for name in tables.summary.__dataclass_fields__ if name != "moves"}
    sums |= {f"move {n}": amount for n, (_, amount) in enumerate(tables.summary.moves)}
    return {name: value if value is None else float(value) for name, value in sums.items()}


def _assert_column(one, other, table, column):
    ours, theirs = one[column], other[column]
    if ours.equals(theirs):
        return
    short = min(len(ours), len(theirs))
    if pd.api.types.is_float_dtype(ours.dtype):
        a, b = ours.to_numpy()[:short], theirs.to_numpy()[:short]
        differs = ~((np.abs(a - b) <= CENT + 1e-12 * np.abs(b)) | (np.isnan(a) & np.isnan(b)))
    else:
        differs = (ours[:short] != theirs[:short]).to_numpy()
    if differs.any() or len(ours) != len(theirs):
        at = int(differs.argmax()) if differs.any() else short
        around = slice(max(0, at - 2), at + 3)
        raise AssertionError(
            f"{table}.{column} differs at row {at} ({len(ours)} rows, {len(theirs)}):\ncompiled\n"
            f"{one[around].to_string()}\nevent loop\n{other[around].to_string()}"
        )
