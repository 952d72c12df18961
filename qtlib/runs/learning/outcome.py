"""What a retrain leaves: a bundle, the gate's word, and a record of both."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from qtlib.domain.learned import RetrainOutcome
from qtlib.learning import registry
from qtlib.learning.card import Card
from qtlib.learning.decay import promise
from qtlib.learning.drift import profiles
from qtlib.learning.scores import expectancy
from qtlib.market.timeframes import datetime_at
from qtlib.report.words import say
from qtlib.runs.believing.subjects import models
from qtlib.runs.learning.judgement import Judgement
from qtlib.runs.learning.lesson import Lesson, taught_under
from qtlib.runs.learning.study import Study
from qtlib.runs.record.run import Run


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
        settings={
            **asdict(study.train),
            "exits": params.exits.profile,
            "taught under": taught_under(lesson.rules.exits).profile,
            "own trades": lesson.taught,
        },
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
    by_hand = f"qt models promote {model['version']}"
    then = {
        RetrainOutcome.PROMOTED: say("It trades from the next bar on."),
        RetrainOutcome.ASKED: say("It trades once you say so: {command}", command=by_hand),
        RetrainOutcome.REFUSED: say("What traded before goes on; this model keeps its report and trades nothing."),
    }[RetrainOutcome(model["outcome"])]
    of = say("Its backtest of the newest stretch is run {run}.", run=model["backtest"]) if model["backtest"] else ""
    return f"{then} {of}".strip()


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
