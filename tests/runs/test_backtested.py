"""A backtest leaves the same tables whichever engine ran, and says which one it was."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from builders import HOUR, make_bars
from twins import assert_same

from qtlib.domain.events import START
from qtlib.engine.feeds import micros
from qtlib.learning.leaks import Leaky
from qtlib.learning.strategies import Trend
from qtlib.market import Market
from qtlib.market.quality import fit
from qtlib.market.survey import Doubts
from qtlib.params import resolve
from qtlib.runs import wiring
from qtlib.runs.backtested import backtested
from qtlib.runs.record.run import Run, open_folder
from qtlib.runs.session.live import undoubted


@pytest.fixture
def backtest(tmp_path):
    """Run the settings of `qt backtest`, small, with what is given."""

    def run(*words, strategy=None):
        settings = ["data.bars=500", "universe.symbols=BTCUSDT,ETHUSDT,SOLUSDT", *words]
        resolved = resolve(Path("params/backtest.yaml"), settings, {})
        p = resolved.params
        folder = open_folder("backtest", resolved, START, tmp_path)
        market, listed = wiring.market(p), wiring.instruments(p)
        rules, venue = wiring.rules(p, listed), wiring.venue(p, listed)
        believer = strategy or wiring.strategy(p, tmp_path)
        done = backtested(Run(folder, p), market, believer, rules, venue, wiring.begins(p, market))
        return done, folder.path

    return run


def test_either_engine_leaves_the_same_tables(backtest):
    ours, _ = backtest("session.engine=compiled")
    theirs, _ = backtest("session.engine=event")

    assert (ours.engine, theirs.engine) == ("compiled", "event")
    assert len(ours.books.trades) > 5
    assert_same(ours.books, theirs.books)
    assert ours.fallbacks == theirs.fallbacks


def test_bars_before_the_account_begins_are_known_and_not_traded_by_either(backtest):
    words = ("data.history=300", "session.max_bars=150", "session.at_end=keep")

    ours, theirs = (backtest(f"session.engine={engine}", *words)[0] for engine in ("compiled", "event"))

    assert len(ours.books.equity) == 150
    assert_same(ours.books, theirs.books)


def test_what_the_compiled_engine_does_not_know_runs_in_the_event_loop_with_a_word_about_it(backtest):
    done, folder = backtest("venue.margin_mode=cross")

    assert (done.engine, done.why) == ("event", "margin is crossed")
    said = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert any("margin is crossed" in line.get("message", line.get("msg", str(line))) for line in said)


class Prophet(Trend):
    """It knows the next close."""

    def signals(self, panel):
        ahead = np.roll(panel.close, -1, axis=1)
        return super().signals(panel)._replace(score=np.sign(ahead - panel.close))


@pytest.mark.parametrize("engine", ["compiled", "event"])
def test_a_strategy_that_reads_the_future_is_refused_by_either(backtest, engine):
    with pytest.raises(Leaky, match=r"trend's score reads the future: [A-Z]+ at .* read no bar later"):
        backtest(f"session.engine={engine}", strategy=Prophet())
    done, _ = backtest(f"session.engine={engine}")
    assert done.leaks.ok
    assert done.leaks.looked == ("trend",)


def test_a_session_on_bars_from_disk_trades_none_that_its_backtest_doubts():
    frame, span = make_bars(40), 3_600_000_000
    opens = micros(frame.index) - span
    spans = (
        (int(opens[12]), int(opens[13])),
        (int(opens[20]) + 1, int(opens[22]) + 1),
        (int(opens[39]), int(opens[39]) + 2),
    )
    market = Market.of({"BTCUSDT": frame}, "1h", refill=5).doubting({"BTCUSDT": spans}, 5)
    may_trade = undoubted(partial(fit, timeframe="1h", refill=5), ["BTCUSDT"], HOUR, Doubts({"BTCUSDT": spans}, ()))
    for last in range(8, 40):
        seen = slice(last - 6, last + 1)
        told = may_trade(micros(frame.index)[seen], frame["volume"].to_numpy()[None, seen])
        assert told.tolist() == [market.usable["BTCUSDT"].iloc[last]], last
    assert (~market.usable["BTCUSDT"]).to_numpy().nonzero()[0].tolist() == [0, 1, 2, 3, 12, 20, 21, 22, 39]
