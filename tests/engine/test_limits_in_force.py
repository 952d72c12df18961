"""A session trades by the limits that are in force, whatever it asks for, and remembers what was asked."""

from datetime import timedelta
from decimal import Decimal

import pytest
from builders import BTC, ETH, T0, make_bars, some_rules

from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import Loosened, Name, session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import Journal
from qtlib.learning.strategies import Trend
from qtlib.rules.limits import RiskLimits

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
HISTORY = Past({"BTCUSDT": make_bars(400, seed=7, vol=0.012), "ETHUSDT": make_bars(400, seed=8, vol=0.012)})


class Desk:
    """An account with sessions of sixty bars, on a wall clock that is set by hand."""

    def __init__(self, folder):
        self.wall, self.folder, self.number = T0, folder, 0
        self.venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct())

    def trades(self, reason="", **limits):
        """The most that was open at once in a session that asks for these limits."""
        self.number += 1
        with Journal(self.folder / "journal.db", now=lambda: self.wall) as journal:
            start, most = journal.state(), 0

            def count(before, event, after):
                nonlocal most
                most = max(most, len(after.account.positions))

            journal.listener = count
            feed = lived(self.venue, replay(HISTORY, STRATEGY, after=start.decided))
            name = Name(run_id=f"r{self.number}", by="eva@desk", reason=reason)
            session(
                feed, some_rules(limits=RiskLimits(cooldown_s=0, **limits)), self.venue, journal, name=name, max_bars=60
            )
            return most

    def recorded(self):
        with Journal(self.folder / "journal.db") as journal:
            return journal.state().limits


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_what_is_loosened_with_a_reason_holds_from_the_next_day(desk):
    assert desk.trades(max_positions=1) == 1
    desk.wall += timedelta(hours=6)
    with pytest.raises(Loosened, match=r"max_positions from 1 to 2: say why \(-p session.reason="):
        desk.trades(max_positions=2)
    assert desk.trades(max_positions=2, reason="two are enough") == 1
    assert desk.trades(max_positions=2) == 1  # said once
    kept = desk.recorded()
    assert (kept.in_force["max_positions"], kept.asked["max_positions"]) == (1, 2)
    assert (kept.by, kept.reason, kept.asked_at) == ("eva@desk", "two are enough", desk.wall)
    desk.wall += timedelta(days=1)
    assert desk.trades(max_positions=2) == 2


def test_what_is_tightened_holds_at_once(desk):
    assert desk.trades(max_positions=2) == 2
    assert desk.trades(max_positions=1, max_notional_per_trade=50.0) <= 2  # what was open may stay
    assert desk.trades(max_positions=1, max_notional_per_trade=50.0) == 1
    assert desk.recorded().in_force["max_notional_per_trade"] == 50.0


def test_a_session_that_was_refused_left_nothing(desk):
    desk.trades(max_positions=1)
    kept = desk.recorded()
    with pytest.raises(Loosened):
        desk.trades(max_positions=2)
    assert desk.recorded() == kept
