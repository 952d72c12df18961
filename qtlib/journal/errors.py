"""What can go wrong with a journal. Each error is a sentence with its numbers and the next step.

Whatever is raised, the facts that were in the journal before are in it still: a failed `absorb` wrote all of
its events or none, and handing the same events in again is always safe.
"""


class JournalError(Exception):
    """Base of everything that a journal raises on purpose."""


class Unreachable(JournalError):
    """The database does not answer. Later: open the journal again and absorb again."""


class Locked(JournalError):
    """Another process kept the database to itself for longer than we wait. Later, or find that process."""


class Unwritable(JournalError):
    """There is no room, no right, or no way to write this down. A person makes room, or the event is wrong."""


class Held(JournalError):
    """Another session writes for this account. Stop that one, or wait for its lease to end."""


class Fenced(JournalError):
    """Another session has taken over: this one may not write any more, and must end."""


class NewerSchema(JournalError):
    """A newer qtlib made this journal. Update qtlib; nothing was changed."""


class Corrupt(JournalError):
    """What is on disk is not what a journal wrote. Restore it from a backup; nothing was changed."""
