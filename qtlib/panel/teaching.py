"""What a person can ask of learning: promote a model, roll back, retrain now; each with its second confirmation.

A change of champion is the registry's, and a session takes it over at its next bar: what it has taken over is shown
beside these buttons (`shown.learning`), from its own journal.
"""

from collections.abc import Callable

import ipywidgets as widgets

from qtlib.domain.commands import Verb
from qtlib.panel.controls import Controls, button, classed
from qtlib.panel.desk import Desk, Models
from qtlib.panel.sight import Life, Sight
from qtlib.report.names import judged_name
from qtlib.report.words import say


class Teaching:
    """A model to choose, and three buttons; nothing where nothing is learned."""

    def __init__(self, desk: Desk, controls: Controls) -> None:
        self._desk, self._controls = desk, controls
        self._sight: Sight | None = None
        self.model = widgets.Dropdown(description=say("Model"), options=[])
        self.model.add_class("qt-model")
        self.promote = button(say("Promote…"), "promote", self._promote, danger=True)
        self.roll_back = button(say("Roll back…"), "roll-back", self._roll_back, danger=True)
        self.retrain = button(say("Retrain now"), "retrain", self._retrain)
        self.model.observe(lambda change: self._fit(), "value")
        row = classed(widgets.Box([self.model, self.promote, self.roll_back, self.retrain]), "qt-row")
        self.widget = classed(widgets.VBox([row]), "qt-teaching")

    def show(self, sight: Sight) -> None:
        self._sight = sight
        self.widget.layout.display = "none" if sight.models is None else ""
        if sight.models is not None:
            self._offer(sight.models)
        self._fit()

    def _offer(self, models: Models) -> None:
        options = [(f"{one.version} · {judged_name(one.judged)}", one.version) for one in models.there]
        if list(self.model.options) == options:
            return
        chosen = self.model.value
        self.model.options = options
        known = [version for _, version in options]
        self.model.value = chosen if chosen in known else known[0] if known else None

    def _fit(self) -> None:
        models = self._sight.models if self._sight else None
        learns = self._sight is not None and self._sight.life is Life.LIVES and self._sight.state.learning.enabled
        chosen = self.model.value
        judged = next((one.judged for one in models.there if one.version == chosen), "") if models else ""
        self.promote.disabled = models is None or chosen in (None, models.champion) or judged != "promoted"
        self.roll_back.disabled = models is None or not models.before
        self.retrain.disabled = not learns or (self._sight is not None and self._sight.state.learning.running)

    def _promote(self) -> None:
        version = str(self.model.value)
        words = say("{model} trades from the session's next bar on, instead of {now}.", model=version, now=self._now())
        self._controls.pend(words, "PROMOTE", lambda: self._change(lambda: self._desk.promote(version)))

    def _roll_back(self) -> None:
        before = self._sight.models.before if self._sight and self._sight.models else ""
        words = say("{model} trades from the session's next bar on, instead of {now}.", model=before, now=self._now())
        self._controls.pend(words, "ROLLBACK", lambda: self._change(self._desk.roll_back))

    def _retrain(self) -> None:
        """A retrain takes nothing from trading; where it is real money, it is asked for twice all the same."""
        if self._sight is not None and self._sight.mode == "live":
            words = say("Trains a new model beside the session. What it may do afterwards, the gate says.")
            self._controls.pend(words, "RETRAIN", lambda: self._controls.ask(Verb.RETRAIN))
        else:
            self._controls.ask(Verb.RETRAIN)

    def _change(self, change: Callable[[], None]) -> None:
        try:
            change()
        except Exception as why:  # whatever it is, who pressed the button has to know
            self._controls.tell(str(why), bad=True)
            return
        self._controls.tell(say("The registry is changed; whether the session has taken it over stands under Learning"))

    def _now(self) -> str:
        models = self._sight.models if self._sight else None
        return models.champion if models and models.champion else say("the rule of thumb")
