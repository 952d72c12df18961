"""A session holds as much memory at its end as after its first day: what happened is in the journal, on disk."""

import gc
from dataclasses import replace
from decimal import Decimal

import psutil
from builders import BTC, make_bars, some_rules

from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.journal import Journal
from qtlib.learning.strategies import Trend

SYMBOLS, BARS = 50, 7 * 24  # seven days of hourly bars
GROWTH_MB = 20


def test_seven_days_of_fifty_symbols_are_lived_through_without_growing(tmp_path):
    listed = {f"S{n:02d}USDT": replace(BTC, symbol=f"S{n:02d}USDT") for n in range(SYMBOLS)}
    bars = {symbol: make_bars(BARS, seed=n, vol=0.012) for n, symbol in enumerate(listed)}
    venue = SimulatedExchange(listed, Decimal(1_000_000), store=tmp_path / "venue.sqlite")
    strategy, rules = Trend(fast=4, medium=8, slow=12, volatility_span=12), replace(some_rules(), instruments=listed)
    held_mb = []

    def beat(moment):
        if moment.bars and moment.ts.hour == 0:
            gc.collect()
            held_mb.append(psutil.Process().memory_info().rss / 1e6)

    with Journal(tmp_path / "journal.sqlite") as journal:
        session(lived(venue, replay(Past(bars), strategy)), rules, venue, journal, beat=beat)
        assert journal.last > 500
    venue.close()
    assert len(held_mb) >= 7
    assert held_mb[-1] - held_mb[0] < GROWTH_MB
