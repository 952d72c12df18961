"""A backtest, by the compiled engine where it knows every rule, else by the event loop, with a word about why.

Both give the same tables. The record says which engine ran, and what stood in for what the data lacks. A strategy that
reads the future is refused: what it would have earned is nobody's to earn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape

from qtlib.domain.events import START
from qtlib.domain.panel import Panel
from qtlib.engine import compiled
from qtlib.engine.feeds import Strategy, lived, panel_of, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.journal import MemoryJournal
from qtlib.learning.findings import Findings
from qtlib.learning.leaks import Leaky, lint
from qtlib.market import Market
from qtlib.report.columns import Tables
from qtlib.report.retold import retold
from qtlib.report.tables import tables
from qtlib.rules.rules import Rules
from qtlib.runs import columns, wiring
from qtlib.runs.record.run import Run

COMPILED, EVENT = "compiled", "event"
CHOSEN = "its universe is chosen anew each day"  # which the compiled engine does not do


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    books: Tables
    engine: str
    why: str  # it was not the compiled one, although that was asked for; empty: it was, or was not
    fallbacks: Mapping[str, str]  # what had to be assumed because the data did not say it
    leaks: Findings  # none, or there is no backtest

    def _repr_html_(self) -> str:
        return f"<p>{escape(retold(self.said))}</p><p>{escape(retold(str(self.leaks)))}</p>"

    @property
    def said(self) -> str:
        """Which engine ran, in words."""
        if self.why:
            return f"the event loop ran, because the compiled engine does not know this: {self.why}"
        return f"the {self.engine} engine ran" if self.engine == COMPILED else "the event loop ran, as asked"


def backtested(
    run: Run, market: Market, strategy: Strategy, rules: Rules, venue: SimulatedExchange, after: datetime = START
) -> Backtest:
    """Trade `market` after `after` on a venue like `venue`, as the settings of `run` say; `Leaky` if it can't be."""
    panel = panel_of(market)
    leaks = lint([strategy], panel)
    if not leaks.ok:
        raise Leaky(str(leaks))
    asked, why = run.params.session, ""
    if asked.engine == COMPILED:
        try:
            if run.params.universe.rule:
                raise compiled.Undecided(CHOSEN)
            return _stopped(run, _compiled(run, market, panel, strategy, rules, venue, after, leaks))
        except compiled.Undecided as undecided:
            why = str(undecided)
    books = _by_event_loop(run, market, strategy, rules, venue, after)
    done = Backtest(books, EVENT, why, dict(venue.fallbacks), leaks)
    if why:
        run.log.write("warning", f"⚠️ {done.said}")
    return _stopped(run, done)


def _stopped(run: Run, done: Backtest) -> Backtest:
    """`done`, with a word if it was not let to its end."""
    if asked := run.stop_requested():
        run.log.write("warning", f"⚠️ stopped after {len(done.books.equity):,} bars, by {asked}")
    return done


def _compiled(
    run: Run,
    market: Market,
    panel: Panel,
    strategy: Strategy,
    rules: Rules,
    venue: SimulatedExchange,
    after: datetime,
    leaks: Findings,
) -> Backtest:
    asked = run.params.session
    close, cash = asked.at_end == "close", venue.account.cash

    def go_on(bars: int, total: int) -> bool:
        run.beat(bars, total)
        return run.stop_requested() is None

    done = compiled.backtest(
        market,
        strategy,
        rules,
        venue.conduct,
        cash,
        close_at_end=close,
        max_bars=asked.max_bars,
        after=after,
        go_on=go_on,
        panel=panel,
    )
    run.beat(done.end - done.first, done.end - done.first)
    marks = dict.fromkeys(done.unmarked, "mark price: last price stands in")
    fallbacks = {"intrabar": venue.fallbacks["intrabar"], **marks}
    return Backtest(columns.tables(done, rules), COMPILED, "", fallbacks, leaks)


def _by_event_loop(
    run: Run, market: Market, strategy: Strategy, rules: Rules, venue: SimulatedExchange, after: datetime
) -> Tables:
    journal = MemoryJournal()
    session(
        lived(venue, replay(market, strategy, after=after, universe=wiring.universe(run.params, market))),
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
