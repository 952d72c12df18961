"""The surface of a sweep: how the worth of trials changes along the axes, and how alike the best one's neighbours are.

A lone peak among poor neighbours was found by looking often enough; a plateau is there for whoever comes near it.
Scores are NaN where a trial has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qtlib.learning.space import Axis, Point, Space

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

MOST_BINS = 24  # of an axis, to be read
MOST_COMPARED = 4_096  # trials whose neighbours are all looked for


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """An axis cut so that trials fall into a few places along it."""

    labels: tuple[str, ...]
    of: Places  # the place of each trial


def bins(axis: Axis, values: Sequence[Any]) -> Bins:
    """`values` of `axis`, by themselves where they are few, else by stretches of it."""
    if axis.values and len(axis.values) <= MOST_BINS:
        place = np.array([int(axis.place(v)) for v in values], dtype=np.intp)
        return Bins(tuple(_label(v) for v in axis.values), place)
    length = len(axis.values) - 1 if axis.values else 1.0
    share = np.array([axis.place(v) / length for v in values])
    count = max(2, min(12, int(len(values) ** 0.5)))
    edges = [axis.at(k / count) for k in range(count + 1)]
    labels = tuple(f"{_label(a)} …" for a in edges[:-1])
    return Bins(labels, np.minimum((share * count).astype(np.intp), count - 1))


def median_over(scores: Array, across: Bins, down: Bins) -> Array:
    """The median score of the trials at each place of two axes, (down, across); NaN where there are none."""
    made = np.full((len(down.labels), len(across.labels)), np.nan)
    known = ~np.isnan(scores)
    for y, x in {(int(y), int(x)) for y, x in zip(down.of[known], across.of[known], strict=True)}:
        made[y, x] = np.median(scores[known & (down.of == y) & (across.of == x)])
    return made


def neighbours(space: Space, points: list[Point], row: int) -> list[int]:
    """The trials nearest to one: one step away along one axis; where there are ranges, the nearest two for each axis.

    Another value of an axis that has no order is one step away.
    """
    return _near(space, space.places(points), row)


def plateau(space: Space, points: list[Point], scores: Array) -> Array:
    """The median score of each trial and its neighbours, (trials,); NaN, where it has none or no neighbour has one."""
    made = np.full(len(points), np.nan)
    if len(points) > MOST_COMPARED:
        return made
    places = space.places(points)
    for row in np.flatnonzero(~np.isnan(scores)).tolist():
        around = scores[_near(space, places, row)]
        if len(around) and not np.isnan(around).all():
            made[row] = np.median(np.r_[scores[row], around[~np.isnan(around)]])
    return made


# --- below ------------------------------------------------------------------------------------------------


def _near(space: Space, places: Array, row: int) -> list[int]:
    apart = np.abs(places - places[row])
    for column, axis in enumerate(space.axes):
        if not axis.numeric:
            apart[:, column] = np.minimum(apart[:, column], 1.0)
    if all(axis.values for axis in space.axes):
        found = np.flatnonzero(np.isclose(apart.sum(axis=1), 1.0))
        return [int(i) for i in found]
    lengths = np.array([max(len(axis.values) - 1, 1) if axis.numeric and axis.values else 1.0 for axis in space.axes])
    distance = np.sqrt(((apart / lengths) ** 2).sum(axis=1))
    order = np.argsort(distance, kind="stable")
    return [int(i) for i in order if distance[i] > 0][: 2 * len(space.axes)]


def _label(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_label, value)) if isinstance(value, list | tuple) else str(value)
