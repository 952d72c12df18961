"""The venue beside a session: it outlives its own death and a trader's, and never whoever started it."""

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys

import psutil
import pytest
from builders import a_state
from patience import until

from qtlib.engine.feeds import lived, replay
from qtlib.engine.session import insist_on_market, session
from qtlib.exchanges.port import Untrusted
from qtlib.exchanges.simulated.served.ledger import Ledger
from qtlib.journal import MemoryJournal
from qtlib.params import SettingsError, resolve
from qtlib.runs import wiring
from qtlib.runs.record.folder import venue_location
from qtlib.runs.session import exchange, venue
from qtlib.runs.session.venue import VenueProcess, opened

SETTINGS = ["data.bars=600", "universe.symbols=BTCUSDT"]
PARAMS = resolve(overrides=SETTINGS).params


def ask(url, method, path):
    door = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        door.request(method, path)
        return json.loads(door.getresponse().read())
    finally:
        door.close()


@pytest.fixture
def process(tmp_path):
    process = VenueProcess(PARAMS, tmp_path)
    process.start()
    yield process
    process.end()


def test_a_killed_venue_is_there_again_at_its_address_with_all_it_knew(process):
    url = process.wait_until_ready()
    there = ask(url, "POST", "/sim/step?bars=3")
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not process.alive())
    process.start()
    assert process.wait_until_ready() == url
    assert ask(url, "GET", "/sim")["now"] == there["now"]


def test_a_venue_that_was_ended_lets_go_of_its_file_and_leaves_no_process(process, tmp_path):
    process.wait_until_ready()
    pid = process.pid
    process.end()
    assert not psutil.pid_exists(pid)
    with sqlite3.connect(venue_location("main", tmp_path), timeout=0) as db:
        db.execute("BEGIN IMMEDIATE")
    db.close()


def test_a_venue_ends_with_whoever_started_it_however_that_ended(tmp_path):
    code = f"from qtlib.params import resolve; from qtlib.runs.session.venue import opened; import pathlib, time\
; print(opened(resolve(overrides={SETTINGS}).params, pathlib.Path({str(tmp_path)!r})), flush=True); time.sleep(60)"
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    url = starter.stdout.readline().strip()
    [child] = psutil.Process(starter.pid).children()
    assert ask(url, "GET", "/fapi/v1/ping") == {}
    starter.kill()
    starter.communicate()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_notebook_has_the_venue_that_it_is_told_of_or_one_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_VENUE_URL", "http://127.0.0.1:1")
    assert opened(PARAMS, tmp_path) == "http://127.0.0.1:1"
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("QT_VENUE_URL")
    mine = opened(PARAMS, tmp_path)
    assert opened(PARAMS, tmp_path) == mine  # the cell was run again
    assert ask(mine, "GET", "/fapi/v1/ping") == {}
    venue._started[venue_location("main", tmp_path)].end()


def test_settings_come_to_the_venue_as_the_session_has_them_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_SYMBOLS", "ETHUSDT")
    process = VenueProcess(PARAMS, tmp_path)
    process.start()
    url = process.wait_until_ready()
    told = ask(url, "GET", "/fapi/v1/exchangeInfo")
    process.end()
    assert {row["symbol"] for row in told["symbols"]} == {"BTCUSDT"}


def test_an_account_that_was_lived_through_in_process_is_refused_in_words_and_left_as_it_was(tmp_path):
    store = venue_location("main", tmp_path)
    market, listed = wiring.market(PARAMS), wiring.instruments(PARAMS)
    engine = wiring.venue(PARAMS, listed, store)
    feed = lived(engine, replay(market, wiring.strategy(PARAMS)))
    session(feed, wiring.rules(PARAMS, listed), engine, MemoryJournal(), max_bars=200)
    before = engine.account
    engine.close()

    process = VenueProcess(PARAMS, tmp_path)
    process.start()
    with pytest.raises(SettingsError, match=r"the venue did not open: .+"):
        process.wait_until_ready()
    again = wiring.venue(PARAMS, listed, store)
    assert again.account == before
    again.close()


def test_an_account_of_the_first_simulated_market_is_refused_in_words_and_left_as_it_was(tmp_path):
    store = tmp_path / "venue.sqlite"
    desk, _ = exchange.opened(PARAMS, store)
    lived_then, begun = desk.engine.account, "simulated market (seed 7, edge 3), bars of 1h, BTCUSDT"
    desk.ledger.note("market", begun)  # as the first edition of the market had it
    desk.engine.close()
    desk.ledger.close()
    for _ in range(2):  # it stays refused
        with pytest.raises(SettingsError, match=r"was begun in the simulated market \(seed 7, edge 3\).*account=NAME"):
            exchange.opened(PARAMS, store)
    left = Ledger(store.with_name(store.name + ".orders"))
    assert left.noted("market") == begun
    left.close()
    engine = wiring.venue(PARAMS, wiring.instruments(PARAMS), store)
    assert engine.account == lived_then
    engine.close()


def test_a_journal_of_the_first_simulated_market_is_not_gone_on_with():
    first = "the simulated market of 1h bars with seed 7 and edge 3"
    with pytest.raises(Untrusted, match=r"prices of the simulated market of 1h bars.*second edition.*account=NAME"):
        insist_on_market(a_state(market=first), wiring.prices_of(PARAMS))
    insist_on_market(a_state(market=wiring.prices_of(PARAMS)), wiring.prices_of(PARAMS))
