"""Trials, lived through: in process, where the venue is asked at the port, or over the wire, through the adapter.

Both are the same session over the same kind of venue, begun again where it left off whenever it dies, until its bars
are over; then everything is closed, and the witness says what was broken.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from a_rough_way import Death, Line, Looker, Pen, Trouble, let_go
from a_served_venue import served
from a_trial import CALM, Coin, Trial, moments
from a_witness import Watched, Witness
from builders import INSTRUMENTS, T0

from qtlib.domain.decisions import Moment
from qtlib.domain.market import Step
from qtlib.domain.orders import OrderIntent, OrderStatus, Role, Side, Submit
from qtlib.engine.live import Subject, stepped
from qtlib.engine.session import Name, session
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.port import ExchangeError
from qtlib.exchanges.simulated import Conduct
from qtlib.exchanges.simulated.faults import KINDS, Faults, Place
from qtlib.exchanges.simulated.faulty import FaultyExchange
from qtlib.exchanges.simulated.served import Desk, Ledger
from qtlib.exchanges.simulated.served.chart import Chart
from qtlib.journal import MemoryJournal

CASH = Decimal(10_000)
SYMBOLS = tuple(sorted(INSTRUMENTS))
SETTLE_S, DEADLINE_S = 0.05, 0.5  # over the wire: faults are quick there, and so may we be


@dataclass
class Life:
    """What became of a trial."""

    trial: Trial
    broken: list[str]
    injected: list[str]  # by the venue, in order
    told: list[str]  # what happened beside it, in order
    figures: dict[str, int] = field(default_factory=dict)


def live(trial: Trial) -> Life:
    """Live through `trial`, to the end."""
    return (_OverTheWire if trial.wire else _InProcess)(trial).live()


class _Lived:
    """What both have in common. `mark` is how much had gone wrong when the last bar ended."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.trouble = trial, Trouble(trial)
        self.journal = MemoryJournal(now=lambda: T0)
        self.pen = Pen(self.journal, self.trouble)
        self.witness = Witness(trial.rules.limits, self.journal.knows)
        conduct = Conduct(slippage_noise_frac=0.0001, seed=trial.seed)
        self.venue = Watched(INSTRUMENTS, CASH, conduct, witness=self.witness, lingering=trial.lingering)
        self.faults = Faults(seed=trial.seed)
        self.state, self.mark, self.lives = self.journal.state(), (0, 0), 0

    def segment(self, line: Line, feed: Iterator[Moment]):
        """One life of the session; the state it ended with, or None if it died."""
        self.lives += 1
        name, look = Name(run_id=f"life-{self.lives}"), Looker(self.trouble, self.looked)
        try:
            return session(feed, self.trial.rules, line, self.pen, name=name, watch=look, close_at_end=True)
        except Death:
            self.witness.dies()
            self.state = self.journal.state()
            return None

    def ended(self, state) -> Life:
        self.witness.end(self.venue, state, self.journal, len(SYMBOLS))
        injected = [f"{one['kind']} at {one['on']} {one['about']}".rstrip() for one in self.faults.injected]
        figures = {**self.witness.figures, "lives": self.lives, "injected": len(injected)}
        return Life(self.trial, self.witness.broken, injected, self.trouble.told, figures)

    def looked(self, state, acted: bool) -> None:
        self.state = state
        troubles = len(self.trouble.told) + self.wrongs()
        self.witness.looks(self.venue, state, acted, self.trouble.calls, troubles)

    def wrongs(self) -> int:
        """What the venue did so far on the way of requests and answers."""
        return sum(KINDS[one["kind"]].place in (Place.REQUEST, Place.EVENT) for one in self.faults.injected)

    def bar_ends(self, number: int, still: bool) -> None:
        """All settled: the venue is looked over, and whoever put a brake on is asked to let go."""
        mark = (len(self.trouble.told), self.wrongs())
        self.witness.bar_ends(self.venue, self.state, still and mark == self.mark)
        self.mark = mark
        if number >= self.trial.bars - CALM:
            self.faults.clear()
            self.trouble.calm = True
        let_go(self.state, self.journal, number)


