"""What is wrong with a journal's database is said in a sentence, with the next step, and makes nothing worse."""

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
from builders import T0
from postgres import absent
from stories import a_long_story, decided

from qtlib.domain.state import State
from qtlib.journal import Corrupt, Journal, JournalError, Locked, Unreachable, Unwritable


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        absent("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_said_and_the_journal_stays_whole(small_disk):
    journal = Journal(small_disk / "journal.db")
    state, story = State(), a_long_story(100_000)
    written = []

    def tell():
        nonlocal state
        for event in story:
            state = journal.absorb(state, [event], synced=len(written) % 7 == 0)
            written.append(event)

    with pytest.raises(Unwritable, match="is full: make room and start again"):
        tell()
    journal.close()
    assert len(written) > 50
    with Journal(small_disk / "journal.db") as journal:
        assert [event for _, event in journal.events()] == written
        assert journal.state() == state


def test_after_making_room_it_goes_on_where_it_was(small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * 1024))
    journal = Journal(small_disk / "journal.db")
    state, story = State(), list(a_long_story(130))
    for event in story:
        try:
            state = journal.absorb(state, [event])
        except Unwritable:
            ballast.unlink()
            state = journal.absorb(state, [event])
    assert not ballast.exists()
    assert [event for _, event in journal.events()] == story
    assert journal.state() == state
    journal.close()


def test_a_locked_database_is_waited_for_and_then_said_and_by_whom(path):
    journal = Journal(path, patience_s=0.05)
    journal.lease("live-a1b2")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for synced in (False, True):
        with pytest.raises(Locked, match=rf"stayed locked for 0\.05 s.*'live-a1b2', process {os.getpid()}"):
            journal.absorb(State(), [decided(T0)], synced=synced)
    other.execute("ROLLBACK")
    assert journal.absorb(State(), [decided(T0)]).decided == T0
    assert [event for _, event in journal.events()] == [decided(T0)]
    other.close()
    journal.close()


def test_a_file_that_is_no_database_is_left_alone(path):
    path.write_text("symbol,price\n" * 1000)
    with pytest.raises(Corrupt, match=r"journal\.db is damaged, or no journal"):
        Journal(path)
    assert path.read_text() == "symbol,price\n" * 1000


def test_a_damaged_file_is_said(path):
    with Journal(path) as journal:
        journal.absorb(State(), a_long_story(500))
    damaged = bytearray(path.read_bytes())
    damaged[8192 : len(damaged) - 4096] = os.urandom(len(damaged) - 12288)
    path.write_bytes(damaged)
    with pytest.raises(Corrupt, match="restore it from a backup"), Journal(path) as journal:
        journal.state()


def test_a_folder_that_cannot_be_made_is_said(path):
    path.write_text("a file")
    with pytest.raises(Unwritable, match="folder can't be made"):
        Journal(path / "deeper" / "journal.db")


def test_a_database_that_may_only_be_read_is_said(path):
    Journal(path).close()
    with pytest.raises(Unwritable, match="can't be written"), Journal(f"sqlite:///file:{path}?mode=ro&uri=true") as j:
        j.absorb(State(), [decided(T0)])


def test_a_server_that_does_not_answer_is_said_without_its_password():
    with pytest.raises(Unreachable, match="does not answer") as refused:
        Journal("postgresql://qt:secret@127.0.0.1:1/journal")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["mysql://localhost/journal", "nonsense://x"])
def test_a_database_we_do_not_speak_to_is_refused(url):
    with pytest.raises(JournalError, match="a journal can't live in"):
        Journal(url)


def test_a_file_is_named_by_path_text_or_url(path):
    for name in (path, str(path), f"sqlite:///{path}"):
        with Journal(name) as journal:
            journal.absorb(journal.state(), [decided(T0)])
    with Journal(path) as journal:
        assert len(list(journal.events())) == 1


def test_every_error_of_a_journal_can_be_caught_as_one(path):
    path.write_text("x" * 5000)
    with pytest.raises(JournalError):
        Journal(path)


def test_its_folder_is_made(tmp_path):
    Journal(tmp_path / "runs" / "journal" / "main.db").close()
    assert Path(tmp_path / "runs" / "journal" / "main.db").exists()
