"""A session is asked how it is while it trades, over HTTP on loopback, and answers also while it hangs."""

import json
import socket
import urllib.error
import urllib.request

import pytest
from builders import a_state

from qtlib.domain.events import TradingStatus
from qtlib.engine.auditor import Unwatched
from qtlib.exchanges.port import Unavailable
from qtlib.rules.limits import RiskLimits
from qtlib.runs.record.health import Health, asked


@pytest.fixture
def health():
    return Health("sim", "simulated", "main", RiskLimits())


def get(url, host=None):
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as reply:
        return reply.code, reply.read().decode()


def test_the_page_follows_what_the_loop_sees(health):
    said = []
    with health.serving(0, said.append):
        watch = health.over(Unwatched())
        code, body = get(f"{health.url}/health")
        assert (code, json.loads(body)["equity_quote"]) == (200, None)
        watch.look(a_state(cash=9_000))
        assert json.loads(get(f"{health.url}/health")[1])["equity_quote"] == 9_000
        assert "qt_equity_quote 9000" in get(f"{health.url}/metrics")[1]
        with pytest.raises(Unavailable):
            watch.trouble(Unavailable("the venue is away"))
        page = asked(health.url)
        assert (page["status"], page["exchange"]["reachable"]) == ("degraded", False)
        assert page["last_error"] == "Unavailable: the venue is away"
        watch.look(a_state(status=TradingStatus.HALTED))
        code, body = get(f"{health.url}/health")
        assert (code, json.loads(body)["status"]) == (503, "halted")
        assert asked(health.url)["exchange"]["reachable"] is True
        assert get(f"{health.url}/else")[0] == 404
        assert said == [f"🩺 Health at {health.url}/health"]
        url = health.url
    assert asked(url) is None


def test_a_loop_that_hangs_is_dead_on_the_page(health):
    now = [0.0]
    health.clock = lambda: now[0]
    with health.serving(0, print):
        health.expect("private", 2.0)
        now[0] = 8.0
        health.beat("trade")
        assert get(f"{health.url}/health")[0] == 200
        now[0] = 15.1
        health.beat("trade")
        code, body = get(f"{health.url}/health")
        assert (code, json.loads(body)["loops"]["private"]) == (503, {"age_s": 15.1, "interval_s": 2.0, "ok": False})
        health.done("private")
        assert get(f"{health.url}/health")[0] == 200


def test_a_port_that_is_taken_is_said_and_the_next_free_one_serves(health):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken, said = other.getsockname()[1], []
        with health.serving(taken, said.append):
            assert asked(health.url)["account"] == "main"
            assert f"port {taken} is not free" in said[0]
            assert not health.url.endswith(str(taken))


def test_without_a_port_nothing_is_served(health):
    with health.serving(None, pytest.fail):
        assert health.url is None


def test_it_answers_this_machine_only(health):
    with health.serving(0, print):
        assert health.url.startswith("http://127.0.0.1:")
        assert get(f"{health.url}/health", host="elsewhere.example:80")[0] == 403
        assert get(f"{health.url}/health", host="localhost:80")[0] == 200
        with pytest.raises(OSError, match="closed connection"):
            get(f"{health.url}/health", host="[nonsense")
        assert get(f"{health.url}/health")[0] == 200


def test_many_askers_at_once_are_answered(health):
    with health.serving(0, print):
        port = int(health.url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]  # who never say what they want
        assert get(f"{health.url}/health")[0] == 200
        for connection in silent:
            connection.close()
