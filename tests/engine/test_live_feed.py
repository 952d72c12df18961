"""Live moments: the same as a replay of the same bars, whatever the venue, the line and the clock do."""

from datetime import timedelta
from decimal import Decimal

from a_live_market import LiveMarket
from builders import BTC, ETH, HOUR, T0, make_bars, some_rules

from qtlib.domain.decisions import Moment
from qtlib.domain.events import Filled
from qtlib.engine.auditor import Unwatched
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.live import Subject, single_pass, stepped, streamed
from qtlib.engine.session import session
from qtlib.exchanges.port import BarHeard, Unavailable, Woken
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import MemoryJournal
from qtlib.learning.strategies import Trend

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
BARS = {"BTCUSDT": make_bars(60, seed=7, vol=0.012), "ETHUSDT": make_bars(60, seed=8, vol=0.012)}
RULES = some_rules()
SUBJECT = Subject(STRATEGY, ("BTCUSDT", "ETHUSDT"), "1h", HOUR)


def a_venue():
    return SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct(slippage_noise_frac=0.0001))


def replayed():
    venue, journal = a_venue(), MemoryJournal()
    state = session(lived(venue, replay(Past(BARS), STRATEGY)), RULES, venue, journal)
    return state, venue, journal


def fills(journal):
    found = [event.fill for _, event in journal.events() if isinstance(event, Filled)]
    return [(f.ts, f.symbol, f.side, f.quantity, f.price, f.fee) for f in found]


def test_a_market_that_waits_is_traded_as_its_replay():
    state, venue, journal = replayed()
    here, written = a_venue(), MemoryJournal()
    live = session(stepped(LiveMarket(here, BARS), SUBJECT), RULES, here, written)
    assert len(fills(journal)) > 10
    assert fills(written) == fills(journal)
    assert (live.account, live.prices, live.orders.keys()) == (state.account, state.prices, state.orders.keys())
    assert here.account == venue.account


def test_sessions_that_follow_one_another_are_one():
    state, _, journal = replayed()
    here, written = a_venue(), MemoryJournal()
    market = LiveMarket(here, BARS)
    for _ in range(5):
        live = session(stepped(market, SUBJECT, written.state().decided), RULES, here, written, max_bars=13)
    assert fills(written) == fills(journal)
    assert live.account == state.account


def test_what_closed_while_nobody_looked_is_learned_and_only_the_newest_acted_on():
    here = a_venue()
    market = LiveMarket(here, BARS)
    for _ in range(29):
        market.step()
    moments = stepped(market, SUBJECT, T0 + 20 * HOUR)
    found = [next(moments) for _ in range(11)]
    assert [m.ts for m in found] == [T0 + n * HOUR for n in range(21, 32)]
    assert [m.past for m in found] == [True] * 9 + [False] * 2
    assert [bool(m.signals) for m in found] == [False] * 9 + [True] * 2


class Patient(Unwatched):
    def trouble(self, why):
        pass


def test_a_line_that_breaks_makes_heartbeats_and_no_bar_is_lost():
    class Shaky(LiveMarket):
        calls = 0

        def bars(self, *said):
            Shaky.calls += 1
            if Shaky.calls % 7 == 3:
                raise Unavailable("gone")
            return super().bars(*said)

        def step(self):
            lived = super().step()
            if len(self.coming) % 11 == 5:
                raise Unavailable("it went on, and nobody heard")
            return lived

    _, _, journal = replayed()
    here, written = a_venue(), MemoryJournal()
    session(stepped(Shaky(here, BARS), SUBJECT), RULES, here, written, watch=Patient())
    assert fills(written) == fills(journal)


# --- a market that does not wait --------------------------------------------------------------------------


class Ticking:
    """A clock that goes on by a second whenever it is read."""

    now_s = 0.0

    def __call__(self):
        self.now_s += 1.0
        return self.now_s


def silence(market):
    while market.heard.qsize():
        market.heard.get()


