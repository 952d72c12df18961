"""Journals to test: each promise is tested on all of them. One server serves all tests that need PostgreSQL."""

from itertools import count

import pytest
from postgres import postgres_server

from qtlib.journal import Journal, MemoryJournal

ACCOUNTS = count(1)


@pytest.fixture(scope="session")
def postgres_url():
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def durable(request, tmp_path):
    """Opens the same journal, as often as it is called: `durable()`; everything else is passed on."""
    if request.param == "sqlite":
        url, account = tmp_path / "journal.db", "main"
    else:
        url, account = request.getfixturevalue("postgres_url"), f"account-{next(ACCOUNTS)}"
    opened = []

    def open_journal(account=account, **more):
        opened.append(Journal(url, account, **more))
        return opened[-1]

    open_journal.url, open_journal.account = url, account
    yield open_journal
    for journal in opened:
        journal.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def fresh(request, tmp_path):
    """Makes an empty journal, another one each time it is called."""
    opened = []

    def make(**more):
        match request.param:
            case "memory":
                journal = MemoryJournal(**more)
            case "sqlite":
                journal = Journal(tmp_path / "journal.db", f"account-{next(ACCOUNTS)}", **more)
            case _:
                journal = Journal(request.getfixturevalue("postgres_url"), f"account-{next(ACCOUNTS)}", **more)
        opened.append(journal)
        return journal

    yield make
    for journal in opened:
        journal.close()


@pytest.fixture
def journal(fresh):
    return fresh()
