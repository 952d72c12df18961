"""The exchange goes away, and comes back: nothing is decided meanwhile, nothing is forgotten, nobody is left bare."""

from decimal import Decimal
from math import inf

import pytest
from a_live_market import LiveMarket
from builders import BTC, ETH, HOUR, T0, a_position, a_state, make_bars, some_rules

from qtlib.domain.advance import advance
from qtlib.domain.commands import Command, Verb
from qtlib.domain.decisions import Moment
from qtlib.domain.events import (
    BarClosed,
    DecisionMade,
    Filled,
    OrderChanged,
    ProtectionOverdue,
    TradingStatus,
)
from qtlib.domain.orders import OrderIntent, OrderStatus, OrderType, Role, Side, Submit
from qtlib.engine.auditor import Auditor, Unwatched
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.live import Subject, stepped
from qtlib.engine.session import session
from qtlib.exchanges.port import Unavailable
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.exchanges.simulated.faults import Faults, fault
from qtlib.exchanges.simulated.faulty import FaultyExchange
from qtlib.journal import MemoryJournal
from qtlib.learning.strategies import Trend

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
HISTORY = Past({"BTCUSDT": make_bars(44, seed=7, vol=0.012), "ETHUSDT": make_bars(44, seed=8, vol=0.012)})
RULES = some_rules()
OUTAGE = 4  # calls
BY_HAND = OrderIntent("web-1", "ETHUSDT", Side.SELL, Decimal(1), Role.FOREIGN, OrderType.LIMIT, price=Decimal(900))


class Patient(Unwatched):
    """Goes on, and counts how often it had to."""

    def __init__(self):
        self.troubles = []

    def trouble(self, why):
        self.troubles.append(str(why))


class Shaky:
    """The venue, but it cannot be reached from call `first` on, for so many calls; `after`: it acted all the same."""

    def __init__(self, venue, first, after):
        self.venue, self.first, self.after, self.calls = venue, first, after, 0

    def __getattr__(self, name):
        method = getattr(self.venue, name)
        if name not in ("carry_out", "events", "snapshot"):
            return method

        def call(*said):
            self.calls += 1
            gone = 0 < self.first <= self.calls < self.first + OUTAGE
            if not gone or self.after:
                answer = method(*said)
            if gone:
                raise Unavailable("the line is dead")
            return answer

        return call


def run(first=0, after=False):
    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct(slippage_noise_frac=0.0001))
    shaky, journal, watch = Shaky(venue, first, after), MemoryJournal(), Patient()
    state = session(lived(venue, replay(HISTORY, STRATEGY)), RULES, shaky, journal, watch=watch)
    return state, venue, journal, watch, shaky.calls


*_, CALLS = run()


@pytest.mark.parametrize("after", [False, True], ids=["not reached", "acted, and not heard of"])
def test_an_outage_anywhere_is_survived(after):
    for first in range(1, CALLS - 3 * OUTAGE, 3):
        state, venue, journal, watch, _ = run(first, after)
        assert watch.troubles == ["the line is dead"] * OUTAGE
        assert state.account == venue.account, first
        assert {*state.orders} == {*venue.view.book.orders}, first
        assert all(trade.naked_since is None for trade in state.trades.values()), first
        closes = [event.ts for _, event in journal.events() if isinstance(event, BarClosed)]
        assert len(closes) == len(set(closes)) == 44, first  # a bar that was missed is learned later, once


def test_nothing_is_decided_on_what_was_not_heard():
    decided = [event.ts for _, event in run(20)[2].events() if isinstance(event, DecisionMade)]
    calm = [event.ts for _, event in run()[2].events() if isinstance(event, DecisionMade)]
    assert 0 < len(calm) - len(decided) <= OUTAGE
    assert set(decided) < set(calm)


def test_what_no_event_tells_of_is_found_when_the_exchange_answers_again():
    """An order of somebody else that only rests: it stands in what is open, and in nothing that happened to us."""

    class Reticent(Shaky):
        def events(self, *said):
            told = self.__getattr__("events")(*said)
            return [event for event in told if getattr(event, "client_id", "") != BY_HAND.client_id]

        def snapshot(self):
            self.asked = self.calls
            return self.__getattr__("snapshot")()

    class ByHand(Patient):
        def trouble(self, why):
            super().trouble(why)
            if len(self.troubles) == 1:
                venue.carry_out([Submit(BY_HAND)])

    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct())
    reticent, journal = Reticent(venue, 40, after=False), MemoryJournal()
    state = session(lived(venue, replay(HISTORY, STRATEGY)), RULES, reticent, journal, watch=ByHand())
    assert reticent.asked > reticent.first  # else it would not have been asked at all
    assert state.orders[BY_HAND.client_id].intent.role is Role.FOREIGN
    assert BY_HAND.client_id in venue.view.book.orders  # and is left alone


def test_without_a_wall_clock_a_bare_position_is_left_by_that_of_the_bars():
    """In a backtest nobody looks on; and no stop ever gets through here."""
    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct())
    no_stops = Faults([fault("timeout", on="POST v1/algoOrder", executes=False, times=None)])
    faulty, journal = FaultyExchange(venue, no_stops), MemoryJournal()
    session(lived(faulty, replay(HISTORY, STRATEGY)), RULES, faulty, journal, watch=Unwatched())
    entered: dict = {}
    lasted = []
    for _, event in journal.events():
        if isinstance(event, Filled) and (begun := entered.pop(event.fill.symbol, None)):
            lasted.append(event.fill.ts - begun)
        elif isinstance(event, Filled):
            entered[event.fill.symbol] = event.fill.ts
    assert len(lasted) > 5
    assert max(lasted) == HOUR


