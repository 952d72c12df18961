"""Whoever is to be alerted hears of each trouble once, whatever restarts or does not answer; and never a secret."""

import json
import os
import time
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace

import pytest
from a_receiver import a_receiver
from builders import T0
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from qtlib.cli import app
from qtlib.domain.events import ProtectionOverdue, StatusSet, TradingStatus
from qtlib.domain.state import State
from qtlib.journal import Journal
from qtlib.params import Params, SettingsError
from qtlib.report.alarms import Alarm
from qtlib.runs.alerting.alerts import Alerts, addresses
from qtlib.runs.alerting.book import MOST_LINES, USELESS_S, Book, message
from qtlib.runs.record import folder
from qtlib.runs.record.folder import journal_location

CANARY = "canary-4711-0815"
SIGNED = f"GET /fapi/v1/order?symbol=BTCUSDT&signature={'4b' * 32}"


@pytest.fixture
def receiver(monkeypatch):
    with a_receiver() as found:
        monkeypatch.setenv("QT_ALERT_URLS", f"{found.url}/hook/{CANARY}")
        yield found


@pytest.fixture
def session(tmp_path):
    """An account's journal and what watches it, at a time that the test sets."""
    clock, troubles = SimpleNamespace(now=1e9), []

    def watched():
        return Alerts(Params(), tmp_path, addresses(), on_trouble=troubles.append, now=lambda: clock.now)

    def happens(*events):
        with Journal(journal_location("main", tmp_path), "main") as journal:
            journal.absorb(State(), events)

    return SimpleNamespace(root=tmp_path, clock=clock, troubles=troubles, watched=watched, happens=happens)


def overdue(symbol="BTCUSDT", second=0):
    return ProtectionOverdue(T0.replace(second=second), symbol, 3.2)


def test_what_happens_is_told_once_however_often_it_is_started_anew(session, receiver):
    session.happens(overdue("XRPUSDT"))  # long ago: before anybody was to be told
    assert session.watched().look(supervised=True) == 0
    session.happens(overdue(), StatusSet(T0, TradingStatus.REDUCING, "daily loss 3.1 %"))
    for _ in range(3):
        session.watched().look(supervised=True)
    session.happens(overdue(second=1))  # the same trouble, within the hour
    session.watched().look(supervised=True)
    assert [line.split(" had ")[0] for line in receiver.lines] == [
        "• BTCUSDT",
        "• The session lets nothing grow any more: daily loss 3.1 % (by engine).",
    ]
    session.clock.now += 7 * 3_600
    session.happens(overdue(second=2))
    session.watched().look(supervised=True)
    assert receiver.lines[-1].endswith("(1 more times since it was last told)")


def test_who_does_not_answer_is_told_later_and_who_did_is_not_told_again(session, receiver, monkeypatch):
    with a_receiver() as other:
        monkeypatch.setenv("QT_ALERT_URLS", f"{receiver.url} {other.url}")
        session.watched().look(supervised=True)
        session.happens(overdue())
        other.deaf = True
        assert session.watched().look(supervised=True) == 1
        assert session.troubles == ["1 alerts could not be sent to 2:json; they are tried again"]
        other.deaf = False
        session.watched().look(supervised=True)
        assert (len(receiver.heard), len(other.heard)) == (1, 0)  # it pauses before it tries again
        session.clock.now += 60
        assert session.watched().look(supervised=True) == 0
        assert (len(receiver.heard), len(other.heard)) == (1, 1)


def test_no_secret_is_told_nor_kept(session, receiver, monkeypatch):
    monkeypatch.setenv("QT_API_SECRET", CANARY)
    watched = session.watched()
    watched.look(supervised=True)
    session.happens(StatusSet(T0, TradingStatus.REDUCING, f"{SIGNED}: key {CANARY} is not known"))
    watched.tell(f"failed at {receiver.url}/hook/{CANARY}: {SIGNED}")
    watched.look(supervised=True)
    assert len(receiver.lines) == 2
    assert not [text for text in receiver.heard if CANARY in text or "4b4b" in text]
    kept = [p for p in session.root.rglob("*.json") if CANARY in p.read_text() or "4b4b" in p.read_text()]
    assert kept == []


