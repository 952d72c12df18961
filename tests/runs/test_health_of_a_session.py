"""A real `qt live`: its health page answers from outside, commands reach it, and what they set outlasts it."""

import json
import signal

from forked import Qt
from patience import alone, until

from qtlib.domain.commands import Verb
from qtlib.runs.record.commands import ask
from qtlib.runs.record.health import asked
from qtlib.runs.session.overview import overview

WORDS = ["-p", "data.bars=20000", "-p", "universe.symbols=BTCUSDT,ETHUSDT", "-p", "session.health_port=0"]


def page_of(folder):
    beats = [json.loads(path.read_text()) for path in folder.glob("*-live-*/heartbeat.json")]
    return next((asked(beat["health"]) for beat in beats if beat.get("health")), None)


def test_a_session_is_watched_and_steered_from_outside_and_a_kill_outlasts_it(tmp_path):
    with Qt("live", *WORDS, root=tmp_path) as process:
        try:
            page = until(lambda: page_of(tmp_path))
            assert (page["mode"], page["account"]) == ("sim", "main")
            until(lambda: (page_of(tmp_path) or {}).get("equity_quote"))
            page = page_of(tmp_path)
            assert page["loops"].keys() >= {"trade", "protect"}
            assert page["exchange"]["reachable"] is True

            paused = ask("main", Verb.PAUSE, root=tmp_path)
            assert (paused["outcome"], paused["seconds"] < alone(2)) == ("done", True)
            shown = overview("main", tmp_path)
            assert shown["run"]["health"]["trading_status"] == shown["journal"]["status"] == "reducing"
            assert ask("main", Verb.RESUME, root=tmp_path)["outcome"] == "done"
            killed = ask("main", Verb.KILL, root=tmp_path)
            assert (killed["outcome"], killed["seconds"] < alone(2)) == ("done", True)
            assert until(lambda: page_of(tmp_path))["status"] == "halted"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.ended().returncode == 143
    after = overview("main", tmp_path)
    assert after["run"]["health"] is None
    assert (after["journal"]["brake"]["command"], after["journal"]["positions"]) == ("kill", [])
    assert after["journal"]["figures"]["trading_status"] == "halted"
