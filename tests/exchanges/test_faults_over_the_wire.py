"""A session through the adapter, while the served venue goes wrong by a schedule: it comes through, and again the same.

What the adapter waits for by the wall clock (that an unknown order is lost) is the one thing that no schedule decides:
where a life is to be lived twice, it does not wait.
"""

from datetime import timedelta

import pytest
from a_served_venue import PAST, served
from builders import HOUR, make_bars, some_rules

from qtlib.domain.decisions import Moment
from qtlib.domain.events import CashCorrected, PositionAdopted
from qtlib.domain.market import Step
from qtlib.engine.auditor import Unwatched
from qtlib.engine.feeds import Past, replay
from qtlib.engine.live import Subject, stepped
from qtlib.engine.session import session
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.port import ExchangeError
from qtlib.exchanges.simulated.faults import KINDS as ALL
from qtlib.exchanges.simulated.faults import Faults, Place, schedule
from qtlib.journal import MemoryJournal
from qtlib.learning.strategies import Trend

SYMBOLS = ("BTCUSDT", "ETHUSDT")
STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
BARS, CALM_AT_THE_END = 44, 10
WAITED_OUT = ("banned", "too_many", "clock_skew", "stale")  # by the wall clock, in seconds
WAITED_OUT += ("key_refused",)  # by a person
KINDS = tuple(kind for kind, its in ALL.items() if kind not in WAITED_OUT and its.place is not Place.SOCKET)


def a_market():
    """Bars that move as those of the tests do, where the venue's symbols are traded."""
    frames = {}
    for symbol, price, seed in (("BTCUSDT", 60_000, 7), ("ETHUSDT", 2_000, 8)):
        bars = make_bars(BARS, seed=seed, vol=0.012)
        prices = bars[["open", "high", "low", "close"]]
        frames[symbol] = (prices * price / prices["close"].iloc[0]).assign(volume=1e6)
    past = timedelta(hours=PAST)
    for step, _ in replay(Past(frames), STRATEGY):
        bars = {symbol: bar._replace(ts=bar.ts + past) for symbol, bar in step.bars.items()}
        yield Step(step.ts + past, bars, {}, {}, step.nexts)


class Patient(Unwatched):
    def trouble(self, why):
        assert isinstance(why, ExchangeError)


def run(seed, settle_s):
    faults = Faults(schedule(seed, kinds=KINDS, within=30), seed)
    with served(a_market(), faults=faults, times=1_000) as venue, opened(venue, settle_s) as exchange:

        def feed():
            bars = 0
            for moment in stepped(exchange, Subject(STRATEGY, SYMBOLS, "1h", HOUR)):
                bars += bool(moment.bars)
                if bars == BARS - CALM_AT_THE_END:
                    faults.clear()
                yield moment
            yield Moment(exchange.now, {}, doubt="the end")

        journal = MemoryJournal()
        state = session(feed(), some_rules(), exchange, journal, watch=Patient())
        return state, venue.desk, journal, faults.document


def opened(venue, settle_s):
    """The exchange, however often it takes to be let in."""
    while True:
        try:
            return open_exchange(Mode.SIM, SYMBOLS, url=venue.url, deadline_s=0.2, settle_s=settle_s, in_turn=True)
        except ExchangeError:
            continue


@pytest.mark.parametrize("seed", [42, 51, 61, 67, 73])
def test_a_session_comes_through_a_schedule(seed):
    state, desk, journal, document = run(seed, settle_s=0.2)
    assert document["injected"]
    assert state.account.cash == desk.account.cash
    held = {symbol: position.quantity for symbol, position in desk.account.positions.items()}
    assert {symbol: position.quantity for symbol, position in state.account.positions.items()} == held
    assert {*state.orders} == {record.client_id for record in desk.open_records()}
    assert all(trade.naked_since is None for trade in state.trades.values())
    names = [record.client_id for record in desk.records()]
    assert len(names) == len(set(names))  # taken on once each
    assert not [e for _, e in journal.events() if isinstance(e, PositionAdopted | CashCorrected)]


@pytest.mark.parametrize("seed", [41, 71])
def test_the_same_schedule_is_the_same_life(seed):
    (state, desk, _, document), (again, same_desk, _, same_document) = run(seed, 0.0), run(seed, 0.0)
    assert document == same_document
    assert [r.intent for r in desk.records()] == [r.intent for r in same_desk.records()]
    assert state.account == again.account
