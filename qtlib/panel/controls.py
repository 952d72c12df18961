"""What a person can ask for: buttons and fields, and the second confirmation of what is dangerous.

A callback leaves a command and returns at once; what became of it is shown when the session has answered. What closes
positions, ends the session or lets go of a brake needs a word to be typed; what only holds trading back does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from html import escape
from typing import Any

import ipywidgets as widgets

from qtlib.domain.commands import Verb
from qtlib.domain.events import TradingStatus
from qtlib.panel.desk import Desk
from qtlib.panel.sight import Held, Life, Sight
from qtlib.report.names import limit_name, verb_name
from qtlib.report.retold import retold
from qtlib.report.words import number, percent, price, say
from qtlib.rules.in_force import SETTABLE


@dataclass(frozen=True, slots=True)
class Pending:
    """What is to be confirmed: what it does, the word to type, and what happens then."""

    words: str
    word: str
    then: Callable[[], object]


class Controls:
    """All that can be pressed. `show` fits it to what there is to see."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._sight: Sight | None = None
        self._pending: Pending | None = None
        self.notice = widgets.HTML()
        self.pause = button(say("Pause"), "pause", lambda: self.ask(Verb.PAUSE))
        self.resume = button(say("Resume"), "resume", lambda: self.ask(Verb.RESUME))
        self.reduce = button(say("Reduce only"), "reduce", lambda: self.ask(Verb.REDUCE))
        self.flatten = button(say("Flatten all…"), "flatten", self._flatten, danger=True)
        self.kill = button(say("KILL…"), "kill", self._kill, danger=True)
        self.rearm = button(say("Re-arm…"), "rearm", self._rearm)
        self.start = button(say("Start session…"), "start", self._start)
        self.stop = button(say("Stop session…"), "stop", self._stop)
        self.word = widgets.Text(description=say("Type"), continuous_update=True)
        self.confirm = button(say("Confirm"), "confirm", self._confirmed, danger=True)
        self.cancel = button(say("Cancel"), "cancel", self._dismiss)
        self.asking = widgets.HTML()
        self.word.observe(lambda change: self._fit_confirm(), "value")
        self.word.add_class("qt-word-typed")
        confirming = widgets.HBox([self.word, self.confirm, self.cancel])
        self.confirming = classed(widgets.VBox([self.asking, confirming]), "qt-confirm")
        self.confirming.layout.display = "none"
        self.confirm.disabled = True

        self.symbol = widgets.Dropdown(description=say("Symbol"), options=[])
        self.symbol.add_class("qt-symbol")
        self.close = button(say("Close position…"), "close", self._close, danger=True)
        self.level = widgets.Text(description=say("New stop"), placeholder=say("price"))
        self.level.add_class("qt-level")
        self.tighten = button(say("Move stop"), "tighten", self._tighten)
        self.hint = widgets.HTML()

        names = [(limit_name(name), name) for name in SETTABLE]
        self.limit = widgets.Dropdown(description=say("Limit"), options=names)
        self.value = widgets.Text(description=say("New value"))
        self.reason = widgets.Text(description=say("Reason"), placeholder=say("needed to loosen"))
        self.set = button(say("Set limit"), "set-limit", self._set_limit)
        for name, field in (("limit", self.limit), ("value", self.value), ("reason", self.reason)):
            field.add_class(f"qt-limit-{name}")
        self.limit.observe(lambda change: self._fit_limit(), "value")

    # --- what stands where --------------------------------------------------------------------------------

    def commanding(self) -> widgets.Widget:
        trading = classed(widgets.Box([self.pause, self.resume, self.reduce]), "qt-buttons")
        closing = classed(widgets.Box([self.flatten, self.kill, self.rearm]), "qt-buttons")
        session = classed(widgets.Box([self.start, self.stop]), "qt-buttons")
        return widgets.VBox([trading, closing, session, self.confirming, self.notice])

    def positioning(self) -> widgets.Widget:
        row = classed(widgets.Box([self.symbol, self.level, self.tighten, self.close]), "qt-row")
        return widgets.VBox([row, self.hint])

    def limiting(self) -> widgets.Widget:
        return classed(widgets.Box([self.limit, self.value, self.reason, self.set]), "qt-row")

    # --- fitting to what there is to see ------------------------------------------------------------------

    def show(self, sight: Sight) -> None:
        self._sight = sight
        lives, status, brake = sight.life is Life.LIVES, sight.state.status, sight.brake
        paused = brake is not None and brake.verb is Verb.PAUSE
        self.pause.disabled = not lives or status is not TradingStatus.ACTIVE
        self.resume.disabled = not (lives and paused)
        self.reduce.disabled = not lives or (brake is not None and not paused) or status is TradingStatus.HALTED
        self.flatten.disabled = not sight.known or (brake is not None and status is TradingStatus.HALTED)
        self.kill.disabled = not sight.known or (brake is not None and brake.verb is Verb.KILL)
        self.rearm.disabled = not lives or sight.code is None
        self.stop.disabled = not lives
        self.start.disabled = sight.life in (Life.LIVES, Life.STARTS, Life.SILENT)
        self._fit_symbols(sight)
        held = sight.held(self.symbol.value)
        self.close.disabled = self.tighten.disabled = not (lives and held)
        _put(self.hint, _hint(held))
        self.set.disabled = not (lives and sight.limits)
        if not self.value.placeholder:
            self._fit_limit()

    def _fit_symbols(self, sight: Sight) -> None:
        facts = sight.state.facts
        known = sorted({*(facts.instruments if facts else ()), *sight.state.prices})
        held = [row.symbol for row in sight.positions]
        options = [*held, *(symbol for symbol in known if symbol not in held)]
        if set(self.symbol.options) != set(options) or (held and self.symbol.value is None):
            chosen = self.symbol.value if self.symbol.value in options else (options[0] if options else None)
            self.symbol.options = options
            self.symbol.value = chosen

    def _fit_limit(self) -> None:
        rows = {row.name: row for row in self._sight.limits} if self._sight else {}
        row = rows.get(self.limit.value)
        self.value.placeholder = "" if row is None else say("now {value}", value=f"{row.limit:.10g}")

    # --- asking -------------------------------------------------------------------------------------------

    def ask(self, verb: Verb, **what: Any) -> None:
        try:
            self._desk.ask(verb, **what)
        except Exception as why:  # whatever it is, who pressed the button has to know
            self.tell(str(why), bad=True)
            return
        self.tell(say("{command}: asked for", command=verb_name(verb)))

    def tell(self, words: str, bad: bool = False) -> None:
        kind, role = ("qt-bad", "alert") if bad else ("qt-note", "status")
        _put(self.notice, f'<p class="{kind}" role="{role}">{escape(words)}</p>' if words else "")

    def _flatten(self) -> None:
        words = say("Closes everything at market now ({what}). No entries until it is re-armed.", what=self._all())
        self._pend(Verb.FLATTEN, words)

    def _kill(self) -> None:
        words = say(
            "Closes everything at market now ({what}). No session of this account enters again until it is re-armed.",
            what=self._all(),
        )
        self._pend(Verb.KILL, words)

    def _stop(self) -> None:
        words = say("Ends the session. What is open stays open, protected by its stops at the venue.")
        self._pend(Verb.STOP, words)

    def _close(self) -> None:
        held = self._held()
        if held is None:
            return
        words = say(
            "Closes {symbol} at market now: {value} of value, {pnl} open. Trading goes on.",
            symbol=held.symbol,
            value=number(held.value),
            pnl=number(held.pnl, "+,.2f"),
        )
        self.pend(words, held.symbol, lambda: self.ask(Verb.CLOSE, symbol=held.symbol))

    def _rearm(self) -> None:
        code, brake = (self._sight.code, self._sight.brake) if self._sight else (None, None)
        if code is None or brake is None:
            return
        words = say("Trading goes on after: {cause}. Type the code that is shown for it.", cause=retold(brake.cause))
        self.pend(words, code, lambda: self.ask(Verb.REARM, code=code))

    def _start(self) -> None:
        words = say("Begins a session that goes on when this page is closed: {command}", command=self._desk.starting)
        self.pend(words, "START", self._started)

    def _started(self) -> None:
        try:
            self._desk.start()
        except Exception as why:  # as above
            self.tell(str(why), bad=True)
            return
        self.tell(say("The session starts"))

    def _tighten(self) -> None:
        held = self._held()
        if held is None:
            return
        try:
            level = Decimal(_plain_number(self.level.value))
        except InvalidOperation:
            self.tell(say("{value} is no price", value=repr(self.level.value)), bad=True)
            return
        self.ask(Verb.TIGHTEN, symbol=held.symbol, price=level)
        self.level.value = ""

    def _set_limit(self) -> None:
        try:
            value = float(_plain_number(self.value.value))
        except ValueError:
            self.tell(say("{value} is no number", value=repr(self.value.value)), bad=True)
            return
        self.ask(Verb.LIMITS, limits={self.limit.value: value}, reason=self.reason.value.strip())
        self.value.value = self.reason.value = ""

    # --- the second confirmation --------------------------------------------------------------------------

    def pend(self, words: str, word: str, then: Callable[[], object]) -> None:
        """Do `then` once `word` was typed; `words` say what it does."""
        self._pending = Pending(words, word, then)
        self.word.value = ""
        typed = say("To confirm, type {word}", word=f"<kbd>{escape(self._pending.word)}</kbd>")
        _put(self.asking, f'<p role="alert">{escape(self._pending.words)}</p><p>{typed}</p>')
        self.confirming.layout.display = ""
        self._fit_confirm()
        self.word.focus()

    def _fit_confirm(self) -> None:
        self.confirm.disabled = self._pending is None or self.word.value.strip().upper() != self._pending.word.upper()

    def _confirmed(self) -> None:
        pending = self._pending
        if pending is None or self.confirm.disabled:
            return
        self._dismiss()
        pending.then()

    def _dismiss(self) -> None:
        self._pending = None
        self.confirming.layout.display = "none"

    def _pend(self, verb: Verb, words: str) -> None:
        self.pend(words, verb.name, lambda: self.ask(verb))

    def _held(self) -> Held | None:
        return self._sight.held(self.symbol.value) if self._sight else None

    def _all(self) -> str:
        rows = self._sight.positions if self._sight else ()
        value = sum(row.value or 0.0 for row in rows)
        return say("{count} positions, value {value}", count=len(rows), value=number(value))


