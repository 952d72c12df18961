"""The catalogue: what is there of each series, without reading it: spans, gaps, checksums, sources.

`BTCUSDT-1h.json` beside the folder `BTCUSDT-1h/` is its entry. It repeats what the parts hold, and what they can't:
their checksums, and which spans a source was asked for whole, so that what is missing there is known to be missing.
It is written after the parts; an entry that a kill left behind them is found by their sizes, and made anew.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qtlib.market.names import Name
from qtlib.market.series import Label, Series, months
from qtlib.market.timeframes import Micros, datetime_at, micros_at

Span = tuple[int, int]  # from the first to before the second [µs]


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a series."""

    rows: int
    first: int  # [µs], as stored
    last: int
    gaps: tuple[Span, ...]  # inside it
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a series that this program writes."""

    name: str
    label: Label
    parts: Mapping[str, Part]  # by file name, in the order of time
    asked: tuple[Span, ...] = ()  # for which the source gave everything it has

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts.values())

    @property
    def first(self) -> int | None:
        """The first time stored [µs]."""
        return next((part.first for part in self.parts.values()), None)

    @property
    def last(self) -> int | None:
        return next((part.last for part in reversed(list(self.parts.values()))), None)

    @property
    def gaps(self) -> tuple[Span, ...]:
        """Where bars are missing between the first and the last: from the first missing open to the next there is."""
        span, before = _span_of(self.name), None
        found: list[Span] = []
        for part in self.parts.values():
            if span and before is not None and part.first > before + span:
                found.append((before + span, part.first))
            found += part.gaps
            before = part.last
        return tuple(found)

    @property
    def missing(self) -> int:
        """How many bars lie in the gaps."""
        return sum(end - start for start, end in self.gaps) // (_span_of(self.name) or 1)

    def with_asked(self, span: Span | None) -> "Entry":
        """With `span` asked for, too."""
        return self if span is None else replace(self, asked=union([*self.asked, span]))

    @property
    def document(self) -> dict[str, Any]:
        return {
            "series": self.name,
            "sources": list(self.label.sources),
            "venue": self.label.venue,
            "simulated": self.label.simulated,
            "rows": self.rows,
            "first": _said(self.first),
            "last": _said(self.last),
            "gaps": [_words(gap) for gap in self.gaps],
            "missing": self.missing,
            "asked": [_words(span) for span in self.asked],
            "parts": {
                name: {
                    "rows": part.rows,
                    "first": _said(part.first),
                    "last": _said(part.last),
                    "gaps": [_words(gap) for gap in part.gaps],
                    "bytes": part.bytes,
                    "sha256": part.sha256,
                }
                for name, part in self.parts.items()
            },
        }


def entry(series: Series, anew: Iterable[str] = ()) -> Entry:
    """What is known of `series`; parts that changed, or are named in `anew`, are looked at."""
    said = _read(series.entry)
    known = {} if said is None else dict(said.parts)
    for name in anew:
        known.pop(name, None)
    parts, labels = {}, []
    for file in months(series.parts):
        part = known.get(file.name)
        if part is None or part.bytes != file.stat().st_size:
            part, label = _examined(file, _span_of(series.name))
            labels.append(label)
        parts[file.name] = part
    label = Label() if said is None else said.label
    for other in labels:
        label = label.joined(other)
    return Entry(series.name, label, parts, () if said is None else said.asked)


def damaged(series: Series) -> dict[str, str]:
    """The parts whose bytes are not those that were written, with what is wrong with each."""
    said = _read(series.entry)
    if said is None:
        return {}
    there = {file.name: file for file in months(series.parts)}
    found = {name: "is gone" for name in said.parts if name not in there}
    for name, file in there.items():
        if name not in said.parts:
            found[name] = "is not in the catalogue"
        elif _digest(file) != said.parts[name].sha256:
            found[name] = f"has not the checksum it was written with ({said.parts[name].sha256[:12]}…)"
    return found


def union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time in as few spans as can be, ascending.

    >>> union([(5, 7), (1, 3), (3, 4), (6, 9)])
    ((1, 4), (5, 9))
    """
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return tuple(found)


def without(span: Span, taken: Iterable[Span]) -> tuple[Span, ...]:
    """What is left of `span` where `taken` is taken out of it.

    >>> without((0, 10), [(2, 3), (5, 20)])
    ((0, 2), (3, 5))
    """
    left, (start, end) = [], span
    for begins, ends in union(taken):
        if begins > start:
            left.append((start, min(begins, end)))
        start = max(start, ends)
        if start >= end:
            break
    return tuple(s for s in [*left, (start, end)] if s[0] < s[1])


def gaps_in(times: Micros, span: int) -> tuple[Span, ...]:
    """Where bars of length `span` are missing inside ascending `times`."""
    if not span:
        return ()
    wide = np.flatnonzero(np.diff(times) > span)
    return tuple((int(times[at]) + span, int(times[at + 1])) for at in wide)


# --- below ------------------------------------------------------------------------------------------------


def _examined(file: Path, span: int) -> tuple[Part, Label]:
    from_disk = file.read_bytes()
    with pq.ParquetFile(pa.BufferReader(from_disk)) as opened:
        column = opened.read(columns=["timestamp"]).column("timestamp")
        label = Label.of(opened.schema_arrow)
    times = np.asarray(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(), dtype=np.int64)
    first, last = (int(times[0]), int(times[-1])) if len(times) else (0, 0)
    digest = hashlib.sha256(from_disk).hexdigest()
    return Part(len(times), first, last, gaps_in(times, span), len(from_disk), digest), label


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _read(file: Path) -> Entry | None:
    """What an entry says; None where there is none, or none that can be understood."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        said = json.loads(file.read_text(encoding="utf-8"))
        parts = {
            name: Part(
                part["rows"],
                micros_at(part["first"]),
                micros_at(part["last"]),
                tuple(_spanned(gap) for gap in part["gaps"]),
                part["bytes"],
                part["sha256"],
            )
            for name, part in said["parts"].items()
        }
        label = Label(tuple(said["sources"]), said["simulated"], said["venue"])
        return Entry(said["series"], label, parts, tuple(_spanned(span) for span in said["asked"]))
    return None


def _span_of(name: str) -> int:
    its = Name.of(name)
    return its.span if its else 0


def _said(micros: int | None) -> str | None:
    return None if micros is None else f"{datetime_at(micros):%Y-%m-%dT%H:%M:%SZ}"


def _words(span: Span) -> list[str | None]:
    return [_said(span[0]), _said(span[1])]


def _spanned(said: list[str]) -> Span:
    return micros_at(said[0]), micros_at(said[1])
