"""One connection to a journal's database, SQLite or PostgreSQL, and everything in which the two differ.

* What `transaction` wrote survives the death of this process as soon as it returns; with `synced`, that of the
  machine too.
* The driver's errors leave here as the journal's own, in sentences.
* The connection commits by itself, statement by statement, and `transaction` begins and ends in so many words.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import URL, CursorResult, Executable, Table, create_engine, inspect, make_url
from sqlalchemy import text as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from qtlib.journal.errors import Corrupt, Fenced, JournalError, Locked, NewerSchema, Unreachable, Unwritable
from qtlib.journal.schema import HEAD, METADATA, VERSION_TABLE

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words of one kind of database."""

    connect: tuple[str, ...]  # said once per connection, with our patience filled in
    reading: tuple[str, ...]  # said after these, where nothing may be written
    begin: tuple[str, ...]
    begin_synced: tuple[str, ...]
    commit: tuple[str, ...]
    commit_synced: tuple[str, ...]
    undo: tuple[str, ...]
    migrate: tuple[str, ...]  # said first in a migration's transaction: one at a time
    insert: Callable[[Table], Any]  # the one that knows what to do about conflicts
    options: Mapping[str, Any]


SQLITE = Dialect(
    connect=(
        "PRAGMA busy_timeout = {patience_ms}",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = NORMAL",
        "PRAGMA wal_autocheckpoint = 16000",  # pages, 64 MB: every checkpoint waits for the disk
    ),
    reading=("PRAGMA query_only = ON",),
    begin=("BEGIN IMMEDIATE",),
    begin_synced=("PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"),
    commit=("COMMIT",),
    commit_synced=("COMMIT", "PRAGMA synchronous = NORMAL"),
    undo=("ROLLBACK", "PRAGMA synchronous = NORMAL"),
    insert=sqlite.insert,
    migrate=(),
    options={"paramstyle": "named"},
)
POSTGRES = Dialect(
    connect=("SET synchronous_commit TO off", "SET lock_timeout TO {patience_ms}"),
    reading=("SET default_transaction_read_only TO on",),
    begin=("BEGIN",),
    begin_synced=("BEGIN", "SET LOCAL synchronous_commit TO on"),
    commit=("COMMIT",),
    commit_synced=("COMMIT",),
    undo=("ROLLBACK",),
    insert=postgresql.insert,
    migrate=("SELECT pg_advisory_xact_lock(hashtext('qtlib.journal'))",),
    options={"connect_args": {"connect_timeout": 10}},
)


