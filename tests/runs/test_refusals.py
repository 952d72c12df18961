"""Bad input, given to the real command: each is refused, or warned of, in words that say what to do, and by exit code.

The venue of each session lies, or refuses, as its faults have it. What a step of the start-up objects to ends entries,
and never protection: such a session runs, and buys nothing. That live has to be meant is shown in `tests/test_cli.py`.
"""

import signal

import pytest
from forked import Qt
from patience import until
from supervision import left_of

from qtlib.params import dump_yaml
from qtlib.runs.record.folder import runs

SETTINGS = ("universe.symbols=BTCUSDT", "sizing.confidence_threshold=0.5", "limits.cooldown_s=0")
QUICK = ("strategy.params={fast: 4, medium: 8, slow: 12, volatility_span: 12}",)
LIES = [
    {"kind": "alters", "on": "GET v1/accountConfig", "field": "dualSidePosition", "value": True},
    {"kind": "alters", "on": "GET v1/symbolConfig", "field": "leverage", "value": 3},
    {"kind": "alters", "on": "GET sapi/*", "field": "enableWithdrawals", "value": True},
    {"kind": "clock_skew", "on": "*", "times": None, "seconds": -6.0},
]


@pytest.fixture
def qt_live(tmp_path):
    """Begins `qt live` with a venue that has these faults."""
    commands = []

    def begin(name, faults=(), bars=60):
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        (root / "faults.yaml").write_text(dump_yaml({"faults": list(faults)}))
        words = [*SETTINGS, *QUICK, f"venue.faults={root / 'faults.yaml'}", f"data.bars={bars}"]
        commands.append(Qt("live", *(word for text in words for word in ("-p", text)), root=root, COLUMNS="500"))
        return commands[-1]

    yield begin
    for command in commands:
        command.kill()
    until(lambda: left_of(tmp_path) == [])


def begun(root):
    """Whether there is a session, which holds the account."""
    return any("start-up, settings" in log.read_text("utf-8") for log in root.glob("*-live-*/log.jsonl"))


def test_hedge_mode_leverage_a_wrong_clock_and_keys_that_withdraw_are_told_and_nothing_is_bought(qt_live, tmp_path):
    first = qt_live("lies", LIES, 8_000)  # until it is told to end
    until(lambda: begun(tmp_path / "lies"))
    second = qt_live("lies").ended()  # the same account
    assert second.returncode == 4, second.stderr
    assert "is held by" in second.stderr
    assert "stop that session, or wait" in second.stderr
    first.send_signal(signal.SIGTERM)
    done = first.ended()
    assert done.returncode == 143, done.stderr
    for words in (
        "⛔ start-up, venue, account mode: the account is in hedge mode, and must be in one-way mode",
        "⛔ start-up, venue, margin: BTCUSDT is ISOLATED at 3, and was set to ISOLATED at 5",
        "⛔ start-up, venue, clock: our clock is ",
        "more than 5000 ms: set it (ntp)",
        "⚠️ start-up, venue, permissions: the key may trade; WARNING: it may also withdraw: take that right away",
    ):
        assert words in done.stdout, done.stdout
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
    done = qt_live("refused", [fault]).ended()
    assert (words in done.stdout + done.stderr, done.returncode) == (True, code), done


def test_filters_that_change_under_a_session_are_told_and_traded_by_and_it_ends_in_order(qt_live):
    done = qt_live("changed", [{"kind": "filters", "what": "lot", "factor": 7, "first": 30}]).ended()
    assert done.returncode == 0
    said = done.stdout
    assert said.count("order rejected: -4023: Qty not increased by step size.") == 1
    assert "BTCUSDT is listed otherwise by now: lot 0.001 → 0.007" in said
    assert "closed: its 60 bars were traded" in said
