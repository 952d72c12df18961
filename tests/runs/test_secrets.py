"""No artefact of a run holds a secret: it is planted wherever one may come from, and looked for in every file."""

import sqlite3

import pandas as pd
import pytest
from a_receiver import a_receiver
from builders import T0
from death_drill import drill
from typer.testing import CliRunner

from qtlib.cli import app
from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.events import CommandAnswered, Filled, OrderChanged, SessionClosed, StatusSet, TradingStatus
from qtlib.domain.orders import OrderStatus
from qtlib.params import Params, SettingsError, resolve
from qtlib.runs.alerting.alerts import Alerts, addresses
from qtlib.runs.record import secrecy
from qtlib.runs.record.commands import commanded
from qtlib.runs.record.secrecy import know_keys, without_secrets

KEY, SECRET, HOOK, PASSWORD = "key-7c1d9e02", "s3cret+7c1d/9e03", "h00k7c1d9e04", "pa55-7c1d9e05"
SIGNATURE, LISTEN = "7c1d9e06" * 8, "7C1d9E07" * 8  # nobody knows these: they are known by their form
SIGNED = f"GET https://fapi.binance.com/fapi/v1/order?symbol=BTCUSDT&timestamp=1&signature={SIGNATURE}"
TOLD = f"{SIGNED} as {KEY} with {SECRET} at postgresql://me:{PASSWORD}@host/q, ws /private/ws?listenKey={LISTEN}"
PLANTED = (KEY, SECRET, "s3cret%2B7c1d", HOOK, PASSWORD, SIGNATURE, LISTEN)

LEAKING = """
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd

from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.events import CommandAnswered, OrderChanged, SessionClosed, StatusSet, TradingStatus
from qtlib.domain.orders import OrderStatus
from qtlib.runs import wiring

told, now = Path(TOLD).read_text(), datetime.now(UTC)
with wiring.journal(run) as journal:
    state = journal.absorb(journal.state(), [StatusSet(now, TradingStatus.REDUCING, told)])
    command = Command("c1", Verb.KILL, "me", now)
    answered = CommandAnswered(now, command, Outcome.REFUSED, told, now)
    rejected = OrderChanged(now, "o1", OrderStatus.REJECTED, told)
    state = journal.absorb(state, [answered, rejected, SessionClosed(now, "r1", told)])
    assert state.cause != told
    journal.keep(state)
run.log.info(told, url=told)
run.write_table("decisions", pd.DataFrame({"reason": [told, None, "limit"], "n": [1.0, 2.0, 3.0]}))
run.finish(metrics={}, model={"words": told})
print(told)
"""


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr("qtlib.runs.record.atomic._kept", set())
    monkeypatch.setenv("QT_API_KEY", KEY)
    monkeypatch.setenv("QT_API_SECRET", SECRET)


def found_in(root, told):
    """Where a planted secret stands, of all files below `root` but the one it was told in."""
    held = []
    for path in (p for p in root.rglob("*") if p.is_file() and p != told):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = pd.read_parquet(path).to_csv().encode()
        held += [(str(path.relative_to(root)), word) for word in PLANTED if word.encode() in content]
    return held


def test_no_file_of_a_run_its_journal_or_its_alerts_holds_a_secret(tmp_path, planted, monkeypatch):
    told = tmp_path / "told"
    told.write_text(TOLD)
    with a_receiver() as receiver:
        monkeypatch.setenv("QT_ALERT_URLS", f"{receiver.url}/{HOOK}")
        alerts = Alerts(Params(), tmp_path / "runs", addresses())
        alerts.look(supervised=True)
        leaking = LEAKING.replace("TOLD", repr(str(told)))
        settings = ["mode=demo", f"report.title={KEY}"]  # where keys are used, and so a session knows them
        outcome = drill(tmp_path, leaking, "raise RuntimeError(told)", settings=settings)
        alerts.tell(f"the run said {outcome.record['error']} {receiver.url}/{HOOK}")
        alerts.look(supervised=True)
        alerts.close()
    assert outcome.record["error"]["type"] == "SecretFound"
    names = {path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    files = {"notebook.ipynb", "record.json", "log.jsonl", "params.yaml", "decisions.parquet", "report.html"}
    assert names > {*files, "main.sqlite", "main.alerts.json"}
    assert found_in(tmp_path, told) == []
    assert len(receiver.lines) == 3  # it reduces, a kill was refused, and what the run said
    assert [word for word in PLANTED if word in "\n".join(receiver.heard)] == []
    with sqlite3.connect(tmp_path / "runs/journal/main.sqlite") as journal:
        kept = [payload for (payload,) in journal.execute("select payload from events")]
    assert sum("***" in payload for payload in kept) == 4


def test_a_secret_in_settings_is_refused_and_not_repeated(tmp_path, planted):
    file = tmp_path / "mine.yaml"
    for text in (f"venue: {{api_secret: {SECRET}}}", f"session: {{token: {KEY}}}", f"api_key: {KEY}"):
        file.write_text(text)
        with pytest.raises(SettingsError, match="looks like a secret") as why:
            resolve(file)
        assert [word for word in PLANTED if word in str(why.value)] == []
    answer = CliRunner().invoke(app, ["backtest", "-p", f"session.secret={SECRET}"])
    assert "looks like a secret" in str(answer.exception)
    assert SECRET not in answer.output + str(answer.exception)


def test_an_event_that_holds_none_is_the_very_same_and_one_that_does_differs_in_that_alone(planted):
    clean = StatusSet(T0, TradingStatus.REDUCING, "daily loss 3.1 % of 10,004.20")
    assert without_secrets(clean) is clean
    command = Command("c1", Verb.PAUSE, "me", T0)
    for event, name in (
        (StatusSet(T0, TradingStatus.REDUCING, TOLD), "cause"),
        (OrderChanged(T0, "o1", OrderStatus.REJECTED, TOLD), "reason"),
        (SessionClosed(T0, "r1", TOLD), "reason"),
        (CommandAnswered(T0, command, Outcome.DONE, TOLD, T0), "words"),
    ):
        made = without_secrets(event)
        assert (type(made), made.key) == (type(event), event.key)
        assert [word for word in PLANTED if word in repr(made)] == []
        assert getattr(made, name).startswith("GET https://fapi.binance.com/fapi/v1/order?symbol=BTCUSDT")
    assert Filled not in secrecy._WORDS  # nor any other event that holds numbers only
    assert commanded(Verb.LIMITS, limits={"max_positions": 2.0}, reason=f"as {KEY} said").reason == "as *** said"


def test_keys_from_the_keyring_are_secrets_too(planted, monkeypatch):
    monkeypatch.delenv("QT_API_KEY")
    monkeypatch.setattr("qtlib.exchanges.binance.modes._kept", lambda name: "from-the-ring-1")
    cause = StatusSet(T0, TradingStatus.REDUCING, "key from-the-ring-1 is not known")
    know_keys("sim")
    assert without_secrets(cause) is cause
    know_keys("live")
    assert without_secrets(cause).cause == "key *** is not known"
