"""Bad input, given to the real command: each is refused, or warned of, in words that say what to do, and by exit code.

The venue of each session lies, or refuses, as its faults have it. What a step of the start-up objects to ends entries,
and never protection: such a session runs, and buys nothing. That live has to be meant is shown in `tests/test_cli.py`.
"""

import os
import subprocess
import sys

import pytest
from patience import until
from supervision import left_of

from qtlib.params import dump_yaml
from qtlib.runs.record.folder import HOME, runs

SETTINGS = ("universe.symbols=BTCUSDT", "sizing.confidence_threshold=0.5", "limits.cooldown_s=0")
QUICK = ("strategy.params={fast: 4, medium: 8, slow: 12, volatility_span: 12}",)
LIES = [
    {"kind": "alters", "on": "GET v1/accountConfig", "field": "dualSidePosition", "value": True},
    {"kind": "alters", "on": "GET v1/symbolConfig", "field": "leverage", "value": 3},
    {"kind": "alters", "on": "GET sapi/*", "field": "enableWithdrawals", "value": True},
    {"kind": "clock_skew", "on": "*", "times": None, "seconds": -6.0},
]


class Command:
    """`qt live` with a venue that has these faults."""

    def __init__(self, root, faults=(), bars=60):
        root.mkdir(exist_ok=True)
        self.root, told = root, root / "faults.yaml"
        told.write_text(dump_yaml({"faults": list(faults)}))
        words = [*SETTINGS, *QUICK, f"venue.faults={told}", f"data.bars={bars}"]
        command = [sys.executable, "-m", "qtlib.cli", "live", *(word for text in words for word in ("-p", text))]
        env = {k: v for k, v in os.environ.items() if not k.startswith("QT_")} | {"QT_RUNS_DIR": str(root)}
        env |= {"COLUMNS": "500"}
        self._process = subprocess.Popen(
            command, env=env, cwd=HOME, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def end(self):
        """What it said, and its exit code."""
        said, _ = self._process.communicate(timeout=300)
        return said, self._process.returncode

    def begun(self):
        """Wait until there is a session, which holds the account."""
        logs = "*-live-*/log.jsonl"
        until(lambda: any("start-up, settings" in log.read_text("utf-8") for log in self.root.glob(logs)))

    def kill(self):
        self._process.kill()


@pytest.fixture
def qt_live(tmp_path):
    commands = []

    def begin(name, *said):
        commands.append(Command(tmp_path / name, *said))
        return commands[-1]

    yield begin
    for command in commands:
        command.kill()
    until(lambda: left_of(tmp_path) == [])


def test_hedge_mode_leverage_a_wrong_clock_and_keys_that_withdraw_are_told_and_nothing_is_bought(qt_live, tmp_path):
    first = qt_live("lies", LIES, 900)  # long enough for another to find it there
    first.begun()
    second, code = qt_live("lies").end()  # the same account
    assert code == 4, second
    assert "is held by" in second
    assert "stop that session, or wait" in second
    said, code = first.end()
    assert code == 0
    for words in (
        "⛔ start-up, venue, account mode: the account is in hedge mode, and must be in one-way mode",
        "⛔ start-up, venue, margin: BTCUSDT is ISOLATED at 3, and was set to ISOLATED at 5",
        "⛔ start-up, venue, clock: our clock is ",
        "more than 5000 ms: set it (ntp)",
        "⚠️ start-up, venue, permissions: the key may trade; WARNING: it may also withdraw: take that right away",
    ):
        assert words in said, said
    assert next(runs(tmp_path / "lies")).record()["metrics"]["trades"] == 0


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (
            {"kind": "key_refused", "on": "* v[123]/a*|* v1/[lmc]*", "times": None},
            2,
            "Untrusted: -2015: Invalid API-key, IP, or permissions for action.",
        ),
        (
            {"kind": "alters", "on": "GET v1/exchangeInfo", "field": "status", "value": "SETTLING"},
            3,
            "Refused: BTCUSDT is SETTLING, not TRADING",
        ),
    ],
    ids=["wrong keys", "a symbol that does not trade"],
)
def test_what_no_session_can_begin_with_is_refused(qt_live, fault, code, words):
    said, ended = qt_live("refused", [fault]).end()
    assert (words in said, ended) == (True, code), said


def test_filters_that_change_under_a_session_are_told_and_traded_by_and_it_ends_in_order(qt_live):
    said, code = qt_live("changed", [{"kind": "filters", "what": "lot", "factor": 7, "first": 30}]).end()
    assert code == 0
    assert said.count("order rejected: -4023: Qty not increased by step size.") == 1
    assert "BTCUSDT is listed otherwise by now: lot 0.001 → 0.007" in said
    assert "closed: its 60 bars were traded" in said
