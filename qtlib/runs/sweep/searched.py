"""What a sweep may search, from its settings: asked for before anything is loaded that trades."""

from qtlib.learning.search import MOST_POINTS, count
from qtlib.learning.space import NoSpace, Space, space
from qtlib.params import Params, SettingsError, validate
from qtlib.runs.sweep.trial import MARKET, changed

_NOT_SEARCHED = ("mode", "session", "learning", "report", "postmortem", "sweep")  # no backtest's result depends on them


def space_of(params: Params) -> Space:
    """What is searched, each value of each axis checked as the setting that it is; or `SettingsError`."""
    sweep = params.sweep
    try:
        searched = space(sweep.space)
        points = count(searched, sweep)
    except NoSpace as e:
        raise SettingsError(str(e)) from e
    if points > MOST_POINTS:
        raise SettingsError(
            f"the grid has {points:,} points > {MOST_POINTS:,}: name fewer values, or search some of them "
            "(-p sweep.search=random -p sweep.trials=1000)"
        )
    plain = params.plain()
    for axis in searched.axes:
        section = axis.path.partition(".")[0]
        if section in _NOT_SEARCHED:
            raise SettingsError(f"sweep.space.{axis.path}: {section} is nothing that a backtest's result depends on")
        if sweep.folds and section in MARKET:
            raise SettingsError(
                f"sweep.space.{axis.path} changes the bars, and a walk-forward goes along one market: sweep.folds=0"
            )
        for value in axis.values or (axis.low, axis.high):
            try:
                validate(changed(plain, {axis.path: value}))
            except SettingsError as e:
                raise SettingsError(f"sweep.space.{axis.path}: {str(e).removeprefix('params: ')}") from e
    return searched
