"""Between a session and its venue and journal: what a trial makes go wrong beside the venue's own faults.

All of it is counted in `Trouble`, by calls. A venue keeps its promises meanwhile: of an order that is still on its way
it does not say that it is lost.
"""

from collections.abc import Callable

from a_trial import Trial

from qtlib.domain.commands import Command, Verb
from qtlib.domain.events import Event
from qtlib.domain.orders import Role, Submit
from qtlib.domain.state import State
from qtlib.engine.auditor import Auditor
from qtlib.exchanges.port import ExchangeError, Unavailable, Unknown
from qtlib.rules.status import code

PATIENCE = 8.0  # calls of the venue for which a position may be bare, before the auditor has it left


class Death(BaseException):
    """Not an Exception: no handler may make good what a dead process could not."""


class Trouble:
    """All that a trial made happen so far, in order."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.calm = False  # from now on nothing more happens
        self.calls = 0  # of the venue
        self.told: list[str] = []
        self._steps = 0  # calls of venue and journal

    def note(self, what: str) -> None:
        self.told.append(f"call {self.calls}: {what}")

    def dies(self, at: str, after: bool) -> None:
        """The session dies here, if that was drawn."""
        self._steps += not after
        if self.trial.deaths.get(self._steps) is after and not self.calm:
            self.note(f"death {'after' if after else 'before'} {at}")
            raise Death

    @property
    def down(self) -> tuple[bool, bool]:
        """Whether the line is down, and whether what is asked for happens all the same."""
        for first, calls, acting in () if self.calm else self.trial.outages:
            if first <= self.calls < first + calls:
                return True, acting
        return False, False


class Line:
    """The venue, as far as its session can reach it. `arrive` is how an order that was late gets there."""

    def __init__(self, venue, trouble: Trouble, arrive: Callable[[Submit], object]) -> None:
        self._venue, self._trouble, self._arrive = venue, trouble, arrive
        self._asked = self._entries = 0  # orders
        self._coming: list[tuple[int, Submit]] = []  # at which call they arrive

    @property
    def still(self) -> bool:
        """Nothing is on its way."""
        return not self._coming

    def carry_out(self, actions):
        self._begun("orders")
        acts = [action for action in actions if not self._is_late(action)]
        down, acting = self._trouble.down
        if down and not acting:
            raise Unavailable("the line is down")
        told = self._asked_of(self._venue.carry_out, acts) if acts else []
        if down:
            raise Unknown("the line went down")
        self._trouble.dies("orders", after=True)
        return told

    def events(self, since, about=()):
        self._question("events")
        coming = {submit.intent.client_id for _, submit in self._coming}
        about = [order for order in about if order.intent.client_id not in coming]
        return self._asked_of(self._venue.events, since, about)

    def snapshot(self):
        self._question("snapshot")
        return self._asked_of(self._venue.snapshot)

    def __getattr__(self, name):
        return getattr(self._venue, name)

    def _asked_of(self, call, *said):
        """What the venue answers; that it did not is trouble, too: on a slow machine nobody need have planned it."""
        try:
            return call(*said)
        except ExchangeError as why:
            self._trouble.note(f"no answer: {why}")
            raise

    def _question(self, what: str) -> None:
        self._begun(what)
        if self._trouble.down[0]:
            raise Unavailable("the line is down")

    def _begun(self, what: str) -> None:
        trouble = self._trouble
        trouble.calls += 1
        due = [one for one in self._coming if trouble.calm or one[0] <= trouble.calls]
        self._coming = [one for one in self._coming if one not in due]
        for _, submit in due:
            trouble.note(f"{submit.intent.client_id} arrives")
            self._arrive(submit)
        trouble.dies(what, after=False)
        if trouble.down[0]:
            trouble.note(f"line down for {what}")

    def _is_late(self, action) -> bool:
        if not isinstance(action, Submit):
            return False
        its, entry = self._trouble.trial, action.intent.role is Role.ENTRY
        self._asked, self._entries = self._asked + 1, self._entries + entry
        calls = its.late.get(self._asked) or (its.late_entries.get(self._entries) if entry else None)
        if calls is None or self._trouble.calm:
            return False
        self._trouble.note(f"{action.intent.client_id} will be {calls} calls late")
        self._coming.append((self._trouble.calls + calls, action))
        return True


class Pen:
    """The journal, while whoever writes may die."""

    def __init__(self, journal, trouble: Trouble) -> None:
        self._journal, self._trouble = journal, trouble

    def absorb(self, *said, **named):
        self._trouble.dies("a line in the journal", after=False)
        after = self._journal.absorb(*said, **named)
        self._trouble.dies("a line in the journal", after=True)
        return after

    def __getattr__(self, name):
        return getattr(self._journal, name)


class Looker(Auditor):
    """The auditor, to whom a call is a second; `looked` is told each state, and whether it is acted on yet."""

    def __init__(self, trouble: Trouble, looked: Callable[[State, bool], None]) -> None:
        super().__init__(PATIENCE, PATIENCE, lambda words: None, clock=lambda: float(trouble.calls))
        self._looked, self._learned = looked, False

    def news(self, state: State) -> Event | None:
        self._learned = True  # a moment is being learned: it is looked at once before it is acted on
        return super().news(state)

    def look(self, state: State) -> None:
        super().look(state)
        acted, self._learned = not self._learned, False
        self._looked(state, acted)


def let_go(state: State, journal, number: int) -> None:
    """A person lets go of whatever brake a guard put on."""
    if state.brake:
        now = journal.now()
        journal.command(Command(f"person-{number}", Verb.REARM, "a person", now, code=code(state.brake, now)))
