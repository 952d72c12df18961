"""Fetching: from a venue's past into the store, page by page and side by side, and on from wherever it was cut off.

What is missing is a matter of arithmetic: the span that is wanted, without what the venue was asked for before. Pages
arrive in any order and are stored in that of time, each time with the span they complete: a kill at any instant leaves
a beginning, and what was not entered as asked is asked for again and found to be there. A bar that may still change
is never stored; the last ones stored are asked for again, and where the venue has revised one, its later word holds and
is told. A hole is asked for twice before it is believed.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from qtlib.exchanges.binance.errors import Slowly
from qtlib.exchanges.past import FUNDING, MARKS, Asked, Past, Row, checked
from qtlib.exchanges.port import Refused, Unavailable
from qtlib.market import BadData, Store
from qtlib.market.catalogue import Span, without
from qtlib.market.merging import Difference, Differing
from qtlib.market.names import Name
from qtlib.market.series import Label, Rows
from qtlib.market.timeframes import MINUTE

AGAIN = 3  # bars at the end of what is stored, asked for again: the last ones may have been revised
SETTLED_S = 2.0  # after its close, a bar may still change
RATES_LATE = 10 * MINUTE  # after it was settled, a rate is known
STORE_EVERY_S = 5.0  # of what has arrived and is in order
GIVE_UP_S = 600.0  # without an answer to one page
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0

T = TypeVar("T")
Tell = Callable[[int, int, str], None]
Connect = Callable[[], "contextlib.AbstractAsyncContextManager[Past]"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one series."""

    name: Name
    new: int  # rows that were not there
    revised: tuple[Difference, ...]  # values that the venue has changed since
    refused: str = ""  # the venue's word, or the store's, why there is no more of it


@dataclass(slots=True)
class _Job:
    """One series: the pages it needs, and what has arrived of them."""

    name: Name
    pages: list[Span] = field(default_factory=list)  # [µs], ascending
    begins: int = 0  # [µs]: before it the venue has nothing
    arrived: dict[int, Rows] = field(default_factory=dict)  # by the number of the page
    stored: int = 0  # pages
    new: int = 0
    revised: list[Difference] = field(default_factory=list)
    refused: str = ""
    written: float = field(default_factory=time.monotonic)


async def fetch(
    past: Past,
    store: Store,
    names: Sequence[Name],
    start: int,
    end: int | None = None,
    *,
    anew: bool = False,
    store_every_s: float = STORE_EVERY_S,
    tell: Tell = lambda done, total, what: None,
) -> list[Fetched]:
    """Every bar and rate of `names` from `start` to before `end` [µs] that the venue has and that is over.

    What was asked for before is not asked for again, unless `anew`.
    """
    jobs = [_Job(name) for name in names]
    await asyncio.gather(*(_planned(past, store, job, start, end, anew) for job in jobs))
    total, done, writing = sum(len(job.pages) for job in jobs), 0, asyncio.Lock()
    waiting = iter([(job, number) for job in jobs for number in range(len(job.pages))])

    async def work() -> None:
        nonlocal done
        for job, number in waiting:
            if not job.refused:
                try:
                    job.arrived[number] = await _page(past, job.name, job.pages[number], job.begins)
                    await _store(past, store, job, writing, store_every_s)
                except (Refused, BadData) as no:
                    job.refused = str(no)
            done += 1
            tell(done, total, str(job.name))

    async with asyncio.TaskGroup() as together:
        for _ in range(past.side_by_side):
            together.create_task(work())
    for job in jobs:
        try:
            await _store(past, store, job, writing, 0.0)
        except BadData as no:
            job.refused = str(no)
    return [Fetched(job.name, job.new, tuple(job.revised), job.refused) for job in jobs]


def run(
    connect: Connect,
    folder: Path,
    names: Sequence[Name],
    start: int,
    end: int | None = None,
    *,
    anew: bool = False,
    store_every_s: float = STORE_EVERY_S,
    tell: Tell = lambda done, total, what: None,
) -> list[Fetched]:
    """`fetch`, with a connection of its own, to its end."""

    async def through() -> list[Fetched]:
        async with connect() as past:
            return await fetch(
                past, Store(folder), names, start, end, anew=anew, store_every_s=store_every_s, tell=tell
            )

    try:
        return asyncio.run(through())
    except ExceptionGroup as several:  # one that went wrong ends the others
        raise several.exceptions[0] from several


@contextlib.asynccontextmanager
async def hung_up(past: Past) -> AsyncIterator[Past]:
    """`past`, and no connection left behind."""
    try:
        yield past
    finally:
        await past.end()


# --- below ------------------------------------------------------------------------------------------------


