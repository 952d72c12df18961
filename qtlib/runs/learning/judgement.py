"""Judging a model: it trades the newest stretch with all costs, beside what it has to beat; the gate decides.

All trade the same bars with the same rules, costs and limits, each in a venue of its own: through the event loop, or
its compiled twin, which trades the same where it knows every rule (`session.engine`).
"""

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qtlib.domain.decisions import Reason
from qtlib.domain.panel import Array, Times
from qtlib.engine import compiled
from qtlib.engine.feeds import Strategy, lived, replay
from qtlib.engine.session import session
from qtlib.journal import MemoryJournal
from qtlib.learning.gate import Evidence, GateParams, Ruling, Traded, flat, judge, said
from qtlib.learning.ledger import Ledger, Trial, fingerprint
from qtlib.learning.predictions import Each, one_by_one
from qtlib.learning.strategies import Trend
from qtlib.market import Market
from qtlib.market.timeframes import datetime_at
from qtlib.params import Params
from qtlib.report.columns import Tables
from qtlib.report.metrics import trade_results
from qtlib.report.tables import tables
from qtlib.rules.rules import Rules
from qtlib.runs import columns, wiring
from qtlib.runs.backtested import COMPILED
from qtlib.runs.believing.shelf import Shelf
from qtlib.runs.learning.lesson import Lesson
from qtlib.runs.learning.study import Study

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Arena:
    """The newest stretch, and all that it is traded under: the same for everybody."""

    params: Params
    market: Market
    rules: Rules
    times: Times  # of all closes [µs]
    begins: int  # which of them the stretch begins at


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """The newest stretch, as one of the contenders traded it."""

    traded: Traded
    books: Tables
    first_day: int  # since 1970, UTC

    @property
    def held_back(self) -> pd.Timestamp | None:
        """When its limits first held back an entry; nobody is there to let go of them, so from then on it only left."""
        decisions = self.books.decisions
        held = decisions["ts"][decisions["reason"] == Reason.STATUS.value]
        return None if held.empty else held.iloc[0]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    ruling: Ruling
    champion: str  # that it was judged against; empty: there was none
    stretches: tuple[Stretch, ...]  # the challenger's first

    @property
    def days(self) -> pd.DatetimeIndex:
        first = self.stretches[0].first_day
        return pd.DatetimeIndex(pd.to_datetime(first + np.arange(len(self.stretches[0].traded.returns)), unit="D"))

    @property
    def checks(self) -> list[tuple[str, str, str, bool]]:
        """Every check of the gate: its name, what was found, what it needs, and whether it passes."""
        return [
            (r.name, said(r.value, r.unit), f"{r.must_be} {said(r.threshold, r.unit)}", r.ok)
            for r in self.ruling.reasons
        ]

    @property
    def rows(self) -> list[tuple[str, float, float, int, float, pd.Timestamp | None]]:
        """Who traded: return, drawdown, trades and their mean in R, and since when its limits held it back."""
        return [
            (
                t.name,
                float(np.prod(1.0 + t.returns)) - 1.0,
                t.drawdown_frac,
                len(t.trade_r),
                mean(t.trade_r),
                stretch.held_back,
            )
            for stretch, t in ((s, s.traded) for s in self.stretches)
        ]

    @property
    def equity(self) -> dict[str, Array]:
        """What one unit of equity came to, by who traded."""
        return {s.traded.name: np.asarray(np.cumprod(1.0 + s.traded.returns)) for s in self.stretches}


def trade(arena: Arena, who: tuple[str, Strategy]) -> Stretch:
    """The newest stretch, traded by a strategy under a name, and closed out at its end."""
    name, strategy = who
    books = _books(arena, strategy)
    first, last = int(arena.times[arena.begins]) // DAY_US, int(arena.times[-1]) // DAY_US
    entered = books.trades.groupby("trade_id", sort=False)["entry_ts"].first()
    days = entered.astype("datetime64[us, UTC]").astype("int64").to_numpy() // DAY_US - first
    r = trade_results(books.trades)["r_multiple"].to_numpy(dtype=float)
    known = np.isfinite(r) & (days >= 0) & (days <= last - first)
    return Stretch(Traded(name, _daily(books, first, last), r[known], days[known]), books, first)


