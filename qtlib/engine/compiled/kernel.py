"""One pass over the bars: what the venue lives through, what is decided at each close, and what is asked of it then."""

from typing import Any

from qtlib.compiler import compiled, part
from qtlib.engine.compiled import at, quiet
from qtlib.engine.compiled.decide import decided
from qtlib.engine.compiled.settle import settled
from qtlib.engine.compiled.shapes import DONE, HALTED, LARGEST, TOO_LARGE
from qtlib.engine.compiled.valued import unsettled, valued
from qtlib.engine.compiled.way import funded, is_touched, walk


@compiled
def lived(where: Any, first: int, end: int, close_at_end: bool) -> int:
    """Trade the bars from `first` to the one before `end` of what lies `where`; close what is open then, if asked to.

    Why it gave up, or 0.
    """
    w = where[0]
    a = at.account(w)
    t = first
    if end > first:
        noted(w, first)
    while t < end:
        t = quiet.passed(w, t, end - 1)
        at.soon_times(w, t)
        if a.open:
            if is_touched(w, t):
                walk(w, t)
            funded(w, t)
        valued(w, t)
        entries = decided(w, t)
        if entries or a.open:
            settled(w, t, entries)
        noted(w, t)
        if a.equity_u > LARGEST or a.equity_u < -LARGEST:
            a.outcome = TOO_LARGE
        if a.outcome != DONE:
            return a.outcome
        t += 1
    if close_at_end and end > first:
        if a.status != HALTED:
            a.status, a.at_end = HALTED, True
        unsettled(w)
        settled(w, end - 1, 0)
        noted(w, end - 1)
    return a.outcome


@part
def noted(w: Any, t: int) -> None:
    """Equity at the close of bar `t`, and the account, if it is another than before."""
    a = at.account(w)
    at.curve(w)[t] = a.equity_u
    if a.accounts:
        before = at.accounts(w, a.accounts - 1)
        if before.cash_u == a.cash_u and before.gross_u == a.gross_u and before.open == a.open:
            return
        if before.bar == t:
            a.accounts -= 1
    row = at.accounts(w, a.accounts)
    row.bar, row.cash_u, row.gross_u, row.open = t, a.cash_u, a.gross_u, a.open
    a.accounts += 1
