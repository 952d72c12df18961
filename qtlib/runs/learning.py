"""Wiring of what learns: who believes, what trains beside the session, and what a retrain leaves.

Apart from `wiring`, because scikit-learn takes a second to load, and a session that follows a rule has no use for it.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from qtlib.domain.learned import RetrainOutcome
from qtlib.domain.state import State
from qtlib.engine.feeds import Strategy
from qtlib.engine.loop import Watch
from qtlib.journal import Journal
from qtlib.learning import registry
from qtlib.learning.card import Card
from qtlib.learning.decay import promise
from qtlib.learning.drift import profiles
from qtlib.learning.scores import expectancy
from qtlib.learning.strategies import Trend
from qtlib.learning.triggers import TriggerParams
from qtlib.market.timeframes import datetime_at
from qtlib.params import Params, SettingsError, Unearned
from qtlib.runs import wiring
from qtlib.runs.champion import Champion, Silent
from qtlib.runs.commands import actor
from qtlib.runs.health import Health
from qtlib.runs.judgement import Judgement
from qtlib.runs.learner import Learner
from qtlib.runs.lesson import Lesson
from qtlib.runs.retrainer import Retrainer
from qtlib.runs.run import Run
from qtlib.runs.shelf import Shelf, Unfit
from qtlib.runs.study import Study
from qtlib.runs.subjects import models

PATIENCE_S = 240.0  # a market that has ended waits so long for a retrain that is under way
POLL_S = 0.2
GATHERING = ("sim", "paper")  # modes in which a rule of thumb may trade until a model may


def believer(params: Params, root: Path) -> Strategy:
    """`strategy` for a session, which protects what it holds whoever may believe: where nobody may, nobody does."""
    try:
        return strategy(params, root)
    except (*Unfit, Unearned) as why:
        silent = Silent(str(why))
        return silent if params.strategy.params else Champion(silent, wiring.feature_set(params))


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
    if version:
        return shelf.strategy(version)
    now = shelf.champion()
    if params.mode == "live" and (now is None or not now.by_gate):
        whose = "no model is champion" if now is None else f"{now.version} was not promoted by the gate"
        raise Unearned(f"mode live trades only what the gate has promoted, and {whose}: `qt retrain`, `qt models list`")
    if now is None and not _gathers(params):
        raise Unearned(_without(params, shelf))
    return _champion(params, shelf, now.version if now else "")


def champion(params: Params, root: Path, version: str) -> Strategy:
    """Who believes in a session of these settings while `version` is champion; empty: while none is."""
    return strategy(params, root) if params.strategy.params else _champion(params, shelf_of(params, root), version)


def shelf_of(params: Params, root: Path) -> Shelf:
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


def keep(run: Run, lesson: Lesson, study: Study) -> str:
    """Write the model down as a bundle; its version. It trades nothing yet."""
    data, params = study.past, run.params
    made = promise(study.bets)
    card = Card(
        model=study.train.model,
        made=datetime.now(UTC).isoformat(),
        source=lesson.market.source,
        simulated=lesson.market.simulated,
        symbols=data.symbols,
        timeframe=params.data.timeframe,
        first=datetime_at(int(data.times[0])).isoformat(),
        last=datetime_at(int(data.times[-1])).isoformat(),
        rows=len(data),
        data_fingerprint=data.fingerprint,
        features=data.names,
        schema_hash=lesson.features.schema_hash,
        dropped=dict(lesson.data.dropped),
        settings={**asdict(study.train), "exits": params.exits.profile, "own trades": lesson.taught},
        metrics=_metrics(study),
        inputs=profiles(data.names, data.x),
        promise={"expectancy_r": made.expectancy_r, "cap_r": made.cap_r},
        run_id=run.run_id,
    )
    return registry.save(models(params, run.folder.root), study.trained, card)


def conclude(
    run: Run, lesson: Lesson, study: Study, version: str, said: Judgement, backtest: str | None
) -> dict[str, Any]:
    """Let the gate's word be so, and hand it to the record; what the record says of the model."""
    root, params = models(run.params, run.folder.root), run.params
    registry.ruled(root, version, said.ruling.row())
    outcome = RetrainOutcome.REFUSED
    if said.ruling.promoted:
        outcome = RetrainOutcome.ASKED if params.learning.promotion == "ask" else RetrainOutcome.PROMOTED
    if outcome is RetrainOutcome.PROMOTED:
        registry.promote(
            root, version, who=f"gate, {run.run_id}", why=said.ruling.words, at=datetime.now(UTC), only_if=said.champion
        )
    registry.retain(root, params.learning.keep_versions)
    model = {
        "version": version,
        "hash": registry.show(root, version).content_hash,
        "outcome": outcome.value,
        "words": said.ruling.words,
        "backtest": backtest,
        "ruling": said.ruling.row(),
    }
    counters = {
        "rows": len(lesson.data),
        "own_trades": sum(not sample.shadow for sample in lesson.found),
        "own_trades_taught": lesson.taught,
        "own_trades_whose_features_differ": lesson.strange,
        "followed_in_shadow": sum(sample.shadow for sample in lesson.found),
    }
    market = lesson.market
    data = {
        "source": market.source,
        "simulated": market.simulated,
        "symbols": list(market.symbols),
        "timeframe": market.timeframe,
        "fingerprint": market.fingerprint,
        "first": market.first,
        "last": market.last,
    }
    run.finish(metrics=_metrics(study), counters=counters, data=data, model=model)
    return model


def consequence(model: Mapping[str, Any]) -> str:
    """What follows for trading, in a sentence."""
    then = {
        RetrainOutcome.PROMOTED: "It trades from the next bar on.",
        RetrainOutcome.ASKED: f"It trades once you say so: qt models promote {model['version']}",
        RetrainOutcome.REFUSED: "What traded before goes on trading; this model keeps its report and trades nothing.",
    }[RetrainOutcome(model["outcome"])]
    run = f" Its backtest of the newest stretch is run {model['backtest']}." if model["backtest"] else ""
    return then + run


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
    return Champion(rule, wiring.feature_set(params), model, version)


def _metrics(study: Study) -> dict[str, float | None]:
    """Of the model, out of sample."""
    whole, bets = study.scores[0], expectancy(study.bets)
    found = {
        "expectancy_r": bets.mean,
        "expectancy_r_at_least": bets.low,
        "win_rate_frac": whole.win_rate_frac,
        "brier": whole.brier,
        "brier_base": whole.brier_base,
        "auc": whole.auc,
        "rank_ic": whole.rank_ic,
        "calibration_error": whole.calibration_error,
        "null_p": study.null.p,
    }
    return {name: float(value) if isfinite(value) else None for name, value in found.items()}
