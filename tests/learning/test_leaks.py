"""Twelve leaks, planted, are found and named; twelve that look like them and are honest pass."""

import time
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from builders import make_bars
from panels import HOUR_US, a_quiet_panel

from qtlib.learning.features import DEFAULT_FEATURES, FEATURES, Feature, FeatureSet, changes, true_range_frac
from qtlib.learning.labels import labels
from qtlib.learning.leaks import World, lint, lint_labels, lint_universe, lint_world
from qtlib.learning.measures import usual
from qtlib.learning.row_leaks import lint_columns, lint_fitted, lint_splits
from qtlib.learning.strategies import Trend
from qtlib.learning.validation import Split, ValidationParams, combinatorial_splits, walk_forward_splits
from qtlib.learning.windows import mean
from qtlib.rules.tpsl import Costs, ExitParams

PANEL = a_quiet_panel(bars=1500, seed=3)
DAY = 24

# --- functions of a panel ---------------------------------------------------------------------------------


def ahead(values, bars):
    """What `values` will be so many bars later; with a negative number, what they were."""
    out = np.full(values.shape, np.nan)
    if bars > 0:
        out[:, :-bars] = values[:, bars:]
    else:
        out[:, -bars:] = values[:, :bars]
    return out


def centred(p):
    return ahead(mean(p.close, 13), 6) / p.close


def trailing(p):
    return mean(p.close, 13) / p.close


def scaled(p):
    change = changes(p)
    return (change - np.nanmean(change, axis=1, keepdims=True)) / np.nanstd(change, axis=1, keepdims=True)


def scaled_by_the_past(p):
    return changes(p) / usual(p, 100)


def filled(p, backward, limit):
    frame = pd.DataFrame(p.funding_frac.T)
    frame = frame.bfill(limit=limit) if backward else frame.ffill(limit=limit)
    return np.ascontiguousarray(frame.to_numpy().T)


def days(p, honest):
    """The range of the day: of the whole day at each of its hours, or of the hours so far."""
    day = (p.times - HOUR_US) // (DAY * HOUR_US)
    out = np.full(p.close.shape, np.nan)
    for number in np.unique(day):
        inside = np.flatnonzero(day == number)
        for last in inside:
            known = inside[inside <= last] if honest else inside
            out[:, last] = p.high[:, known].max(axis=1) / p.low[:, known].min(axis=1) - 1.0
    return out


def outcome(p):
    return np.nan_to_num(labels(p, true_range_frac(p, 14), ExitParams(), Costs()).long_r)


def past_outcome(p):
    """What a trade begun a day ago came to, if it ended since."""
    told = labels(p, true_range_frac(p, 14), ExitParams(time_stop_s=7200.0, partial_frac=1.0), Costs())
    column = np.arange(len(p))
    ended = np.where(ahead(told.long_end.astype(float), -DAY) <= column, ahead(told.long_r, -DAY), np.nan)
    return np.where(column >= 40, ended, np.nan)


# --- universes, sources, rows -----------------------------------------------------------------------------


def largest(p, column):
    """The two symbols of the largest turnover in the hundred bars up to a column."""
    turnover = (p.volume * p.close)[:, max(0, column - 100) : column + 1].sum(axis=1)
    return [p.symbols[row] for row in np.argsort(turnover)[-2:]]


def a_universe():
    volume = PANEL.volume.copy()
    volume[0, 1000:] *= 50.0  # what will be large is not yet
    return replace(PANEL, volume=volume)


def a_world():
    frame = make_bars(400, seed=5)
    marks = frame[["open", "high", "low", "close"]] * (1 + np.random.default_rng(6).normal(0, 1e-4, (400, 1)))
    settled = frame.index[frame.index.hour % 8 == 0]
    rates = pd.Series(np.random.default_rng(7).normal(1e-4, 1e-4, len(settled)), index=settled)
    return World({"BTCUSDT": frame}, {"BTCUSDT": marks}, {"BTCUSDT": rates})


def funding(world, early):
    index, rates = world.bars["BTCUSDT"].index, world.funding["BTCUSDT"]
    settled = rates.reindex(index, method="ffill")  # at its very settlement a rate is not published yet
    return (settled if early else settled.shift(1)).to_frame("BTCUSDT")


