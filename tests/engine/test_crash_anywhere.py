"""Kill the session at every call of the exchange and every write of the journal, before it acts and after: restarted,
nothing may be different in the end."""

import pytest
from builders import BTC, ETH, make_bars, some_rules

from qtlib.domain.events import BarClosed, Filled
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import MemoryJournal
from qtlib.learning.strategies import Trend

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
HISTORY = Past({"BTCUSDT": make_bars(44, seed=7, vol=0.012), "ETHUSDT": make_bars(44, seed=8, vol=0.012)})
RULES = some_rules()


class Crash(BaseException):
    """Not an Exception: no handler may make good what a dead process could not."""


class Fragile:
    """`target`, whose methods work until `fuse` has burnt down, and then crash before or after acting."""

    def __init__(self, target, fuse, names, after):
        self.target, self.fuse, self.names, self.after = target, fuse, names, after

    def __getattr__(self, name):
        method = getattr(self.target, name)
        if name not in self.names:
            return method

        def call(*args, **kwargs):
            self.fuse[0] -= 1
            mine = self.fuse[0]  # a call may make others
            if mine == 0 and not self.after:
                raise Crash
            result = method(*args, **kwargs)
            if mine == 0:
                raise Crash
            return result

        return call


EXCHANGE_CALLS = {"carry_out", "events", "snapshot", "advance"}
JOURNAL_CALLS = {"absorb", "state", "commands"}


def run(crash_at=0, after=False):
    """The last state, the venue's own account and the fills, with a crash at call number `crash_at` (0: none)."""
    from decimal import Decimal

    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct(slippage_noise_frac=0.0001))
    journal, fuse, crashes = MemoryJournal(), [crash_at], 0
    while True:
        exchange = Fragile(venue, fuse, EXCHANGE_CALLS, after)
        pen = Fragile(journal, fuse, JOURNAL_CALLS, after)
        pairs = replay(HISTORY, STRATEGY, after=journal.state().decided)
        try:
            state = session(lived(exchange, pairs), RULES, exchange, pen, close_at_end=True)
        except Crash:
            crashes += 1
            continue
        fills = [event.fill for _, event in journal.events() if isinstance(event, Filled)]
        return state, venue.account, fills, crashes, -fuse[0]


CALM_STATE, CALM_ACCOUNT, CALM_FILLS, _, CALLS = run()


def test_the_undisturbed_run_trades():
    assert len(CALM_FILLS) > 12
    assert CALM_STATE.account == CALM_ACCOUNT


@pytest.mark.parametrize("after", [False, True], ids=["before acting", "after acting"])
def test_a_crash_anywhere_changes_nothing(after):
    for crash_at in range(1, CALLS + 1):
        state, account, fills, crashes, _ = run(crash_at, after)
        assert crashes == 1, crash_at
        assert account == CALM_ACCOUNT, crash_at
        assert (state.account, state.prices, state.status) == (CALM_STATE.account, CALM_STATE.prices, CALM_STATE.status)
        what = [(f.ts, f.symbol, f.side, f.quantity, f.price, f.fee) for f in fills]
        assert what == [(f.ts, f.symbol, f.side, f.quantity, f.price, f.fee) for f in CALM_FILLS], crash_at


def test_no_bar_is_decided_twice():
    from collections import Counter

    venue = SimulatedExchange(RULES.instruments, BTC.min_notional * 2000, Conduct())
    journal = MemoryJournal()
    for _ in range(2):
        pairs = replay(HISTORY, STRATEGY, after=journal.state().decided)
        session(lived(venue, pairs), RULES, venue, journal, max_bars=20)
    closes = Counter(event.ts for _, event in journal.events() if isinstance(event, BarClosed))
    assert set(closes.values()) == {1}
    assert len(closes) == 40
