"""Trials, lived through: in process, where the venue is asked at the port, or over the wire, through the adapter."""

from dataclasses import dataclass, field
from decimal import Decimal

from a_rough_way import Death, Line, Looker, Pen, Trouble, let_go
from a_trial import CALM, Trial, moments
from a_witness import Watched, Witness
from builders import INSTRUMENTS, T0

from qtlib.domain.decisions import Moment
from qtlib.domain.orders import OrderIntent, Role, Side, Submit
from qtlib.engine.session import Name, session
from qtlib.exchanges.simulated import Conduct
from qtlib.exchanges.simulated.faults import KINDS, Faults, Place
from qtlib.exchanges.simulated.faulty import FaultyExchange
from qtlib.journal import MemoryJournal

CASH = Decimal(10_000)


@dataclass
class Life:
    """What became of a trial."""

    trial: Trial
    broken: list[str]
    injected: list[str]  # in order, of the venue
    told: list[str]  # in order, of the way there
    figures: dict[str, int] = field(default_factory=dict)


def live(trial: Trial) -> Life:
    return _InProcess(trial).live()


class _InProcess:
    def __init__(self, trial: Trial) -> None:
        self.trial, self.trouble = trial, Trouble(trial)
        self.journal = MemoryJournal(now=lambda: T0)
        self.witness = Witness(trial.rules.limits, self.journal.knows)
        conduct = Conduct(slippage_noise_frac=0.0001, seed=trial.seed)
        self.venue = Watched(INSTRUMENTS, CASH, conduct, witness=self.witness, lingering=trial.lingering)
        self.faults = Faults(trial.faults, trial.seed)
        self.faulty = FaultyExchange(self.venue, self.faults)
        self.line = Line(self.faulty, self.trouble, self.arrive)
        self.pen = Pen(self.journal, self.trouble)
        self.state = self.journal.state()
        self.mark = (0, 0)  # how much had gone wrong when the last bar ended

    def live(self) -> Life:
        lives = 0
        while True:
            lives += 1
            look = Looker(self.trouble, self.looked)
            name = Name(run_id=f"life-{lives}")
            try:
                state = session(
                    self.feed(), self.trial.rules, self.line, self.pen, name=name, watch=look, close_at_end=True
                )
            except Death:
                self.witness.dies()
                self.state = self.journal.state()
                continue
            break
        self.witness.end(self.venue, state, self.journal, len(INSTRUMENTS))
        injected = [f"{one['kind']} at {one['on']} {one['about']}".rstrip() for one in self.faults.injected]
        figures = {**self.witness.figures, "lives": lives, "injected": len(injected)}
        return Life(self.trial, self.witness.broken, injected, self.trouble.told, figures)

    def looked(self, state, acted: bool) -> None:
        self.state = state
        troubles = len(self.trouble.told) + self.wrongs()
        self.witness.looks(self.venue, state, acted, self.trouble.calls, troubles)

    def feed(self):
        """The moments that are left, from a venue that lives through each step when the session has settled."""
        pairs = moments(self.trial.market)[: self.trial.bars]
        after, begun = self.journal.state().decided, False
        for number, (step, moment) in enumerate(pairs):
            if step.ts <= after:
                continue
            if step.ts < self.venue.now:
                yield moment._replace(past=True)
                continue
            if step.ts > self.venue.now:
                if not begun:
                    yield Moment(self.venue.now, {})
                self.bar_ends(number)
                self.faulty.advance(step)
                if number in self.trial.turned_over:
                    self.turn_over(number)
            begun = True
            yield moment
            for _ in range(self.trial.beats):
                yield Moment(moment.ts, {})
        yield Moment(self.venue.now, {}, doubt="the end")

    def bar_ends(self, number: int) -> None:
        """All settled: the venue is looked over, and whoever put a brake on is asked to let go."""
        mark = (len(self.trouble.told), self.wrongs())
        quiet = mark == self.mark and self.line.still and self.faulty.tells_all
        self.witness.bar_ends(self.venue, self.state, quiet, INSTRUMENTS)
        self.mark = mark
        if number >= self.trial.bars - CALM:
            self.faults.clear()
            self.trouble.calm = True
        let_go(self.state, self.journal, number)

    def arrive(self, submit: Submit) -> None:
        self.witness.arrives_late(submit.intent.client_id)
        self.venue.carry_out([submit])

    def wrongs(self) -> int:
        """What the venue did so far on the way of requests and answers."""
        return sum(KINDS[one["kind"]].place in (Place.REQUEST, Place.EVENT) for one in self.faults.injected)

    def turn_over(self, number: int) -> None:
        """Somebody else turns the first position over, to half its size."""
        for symbol, position in sorted(self.venue.account.positions.items())[:1]:
            quantity = abs(position.quantity) * 3 / 2 // INSTRUMENTS[symbol].lot * INSTRUMENTS[symbol].lot
            hand = OrderIntent(f"web-{number}", symbol, Side.of(-position.quantity), quantity, Role.FOREIGN)
            self.trouble.note(f"{symbol} is turned over by hand")
            self.witness.turned_over(symbol)
            self.venue.carry_out([Submit(hand)])
