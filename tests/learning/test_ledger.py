"""The trial ledger: nothing that was written is lost or changed unseen, whoever dies while writing."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.learning.ledger import SHARPE, Ledger, LedgerError, Trial
from qtlib.learning.overfitting import moments


def a_trial(number=0, **more):
    named = {"kind": "backtest", "subject": "hourly", "purpose": "challenger", "params_hash": f"p{number}"}
    return Trial(**{**named, "data_fingerprint": "d0", **more})


words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
trials = st.builds(
    a_trial,
    subject=words,
    purpose=words,
    params_hash=words,
    first_day=st.integers(0, 30_000),
    returns=st.lists(st.floats(-1, 1), max_size=4).map(tuple),
    numbers=st.dictionaries(words, st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)


@settings(max_examples=30)
@given(written=st.lists(trials, max_size=6))
def test_what_was_added_is_read_back_in_order(tmp_path_factory, written):
    ledger = Ledger(tmp_path_factory.mktemp("models"))
    for trial in written:
        ledger.add(trial)
    assert [replace(t, at="") for t in ledger.rows()] == written
    assert all(t.when.tzinfo for t in ledger.rows())


@settings(max_examples=40)
@given(data=st.data())
def test_a_file_that_was_cut_anywhere_keeps_its_whole_lines_and_takes_more(tmp_path_factory, data):
    ledger = Ledger(tmp_path_factory.mktemp("models"))
    ledger.add(*(a_trial(n, numbers={"ø": 1.0, "b": None}) for n in range(3)))
    raw = ledger.path.read_bytes()
    cut = data.draw(st.integers(0, len(raw)))
    ledger.path.write_bytes(raw[:cut])
    whole = sum(raw[:cut].count(mark) for mark in (b"}\n",)) + raw[:cut].endswith(b'"}')
    assert [t.params_hash for t in ledger.rows()] == [f"p{n}" for n in range(whole)]
    ledger.add(a_trial(8), a_trial(9))
    assert [t.params_hash for t in ledger.rows()] == [*(f"p{n}" for n in range(whole)), "p8", "p9"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_line_that_was_changed_or_taken_out_is_found(tmp_path, number):
    ledger = Ledger(tmp_path)
    ledger.add(*map(a_trial, range(3)))
    lines = ledger.path.read_text().splitlines(keepends=True)
    for spoilt in (lines[number].replace('"d0"', '"d1"'), "", "{oh\n"):
        ledger.path.write_text("".join([*lines[:number], spoilt, *lines[number + 1 :]]))
        with pytest.raises(LedgerError, match="does not follow the line before it"):
            list(ledger.rows())


def keep_adding(folder, who, many):
    ledger = Ledger(folder)
    for n in range(many):
        ledger.add(a_trial(n, subject=f"w{who}", returns=(0.125,) * 300))


def test_writers_at_once_and_one_that_is_killed_lose_nothing_that_was_added(tmp_path):
    processes = multiprocessing.get_context("fork")
    writers = [processes.Process(target=keep_adding, args=(tmp_path, who, 40)) for who in range(2)]
    victim = processes.Process(target=keep_adding, args=(tmp_path, 9, 100_000))
    for process in [*writers, victim]:
        process.start()
    deadline = time.monotonic() + 30
    while not any(t.subject == "w9" for t in Ledger(tmp_path).rows()) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    for process in [*writers, victim]:
        process.join()
    found = list(Ledger(tmp_path).rows())  # every line follows the one before it
    for who in range(2):
        assert [t.params_hash for t in found if t.subject == f"w{who}"] == [f"p{n}" for n in range(40)]
    killed = [t.params_hash for t in found if t.subject == "w9"]
    assert killed == [f"p{n}" for n in range(len(killed))]


def test_the_same_parameters_on_the_same_data_are_one_trial(tmp_path):
    ledger = Ledger(tmp_path)
    first, again = a_trial(1, returns=(0.01, -0.01, 0.02)), a_trial(1, returns=(0.02, -0.01, 0.02))
    other, elsewhere = a_trial(2, returns=(0.0, 0.01, 0.03)), a_trial(3, subject="daily", returns=(0.0, 0.1))
    ledger.add(first, other, again, elsewhere, a_trial(4, kind="fit"))
    assert len(ledger.trials("hourly")) == 2
    assert ledger.sharpes("hourly").tolist() == [moments(np.array(t.returns)).sharpe for t in (again, other)]
    assert len(ledger.trials("hourly", "fit")) == 1


def test_a_matrix_has_the_days_of_the_newest_and_only_trials_that_cover_them(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(
        a_trial(1, first_day=10, returns=(0.1, 0.2, 0.3, 0.4)),
        a_trial(2, first_day=12, returns=(0.5, 0.6)),
        a_trial(3, first_day=11, returns=(0.7, 0.8, 0.9)),
    )
    assert ledger.matrix("hourly").T.tolist() == [[0.2, 0.3, 0.4], [0.7, 0.8, 0.9]]
    assert ledger.matrix("nothing").size == 0


def test_a_judgement_is_remembered_with_its_time(tmp_path):
    ledger = Ledger(tmp_path)
    assert ledger.judged("hourly") is None
    ledger.add(a_trial(1, kind="judgement", at="2026-01-02T00:00:00+00:00"), a_trial(2))
    assert ledger.judged("hourly").day == 2


def test_a_line_is_json_that_others_can_read(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(a_trial(1, numbers={"expectancy_r": 0.25, "auc": None}))
    row = json.loads(ledger.path.read_text())
    assert (row["kind"], row["numbers"]) == ("backtest", {"expectancy_r": 0.25, "auc": None})
    with pytest.raises(ValueError, match="kind 'guess' must be one of"):
        a_trial(kind="guess")


def test_a_trial_without_its_days_says_its_ratio_itself(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(a_trial(params_hash="a", returns=(0.1, 0.3)), a_trial(params_hash="b", numbers={SHARPE: 0.25}))
    ledger.add(a_trial(params_hash="c", numbers={SHARPE: None}), a_trial(params_hash="d"))
    assert ledger.sharpes("hourly").tolist() == [moments(np.array([0.1, 0.3])).sharpe, 0.25]
