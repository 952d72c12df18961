"""Leaks between rows: what no function shows by itself, because it is in who learns from whom.

A row is decided at one column (`at`) and known at a later one (`end`). A model may learn from rows that were known
before the first row that it is tested on was decided, and from nothing that was computed with the tested rows.

    lint_splits("walk-forward", data.at, data.end, splits)     # folds: shuffled, not purged, after the test
    lint_fitted("scaler", prepare, x, splits)                   # what is fitted sees the rows it is tested on
    lint_columns(data.names, data.x, {"long_r": data.long_r})   # an outcome among the features
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from qtlib.domain.panel import Array
from qtlib.learning.findings import Finding, Findings, together
from qtlib.learning.validation import Split

Indices = npt.NDArray[np.int64]

SHUFFLED, UNPURGED, AFTER, FITTED, TARGET = "shuffled folds", "no purge", "train after test", "fitted on test", "target"
_TURNS = 40  # times that rows of one kind follow on the other in a fold: blocks have a few, a shuffle has thousands
_ALIKE = 0.9  # rank correlation of a feature and an outcome: no market is as kind as that
_ROWS = 20_000


def lint_splits(name: str, at: Indices, end: Indices, splits: Iterable[Split], *, ordered: bool = True) -> Findings:
    """Where a fold is trained on what it is tested on. `ordered` folds are trained on the past alone."""
    found: dict[str, Finding] = {}
    for fold, split in enumerate(splits):
        train, test = np.asarray(split.train), np.asarray(split.test)
        if not len(train) or not len(test):
            continue
        where = f"fold {fold}"
        turns = _turns(at, train, test)
        if turns > _TURNS:
            words = f"{name} shuffles its rows: in {where} rows to train and to test take turns {turns} times in time, "
            words += "so that each is learned from its neighbours; cut time into blocks"
            found.setdefault(SHUFFLED, Finding(SHUFFLED, name, where, str(turns), f"at most {_TURNS}", words))
            continue
        begins = int(at[test].min())
        if ordered and (late := train[at[train] >= begins]).size:
            row = int(late[0])
            words = (
                f"{name} trains on what came later: {where} is tested from column {begins} on, and {len(late)} rows "
            )
            words += f"of its training are not before it, as row {row} of column {at[row]}; train on the past alone"
            found.setdefault(AFTER, Finding(AFTER, name, f"{where}, row {row}", str(at[row]), f"< {begins}", words))
            train = train[at[train] < begins]
        if (overlaps := _overlapping(at, end, train, test)).size:
            row = int(overlaps[0])
            words = f"{name} does not purge: in {where} {len(overlaps)} training rows share bars with rows to test, as "
            words += f"row {row}, decided at column {at[row]} and known at {end[row]}, where the test begins at "
            words += f"{begins}; leave out rows whose label ends after a tested row was decided"
            found.setdefault(UNPURGED, Finding(UNPURGED, name, f"{where}, row {row}", str(end[row]), "", words))
    return Findings(tuple(found.values()), (name,))


def lint_fitted(
    name: str, prepare: Callable[[Array, Indices], Array], x: Array, splits: Iterable[Split], seed: int = 0
) -> Findings:
    """Whether `prepare(x, train)`, rows made ready by what was fitted on `train`, changes with rows that are not in it.

    The rows to test are replaced by others; those to train on must come out as they did.
    """
    for fold, split in enumerate(splits):
        changed = x.copy()
        changed[split.test] = np.random.default_rng(seed).permutation(changed[split.test] * 3.0 + 1.0)
        one, other = prepare(x, split.train)[split.train], prepare(changed, split.train)[split.train]
        apart = ~((one == other) | (np.isnan(one) & np.isnan(other)))
        if apart.any():
            row, column = (int(place[0]) for place in np.nonzero(apart))
            told, known = repr(float(one[row, column])), repr(float(other[row, column]))
            where = f"fold {fold}, row {split.train[row]}"
            words = (
                f"{name} is fitted on rows it is tested on: in {where} feature {column} becomes {told}, and {known} "
            )
            words += "when the rows to test are others; fit it on the training rows of each fold"
            return Findings((Finding(FITTED, name, where, told, known, words),), (name,))
    return Findings((), (name,))


def lint_columns(names: Sequence[str], x: Array, outcomes: Mapping[str, Array]) -> Findings:
    """Whether a feature is an outcome in disguise: their ranks agree as no honest feature's do."""
    rows = np.linspace(0, len(x) - 1, min(len(x), _ROWS)).astype(np.int64)
    parts = []
    for column, name in enumerate(names):
        found = []
        for outcome, values in outcomes.items():
            alike = _rank_correlation(x[rows, column], values[rows])
            if abs(alike) > _ALIKE:
                words = f"{name} tells the outcome: over {len(rows)} rows its rank correlation with {outcome} is "
                words += f"{alike:.3f}, above {_ALIKE}; a feature is known at the decision, and no market is so kind"
                found = [Finding(TARGET, name, f"{len(rows)} rows", f"{alike:.3f}", f"at most {_ALIKE}", words)]
        parts.append(Findings(tuple(found), (name,)))
    return together(parts)


# --- below ----------------------------------------------------------------------------------------------------------


def _turns(at: Indices, train: Indices, test: Indices) -> int:
    """How often rows to train on and to test take turns, in the order of their decisions."""
    times = np.concatenate([at[train], at[test]])
    tested = np.concatenate([np.zeros(len(train), dtype=bool), np.ones(len(test), dtype=bool)])
    order = np.lexsort((tested, times))
    return int((np.diff(tested[order].astype(np.int8)) != 0).sum())


def _overlapping(at: Indices, end: Indices, train: Indices, test: Indices) -> Indices:
    """The training rows whose label lasts while that of a tested row does."""
    order = np.argsort(at[test], kind="stable")
    begun, latest = at[test][order], np.maximum.accumulate(end[test][order])
    before = np.searchsorted(begun, end[train], side="left")  # tested rows decided before the training row was known
    shares = (before > 0) & (latest[np.maximum(before - 1, 0)] > at[train])
    overlapping: Indices = train[shares]
    return overlapping


def _rank_correlation(one: Array, other: Array) -> float:
    """Spearman's, over the rows that have both; 0 where there is nothing to rank."""
    both = ~np.isnan(one) & ~np.isnan(other)
    if both.sum() < 30 or np.ptp(one[both]) == 0.0 or np.ptp(other[both]) == 0.0:
        return 0.0
    ranks = [np.unique(values[both], return_inverse=True)[1].astype(np.float64) for values in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
