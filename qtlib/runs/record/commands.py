"""Commands to the session of an account: left in its journal, answered there by the engine.

Nothing here sets a status: it asks, waits for the answer and says what it is. With no session running a command
waits in the journal until one starts, or until it expires.
"""

import getpass
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtlib.domain.commands import Command, Verb
from qtlib.domain.state import State
from qtlib.rules.status import CODE_HOLDS, code, expiry
from qtlib.runs.record.atomic import redact
from qtlib.runs.record.folder import RunsError, journal_location

if TYPE_CHECKING:
    from qtlib.journal import Journal

LOOK_S = 0.05  # between two looks for the answer
WAITING = "waiting"


def ask(account: str, verb: Verb, *, wait_s: float = 5.0, root: Path | None = None, **what: Any) -> dict[str, Any]:
    """Leave `verb` for the session of `account`; its answer if there is one within `wait_s`, else that it waits.

    `what` more the command says: code, symbol, price, limits, reason. Without a session nobody answers, so nobody is
    waited for.
    """
    with _journal(account, root) as journal:
        command = commanded(verb, **what)
        session, until = journal.writer(), time.monotonic() + wait_s
        if verb is Verb.STOP and session is None:
            raise RunsError(f"no session runs for account {account}, so there is none to stop")
        journal.command(command)
        answer = journal.answer(command)
        while answer is None and session and time.monotonic() < until:
            time.sleep(LOOK_S)
            answer = journal.answer(command)
    told: dict[str, Any] = {
        "account": account,
        "command_id": command.command_id,
        "command": verb.value,
        "by": command.by,
        "asked": command.asked.isoformat(),
        "expires": command.expires.isoformat() if command.expires else None,
        "session": session.owner if session else None,
    }
    if answer is None:
        return told | {"outcome": WAITING, "seconds": None, "words": _waiting(command, told["session"], wait_s)}
    seconds = round((answer.answered - command.asked).total_seconds(), 3)
    return told | {"outcome": answer.outcome.value, "seconds": seconds, "words": answer.words}


def commanded(verb: Verb, **what: Any) -> Command:
    """A command under a name of its own, asked by who runs this, now."""
    asked = datetime.now(UTC)
    what = {name: redact(value) if isinstance(value, str) else value for name, value in what.items()}
    return Command(secrets.token_hex(8), verb, actor(), asked, expiry(verb, asked), **what)


def left(account: str, command: Command, root: Path | None = None) -> Command:
    """`command`, once it lies in the journal of `account`; nobody's answer is waited for."""
    with _journal(account, root) as journal:
        journal.command(command)
    return command


def brake(account: str, root: Path | None = None) -> dict[str, Any] | None:
    """What holds the account's trading back, with the code that re-arms it; None: nothing does."""
    with _journal(account, root) as journal:
        state, now = journal.state(), datetime.now(UTC)
    found = braked(state)
    if state.brake is None or found is None:
        return None
    return found | {"code": code(state.brake, now), "code_holds_s": CODE_HOLDS.total_seconds()}


def braked(state: State) -> dict[str, Any] | None:
    """The brake of `state`, if one is on, and the account then and now."""
    if state.brake is None:
        return None
    return {
        "status": state.brake.status.value,
        "command": state.brake.verb.value if state.brake.verb else None,
        "cause": state.brake.cause,
        "by": state.brake.by,
        "since": state.brake.since.isoformat(),
        "equity_then_quote": float(state.brake.equity),
        "equity_now_quote": float(state.equity),
        "positions": [
            {"symbol": p.symbol, "quantity": float(p.quantity), "entry_price": float(p.entry_price)}
            for p in state.account.positions.values()
        ],
    }


def actor() -> str:
    """Who asks, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as somebody without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


@contextmanager
def _journal(account: str, root: Path | None) -> "Iterator[Journal]":
    where = journal_location(account, root)
    if isinstance(where, Path) and not where.exists():
        raise RunsError(f"account {account} has no journal yet, so nothing trades for it; `qt live` begins one")
    from qtlib.journal import Journal  # noqa: PLC0415  cold start: whoever only asks `actor` has no use for SQLAlchemy

    with Journal(where, account) as journal:
        yield journal


def _waiting(command: Command, session: str | None, wait_s: float) -> str:
    if session:
        return f"session {session} has not answered within {wait_s:g} s; `qt status` shows its last sign of life"
    until = f", unless none starts before {command.expires:%H:%M:%S} UTC" if command.expires else ""
    return f"no session runs for this account: it takes effect when the next one starts{until}"
