"""A backtest, by the compiled engine where it knows every rule, else by the event loop, with a word about why.

Both give the same tables. The record says which engine ran, and what stood in for what the data lacks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from qtlib.domain.events import START
from qtlib.engine import compiled
from qtlib.engine.feeds import Strategy, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.journal import MemoryJournal
from qtlib.market import Market
from qtlib.report.tables import Tables, tables
from qtlib.rules.rules import Rules
from qtlib.runs import columns, wiring
from qtlib.runs.run import Run

COMPILED, EVENT = "compiled", "event"


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    books: Tables
    engine: str
    why: str  # it was not the compiled one, although that was asked for; empty: it was, or was not
    fallbacks: Mapping[str, str]  # what had to be assumed because the data did not say it

    def _repr_html_(self) -> str:
        return f"<p>{self.said}</p>"

    @property
    def said(self) -> str:
        """Which engine ran, in words."""
        if self.why:
            return f"the event loop ran, because the compiled engine does not know this: {self.why}"
        return f"the {self.engine} engine ran" if self.engine == COMPILED else "the event loop ran, as asked"


def backtested(
    run: Run, market: Market, strategy: Strategy, rules: Rules, venue: SimulatedExchange, after: datetime = START
) -> Backtest:
    """Trade `market` after `after` on a venue like `venue`, as the settings of `run` say."""
    asked, why = run.params.session, ""
    if asked.engine == COMPILED:
        try:
            return _compiled(run, market, strategy, rules, venue, after)
        except compiled.Undecided as undecided:
            why = str(undecided)
    done = Backtest(_by_event_loop(run, market, strategy, rules, venue, after), EVENT, why, dict(venue.fallbacks))
    if why:
        run.log.write("warning", f"⚠️ {done.said}")
    return done


def _compiled(
    run: Run, market: Market, strategy: Strategy, rules: Rules, venue: SimulatedExchange, after: datetime = START
) -> Backtest:
    asked = run.params.session
    close, cash = asked.at_end == "close", venue.account.cash
    done = compiled.backtest(
        market, strategy, rules, venue.conduct, cash, close_at_end=close, max_bars=asked.max_bars, after=after
    )
    run.beat(done.end - done.first, done.end - done.first)
    marks = dict.fromkeys(done.unmarked, "mark price: last price stands in")
    return Backtest(columns.tables(done, rules), COMPILED, "", {"intrabar": venue.fallbacks["intrabar"], **marks})


def _by_event_loop(
    run: Run, market: Market, strategy: Strategy, rules: Rules, venue: SimulatedExchange, after: datetime
) -> Tables:
    journal = MemoryJournal()
    session(
        lived(venue, replay(market, strategy, after=after)),
        rules,
        venue,
        journal,
        name=wiring.name(run),
        beat=wiring.heart(run, total=len(market.bars[market.symbols[0]]) - run.params.data.history),
        stop=lambda: run.stop_requested() is not None,
        max_bars=run.params.session.max_bars,
        close_at_end=run.params.session.at_end == "close",
    )
    return tables(event for _, event in journal.events())