def listening(market, **said):
    usual = {"heartbeat_s": 0.01, "patience_s": 1e9, "reconcile_s": 1e9, "stale_s": 1e9}
    moments = streamed(market, SUBJECT, market.now, **{**usual, **said})
    assert next(moments) == Moment(market.now, {})  # at once
    silence(market)
    return moments


def test_a_moment_waits_for_every_symbols_bar():
    market = LiveMarket(a_venue(), BARS)
    moments = listening(market)
    market.step()
    silence(market)
    btc, eth = (BarHeard(s, b[-1]) for s, b in market.bars(("BTCUSDT", "ETHUSDT"), "1h", 1).items())
    market.heard.put(btc)
    assert next(moments).bars == {}
    market.heard.put(eth)
    assert set(next(moments).bars) == {"BTCUSDT", "ETHUSDT"}
    market.heard.put(eth)
    assert next(moments).bars == {}  # heard twice is heard once


def test_a_symbol_that_says_nothing_is_not_waited_for_for_ever():
    market = LiveMarket(a_venue(), BARS)
    moments = listening(market, patience_s=3.0, clock=Ticking())
    market.step()
    silence(market)
    market.heard.put(BarHeard("BTCUSDT", market.bars(("BTCUSDT",), "1h", 1)["BTCUSDT"][-1]))
    found = [next(moments) for _ in range(6)]
    assert [set(m.bars) for m in found if m.bars] == [{"BTCUSDT"}]


def test_what_comes_late_and_in_a_heap_is_learned_and_only_the_newest_acted_on():
    market = LiveMarket(a_venue(), BARS)
    moments = listening(market)
    for _ in range(20):
        market.step()
    found = [next(moments) for _ in range(20)]
    assert [m.past for m in found] == [True] * 19 + [False]
    assert len(found[-1].signals) == 2


def test_beliefs_about_old_bars_open_nothing():
    market = LiveMarket(a_venue(), BARS)
    while market.step():
        pass
    market.venue._clock.now += timedelta(hours=3)  # and no bar since
    feed = streamed(market, SUBJECT, market.now - 9 * HOUR, stale_s=60.0)
    newest = next(moment for moment in feed if not moment.past)
    assert {signal.fault for signal in newest.signals if signal.confidence} == {"bars too old"}


def test_being_woken_is_a_heartbeat_at_once_and_doubt_is_passed_on():
    market = LiveMarket(a_venue(), BARS)
    moments = listening(market, heartbeat_s=60.0)
    market.heard.put(Woken("a fill"))
    assert next(m for m in moments if not m.bars).doubt == ""
    market.heard.put(Woken("connected again", missed=True))
    assert next(m for m in moments if not m.bars).doubt == "connected again"


def test_it_is_compared_every_so_often():
    market = LiveMarket(a_venue(), BARS)
    moments = listening(market, reconcile_s=5.0, clock=Ticking())
    assert "it is time to compare" in [next(moments).doubt for _ in range(8)]


def test_what_is_believed_of_many_symbols_at_once_is_what_is_believed_of_each():
    market = LiveMarket(a_venue(), BARS)
    found = [moment for moment in stepped(market, SUBJECT) if moment.bars]
    there = [moment for _, moment in replay(Past(BARS), STRATEGY, windowed=True)]
    assert [m.signals for m in found] == [m.signals for m in there]
    assert sum(not s.fault for m in found for s in m.signals) > 60


def test_a_single_pass_ends_with_the_newest_bar_or_with_nothing_new():
    market = LiveMarket(a_venue(), BARS)
    for _ in range(9):
        market.step()
    found = list(single_pass(streamed(market, SUBJECT, market.now - 5 * HOUR, stale_s=1e9)))
    assert [m.past for m in found] == [True] * 4 + [False]
    assert [m.bars for m in single_pass(streamed(market, SUBJECT, market.now))] == [{}]