def premium(world, early):
    last, mark = world.bars["BTCUSDT"]["close"], world.marks["BTCUSDT"]["close"].reindex(world.bars["BTCUSDT"].index)
    ratio = last / mark - 1.0 if early else last.shift(1) / mark.shift(1) - 1.0
    return ratio.to_frame("BTCUSDT")


AT = np.repeat(np.arange(600), 3)
END = AT + 1 + np.random.default_rng(1).integers(0, 30, len(AT))
X = np.random.default_rng(2).normal(size=(len(AT), 4))
PURGED = list(walk_forward_splits(AT, END, ValidationParams()))


def splits_of(kind):
    rows, rng = np.arange(len(AT)), np.random.default_rng(3)
    if kind == "shuffled":
        return [Split(np.sort(part[400:]), np.sort(part[:400])) for part in (rng.permutation(rows) for _ in range(3))]
    if kind == "after":
        return [Split(np.flatnonzero(AT >= 300), np.flatnonzero(AT < 250))]
    begins = [300, 400, 500]
    return [Split(np.flatnonzero(b > AT), np.flatnonzero((b <= AT) & (b + 100 > AT))) for b in begins]


def standard(x, train, honest):
    seen = x[train] if honest else x
    return (x - seen.mean(axis=0)) / seen.std(axis=0)


def one(name, of, lookback):
    return lambda: lint([Feature(name, lookback, of)], PANEL)


def universe_of(column):
    return lambda: lint_universe("largest", lambda p: largest(p, column or len(p) - 1), a_universe(), 700)


def world(name, of):
    return lambda: lint_world(name, of, a_world())


def splits(kind):
    return lambda: lint_splits(kind, AT, END, splits_of(kind))


PLANTED = {
    "centred window": ("reads the future", one("centred", centred, 13)),
    "negative shift": ("reads the future", one("next", lambda p: ahead(changes(p), 1), 2)),
    "global scaler": ("fitted on test", lambda: lint_fitted("s", partial(standard, honest=False), X, PURGED)),
    "back-fill": ("reads the future", one("filled", lambda p: filled(p, True, 8), 1)),
    "right-labelled resample": ("reads the future", one("day", lambda p: days(p, False), DAY)),
    "target among features": ("reads the future", one("outcome", outcome, 100)),
    "shuffled folds": ("shuffled folds", splits("shuffled")),
    "overlapping labels without purge": ("no purge", splits("unpurged")),
    "future universe": ("future universe", universe_of(None)),
    "funding known too early": ("reads the future", lambda: lint_world("f", partial(funding, early=True), a_world())),
    "mark price of the same bar": (
        "reads the future",
        lambda: lint_world("m", partial(premium, early=True), a_world()),
    ),
    "train rows after test": ("train after test", splits("after")),
}
CLEAN = {
    "trailing window": one("trailing", trailing, 13),
    "positive shift": one("before", lambda p: ahead(changes(p), -1), 3),
    "scaler of the training rows": lambda: lint_fitted("s", partial(standard, honest=True), X, PURGED),
    "forward-fill": one("filled", lambda p: filled(p, False, 8), 9),
    "resample of the day so far": one("day", lambda p: days(p, True), DAY),
    "past outcome among features": one("past_outcome", past_outcome, 60),
    "folds in order": lambda: lint_splits("w", AT, END, PURGED),
    "overlapping labels, purged": lambda: lint_splits(
        "c", AT, END, (split for _, split in combinatorial_splits(AT, END, ValidationParams())), ordered=False
    ),
    "universe of its day": universe_of(700),
    "funding after it was settled": world("f", partial(funding, early=False)),
    "mark price of the bar before": world("m", partial(premium, early=False)),
    "scaler of past bars": one("scaled", scaled_by_the_past, 101),
}


@pytest.mark.parametrize("leak", PLANTED)
def test_a_planted_leak_is_found_and_said_in_a_sentence(leak):
    kind, look = PLANTED[leak]
    findings = look()
    assert not findings.ok
    assert {finding.kind for finding in findings} == {kind}
    for finding in findings:
        assert finding.name in finding.words
        assert finding.told in finding.words
        assert finding.told != finding.known
        assert finding.words.endswith(tuple("abcdefghijklmnopqrstuvwxyz"))


@pytest.mark.parametrize("honest", CLEAN)
def test_what_looks_like_a_leak_and_is_none_passes(honest):
    findings = CLEAN[honest]()
    assert findings.ok, str(findings)


