"""A contender's stretch is the same whether the event loop trades it or its compiled twin."""

from pathlib import Path

import numpy as np
import pytest
from twins import assert_same

from qtlib.engine.feeds import panel_of
from qtlib.learning.strategies import Trend
from qtlib.params import resolve
from qtlib.runs import wiring
from qtlib.runs.learning.judgement import Arena, by_event_loop, trade

HOME = Path(__file__).parents[2]
SMALL = ["data.history=300", "data.bars=500", "universe.symbols=[BTCUSDT,ETHUSDT,SOLUSDT]"]


def traded(engine, *words):
    params = resolve(HOME / "params" / "learning.yaml", [*SMALL, f"session.engine={engine}", *words], {}).params
    market, rules = wiring.market(params), wiring.rules(params, wiring.instruments(params))
    return trade(Arena(params, market, rules, panel_of(market).times, 400), ("the rule", Trend()))


@pytest.mark.parametrize("words", [(), ("exits.profile=seed", "limits.max_positions=2")])
def test_the_twin_trades_the_newest_stretch_as_the_event_loop_does(words):
    ours, theirs = (traded(engine, *words) for engine in ("compiled", "event"))

    assert_same(ours.books, theirs.books)
    assert len(ours.traded.trade_r) > 5
    assert ours.traded.name == theirs.traded.name
    assert np.array_equal(ours.traded.returns, theirs.traded.returns)
    assert np.allclose(ours.traded.trade_r, theirs.traded.trade_r, rtol=1e-12)
    assert np.array_equal(ours.traded.trade_day, theirs.traded.trade_day)
    assert ours.held_back == theirs.held_back


def test_what_the_twin_does_not_know_is_known_before_anybody_waits_for_it():
    asked = (["session.engine=event"], ["session.engine=compiled"])
    assert [by_event_loop(resolve(HOME / "params/learning.yaml", words, {}).params) for words in asked] == [True, False]


@pytest.mark.parametrize("engine", ["compiled", "event"])
def test_a_contender_that_its_limits_stopped_is_said_to_trade_until_then(engine):
    large = [
        f"limits.{name}=6000" for name in ("max_notional_per_trade", "max_notional_per_symbol", "max_net_exposure")
    ]
    large += ["sizing.base_notional=3000", "limits.max_gross_exposure=6000", "limits.max_cluster_exposure=6000"]
    free, stopped = (traded(engine, *large, f"limits.max_drawdown_frac={most}") for most in (0.15, 0.01))
    assert free.held_back is None
    entered = stopped.books.trades["entry_ts"]
    assert entered.max() <= stopped.held_back < stopped.books.equity["ts"].iloc[-1]
    assert not stopped.traded.returns[-1]
