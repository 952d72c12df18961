"""A retrain without a session: the triggers are asked, and the journal is told, as a session would.

The account's lease is held only while something is written down, so a session may begin at any time: it finds a
retrain that runs, and hears how it ended by itself. Whoever comes second leaves it to the first.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qtlib.domain.learned import RetrainBegun, RetrainEnded, RetrainOutcome
from qtlib.domain.state import State
from qtlib.journal import Held, Journal
from qtlib.learning.triggers import TriggerParams, due
from qtlib.params import Params, Resolved
from qtlib.runs.believing.retrainer import Retrainer
from qtlib.runs.believing.subjects import models
from qtlib.runs.record import atomic
from qtlib.runs.record.folder import journal_location
from qtlib.runs.record.secrecy import without_secrets

POLL_S = 3_600.0  # between two looks whether a retrain has ended: it says so itself


def retrain_if_due(resolved: Resolved, root: Path) -> dict[str, Any]:
    """Run the retrain that is due, if one is and nobody sees to it; what came of it, in words."""
    params = resolved.params
    where, account = journal_location(params.session.account, root), params.session.account
    if params.strategy.name != "learned" or not params.learning.enabled:
        return _said("not due", f"account {account} learns nothing: strategy.name=learned, learning.enabled=true")
    if isinstance(where, Path) and not where.exists():
        return _said("not due", f"account {account} has no journal yet; `qt live` begins one")
    settings = root / "journal" / f"{account}.retrain.yaml"
    atomic.write_text(settings, resolved.dump_yaml())
    retrainer = Retrainer(settings, models(params, root), account)
    try:
        begun = _begin(where, params, retrainer)
    except Held as why:
        return _said("left to the session", str(why))
    if isinstance(begun, str):
        return _said("not due", begun)
    retrainer.begin(begun.number, begun.ts)
    while not retrainer.wait(POLL_S):
        pass
    ended = retrainer.ended(begun.number, begun.ts)
    assert ended is not None  # it does not run any more
    _tell(where, account, ended)
    return _said(ended.outcome.value, ended.words, number=ended.number, version=ended.version, run_id=ended.run_id)


def _begin(where: str | Path, params: Params, retrainer: Retrainer) -> RetrainBegun | str:
    """The retrain that begins now, once it is written down; or why none does."""
    learning = params.learning
    triggers = TriggerParams(True, learning.min_samples, learning.interval_hours, learning.retry_hours)
    with _journal(where, params.session.account) as journal, journal.lease("a retrain without a session"):
        state = journal.state()
        if state.learning.running:  # its session died: what became of it is not known to anybody else
            ended = retrainer.ended(state.learning.retrains, state.ts)
            if ended is None:
                return f"retrain {state.learning.retrains} still runs"
            state = journal.absorb(state, [ended])
        now = _now(params, state)
        cause = due(state.learning, now, triggers)
        if not cause:
            return f"{state.learning.samples} of {learning.min_samples} closed trades since the last retrain"
        begun = RetrainBegun(now, state.learning.retrains + 1, cause)
        journal.absorb(state, [begun])
        return begun


def _tell(where: str | Path, account: str, ended: RetrainEnded) -> None:
    """Write down how it ended, unless a session is there to hear it."""
    try:
        with _journal(where, account) as journal, journal.lease("a retrain without a session"):
            journal.absorb(journal.state(), [ended])
    except Held:
        return


def _journal(where: str | Path, account: str) -> Journal:
    return Journal(where, account, clean=without_secrets)


def _now(params: Params, state: State) -> datetime:
    """The venue's time: of a made-up market it stands still without a session."""
    return state.ts if params.mode == "sim" else datetime.now(UTC)


def _said(outcome: str, words: str, **more: Any) -> dict[str, Any]:
    assert outcome in {"not due", "left to the session", *(o.value for o in RetrainOutcome)}
    return {"outcome": outcome, "words": words, **more}