async def _planned(past: Past, store: Store, job: _Job, start: int, end: int | None, anew: bool) -> None:
    """The pages that `job` needs."""
    name = job.name
    try:
        now = 1_000 * await _patiently(lambda: past.now_ms(name.symbol))
        over = now - RATES_LATE if name.kind == FUNDING else now - int(SETTLED_S * 1e6)
        grid = name.span or MINUTE
        until = min(over // grid * grid, over if end is None else end)
        begins = -(-start // grid) * grid
        known = store.entry(name)
        taken = [] if anew else [(a, b - AGAIN * grid if b == _last(known.asked) else b) for a, b in known.asked]
        for a, b in without((begins, until), taken) if until > begins else ():
            asked = Asked(name.symbol, name.kind, a // 1_000, b // 1_000, name.timeframe)
            first = await _patiently(lambda asked=asked: past.first_ms(asked))  # type: ignore[misc]
            if first is None:
                continue
            length = 1_000 * past.page_ms(name.kind, name.span // 1_000)
            edges = [a, *range(max(a, 1_000 * first) // length * length + length, b, length)]
            job.begins = job.begins or 1_000 * first
            job.pages += [(edge, min(b, following)) for edge, following in zip(edges, [*edges[1:], b], strict=True)]
    except Refused as no:
        job.refused = str(no)


def _last(asked: Sequence[Span]) -> int:
    return max((end for _, end in asked), default=0)


async def _page(past: Past, name: Name, whole: Span, begins: int) -> Rows:
    """All rows of a page; what is missing in it is asked for again, once."""
    span = (max(whole[0], begins), whole[1])
    rows = await _asked(past, name, span)
    if name.span and len(rows) < (span[1] - span[0]) // name.span:
        there = {at for at, _ in rows}
        holes = [at for at in range(span[0] // 1_000, span[1] // 1_000, name.span // 1_000) if at not in there]
        again = await _asked(past, name, (1_000 * holes[0], 1_000 * holes[-1] + name.span))
        rows = sorted({**dict(again), **dict(rows)}.items())
    times = np.array([at for at, _ in rows], dtype=np.int64) * 1_000
    values = np.array([cells for _, cells in rows], dtype=np.float64).reshape(len(rows), len(name.columns))
    if name.kind == FUNDING:
        times = times // MINUTE * MINUTE  # the venue settles a few milliseconds late
    return Rows(times, {column: values[:, at].copy() for at, column in enumerate(name.columns)})


async def _asked(past: Past, name: Name, span: Span) -> list[Row]:
    asked = Asked(name.symbol, name.kind, span[0] // 1_000, span[1] // 1_000, name.timeframe)
    return checked(await _patiently(lambda: past.page(asked)), asked, name.span // 1_000)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, however often it has to be asked for; Unavailable where there is none for `GIVE_UP_S`."""
    began, pause = time.monotonic(), _FIRST_PAUSE_S
    while True:
        try:
            return await ask()
        except Unavailable as why:
            if time.monotonic() - began > GIVE_UP_S:
                raise
            await asyncio.sleep(max(pause, why.pause_s) if isinstance(why, Slowly) else pause * random.uniform(0.5, 1))
            pause = min(2 * pause, _LONGEST_PAUSE_S)


async def _store(past: Past, store: Store, job: _Job, writing: asyncio.Lock, every_s: float) -> None:
    """Store what has arrived, in the order of time, if it is `every_s` since it was done."""
    if job.refused or time.monotonic() - job.written < every_s:
        return
    async with writing:
        number = job.stored
        while number in job.arrived:
            number += 1
        while job.stored < number:
            first, span = job.stored, job.pages[job.stored]
            pages = [job.arrived.pop(first)]
            while first + len(pages) < number and job.pages[first + len(pages)][0] == span[1]:
                span = (span[0], job.pages[first + len(pages)][1])
                pages.append(job.arrived.pop(first + len(pages)))
            await asyncio.to_thread(_add, past, store, job, pages, span)
            job.stored = first + len(pages)
        job.written = time.monotonic()


def _add(past: Past, store: Store, job: _Job, pages: Sequence[Rows], span: Span) -> None:
    times = np.concatenate([page.times for page in pages])
    rows = Rows(times, {c: np.concatenate([page.values[c] for page in pages]) for c in job.name.columns})
    word = {MARKS: "mark prices", FUNDING: "funding"}.get(job.name.kind, "bars")
    label = Label((f"{past.venue} {word}",), past.simulated, past.venue)
    held = store.entry(job.name).label.sources
    ours = not held or held == label.sources  # its own earlier word; another source's is not ours to replace
    added = store.add(job.name, rows, label, differing=Differing.REPLACE if ours else Differing.REFUSE, asked=span)
    job.new += added.new
    job.revised += added.differences
