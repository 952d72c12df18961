"""What happened: every event once, in order, written down before it is acted on."""

from typing import TYPE_CHECKING, Any

from qtlib.journal.errors import (
    Corrupt,
    Fenced,
    Held,
    JournalError,
    Locked,
    NewerSchema,
    Unreachable,
    Unwritable,
)
from qtlib.journal.fold import Conclusions, Listener
from qtlib.journal.lease import Lease
from qtlib.journal.memory import MemoryJournal

if TYPE_CHECKING:
    from qtlib.journal.journal import Journal

__all__ = [
    "Conclusions",
    "Corrupt",
    "Fenced",
    "Held",
    "Journal",
    "JournalError",
    "Lease",
    "Listener",
    "Locked",
    "MemoryJournal",
    "NewerSchema",
    "Unreachable",
    "Unwritable",
]


def __getattr__(name: str) -> Any:
    if name != "Journal":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # cold start: SQLAlchemy takes a third of a second, and what happens in memory alone has no use for it
    from qtlib.journal.journal import Journal  # noqa: PLC0415

    return Journal
