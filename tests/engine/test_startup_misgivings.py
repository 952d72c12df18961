"""A session that began with misgivings enters nothing, and protects and leaves as ever; the next one looks again."""

from decimal import Decimal

import pytest
from a_live_market import LiveMarket
from builders import BTC, ETH, HOUR, make_bars, some_rules

from qtlib.domain.events import OrderRequested, StatusSet, TradingStatus
from qtlib.domain.orders import Role
from qtlib.engine.live import Subject, stepped
from qtlib.engine.session import Name, session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import MemoryJournal
from qtlib.learning.strategies import Trend

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
BARS = {"BTCUSDT": make_bars(90, seed=7, vol=0.012), "ETHUSDT": make_bars(90, seed=8, vol=0.012)}
RULES = some_rules()
SUBJECT = Subject(STRATEGY, ("BTCUSDT", "ETHUSDT"), "1h", HOUR)
AMISS = "venue, stops: a stop is refused"


class Story:
    def __init__(self):
        self.venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct())
        self.journal, self.market = MemoryJournal(), LiveMarket(self.venue, BARS)

    def goes_on(self, bars, misgivings=""):
        """The roles that were asked for in so many more bars."""
        before = self.journal.last
        feed = stepped(self.market, SUBJECT, self.journal.state().decided)
        name = Name(run_id=f"run-{before}")
        self.state = session(feed, RULES, self.venue, self.journal, name=name, max_bars=bars, misgivings=misgivings)
        news = [event for _, event in self.journal.events(before)]
        return {event.intent.role for event in news if isinstance(event, OrderRequested)}


def test_nothing_is_entered_while_there_are_misgivings_and_what_is_held_is_protected_and_left():
    story = Story()
    assert Role.ENTRY in story.goes_on(30)
    assert story.venue.account.positions
    asked = story.goes_on(20, AMISS)
    assert Role.ENTRY not in asked
    assert asked  # stops were moved, or positions left
    assert (story.state.status, story.state.cause) == (TradingStatus.REDUCING, AMISS)
    assert all(trade.naked_since is None for trade in story.state.trades.values())


def test_the_next_session_looks_again():
    story = Story()
    assert Role.ENTRY not in story.goes_on(40, AMISS)
    assert Role.ENTRY in story.goes_on(30)
    assert story.state.status is TradingStatus.ACTIVE
    assert Role.ENTRY not in story.goes_on(1, AMISS) | story.goes_on(1, AMISS)


@pytest.mark.parametrize("status", [TradingStatus.REDUCING, TradingStatus.HALTED])
def test_a_start_that_finds_nothing_lifts_no_brake_that_somebody_put_on(status):
    story = Story()
    story.journal.absorb(story.journal.state(), [StatusSet(story.venue.now, status, "a person said so", "kari@home")])
    assert Role.ENTRY not in story.goes_on(40, AMISS)
    assert Role.ENTRY not in story.goes_on(20)
    assert (story.state.status, story.state.cause) == (status, "a person said so")
