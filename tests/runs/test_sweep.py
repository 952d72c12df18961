"""Sweeps: each trial is the backtest of its settings, is traded once, is in the ledger, and is found again."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import GRID, a_run, a_sweep, a_watched_run, came, here
from twin_cases import case

from qtlib.domain.events import START
from qtlib.engine import compiled
from qtlib.engine.compiled import Undecided
from qtlib.learning.ledger import Ledger
from qtlib.learning.search import SweepParams
from qtlib.params import SettingsError, resolve
from qtlib.report.metrics import metrics
from qtlib.runs import columns, wiring
from qtlib.runs.backtested import backtested
from qtlib.runs.record.folder import RunsError
from qtlib.runs.record.run import Run, open_folder
from qtlib.runs.sweep import figures
from qtlib.runs.sweep.bench import Bench, Job, code
from qtlib.runs.sweep.course import swept
from qtlib.runs.sweep.findings import findings
from qtlib.runs.sweep.plan import Plan, folds
from qtlib.runs.sweep.searched import space_of
from qtlib.runs.sweep.store import FOLDER, Store, disposable
from qtlib.runs.sweep.trial import NUMBERS, Result

# --- a trial ----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(number=st.integers(0, 10**9))
def test_numbers_from_arrays_are_those_of_the_tables(number):
    one = case(number)
    try:
        done = compiled.backtest(one.history, one.strategy, one.rules, one.conduct, one.cash)
    except Undecided:
        return
    ours, first, daily = figures.of_arrays(done, one.rules)
    theirs, first_too, daily_too = figures.of_books(columns.tables(done, one.rules))
    assert _or_nan(ours) == pytest.approx(_or_nan(theirs), rel=1e-9, abs=1e-9, nan_ok=True)
    assert first == first_too
    assert daily == pytest.approx(daily_too, rel=1e-12, abs=1e-15)


def test_a_trial_is_the_backtest_with_its_settings(tmp_path):
    """Also where it changes how far back the strategy looks, and so which bars may be traded on."""
    space = ["sweep.space={strategy: {params: {slow: [168, 96]}}, limits: {max_positions: [1, 2]}}"]
    more = ["strategy.params={medium: 48, volatility_span: 96}"]
    done = a_sweep(tmp_path, *more, space=space)

    for point, row in zip(done.tried.points, done.tried.frame.to_dict("records"), strict=True):
        words = [f"strategy.params.slow={point[0]}", f"limits.max_positions={point[1]}"]
        assert row["trades"] > 0
        assert {name: row[name] for name in NUMBERS} == pytest.approx(_backtest(tmp_path, done.run, words), nan_ok=True)


def test_a_bench_gives_the_same_whatever_it_did_before(tmp_path):
    """What is prepared once and shared by trials is what each would have prepared alone."""
    space = ["sweep.space={strategy: {params: {slow: [168, 96], fast: [12, 24]}}, data: {seed: [1, 2]}}"]
    params = a_run(tmp_path, "strategy.params={medium: 48, volatility_span: 96}", space=space).params
    plan, job = Plan(params, code(), Bench()), Job(params.plain(), str(tmp_path), code())
    tasks = [plan.task(point) for point in plan.space.grid()]
    alone = {task.key: Bench().result(job, task) for task in tasks}
    shared = Bench()
    for task in [tasks[i] for i in (0, 7, 1, 6, 2, 0, 3, 4, 3, 5, 7)]:
        result = shared.result(job, task)
        assert result.numbers == alone[task.key].numbers
        assert result.returns.tolist() == alone[task.key].returns.tolist()
    assert len({tuple(r.returns.tolist()) for r in alone.values()}) == len(tasks)


def test_what_the_compiled_engine_does_not_know_is_traded_by_the_event_loop(tmp_path):
    space = ["sweep.space={venue: {margin_mode: [isolated, cross]}}"]
    frame = a_sweep(tmp_path, space=space).tried.frame
    assert frame["why"].tolist() == ["", "margin is crossed"]
    assert frame["trades"].min() > 0


def test_of_what_was_traded_the_stores_used_last_stay_and_any_that_may_be_in_use(tmp_path):
    now, names = datetime.now(UTC), ["oldest", "older", "newer", "newest"]
    for age, name in zip((9, 8, 2, 0), names, strict=True):
        then = (now - timedelta(days=age)).timestamp()
        os.utime(Store(tmp_path / FOLDER / name).folder, (then, then))
    assert {path.name for path in disposable(1, now, tmp_path)} == {"oldest", "older", "newer"}
    Store(tmp_path / FOLDER / "oldest")  # a sweep goes on with it
    assert [path.name for path in disposable(1, now, tmp_path)] == ["newer", "older"]
    assert disposable(1, now, tmp_path / "nowhere") == []


# --- a sweep ----------------------------------------------------------------------------------------------


def test_started_again_it_trades_nothing_twice_and_finds_the_same(tmp_path):
    first = a_sweep(tmp_path)
    again = a_sweep(tmp_path)
    wider = a_sweep(
        tmp_path, space=["sweep.space={strategy: {params: {fast: [12, 24]}}, exits: {atr_multiple: [1.5, 2.5]}}"]
    )

    assert first.counts == {"traded": 6, "found": 0, "refused": 0, "failed": 0}
    assert again.counts == {"traded": 0, "found": 6, "refused": 0, "failed": 0}
    assert wider.counts["found"] == 2
    pd.testing.assert_frame_equal(came(first), came(again))
    trials = list(first.ledger.rows())
    assert len(trials) == len({t.key for t in trials}) == 8
    assert {t.purpose for t in trials} == {"sweep"}
    assert len(first.ledger.sharpes(first.subject)) == 8


@pytest.mark.parametrize("search", ["grid", "random", "bayes"])
def test_one_that_was_stopped_goes_on_to_what_it_would_have_been(tmp_path, search):
    words = [f"sweep.search={search}", "sweep.trials=12", "sweep.folds=1", "sweep.min_trades=0"]
    whole = a_sweep(tmp_path / "whole", *words)
    part = swept(a_watched_run(tmp_path / "parts", lambda: "enough", *words, parts=2), here())
    rest = a_sweep(tmp_path / "parts", *words)

    assert 0 < part.counts["traded"] < whole.counts["traded"]
    assert rest.counts["traded"] + part.counts["traded"] == whole.counts["traded"]
    assert rest.tried.points == whole.tried.points
    pd.testing.assert_frame_equal(came(rest), came(whole))
    assert [w.chosen for w in rest.walked] == [w.chosen for w in whole.walked]
    assert rest.walked[0].returns.tolist() == whole.walked[0].returns.tolist()


def test_stopped_before_anything_was_traded_it_ends_at_once(tmp_path):
    run = a_run(tmp_path)
    (run.folder / "stop").write_text("{}")
    with pytest.raises(KeyboardInterrupt, match="stopped before a trial"):
        swept(run, here())


def test_settings_that_do_not_go_together_are_refused_in_words_and_the_others_traded(tmp_path):
    done = a_sweep(tmp_path, space=["sweep.space={strategy: {params: {fast: [24, 100]}}}"])
    assert done.tried.frame["status"].tolist() == ["ok", "refused"]
    assert "horizons must ascend" in done.tried.frame["why"][1]
    assert done.tried.best == 0
    with pytest.raises(SettingsError, match=r"not one of 1 trials could be traded; the first: .*horizons"):
        a_sweep(tmp_path, space=["sweep.space={strategy: {params: {fast: [100]}}}"])


def test_too_few_trades_are_never_the_best(tmp_path):
    trades = a_sweep(tmp_path).tried.frame["trades"]
    done = a_sweep(tmp_path, f"sweep.min_trades={int(trades.max())}")
    assert trades[done.tried.best] == trades.max()
    assert np.isfinite(done.tried.frame["score"]).sum() == (trades == trades.max()).sum()
    assert a_sweep(tmp_path, "sweep.min_trades=100000").tried.best is None


def test_its_findings_are_in_its_folder(tmp_path):
    done = a_sweep(tmp_path, "sweep.folds=2", "sweep.min_trades=0")
    found = findings(done)
    record = json.loads((done.run.folder / "record.json").read_text())
    table = pd.read_parquet(done.run.folder / "trials.parquet")

    assert record["metrics"] == found.metrics
    assert (record["metrics"]["trials"], record["counters"]["planned"]) == (6, 20)
    assert table["strategy.params.fast"].tolist() == [12, 12, 12, 24, 24, 24]
    assert record["metrics"]["best_score"] == table["score"].max() == table["sharpe"].max()
    assert 0 <= record["metrics"]["deflated_sharpe"] <= 1
    assert record["metrics"]["overfitting_probability"] is None  # of 17 days no halves can be made
    days = pd.read_parquet(done.run.folder / "forward.parquet")
    assert record["metrics"]["forward_return_frac"] == pytest.approx((1 + days["return_frac"]).prod() - 1)
    [pair] = found.pairs
    assert pair.scores.tolist() == table["score"].to_numpy().reshape(2, 3).tolist()
    assert set(found.near) <= set(range(6)) - {found.best}
    assert record["files"]["trials"] == "trials.parquet"


def test_trials_of_a_walk_forward_compete_among_themselves(tmp_path):
    done = a_sweep(tmp_path, "sweep.folds=2", "sweep.min_trades=0")
    ledger = Ledger(tmp_path / "models" / "simulated-1h")
    assert len(ledger.trials(done.subject)) == 6
    assert len(ledger.trials(f"{done.subject} walk-forward")) == 14


# --- what is asked for ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep.space.exits.tp_frc=[0.1]"], "unknown exits.tp_frc (did you mean exits.tp_frac?)"),
        (["sweep.space.exits.tp_frac=[0.1, 1.0]"], "1 % is 0.01"),
        (["sweep.space.session.heartbeat_s=[1.0, 2.0]"], "session is nothing that a backtest's result depends on"),
        (["sweep.space.data.seed=[1, 2]", "sweep.folds=2"], "a walk-forward goes along one market"),
        (["sweep.space.exits.tp_frac={low: 0.1, high: 0.2}"], "without a step, and a grid needs one"),
        (["sweep.space.exits.atr_multiple={low: 1.0, high: 2.0, step: 0.001}"] * 2, None),
        (
            [
                f"sweep.space.{p}={{low: 0.01, high: 0.1, step: 0.0001}}"
                for p in ("exits.tp_frac", "exits.sl_frac", "exits.trail_frac")
            ],
            "points > 1,000,000",
        ),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused_in_words(words, said):
    params = resolve(None, words, {}).params
    if said is None:
        assert space_of(params).size == 1001
        return
    with pytest.raises(SettingsError) as e:
        space_of(params)
    assert said in str(e.value)


@given(st.integers(40, 3_000), st.integers(1, 12), st.floats(0.2, 20.0), st.booleans())
def test_folds_adjoin_each_after_what_it_is_chosen_by(bars, count, train, anchored):
    times = np.arange(bars, dtype=np.int64) * 1_000 + 5_000
    sweep = SweepParams(folds=count, train_folds=train, anchored=anchored)
    try:
        made = folds(4_000, times, sweep)
    except SettingsError:
        return
    spans = [[_closes(times, s) for s in (f.train, f.test)] for f in made]
    for before, after in spans:
        assert before[-1] + 1_000 == after[0]
    for (_, one), (_, other) in pairwise(spans):
        assert one[-1] + 1_000 == other[0]
    assert spans[-1][1][-1] == times[-1]
    assert len({len(after) for _, after in spans}) == 1
    assert all(before[0] == times[0] for before, _ in spans) or not anchored
    assert all((f.first, f.cut, f.last) == (b[0], a[0], a[-1]) for f, (b, a) in zip(made, spans, strict=True))


# --- what is kept -----------------------------------------------------------------------------------------


def test_what_is_kept_is_found_and_what_failed_is_tried_again(tmp_path):
    store = Store(tmp_path)
    store.keep(
        [
            Result("a", "ok", numbers={"trades": 3.0}, first_day=7, returns=np.array([0.1, -0.2])),
            Result("b", "failed", "why"),
        ]
    )
    store.keep([Result("c", "refused", "no")])

    found = Store(tmp_path)
    assert ("a" in found, "b" in found, "c" in found) == (True, False, True)
    assert found.frame(["c", "a"])["trades"].tolist()[1] == 3.0
    assert [(k, d, r.tolist()) for k, d, r in found.returns(["a"])] == [("a", 7, [0.1, -0.2])]
    assert found.frame([]).empty


def test_a_damaged_part_is_named(tmp_path):
    Store(tmp_path).keep([Result("a", "ok")])
    [part] = tmp_path.glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(RunsError, match=f"{part.name} is damaged"):
        Store(tmp_path)


def test_other_bars_or_other_code_are_noticed_by_who_trades(tmp_path):
    run = a_run(tmp_path)
    plan, job = Plan(run.params, code(), Bench()), Job(run.params.plain(), str(tmp_path), code())
    task = plan.task((12, 2.0))
    with pytest.raises(RunsError, match="are not those of the sweep"):
        Bench().result(job, replace(task, data="other"))
    with pytest.raises(RunsError, match="runs other code"):
        here().submit(replace(job, code="other"), [task]).result()


def _backtest(root, run, words):
    space = [*GRID, "sweep.folds=0"]
    resolved = resolve(run.folder / "params.yaml", [*space, *words], {})
    p = resolved.params
    market, listed = wiring.market(p), wiring.instruments(p)
    rules, venue = wiring.rules(p, listed), wiring.venue(p, listed)
    own = Run(open_folder("backtest", resolved, START, root), p)
    done = backtested(own, market, wiring.strategy(p, root), rules, venue, wiring.begins(p, market))
    known = metrics(done.books)
    return _or_nan({name: known[name] for name in NUMBERS})


def _or_nan(numbers):
    return {name: np.nan if value is None else value for name, value in numbers.items()}


def _closes(times, stretch):
    first = int(np.searchsorted(times, stretch.after, side="right"))
    return times[first : first + stretch.bars].tolist()
