"""What was learned from a lesson, and how good it is on what it was not shown.

The newest stretch is untouched until the end: everything that is fitted, calibrated or validated here reads only what
was known before it, and what is said of the newest stretch is said once, of the one model that is going to be judged.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from qtlib.domain.panel import Array
from qtlib.learning.dataset import Dataset
from qtlib.learning.learned import Trained, learn
from qtlib.learning.ledger import Ledger, Trial, fingerprint
from qtlib.learning.nulltest import NullTest, Skill, null_test
from qtlib.learning.predictions import Asked, Each, Fit, Predictions, one_by_one, told
from qtlib.learning.scores import Bets, Reliability, Scored, bets, expectancy, rank_ic, reliability, score
from qtlib.learning.strategies import Trend
from qtlib.learning.training import Calibrated, TrainParams, fitting, ventured
from qtlib.learning.validation import OutOfSample, ValidationParams, combinatorial, recent, walk_forward
from qtlib.runs.learning.lesson import Lesson

SHARES = (0.25, 0.5, 0.75)  # of the past, the newest, and then all of it: what more history teaches
ENOUGH = 2  # permutations that do as well: then it is known that chance does, and the rest need not be asked
SHUFFLED_ROWS = 4_000  # that importance is measured on
PATH_ROWS = 30_000  # of the past, that the combinatorial paths go through
CURVE_ROWS = 10_000  # of the newest stretch, that the curve is measured on


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    train: TrainParams
    trained: Trained  # on all of the past
    past: Dataset
    newest: Dataset  # the untouched stretch
    begins: int  # the column of the panel that it begins at
    bets: Bets  # of the past, out of sample
    rule: Bets  # what the trend rule would have bet on the same rows
    scores: tuple[Scored, ...]
    paths: tuple[float, ...]  # expectancy in R of each combinatorial path
    null: NullTest
    importance: tuple[tuple[str, float], ...]  # rank IC of the newest stretch that goes when a feature is shuffled
    curve: tuple[tuple[int, float], ...]  # rows learned from, and the rank IC of the newest stretch

    @property
    def reliability(self) -> Reliability:
        """Of what was said out of sample."""
        told = np.isfinite(self.bets.confidence) & np.isfinite(self.bets.r)
        return reliability(self.bets.confidence[told], self.bets.won[told])


def study(lesson: Lesson, ledger: Ledger, each: Each = one_by_one) -> Study:
    """Fit, validate and question a model of the past of `lesson`; every fit is a line in `ledger`.

    `each` does the many fits; what they come to does not depend on who that is.
    """
    learning, threshold = lesson.params.learning, lesson.params.sizing.confidence_threshold
    train = TrainParams(model=learning.model, seed=learning.seed)
    cut = ValidationParams()
    split, begins = recent(lesson.data.at, lesson.data.end, cut)
    past, newest = lesson.data.take(split.train), lesson.data.take(split.test)
    make = fitting(train)
    thin, few = past.thinned(PATH_ROWS), newest.thinned(CURVE_ROWS)

    def fits(fit: Fit, asked: Iterable[Asked]) -> Iterator[Predictions]:
        return each(partial(told, fit), _light(asked, train))

    skill, permutations = Skill(make), learning.permutations
    others = (
        partial(walk_forward, past, make, cut, fits),
        partial(combinatorial, thin, make, cut, fits),
        partial(null_test, past, skill, permutations, seed=learning.seed, enough=ENOUGH, each=each),
        partial(_curve, past, few, train, each),
    )
    with ThreadPoolExecutor(len(others)) as waiting:  # for what others do, while the model itself is made here
        at_once: Any = map if each is one_by_one else waiting.map
        came = at_once(lambda part: part(), others)
        trained = learn(past, train, known_until=int(lesson.panel.times[past.end.max()]))
        model = trained.model
        importance = _importance(model, newest, learning.seed)
        out, paths, null, curve = came
    rows = np.flatnonzero(out.fold >= 0)
    seen = past.take(rows)
    believed = Trend().signals(lesson.panel)
    sides = ((out.score[rows], out.confidence[rows]), [of[seen.symbol, seen.at] for of in believed[:2]])
    ours, rule = (
        bets(seen.times, told_score, told_confidence, seen.long_r, seen.short_r, threshold)
        for told_score, told_confidence in sides
    )
    found = Study(
        train=train,
        trained=trained,
        past=past,
        newest=newest,
        begins=begins,
        bets=ours,
        rule=rule,
        scores=score(ours, rule, seen.symbol, seen.symbols, seen.volatility_frac),
        paths=tuple(_of_path(thin, paths, row, threshold) for row in range(len(paths.score))),
        null=null,
        importance=importance,
        curve=(*curve, (len(past), _skill(model, few, few.x))),
    )
    ledger.add(
        Trial(
            "fit",
            lesson.subject,
            "challenger",
            fingerprint({"model": train.model, "seed": train.seed, "features": "|".join(past.names)}),
            past.fingerprint,
            numbers={"expectancy_r": _known(expectancy(ours).mean), "rank_ic": _known(found.scores[0].rank_ic)},
        )
    )
    return found


def _of_path(data: Dataset, paths: OutOfSample, row: int, threshold: float) -> float:
    of = bets(data.times, paths.score[row], paths.confidence[row], data.long_r, data.short_r, threshold)
    return float(of.r[of.taken].mean()) if of.taken.any() else float("nan")


def _skill(model: Calibrated, data: Dataset, x: Array) -> float:
    """The rank IC of what `model` says of `data`, shown `x`."""
    return rank_ic(model.predict(x).score, data.long_r - data.short_r)


def _importance(model: Calibrated, newest: Dataset, seed: int) -> tuple[tuple[str, float], ...]:
    """What each feature is worth: shuffled, so much of the rank IC goes (Breiman 2001, out of sample). Best first."""
    some = newest.thinned(SHUFFLED_ROWS)
    whole, dice = _skill(model, some, some.x), np.random.default_rng(seed)
    found = []
    for column, name in enumerate(some.names):
        shown = some.x.copy()
        shown[:, column] = dice.permutation(shown[:, column])
        found.append((name, whole - _skill(model, some, shown)))
    return tuple(sorted(found, key=lambda row: -row[1]))


def _light(asked: Iterable[Asked], train: TrainParams) -> Iterator[Asked]:
    """With no more rows to carry than a fit draws: of those it draws each once."""
    return ((rows.drawn(min(len(rows), train.max_rows)), x) for rows, x in asked)


def _curve(past: Dataset, newest: Dataset, train: TrainParams, each: Each) -> tuple[tuple[int, float], ...]:
    """Skill on the newest stretch by how much of the past was learned from, the newest part of it."""
    parts = [past.take(slice(round(len(past) * (1.0 - share)), None)) for share in SHARES]
    said = each(partial(ventured, fitting(train)), _light(((part, newest.x) for part in parts), train))
    outcome = newest.long_r - newest.short_r
    return tuple((len(p), rank_ic(s.score, outcome)) for p, s in zip(parts, said, strict=True) if s is not None)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def table(scored: Sequence[Scored]) -> list[dict[str, object]]:
    """The scores as rows, for people."""
    return [
        {
            "group": s.group,
            "predictions": s.rows,
            "bets": s.taken,
            "win rate": s.win_rate_frac,
            "expectancy [R]": s.expectancy.mean,
            "at least [R]": s.expectancy.low,
            "trend rule [R]": s.rule.mean,
            "Brier": s.brier,
            "of base rate": s.brier_base,
            "AUC": s.auc,
            "rank IC": s.rank_ic,
            "calibration error": s.calibration_error,
        }
        for s in scored
    ]
