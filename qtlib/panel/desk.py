"""What the panel needs of the machine it runs on: where the journal is, what a session shows, how to ask it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from qtlib.domain.commands import Command, Verb
from qtlib.journal import Journal


@dataclass(frozen=True, slots=True)
class Outside:
    """What is known of an account's session beside its journal; None: not known."""

    run_id: str | None = None
    run_status: str | None = None  # running, or how the newest run ended
    beat_age_s: float | None = None  # since the last sign of life
    beat_s: float = 1.0  # how often one is given
    rss_mb: float | None = None
    done: int | None = None  # bars
    total: int | None = None
    health: Mapping[str, Any] | None = None  # the session's own page
    log: tuple[Mapping[str, Any], ...] = ()  # its last lines
    error: str | None = None  # of the newest run


@dataclass(frozen=True, slots=True)
class Shelved:
    """A model of the registry."""

    version: str
    judged: str  # promoted · refused · not judged · damaged


@dataclass(frozen=True, slots=True)
class Models:
    """The registry of what an account learns."""

    there: tuple[Shelved, ...]  # newest first
    champion: str  # empty: none is
    changed: datetime | None = None  # when it became that; None: nothing ever did
    who: str = ""
    why: str = ""
    before: str = ""  # to whom a rollback returns


class Desk(Protocol):
    @property
    def account(self) -> str: ...

    @property
    def mode(self) -> str:
        """That a session begun here would have: sim, paper, demo or live."""

    @property
    def market(self) -> str:
        """Whose prices that would be, in words."""

    @property
    def starting(self) -> str:
        """The command that begins a session, as one would type it."""

    def journal(self) -> Journal | None:
        """The account's journal, for reading only; None: it has none yet."""

    def outside(self) -> Outside:
        """What the session shows of itself now."""

    def ask(self, verb: Verb, **what: Any) -> Command:
        """Leave a command for the session."""

    def models(self) -> Models | None:
        """The registry now; None: this account learns nothing."""

    def promote(self, version: str) -> None:
        """Make `version` champion, if the gate promoted it; a session hears of it at its next bar."""

    def roll_back(self) -> None:
        """Return to the champion before this one."""

    def start(self) -> None:
        """Begin a session that goes on when this process ends."""
