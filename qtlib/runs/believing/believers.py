"""Who believes in a session, and who trains beside it.

Apart from `wiring`, because scikit-learn takes a second to load, and a session that follows a rule has no use for it.
"""

import time
from pathlib import Path

from qtlib.domain.state import State
from qtlib.engine.feeds import Strategy
from qtlib.engine.loop import Watch
from qtlib.journal import Journal
from qtlib.learning.strategies import Trend
from qtlib.learning.triggers import TriggerParams
from qtlib.params import Params, SettingsError, Unearned
from qtlib.runs.believing.champion import Champion, Silent
from qtlib.runs.believing.learner import Learner
from qtlib.runs.believing.retrainer import Retrainer
from qtlib.runs.believing.shelf import Shelf, Unfit
from qtlib.runs.believing.subjects import feature_set, models
from qtlib.runs.record.commands import actor
from qtlib.runs.record.health import Health
from qtlib.runs.record.run import Run

PATIENCE_S = 240.0  # a market that has ended waits so long for a retrain that is under way
POLL_S = 0.2
GATHERING = ("sim", "paper")  # modes in which a rule of thumb may trade until a model may


def believer(params: Params, root: Path) -> Strategy:
    """`strategy` for a session, which protects what it holds whoever may believe: where nobody may, nobody does."""
    try:
        return strategy(params, root)
    except (*Unfit, Unearned) as why:
        silent = Silent(str(why))
        return silent if params.strategy.params else Champion(silent, feature_set(params))


def strategy(params: Params, root: Path) -> Strategy:
    """The champion; the model that `strategy.params.version` names; or a rule of thumb, where there is none yet.

    One of `Unfit` or `Unearned` where there is one that can't be asked, or none that may.
    """
    given = dict(params.strategy.params)
    version = given.pop("version", "")
    if given or not isinstance(version, str):
        raise SettingsError(
            f"strategy.params of learned have a version and nothing else, not {dict(params.strategy.params)}"
        )
    shelf = shelf_of(params, root)
    now = None if version else shelf.champion()
    if params.mode == "live":
        passed = (shelf.bundle(version).ruling or {}).get("promoted") if version else now and now.by_gate
        if not passed:
            named = version or (now and now.version)
            whose = f"{named} was not promoted by the gate" if named else "no model is champion"
            raise Unearned(
                f"mode live trades only what the gate has promoted, and {whose}: `qt retrain`, `qt models list`"
            )
    if version:
        return shelf.strategy(version)
    if now is None and not _gathers(params):
        raise Unearned(_without(params, shelf))
    return _champion(params, shelf, now.version if now else "")


def champion(params: Params, root: Path, version: str) -> Strategy:
    """Who believes in a session of these settings while `version` is champion; empty: while none is."""
    return strategy(params, root) if params.strategy.params else _champion(params, shelf_of(params, root), version)


def shelf_of(params: Params, root: Path) -> Shelf:
    """The models of these settings' subject, and the pen to change them with: it signs as who runs this."""
    return Shelf(models(params, root), actor())


def learner(run: Run, strategy: Strategy, watch: Watch, health: Health) -> Watch:
    """`watch`, and beside it who trains new models; a strategy that is held to one version learns nothing."""
    if not isinstance(strategy, Champion):
        return watch
    params, root = run.params, run.folder.root
    p = params.learning
    triggers = TriggerParams(p.enabled, p.min_samples, p.interval_hours, p.retry_hours)
    retrainer = Retrainer(run.folder / "params.yaml", models(params, root), params.session.account)
    earned = params.mode == "live"
    made = Learner(watch, strategy, shelf_of(params, root), retrainer, triggers, run.log.warning, earned=earned)
    health.learning = made.page
    return made


def last_lesson(run: Run, watch: Watch, journal: Journal, state: State) -> State:
    """The state once the retrain that a session leaves behind, if there is one, has ended."""
    if not isinstance(watch, Learner):
        return state
    until = time.monotonic() + PATIENCE_S
    while not watch.ended(POLL_S) and run.stop_requested() is None and time.monotonic() < until:
        run.beat()
    last = watch.last_word(state)
    return state if last is None else journal.absorb(state, [last])


def _gathers(params: Params) -> bool:
    return params.learning.gather and params.mode in GATHERING


def _without(params: Params, shelf: Shelf) -> str:
    return (
        f"no model is champion in {shelf.root}, and mode {params.mode} does not trade a rule of thumb instead: "
        "`qt retrain` makes models; learning.gather=true lets the rule trade in modes sim and paper"
    )


def _champion(params: Params, shelf: Shelf, version: str) -> Champion:
    rule = Trend() if _gathers(params) else Silent(_without(params, shelf))
    model = shelf.strategy(version) if version else None
    return Champion(rule, feature_set(params), model, version)
