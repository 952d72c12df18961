"""A fill that is told of bars later, together with another decision: one entry a decision, and no cap is exceeded."""

from collections import Counter
from decimal import Decimal

from builders import HOUR, INSTRUMENTS, make_bars, some_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.domain.decisions import Moment
from qtlib.domain.events import DecisionMade, Filled, OrderChanged, OrderRequested
from qtlib.domain.naming import role_of
from qtlib.domain.orders import Role, Submit
from qtlib.engine.auditor import Unwatched
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import MemoryJournal
from qtlib.learning.strategies import Trend
from qtlib.rules.limits import RiskLimits
from qtlib.rules.tpsl import ExitParams

SYMBOLS = ("BTCUSDT", "XRPUSDT")
STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
PAST = Past({symbol: make_bars(50, seed=n, vol=0.012) for n, symbol in enumerate(SYMBOLS, 7)})
LIMITS = RiskLimits(cooldown_s=0, max_positions=1, max_gross_exposure=200.0, max_order_errors=1_000)
RULES = some_rules(limits=LIMITS, exits=ExitParams(protect_timeout_s=10 * 3600.0))
SLIP = 1.01  # what a fill may cost more than was reckoned, before it is cut back


class Tardy:
    """The venue, which tells nothing of the entries that are `late` for so many questions, whatever became of them."""

    def __init__(self, venue, late, questions):
        self.venue, self.late, self.left = venue, late, questions
        self.entries = 0
        self.owed: dict[str, int] = {}  # by client id: for how many questions yet
        self.most = 0.0

    def __getattr__(self, name):
        return getattr(self.venue, name)

    def carry_out(self, actions):
        for action in actions:
            if isinstance(action, Submit) and action.intent.role is Role.ENTRY:
                self.entries += 1
                if self.entries in self.late:
                    self.owed[action.intent.client_id] = self.left
        told = self._heard(self.venue.carry_out(actions))
        worth = sum(float(p.cost) for p in self.venue.account.positions.values())
        self.most = max(self.most, worth)
        return told

    def events(self, since, about=()):
        self.owed = {name: left - 1 for name, left in self.owed.items() if left > 1}
        early = min([since, *(order.since for order in about)])
        return self._heard(self.venue.events(early, about))

    def _heard(self, events):
        return [event for event in events if _order_of(event) not in self.owed]


def _order_of(event):
    if isinstance(event, Filled):
        return event.fill.client_id
    return event.client_id if isinstance(event, OrderChanged) else ""


@settings(max_examples=20)
@given(
    late=st.sets(st.integers(1, 8), min_size=1),
    questions=st.integers(1, 9),
    beats=st.integers(0, 2),
    share=st.sampled_from([1.0, 0.0000012]),  # of a bar's volume: all of an order, or a part of it
)
def test_one_entry_comes_of_a_decision_and_no_cap_is_exceeded_however_late_its_fill_is_told(
    late, questions, beats, share
):
    venue = SimulatedExchange(INSTRUMENTS, Decimal(10_000), Conduct(max_volume_share_frac=share))
    tardy, journal = Tardy(venue, late, questions), MemoryJournal()

    def feed():
        for moment in lived(tardy, replay(PAST, STRATEGY)):
            yield moment
            for _ in range(beats):
                yield Moment(moment.ts, {})
        for _ in range(questions):  # until all was told
            yield Moment(venue.now, {})

    state = session(feed(), RULES, tardy, journal, close_at_end=True, watch=Unwatched())
    events = [event for _, event in journal.events()]
    wished = Counter(
        (e.ts, e.intent.symbol) for e in events if isinstance(e, OrderRequested) and e.intent.role is Role.ENTRY
    )
    assert not wished or max(wished.values()) == 1
    assert tardy.most <= LIMITS.max_gross_exposure * SLIP
    assert state.account == venue.account
    assert {*state.orders} == {*venue.view.book.orders}
    assert share < 1 or not state.account.positions


def test_the_fills_are_told_after_a_later_decision():
    """Else the law above would say nothing."""
    venue = SimulatedExchange(INSTRUMENTS, Decimal(10_000), Conduct())
    tardy, journal = Tardy(venue, {1}, 3), MemoryJournal()
    session(lived(tardy, replay(PAST, STRATEGY)), RULES, tardy, journal, watch=Unwatched())
    decided = [(n, e.ts) for n, (_, e) in enumerate(journal.events()) if isinstance(e, DecisionMade)]
    told, filled = next(
        (n, e.ts)
        for n, (_, e) in enumerate(journal.events())
        if isinstance(e, Filled) and role_of(e.fill.client_id) is Role.ENTRY
    )
    later = [ts for n, ts in decided if n < told and ts > filled]
    assert len(later) >= 2
    assert later[-1] - filled >= 2 * HOUR
