"""One pass over the bars: what the venue lives through, what is decided at each close, and what is asked of it then."""

from typing import Any

from qtlib.compiler import compiled, part
from qtlib.engine.compiled import at, trader, venue
from qtlib.engine.compiled.shapes import DONE, HALTED, LARGEST, TOO_LARGE


@compiled
def lived(where: Any, first: int, end: int, close_at_end: bool) -> int:
    """Trade the bars from `first` to the one before `end` of what lies `where`; close what is open then, if asked to.

    Why it gave up, or 0.
    """
    w = where[0]
    a = at.account(w)[0]
    funded = 0
    for t in range(first, end):
        if a.open:
            if venue.is_touched(w, t):
                venue.walk(w, t)
            if funded < len(at.funding(w)) and at.funding(w)[funded, 0] <= t:
                while funded < len(at.funding(w)) and at.funding(w)[funded, 0] < t:
                    funded += 1
                funded = venue.funded(w, t, funded)
        trader.valued(w, t)
        entries = trader.decided(w, t)
        if entries or a.open:
            trader.settled(w, t, entries)
        noted(w, t)
        if a.equity_u > LARGEST or a.equity_u < -LARGEST:
            a.outcome = TOO_LARGE
        if a.outcome != DONE:
            return a.outcome
    if close_at_end and end > first:
        if a.status != HALTED:
            a.status, a.at_end = HALTED, True
        trader.unsettled(w)
        t = end - 1
        trader.settled(w, t, 0)
        noted(w, t)
    return a.outcome


@part
def noted(w: Any, t: int) -> None:
    a = at.account(w)[0]
    at.curve(w)[t, 0], at.curve(w)[t, 1], at.curve(w)[t, 2], at.curve(w)[t, 3] = a.equity_u, a.cash_u, a.gross_u, a.open