class Database:
    """A journal's database, at the schema that this qtlib knows; made or migrated on opening."""

    def __init__(self, url: str | Path, patience_s: float, reading: bool = False):
        self._patience_s, self._reading = patience_s, reading
        self.url = _url(url)
        self.where = self.url.database if self._is_sqlite else self.url.render_as_string(hide_password=True)
        self._words = SQLITE if self._is_sqlite else POSTGRES
        with self.spoken():
            self._open()
        try:
            self._bring_up_to_date()
        except BaseException:
            self.close()
            raise

    def run(self, statement: Executable, **parameters: Any) -> "CursorResult[*tuple[Any, ...]]":
        """Execute a statement of SQLAlchemy's, which commits by itself unless in a transaction."""
        with self.spoken():
            return self._connection.execute(statement, parameters)

    def text(self, statement: Any) -> str:
        """`statement` as the driver takes it, with named parameters: compiled once, executed often by `cursor`."""
        return str(statement.compile(dialect=self._engine.dialect))

    @property
    def insert(self) -> Callable[[Table], Any]:
        return self._words.insert

    @contextmanager
    def transaction(self, synced: bool = False) -> Iterator[None]:
        """All of it or nothing; on the platter before returning if `synced`."""
        words, say = self._words, self.cursor.execute
        try:
            for word in words.begin_synced if synced else words.begin:
                say(word)
            yield
            for word in words.commit_synced if synced else words.commit:
                say(word)
        except Exception as error:
            self._undo()
            self.tell(error)
        except BaseException:
            self._undo()
            raise

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """Errors of the driver and of SQLAlchemy become the journal's."""
        try:
            yield
        except Exception as error:
            self.tell(error)

    def tell(self, error: Exception) -> NoReturn:
        """Raise `error`, as the journal's own where it is one of the database's."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        name = getattr(cause, "sqlite_errorname", None)
        if cause is not None and name is not None:
            raise self._from_sqlite(name, cause) from error
        if cause is not None and type(cause).__module__.startswith("psycopg"):
            raise self._from_postgres(getattr(cause, "sqlstate", None) or "", cause) from error
        raise error

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    @property
    def _is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def _open(self) -> None:
        if self._is_sqlite and not self.url.query:  # with one it is SQLite's own kind of name, not a path
            try:
                Path(str(self.url.database)).parent.mkdir(parents=True, exist_ok=True)
            except OSError as why:
                raise Unwritable(f"{self.where}: its folder can't be made ({why.strerror}): choose another") from why
        try:
            self._engine = create_engine(self.url, isolation_level="AUTOCOMMIT", **self._words.options)
        except ModuleNotFoundError as why:
            raise Unreachable(f"{self.where} needs the package {why.name}: install qtlib[postgres]") from why

        self._connection = self._engine.connect()
        driver = self._connection.connection.driver_connection
        assert driver is not None
        self.cursor: Any = driver.cursor()
        for word in (*self._words.connect, *(self._words.reading if self._reading else ())):
            self.cursor.execute(word.format(patience_ms=round(self._patience_s * 1000)))

    def _undo(self) -> None:
        for word in self._words.undo:
            try:
                self.cursor.execute(word)
            except Exception as why:  # it has rolled back by itself already; the first error is the one to tell
                log.debug("%s: %s: %s", self.where, word, why)

    def _bring_up_to_date(self) -> None:
        version = self._version()
        if version < HEAD and self._reading:
            raise JournalError(f"{self.where} is schema {version}, this qtlib writes {HEAD}: begin a session first")
        if version < HEAD:
            # cold start: 90 ms of imports that most starts do without
            from qtlib.journal.migrate import upgrade  # noqa: PLC0415

            with self.transaction(synced=True):
                for word in self._words.migrate:
                    self.cursor.execute(word)
                if self._version() < HEAD:  # nobody else did it while we waited
                    upgrade(self._connection)

    def _version(self) -> int:
        """The schema on disk: 0 for an empty database, at most `HEAD`."""
        with self.spoken():
            tables = set(inspect(self._connection).get_table_names())
            if VERSION_TABLE not in tables:
                foreign = sorted(tables & METADATA.tables.keys())
                if foreign:
                    raise Corrupt(
                        f"{self.where} has a table {foreign[0]!r} but no schema version: it is not a journal of "
                        "qtlib; choose another database. Nothing was changed"
                    )
                return 0
            version = int(self._connection.execute(sql(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one())
        if version > HEAD:
            raise NewerSchema(
                f"{self.where} is schema {version}, this qtlib knows {HEAD}: update qtlib; nothing was changed"
            )
        return version

    def _from_sqlite(self, name: str, cause: BaseException) -> JournalError:
        if name in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"):
            return self._taken()
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Locked(
                f"{self.where} stayed locked for {self._patience_s:g} s: another process is in the middle of writing "
                f"(a backup, a database browser, or {self._writers()}): end it, or try again. Nothing was changed"
            )
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return Corrupt(f"{self.where} is damaged, or no journal ({cause}): restore it from a backup")
        if name.startswith("SQLITE_FULL"):
            return Unwritable(f"the disk of {self.where} is full: make room and start again; what was written is whole")
        if name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            return Unwritable(f"{self.where} can't be written ({cause}): see to its folder's rights and room")
        return JournalError(f"{self.where}: {cause}")

    def _taken(self) -> JournalError:
        return Fenced(
            f"{self.where}: somebody else wrote since this session read the journal: end this session; starting again "
            "recovers. Nothing of this call was written"
        )

    def _writers(self) -> str:
        """Who had the leases last: reading is possible while another process writes."""
        try:
            self.cursor.execute("PRAGMA busy_timeout = 0")  # we have waited already
            rows = self.cursor.execute("SELECT account, owner, pid, host FROM leases ORDER BY until DESC LIMIT 3")
            held = [f"{owner!r}, process {pid} on {host}, of account {account!r}" for account, owner, pid, host in rows]
        except Exception:  # the tables may not be there yet
            held = []
        self.cursor.execute(f"PRAGMA busy_timeout = {round(self._patience_s * 1000)}")
        return " · ".join(held) or "an engine"

    def _from_postgres(self, code: str, cause: BaseException) -> JournalError:
        said = str(cause).strip().partition("\n")[0]
        if code == "23505":
            return self._taken()
        if code == "55P03":
            return Locked(f"{self.where} stayed locked for {self._patience_s:g} s ({said}): nothing was changed")
        if code[:2] == "53":  # insufficient resources: disk full, out of memory, too many connections
            return Unwritable(f"the server of {self.where} is out of room ({said}): make room and start again")
        if code in ("42501", "25006"):  # no privilege, a read-only server
            return Unwritable(f"{self.where} can't be written ({said}): see to this user's rights")
        if code[:2] in ("", "08", "57"):  # no answer, connection trouble, shutting down
            return Unreachable(f"{self.where} does not answer ({said}): see to the server and start again")
        return JournalError(f"{self.where}: {said}")


def _url(url: str | Path) -> URL:
    """`url`, or the file of that name, as SQLAlchemy writes it."""
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        made = make_url(url)
        known = made.get_backend_name() in ("sqlite", "postgresql")
    except (ArgumentError, NoSuchModuleError):
        known = False
    if not known:
        kind = url.partition("://")[0]
        raise JournalError(f"a journal can't live in {kind!r}: name a file, or sqlite:///file, or postgresql://…")
    return made.set(drivername="postgresql+psycopg") if made.get_backend_name() == "postgresql" else made