def lockstep(first, holds_s=inf):
    """A session that the exchange leaves in the lurch from call `first` on, in a market that waits for it."""
    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct(slippage_noise_frac=0.0001))
    shaky, journal = Shaky(venue, first, after=False), MemoryJournal()
    market = LiveMarket(venue, HISTORY.bars)
    subject = Subject(STRATEGY, ("BTCUSDT", "ETHUSDT"), "1h", HOUR)

    def feed():
        for moment in stepped(market, subject):
            yield moment._replace(holds_s=holds_s)
            for _ in range(OUTAGE):  # as if time went on
                yield Moment(moment.ts, {})

    session(feed(), RULES, shaky, journal, watch=Patient())
    fills = [event.fill for _, event in journal.events() if isinstance(event, Filled)]
    decided = [event.ts for _, event in journal.events() if isinstance(event, DecisionMade)]
    return [(f.ts, f.symbol, f.quantity, f.price) for f in fills], decided


def test_a_decision_that_an_outage_held_up_is_made_while_it_holds():
    calm, decided = lockstep(0)
    assert len(calm) > 10
    for first in range(1, 400, 17):
        assert lockstep(first) == (calm, decided), first
    lost = [len(decided) - len(lockstep(first, holds_s=0.0)[1]) for first in range(150, 160)]
    assert max(lost) == 1  # what does not hold is not decided on later


# --- by the wall clock ------------------------------------------------------------------------------------


class Ticking:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def audited(**said):
    clock, told = Ticking(), []
    return Auditor(3.0, 10.0, told.append, clock=clock, **said), clock, told


def bare():
    return a_state(a_position(1))


def test_a_position_may_be_bare_for_three_seconds_and_not_longer():
    auditor, clock, told = audited()
    auditor.look(a_state())  # the session found nothing
    auditor.look(bare())
    clock.now_s = 2.9
    assert auditor.news(bare()) is None
    clock.now_s = 3.1
    assert auditor.news(bare()) == ProtectionOverdue(T0, "BTCUSDT", 3.1)
    assert told == ["🚨 BTCUSDT has had no confirmed stop for 3.1 s"]
    left = advance(bare(), ProtectionOverdue(T0, "BTCUSDT", 3.1))
    assert auditor.news(left) is None  # it is being left already
    assert auditor.naked_s == {"t-BTCUSDT": 3.1}


def test_what_was_bare_when_the_session_began_has_ten_seconds():
    auditor, clock, _ = audited()
    auditor.look(bare())
    clock.now_s = 9.9
    assert auditor.news(bare()) is None
    clock.now_s = 10.1
    assert auditor.news(bare()) is not None


def test_a_confirmed_stop_ends_the_count():
    auditor, clock, _ = audited()
    auditor.look(a_state())
    auditor.look(bare())
    clock.now_s = 2.0
    trades = {s: trade.but(naked_since=None) for s, trade in bare().trades.items()}
    auditor.look(bare().but(trades=trades))
    clock.now_s = 60.0
    auditor.look(bare())
    assert auditor.news(bare()) is None
    assert auditor.naked_s == {"t-BTCUSDT": 2.0}


def test_it_counts_while_the_loop_hangs_and_its_heart_beats():
    import threading

    beats, told = threading.Event(), threading.Event()
    auditor = Auditor(0.0, 0.0, lambda words: told.set(), beats.set)
    with auditor.watching():
        auditor.look(bare())
        assert told.wait(5)
        assert beats.wait(5)


def test_an_outage_is_told_once_and_its_end_too():
    auditor, clock, told = audited()
    for _ in range(3):
        auditor.trouble(Unavailable("the line is dead"))
    clock.now_s = 12.0
    auditor.look(a_state())
    auditor.look(a_state())
    assert [words.split(":")[0] for words in told] == [
        "🔌 the line is dead",
        "🔌 The exchange answers again, after 12.0 s",
    ]


def test_an_overdue_mark_goes_with_the_bareness():
    left = advance(bare(), ProtectionOverdue(T0, "BTCUSDT", 3.1))
    assert left.trades["BTCUSDT"].overdue
    stop = next(a.intent for a in _planned(left) if a.intent.role is Role.STOP_LOSS)
    sheltered = advance(_requested(left, stop), OrderChanged(T0, stop.client_id, OrderStatus.OPEN))
    assert not sheltered.trades["BTCUSDT"].overdue


def _planned(state):
    from qtlib.rules.plan import plan

    return plan(state, RULES)


def _requested(state, intent):
    from qtlib.domain.events import OrderRequested

    return advance(state, OrderRequested(T0, intent))


def test_people_are_answered_while_the_exchange_is_away():
    """What was asked for is in force at once, and done when the exchange is there again."""
    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct())
    journal, away = MemoryJournal(), Shaky(venue, 0, after=False)
    killed = []

    class Asking(Patient):
        def look(self, state):
            if state.account.positions and not away.first:
                away.first = away.calls + 1
                journal.command(Command("1", Verb.KILL, "eva@desk", T0))

        def trouble(self, why):
            super().trouble(why)
            killed.append(journal.state().status)

    state = session(lived(venue, replay(HISTORY, STRATEGY)), RULES, away, journal, watch=Asking())
    assert killed[1:] == [TradingStatus.HALTED] * (len(killed) - 1)
    assert len(killed) > 1
    assert (state.status, state.account.positions, venue.account.positions) == (TradingStatus.HALTED, {}, {})
