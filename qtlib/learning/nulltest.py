"""The null test: the same pipeline on outcomes that belong to other times must find nothing.

Outcomes are moved in whole blocks of time, for all symbols alike: they keep how they hang together from symbol to
symbol and from bar to bar, and lose only what the features could have told of them. What a pipeline still finds there
is luck, or a leak: the real skill must rank above nearly all of it (Ojala and Garriga, "Permutation tests for studying
classifier performance", JMLR 11, 2010), and there must be none to speak of in the mean.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qtlib.learning.dataset import Dataset, evenly
from qtlib.learning.predictions import Each, Fit, one_by_one
from qtlib.learning.validation import ValidationParams, walk_forward

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

FAR_R = 3.0  # moves beyond count as this much: one long run is not the skill of a hundred bets
ONCE = ValidationParams(folds=1, warmup_frac=0.6)  # who learned from little names no side
_OUTCOMES = ("long_r", "short_r", "long_frac", "short_frac", "favourable_frac", "adverse_frac", "weight")


class NullTest(NamedTuple):
    """The skill that was found, and what the same pipeline found where there is none."""

    real: float
    permuted: tuple[float, ...]

    @property
    def p(self) -> float:
        """The share of all, the real one included, that is at least as good: 1 / 20 is the best of 20."""
        if not np.isfinite(self.real) or not self.permuted:
            return nan
        return (1 + sum(not found < self.real for found in self.permuted)) / (1 + len(self.permuted))

    @property
    def lift(self) -> float:
        """How far the permuted skills lie above nothing in the mean, in standard errors."""
        if len(self.permuted) < 2:
            return nan
        found = np.array(self.permuted)
        error = float(found.std(ddof=1)) / sqrt(len(found))
        return float(found.mean()) / error if error > 0.0 else (0.0 if found.mean() <= 0.0 else np.inf)


def null_test(
    data: Dataset,
    skill: Callable[[Dataset], float],
    permutations: int = 19,
    block: int = 168,
    seed: int = 0,
    enough: int | None = None,
    max_rows: int = 8_000,
    each: Each = one_by_one,
) -> NullTest:
    """The skill on `data`, and on as many permutations of its outcomes, in blocks of `block` columns.

    More than `max_rows` rows are thinned evenly, as neighbours tell much the same, and this is asked often. With
    `enough` it ends early, once so many did as well: what has failed need not be failed more precisely (Besag
    and Clifford, "Sequential Monte Carlo p-values", Biometrika 78, 1991).
    """
    drawn = (permuted(data, block, np.random.default_rng([seed, n]), max_rows) for n in range(permutations))
    skills = each(skill, chain([data.thinned(max_rows)], drawn))
    real, found = next(skills), list[float]()
    for other in skills:
        found.append(other)
        if enough is not None and sum(not other < real for other in found) >= enough:
            break
    return NullTest(real, tuple(found))


@dataclass(frozen=True, slots=True)
class Skill:
    """A pipeline's skill: what its walk-forward sides gain a row over its symbol's mean move, in R.

    A side is long or short, or none, which gains nothing: so a fit that never says anything has no skill. The mean is
    taken off because a symbol that went up all along does so at permuted times too; moves count up to `FAR_R`. A rank
    correlation knows less: it loses itself among the many rows of which nothing is said.
    """

    fit: Fit
    params: ValidationParams = ONCE

    def __call__(self, data: Dataset) -> float:
        score = walk_forward(data, self.fit, self.params).score
        told = np.isfinite(score)
        if not told.any():
            return 0.0
        move = np.clip((data.long_r - data.short_r) / 2.0, -FAR_R, FAR_R)[told]
        symbol = data.symbol[told]
        usual = np.bincount(symbol, move) / np.maximum(np.bincount(symbol), 1)
        return float((np.sign(score[told]) * (move - usual[symbol])).mean())


def permuted(data: Dataset, block: int, dice: np.random.Generator, max_rows: int | None = None) -> Dataset:
    """`data` with the outcomes of other times: whole blocks of columns changed places, for all symbols alike. With
    `max_rows`, thinned to so many.

    A row whose symbol has no outcome at its new time (it was not listed then) is left out. A label stays as long as
    it was.
    """
    first, size = int(data.at.min()), int(data.at.max()) - int(data.at.min()) + 1
    starts = np.arange(int(dice.integers(0, block)) - block, size, block)  # so that edges differ from draw to draw
    runs = [np.arange(max(start, 0), min(start + block, size)) for start in starts.tolist()]
    source = np.concatenate([runs[n] for n in dice.permutation(len(runs))])  # column -> where its outcome comes from
    table = np.full((len(data.symbols), size), -1, dtype=np.int64)
    table[data.symbol, data.at - first] = np.arange(len(data))
    origin = table[data.symbol, source[data.at - first]]
    rows = np.flatnonzero(origin >= 0)
    rows = rows if max_rows is None else rows[evenly(len(rows), max_rows)]
    moved = {name: getattr(data, name)[origin[rows]] for name in _OUTCOMES}
    kept = data.take(rows)
    return replace(kept, end=kept.at + (data.end - data.at)[origin[rows]], **moved)
