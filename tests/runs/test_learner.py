"""A session's learner: what is due is begun once, what ends is heard once, and a crash in between repeats nothing."""

import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from a_model import FEATURES, saved
from builders import HOUR, T0, a_panel, make_bars
from rows import a_learned

from qtlib.domain.advance import advance
from qtlib.domain.events import StatusSet, TradingStatus
from qtlib.domain.learned import Learning, ModelChanged, Realized, RetrainBegun, RetrainEnded, RetrainOutcome
from qtlib.domain.state import State
from qtlib.engine.auditor import Unwatched
from qtlib.engine.feeds import signals_of
from qtlib.learning import registry
from qtlib.learning.features import FeatureSet
from qtlib.learning.strategies import Trend
from qtlib.learning.triggers import TriggerParams
from qtlib.market.timeframes import datetime_at
from qtlib.runs.believing.champion import Champion, Silent
from qtlib.runs.believing.learner import Learner
from qtlib.runs.believing.retrainer import Retrainer
from qtlib.runs.believing.shelf import Shelf

PARAMS = TriggerParams(min_samples=3, interval_hours=1e4)


class Scripted(Retrainer):
    """A retrain of another making: a process that says `words` and ends."""

    words = '{"status": "ok", "run_id": "r1", "model": {"outcome": "refused", "words": "not enough", "version": "v1"}}'

    def command(self, until):
        return [sys.executable, "-c", f"print({self.words!r})"]


def a_learner(folder, retrainer=Scripted, champion=None, **more):
    champion = champion or Champion(Trend(), FEATURES)
    beside = retrainer(folder / "params.yaml", folder, "main")
    return Learner(Unwatched(), champion, Shelf(folder, "test"), beside, PARAMS, print, **more)


def closed(state, trades):
    for _ in range(trades):
        state = state.but(learning=state.learning.counted(state.ts))
    return state


def told(learner, state):
    """The state after all that the learner has to say, as a session takes it in, and what it said."""
    said = []
    while (event := learner.news(state)) is not None:
        said.append(event)
        state = advance(state, event)
    learner.look(state)
    return state, said


@pytest.fixture
def due():
    return closed(State(ts=T0), 3)


def test_what_is_due_is_begun_once_and_its_end_is_heard_once(tmp_path, due):
    learner = a_learner(tmp_path)
    state, said = told(learner, due)
    assert [type(event) for event in said] == [RetrainBegun]
    assert learner.ended(20)
    assert learner.last_word(state) == RetrainEnded(
        T0, 1, RetrainOutcome.REFUSED, "not enough", version="v1", run_id="r1"
    )
    state, said = told(learner, state)
    assert [type(event) for event in said] == [RetrainEnded]
    assert told(learner, state)[1] == []
    assert state.learning.samples == 0


def test_trades_that_close_meanwhile_coalesce_into_the_next(tmp_path, due):
    learner = a_learner(tmp_path)
    state, _ = told(learner, due)
    state = closed(state, 5)
    assert learner.ended(20)
    state, said = told(learner, state)
    assert [type(event) for event in said] == [RetrainEnded, RetrainBegun]
    assert state.learning.retrains == 2
    assert learner.ended(20)


def test_a_crash_after_the_trigger_makes_it_fail_and_be_tried_again_later(tmp_path, due):
    begun = advance(due, RetrainBegun(T0, 1, "due"))  # written down, and the process died before anything ran
    again = a_learner(tmp_path)
    state, said = told(again, begun)
    assert [(type(e), e.outcome) for e in said] == [(RetrainEnded, RetrainOutcome.FAILED)]
    assert "ended with the session" in said[0].words
    assert told(again, state)[1] == []  # it backs off
    later = state.but(ts=T0 + HOUR)
    later, said = told(again, later)
    assert [event.number for event in said] == [2]
    assert again.ended(20)
    assert again.last_word(later).outcome is RetrainOutcome.REFUSED


