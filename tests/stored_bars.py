"""Rows of a series for tests: as they are stored, under the time of their open."""

import numpy as np
from builders import T0, make_bars

from qtlib.market.names import Name
from qtlib.market.series import Label, Rows
from qtlib.market.timeframes import micros_in

HOURLY = Name("BTCUSDT", "1h")
HERE = Label(("here",), venue="binanceusdm")
SPAN = HOURLY.span


def rows_of(frame, span=SPAN):
    """A frame, whose bars are known by their close, as rows."""
    return Rows(micros_in(frame.index) - span, {str(c): frame[c].to_numpy(np.float64) for c in frame.columns})


def some_rows(hours=24 * 70, seed=0, t0=T0):
    """Hourly rows from the first of January 2026: three months of them, unless said otherwise."""
    return rows_of(make_bars(hours, seed=seed, t0=t0))


def tree(folder):
    """Every file below `folder` that is not hidden, with its bytes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }
