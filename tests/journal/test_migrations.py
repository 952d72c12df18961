"""A journal of any earlier schema becomes one of today's with every fact still in it; one of a newer is left alone."""

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text
from stories import a_long_story

from qtlib.domain.state import State
from qtlib.journal import Corrupt, Journal, NewerSchema
from qtlib.journal.migrate import SCRIPTS, upgrade
from qtlib.journal.schema import HEAD, METADATA, VERSION_TABLE

VERSIONS = sorted(script.revision for script in SCRIPTS.walk_revisions())


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request, tmp_path):
    """The URL of an empty database, and an engine to look into it with."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'journal.db'}"
        yield url, create_engine(url)
        return
    server = make_url(request.getfixturevalue("postgres_url")).set(drivername="postgresql+psycopg")
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"empty_{abs(hash(request.node.name))}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(server.set(database=name))
    yield engine.url.render_as_string(), engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def at(engine, version):
    """Make the database what the qtlib of that `version` left."""
    with engine.begin() as connection:
        upgrade(connection, to=version)


def test_the_newest_migration_is_the_schema_that_this_code_speaks():
    assert [SCRIPTS.get_current_head()] == [f"{HEAD:04d}"]
    assert [f"{n:04d}" for n in range(1, HEAD + 1)] == VERSIONS


def test_the_migrations_make_the_tables_that_the_code_describes(empty):
    url, engine = empty
    Journal(url).close()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_earlier_schema_is_brought_up_to_date_with_its_facts(empty, version):
    url, engine = empty
    story = list(a_long_story(40))
    with Journal(url) as journal:
        state = journal.absorb(State(), story)
        rows = journal._db.run(text("SELECT account, seq, key, ts, kind, payload, written FROM events")).all()
    with engine.begin() as connection:
        for name in ("fills", "decisions"):
            connection.execute(text(f"DROP VIEW {name}"))
        for name in ("events", "commands", "snapshots", "leases", VERSION_TABLE):
            connection.execute(text(f"DROP TABLE {name}"))
    at(engine, version)
    with engine.begin() as connection:
        into = text("INSERT INTO events VALUES (:account, :seq, :key, :ts, :kind, :payload, :written)")
        connection.execute(into, [row._asdict() for row in rows])

    with Journal(url) as journal:
        assert [event for _, event in journal.events()] == story
        assert journal.state() == state
        assert journal._db.run(text("SELECT count(*) FROM fills")).scalar() == 10


def test_opening_again_changes_nothing(empty):
    url, engine = empty
    for _ in range(2):
        Journal(url).close()
    with engine.connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == [f"{HEAD:04d}"]


def test_a_newer_journal_is_refused_and_left_as_it_is(empty):
    url, engine = empty
    with Journal(url) as journal:
        journal.absorb(State(), a_long_story(4))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{HEAD + 1:04d}'"))
    with pytest.raises(NewerSchema, match=rf"is schema {HEAD + 1}, this qtlib knows {HEAD}: update qtlib; nothing was"):
        Journal(url)
    with engine.connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == f"{HEAD + 1:04d}"
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 4


def test_somebody_elses_tables_are_left_alone(empty):
    url, engine = empty
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE events (whose text)"))
    with pytest.raises(Corrupt, match="'events' but no schema version"):
        Journal(url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 0


def test_a_migration_that_dies_halfway_has_not_begun(empty):
    url, engine = empty
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        upgrade(connection, to="0001")  # and nobody commits
    Journal(url).close()


def test_two_first_starts_at_once_make_one_journal(empty):
    url, _ = empty
    start = f"from qtlib.journal import Journal; Journal({url!r}).close()"
    starts = [subprocess.Popen([sys.executable, "-c", start], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate()[1] for process in starts]
    assert [process.returncode for process in starts] == [0, 0, 0], errors


def test_alembic_is_imported_only_where_there_is_something_to_migrate(tmp_path):
    path = tmp_path / "journal.db"
    Journal(path).close()
    start = f"import sys; from qtlib.journal import Journal; Journal({str(path)!r}); print('alembic' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"