def judged(
    lesson: Lesson,
    study: Study,
    ledger: Ledger,
    name: str,
    shelf: Shelf,
    each: Each = one_by_one,
) -> Judgement:
    """The gate's word on the model called `name`, against the champion, or, while there is none, flat and the rule.

    `each` trades for them; what that comes to does not depend on who it is.
    """
    now, rule = shelf.champion(), Trend()
    arena = Arena(lesson.params, lesson.market, lesson.rules, lesson.panel.times, study.begins)
    rival: Strategy = rule if now is None else shelf.strategy(now.version)
    contenders = ((name, shelf.strategy(name)), (now.version if now else rule.name, rival))
    done_by = each if by_event_loop(lesson.params) else one_by_one  # the twin is done before others have loaded it
    ours, *against = done_by(partial(trade, arena), contenders)
    references = tuple(stretch.traded for stretch in against)
    if now is None:
        references = (flat(len(ours.traded.returns)), *references)
    data = lesson.data.fingerprint
    ledger.add(*(_tried(lesson, data, stretch) for stretch in (ours, *against)))
    last = ledger.judged(lesson.subject)
    evidence = Evidence(
        bets=study.bets,
        challenger=ours.traded,
        references=references,
        null=study.null,
        rule=study.rule,
        sharpes=ledger.sharpes(lesson.subject),
        days_since_judged=None if last is None else (datetime.now(UTC) - last).total_seconds() / 86_400,
    )
    ruling = judge(evidence, GateParams(seed=lesson.params.learning.seed))
    ledger.add(
        Trial("judgement", lesson.subject, name, fingerprint(name), data, numbers={"promoted": float(ruling.promoted)})
    )
    return Judgement(ruling, now.version if now else "", (ours, *against))


def backtest_begun(lesson: Lesson, study: Study, version: str, settings: Path) -> "Future[str | None]":
    """`backtest_of`, beside whatever else is done."""
    return ThreadPoolExecutor(1).submit(backtest_of, lesson, study, version, settings)


def backtest_of(lesson: Lesson, study: Study, version: str, settings: Path) -> str | None:
    """A backtest run of its own of the newest stretch, by `version`: its run id; None if there is none."""
    params = lesson.params
    if not params.learning.backtest_after_train:
        return None
    words = ["backtest", "--params", str(settings), "-p", f"strategy.params={{version: {version}}}", "--json"]
    if params.data.source == "simulated" and params.mode == "sim":
        words += ["-p", f"data.history={study.begins}", "-p", f"data.bars={len(lesson.panel) - study.begins}"]
    elif params.mode == "sim":
        words += ["-p", f"data.start={datetime_at(int(lesson.panel.times[study.begins])).isoformat()}"]
    else:
        return None  # its bars lie on no disk
    done = subprocess.run(
        [sys.executable, "-m", "qtlib.cli", *words],
        capture_output=True,
        check=False,
        env=os.environ | {"QT_RUNS_DIR": str(settings.parent.parent)},
    )
    try:
        record: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        return None
    return str(record["run_id"]) if "run_id" in record else None  # one that failed says why itself


def by_event_loop(params: Params) -> bool:
    """Whether it is known beforehand that the event loop runs."""
    return params.session.engine != COMPILED or params.universe.rule is not None


def mean(values: Array) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _books(arena: Arena, strategy: Strategy) -> Tables:
    """What trading the newest stretch adds up to."""
    params, after = arena.params, datetime_at(int(arena.times[arena.begins - 1]))
    venue = wiring.venue(params, arena.rules.instruments)
    if not by_event_loop(params):
        with suppress(compiled.Undecided):
            cash = venue.account.cash
            done = compiled.backtest(arena.market, strategy, arena.rules, venue.conduct, cash, after=after)
            return columns.tables(done, arena.rules)
    journal = MemoryJournal()
    replayed = replay(arena.market, strategy, after=after, universe=wiring.universe(params, arena.market))
    session(lived(venue, replayed), arena.rules, venue, journal, close_at_end=True)
    return tables(event for _, event in journal.events())


def _daily(books: Tables, first: int, last: int) -> Array:
    """Returns of each day from the `first` to the `last`; a day without a bar earned nothing."""
    equity = books.equity
    day = np.asarray(equity["ts"].astype("datetime64[us, UTC]").astype("int64")) // DAY_US
    closing = pd.Series(equity["equity_quote"].to_numpy(dtype=float), index=day).groupby(level=0).last()
    start = float(books.equity["equity_quote"].iloc[0])
    held = closing.reindex(np.arange(first, last + 1)).ffill().fillna(start).to_numpy()
    return np.asarray(np.diff(held, prepend=start) / np.r_[start, held[:-1]])


def _tried(lesson: Lesson, data: str, stretch: Stretch) -> Trial:
    returns = tuple(float(value) for value in stretch.traded.returns)
    name = stretch.traded.name
    return Trial("backtest", lesson.subject, name, fingerprint(name), data, stretch.first_day, returns)
