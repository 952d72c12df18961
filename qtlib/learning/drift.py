"""Drift: how far inputs have wandered from what was learned from, held against what chance alone would do.

A model keeps of each feature how what it learned from was distributed (its profile), and not the rows, so that a
session can compare what it has seen lately.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Profile(NamedTuple):
    """How a feature was distributed: the borders of its bins, and how many rows lay in each."""

    edges: tuple[float, ...]  # ascending
    counts: tuple[int, ...]  # one more than borders


class Drift(NamedTuple):
    """How far an input has wandered from what was learned from."""

    name: str
    stability: float  # population stability index: 0 is the same distribution
    expected: float  # what chance alone would rarely exceed, for so few rows
    drifted: bool


def profiles(names: Sequence[str], learned: Array, bins: int = 10) -> dict[str, Profile]:
    """The profile of each feature in `learned` (rows, features), in bins of about as many rows each."""
    return {name: _profile(learned[:, n], bins) for n, name in enumerate(names)}


def drift(
    learned: Mapping[str, Profile], lately: Array, repeats: float = 24.0, most: float = 0.25
) -> tuple[Drift, ...]:
    """Each feature's population stability index (Siddiqi 2006), and whether it says more than chance would.

    `lately` is (rows, features), in the order of `learned`. `repeats` rows in a row are about one of their own, as
    features change slowly. Chance makes the index about (1/n + 1/m) times a chi-squared of the bins − 1 (Yurdakul
    2018); its 99.9th percentile and `most`, by custom the border of a significant shift, must both be passed.
    """
    return tuple(_drift(name, of, lately[:, n], repeats, most) for n, (name, of) in enumerate(learned.items()))


def _profile(values: Array, bins: int) -> Profile:
    known = values[np.isfinite(values)]
    if len(known) < bins:
        return Profile((), (len(known),))
    edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    return Profile(tuple(map(float, edges)), tuple(map(int, _counts(edges, known))))


def _drift(name: str, of: Profile, lately: Array, repeats: float, most: float) -> Drift:
    now, rows, free = lately[np.isfinite(lately)], sum(of.counts), len(of.edges)
    if not free or not len(now):
        return Drift(name, np.nan, np.nan, False)
    counts = (np.array(of.counts), _counts(np.array(of.edges), now))
    p, q = ((c + 0.5) / (c.sum() + 0.5 * len(c)) for c in counts)  # no bin is ever quite empty
    stability = float(((q - p) * np.log(q / p)).sum())
    far = free * (1.0 - 2.0 / (9.0 * free) + 3.09 * sqrt(2.0 / (9.0 * free))) ** 3  # Wilson, Hilferty
    expected = far * repeats * (1.0 / rows + 1.0 / len(now))
    return Drift(name, stability, expected, stability > max(most, expected))


def _counts(edges: Array, values: Array) -> npt.NDArray[np.int64]:
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
