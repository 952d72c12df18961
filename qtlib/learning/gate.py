"""The gate: whether a challenger has earned to trade. It decides from values, and says why in numbers.

It is asked twice over: of predictions that were made out of sample (purged), and of a recent stretch that nothing was
fitted to, traded with all costs, as the event loop trades, by the challenger and by what it has to beat: the champion,
or, while there is none, doing nothing and the rule of thumb. Every check must pass; a number that is missing fails.

How honest it is. Days are compared in pairs: what both lived through cancels out, and blocks of days are drawn, as
neighbours resemble each other (`bootstrap.py`). Challengers come again and again, and one of many is lucky; so a
judgement is made at a *level*, the chance that a worthless challenger passes, and levels are spent like money: the
first judgement has `first_level`, and from then on they come in at `false_promotions_a_year`. Who asks daily has little
for each, who asks twice an hour next to none. The chances add up whatever the challengers have in common, so at
most that many worthless ones are promoted in a year (Bonferroni's inequality, spent over time: Foster and Stine,
"α-investing", JRSS B 70, 2008; without their earning back). That one must pass every check at once costs nothing more:
an intersection-union test (Berger, Technometrics 24, 1982). What was tried beside it deflates its Sharpe ratio.

Whatever it has to beat, it must surely earn more than all of that. Where an edge *is* a trend, the rule of thumb earns
it too, no model can be shown to do better than to follow it, and none is promoted: it would add nothing but faith.

Probabilities have to be sane, and boasting is worse than modesty. Bets that are surely won less often than was said
refuse it at 0.05. Said and seen may lie 0.10 apart in the mean, on either side: on simulated markets with a planted
edge they lay 0.03 to 0.08 apart, nearly all of it modesty (three models together know more than each of them, and it is
each that was calibrated: Rahaman and Thiery, "Uncertainty quantification and deep ensembles", NeurIPS 2021), which
makes positions smaller. Brier skill is held against a base rate that is known only afterwards; there it was -0.01 at
worst, and may be -0.02.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite

import numpy as np
import numpy.typing as npt

from qtlib.learning.bootstrap import Interval, mean_interval, ratio_interval
from qtlib.learning.nulltest import NullTest
from qtlib.learning.overfitting import deflated_sharpe
from qtlib.learning.scores import Bets, brier_skill, calibration_error, expectancy

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

DAYS_A_YEAR = 365  # this market never closes


@dataclass(frozen=True, slots=True)
class GateParams:
    false_promotions_a_year: float = 0.05  # at most, in the mean, however often it is asked
    first_level: float = 0.05  # of the first judgement; and what waiting may bring together at most
    margin_frac_a_year: float = 0.005  # of equity: a surer gain than this is worth a change of model
    expectancy_level: float = 0.05  # of the bounds of expectancy
    least_bets: int = 200  # out of sample, that would have been taken
    least_days: int = 30  # of the recent stretch
    least_trades: int = 30  # closed in it
    drawdown_slack_frac: float = 0.02  # of equity: a drawdown this much deeper than the reference's is not worse
    most_drawdown_frac: float = 0.25  # of equity: deeper is never sane
    most_calibration_error: float = 0.10  # in the mean of ten bins, to either side
    most_overconfidence: float = 0.05  # bets surely won less often than was said, by this much
    least_brier_skill: float = -0.02  # against the base rate, which is known only afterwards
    least_deflated_sharpe: float = 0.95
    most_null_p: float = 0.05  # share of permuted outcomes that may do as well
    most_null_lift: float = 3.0  # standard errors that permuted outcomes may lie above nothing: else the past leaks
    draws: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        fractions = ("false_promotions_a_year", "first_level", "expectancy_level", "most_null_p")
        wrong = [f"0 < {name} {getattr(self, name)} < 1" for name in fractions if not 0 < getattr(self, name) < 1]
        if wrong or min(self.least_bets, self.least_days, self.least_trades) < 1:
            raise ValueError(f"{', '.join(wrong) or 'least_bets, least_days and least_trades of 1'} must hold")

    def level(self, days_since_judged: float | None) -> float:
        """The chance of passing that a worthless challenger may have now; None: nothing was judged before.

        >>> params = GateParams()
        >>> params.level(None), round(params.level(1.0), 6), round(params.level(73.0), 6), params.level(3650.0)
        (0.05, 0.000137, 0.01, 0.05)
        """
        if days_since_judged is None:
            return self.first_level
        earned = self.false_promotions_a_year * max(days_since_judged, 0.0) / DAYS_A_YEAR
        return min(self.first_level, max(earned, 1e-9))


@dataclass(frozen=True, slots=True, eq=False)
class Traded:
    """What trading the recent stretch came to, net of fees, slippage and funding."""

    name: str  # of who traded: flat, trend, a model's version
    returns: Array  # of each day, as a fraction of equity; the same days for all that are compared
    trade_r: Array = field(default_factory=lambda: np.empty(0))  # of each closed trade
    trade_day: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # of its entry, among `returns`

    def __post_init__(self) -> None:
        if len(self.trade_r) != len(self.trade_day):
            raise ValueError(f"{len(self.trade_r)} trades and {len(self.trade_day)} days of entry must be equally many")

    @property
    def drawdown_frac(self) -> float:
        """The deepest fall below the highest equity before it."""
        equity = np.concatenate([[1.0], np.cumprod(1.0 + self.returns)])
        return float((1.0 - equity / np.maximum.accumulate(equity)).max())


def flat(days: int) -> Traded:
    """Doing nothing."""
    return Traded("flat", np.zeros(days))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that a judgement rests on."""

    bets: Bets  # the challenger's purged out-of-sample predictions, and what came
    challenger: Traded
    references: tuple[Traded, ...]  # the champion; the first time, flat and the rule of thumb
    null: NullTest
    rule: Bets | None = None  # what the rule of thumb would have bet on the same rows, if it is a reference
    sharpes: Array = field(default_factory=lambda: np.empty(0))  # of a day, of each distinct trial in the ledger
    days_since_judged: float | None = None  # since the ledger's last judgement of this subject


