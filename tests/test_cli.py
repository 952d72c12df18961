"""`qt`: an answer on standard output, everything else beside it, and an exit code that scripts can rely on."""

import json
import signal
import subprocess
import sys
from functools import partial

import forked
import pytest
from patience import until
from typer.testing import CliRunner

from qtlib.cli import app

COMMANDS = [
    "live",
    "backtest",
    "data list",
    "data check",
    "data fit",
    "data import",
    "data fetch",
    "data simulate",
    "runs list",
    "runs show",
    "runs clean",
]
COMMANDS += ["retrain", "models list", "models show", "models promote", "models rollback"]
COMMANDS += ["alerts test", "alerts list", "alerts send", "schedule"]
COMMANDS += ["close", "tighten", "limits", "stop", "panel", "postmortem", "sweep", "parity"]
COMMANDS += ["lab", "status", "doctor", "exchange", "pause", "resume", "reduce", "flatten", "kill", "rearm", "drill"]
SMALL = ["-p", "data.bars=300", "-p", "universe.symbols=BTCUSDT,ETHUSDT"]


@pytest.fixture
def qt(tmp_path):
    """Runs `qt` as a process of its own, in a runs folder of its own."""
    return partial(forked.qt, root=tmp_path / "runs")


def test_help_names_the_commands_there_are_and_no_others():
    text = CliRunner().invoke(app, ["--help"]).output
    for name in ("live", "backtest", "data", "runs", "lab", "status", "doctor", "exchange"):
        assert f"  {name} " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example_and_answers_in_json(command):
    text = CliRunner().invoke(app, [*command.split(), "--help"]).output
    assert f"Example: qt {command}" in text
    assert "--json" in text
    assert "--debug" in text


