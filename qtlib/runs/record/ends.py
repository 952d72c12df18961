"""How a run ends: the exit code that scripts rely on, by the name of the error's class or of a base of it.

0 done · 1 it failed · 2 wrong usage, settings or input · 3 refused before money was at stake · 4 another session holds
the account · 128 and the signal's number: interrupted. Names, because an error may come from a kernel's process, and
because nobody should have to import every room to say which code its errors have.
"""

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qtlib.runs.record.folder import FAILED, INTERRUPTED, OK, REFUSED, RunFolder

_ENDS = {
    "Held": (REFUSED, 4),
    "Fenced": (FAILED, 4),
    "Unearned": (REFUSED, 3),
    "PreflightRefused": (REFUSED, 3),
    "Refused": (REFUSED, 3),
    "Loosened": (REFUSED, 3),
    "SettingsError": (FAILED, 2),
    "BadData": (FAILED, 2),
    "JournalError": (FAILED, 2),
    "RunsError": (FAILED, 2),
    "NoRoom": (FAILED, 2),
    "Untrusted": (FAILED, 2),
    "BadBundle": (FAILED, 2),
    "NoSuchModel": (FAILED, 2),
    "Unlearnable": (FAILED, 2),
    "Leaky": (FAILED, 2),
    "NotJudged": (REFUSED, 3),
}
NO_ROOM = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    folder: RunFolder | None  # None: it ended before there was one
    record: Mapping[str, Any]
    exit_code: int


def end_of(kinds: Iterable[str], number: int | None = None) -> tuple[str, int]:
    """Status and exit code of an error with these class names, its own first; `number` is the system's, if it has one.

    >>> end_of(["Locked", "JournalError", "Exception"]), end_of(["ValueError", "Exception"])
    (('failed', 2), ('failed', 1))
    """
    if number in NO_ROOM:
        return FAILED, 2
    return next((_ENDS[kind] for kind in kinds if kind in _ENDS), (FAILED, 1))


def known(error: BaseException) -> bool:
    """Whether `error` was raised on purpose: its message is all that people need."""
    return any(kind.__name__ in _ENDS for kind in type(error).__mro__)


def sentence(status: str, error: Mapping[str, Any] | None) -> str:
    """How a run ended, for people: one or two sentences."""
    if error is None:
        return {OK: "The run ended well.", INTERRUPTED: "The run was interrupted, and ended in order."}.get(
            status, status
        )
    where = f"cell {error['cell']}" if error.get("cell") else "the run"
    head = f"{where} was refused" if status == REFUSED else f"{where} failed"
    return f"{head}: {error['type']}: {error['message']}"