def test_what_a_retrain_said_before_the_crash_counts(tmp_path, due):
    first = a_learner(tmp_path)
    state, _ = told(first, due)
    assert first.ended(20)  # and nobody wrote that down
    _, said = told(a_learner(tmp_path), state)
    assert [(type(e), e.outcome) for e in said] == [(RetrainEnded, RetrainOutcome.REFUSED)]


def test_one_that_says_nothing_has_failed_with_its_last_words(tmp_path, due):
    class Broken(Scripted):
        def command(self, until):
            return [sys.executable, "-c", "raise SystemExit('no bars for BTCUSDT')"]

    learner = a_learner(tmp_path, Broken)
    state, _ = told(learner, due)
    assert learner.ended(20)
    ended = learner.last_word(state)
    assert (ended.outcome, ended.words) == (RetrainOutcome.FAILED, "no bars for BTCUSDT")


def test_a_session_that_ends_leaves_no_retrain_behind(tmp_path, due):
    class Endless(Scripted):
        def command(self, until):
            return [sys.executable, "-c", "import time; time.sleep(600)"]

    learner = a_learner(tmp_path, Endless)
    state, _ = told(learner, due)
    ended = learner.last_word(state)
    assert ended.outcome is RetrainOutcome.FAILED
    assert learner.ended()


def test_the_page_shows_counts_and_not_a_word_more(tmp_path, due):
    learner = a_learner(tmp_path)
    learner.look(due)
    page = learner.page()
    assert (page.enabled, page.model_version, page.samples_since_retrain, page.needed) == (True, None, 3, 3)
    assert page.last_retrain is page.last_outcome is None
    assert page.next_due == T0 + timedelta(hours=1e4)


def test_a_model_that_was_taken_down_gives_way_to_the_rule(tmp_path):
    learner = a_learner(tmp_path)
    state = State(ts=T0, learning=Learning(version="v9"))
    assert learner.news(state) == ModelChanged(T0, "", "", "the model was taken down", "demote")


def test_a_period_that_changed_in_the_live_path_only_is_noticed_at_once_and_ends_entries(tmp_path):
    class Changed(FeatureSet):
        def last(self, panel):
            return super().last(panel) * 1.0000001

    panel, asked = a_panel(make_bars(900)), a_learned()
    for features in (asked.trained.features, Changed(asked.trained.features.names)):
        model = replace(asked, trained=replace(asked.trained, features=features))
        champion = Champion(Trend(), asked.trained.features, model, "m1")
        learner = a_learner(tmp_path, champion=champion)
        champion.signals(panel.last(asked.lookback))
        now = datetime_at(int(panel.times[-1]))
        assert not isinstance(learner.news(State(ts=now - HOUR, learning=Learning(version="m1"))), StatusSet)
        event = learner.news(State(ts=now, learning=Learning(version="m1")))
        assert isinstance(event, StatusSet) is isinstance(features, Changed)
    assert event.status is TradingStatus.REDUCING
    assert "3 features differ from what research makes of the same bars, first momentum_24 of BTCUSDT" in event.cause


@pytest.fixture
def shelved(tmp_path):
    """A shelf with a champion, m1."""
    version = saved(tmp_path, ruling=None)
    registry.promote(tmp_path, version, who="a test", why="it is good", at=T0, unjudged=True)
    return tmp_path, version


def damage(root, version):
    model = root / version / "model.skops"
    model.write_bytes(model.read_bytes()[:-100])


def test_a_session_goes_on_when_the_model_that_its_journal_names_is_damaged_and_nobody_believes(shelved):
    root, version = shelved
    damage(root, version)
    learner = a_learner(root, champion=(champion := Champion(Trend(), FeatureSet(("momentum_24",)))))
    state = State(ts=T0, learning=Learning(version=version))
    state, said = told(learner, state)
    state, said = told(learner, state)
    assert [event.status for event in said] == [TradingStatus.REDUCING]
    assert f"{version} can't be asked" in state.cause
    assert np.isnan(champion.signals(a_panel(make_bars(300))).score).all()
    assert told(learner, state)[1] == []  # it is said once


