"""What there is to learn from: bars up to an instant, and the account's own trades."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from qtlib.domain.panel import Panel
from qtlib.engine.feeds import micros, panel_of
from qtlib.exchanges.port import Settled
from qtlib.journal import Journal
from qtlib.learning.dataset import Dataset, dataset, sound
from qtlib.learning.features import FeatureSet, true_range_frac
from qtlib.learning.findings import Findings
from qtlib.learning.labels import Labels, labels, settlements
from qtlib.learning.leaks import Leaky, lint
from qtlib.learning.samples import BACKFILL, Sample, backfilled, samples, shadowed, taught, usable
from qtlib.market import Market, read
from qtlib.market.market import REFILL
from qtlib.market.series import Kept
from qtlib.market.simulated import simulate
from qtlib.market.timeframes import length_of, micros_at, micros_of
from qtlib.params import Params
from qtlib.report.markup import facts
from qtlib.report.retold import retold
from qtlib.report.words import number, say
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import ExitParams
from qtlib.runs import wiring
from qtlib.runs.believing.subjects import feature_set, subject
from qtlib.runs.record.folder import journal_location
from qtlib.runs.record.run import Run

ATR_SPAN = 14  # bars of the true range that brackets are measured by
OWN_WEIGHT = 5.0  # what really happened counts as much as so many rows that bars tell of
HALF_LIFE = 0.5  # of the history: a row so old counts half


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    params: Params
    market: Market
    panel: Panel
    features: FeatureSet
    rules: Rules
    labels: Labels
    data: Dataset
    found: tuple[Sample, ...]  # of the account's journal, what may teach
    taught: int  # rows whose outcome is what really came of a trade
    leaks: Findings  # of the features: there must be none
    strange: int  # trades whose features then are not, bit for bit, those of the bars now

    @property
    def subject(self) -> str:
        return subject(self.params)

    def _repr_html_(self) -> str:
        d, traded = self.data, sum(not sample.shadow for sample in self.found)
        afterwards = sum(sample.provenance == BACKFILL for sample in self.found)
        left_out = [(say("left out: {why}", why=retold(why)), number(count, ",d")) for why, count in d.dropped.items()]
        closes = say("{closes} of {symbols} symbols", closes=number(len(self.panel), ",d"), symbols=len(d.symbols))
        looked = say("{found} of {all}", found=len(self.leaks), all=len(self.leaks.looked))
        rows = [
            (say("market"), retold(self.market.source)),
            (say("closes"), closes),
            (say("rows, each a decision with a known outcome"), number(len(d), ",d")),
            *left_out,
            (say("exits that outcomes are made under"), taught_under(self.rules.exits).profile),
            (say("features"), str(len(d.names))),
            (say("own trades"), number(traded, ",d")),
            (say("own trades that taught"), number(self.taught, ",d")),
            (say("own trades whose features were computed afterwards"), number(afterwards, ",d")),
            (say("own trades whose features differ now"), number(self.strange, ",d")),
            (say("features that read the future"), looked),
            (say("candidates followed in shadow"), number(len(self.found) - traded, ",d")),
        ]
        return facts(say("What there is to learn from"), rows)._repr_html_()


def lesson(run: Run) -> Lesson:
    """Bars, features, labels, and what the account's trades add to them."""
    params = run.params
    market = history(run)
    panel = panel_of(market).last(params.learning.history_bars)
    features = feature_set(params).known_in(panel)  # what this market never tells can teach nothing
    rules = wiring.rules(params, wiring.instruments(params))
    volatility_frac = true_range_frac(panel, ATR_SPAN)
    rates = {s: (micros(r.index), np.asarray(r, np.float64)) for s, r in market.funding.items()}
    settled = settlements(panel, rates) if rates else None
    came = labels(panel, volatility_frac, taught_under(rules.exits), rules.costs, settled_frac=settled)
    may_teach = sound(market.refilled(features.lookback), panel, came)
    data = dataset(panel, features, came, volatility_frac, half_life=HALF_LIFE * len(panel), may_teach=may_teach)
    found = backfilled(shadowed(own(params, run.folder.root), panel, came), data, features.schema_hash)
    data, used, strange = taught(data, found, features.schema_hash, OWN_WEIGHT)
    leaks = lint(features.features, panel)
    if not leaks.ok:
        raise Leaky(f"what would be learned is what nobody can know: {leaks}")
    return Lesson(params, market, panel, features, rules, came, data, tuple(found), used, leaks, strange)


