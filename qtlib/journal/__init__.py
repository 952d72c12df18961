"""What happened: every event once, in order, written down before it is acted on."""

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
from qtlib.journal.journal import Journal
from qtlib.journal.lease import Lease
from qtlib.journal.memory import MemoryJournal

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