def test_a_session_stops_entries_when_nobody_can_say_who_is_champion(shelved):
    root, version = shelved
    learner = a_learner(root)
    state, said = told(learner, State(ts=T0))
    assert [type(event) for event in said] == [ModelChanged]
    (root / registry.CHAMPION).write_text("{")
    state, said = told(learner, state)
    assert told(learner, state)[1] == []
    assert [event.status for event in said] == [TradingStatus.REDUCING]
    assert "nobody can say which model is champion" in state.cause
    assert state.learning.version == version


def test_where_a_model_has_to_be_earned_one_that_was_promoted_by_hand_does_not_take_over(shelved, capsys):
    root, version = shelved
    _, said = told(a_learner(root, earned=True), State(ts=T0))
    assert said == []
    assert f"{version} can't take over: it was not promoted by the gate" in capsys.readouterr().out


def test_who_may_not_trade_a_rule_believes_nothing_once_its_model_is_taken_down(tmp_path):
    asked = a_learned()
    champion = Champion(Silent("mode live has no champion"), asked.trained.features, asked, "m1")
    panel = a_panel(make_bars(900)).last(champion.lookback)
    assert np.isfinite(champion.signals(panel).score[:, -1]).all()
    learner = a_learner(tmp_path, champion=champion)
    learner.look(State(ts=T0, learning=Learning()))
    assert np.isnan(champion.signals(panel).score).all()
    assert champion.believer == "nobody (mode live has no champion)"


def test_a_model_that_reads_more_bars_than_the_session_keeps_waits_for_the_next_session(shelved, capsys):
    root, _ = shelved
    champion = Champion(Trend(), FeatureSet(("momentum_24",)))
    champion._lookback = 3
    assert told(a_learner(root, champion=champion), State(ts=T0))[1] == []
    assert "and this session keeps 3" in capsys.readouterr().out


@pytest.mark.parametrize("before", [False, True], ids=["nobody before it", "one before it"])
def test_a_model_that_breaks_its_promise_is_taken_down_and_goes_back_to_the_one_before(tmp_path, capsys, before):
    promise = {"expectancy_r": 0.05, "cap_r": 3.0}
    versions = [saved(tmp_path, hours, promise=promise) for hours in range(1 + before)]
    for version in versions:
        registry.promote(tmp_path, version, who="gate", why="it earns", at=T0)
    learner, version = a_learner(tmp_path), versions[-1]
    state, _ = told(learner, State(ts=T0))
    assert state.learning.version == version
    days = 0
    while state.learning.version == version and days < 60:
        now, days = T0 + timedelta(days=days), days + 1
        lost = state.learning.counted(now, version, Realized(now, 0.6, -1.0))
        state, _ = told(learner, state.but(ts=now, learning=replace(lost, learned=lost.closed)))
    assert 3 < days < 60
    assert state.learning.version == (versions[0] if before else "")
    now = registry.champion(tmp_path)
    assert (now and now.version) == (versions[0] if before else None)
    assert "🚨" in capsys.readouterr().out


def test_where_nobody_may_believe_the_model_before_does_not_and_one_that_may_does(tmp_path):
    before, by_hand = saved(tmp_path), saved(tmp_path, 1, ruling=None)
    registry.promote(tmp_path, before, who="gate", why="it earns", at=T0)
    registry.promote(tmp_path, by_hand, who="me", why="I like it", at=T0, unjudged=True)
    champion = Champion(Silent("it was not promoted by the gate"), FEATURES)
    panel = a_panel(make_bars(30))
    said = signals_of(panel.symbols, [T0], panel.close[:, -1], champion.signals(panel).at(([0], [-1])))
    assert [signal.fault for signal in said] == ["nobody may believe"]
    learner = a_learner(tmp_path, champion=champion, earned=True)
    state, said = told(learner, State(ts=T0, learning=Learning(version=before)))
    assert (said, champion.refusal) == ([], "it was not promoted by the gate")
    registry.rollback(tmp_path, who="me", why="as it was", at=T0)
    told(learner, state)
    assert (champion.refusal, champion.version) == ("", before)