def test_help_is_not_kept_waiting_by_rooms_it_does_not_need():
    code = "import sys, qtlib.cli; print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    heavy = ["pandas", "numpy", "pydantic", "papermill", "sqlalchemy", "plotly", "nbconvert", "yaml"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["live", "-p", "exits.tp_frac=1.0"], 2, "1 % is 0.01"),
        (["live", "-p", "limits.max_positons=3"], 2, "did you mean limits.max_positions?"),
        (["backtest", "--params", "nowhere.yaml"], 2, "nowhere.yaml does not exist"),
        (["live", "-p", "mode=live"], 2, "say that you mean it (-p session.armed=true)"),
        (["live", "-p", "mode=live", "-p", "session.armed=true"], 3, "strategy.name is trend"),
        (["live", "-p", "strategy.name=tend"], 2, "must be one of trend"),
        (["live", "-p", "universe.symbols=NOSUCHUSDT"], 2, "NOSUCHUSDT"),
        (["data", "check", "--params", "params/replay.yaml", "-p", "data.path=nowhere"], 2, "nowhere"),
        (["data", "list", "nowhere"], 2, "there is no folder nowhere"),
        (["data", "fetch", "BTCUSDT", "--timeframe", "hourly"], 2, "'hourly' is no timeframe"),
        (["data", "fetch", "BTCUSDT", "--from", "soon"], 2, "soon"),
        (["data", "fetch", "BTCUSDT", "--venue", "nowhere"], 3, "ccxt knows no venue 'nowhere'"),
        (["data", "fetch", "BTCUSDT", "--url", "http://10.1.2.3:80"], 2, "must be http://127.0.0.1:PORT"),
        (["data", "check", "nowhere"], 2, "there is no folder nowhere"),
        (["data", "import", "nowhere"], 2, "there is no nowhere"),
        (["data", "import", "nowhere", "--differing", "both"], 2, "must be refuse, keep or replace"),
        (["data", "import", "nowhere", "--map", "time"], 2, "must be OURS=THEIRS"),
        (["runs", "show", "x"], 2, "there are no runs"),
        (["exchange", "--speed", "fast"], 2, "an hour a second"),
        (["exchange", "--from", "soon"], 2, "as 2026-03-01"),
        (["exchange", "--from", "2001-01-01"], 2, "begin later"),
        (["exchange", "--data", "nowhere"], 2, "nowhere"),
        (["exchange", "--state", "nowhere/venue.db"], 2, "there is no folder nowhere"),
        (["live", "--no-such-option"], 2, "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_answered_with_a_sentence_and_its_exit_code(qt, words, code, said):
    done = qt(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_where_an_error_came_from(qt):
    assert "Traceback" in qt("live", "-p", "mode=live", "--debug").stderr


def test_a_runs_folder_that_cannot_be_is_said_so(qt, tmp_path):
    (tmp_path / "file").write_text("")
    done = qt("backtest", *SMALL, QT_RUNS_DIR=str(tmp_path / "file"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_an_environment_name_of_ours_is_heard_and_a_wrong_one_refused(qt):
    assert "QT_TP_FRAC" in qt("live", QT_TP_FRAC="1.5").stderr
    assert "did you mean QT_SYMBOLS?" in qt("live", QT_SYMBOL="BTCUSDT").stderr


def test_a_backtest_leaves_a_run_that_the_other_commands_can_see(qt, tmp_path):
    done = qt("backtest", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["kind"], record["data"]["simulated"]) == ("ok", "backtest", True)
    assert "SIMULATED market" in done.stderr
    folder = tmp_path / "runs" / record["run_id"]
    page = (folder / "report.html").read_text()
    assert "SIMULATED MARKET" in page
    assert all((folder / name).exists() for name in record["files"].values() if name)
    assert {"notebook", "report", "trades", "equity", "decisions"} <= {
        what for what, name in record["files"].items() if name
    }

    listed = json.loads(qt("runs", "list", "--json").stdout)["runs"]
    assert [row["run"] for row in listed] == [record["run_id"]]
    assert json.loads(qt("runs", "show", "--json").stdout)["params_hash"] == record["params_hash"]
    shown = qt("runs", "show", "latest").stdout
    assert str(folder / "report.html") in shown
    assert qt("runs", "clean", "--keep", "1", "--yes").stdout.strip() == "0 runs removed"


def test_status_says_what_there_is_before_there_is_anything(qt, tmp_path):
    answer = json.loads(qt("status", "--json").stdout)
    assert answer == {"account": "main", "journal": None, "run": None}
    assert not (tmp_path / "runs" / "journal" / "main.sqlite").exists()  # looking makes nothing


def test_the_doctor_finds_a_healthy_machine_and_refuses_what_cannot_trade(qt):
    healthy = qt("doctor", *SMALL, "--json")
    assert healthy.returncode == 0, healthy.stdout
    checks = {row["check"] for row in json.loads(healthy.stdout)["checks"]}
    assert {
        "python",
        "packages",
        "runs folder",
        "disk",
        "journal",
        "strategy",
        "features",
        "champion",
        "venue",
        "data",
        "kernel",
    } == checks
    sick = qt("doctor", "--params", "params/replay.yaml", "-p", "data.path=nowhere", "--json")
    assert sick.returncode == 3
    assert [row["check"] for row in json.loads(sick.stdout)["checks"] if not row["ok"]] == ["data"]


def test_simulated_bars_on_disk_are_listed_and_labelled(qt, tmp_path):
    done = qt("data", "simulate", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(qt("data", "list", "--json").stdout)["files"]
    assert {row["symbol"] for row in rows} == {"BTCUSDT", "ETHUSDT"}
    assert all(row["simulated"] for row in rows)
    read = ["-p", "data.source=files", "-p", f"data.path={tmp_path / 'runs' / 'market'}", "-p", "data.bars=null"]
    answer = json.loads(qt("data", "check", *SMALL[2:], *read, "--json").stdout)
    assert (answer["ok"], answer["simulated"]) == (True, True)


def test_an_interrupted_command_ends_in_order_and_says_by_which_signal(tmp_path):
    with forked.Qt("backtest", "-p", "data.bars=20000", "--json", root=tmp_path) as command:
        until(lambda: list(tmp_path.glob("*/heartbeat.json")))
        command.send_signal(signal.SIGINT)
        done = command.ended()
    assert done.returncode == 130, done.stderr
    assert json.loads(done.stdout)["status"] == "interrupted"
