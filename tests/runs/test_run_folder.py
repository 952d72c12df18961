"""Run folders: named once, written whole, honest about runs that died, and without secrets."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from forked import CONTEXT
from patience import until

from qtlib.params import resolve
from qtlib.runs import open_run
from qtlib.runs.record import atomic
from qtlib.runs.record.folder import (
    RunsError,
    create,
    disposable,
    find,
    journal_location,
    remove,
    runs,
    runs_root,
    venue_location,
)
from qtlib.runs.record.log import Log, Tail, older
from qtlib.runs.record.run import open_folder

NOW = datetime(2026, 7, 1, 3, 0, 12, tzinfo=UTC)
RECORD = {"run_id", "kind", "mode", "status", "started", "ended", "seconds", "params_file", "params_hash", "overrides"}
RECORD |= {"code", "versions", "data", "seed", "pid", "boot_id", "session_id", "previous_run", "model", "stopped"}
RECORD |= {"metrics", "counters", "files", "error"}


# --- names and records ------------------------------------------------------------------------------------


def test_a_folder_is_named_by_time_and_kind_and_never_twice(tmp_path):
    names = [create("live", NOW, tmp_path).run_id for _ in range(30)]
    assert len(set(names)) == 30
    assert all(name.startswith("20260701T030012Z-live-") and len(name) == 26 for name in names)
    assert (tmp_path / "latest").read_text().strip() == names[-1]


def test_a_record_has_every_key_from_the_start(tmp_path):
    folder = open_folder("live", resolve(overrides=["data.seed=3"]), NOW, tmp_path)
    record = json.loads((folder / "record.json").read_text())
    assert set(record) >= RECORD
    assert record["status"] == "running"
    assert record["started"] == "2026-07-01T03:00:12.000Z"
    assert (record["seed"], record["session_id"], record["overrides"]) == (3, "main", {"data.seed": 3})
    assert resolve(folder / "params.yaml").hash == record["params_hash"]


def test_a_session_names_its_predecessor_and_other_sessions_are_none(tmp_path):
    first = open_folder("live", resolve(), NOW, tmp_path)
    open_folder("live", resolve(overrides=["session.account=other"]), NOW + timedelta(hours=1), tmp_path)
    open_folder("backtest", resolve(), NOW + timedelta(hours=2), tmp_path)
    second = open_folder("live", resolve(), NOW + timedelta(hours=3), tmp_path)
    assert second.record()["previous_run"] == first.run_id
    assert first.record()["previous_run"] is None


def _begin_and_wait(root):
    open_folder("live", resolve(), NOW, root)
    signal.pause()


def test_a_run_whose_process_is_gone_has_died(tmp_path):
    process = CONTEXT.Process(target=_begin_and_wait, args=(tmp_path,))
    process.start()
    until(lambda: any(f.record()["status"] == "running" for f in runs(tmp_path)))
    process.kill()
    process.join()
    [folder] = runs(tmp_path)
    assert folder.record()["status"] == "died"
    assert json.loads((folder / "record.json").read_text())["status"] == "running"


def test_a_folder_without_a_record_has_died_and_a_reused_pid_is_another_process(tmp_path):
    assert create("live", NOW, tmp_path).record()["status"] == "died"
    folder = open_folder("live", resolve(), NOW, tmp_path)
    assert folder.record()["status"] == "running"
    record = json.loads((folder / "record.json").read_text())
    for lie in ({"process_started": record["process_started"] - 1}, {"boot_id": "another boot"}, {"pid": 2**22 + 1}):
        folder.write_record(record | lie)
        assert folder.record()["status"] == "died"


def test_a_run_is_found_by_an_unmistakable_part(tmp_path):
    with pytest.raises(RunsError, match="there are no runs"):
        find("latest", tmp_path)
    one, two = create("live", NOW, tmp_path), create("backtest", NOW + timedelta(hours=1), tmp_path)
    assert find("latest", tmp_path) == two
    assert find("-live-", tmp_path) == one
    with pytest.raises(RunsError, match="fits 2 runs"):
        find("2026", tmp_path)
    with pytest.raises(RunsError, match="there is no run x"):
        find("x", tmp_path)


def test_cleaning_keeps_the_newest_of_each_kind_what_runs_and_a_month_of_live(tmp_path):
    old = [create("backtest", NOW + timedelta(minutes=i), tmp_path) for i in range(4)]
    live = [create("live", NOW + timedelta(minutes=i), tmp_path) for i in range(4)]
    running = open_folder("backtest", resolve(), NOW - timedelta(days=90), tmp_path)
    soon, later = NOW + timedelta(days=29), NOW + timedelta(days=31)
    assert set(disposable(2, soon, tmp_path)) == set(old[:2])
    assert set(disposable(2, later, tmp_path)) == {*old[:2], *live[:2]}
    assert set(disposable(1, later, tmp_path, kind="live")) == set(live[:3])
    for folder in disposable(2, later, tmp_path):
        remove(folder)
    assert set(runs(tmp_path)) == {*old[2:], *live[2:], running}


def test_an_unwritable_place_is_said_with_what_to_do(tmp_path):
    (tmp_path / "runs").write_text("a file where a folder should be")
    with pytest.raises(RunsError, match=r"cannot be written .* QT_RUNS_DIR"):
        create("live", NOW, tmp_path / "runs")


def test_everything_lies_under_one_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_RUNS_DIR", str(tmp_path / "own"))
    monkeypatch.delenv("QT_DATABASE_URL", raising=False)
    assert runs_root() == tmp_path / "own"
    assert journal_location("main") == tmp_path / "own" / "journal" / "main.sqlite"
    assert venue_location("main") == tmp_path / "own" / "exchange" / "main.sqlite"
    monkeypatch.setenv("QT_DATABASE_URL", "postgresql+psycopg://u@localhost/q")
    assert journal_location("main") == "postgresql+psycopg://u@localhost/q"


# --- what a notebook holds --------------------------------------------------------------------------------


def test_without_papermill_a_run_makes_its_own_folder_and_record(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_RUNS_DIR", str(tmp_path))
    run = open_run("", {})
    assert run.params.data.source == "simulated"
    assert run.folder.record()["status"] == "running"
    run.write_table(
        "equity", pd.DataFrame({"ts": pd.date_range(NOW, periods=3, freq="h"), "equity_quote": [1.0, 2, 3]})
    )
    run.finish(
        metrics={"trades": 3, "sharpe": float("nan"), "pnl": Decimal("1.5"), "n": np.int64(4)}, data={"first": NOW}
    )
    record = run.folder.record()
    assert record["status"] == "ok"
    assert record["metrics"] == {"trades": 3, "sharpe": None, "pnl": 1.5, "n": 4}
    assert record["data"] == {"first": "2026-07-01T03:00:12Z"}
    assert record["files"]["equity"] == "equity.parquet"
    assert pd.read_parquet(run.folder / "equity.parquet")["equity_quote"].tolist() == [1, 2, 3]


def test_a_run_inside_a_folder_leaves_the_record_to_its_runner(tmp_path):
    folder = open_folder("backtest", resolve(), NOW, tmp_path)
    run = open_run(str(folder.path), resolve().params.plain())
    assert run.stop_requested() is None
    (folder / "stop").write_text('{"why": "SIGTERM"}')
    assert run.stop_requested() == "SIGTERM"
    run.finish(metrics={"trades": 1})
    assert folder.record()["status"] == "running"
    assert json.loads((folder / "result.json").read_text()) == {"metrics": {"trades": 1}, "stopped": "SIGTERM"}


def test_a_heart_beats_at_most_once_a_heartbeat(tmp_path):
    folder = open_folder("live", resolve(), NOW, tmp_path)
    run = open_run(str(folder.path), resolve(overrides=["session.heartbeat_s=10"]).params.plain())
    run.beat(1, 9)
    run.beat(2, 9)
    assert json.loads((folder / "heartbeat.json").read_text())["done"] == 1


# --- files ------------------------------------------------------------------------------------------------


def _write_forever(path):
    n = 0
    while True:
        n += 1
        atomic.write_json(path, {"n": n, "ballast": "x" * 200_000})


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path):
    path = tmp_path / "record.json"
    seen = [0]
    for _ in range(3):
        process = CONTEXT.Process(target=_write_forever, args=(path,))
        process.start()
        until(lambda: path.exists() and json.loads(path.read_text())["n"] > 2)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        seen.append(json.loads(path.read_text())["n"])
        path.unlink()
    assert all(n > 2 for n in seen[1:])


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    atomic.write_json(tmp_path / "a.json", {"n": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "a.json", {"n": float("inf")})
    with pytest.raises(ValueError, match="Conversion"):
        atomic.write_parquet(tmp_path / "a.parquet", _unwritable_frame())
    assert json.loads((tmp_path / "a.json").read_text()) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def _unwritable_frame():
    return pd.DataFrame({"a": [1, "x", {}]}, dtype=object)


def test_no_file_holds_a_secret_and_the_writer_says_so(tmp_path, monkeypatch):
    canary = 'k3y"with\\marks'
    monkeypatch.setenv("QT_API_SECRET", canary)
    monkeypatch.setenv("QT_DATABASE_URL", "postgresql+psycopg://me:p%40ssword@localhost/q")
    assert atomic.write_json(tmp_path / "a.json", {"said": f"{canary} and p@ssword"})
    assert not atomic.write_text(tmp_path / "b.json", "nothing to hide")
    atomic.write_parquet(tmp_path / "c.parquet", pd.DataFrame({"reason": [f"key {canary}", None], "n": [1.0, 2.0]}))
    Log(tmp_path / "log.jsonl").info(f"key {canary}", url="p%40ssword")
    assert json.loads((tmp_path / "a.json").read_text()) == {"said": "*** and ***"}
    assert pd.read_parquet(tmp_path / "c.parquet")["reason"].tolist()[0] == "key ***"
    (tmp_path / "kernel.log").write_text(f"leaked {canary}")
    assert atomic.scrub(tmp_path) == ["kernel.log"]
    assert not any(word in p.read_bytes() for p in tmp_path.iterdir() for word in (b"k3y", b"ssword"))


def test_a_log_is_bounded_and_its_reader_misses_nothing_across_the_turn(tmp_path):
    log, tail = Log(tmp_path / "log.jsonl", max_bytes=5_000), Tail(tmp_path / "log.jsonl")
    heard = []
    for n in range(400):
        log.info("tick", n=n)
        if n % 7 == 0:
            heard += [line["n"] for line in tail.lines()]
    heard += [line["n"] for line in tail.lines()]
    assert heard == list(range(400))
    assert all(p.stat().st_size < 5_200 for p in (log.path, older(log.path)))
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert all(a["ts"] <= b["ts"] for a, b in pairwise(lines))
    assert {"ts", "level", "msg"} <= set(lines[0])
