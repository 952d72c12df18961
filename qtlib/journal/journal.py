"""The durable journal: every event once, in order, in the database before it is acted on.

* An event is committed when `absorb` returns: a killed process loses nothing. With `synced`, nor does a power cut.
* One event per key and account, so absorbing twice is absorbing once, whoever repeats.
* State is the fold of the events, and of nothing else; a snapshot only saves folding them again.
* Several processes may read, and leave commands; one writes, and two never mix: the second finds its number taken.

A journal is used by one thread at a time; another thread, or process, opens its own.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from sqlalchemy import insert

from qtlib.domain.account import exact
from qtlib.domain.advance import advance
from qtlib.domain.commands import Command
from qtlib.domain.events import CommandAnswered, Event
from qtlib.domain.state import State
from qtlib.journal import statements
from qtlib.journal.codec import (
    decode,
    decode_command,
    decode_state,
    encode,
    encode_command,
    encode_state,
    state_format,
)
from qtlib.journal.database import Database
from qtlib.journal.errors import Corrupt, Fenced, Held, JournalError
from qtlib.journal.fold import Conclusions, Listener, Step, fold
from qtlib.journal.lease import Clock, Holder, Lease, wall_clock
from qtlib.journal.schema import SNAPSHOTS

log = logging.getLogger(__name__)

PAGE = 2_000  # events read at a time
SNAPSHOTS_KEPT = 3


class Journal:
    """The journal of one `account` in the database at `url`: a file, or a URL of SQLite or PostgreSQL."""

    def __init__(
        self,
        url: str | Path,
        account: str = "main",
        *,
        snapshot_every: int = 5_000,  # events
        patience_s: float = 5,  # with another process that is in the middle of writing
        now: Clock = wall_clock,
        reading: bool = False,  # nothing can be written through it, nor is anything made or migrated
        clean: Callable[[Event], Event] | None = None,  # what is heard, as it may be written down
    ):
        self.account, self._clean = account, clean
        self._snapshot_every, self._now = snapshot_every, now
        self._db = Database(url, patience_s, reading)
        self._append_leased = self._db.text(statements.append(leased=True))
        self._append_free = self._db.text(statements.append(leased=False))
        self._known_sql = self._db.text(statements.KNOWN)
        self._waiting_sql = self._db.text(statements.WAITING)
        self._lease: Lease | None = None
        self._last = self._newest()
        self._folded = State() if not self._last else None  # the fold up to `_last`, where we know it
        self._kept = self._last  # no snapshot is due before this and `snapshot_every`
        self.listener: Listener | None = None
        self._wrote = False  # who only reads leaves no snapshots either
        self._unsynced = True  # what an earlier process wrote may not have reached the platter
        self._recent: set[str] = set()  # keys that are surely written: venues repeat what they said last

    def absorb(
        self, state: State, events: Iterable[Event], *, then: Conclusions | None = None, synced: bool = False
    ) -> State:
        """Write down what is news of `events`, and what `then` concludes, all or nothing; the state after.

        With `synced`, all of it is on the platter before this returns.
        """
        heard = list(events) if self._clean is None else [self._clean(event) for event in events]
        ours = state is self._folded or state == self._folded
        after, news = fold(state, heard, then, self.knows, whole=ours)
        if heard or news:
            self._append(news, synced)
            self._folded = after if ours else None
            if ours and self._last - self._kept >= self._snapshot_every:
                self._keep_if_possible()
            if self.listener:
                for step in news.values():
                    self.listener(*step)
        return after

    @property
    def last(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._last

    def newest(self) -> int:
        """The number of the newest event in the database, whoever wrote it."""
        return self._newest()

    def events(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Each event later than number `after`, with its number, in order; those written meanwhile are included."""
        while True:
            page = self._db.run(statements.PAGE, account=self.account, after=after, page_size=PAGE).all()
            for seq, kind, payload in page:
                try:
                    yield seq, decode(kind, payload)
                except Corrupt as why:
                    raise Corrupt(f"{self._what}, event {seq}: {why}") from why
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def state(self) -> State:
        """What the events add up to: the newest snapshot that can be believed, and the events since."""
        last, state = self._snapshot()
        self._kept = last
        for seq, event in self.events(last):
            last, state = seq, advance(state, event)
        self._last, self._folded = last, state
        return state

    def recent(self) -> tuple[int, State]:
        """The oldest state that is kept, and the number of the last event in it: where recent history begins."""
        for row in reversed(self._db.run(statements.KEPT, account=self.account).all()):
            if row.format == state_format() and row.sha256 == _digest(row.payload):
                return row.seq, decode_state(row.payload)
        return 0, State()

    def keep(self, state: State) -> None:
        """Write `state` down as what the events add up to, for a quick start; it must be what they do add up to."""
        if state is not self._folded and state != self._folded:
            raise ValueError(f"{self._what}: only the state that `absorb` or `state()` returned last can be kept")
        self._keep(state, synced=False)

    def command(self, command: Command) -> None:
        """Leave `command` for the engine to answer: the pen of other processes. Leaving it twice is leaving it once."""
        row = {"key": command.key, "payload": encode_command(command), "written": _text(self._now())}
        with self._db.transaction(synced=True):
            self._db.run(statements.leave(self._db.insert), account=self.account, **row)

    def commands(self) -> list[Command]:
        """The commands that no event has answered yet, oldest first."""
        try:
            self._db.cursor.execute(self._waiting_sql, {"account": self.account})
            return [decode_command(payload) for (payload,) in self._db.cursor.fetchall()]
        except Exception as error:
            self._db.tell(error)

    def answer(self, command: Command) -> CommandAnswered | None:
        """What became of `command`; None: nobody has answered it yet."""
        payload = self._db.run(statements.ONE, account=self.account, key=command.key).scalar()
        return None if payload is None else decode(CommandAnswered.__name__, payload)  # type: ignore[return-value]

    def now(self) -> datetime:
        """Wall time."""
        return self._now()

    def writer(self) -> Holder | None:
        """Who has the lease now, if anybody has."""
        holder = _Shelf(self._db, self.account).holder()
        return None if holder is None or holder.gone(self._now()) else holder

    def lease(self, owner: str, ttl_s: float = 30) -> Lease:
        """The right to write for this account, or `Held` and by whom. Ask for `state()` after it, not before."""
        self._lease = Lease(_Shelf(self._db, self.account), self._what, owner, ttl_s, self._now)
        return self._lease

    def close(self) -> None:
        """Keep a snapshot of what was written for the next start, give the lease back, let go of the database."""
        if self._wrote and self._folded is not None and self._last > self._kept:
            self._keep_if_possible()
        if self._lease:
            self._lease.release()
        self._folded = self._lease = None  # closing twice is closing once
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _repr_html_(self) -> str:
        """What a notebook shows of it: whose it is, how far it goes, what the account holds and is worth."""
        state, writer = (self.state() if not self._lease else self._folded or State()), self.writer()
        rows = {
            "account": self.account,
            "events": f"{self._last:,}",
            "as of": f"{state.ts:%Y-%m-%d %H:%M} UTC",
            "trading": f"{state.status.value}{f': {state.cause}' if state.cause else ''}",
            "equity": f"{state.equity:,.2f}",
            "session": writer.owner if writer else "none runs",
            "holds": "" if state.account.positions else "nothing",
        }
        for symbol, position in state.account.positions.items():
            now = exact(state.prices[symbol])
            rows[symbol] = (
                f"{position.quantity:+f} at {position.entry_price:.8g}, now {now:.8g}: {position.unrealized(now):+,.2f}"
            )
        cell = 'style="text-align: left"'
        body = (f"<tr><th {cell}>{escape(k)}</th><td {cell}>{escape(v)}</td></tr>" for k, v in rows.items())
        return f"<table>{''.join(body)}</table>"

    @property
    def _what(self) -> str:
        return f"the journal of {self.account!r} in {self._db.where}"

    def knows(self, key: str) -> bool:
        """Whether an event of this key is written. The driver's own call: SQLAlchemy's takes twenty times as long."""
        if key in self._recent:
            return True
        try:
            self._db.cursor.execute(self._known_sql, {"account": self.account, "key": key})
            return self._db.cursor.fetchone() is not None
        except Exception as error:
            self._db.tell(error)

    def _append(self, news: Mapping[str, Step], synced: bool) -> None:
        """Write `news` in one transaction; with `synced`, what was written before is on the platter after it, too."""
        fence = self._lease.fence if self._lease else 0
        written = _text(self._now())
        rows = [
            {
                "account": self.account,
                "seq": seq,
                "key": key,
                "ts": _iso(event.ts),
                "kind": type(event).__name__,
                "payload": encode(event),
                "written": written,
                "fence": fence,
            }
            for seq, (key, (_, event, _)) in enumerate(news.items(), self._last + 1)
        ]
        if rows:
            self._write(self._append_leased if fence else self._append_free, rows, synced)
            self._last, self._wrote = self._last + len(rows), True
            if len(self._recent) > PAGE:
                self._recent.clear()
            self._recent.update(news)
        else:
            self._insist()
            if synced and self._unsynced:  # all of it is there, and any synced write takes it to the platter
                self._keep(self.state() if self._folded is None else self._folded, synced=True)
        self._unsynced = not synced and (self._unsynced or bool(rows))

    def _write(self, statement: str, rows: list[dict[str, Any]], synced: bool) -> None:
        """All of `rows`, or none and the reason. By the driver's own calls, which cost less than the writing."""
        db = self._db
        answered = [row["key"] for row in rows if row["kind"] == CommandAnswered.__name__]
        try:
            if len(rows) == 1 and not answered and not synced:
                db.cursor.execute(statement, rows[0])
                if db.cursor.rowcount < 1:
                    self._refuse()
            else:
                with db.transaction(synced):
                    db.cursor.executemany(statement, rows)
                    if db.cursor.rowcount < len(rows):
                        self._refuse()
                    self._answer(answered)
        except Exception as error:
            db.tell(error)

    def _answer(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._db.run(statements.ANSWER, account=self.account, key=key)

    def _refuse(self) -> NoReturn:
        """Nothing was written, and this is why."""
        self._insist()
        raise Fenced(f"{self._what}: nothing was written, as the lease changed hands; end this session")

    def _insist(self) -> None:
        """Raise if the lease forbids us to write."""
        fence = self._lease.fence if self._lease else 0
        holder = _Shelf(self._db, self.account).holder()
        if fence and (holder is None or holder.fence != fence):
            raise Fenced(
                f"{self._what}: fencing number {fence} may not write any more, now it is {holder}: end this session; "
                "starting again recovers"
            )
        if not fence and holder is not None and holder.until > self._now():
            raise Held(f"{self._what} is held by {holder}: stop that session, or wait")

    def _newest(self) -> int:
        return int(self._db.run(statements.NEWEST, account=self.account).scalar() or 0)

    def _snapshot(self) -> tuple[int, State]:
        """The newest snapshot that can be believed, and the number of the last event in it."""
        for row in self._db.run(statements.KEPT, account=self.account).all():
            if row.format != state_format():
                log.info("%s: the snapshot at event %d is of another version", self._what, row.seq)
                continue
            if row.sha256 != _digest(row.payload):
                log.warning("%s: the snapshot at event %d is damaged, going back further", self._what, row.seq)
                continue
            return row.seq, decode_state(row.payload)
        return 0, State()

    def _keep(self, state: State, synced: bool) -> None:
        payload = encode_state(state)
        row = {
            "account": self.account,
            "seq": self._last,
            "format": state_format(),
            "sha256": _digest(payload),
            "payload": payload,
            "written": _text(self._now()),
        }
        with self._db.transaction(synced):
            self._db.run(statements.FORGET, account=self.account, seq=self._last, others=SNAPSHOTS_KEPT - 1)
            self._db.run(insert(SNAPSHOTS), **row)
        self._kept = self._last

    def _keep_if_possible(self) -> None:
        """Keep the fold; the events are safe without it, so not being able to is no more than a warning."""
        assert self._folded is not None
        try:
            self._keep(self._folded, synced=False)
        except JournalError as why:
            log.warning("%s: no snapshot was kept, so the next start folds more events: %s", self._what, why)


class _Shelf:
    """The row of `leases` that says who writes for `account`."""

    def __init__(self, db: Database, account: str):
        self._db, self._account = db, account

    def holder(self) -> Holder | None:
        row = self._db.run(statements.HELD_BY, account=self._account).mappings().first()
        return Holder(**{**row, "until": datetime.fromisoformat(row["until"])}) if row else None

    def swap(self, old: Holder | None, new: Holder) -> bool:
        row = {name: getattr(new, name) for name in statements.HOLDER} | {"until": _text(new.until)}
        with self._db.transaction(synced=True):
            if old is None:
                put = self._db.run(statements.first_lease(self._db.insert), account=self._account, **row)
            else:
                was = {"of": self._account, "old_fence": old.fence, "old_until": _text(old.until)}
                put = self._db.run(statements.SWAP, **was, **row)
            return put.rowcount == 1


@lru_cache(maxsize=4)  # the events of a moment happen at one time
def _iso(ts: datetime) -> str:
    return ts.isoformat()


def _text(ts: datetime) -> str:
    return ts.isoformat(timespec="microseconds")  # of one width, so that texts compare as times do


def _digest(payload: str) -> str:
    return sha256(payload.encode()).hexdigest()
