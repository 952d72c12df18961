"""A desk over a journal in a file, whose session trades in this process and is what the test says."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from builders import BTC, ETH, make_bars, some_rules

from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import Name, session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import Journal
from qtlib.learning.strategies import Trend
from qtlib.panel.desk import Outside
from qtlib.runs.record.commands import commanded

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
HISTORY = Past({"BTCUSDT": make_bars(900, seed=7, vol=0.012), "ETHUSDT": make_bars(900, seed=8, vol=0.012)})
LIVES = Outside(run_id="r1", run_status="running", beat_age_s=0.3)


class ADesk:
    """A desk over a journal in a file, whose session is what the test says."""

    account, mode, market, starting = "main", "sim", "a market of the test", "qt live"

    def __init__(self, path):
        self.path, self.shown, self.asked, self.shelf = path, LIVES, [], None
        self.venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct())

    def trade(self, bars):
        with Journal(self.path, "main") as journal:
            feed = lived(self.venue, replay(HISTORY, STRATEGY, after=journal.state().decided))
            name = Name(run_id=f"r{bars}")
            return session(feed, some_rules(), self.venue, journal, name=name, max_bars=bars)

    def journal(self):
        return Journal(self.path, "main", reading=True) if self.path.exists() else None

    def outside(self):
        return self.shown

    def ask(self, verb, **what):
        self.asked.append((verb, what))
        return commanded(verb, **what)

    def models(self):
        return self.shelf

    def promote(self, version):
        if version == "m2":
            raise ValueError("the gate said no")
        self.asked.append(("promote", version))
        self.shelf = replace(self.shelf, champion=version, changed=datetime.now(UTC), before=self.shelf.champion)

    def roll_back(self):
        self.asked.append("roll back")

    def start(self):
        self.asked.append("start")
