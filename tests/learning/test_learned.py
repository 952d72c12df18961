"""A model as a strategy says what it would say of each row, under its name, and nothing where it can't know."""

import numpy as np
from builders import a_panel, make_bars
from rows import HOUR, a_learned

from qtlib.domain.panel import DOUBTS
from qtlib.learning.leaks import lint

LEARNED = a_learned()
PANEL = a_panel(make_bars(400), ETHUSDT=make_bars(400, seed=8))


def test_beliefs_are_what_the_model_says_of_the_features_at_each_close():
    said = LEARNED.signals(PANEL)
    x = LEARNED.trained.features.matrix(PANEL)
    row = LEARNED.trained.model.predict(x[1, 300:301])
    assert (said.score[1, 300], said.confidence[1, 300]) == (row.score[0], row.confidence[0])
    proposal = LEARNED.trained.exits.propose(x[1, 300:301], row.score, said.volatility_frac[1, 300:301])
    assert np.array_equal(said.stop_frac[1, 300:301], proposal.stop_frac, equal_nan=True)
    assert said.doubt[1, 300] == proposal.doubt[0]
    assert (said.version, said.schema) == ("m1", LEARNED.trained.features.schema_hash)
    assert np.array_equal(said.features, x, equal_nan=True)


def test_the_last_close_alone_has_the_bits_of_the_whole_past_exits_and_features_too():
    whole = LEARNED.signals(PANEL)
    for end in (LEARNED.lookback, 250, 399, 400):
        recent = LEARNED.signals(PANEL.between(end - LEARNED.lookback, end))
        for name in ("score", "confidence", "volatility_frac", "stop_frac", "take_profit_frac", "trail_frac", "doubt"):
            assert np.array_equal(getattr(recent, name)[:, -1], getattr(whole, name)[:, end - 1], equal_nan=True), name
        assert np.array_equal(recent.features[:, -1], whole.features[:, end - 1])


def test_a_symbol_that_was_listed_yesterday_or_is_absent_is_not_believed_and_disturbs_nobody():
    young = make_bars(400, seed=9).iloc[-24:]
    both = LEARNED.signals(a_panel(make_bars(400), SOLUSDT=young))
    alone = LEARNED.signals(a_panel(make_bars(400)))
    assert np.isnan(both.score[1]).all()
    assert np.isnan(both.stop_frac[1]).all()
    assert np.array_equal(both.score[:1], alone.score, equal_nan=True)
    assert np.isfinite(both.score[0, -1])
    assert LEARNED.signals(PANEL.between(0, 0)).score.shape == (2, 0)


def test_exits_that_were_learned_long_ago_are_not_proposed_any_more():
    until = int(PANEL.times[300])
    said = a_learned(known_until=until, exits_stale_days=1.0).signals(PANEL)
    old = PANEL.times > until + 24 * HOUR
    assert old.any()
    assert np.isnan(said.stop_frac[:, old]).all()
    assert {DOUBTS[d] for d in said.doubt[:, old].ravel()} == {"stale"}
    assert np.isfinite(said.score[:, old]).all()
    assert "stale" not in {DOUBTS[d] for d in said.doubt[:, ~old].ravel()}


def test_where_nothing_is_told_nothing_is_stale_so_that_a_close_alone_says_what_the_whole_past_says():
    """The linter takes bars away, too; a backtest that follows a retrain was refused by it for a month's old exits."""
    old = a_learned(known_until=int(PANEL.times[0]), exits_stale_days=1.0)
    found = lint([old], PANEL)
    assert found.ok, str(found)


def test_a_model_without_exits_proposes_none():
    said = a_learned(model="flat", exits=None).signals(PANEL)
    assert said.stop_frac is said.take_profit_frac is said.trail_frac is said.doubt is None
