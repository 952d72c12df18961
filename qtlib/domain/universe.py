"""The universe: which of the candidates may be traded, since when, and why the others may not.

It is chosen anew when a UTC day begins, from what was known by then, and a change of it is an event. A candidate that
is out is not entered, and what is held of it is left.
"""

from collections.abc import Mapping
from datetime import datetime

from qtlib.domain.values import value


@value
class Picked:
    """What a day's choice came to."""

    day: datetime  # when it began: nothing later was looked at
    members: tuple[str, ...]  # those that trade the most first
    out: Mapping[str, str]  # of every other candidate, why: one of the reasons below


@value
class UniverseChanged:
    """From now on these may be traded, and those are out."""

    ts: datetime
    members: Mapping[str, datetime]  # since when each is in
    out: Mapping[str, str]  # of every other symbol that is or was a candidate, why

    @property
    def key(self) -> str:
        return f"universe:{self.ts.isoformat()}"


NOT_LISTED = "not_listed"  # the venue does not trade it, or not yet
TOO_YOUNG = "too_young"  # listed for less than the least age
NOT_TRADED = "not_traded"  # not once within the day before
LOW_TURNOVER = "low_turnover"  # less than the least
OUTRANKED = "outranked"  # enough others trade more
NO_CANDIDATE = "no_candidate"  # it was one, and the settings no longer name it
WHY_OUT = (NOT_LISTED, TOO_YOUNG, NOT_TRADED, LOW_TURNOVER, OUTRANKED, NO_CANDIDATE)