@dataclass(frozen=True, slots=True)
class Reason:
    """One check. NaN: the value could not be computed, and fails."""

    name: str
    value: float
    must_be: str  # above · at least · at most
    threshold: float
    ok: bool
    unit: str = ""

    def __str__(self) -> str:
        needed = f"{self.must_be} {said(self.threshold, self.unit)}"
        return f"{self.name} is {said(self.value, self.unit)} and must be {needed}"


@dataclass(frozen=True, slots=True)
class Ruling:
    """A judgement, and all its reasons."""

    promoted: bool
    reasons: tuple[Reason, ...]
    level: float  # that returns were compared at
    words: str

    @property
    def failed(self) -> tuple[Reason, ...]:
        return tuple(reason for reason in self.reasons if not reason.ok)

    def row(self) -> dict[str, object]:
        """As one row of JSON; what could not be computed is null."""
        row = asdict(self)
        for reason in row["reasons"]:
            reason["value"] = reason["value"] if isfinite(reason["value"]) else None
        return row


def judge(evidence: Evidence, params: GateParams | None = None) -> Ruling:
    """Promoted if every check passes; else the references stay, and each check that failed says by how much."""
    params = params or GateParams()
    level = params.level(evidence.days_since_judged)
    days = {len(t.returns) for t in (evidence.challenger, *evidence.references)}
    if len(days) != 1 or not evidence.references:
        raise ValueError(f"challenger and references must have traded the same days, not {sorted(days)} of them")
    gains = {t.name: _gain(evidence.challenger, t, level, params) for t in evidence.references}
    reasons = (
        *_samples(evidence, params),
        *_out_of_sample(evidence, params),
        *_recent(evidence, gains, params),
        *_sanity(evidence, params),
    )
    promoted = all(reason.ok for reason in reasons)
    return Ruling(promoted, reasons, level, _words(evidence, gains, reasons, level))


def _samples(evidence: Evidence, params: GateParams) -> tuple[Reason, ...]:
    return (
        _at_least("bets out of sample", int(evidence.bets.taken.sum()), params.least_bets),
        _at_least("days traded", len(evidence.challenger.returns), params.least_days),
        _at_least("trades closed", len(evidence.challenger.trade_r), params.least_trades),
    )


def _out_of_sample(evidence: Evidence, params: GateParams) -> tuple[Reason, ...]:
    low = expectancy(evidence.bets, params.expectancy_level, seed=params.seed, draws=params.draws).low
    own = _above("expectancy out of sample, lower bound", low, 0.0, "R")
    if evidence.rule is None:
        return (own,)
    # no bound: they take different bets, and what each earns in all is compared where both are traded
    lead = _mean_r(evidence.bets) - _mean_r(evidence.rule)
    return own, _above("expectancy out of sample over the rule's", lead, 0.0, "R")