def taught_under(exits: ExitParams) -> ExitParams:
    """The exits that outcomes are made under: those that trade.

    Where a model is going to propose them they are those of one_r. Outcomes under proposals would be circular: whose?
    Those of the model to come are not known before it has learned; those of the champion would make what is true of a
    bar depend on who is champion, so that no two retrains learned from the same rows, and one that had grown timid or
    bold would teach its successor to be so. Out of fold it would still be another model's habit. So an outcome stays
    what bars and settings say. How far prices go is learned from the bars themselves, without any exits, and
    `rules.tpsl` keeps a proposal near one_r's. What the two differ by is paid for where it is seen: sides are learned
    under other exits than trade, and the newest stretch, which the gate sees traded, is under the model's own.
    The report and the card say so.
    """
    return replace(exits, profile="one_r") if exits.profile == "learned" else exits


def own(params: Params, root: Path) -> list[Sample]:
    """The samples of the account's journal that may teach, as known at `learning.until`; none without a journal."""
    where = journal_location(params.session.account, root)
    if isinstance(where, Path) and not where.exists():
        return []
    with Journal(where, params.session.account) as journal:
        return usable(samples(event for _, event in journal.events()), params.mode, params.learning.until)


def history(run: Run) -> Market:
    """The bars up to `learning.until`, as many as are learned from, wherever the session's come from."""
    params = run.params
    data, until, bars = params.data, params.learning.until, params.learning.history_bars
    if params.mode == "sim" and data.source == "simulated":
        kind = wiring.simulated_market(params)
        there = data.history + (data.bars or 0)
        if until is not None:
            there = (micros_at(until) - micros_at(kind.start)) // micros_of(data.timeframe)
        return simulate(kind, bars=max(1, there))
    if params.mode == "sim":
        assert data.path is not None  # the settings were checked
        end = until or data.end
        start = None if end is None else end - bars * length_of(data.timeframe)
        kept: Kept = {}
        found = read(
            data.path,
            params.universe.symbols,
            data.timeframe,
            start,
            end,
            allow_gaps=data.allow_gaps,
            absent_ok=params.universe.rule is not None,
            keep=kept,
        )
        return wiring.surveyed(found, data.path, REFILL, kept)
    return _asked(run, bars)


def _asked(run: Run, bars: int) -> Market:
    """The venue's own bars and funding rates."""
    # a cold start: the adapter's client library takes a second, and who learns from bars on disk does not need it
    from qtlib.runs.session.live import exchange  # noqa: PLC0415

    params = run.params
    symbols, timeframe = params.universe.symbols, params.data.timeframe
    with exchange(params, run.folder.root) as venue:
        symbols = venue.trading(symbols) if params.universe.rule else symbols
        told = venue.bars(symbols, timeframe, bars)
        since = venue.now - bars * length_of(timeframe) - timedelta(days=1)
        rates = venue.funding(symbols, since)
    frames = {s: wiring.frame(of) for s, of in told.items() if of}
    funding = {s: _rates(of) for s, of in rates.items() if of}
    return Market.of(frames, timeframe, funding=funding, source=wiring.prices_of(params), allow_gaps=True)


def _rates(settled: Sequence[Settled]) -> "pd.Series[float]":
    return pd.Series([rate.rate_frac for rate in settled], index=pd.DatetimeIndex([rate.ts for rate in settled]))
