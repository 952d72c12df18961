"""A sweep's report: the surface and not just the peak, whatever was searched, and dashes where nothing is known."""

import numpy as np
import pytest
from sweeps import a_sweep

from qtlib.learning.space import Axis, Space, space
from qtlib.learning.surface import bins, median_over, neighbours, plateau
from qtlib.report.words import UNKNOWN
from qtlib.runs.sweep import shown
from qtlib.runs.sweep.findings import findings

RANGES = (
    "sweep.space={exits: {atr_multiple: {low: 1.5, high: 3.0}}, "
    "sizing: {confidence_threshold: {low: 0.58, high: 0.66}}}"
)
KINDS = {
    "one axis": ["sweep.space={exits: {atr_multiple: [1.5, 2.0, 3.0]}}"],
    "two axes": [
        "sweep.space={exits: {atr_multiple: [1.5, 2.0, 3.0]}, limits: {max_positions: [1, 2]}}",
        "sweep.folds=1",
    ],
    "axes without an order": [
        "sweep.space={exits: {profile: [one_r, seed]}, universe: {symbols: [[BTCUSDT], [BTCUSDT, ETHUSDT]]}}",
    ],
    "three axes": [
        "sweep.space={exits: {atr_multiple: [1.5, 2.0], profile: [one_r, seed]}, limits: {max_positions: [1, 2]}}"
    ],
    "ranges by chance": [RANGES, "sweep.search=random", "sweep.trials=10"],
    "ranges by what they were worth": [RANGES, "sweep.search=bayes", "sweep.trials=10", "sweep.folds=1"],
    "nothing fit to be the best": [
        "sweep.space={exits: {atr_multiple: [1.5, 2.0]}}",
        "sweep.min_trades=9999",
        "sweep.folds=1",
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_was_searched_can_be_seen(tmp_path, kind):
    [of, *words] = KINDS[kind]
    found = findings(a_sweep(tmp_path, "sweep.min_trades=0", *words, space=[of]))
    axes = len(found.effects)

    page = [
        shown.headline(found),
        *shown.surfaces(found),
        *shown.spread(found),
        shown.neighbours(found),
        shown.best(found),
    ]
    page += shown.walked(found)
    figures = [part for part in page if hasattr(part, "layout")]
    text = "".join(part for part in page if isinstance(part, str))

    assert all(figure.layout.meta["label"] for figure in figures)
    maps = [trace for trace in figures[0].data if trace.type == "heatmap"]
    assert len(maps) == axes * (axes - 1) // 2
    assert all(axis in text for axis in found.effects)
    assert (found.best is None) == (kind == "nothing fit to be the best") == (found.metrics["best_score"] is None)
    assert found.best is not None or UNKNOWN in shown.headline(found)


def test_the_surface_shows_every_trial_of_a_grid_of_two_axes(tmp_path):
    found = findings(a_sweep(tmp_path, "sweep.min_trades=0"))
    figure, _ = shown.surfaces(found)
    cells = np.array(figure.data[0].z, dtype=float)
    assert cells.ravel() == pytest.approx(found.scores, rel=1e-5)
    assert (
        cells[figure.data[0].y.index(figure.data[1].y[0]), figure.data[0].x.index(figure.data[1].x[0])] == cells.max()
    )


# --- the surface ------------------------------------------------------------------------------------------

GRID = space({"a": {"x": [1, 2, 3, 4], "y": [10, 20, 30], "kind": ["p", "q", "r"]}})


def test_neighbours_of_a_grid_are_one_step_away_on_one_axis():
    points = list(GRID.grid())
    for row, point in enumerate(points):
        near = [points[i] for i in neighbours(GRID, points, row)]
        assert sorted(near) == sorted(p for p in points if _steps(p, point) == 1)


def _steps(one, other):
    x, y = abs(one[0] - other[0]), abs(one[1] - other[1]) // 10
    return x + y + (one[2] != other[2])


def test_neighbours_among_ranges_are_the_nearest():
    s = Space((Axis("a", (), 0.0, 10.0), Axis("b", (), 1.0, 100.0, log=True)))
    points = [(5.0, 10.0), (5.1, 10.0), (5.0, 11.0), (9.0, 90.0), (4.5, 9.0), (0.0, 1.0), (5.5, 10.0)]
    assert sorted(neighbours(s, points, 0)) == [1, 2, 4, 6]


def test_a_plateau_is_preferred_to_a_lone_peak():
    points = list(GRID.grid())
    scores = np.array([float(p[0] >= 3) for p in points])
    peak = points.index((1, 20, "q"))
    scores[peak] = 5.0
    smooth = plateau(GRID, points, scores)
    assert np.argmax(scores) == peak
    assert smooth[peak] < smooth[points.index((4, 20, "q"))] == smooth.max()


def test_a_map_is_the_median_over_all_that_lies_behind_it():
    points = list(GRID.grid())
    scores = np.random.default_rng(1).normal(size=len(points))
    scores[3] = np.nan
    across, down = (bins(GRID.axes[i], [p[i] for p in points]) for i in (0, 2))
    made = median_over(scores, across, down)
    for y, kind in enumerate(("p", "q", "r")):
        for x, value in enumerate((1, 2, 3, 4)):
            there = [s for s, p in zip(scores, points, strict=True) if (p[0], p[2]) == (value, kind)]
            assert made[y, x] == np.nanmedian(there)


def test_a_long_axis_is_cut_into_stretches_that_hold_all_trials():
    axis = Axis("a", tuple(range(100)))
    cut = bins(axis, list(range(100)))
    assert len(cut.labels) == 10
    assert np.bincount(cut.of).min() >= 9
    assert (np.diff(cut.of) >= 0).all()
