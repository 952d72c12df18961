"""A drill strikes a real session and tells what survived; what did not is seen."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from patience import until
from supervision import left_of

from qtlib.domain.events import CashMoved
from qtlib.journal import Journal
from qtlib.params import SettingsError, resolve
from qtlib.runs.checks.drill import ACCOUNT, SETTINGS, STRIKES, Report, Struck, drill
from qtlib.runs.checks.drill_eye import Left, what_is_left
from qtlib.runs.record.folder import journal_location

FEW = ["orders time out after they were accepted", "the trader's kernel is killed"]


def test_a_session_survives_what_is_done_to_it_and_a_sum_that_is_wrong_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_RUNS_DIR", str(tmp_path))
    told = []
    report = drill(resolve("params/sim.yaml"), only=FEW, tell=told.append)
    assert report.verdict.startswith("it survived all 2 strikes")
    assert sorted(told[1:]) == sorted(one.what for one in report.struck) == sorted(FEW)
    assert report.left.bars > 2
    [root] = (tmp_path / "drill").iterdir()
    assert json.loads((root / "drill.json").read_text())["survived"]
    assert [path.name for path in tmp_path.iterdir()] == ["drill"]  # nothing of the user's was touched
    until(lambda: left_of(root) == [])

    params = resolve(None, [*SETTINGS, "data.seed=7"], {}).params
    with Journal(journal_location(ACCOUNT, root), ACCOUNT) as journal:
        state = journal.state()
        journal.absorb(state, [CashMoved(state.ts, Decimal("0.02"), "deposit", "made up")])
    assert "the journal's cash is" in " ".join(what_is_left(params, root).wrong)


def test_a_drill_is_for_the_simulated_exchange_alone():
    given = resolve(None, [], {})
    with pytest.raises(SettingsError, match="mode sim alone"):
        drill(replace(given, params=given.params.model_copy(update={"mode": "paper"})))


def test_a_verdict_says_what_did_not_survive():
    one = Struck("the venue is killed", "process 7 was killed", again_s=4.0, bare_s=1.25)
    report = Report(7, 30.0, "runs/drill/x", (one,), Left((), 9, 3, 20))
    assert report.survived
    assert "for 1.2 s at most" in report.verdict
    assert not replace(report, struck=(replace(one, again_s=None),)).survived
    lost = replace(report, left=Left(("qt-x was taken 2 times",)))
    assert lost.verdict == "it did not survive: qt-x was taken 2 times"
    assert not replace(report, trouble="the session ended").survived


def test_every_strike_has_a_name_of_its_own():
    assert len(STRIKES) == 12