def test_a_session_that_died_with_its_supervisor_is_missed_once(session, receiver):
    begun = datetime.now(UTC)
    run = folder.create("live", begun, session.root)
    record = folder.first_record(run, begun, mode="sim", params_hash="h", session_id="main")
    run.write_record(record)
    watched = session.watched()
    session.clock.now = time.time()
    watched.look()
    assert receiver.heard == []
    session.clock.now += 61
    watched.look(supervised=True)
    assert receiver.heard == []
    for _ in range(2):
        watched.look()
    run.write_record(record | {"process_started": 1.0})  # somebody else has its number by now
    watched.look()
    assert len(receiver.heard) == 1
    assert "No sign of life from the session for 6" in receiver.heard[0]


names = st.sampled_from(["1:json", "2:mailto"])
topics = st.sampled_from(["died", "naked", "wallet"])


@given(st.lists(st.one_of(topics, names, st.floats(1.0, 4_000.0)), max_size=40))
def test_whatever_fails_and_restarts_every_line_reaches_every_address_once(steps):
    """A step is a trouble, an address that fails until the next step, or time that passes."""
    both, book, now, heard, arrived = ["1:json", "2:mailto"], Book(), 0.0, [], {"1:json": [], "2:mailto": []}

    def send(failing=None):
        for name in both:
            if lines := book.to_send(name, now):
                words = [due.words for due in lines]
                book.failed_at(name, now) if name == failing else book.sent_to(name, lines, now)
                arrived[name] += [] if name == failing else words

    for number, step in enumerate(steps):
        if isinstance(step, float):
            now += step
        elif step in both:
            send(failing=step)
        elif book.hear(Alarm(step, f"{step} {number}"), both, now, 3_600.0):
            heard.append((step, now))
        book = Book.read(json.loads(json.dumps(book.plain())))  # a restart
        assert book.dismiss(both, now) == [] or now > USELESS_S
    now += 700
    send()
    assert arrived["1:json"] == arrived["2:mailto"]
    assert len(arrived["1:json"]) == len(set(arrived["1:json"])) == len(heard)
    for topic in ("died", "naked", "wallet"):
        times = [at for of, at in heard if of == topic]
        assert all(b - a >= 3_600.0 for a, b in pairwise(times))


def test_what_is_a_day_old_or_for_nobody_is_let_go_of():
    book = Book()
    book.hear(Alarm("a", "first"), ["1:json", "gone"], 0.0, 1.0)
    book.dismiss(["1:json"], 1.0)
    assert [due.to for due in book.due] == [["1:json"]]
    assert [due.words for due in book.dismiss(["1:json"], USELESS_S + 1)] == ["first"]
    assert book.due == []


def test_a_flood_is_one_message_that_says_what_it_left_out():
    book = Book()
    for number in range(MOST_LINES + 5):
        book.hear(Alarm(str(number), f"trouble {number}"), ["1:json"], 0.0, 1.0)
    lines = message(book.to_send("1:json", 0.0)).splitlines()
    assert len(lines) == MOST_LINES + 1
    assert "(5 older ones" in lines[0]


def test_the_test_command_says_whether_it_arrived_and_shows_no_address(receiver):
    done = CliRunner().invoke(app, ["alerts", "test", "--json"])
    assert (done.exit_code, receiver.heard) == (0, ["This is a test: alerts arrive here."])
    assert json.loads(done.stdout)["addresses"][0]["address"] == "1:json"
    receiver.deaf = True
    failed = CliRunner().invoke(app, ["alerts", "test"])
    assert failed.exit_code == 1
    assert CANARY not in done.output + failed.output


def test_addresses_that_are_none_or_that_others_may_read_are_refused_unseen(tmp_path, monkeypatch):
    file = tmp_path / "urls"
    file.write_text(f"# mine\njson://127.0.0.1:1/{CANARY}\n\n")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        addresses({"QT_ALERT_URLS_FILE": str(file)})
    file.chmod(0o600)
    (found,) = addresses({"QT_ALERT_URLS_FILE": str(file)})
    assert CANARY not in repr(found)
    with pytest.raises(SettingsError, match="address 2 is none") as why:
        addresses({"QT_ALERT_URLS": f"json://127.0.0.1:1 nosuch://{CANARY}"})
    assert CANARY not in str(why.value)
    with pytest.raises(SettingsError, match="can't be read"):
        addresses({"QT_ALERT_URLS_FILE": str(tmp_path / "nowhere")})
    monkeypatch.delenv("QT_ALERT_URLS", raising=False)
    assert isinstance(CliRunner().invoke(app, ["alerts", "test"]).exception, SettingsError)
    assert addresses({k: v for k, v in os.environ.items() if not k.startswith("QT_ALERT")}) == ()
