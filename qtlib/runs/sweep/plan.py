"""What a sweep will do, before any of it is done: its space, its trials as tasks, and the stretches they trade.

What can be refused is refused here: a setting that is none, a value out of its range, too many points, too few bars.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qtlib.learning.search import SweepParams
from qtlib.learning.space import Point
from qtlib.market import Market
from qtlib.market.timeframes import micros_at
from qtlib.params import Params, SettingsError, validate
from qtlib.runs import wiring
from qtlib.runs.sweep.bench import Bench
from qtlib.runs.sweep.searched import space_of
from qtlib.runs.sweep.trial import Stretch, Task, bars_of, changed, key

LEAST_FOLD_BARS = 20


@dataclass(frozen=True, slots=True)
class Fold:
    """A stretch that is traded by what did best on the one before it."""

    train: Stretch
    test: Stretch
    first: int  # closes, in microseconds since 1970, UTC: the first of the train stretch,
    cut: int  # the first of the test stretch,
    last: int  # and its last


@dataclass(frozen=True, slots=True)
class Ground:
    """What the plan has to know of a market."""

    fingerprint: str
    begins: int  # the last close that is past when the account begins: microseconds since 1970, UTC
    times: npt.NDArray[np.int64]  # closes after that


class Plan:
    """The trials of a sweep, as tasks."""

    def __init__(self, params: Params, code: str, bench: Bench) -> None:
        self.params, self.space = params, space_of(params)
        self.plain = params.plain()
        self._code, self._bench = code, bench
        self._grounds: dict[str, Ground] = {}
        self.market: Market = bench.footing(params, self.plain).market
        self.ground = self._ground(params, self.plain)

    def task(self, point: Point, stretch: Stretch | None = None) -> Task:
        """The trial of `point` over `stretch`, or over what a backtest would trade."""
        settings = self.space.settings(point)
        plain = changed(self.plain, settings)
        ground = self._grounds.get(bars_of(plain)) or self._ground(validate(plain), plain)
        session = plain["session"]
        over = stretch or Stretch(ground.begins, session["max_bars"], session["at_end"] == "close")
        return Task(key(plain, over, ground.fingerprint, self._code), settings, over, ground.fingerprint)

    def folds(self) -> list[Fold]:
        """The stretches of the walk-forward, one after the other, each after what it is chosen by."""
        return folds(self.ground.begins, self.ground.times[: self.params.session.max_bars], self.params.sweep)

    def _ground(self, params: Params, plain: Mapping[str, Any]) -> Ground:
        footing = self._bench.footing(params, plain)
        begins = max(micros_at(wiring.begins(params, footing.market)), 0)
        times = footing.panel.times
        made = Ground(footing.market.fingerprint, begins, times[np.searchsorted(times, begins, side="right") :])
        self._grounds[bars_of(plain)] = made
        return made


def folds(begins: int, times: npt.NDArray[np.int64], sweep: SweepParams) -> list[Fold]:
    """`times` cut into a first stretch to choose by, and `sweep.folds` stretches of one length to be traded."""
    if not sweep.folds:
        return []
    length = int(len(times) / (sweep.folds + sweep.train_folds))
    train = len(times) - sweep.folds * length
    if min(length, train) < LEAST_FOLD_BARS:
        raise SettingsError(
            f"{len(times):,} bars make {sweep.folds} folds of {length} bars, chosen for by {train}, and each needs "
            f"{LEAST_FOLD_BARS}: fewer folds (-p sweep.folds=…), or more bars"
        )
    made = []
    for number in range(sweep.folds):
        cut = train + number * length
        start = 0 if sweep.anchored else number * length
        before = int(times[start - 1]) if start else begins
        made.append(
            Fold(
                Stretch(before, cut - start, True),
                Stretch(int(times[cut - 1]), length, True),
                int(times[start]),
                int(times[cut]),
                int(times[cut + length - 1]),
            )
        )
    return made
