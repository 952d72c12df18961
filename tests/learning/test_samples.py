"""Samples: every trade that closed, with what was seen of it and what came of it, and nothing that did not happen."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from builders import BTC, ETH, beliefs, make_bars, some_rules

from qtlib.domain.advance import advance
from qtlib.domain.events import Filled
from qtlib.domain.state import State
from qtlib.engine.backtest import backtest
from qtlib.engine.feeds import Past, panel_of
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.learning.dataset import Dataset
from qtlib.learning.samples import BACKFILL, backfilled, samples, taught, usable
from qtlib.report.tables import tables

BARS = {"BTCUSDT": make_bars(400, seed=3, vol=0.01), "ETHUSDT": make_bars(400, seed=4, vol=0.01)}


class Shown:
    """Believes something strong now and then, and keeps what it saw: the close itself and the close over the open."""

    name, lookback = "shown", 1

    def signals(self, panel):
        digits = panel.close * 1e4 % 1_000
        score = np.where(digits < 200, 0.9, np.where(digits > 800, -0.9, 0.0))
        seen = np.stack([panel.close, panel.close / panel.open], axis=-1)
        return beliefs(panel, score)._replace(features=seen, schema="two", version="v1")


@pytest.fixture(scope="module")
def lived():
    rules = some_rules(limits=replace(some_rules().limits, max_positions=1, cooldown_s=0.0))
    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct())
    journal = backtest(Past(BARS), Shown(), rules, venue)
    return [event for _, event in journal.events()]


def test_each_closed_trade_is_one_sample_with_its_net_outcome(lived):
    traded = [sample for sample in samples(lived) if not sample.shadow]
    rows = tables(lived).trades.groupby("trade_id", sort=False)
    assert len(traded) == rows.ngroups > 20
    earned = rows["pnl_quote"].sum()
    assert sum(s.outcome_frac > 0 for s in traded) == (earned > 0).sum()
    first = rows.get_group(next(iter(rows.groups)))
    assert traded[0].outcome_frac == pytest.approx(
        first["pnl_quote"].sum() / (first["quantity"].sum() * first["entry_price"].iloc[0]), rel=1e-6
    )
    assert {s.model_version for s in traded} == {"v1"}


def test_its_features_are_those_of_the_close_at_which_it_was_decided(lived):
    for sample in samples(lived):
        bar = BARS[sample.symbol].loc[sample.decided]
        assert sample.features == (bar["close"], bar["close"] / bar["open"])
        assert sample.schema == "two"


def test_what_a_limit_kept_out_is_followed_in_shadow_and_is_no_trade(lived):
    found = samples(lived)
    shadow = [sample for sample in found if sample.shadow]
    assert shadow
    assert all(sample.outcome_r is None and sample.ended is None for sample in shadow)
    state = State()
    for event in lived:
        state = advance(state, event)
    assert state.learning.closed == len(found) - len(shadow)


def test_outcomes_add_up_to_what_the_account_earned(lived):
    state = State()
    for event in lived:
        state = advance(state, event)
    opened = {}
    for event in lived:
        if isinstance(event, Filled):
            opened.setdefault(event.fill.client_id, 0.0)
            opened[event.fill.client_id] += float(event.fill.quantity * event.fill.price)
    trades = tables(lived).trades
    notional = [opened[trade_id] for trade_id in trades["trade_id"].unique()]
    earned = sum(s.outcome_frac * n for s, n in zip((s for s in samples(lived) if not s.shadow), notional, strict=True))
    assert earned == pytest.approx(float(state.account.cash) - 10_000, abs=1e-6)


def test_a_made_up_market_teaches_nothing_of_a_real_one(lived):
    found = samples(lived)
    assert usable(found, "live") == []
    assert usable(found, "sim") == found


def test_what_ended_or_was_decided_later_is_not_known_yet(lived):
    found = samples(lived)
    until = sorted(s.ended for s in found if s.ended)[5]
    known = usable(found, "sim", until)
    assert 0 < len(known) < len(found)
    assert sum(not s.shadow for s in known) == 6
    assert all(s.decided <= until for s in known)


def test_what_really_came_stands_in_place_of_the_label_where_it_was_seen_as_it_is_now(lived):
    traded = [s for s in samples(lived) if not s.shadow]
    panel = panel_of(Past(BARS))
    x = Shown().signals(panel).features
    at, symbol = np.nonzero(~np.isnan(panel.close.T))
    zeros = np.zeros(len(at))
    columns = dict.fromkeys(("long_r", "short_r", "long_frac", "short_frac", "favourable_frac", "adverse_frac"), zeros)
    data = Dataset(
        ("close", "ratio"), panel.symbols, x[symbol, at], x[symbol, at], symbol, at, at, panel.times[at], **columns,
        volatility_frac=zeros, weight=zeros + 1.0,
    )  # fmt: skip
    out, used, strange = taught(data, traded, "two", 5.0)
    assert (used, strange) == (len(traded), 0)
    assert (out.weight == 5.0).sum() == used
    first = traded[0]
    row = np.flatnonzero(
        (data.times == first.decided.timestamp() * 1e6) & (symbol == panel.symbols.index(first.symbol))
    )
    assert (out.long_r if first.sign > 0 else out.short_r)[row] == first.outcome_r
    changed, used, strange = taught(replace(data, x=data.x + 1e-12), traded, "two", 5.0)
    assert (used, strange) == (0, len(traded))
    assert (changed.weight == 1.0).all()
    assert taught(data, traded, "another", 5.0)[1:] == (0, 0)

    later = backfilled(samples(lived), data, "another")
    known = [sample for sample in later if not sample.shadow]
    assert {sample.provenance for sample in known} == {BACKFILL}
    assert [(s.outcome_r, s.ended) for s in known] == [(s.outcome_r, s.ended) for s in traded]
    assert taught(data, later, "another", 5.0)[1:] == (len(traded), 0)
    assert backfilled(samples(lived), data, "two") == samples(lived)
