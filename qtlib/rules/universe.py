"""Which candidates may be traded on a day: those that trade the most, of those that are old and liquid enough.

It reads what was known when the day began, and nothing else: a symbol that is listed later is no candidate before, and
one that was delisted since counts for as long as it traded. Whoever is out is out for exactly one reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from qtlib.domain.state import State
from qtlib.domain.universe import (
    LOW_TURNOVER,
    NO_CANDIDATE,
    NOT_LISTED,
    NOT_TRADED,
    OUTRANKED,
    TOO_YOUNG,
    Picked,
    UniverseChanged,
)


@dataclass(frozen=True, slots=True)
class UniverseParams:
    top: int = 10  # so many are members at most
    min_turnover_quote: float = 10e6  # within the 24 h before the day
    min_age_days: float = 30.0  # since its first bar closed


class Known(NamedTuple):
    """What is known of a candidate when a day begins."""

    listed: datetime | None  # the close of its first bar; None: there is none
    turnover_quote: float  # within the 24 h before


def pick(day: datetime, candidates: Mapping[str, Known], params: UniverseParams) -> Picked:
    """The members of the day that begins at `day`, and for every other candidate the one reason why not."""
    out = {symbol: why for symbol, known in candidates.items() if (why := _unfit(day, known, params))}
    fit = sorted((-known.turnover_quote, symbol) for symbol, known in candidates.items() if symbol not in out)
    members = tuple(symbol for _, symbol in fit[: params.top])
    return Picked(day, members, {**out, **{symbol: OUTRANKED for _, symbol in fit[params.top :]}})


def change(picked: Picked, ts: datetime, state: State) -> UniverseChanged | None:
    """What `picked` changes at `ts`; None: it is as it was. Who was a candidate and is none any more is out."""
    before = state.universe
    since, gone = (before.members, before.out) if before else ({}, {})
    members = {symbol: since.get(symbol, ts) for symbol in picked.members}
    unnamed = {s: NO_CANDIDATE for s in (*since, *gone) if s not in members and s not in picked.out}
    after = UniverseChanged(ts, members, {**unnamed, **picked.out})
    same = before is not None and (before.members, before.out) == (after.members, after.out)
    return None if same else after


def why_out(symbol: str, state: State) -> str:
    """Why `symbol` may not be traded; empty: it may."""
    return state.universe.out.get(symbol, "") if state.universe else ""


def _unfit(day: datetime, known: Known, params: UniverseParams) -> str:
    if known.listed is None or known.listed > day:
        return NOT_LISTED
    if known.turnover_quote <= 0.0:
        return NOT_TRADED
    if day - known.listed < timedelta(days=params.min_age_days):
        return TOO_YOUNG
    return LOW_TURNOVER if known.turnover_quote < params.min_turnover_quote else ""
