"""A venue outlives its process: killed at any instant, it stands where it stood before a call or after it."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from copy import deepcopy
from decimal import Decimal
from pathlib import Path

import pytest
from a_venue import LISTED, a_conduct, a_step, a_venue, buy, by_mark, fills, live, sell, submit
from builders import T0

from qtlib.domain.events import START
from qtlib.domain.orders import OrderType
from qtlib.exchanges.port import Unavailable, Untrusted
from qtlib.exchanges.simulated import SimulatedExchange

HERE = Path(__file__).parent
TRAILING = OrderType.TRAILING_STOP_MARKET


def everything(venue):
    return deepcopy((venue.snapshot(), venue.events(START), venue.view.book, venue.view.quotes))


def test_a_venue_opened_again_is_the_venue_that_was_closed(tmp_path):
    path = tmp_path / "venue.sqlite"
    venue = a_venue(store=path, slippage_noise_frac=0.0002)
    submit(venue, buy("a", 3), sell("stop", 3, trigger=95, reduce_only=True), buy("limit", 1, price=97))
    submit(venue, by_mark(sell("net", 0, trigger=90, close_position=True)))
    submit(venue, sell("trail", 1, type=TRAILING, callback_frac=Decimal("0.05"), reduce_only=True))
    venue.set_leverage("BTCUSDT", 7)
    venue.set_margin_mode("ETHUSDT", "cross")
    venue.move_margin("BTCUSDT", Decimal(5))
    venue.amend("limit", Decimal(2), Decimal(96))
    venue.advance(a_step(1, 100, 103, 99, 102, mark=(100, 102, 99, 101), funding=0.0001, nexts=102.5))
    before = everything(venue)
    venue.close()
    again = SimulatedExchange(LISTED, Decimal(1), a_conduct(slippage_noise_frac=0.0002), path)
    assert everything(again) == before
    assert (again.now, again.leverage("BTCUSDT"), again.fallbacks) == (venue.now, 7, venue.fallbacks)
    assert (again.crossed("ETHUSDT"), again.crossed("BTCUSDT")) == (True, False)
    assert again.snapshot().orders["limit"].price == 96


def test_memory_and_disk_live_the_same_life(tmp_path):
    memory, disk = a_venue(), a_venue(store=tmp_path / "venue.sqlite")
    for venue in (memory, disk):
        live(venue, 40)
    assert everything(memory) == everything(disk)


def test_a_venue_reopened_between_all_calls_lives_the_same_life(tmp_path):
    undisturbed, path = a_venue(), tmp_path / "venue.sqlite"
    live(undisturbed, 15)
    for hours in range(16):
        venue = a_venue(store=path)
        live(venue, hours)
        venue.close()
    assert everything(a_venue(store=path)) == everything(undisturbed)


def test_names_stay_used_over_a_restart(tmp_path):
    venue = a_venue(store=tmp_path / "v")
    first = submit(venue, buy("a"))
    venue.close()
    again = a_venue(store=tmp_path / "v")
    assert submit(again, buy("a")) == first
    assert len(fills(again)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_instants_it_resumes_as_if_undisturbed(tmp_path, seed):
    hours, path, dice = 400, tmp_path / "venue.sqlite", random.Random(seed)
    undisturbed = a_venue()
    live(undisturbed, hours)
    script = f"""if True:
        from pathlib import Path
        from a_venue import a_venue, live
        venue = a_venue(store=Path({str(path)!r}))
        print("open", flush=True)
        live(venue, {hours})
    """
    kills = 0
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parent), str(HERE.parents[1])))}
    while True:
        process = subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.06))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0 or kills == 6:
            break
        kills += 1
    process.stdout.close()
    assert kills
    survivor = a_venue(store=path)
    live(survivor, hours)
    assert everything(survivor) == everything(undisturbed)


def test_another_conduct_is_refused_by_name(tmp_path):
    a_venue(store=tmp_path / "v").close()
    with pytest.raises(ValueError, match=r"another conduct: leverage 5 there, 9 asked, touch_fills False there, True"):
        a_venue(store=tmp_path / "v", touch_fills=True, leverage=9)


def test_a_symbol_with_a_position_cannot_be_left_out(tmp_path):
    venue = a_venue(store=tmp_path / "v")
    submit(venue, buy("a"))
    venue.close()
    with pytest.raises(ValueError, match="still has positions or orders in BTCUSDT"):
        a_venue(store=tmp_path / "v", instruments={})


def test_one_venue_holds_a_file(tmp_path):
    holder = a_venue(store=tmp_path / "v")
    with pytest.raises(Untrusted, match="is held by another process"):
        a_venue(store=tmp_path / "v")
    holder.close()
    a_venue(store=tmp_path / "v")


def test_a_file_that_is_something_else_is_refused(tmp_path):
    (tmp_path / "notes").write_text("dear diary, " * 100)
    with pytest.raises(Untrusted, match="no simulated venue's file"):
        a_venue(store=tmp_path / "notes")
    a_venue(store=tmp_path / "v").close()
    with sqlite3.connect(tmp_path / "v") as db:
        db.execute("UPDATE venue SET schema = 99")
    db.close()
    with pytest.raises(Untrusted, match="schema 99"):
        a_venue(store=tmp_path / "v")


def test_what_could_not_be_written_did_not_happen(tmp_path):
    venue = a_venue(store=tmp_path / "v")
    submit(venue, buy("a"))
    before = everything(venue)
    pages = venue._store._db.execute("PRAGMA page_count").fetchone()[0]
    venue._store._db.execute(f"PRAGMA max_page_count = {pages}")  # as a full disk would have it
    with pytest.raises(Unavailable, match="is full: make room and start again"):
        submit(venue, *(buy(f"b{n}", price=95) for n in range(200)))
    assert everything(venue) == before
    venue._store._db.execute("PRAGMA max_page_count = 100000")
    submit(venue, buy("b"))
    assert [f.client_id for f in fills(venue)] == ["a", "b"]


def test_events_older_than_memory_are_read_from_the_file(tmp_path):
    venue = a_venue(store=tmp_path / "v")
    for n in range(1, 130):
        submit(venue, *(buy(f"x{n}-{k}", symbol="NOPE") for k in range(80)))
        venue.advance(a_step(n, 100))
    assert len(venue.events(START)) == 1 + 129 * 80
    assert len(venue.events(venue.now)) == 0
    assert len(venue._store._tail) <= 8192
    venue.close()
    again = a_venue(store=tmp_path / "v")
    assert len(again.events(START)) == 1 + 129 * 80
    assert len(again.events(again.now - (a_step(5, 1).ts - T0))) == 5 * 80
