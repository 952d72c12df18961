"""What a schedule ran: one row for each job and instant it was due, which is what keeps it from running twice."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psutil
from sqlalchemy import (
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

DONE, FAILED, REFUSED, MISSED, SKIPPED, CUT_OFF = "done", "failed", "refused", "missed", "skipped", "cut off"
_META = MetaData()
_ROWS = Table(
    "firings",
    _META,
    Column("job", String, primary_key=True),
    Column("due", String, primary_key=True),  # ISO 8601, UTC
    Column("began", String, nullable=False),
    Column("ended", String),
    Column("outcome", String),
    Column("words", String, nullable=False, default=""),
    Column("pid", Integer),
    Column("started_s", Float),  # when that process began, since 1970: numbers are used again
)


@dataclass(frozen=True, slots=True)
class Firing:
    job: str
    due: datetime
    began: datetime
    ended: datetime | None
    outcome: str | None  # done · failed · refused · missed · skipped · cut off; None: it runs
    words: str  # why


class Firings:
    """The rows of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _META.create_all(engine)

    def claim(self, job: str, due: datetime, now: datetime) -> bool:
        """Whether `job` of `due` is ours to run: the first who asks has it, for ever."""
        try:
            with self._engine.begin() as db:
                db.execute(insert(_ROWS).values(job=job, due=_text(due), began=_text(now), words=""))
        except IntegrityError:
            return False
        return True

    def runs_as(self, job: str, due: datetime, pid: int, started_s: float) -> None:
        """The process that it runs as."""
        self._set(job, due, pid=pid, started_s=started_s)

    def close(self, job: str, due: datetime, now: datetime, outcome: str, words: str) -> None:
        """How it went."""
        self._set(job, due, ended=_text(now), outcome=outcome, words=words)

    def running(self, job: str, but: datetime) -> int | None:
        """The number of a process that runs this job for another time than `but`."""
        with self._engine.connect() as db:
            rows = db.execute(select(_ROWS).where(_ROWS.c.job == job, _ROWS.c.due != _text(but))).all()
        return next((row.pid for row in rows if row.outcome in (None, CUT_OFF) and _alive(row)), None)

    def left_open(self, now: datetime) -> list[Firing]:
        """Those that an earlier schedule did not see the end of; from now on they are cut off."""
        with self._engine.connect() as db:
            rows = db.execute(select(_ROWS).where(_ROWS.c.outcome.is_(None))).all()
        for row in rows:
            self.close(row.job, _instant(row.due), now, CUT_OFF, "the schedule ended before it did")
        return [_firing(row) for row in rows]

    def last(self) -> dict[str, Firing]:
        """The newest of each job."""
        newest = select(_ROWS.c.job, func.max(_ROWS.c.due)).group_by(_ROWS.c.job)
        with self._engine.connect() as db:
            rows = db.execute(select(_ROWS).where(tuple_(_ROWS.c.job, _ROWS.c.due).in_(newest))).all()
        return {row.job: _firing(row) for row in rows}

    def forget(self, before: datetime) -> None:
        """Let go of what was due before then."""
        with self._engine.begin() as db:
            db.execute(delete(_ROWS).where(_ROWS.c.due < _text(before)))

    def all(self) -> list[Firing]:
        """Every one, in the order in which they were due."""
        with self._engine.connect() as db:
            return [_firing(row) for row in db.execute(select(_ROWS).order_by(_ROWS.c.due)).all()]

    def _set(self, job: str, due: datetime, **values: object) -> None:
        with self._engine.begin() as db:
            db.execute(update(_ROWS).where(_ROWS.c.job == job, _ROWS.c.due == _text(due)).values(**values))


def _firing(row: Row[Any]) -> Firing:
    ended = _instant(row.ended) if row.ended else None
    return Firing(row.job, _instant(row.due), _instant(row.began), ended, row.outcome, row.words)


def _alive(row: Row[Any]) -> bool:
    try:
        process = psutil.Process(row.pid) if row.pid else None
        return (
            process is not None and process.status() != psutil.STATUS_ZOMBIE and process.create_time() == row.started_s
        )
    except psutil.Error:
        return False


def _text(ts: datetime) -> str:
    return ts.astimezone(UTC).isoformat(timespec="seconds")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
