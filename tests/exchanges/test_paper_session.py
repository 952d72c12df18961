"""A session in mode paper: real prices by way of our own venue, orders that only it knows."""

import threading
import time
from dataclasses import dataclass, replace
from datetime import timedelta

from a_served_venue import SYMBOLS
from builders import beliefs, some_rules
from test_served_paper import elsewhere, following

from qtlib.domain.events import BarClosed
from qtlib.domain.orders import Role
from qtlib.engine.auditor import Auditor
from qtlib.engine.live import Subject, streamed
from qtlib.engine.session import session
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.journal import MemoryJournal
from qtlib.rules.limits import RiskLimits
from qtlib.rules.sizing import SizingParams


@dataclass(frozen=True)
class Bull:
    """Believes that all goes up."""

    lookback: int = 3
    name: str = "bull"

    def signals(self, panel):
        return beliefs(panel, 0.9)


def test_it_trades_what_happens_elsewhere_and_nobody_there_hears_of_it():
    rules = some_rules(
        sizing=SizingParams(base_notional=600.0),
        limits=RiskLimits(max_notional_per_trade=600, max_notional_per_symbol=600, max_gross_exposure=2_000),
    )
    with elsewhere() as other, following(other) as venue:
        done = threading.Event()

        def time_goes_on():
            while not done.wait(0.4):
                other.step()

        with open_exchange(Mode.PAPER, SYMBOLS, url=venue.url, settle_s=0.5) as exchange:
            listed = replace(rules, instruments=exchange.instruments(SYMBOLS))
            subject = Subject(Bull(), SYMBOLS, "1h", timedelta(hours=1))
            journal, said = MemoryJournal(), []
            feed = streamed(exchange, subject, exchange.now, heartbeat_s=0.05, stale_s=1e9)
            threading.Thread(target=time_goes_on, daemon=True).start()
            begun = time.monotonic()
            try:
                state = session(
                    feed,
                    listed,
                    exchange,
                    journal,
                    max_bars=5,
                    stop=lambda: time.monotonic() - begun > 60,
                    watch=Auditor(30.0, 30.0, said.append),
                )
            finally:
                done.set()
        closes = {
            e.ts: bar.close
            for _, e in journal.events()
            if isinstance(e, BarClosed)
            for s, bar in e.bars.items()
            if s == "BTCUSDT"
        }
        there = {bar.ts: bar.close for bar in other.desk.chart.bars_since("BTCUSDT", min(closes) - timedelta(hours=2))}
        assert len(closes) == 5
        assert closes.items() <= there.items()
        assert state.account.positions == venue.desk.account.positions != {}
        stops = [o for o in state.orders.values() if o.intent.role is Role.STOP_LOSS]
        assert {o.intent.symbol for o in stops} == set(state.account.positions)
        assert not other.desk.account.positions
        assert not any("🚨" in words for words in said)