def _hint(held: Held | None) -> str:
    """What a new stop has to lie between."""
    if held is None:
        return ""
    distance = None if held.stop is None or held.mark is None else abs(held.mark - held.stop) / held.mark
    words = say(
        "Stop {stop}, {distance} from the mark {mark}; break-even {breakeven}. A stop is only ever moved nearer.",
        stop=price(held.stop),
        distance=percent(distance),
        mark=price(held.mark),
        breakeven=price(held.breakeven),
    )
    return f'<p class="qt-note">{escape(words)}</p>'


def _plain_number(text: str) -> str:
    """What somebody typed, as Python reads numbers: 61 250,50 is 61250.50.

    >>> _plain_number("61 250,50"), _plain_number("61,250.50"), _plain_number("0,015")
    ('61250.50', '61250.50', '0.015')
    """
    text = "".join(text.split()).replace("\u00a0", "").replace("−", "-")
    if "." in text:
        return text.replace(",", "")
    return text.replace(",", ".")


def button(words: str, name: str, then: Callable[[], object], danger: bool = False) -> widgets.Button:
    made = widgets.Button(description=words)
    made.add_class(f"qt-do-{name}")
    if danger:
        made.add_class("qt-danger")
    made.on_click(lambda _: then())
    return made


def classed(box: widgets.Widget, name: str) -> widgets.Widget:
    box.add_class(name)
    return box


def _put(widget: widgets.HTML, markup: str) -> None:
    """Set `markup` where it is news: what stays the same costs no message."""
    if widget.value != markup:
        widget.value = markup
