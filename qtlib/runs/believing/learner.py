"""A session's learner: it asks the journal whether a retrain is due, begins it, hears how it ended, and changes models.

A `Watch` around another one. What it concludes is an event, written down with the moment it belongs to; what it does
(begin a process, let another model believe) follows from the state after that. So a crash in between repeats nothing:
a retrain that the journal says is running and that nobody runs has failed, and is tried again later.

It also looks whether the model that trades keeps its promise. One that does not is taken down, and nothing goes back up
but by the gate or by a person.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np

from qtlib.domain.events import Event, StatusSet, TradingStatus
from qtlib.domain.learned import Learning, ModelChanged, RetrainBegun, RetrainEnded
from qtlib.domain.state import State
from qtlib.engine.health import Learning as Page
from qtlib.engine.loop import Watch
from qtlib.exchanges.port import ExchangeError
from qtlib.learning.decay import KEEP, Outcomes, Verdict, decay
from qtlib.learning.drift import Array, Profile, drift
from qtlib.learning.registry import NoSuchModel
from qtlib.learning.triggers import TriggerParams, due, next_due
from qtlib.runs.believing.champion import Champion, Silent
from qtlib.runs.believing.retrainer import Retrainer
from qtlib.runs.believing.shelf import Shelf, Unfit

DAY_S = 86_400
REPEATS = 24.0  # closes in a row that are about one of their own
CALIBRATION_DRIFTS = 0.25  # of the wealth that proves decay: not yet proven, and worth another model
UNREADABLE = "?"  # in the place of a version, where nobody can say which is champion


class Learner:
    """A `Watch` that learns."""

    def __init__(
        self,
        watch: Watch,
        champion: Champion,
        shelf: Shelf,
        retrainer: Retrainer,
        params: TriggerParams,
        tell: Callable[[str], None],
        *,
        earned: bool = False,
    ) -> None:
        """`tell` hears sentences for people. With `earned` only what the gate has promoted takes over."""
        self._watch, self._champion, self._shelf = watch, champion, shelf
        self._retrainer, self._params, self._tell, self._earned = retrainer, params, tell, earned
        self._unfit: str | None = None  # a version that was looked at, and can't be used here
        self._amiss = ""  # what ends entries, until it is written down
        self._wished = 0  # the number of the retrain that was concluded to be due here
        self._looked_at = 0  # closed trades when decay was looked at last
        self._state: State | None = None
        self._drifted = ""  # why a retrain is due, because what is seen moved
        self._drift: str | None = None  # how far it did

    def ended(self, within_s: float = 0.0) -> bool:
        """Whether no retrain runs any more, after so long at most."""
        return self._retrainer.wait(within_s)

    def news(self, state: State) -> Event | None:
        """What the other one has to say; else what became of a retrain or of the champion; else whether one is due."""
        if (event := self._watch.news(state)) is not None:
            return event
        if cause := self._champion.misgivings(state.ts):
            return StatusSet(state.ts, TradingStatus.REDUCING, cause, "feature parity")
        if self._amiss:
            cause, self._amiss = self._amiss, ""
            return StatusSet(state.ts, TradingStatus.REDUCING, cause, "models")
        learning = state.learning
        if (changed := self._changed(state.ts, learning)) is not None:
            return changed
        if learning.running:
            to_begin = self._retrainer.number != learning.retrains == self._wished  # when the state has been looked at
            return None if to_begin else self._retrainer.ended(learning.retrains, state.ts)
        if cause := due(learning, state.ts, self._params, self._drifted):
            self._wished = learning.retrains + 1
            return RetrainBegun(state.ts, self._wished, cause)
        return None

    def look(self, state: State) -> None:
        """Let what the state says be so: the model that believes, and the retrain that runs."""
        self._watch.look(state)
        self._state, learning = state, state.learning
        if learning.version != self._champion.version and (not self._champion.refusal or self._is_named(learning)):
            self._follow(learning.version)
        if learning.running and self._retrainer.number != learning.retrains == self._wished and learning.begun:
            self._retrainer.begin(learning.retrains, learning.begun)
        if learning.closed != self._looked_at:
            self._looked_at = learning.closed
            self._check(learning)

    def trouble(self, why: ExchangeError) -> None:
        self._watch.trouble(why)

    def page(self) -> Page:
        """What the health page says of it."""
        learning = self._state.learning if self._state else Learning()
        last = learning.last
        return Page(
            enabled=self._params.enabled,
            model_version=self._champion.version or None,
            samples_since_retrain=learning.samples,
            needed=self._params.min_samples,
            last_retrain=last.ts if last else None,
            last_outcome=f"{last.outcome.value}: {last.words}" if last else None,
            next_due=next_due(learning, self._params),
            drift=self._drift,
        )

    def last_word(self, state: State) -> RetrainEnded | None:
        """When the session is over: how its last retrain ended; one that still runs is ended, and has failed."""
        if not state.learning.running:
            return None
        self._retrainer.end()
        return self._retrainer.ended(state.learning.retrains, state.ts)

    # --- below ------------------------------------------------------------------------------------------------

    def _changed(self, ts: datetime, learning: Learning) -> ModelChanged | StatusSet | None:
        """The champion, where it is another one than believes, and can; or that nobody can say who it is."""
        try:
            pointer = self._shelf.champion()
        except Unfit as why:
            if self._unfit != UNREADABLE:
                self._unfit = UNREADABLE
                return StatusSet(ts, TradingStatus.REDUCING, str(why), "models")
            return None
        version = pointer.version if pointer else ""
        if version in (learning.version, self._unfit):
            return None
        if pointer is None:
            return ModelChanged(ts, "", "", self._shelf.last_word() or "the model was taken down", "demote")
        try:
            if self._earned and not pointer.by_gate:
                raise NoSuchModel(f"it was not promoted by the gate: {pointer.why}")
            model = self._shelf.bundle(version)
            if model.strategy.lookback > self._champion.lookback:
                kept = f"it reads {model.strategy.lookback} bars and this session keeps {self._champion.lookback}"
                raise NoSuchModel(f"{kept}: the next session asks it")
            return ModelChanged(ts, version, model.content_hash, pointer.why, pointer.action)
        except Unfit as why:
            self._unfit = version
            self._tell(f"🚨 {version} can't take over: {why}")
            return None

    def _is_named(self, learning: Learning) -> bool:
        """Whether the shelf's champion is the journal's: where nobody may believe, none that was before it does."""
        try:
            pointer = self._shelf.champion()
        except Unfit:
            return False
        return pointer is not None and pointer.version == learning.version

    def _follow(self, version: str) -> None:
        """Let the model that the journal names believe; where it can't be asked, nobody."""
        try:
            self._champion.use(self._shelf.strategy(version) if version else None, version)
        except Unfit as why:
            self._amiss = f"{version} can't be asked: {why}"
            self._champion.use(Silent(self._amiss), version)

    def _check(self, learning: Learning) -> None:
        """Look whether the model's world has drifted; take it down if it has decayed."""
        self._drifted, self._drift = "", None
        if not learning.version or self._champion.refusal:
            return
        try:
            self._drifted, self._drift = drifting(self._shelf.inputs(learning.version), self._champion.lately)
            verdict = self.decayed(learning)
            if verdict is None:
                return
            if verdict.against_calibration >= CALIBRATION_DRIFTS * verdict.alarm_at:
                self._drifted = self._drift = "fewer trades win than the model's probabilities say"
            if verdict.action != KEEP:
                self._tell(f"🚨 {verdict.words}")
                self._shelf.take_down(learning.version, verdict)
        except Unfit as why:
            self._amiss = str(why)

    def decayed(self, learning: Learning) -> Verdict | None:
        """Whether the model that believes keeps its promise; None: it made none."""
        promise = self._shelf.promise(learning.version)
        if promise is None:
            return None
        known = sorted(learning.realized)
        outcomes = Outcomes(
            np.array([int(one.decided.timestamp()) // DAY_S for one in known], dtype=np.int64),
            np.array([one.r for one in known]),
            np.array([one.confidence for one in known]),
        )
        return decay(promise, outcomes, predecessor=self._shelf.predecessor(learning.version))


def drifting(learned: Mapping[str, Profile], lately: Sequence[Array]) -> tuple[str, str | None]:
    """Why the inputs of a model that learned from `learned` say that a retrain is due, and how far they moved.

    `lately` are the features of closes, (symbols, features) each; symbols of one close say much the same.
    """
    if not learned or not lately or lately[0].shape[1] != len(learned):
        return "", None
    found = drift(learned, np.concatenate(list(lately)), repeats=REPEATS * len(lately[0]))
    known = [one for one in found if np.isfinite(one.stability)]
    if not known:
        return "", None
    moved = [one for one in known if one.drifted]
    worst = max(moved or known, key=lambda one: one.stability)
    most = f"most {worst.name}, population stability index {worst.stability:.2f}, of chance {worst.expected:.2f}"
    words = f"{len(moved)} of {len(known)} inputs drifted, {most}"
    return words if moved else "", words