class _InProcess(_Lived):
    def __init__(self, trial: Trial) -> None:
        super().__init__(trial)
        self.faults.add(trial.faults)
        self.faulty = FaultyExchange(self.venue, self.faults)
        self.line = Line(self.faulty, self.trouble, self.arrive)

    def live(self) -> Life:
        state = None
        while state is None:
            state = self.segment(self.line, self.feed())
        return self.ended(state)

    def feed(self) -> Iterator[Moment]:
        """The moments that are left, from a venue that lives through each step when the session has settled."""
        after, begun = self.journal.state().decided, False
        for number, (step, moment) in enumerate(moments(self.trial.market)[: self.trial.bars]):
            if step.ts <= after:
                continue
            if step.ts < self.venue.now:
                yield moment._replace(past=True)
                continue
            if step.ts > self.venue.now:
                if not begun:
                    yield Moment(self.venue.now, {})
                self.bar_ends(number, self.line.still and self.faulty.tells_all)
                self.faulty.advance(step)
                if number in self.trial.turned_over:
                    self.turn_over(number, step)
            begun = True
            yield moment
            for _ in range(self.trial.beats):
                yield Moment(moment.ts, {})
        yield Moment(self.venue.now, {}, doubt="the end")

    def arrive(self, submit: Submit) -> None:
        self.witness.arrives_late(submit.intent.client_id)
        self.venue.carry_out([submit])

    def turn_over(self, number: int, step: Step) -> None:
        """Somebody else turns the first position over, to half its size."""
        for symbol, position in sorted(self.venue.account.positions.items())[:1]:
            quantity = abs(position.quantity) * 3 / 2 // INSTRUMENTS[symbol].lot * INSTRUMENTS[symbol].lot
            hand = OrderIntent(f"web-{number}", symbol, Side.of(-position.quantity), quantity, Role.FOREIGN)
            self.trouble.note(f"{symbol} is turned over by hand")
            self.witness.turned_over(symbol, step.bars[symbol].close)
            self.venue.carry_out([Submit(hand)])


class _OverTheWire(_Lived):
    """A bar is not quiet either while the adapter is unsure of an order, which it may be on a slow machine, too."""

    def live(self) -> Life:
        (first, _), *rest = moments(self.trial.market)[: self.trial.bars]
        with served(
            (step for step, _ in rest), faults=self.faults, times=1_000, make=lambda: self.desk(first)
        ) as venue:
            state, armed = None, False
            while state is None:
                with self.adapter(venue.url) as exchange:
                    if not armed:  # from here on, not before
                        self.faults.add(self.trial.faults)
                        armed = True
                    line = Line(exchange, self.trouble, lambda submit: None)
                    state = self.segment(line, self.feed(_Market(exchange, self)))
        return self.ended(state)

    def desk(self, first) -> Desk:
        """The account's desk, whose venue stands at the close of the first bar."""
        chart = Chart(timedelta(hours=1))
        desk = Desk(self.venue, Ledger(None), chart)

        def name(number: str) -> str:
            record = desk.numbered(int(number)) if number.isdigit() else None
            return record.client_id if record else number

        self.witness.name = name
        desk.live(first)
        return desk

    @contextmanager
    def adapter(self, url: str):
        """The adapter, tried for as often as it takes, as its supervisor would."""
        exchange = None
        while exchange is None:
            try:
                exchange = open_exchange(
                    Mode.SIM, SYMBOLS, url=url, deadline_s=DEADLINE_S, settle_s=SETTLE_S, in_turn=True
                )
            except ExchangeError as why:
                self.trouble.note(f"no beginning: {why}")
        with exchange:
            yield exchange

    def feed(self, market: "_Market") -> Iterator[Moment]:
        subject = Subject(Coin(), SYMBOLS, "1h", timedelta(hours=1))
        yield from stepped(market, subject, self.journal.state().decided)
        yield Moment(self.venue.now, {}, doubt="the end")

    def steps(self) -> None:
        number = round((self.venue.now - T0) / timedelta(hours=1))
        unsure = any(order.status is OrderStatus.PENDING for order in self.state.orders.values())
        self.bar_ends(number, not unsure)

    def looked(self, state, acted: bool) -> None:
        """How long a position was bare is counted in bars here: calls take their time."""
        self.state = state


class _Market:
    """The adapter's market, which its witness looks at before it goes on."""

    def __init__(self, exchange, lived: _OverTheWire) -> None:
        self._exchange, self._lived = exchange, lived

    def step(self) -> int:
        self._lived.steps()
        return self._exchange.step()

    def __getattr__(self, name):
        return getattr(self._exchange, name)
