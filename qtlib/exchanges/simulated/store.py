"""Where the venue keeps what it is: in memory, or in one SQLite file that outlives the process.

Each call of the venue ends in one `keep`: the clock, the book if it changed, and the events that were told, in one
transaction. Whoever is killed, at whatever instant, finds the state before that call or after it, never between.
The file belongs to one process at a time, and is locked for as long as that lives.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import msgspec

from qtlib.domain.events import START, CashMoved, Event, Filled, FundingPaid, OrderChanged
from qtlib.exchanges.port import ExchangeError, Unavailable, Untrusted
from qtlib.exchanges.simulated.book import Book, Quote
from qtlib.exchanges.simulated.conduct import Conduct

SCHEMA = 1

_TOLD: dict[str, type] = {kind.__name__: kind for kind in (CashMoved, OrderChanged, Filled, FundingPaid)}
_TAIL = 4096  # events kept in memory beside the file; what is older is read from it

_TABLES = """
CREATE TABLE IF NOT EXISTS venue (id INTEGER PRIMARY KEY CHECK (id = 1), schema INTEGER, conduct TEXT);
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB);
CREATE TABLE IF NOT EXISTS book (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, ts INTEGER, client_id TEXT, kind TEXT, body BLOB);
CREATE INDEX IF NOT EXISTS events_ts ON events (ts);
CREATE INDEX IF NOT EXISTS events_client_id ON events (client_id);
"""


@dataclass(slots=True)
class Clock:
    """What changes with every step."""

    now: datetime = START
    quotes: dict[str, Quote] = field(default_factory=dict)


class NoRoom(Unavailable):
    """The venue's disk is full: what was asked has not happened. A person makes room."""


class Store(Protocol):
    """What the venue asks of the place it is kept in."""

    durable: bool

    def load(self, conduct: Conduct) -> tuple[Clock, Book] | None:
        """The venue as it was last kept, or None if this is its first day."""

    def keep(self, clock: Clock, book: Book | None, events: Sequence[Event]) -> None:
        """All of it or nothing. `book` is None if it is as it was."""

    def since(self, ts: datetime) -> Sequence[Event]:
        """The events at or after `ts`, oldest first."""

    def of(self, client_id: str) -> Sequence[Event]:
        """The events of one order, oldest first; none: the name was never used."""

    def close(self) -> None:
        """Let go of whatever is held open."""


def order_of(event: Event) -> str | None:
    """The client id of the order that `event` is about, if it is about one."""
    if isinstance(event, Filled):
        return event.fill.client_id
    return event.client_id if isinstance(event, OrderChanged) else None


class Memory:
    """Kept as long as the process lives; the venue's own objects are the state."""

    durable = False

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._by_order: dict[str, list[Event]] = {}

    def load(self, conduct: Conduct) -> tuple[Clock, Book] | None:
        return None

    def keep(self, clock: Clock, book: Book | None, events: Sequence[Event]) -> None:
        self._events += events
        for event in events:
            if client_id := order_of(event):
                self._by_order.setdefault(client_id, []).append(event)

    def since(self, ts: datetime) -> Sequence[Event]:
        return _tail(self._events, ts)

    def of(self, client_id: str) -> Sequence[Event]:
        return self._by_order.get(client_id, ())

    def close(self) -> None:
        pass


