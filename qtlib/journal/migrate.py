"""From whatever schema a database has to a newer one. Each step is a file in `migrations/versions`, for good:
a step that has shipped is never edited, because somebody's journal has taken it.
"""

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from qtlib.journal.schema import VERSION_TABLE

SCRIPTS = ScriptDirectory(str(Path(__file__).parent / "migrations"))


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the database to schema `to`, inside the transaction that the caller began."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    now = context.get_current_revision() or "base"
    steps = [] if SCRIPTS.get_revision(now) is SCRIPTS.get_revision(to) else SCRIPTS.iterate_revisions(to, now)
    with Operations.context(context):
        for step in reversed(list(steps)):
            step.module.upgrade()
    context.stamp(SCRIPTS, to)