def _recent(evidence: Evidence, gains: Mapping[str, Interval], params: GateParams) -> tuple[Reason, ...]:
    challenger = evidence.challenger
    by_day, days = np.bincount, len(challenger.returns)
    sums = by_day(challenger.trade_day, challenger.trade_r, minlength=days).astype(np.float64)
    counts = by_day(challenger.trade_day, minlength=days).astype(np.float64)
    trades = ratio_interval(sums, counts, params.expectancy_level, seed=params.seed, draws=params.draws)
    deepest = max(t.drawdown_frac for t in evidence.references) + params.drawdown_slack_frac
    return (
        *(
            _above(f"return a year over {name}, lower bound", gain.low, params.margin_frac_a_year, "%")
            for name, gain in gains.items()
        ),
        _above("expectancy of its trades, lower bound", trades.low, 0.0, "R"),
        _at_most("drawdown", challenger.drawdown_frac, min(deepest, params.most_drawdown_frac), "%"),
    )


def _sanity(evidence: Evidence, params: GateParams) -> tuple[Reason, ...]:
    told = np.isfinite(evidence.bets.confidence) & np.isfinite(evidence.bets.r)
    p, won = evidence.bets.confidence[told], evidence.bets.won[told]
    boast = replace(evidence.bets, r=evidence.bets.confidence - evidence.bets.won)
    sure = expectancy(boast, params.expectancy_level, seed=params.seed, draws=params.draws).low
    sharpes = evidence.sharpes if len(evidence.sharpes) else np.zeros(1)
    deflated = deflated_sharpe(evidence.challenger.returns, sharpes)
    return (
        _at_most("calibration error", calibration_error(p, won), params.most_calibration_error),
        _at_most("overconfidence of its bets, lower bound", sure, params.most_overconfidence),
        _at_least("Brier skill over the base rate", brier_skill(p, won), params.least_brier_skill),
        _at_least(f"deflated Sharpe ratio, of {len(sharpes)} tried", deflated, params.least_deflated_sharpe),
        _at_most("share of permuted outcomes that do as well", evidence.null.p, params.most_null_p),
        _at_most("what permuted outcomes seem to teach, in standard errors", evidence.null.lift, params.most_null_lift),
    )


def _gain(challenger: Traded, reference: Traded, level: float, params: GateParams) -> Interval:
    """What the challenger earned more, a year, as a fraction of equity: days in pairs."""
    found = mean_interval(challenger.returns - reference.returns, level, seed=params.seed, draws=params.draws)
    yearly = {name: getattr(found, name) * DAYS_A_YEAR for name in ("mean", "low", "high")}
    return found._replace(**yearly)


def _mean_r(of: Bets) -> float:
    """The mean result of a bet that was taken, in R; of none, nothing."""
    return float(of.r[of.taken].mean()) if of.taken.any() else 0.0


def _above(name: str, value: float, threshold: float, unit: str = "") -> Reason:
    return Reason(name, float(value), "above", threshold, bool(value > threshold), unit)


def _at_least(name: str, value: float, threshold: float, unit: str = "") -> Reason:
    return Reason(name, float(value), "at least", threshold, bool(value >= threshold), unit)


def _at_most(name: str, value: float, threshold: float, unit: str = "") -> Reason:
    return Reason(name, float(value), "at most", threshold, bool(value <= threshold), unit)


def _words(evidence: Evidence, gains: Mapping[str, Interval], reasons: tuple[Reason, ...], level: float) -> str:
    failed = [reason for reason in reasons if not reason.ok]
    days, name = len(evidence.challenger.returns), evidence.challenger.name
    if not failed:
        told = " and ".join(
            f"{said(gain.mean, '%')} of equity a year more than {other} (surely {said(gain.low, '%')})"
            for other, gain in gains.items()
        )
        return (
            f"{name} is promoted: over {days} days that it was not fitted to it earned {told}, with a chance of "
            f"{level:.2g} that this is luck; all {len(reasons)} checks pass."
        )
    more = f", and {len(failed) - 1} of the other {len(reasons) - 1} checks failed too" if len(failed) > 1 else ""
    return f"{name} is refused: {failed[0]}{more}."


def said(value: float, unit: str) -> str:
    """A number of the gate, as people read it."""
    if not isfinite(value):
        return "unknown"
    if unit == "%":
        return f"{100 * value:.2f} %"
    text = f"{value:,.0f}" if value == round(value) else f"{value:.3g}"
    return f"{text}{' ' + unit if unit else ''}"