def test_there_are_twelve_of_each():
    assert (len(PLANTED), len(CLEAN)) == (12, 12)


def test_a_finding_names_the_function_the_bar_and_the_two_values():
    (finding,) = lint([Feature("next", 2, lambda p: ahead(changes(p), 1))], PANEL)
    assert finding.where.startswith("ADAUSDT at 1972-")
    assert finding.known == "unknown"
    assert finding.words.startswith(f"next reads the future: {finding.where} it is {finding.told}, and unknown when ")


def test_a_leak_at_one_hour_of_the_day_is_found():
    def at_midnight(p):
        later = ahead(changes(p), 1)
        return np.where(p.times // HOUR_US % DAY == 0, later, changes(p))

    assert [f.kind for f in lint([Feature("midnight", 2, at_midnight)], PANEL)] == ["reads the future"]


def test_a_scaler_over_the_whole_panel_reads_the_future_and_the_whole_past():
    findings = lint([Feature("scaled", 200, scaled)], PANEL)
    assert {finding.kind for finding in findings} == {"reads the future"}


def test_a_lookback_that_is_too_short_is_found():
    short = Feature("short", 100, FEATURES["volatility_168"].of)
    summed = Feature("summed", 300, lambda p: np.nancumsum(changes(p), axis=1))
    findings = lint([short, summed], PANEL)
    assert [(f.name, f.kind) for f in findings] == [(n, "lookback too short") for n in ("short", "summed")]
    assert "from the last 100 closes" in str(findings)


def test_a_function_that_breaks_on_a_part_of_the_panel_is_named():
    findings = lint([Feature("breaks", 3, lambda p: changes(p)[:, [400]] * p.close)], PANEL)
    assert [f.kind for f in findings] == ["breaks"]
    assert "breaks breaks on a part of the panel: IndexError" in str(findings)


def test_every_feature_and_strategy_of_the_house_passes():
    findings = lint([*FEATURES.values(), Trend()], PANEL)
    assert findings.ok, str(findings)
    assert findings.looked == (*FEATURES, "trend")


def test_a_strategy_that_reads_the_future_is_found_with_the_column_it_is_in():
    class Seer(Trend):
        def signals(self, panel):
            honest = super().signals(panel)
            return honest._replace(score=ahead(honest.score, 1))

    (finding,) = lint([Seer()], PANEL)
    assert finding.words.startswith("trend's score reads the future: ")


def test_labels_of_the_house_end_where_they_say_and_others_are_caught():
    def told(p, shortened=0):
        made = labels(p, true_range_frac(p, 14), ExitParams(), Costs())
        return replace(made, long_end=np.where(made.long_end >= 0, made.long_end - shortened, -1))

    assert lint_labels("labels", told, PANEL).ok
    (finding,) = lint_labels("hasty", partial(told, shortened=1), PANEL)
    assert finding.words.startswith("hasty reads beyond the end of its label: long_")


def test_an_outcome_among_the_columns_is_found_by_its_rank():
    outcome = np.random.default_rng(0).normal(size=len(X))
    disguised = np.column_stack([X, np.exp(outcome) + 1e-3 * X[:, 0]])
    findings = lint_columns(("a", "b", "c", "d", "disguised"), disguised, {"long_r": outcome})
    assert [(f.name, f.kind) for f in findings] == [("disguised", "target")]
    assert lint_columns(("a", "b", "c", "d"), X, {"long_r": outcome}).ok


def test_findings_read_well_in_a_notebook_and_in_a_terminal():
    found = lint([Feature("<next>", 2, lambda p: ahead(changes(p), 1))], PANEL)
    assert "<td>&lt;next&gt;</td>" in found._repr_html_()
    fine = lint([FEATURES["momentum_24"]], PANEL)
    assert str(fine) == "no leak found in 1: momentum_24"
    assert fine._repr_html_() == "<p>no leak found in 1: momentum_24</p>"
    assert str(found + fine) == str(found)


def test_the_features_in_use_are_looked_at_in_a_second_or_two_however_long_the_past_and_wide_the_universe():
    many = a_quiet_panel(bars=10_000, symbols=(*(f"S{n}USDT" for n in range(40)), "BTCUSDT"))
    began = time.process_time()
    assert lint(FeatureSet(DEFAULT_FEATURES).features, many).ok
    assert time.process_time() - began < 6.0  # a second and a half when the machine is quiet
