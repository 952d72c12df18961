"""A universe that changes from day to day: live and replay choose and trade the same, whatever is struck between."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from a_live_market import LiveMarket
from builders import BTC, ETH, HOUR, T0, XRP, make_bars, some_rules
from test_crash_anywhere import EXCHANGE_CALLS, JOURNAL_CALLS, Crash, Fragile

from qtlib.domain.events import DecisionMade, Filled
from qtlib.domain.orders import ExitReason
from qtlib.domain.universe import LOW_TURNOVER, NOT_LISTED, NOT_TRADED, OUTRANKED, TOO_YOUNG, UniverseChanged
from qtlib.engine.feeds import Past, lived, panel_of, replay
from qtlib.engine.live import Subject, stepped
from qtlib.engine.session import Name, session
from qtlib.engine.universe import Universe
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import MemoryJournal
from qtlib.journal.codec import decode, decode_state, encode, encode_state
from qtlib.learning.leaks import lint_universe
from qtlib.learning.strategies import Trend
from qtlib.report.tables import tables
from qtlib.rules.universe import UniverseParams

DAY, DAYS = timedelta(days=1), 6
STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
RULES, NAME = some_rules(), Name(chooses=True)
BUSY = {
    "BTCUSDT": (9, 9, 1, 1, 9, 9),
    "ETHUSDT": (5, 5, 5, 5, 5, 5),
    "XRPUSDT": (1, 1, 9, 9, 9, 1),
}  # 1e6 base, each day


def frame(symbol, seed):
    bars = make_bars(24 * DAYS, seed=seed, vol=0.012)
    return bars.assign(volume=np.repeat(np.array(BUSY[symbol]) * 1e6, 24) * 100.0 / bars["close"])


BARS = {symbol: frame(symbol, 7 + n) for n, symbol in enumerate(SYMBOLS)}
PAST = Past(BARS)
LISTED = dict.fromkeys(SYMBOLS, T0 - 100 * DAY)
UNIVERSE = Universe(SYMBOLS, UniverseParams(top=2, min_turnover_quote=1e6, min_age_days=1.0), LISTED)
SUBJECT = Subject(STRATEGY, SYMBOLS, "1h", HOUR, universe=UNIVERSE)


def a_venue():
    listed = {i.symbol: i for i in (BTC, ETH, XRP)}
    return SimulatedExchange(listed, Decimal(10_000), Conduct(slippage_noise_frac=0.0001))


def live(market, exchange, pen, **more):
    return session(stepped(market, SUBJECT, pen.state().decided), RULES, exchange, pen, name=NAME, **more)


def told(journal):
    """What matters of a journal: who was in, what was decided, and what was filled."""
    kinds = (UniverseChanged, DecisionMade, Filled)
    events = [event for _, event in journal.events() if isinstance(event, kinds)]
    return [
        (f.ts, f.symbol, f.side, f.quantity, f.price, f.fee) if isinstance(e, Filled) and (f := e.fill) else e
        for e in events
    ]


VENUE, JOURNAL = a_venue(), MemoryJournal()
STATE = session(lived(VENUE, replay(PAST, STRATEGY, universe=UNIVERSE)), RULES, VENUE, JOURNAL, name=NAME)
CALM = told(JOURNAL)


def changes(journal):
    return [event for _, event in journal.events() if isinstance(event, UniverseChanged)]


def test_each_day_has_the_universe_that_was_known_when_it_began():
    days = {event.ts: event for event in changes(JOURNAL)}
    first, *later = sorted(days)
    assert later == [T0 + n * DAY for n in (1, 3, 5, 6)]
    assert [set(days[ts].members) for ts in later] == [
        {"BTCUSDT", "ETHUSDT"},
        {"ETHUSDT", "XRPUSDT"},
        {"BTCUSDT", "XRPUSDT"},
        {"BTCUSDT", "ETHUSDT"},
    ]
    assert set(days[first].out.values()) == {NOT_TRADED}  # nothing is known of the day before
    assert days[T0 + 5 * DAY].members == {"BTCUSDT": T0 + 5 * DAY, "XRPUSDT": T0 + 3 * DAY}
    assert STATE.universe == days[T0 + 6 * DAY]


def test_what_drops_out_is_left_and_nothing_that_is_out_is_entered():
    trades = tables(event for _, event in JOURNAL.events()).trades
    left = trades[trades["exit_reason"] == ExitReason.UNIVERSE.value]
    assert len(left) >= 2
    assert set(left["exit_ts"]) <= {event.ts for event in changes(JOURNAL)}
    in_now = {}
    for _, event in JOURNAL.events():
        if isinstance(event, UniverseChanged):
            in_now = event.members
        if isinstance(event, DecisionMade):
            assert {s for s, target in event.decision.targets.items() if target.quantity} <= set(in_now)


def test_live_chooses_and_trades_as_its_replay():
    here, written = a_venue(), MemoryJournal()
    state = live(LiveMarket(here, BARS), here, written)
    assert told(written) == CALM
    assert (state.account, state.universe) == (STATE.account, STATE.universe)


def test_sessions_that_follow_one_another_keep_since_when():
    here, written = a_venue(), MemoryJournal()
    market = LiveMarket(here, BARS)
    while market.coming:
        state = live(market, here, written, max_bars=31)
    assert told(written) == CALM
    assert state.universe == STATE.universe


def test_a_journal_keeps_who_is_in_and_since_when():
    assert decode_state(encode_state(STATE)).universe == STATE.universe
    assert [decode("UniverseChanged", encode(event)) for event in changes(JOURNAL)] == changes(JOURNAL)


@pytest.mark.parametrize("after", [False, True], ids=["before acting", "after acting"])
@pytest.mark.parametrize("whose", ["replay", "live"])
def test_a_crash_where_one_drops_out_changes_nothing(whose, after):
    """At calls of the exchange and writes of the journal from the bar before one drops out to the second after it."""
    there = {symbol: bars[: 24 * 3 + 2] for symbol, bars in BARS.items()}
    last = T0 + 3 * DAY + 2 * HOUR
    calm = [one for one in CALM if (one[0] if isinstance(one, tuple) else one.ts) <= last]
    for crash_at in range(2, 26, 6):
        venue, journal, fuse, crashes = a_venue(), MemoryJournal(), [0], 0
        market = LiveMarket(venue, there)

        def run(exchange, pen, whose=whose, market=market, **more):
            if whose == "live":
                market.venue = exchange
                return live(market, exchange, pen, **more)
            pairs = replay(Past(there), STRATEGY, after=pen.state().decided, universe=UNIVERSE)
            return session(lived(exchange, pairs), RULES, exchange, pen, name=NAME, **more)

        run(venue, journal, max_bars=24 * 3 - 1)
        fuse[0] = crash_at
        while True:
            try:
                run(Fragile(venue, fuse, EXCHANGE_CALLS, after), Fragile(journal, fuse, JOURNAL_CALLS, after))
                break
            except Crash:
                crashes += 1
        assert crashes == 1, crash_at
        assert told(journal) == calm, crash_at


def test_a_universe_is_not_picked_by_what_came_later():
    panel = panel_of(PAST)
    begins = 24 * 3 + 5

    def pick(seen):
        return UNIVERSE.at((T0 + (begins + 1) * HOUR), seen).members

    def by_hindsight(seen):
        return UNIVERSE.at(T0 + len(seen) * HOUR, seen).members

    assert not lint_universe("the rule", pick, panel, begins)
    assert lint_universe("the last day's", by_hindsight, panel, begins)


def test_who_is_listed_later_or_gone_counts_only_while_it_trades():
    later, gone = BARS["BTCUSDT"].iloc[30:], BARS["XRPUSDT"].iloc[:50]
    panel = panel_of(Past({"BTCUSDT": later, "ETHUSDT": BARS["ETHUSDT"], "XRPUSDT": gone}))
    chosen = Universe(SYMBOLS, UNIVERSE.params, {**LISTED, "BTCUSDT": later.index[0].to_pydatetime()})
    out = [dict(chosen.at(T0 + n * DAY, panel).out) for n in (1, 2, 3, 4)]
    assert [of.get("BTCUSDT") for of in out] == [NOT_LISTED, TOO_YOUNG, None, None]
    assert [of.get("XRPUSDT") for of in out] == [None, None, OUTRANKED, NOT_TRADED]


def test_at_any_hour_of_a_day_its_universe_is_the_one_of_its_beginning():
    panel = panel_of(PAST)
    busy = Universe(SYMBOLS, UniverseParams(top=3, min_turnover_quote=6 * 24 * 1e8), LISTED)
    for day in range(1, DAYS):
        begun = busy.at(T0 + day * DAY, panel)
        assert begun.out["ETHUSDT"] == LOW_TURNOVER
        assert all(busy.at(T0 + day * DAY + hour * HOUR, panel) == begun for hour in range(24))
