"""Every statement that a journal says to its database, with named parameters; `account` is in each.

The two that append, `KNOWN` and `WAITING` are said for every bar, so the journal has them compiled once, and hands
them to the driver itself.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from qtlib.journal.schema import COMMANDS, EVENTS, LEASES, SNAPSHOTS


def _text(name: str) -> Any:
    return bindparam(name, type_=Text)


def _whole(name: str) -> Any:
    return bindparam(name, type_=BigInteger)


def append(*, leased: bool) -> Executable:
    """Insert an event: by the holder of a lease, or by somebody while nobody holds it.

    The lease is looked at by the very statement that writes, so there is no moment between.
    """
    columns = ("account", "seq", "key", "ts", "kind", "payload", "written")
    values = [_whole(name) if name == "seq" else _text(name) for name in columns]
    fence = select(LEASES.c.fence).where(LEASES.c.account == ACCOUNT).with_for_update(read=True).scalar_subquery()
    held = exists().where(LEASES.c.account == ACCOUNT, LEASES.c.until > _text("written"))
    allowed: ColumnElement[bool] = _whole("fence") == fence if leased else ~held
    return insert(EVENTS).from_select(columns, select(*values).where(allowed))


def leave(into: Any) -> Executable:
    """Insert a command unless it is there, or was answered already; `into` is the insert of the dialect."""
    columns = ("account", "key", "payload", "written")
    answered = exists().where(EVENTS.c.account == ACCOUNT, EVENTS.c.key == _text("key"))
    command = into(COMMANDS).from_select(columns, select(*map(_text, columns)).where(~answered))
    once: Executable = command.on_conflict_do_nothing(index_elements=["account", "key"])
    return once


def first_lease(into: Any) -> Executable:
    """Insert an account's first lease ever, unless another process just did."""
    once: Executable = into(LEASES).on_conflict_do_nothing(index_elements=["account"])
    return once.execution_options(preserve_rowcount=True)


ACCOUNT = _text("account")
HOLDER = ("owner", "fence", "until", "host", "pid", "started_s", "machine")

NEWEST = select(func.max(EVENTS.c.seq)).where(EVENTS.c.account == ACCOUNT)
_LATER = (EVENTS.c.account == ACCOUNT, EVENTS.c.seq > _whole("after"))
KNOWN = select(EVENTS.c.seq).where(EVENTS.c.account == ACCOUNT, EVENTS.c.key == _text("key"))
PAGE = (
    select(EVENTS.c.seq, EVENTS.c.kind, EVENTS.c.payload)
    .where(*_LATER)
    .order_by(EVENTS.c.seq)
    .limit(_whole("page_size"))
)

ONE = select(EVENTS.c.payload).where(EVENTS.c.account == ACCOUNT, EVENTS.c.key == _text("key"))

WAITING = select(COMMANDS.c.payload).where(COMMANDS.c.account == ACCOUNT).order_by(COMMANDS.c.written, COMMANDS.c.key)
ANSWER = delete(COMMANDS).where(COMMANDS.c.account == ACCOUNT, COMMANDS.c.key == _text("key"))

KEPT = select(SNAPSHOTS).where(SNAPSHOTS.c.account == ACCOUNT).order_by(SNAPSHOTS.c.seq.desc())
_STAYING = (
    select(SNAPSHOTS.c.seq)
    .where(SNAPSHOTS.c.account == ACCOUNT, SNAPSHOTS.c.seq < _whole("seq"))
    .order_by(SNAPSHOTS.c.seq.desc())
    .limit(_whole("others"))
)
FORGET = delete(SNAPSHOTS).where(
    SNAPSHOTS.c.account == ACCOUNT, SNAPSHOTS.c.seq <= _whole("seq"), SNAPSHOTS.c.seq.not_in(_STAYING)
)

HELD_BY = select(*(LEASES.c[name] for name in HOLDER)).where(LEASES.c.account == ACCOUNT)
SWAP = (
    update(LEASES)
    .where(LEASES.c.account == _text("of"), LEASES.c.fence == _whole("old_fence"), LEASES.c.until == _text("old_until"))
    .values({name: bindparam(name) for name in HOLDER})
)
