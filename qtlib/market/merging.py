"""Merging: what becomes of rows that are offered for a series that has some already.

Rows that agree are one row; where two sources disagree about a time, each difference is named, and nothing is merged
unless it is said which of the two holds. What is not touched stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import numpy as np

from qtlib.market.market import BadData
from qtlib.market.series import Rows
from qtlib.market.timeframes import datetime_at

SHOWN = 12  # differences that a refusal names


class Differing(Enum):
    """What holds where rows that are held and rows that are offered differ."""

    REFUSE = "refuse"  # neither: a person looks first
    KEEP = "keep"  # those held
    REPLACE = "replace"  # those offered


@dataclass(frozen=True, slots=True)
class Difference:
    """One value of one row about which two sources disagree."""

    series: str
    ts: datetime  # as stored: of the open, or the settlement
    column: str
    held: float
    offered: float

    def __str__(self) -> str:
        return f"{self.ts:%Y-%m-%d %H:%M} {self.column}: held {self.held:.12g}, offered {self.offered:.12g}"


class Disagree(BadData):
    """Two sources disagree about rows of a series; `differences` has them all."""

    def __init__(self, differences: Sequence[Difference], held_from: str, offered_from: str) -> None:
        self.differences = tuple(differences)
        series, bars = differences[0].series, len({d.ts for d in differences})
        lines = [f"\n  {difference}" for difference in differences[:SHOWN]]
        more = f"\n  and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        super().__init__(
            f"{series}: {bars} rows of {offered_from or 'what is offered'} differ from those held, which are from "
            f"{held_from or 'an unknown source'}; nothing was stored. Look at them, and say which holds with "
            f"--differing keep or --differing replace:{''.join(lines)}{more}"
        )


def merge(name: str, held: Rows, offered: Rows, differing: Differing) -> tuple[Rows, tuple[Difference, ...]]:
    """`held` with what is new in `offered`, ascending; and every value about which the two disagree.

    Both ascend and have no time twice. With `REFUSE` the rows are those of `KEEP`: whoever asked does not store them.
    """
    _, ours, theirs = np.intersect1d(held.times, offered.times, assume_unique=True, return_indices=True)
    found = []
    for column, values in held.values.items():
        a, b = values[ours], offered.values[column][theirs]
        found += [
            Difference(name, datetime_at(held.times[ours[at]]), column, float(a[at]), float(b[at]))
            for at in np.flatnonzero(a != b)
        ]
    if differing is Differing.REPLACE:
        held = held.where(np.delete(np.arange(len(held)), ours))
    else:
        offered = offered.where(np.delete(np.arange(len(offered)), theirs))
    return _together(held, offered), tuple(sorted(found, key=lambda difference: difference.ts))


# --- below ------------------------------------------------------------------------------------------------


def _together(one: Rows, other: Rows) -> Rows:
    """Both, ascending; they have no time in common."""
    if not len(other) or not len(one):
        return one if len(one) else other
    times = np.concatenate([one.times, other.times])
    order = np.argsort(times, kind="stable")
    values = {name: np.concatenate([values, other.values[name]])[order] for name, values in one.values.items()}
    return Rows(times[order], values)
