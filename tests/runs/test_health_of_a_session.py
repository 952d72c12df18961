"""A real `qt live`: its health page answers from outside, commands reach it, and what they set outlasts it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from qtlib.domain.commands import Verb
from qtlib.runs.record.commands import ask
from qtlib.runs.record.health import asked
from qtlib.runs.session.overview import overview

WORDS = ["-p", "data.bars=20000", "-p", "universe.symbols=BTCUSDT,ETHUSDT", "-p", "session.health_port=0"]
QT = [sys.executable, "-c", "from qtlib.cli import main; main()"]


@pytest.fixture
def env(tmp_path):
    return {k: v for k, v in os.environ.items() if not k.startswith("QT_")} | {"QT_RUNS_DIR": str(tmp_path)}


def waited_for(found, seconds=60):
    until = time.monotonic() + seconds
    while (value := found()) is None and time.monotonic() < until:
        time.sleep(0.05)
    assert value is not None
    return value


def page_of(folder):
    beats = [json.loads(path.read_text()) for path in folder.glob("*-live-*/heartbeat.json")]
    return next((asked(beat["health"]) for beat in beats if beat.get("health")), None)


def test_a_session_is_watched_and_steered_from_outside_and_a_kill_outlasts_it(tmp_path, env):
    with subprocess.Popen([*QT, "live", *WORDS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        try:
            page = waited_for(lambda: page_of(tmp_path))
            assert (page["mode"], page["account"]) == ("sim", "main")
            waited_for(lambda: (page_of(tmp_path) or {}).get("equity_quote"))
            page = page_of(tmp_path)
            assert page["loops"].keys() >= {"trade", "protect"}
            assert page["exchange"]["reachable"] is True

            paused = ask("main", Verb.PAUSE, root=tmp_path)
            assert (paused["outcome"], paused["seconds"] < 2) == ("done", True)
            shown = overview("main", tmp_path)
            assert shown["run"]["health"]["trading_status"] == shown["journal"]["status"] == "reducing"
            assert ask("main", Verb.RESUME, root=tmp_path)["outcome"] == "done"
            killed = ask("main", Verb.KILL, root=tmp_path)
            assert (killed["outcome"], killed["seconds"] < 2) == ("done", True)
            assert waited_for(lambda: page_of(tmp_path))["status"] == "halted"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert process.returncode == 143
    after = overview("main", tmp_path)
    assert after["run"]["health"] is None
    assert (after["journal"]["brake"]["command"], after["journal"]["positions"]) == ("kill", [])
    assert after["journal"]["figures"]["trading_status"] == "halted"
