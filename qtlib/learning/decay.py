"""Decay: whether a model still keeps what the gate promised, asked after every day, for as long as it trades.

A promise is the lower bound of expectancy that the model was promoted with, and probabilities that are honest. Against
each stands a bet that pays when the promise is broken: its wealth is multiplied after every day, and while the promise
holds it can't be expected to grow. So the chance that it *ever* reaches 1/α is at most α (Ville's inequality), and it
may be looked at as often as one likes: no number of trades was fixed beforehand, and none is too few. (Waudby-Smith and
Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86, 2024; the sequential probability ratio
test of Wald is the same with one stake and two known distributions.) Several stakes play side by side and share the
wealth, as how far a model has fallen is not known beforehand.

One step is one day of entries: trades of one day go through the same market and are no evidence each on its own. Gains
are capped at `cap_r`, in the promise as in the test, since a bet against them must have a worst case; losses are not.
"""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qtlib.learning.bootstrap import ratio_interval
from qtlib.learning.scores import Bets, daily

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

KEEP, SHADOW, ROLL_BACK = "keep", "shadow", "roll back"
_STAKES = (0.03, 0.08, 0.2, 0.4, 0.7, 0.95)  # shares of the largest stake, which loses all at worst


@dataclass(frozen=True, slots=True)
class DecayParams:
    false_alarm: float = 0.05  # the chance that a model which keeps both promises is ever demoted
    cap_r: float = 3.0  # gains count up to this, in R
    calibration_slack: float = 0.05  # winners may be this much rarer than their probabilities say
    promise_level: float = 0.05  # of the lower bound that is promised

    def __post_init__(self) -> None:
        if not (0 < self.false_alarm < 1 and self.cap_r > 0 and 0 <= self.calibration_slack < 1):
            raise ValueError(
                f"0 < false_alarm {self.false_alarm} < 1, cap_r {self.cap_r} > 0 and "
                f"0 <= calibration_slack {self.calibration_slack} < 1 must hold"
            )


@dataclass(frozen=True, slots=True)
class Promise:
    """What a model was promoted with."""

    expectancy_r: float  # lower bound of the mean result of a trade, net, gains capped
    cap_r: float


class Outcomes(NamedTuple):
    """Closed trades that were decided by one model, in the order of their entries."""

    day: Indices  # of the entry, since 1970, UTC
    r: Array  # net, in R
    confidence: Array  # what the model said


@dataclass(frozen=True, slots=True)
class Verdict:
    """What should become of a model now."""

    action: str  # keep · shadow · roll back
    trades: int
    days: int
    expectancy_r: float  # so far, gains capped; NaN: no trade yet
    promised_r: float
    against_expectancy: float  # wealth of the bet against it: at `alarm_at` it is broken
    against_calibration: float
    alarm_at: float
    words: str

    def row(self) -> dict[str, object]:
        """As one row of JSON; what could not be computed is null."""
        return {
            name: None if isinstance(value, float) and not isfinite(value) else value
            for name, value in asdict(self).items()
        }


def promise(of: Bets, params: DecayParams | None = None, *, seed: int = 0) -> Promise:
    """What purged out-of-sample bets let a model promise: never more than nothing lost, if that is all they show."""
    params = params or DecayParams()
    capped = Bets(of.day, of.score, of.confidence, np.minimum(of.r, params.cap_r), of.move_r, of.taken)
    by_day = daily(capped)
    low = ratio_interval(by_day.sum_r, by_day.bets, params.promise_level, seed=seed).low
    return Promise(max(low, 0.0) if np.isfinite(low) else 0.0, params.cap_r)


def decay(made: Promise, outcomes: Outcomes, params: DecayParams | None = None, *, predecessor: str = "") -> Verdict:
    """Keep the model, or, once either promise is broken, go back to `predecessor`, or to shadow if there is none.

    `outcomes` are all that there are since the promotion: the bets' wealth remembers, so that a promise that was
    broken once stays broken.
    """
    params = params or DecayParams()
    r = np.minimum(outcomes.r, made.cap_r)
    won = (outcomes.r > 0.0).astype(np.float64)
    shortfall = won - (outcomes.confidence - params.calibration_slack)
    results, surprises = _by_day(outcomes.day, r), _by_day(outcomes.day, shortfall)
    alarm_at = 2.0 / params.false_alarm  # two promises share the chance of a false alarm
    poorer = wealth(results - made.expectancy_r, made.cap_r - made.expectancy_r)
    rarer = wealth(surprises, 1.0 + params.calibration_slack)
    highest = [float(path.max(initial=1.0)) for path in (poorer, rarer)]
    broken = [name for name, most in zip(("expectancy", "calibration"), highest, strict=True) if most >= alarm_at]
    action = KEEP if not broken else ROLL_BACK if predecessor else SHADOW
    mean = float(r.mean()) if len(r) else np.nan
    return Verdict(
        action=action,
        trades=len(r),
        days=len(results),
        expectancy_r=mean,
        promised_r=made.expectancy_r,
        against_expectancy=highest[0],
        against_calibration=highest[1],
        alarm_at=alarm_at,
        words=_words(action, broken, len(r), mean, made, outcomes, predecessor),
    )


def wealth(excess: Array, most: float) -> Array:
    """After each step, the wealth of one that began with 1 and bets that the mean of `excess` lies below zero.

    No `excess` may be above `most`. While the mean of each, given those before, is at least zero, wealth is a
    supermartingale: `P(it ever reaches 1/α) <= α`.
    """
    if most <= 0.0:
        raise ValueError(f"what can be won by a promise kept, {most}, must be above 0")
    if len(excess) and float(excess.max()) > most * (1.0 + 1e-12):
        raise ValueError(f"excess {excess.max()} is above {most}, the most it may be")
    stakes = np.array(_STAKES)[:, None] / most
    grown = np.cumsum(np.log1p(-stakes * excess[None, :]), axis=1)
    return np.asarray(np.exp(np.minimum(grown, 700.0)).mean(axis=0))


def _by_day(day: Indices, values: Array) -> Array:
    """The mean of each day that has any."""
    _, place = np.unique(day, return_inverse=True)
    return np.bincount(place, values) / np.bincount(place) if len(day) else np.empty(0)


def _words(
    action: str, broken: list[str], trades: int, mean: float, made: Promise, outcomes: Outcomes, predecessor: str
) -> str:
    if not trades:
        return f"No trade has closed yet; at least {made.expectancy_r:+.2f} R a trade was promised."
    told = f"{trades} trades came to {mean:+.2f} R each, at least {made.expectancy_r:+.2f} R was promised"
    if action == KEEP:
        return f"The model is kept: {told}, and that is within what luck does."
    said, seen = float(outcomes.confidence.mean()), float((outcomes.r > 0.0).mean())
    odds = f"; it said {100 * said:.0f} % would win, {100 * seen:.0f} % did" if "calibration" in broken else ""
    then = f"trading goes back to {predecessor}" if action == ROLL_BACK else "it goes on in shadow, without orders"
    return f"The model has decayed: {told}{odds}, which is more than bad luck; {then}."