class Disk:
    """Kept in an SQLite file."""

    durable = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None, timeout=0.2)
        try:
            # one process only: the lock comes with the first write and goes with the process, however that ends
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # survives a kill; a power cut may cost the last calls
            self._db.executescript(_TABLES)
            self._db.execute("INSERT OR IGNORE INTO venue VALUES (1, ?, NULL)", (SCHEMA,))
        except sqlite3.Error as failed:
            raise _in_words(path, failed) from failed
        schema = self._one("SELECT schema FROM venue")
        if schema != SCHEMA:
            raise Untrusted(f"{path} has schema {schema}, this program reads {SCHEMA}; use the program that wrote it")
        self._encoder = msgspec.json.Encoder()
        self._tail: list[Event] = []
        self._tail_from: datetime | None = None  # the tail is complete from here on; None: nothing was left out

    def load(self, conduct: Conduct) -> tuple[Clock, Book] | None:
        recorded = self._one("SELECT conduct FROM venue")
        if recorded is None:
            self._db.execute("UPDATE venue SET conduct = ?", (self._encoder.encode(conduct).decode(),))
        elif changed := _differences(msgspec.json.decode(recorded), msgspec.to_builtins(conduct)):
            raise ValueError(f"{self._path} was recorded with another conduct: {changed}; keep it, or start a new file")
        body = self._one("SELECT body FROM book")
        if body is None:
            return None
        self._tail, self._tail_from = [], None
        newest = self._read("ORDER BY number DESC LIMIT ?", _TAIL)
        self._remember(newest[::-1], complete=len(newest) < _TAIL)
        clock = msgspec.json.decode(self._one("SELECT body FROM clock"), type=Clock)
        return clock, msgspec.json.decode(body, type=Book)

    def keep(self, clock: Clock, book: Book | None, events: Sequence[Event]) -> None:
        try:
            now = self._encoder.encode(clock)
            if book is None and not events:
                self._db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?)", (now,))
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?)", (now,))
            if book is not None:
                self._db.execute("INSERT OR REPLACE INTO book VALUES (1, ?)", (self._encoder.encode(book),))
            rows = [(_micros(e.ts), order_of(e), type(e).__name__, self._encoder.encode(e)) for e in events]
            self._db.executemany("INSERT INTO events (ts, client_id, kind, body) VALUES (?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as failed:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _in_words(self._path, failed) from failed
        self._remember(events)

    def since(self, ts: datetime) -> Sequence[Event]:
        if self._tail_from is not None and ts <= self._tail_from:
            return self._read("WHERE ts >= ? ORDER BY number", _micros(ts))
        return _tail(self._tail, ts)

    def of(self, client_id: str) -> Sequence[Event]:
        return self._read("WHERE client_id = ? ORDER BY number", client_id)

    def close(self) -> None:
        self._db.close()

    def _remember(self, events: Sequence[Event], complete: bool = True) -> None:
        self._tail += events
        if len(self._tail) > 2 * _TAIL:
            del self._tail[:-_TAIL]
            complete = False
        if not complete:
            self._tail_from = self._tail[0].ts

    def _read(self, where: str, *args: object) -> list[Event]:
        rows = self._db.execute(f"SELECT kind, body FROM events {where}", args)
        return [msgspec.json.decode(body, type=_TOLD[kind]) for kind, body in rows]

    def _one(self, query: str) -> Any:
        row = self._db.execute(query).fetchone()
        return row[0] if row else None


def _tail(events: Sequence[Event], ts: datetime) -> Sequence[Event]:
    """Those of `events` that are not before `ts`: mostly none, or the last few."""
    if not events or events[-1].ts < ts:
        return ()
    first = len(events) - 1
    while first and events[first - 1].ts >= ts:
        first -= 1
    return events[first:]


def _in_words(path: Path, failed: sqlite3.Error) -> ExchangeError:
    name = getattr(failed, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Untrusted(f"{path} is held by another process ({failed}): end that one first. Nothing was changed")
    if name.startswith("SQLITE_FULL"):
        return NoRoom(f"the disk of {path} is full: make room and start again. Nothing has happened at the venue")
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return Untrusted(
            f"{path} is damaged, or no simulated venue's file ({failed}): restore it from a backup, or begin anew with "
            "another session.account. Nothing was changed"
        )
    return Unavailable(f"{path} could not be opened or written ({failed}): see to its folder. Nothing has happened")


def _micros(ts: datetime) -> int:
    whole = ts - START
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds


def _differences(recorded: dict[str, object], asked: dict[str, object]) -> str:
    names = sorted(set(chain(recorded, asked)))
    return ", ".join(
        f"{name} {recorded.get(name)!r} there, {asked.get(name)!r} asked"
        for name in names
        if recorded.get(name) != asked.get(name)
    )
