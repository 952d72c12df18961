"""The tables of a journal, as of `HEAD`. `migrations/` makes them, and says how each version came from the last.

* `events`: one row per fact and account, in the order we learned them; never updated, never deleted.
* `commands`: an inbox: what people ask of a running engine, until the event that answers it is in `events`.
* `snapshots`: states that were folded already: a cache, which may be lost without loss.
* `leases`: who writes for an account, or last did.
* views `fills` and `decisions`: what people query; they are made of the facts, so they can't disagree with them.

Everything is text or a whole number, the same in both dialects: a payload is kept byte for byte, and a time is
ISO 8601 in UTC, whose order as text is its order in time.
"""

from sqlalchemy import BigInteger, Column, Float, MetaData, PrimaryKeyConstraint, Table, Text, UniqueConstraint

HEAD = 2  # the newest migration
VERSION_TABLE = "journal_version"  # Alembic's, under a name of ours: a server may host others' tables too

METADATA = MetaData()

EVENTS = Table(
    "events",
    METADATA,
    Column("account", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),  # rises by one and may skip; each account counts its own
    Column("key", Text, nullable=False),  # one event per key: hearing a thing twice is one fact
    Column("ts", Text, nullable=False),  # when it happened
    Column("kind", Text, nullable=False),  # the event's class
    Column("payload", Text, nullable=False),  # JSON, see codec.py
    Column("written", Text, nullable=False),  # when we wrote it down, by our own clock
    PrimaryKeyConstraint("account", "seq"),
    UniqueConstraint("account", "key"),
    sqlite_with_rowid=False,
)

COMMANDS = Table(
    "commands",
    METADATA,
    Column("account", Text, nullable=False),
    Column("key", Text, nullable=False),  # of the event it asks for
    Column("payload", Text, nullable=False),
    Column("written", Text, nullable=False),
    PrimaryKeyConstraint("account", "key"),
    sqlite_with_rowid=False,
)

SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("account", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),  # of the last event in it
    Column("format", Text, nullable=False),  # of the arithmetic that made it, see codec.state_format
    Column("sha256", Text, nullable=False),  # of the payload
    Column("payload", Text, nullable=False),
    Column("written", Text, nullable=False),
    PrimaryKeyConstraint("account", "seq"),
    sqlite_with_rowid=False,
)

LEASES = Table(
    "leases",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("until", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_s", Float(53), nullable=False),
    Column("machine", Text, nullable=False),
    sqlite_with_rowid=False,
)
