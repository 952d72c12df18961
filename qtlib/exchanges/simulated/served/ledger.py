"""The names under which clients know their orders, on paper: what the engine, which has names of its own, forgets.

A client's name may be used again once its order is final; the engine takes a name once. So each order has a number,
which is its name at the engine and its `orderId`. The number is written down before the engine hears of the order: a
number of which the engine has no word belongs to an order that never came to be.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from qtlib.domain.orders import OrderIntent
from qtlib.exchanges.port import Unavailable, Untrusted

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY, client_id TEXT, born BLOB, intent BLOB);
CREATE TABLE IF NOT EXISTS triggers (number INTEGER PRIMARY KEY, fired BLOB);
CREATE TABLE IF NOT EXISTS margins (number INTEGER PRIMARY KEY, ts BLOB, symbol TEXT, amount TEXT);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One order as it was asked for; the client id of `intent` is the engine's name for it."""

    number: int
    client_id: str  # the client's name for it
    born: datetime
    intent: OrderIntent
    fired: datetime | None = None  # when its trigger was seen to have fired


class Ledger:
    """Entries in an SQLite file, or, without `path`, in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=0.2)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # one process only, as the engine's own file
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_TABLES)
        except sqlite3.Error as failed:
            raise Untrusted(
                f"{path} could not be read ({failed}): end the process that holds it, or restore it"
            ) from failed

    def entries(self) -> Iterator[Entry]:
        """All that is written down, in the order of arrival."""
        rows = self._db.execute(
            "SELECT number, client_id, born, intent, fired FROM orders"
            " LEFT JOIN triggers USING (number) ORDER BY number"
        )
        for number, client_id, born, intent, fired in rows.fetchall():
            yield Entry(
                number,
                client_id,
                msgspec.json.decode(born, type=datetime),
                msgspec.json.decode(intent, type=OrderIntent),
                msgspec.json.decode(fired, type=datetime) if fired else None,
            )

    def next_number(self) -> int:
        highest = self._db.execute("SELECT MAX(number) FROM orders").fetchone()[0]
        return (highest or 0) + 1

    def write(self, entry: Entry) -> None:
        row = (entry.number, entry.client_id, msgspec.json.encode(entry.born), msgspec.json.encode(entry.intent))
        self._do("INSERT INTO orders VALUES (?, ?, ?, ?)", *row)

    def amend(self, number: int, intent: OrderIntent) -> None:
        """Order `number` is asked for as `intent` from now on."""
        self._do("UPDATE orders SET intent = ? WHERE number = ?", msgspec.json.encode(intent), number)

    def strike(self, number: int) -> None:
        """Forget an order that never came to be."""
        self._do("DELETE FROM orders WHERE number = ?", number)

    def fired(self, number: int, ts: datetime) -> None:
        self._do("INSERT OR IGNORE INTO triggers VALUES (?, ?)", number, msgspec.json.encode(ts))

    def moved_margin(self, ts: datetime, symbol: str, amount: Decimal) -> None:
        row = (msgspec.json.encode(ts), symbol, str(amount))
        self._do("INSERT INTO margins (ts, symbol, amount) VALUES (?, ?, ?)", *row)

    def margins_moved(self, symbol: str) -> Iterator[tuple[datetime, Decimal]]:
        """When, and by how much, what backs the position in `symbol` was changed by hand; oldest first."""
        rows = self._db.execute("SELECT ts, amount FROM margins WHERE symbol = ? ORDER BY number", (symbol,))
        return ((msgspec.json.decode(ts, type=datetime), Decimal(amount)) for ts, amount in rows.fetchall())

    def note(self, name: str, value: str) -> None:
        """Keep a small fact under `name`."""
        self._do("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, value)

    def noted(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        self._db.close()

    def _do(self, words: str, *values: object) -> None:
        try:
            self._db.execute(words, values)
        except sqlite3.Error as failed:
            raise Unavailable(f"{self._path} could not be written ({failed}): nothing has happened") from failed
