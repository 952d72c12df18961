"""The survey: every series of a folder by itself and against the others of its symbol, and a verdict on each.

A verdict says which stretches a strategy may trade on: those that have every bar, that traded, whose past holds no
interruption, and about which no two series disagree. The life of a symbol, from its first trade to its last, is part
of what is found: who picks symbols for a past day picks among those that were alive then.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from qtlib.market import catalogue
from qtlib.market.catalogue import Span, union
from qtlib.market.market import BadData
from qtlib.market.names import BARS, FUNDING, MARKS, Name
from qtlib.market.quality import check, check_funding, usable
from qtlib.market.series import Kept, Rows, Series, names_in
from qtlib.market.survey import crosschecks
from qtlib.market.survey.oddities import Oddity, alone, stretches, when
from qtlib.market.timeframes import datetime_at

REFILL = 200  # bars after an interruption until they may be traded again: a strategy's lookback


@dataclass(frozen=True, slots=True)
class Life:
    """When a symbol traded, as far as its bars tell: from the first open of one with a trade to the last close."""

    symbol: str
    first: datetime
    last: datetime
    delisted: bool  # it ended, and bars went on without a trade

    def at(self, ts: datetime) -> bool:
        """Whether it traded then."""
        return self.first <= ts < self.last


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be done with one series."""

    series: str
    rows: int
    first: int  # [µs], as stored
    last: int
    usable: tuple[Span, ...]  # [open of the first bar, close of the last) of each stretch that may be traded on
    usable_bars: int
    oddities: tuple[Oddity, ...]

    @property
    def fatal(self) -> bool:
        return any(oddity.fatal for oddity in self.oddities)

    @property
    def usable_frac(self) -> float:
        return self.usable_bars / self.rows if self.rows else 0.0

    @property
    def words(self) -> str:
        if self.fatal:
            return "must not be read"
        if self.series.endswith((f"-{MARKS}", f"-{FUNDING}")):
            return "may be read"
        if not self.usable:
            return "nothing usable"
        longest = max(self.usable, key=lambda span: span[1] - span[0])
        share = f"{self.usable_frac:.2%} usable in {len(self.usable)} stretches"
        return f"{share}, the longest {when(longest[0])} to {when(longest[1])}"


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is in a folder, and how good it is."""

    folder: Path
    verdicts: Mapping[str, Verdict]  # by series
    lives: Mapping[str, Life]
    refill: int

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        return tuple(oddity for verdict in self.verdicts.values() for oddity in verdict.oddities)

    @property
    def ok(self) -> bool:
        """Whether every series can be read."""
        return not any(verdict.fatal for verdict in self.verdicts.values())

    def alive(self, ts: datetime) -> tuple[str, ...]:
        """The symbols that traded at `ts`: what a universe of that day may be picked from."""
        return tuple(symbol for symbol, life in self.lives.items() if life.at(ts))

    @property
    def document(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "ok": self.ok,
            "refill_bars": self.refill,
            "lives": {
                life.symbol: {"first": _iso(life.first), "last": _iso(life.last), "delisted": life.delisted}
                for life in self.lives.values()
            },
            "series": {
                name: {
                    "rows": its.rows,
                    "first": when(its.first),
                    "last": when(its.last),
                    "usable_bars": its.usable_bars,
                    "usable": [[when(a), when(b)] for a, b in its.usable],
                    "oddities": [
                        {
                            "kind": odd.kind,
                            "words": odd.words,
                            "doubtful": odd.doubtful,
                            "fatal": odd.fatal,
                            "spans": [[when(a), when(b)] for a, b in odd.spans],
                        }
                        for odd in its.oddities
                    ],
                }
                for name, its in self.verdicts.items()
            },
        }


def survey(
    folder: Path,
    symbols: Iterable[str] | None = None,
    *,
    refill: int = REFILL,
    tell: Callable[[int, int, str], None] = lambda done, total, name: None,
    kept: Kept | None = None,
) -> Survey:
    """Look at every series in `folder`, or at those of `symbols`; `tell` hears how far it is. Files that are `kept` are
    not read again."""
    if not folder.is_dir():
        raise BadData(f"there is no folder {folder}")
    names = [its for its in map(Name.of, names_in(folder)) if its is not None]
    wanted = set(symbols) if symbols is not None else {its.symbol for its in names}
    names = [its for its in names if its.symbol in wanted]
    if not names:
        raise BadData(f"{folder} has no bars" + (f" of {', '.join(sorted(wanted))}" if wanted else ""))
    verdicts: dict[str, Verdict] = {}
    lives: dict[str, Life] = {}
    done = 0
    for symbol in sorted({its.symbol for its in names}):
        its = sorted(name for name in names if name.symbol == symbol)
        tell(done, len(names), symbol)
        rows, odd = _looked_at(folder, its, kept)
        life = _life(symbol, rows, odd)
        odd += _between(rows, life)
        for name in its:
            verdicts[str(name)] = _verdict(name, rows.get(name), odd, refill)
        if life:
            lives[symbol] = life
        done += len(its)
    tell(done, len(names), "")
    return Survey(folder, verdicts, lives, refill)


@dataclass(frozen=True, slots=True)
class Doubts:
    """What must not be traded on in bars of one length."""

    spans: Mapping[str, tuple[Span, ...]]  # by symbol [µs]
    notes: tuple[str, ...]  # what is doubted, in words


def doubts(
    folder: Path, symbols: Iterable[str], timeframe: str, within: Span | None = None, kept: Kept | None = None
) -> Doubts:
    """What a survey doubts in bars of `timeframe`, or in those `within` a span of them; `BadData` where it finds that
    they must not be read at all."""
    spans: dict[str, tuple[Span, ...]] = {}
    notes: list[str] = []
    for verdict in survey(folder, symbols, kept=kept).verdicts.values():
        name = Name.of(verdict.series)
        if name is None or name.kind != BARS or name.timeframe != timeframe:
            continue
        if verdict.fatal:
            raise BadData("; ".join(str(odd) for odd in verdict.oddities if odd.fatal) + ": `qt data check` says more")
        found = [odd for odd in verdict.oddities if odd.doubtful and _meets(odd.spans, within)]
        if found:
            spans[name.symbol] = tuple(union(span for odd in found for span in odd.spans))
            notes += [f"not traded on, as `qt data check` doubts it: {odd}" for odd in found]
    return Doubts(spans, tuple(notes))


# --- below ------------------------------------------------------------------------------------------------


def _meets(spans: Iterable[Span], within: Span | None) -> bool:
    return within is None or any(start < within[1] and within[0] < end for start, end in spans)


def _looked_at(folder: Path, names: list[Name], kept: Kept | None) -> tuple[dict[Name, Rows], list[Oddity]]:
    """Each series that can be read, and what is odd in it by itself."""
    found: dict[Name, Rows] = {}
    odd: list[Oddity] = []
    for name in names:
        series, text = Series(folder, str(name)), str(name)
        odd += [Oddity(text, "damaged", f"{part} {why}", fatal=True) for part, why in catalogue.damaged(series).items()]
        try:
            rows, _ = series.load(name.columns, kept=kept)
        except BadData as why:
            odd.append(Oddity(text, "unreadable", str(why), fatal=True))
            continue
        if not len(rows):
            odd.append(Oddity(text, "empty", "it has no rows", fatal=True))
            continue
        bad = [finding for finding in _checked(name, rows) if finding.refuses and finding.kind != "gap"]
        odd += [Oddity(text, finding.kind, finding.words, fatal=True) for finding in bad]
        if bad:
            continue
        found[name] = rows
        if name.kind != FUNDING:
            odd += alone(text, rows, name.span)
    return found, odd


def _checked(name: Name, rows: Rows) -> tuple[Any, ...]:
    if name.kind == FUNDING:
        return check_funding(rows.frame()["funding_rate"], name.symbol)
    return check(rows.frame(forward=name.span), name.timeframe, name.symbol, traded=name.kind != MARKS)


def _between(rows: Mapping[Name, Rows], life: Life | None) -> list[Oddity]:
    """What is odd between the series of one symbol."""
    odd: list[Oddity] = []
    for kind in (BARS, MARKS):
        bars = sorted((name for name in rows if name.kind == kind), key=lambda name: name.span)
        for number, fine in enumerate(bars):
            for coarse in bars[number + 1 :]:
                if coarse.span % fine.span == 0:
                    odd += crosschecks.sums(
                        str(fine), rows[fine], fine.span, str(coarse), rows[coarse], coarse.timeframe, coarse.span
                    )
    for name, its in rows.items():
        mark = Name(name.symbol, name.timeframe, MARKS)
        if name.kind == BARS and mark in rows:
            odd += crosschecks.marks(str(name), its, str(mark), rows[mark], name.span)
        if name.kind == FUNDING and life:
            odd += crosschecks.funding(str(name), its, (_micros(life.first), _micros(life.last)))
    return odd


def _verdict(name: Name, rows: Rows | None, odd: Iterable[Oddity], refill: int) -> Verdict:
    text = str(name)
    its = tuple(oddity for oddity in odd if oddity.series == text)
    if rows is None:
        return Verdict(text, 0, 0, 0, (), 0, its)
    first, last = int(rows.times[0]), int(rows.times[-1])
    if name.kind != BARS:
        return Verdict(text, len(rows), first, last, (), 0, its)
    fit = usable(rows.frame(forward=name.span), name.timeframe, refill).to_numpy(copy=True)
    for start, end in union(span for oddity in its if oddity.doubtful for span in oddity.spans):
        fit &= (rows.times >= end) | (rows.times + name.span <= start)
    return Verdict(text, len(rows), first, last, stretches(fit, rows.times, name.span), int(fit.sum()), its)


def _life(symbol: str, rows: Mapping[Name, Rows], odd: Iterable[Oddity]) -> Life | None:
    """From all bars of a symbol: of any length."""
    firsts, lasts = [], []
    for name, its in rows.items():
        if name.kind != BARS:
            continue
        traded = np.flatnonzero(its.values["volume"] > 0)
        if len(traded):
            firsts.append(int(its.times[traded[0]]))
            lasts.append(int(its.times[traded[-1]]) + name.span)
    if not firsts:
        return None
    ended = any(oddity.kind == "delisted" and oddity.series.split("-")[0] == symbol for oddity in odd)
    return Life(symbol, datetime_at(min(firsts)), datetime_at(max(lasts)), ended)


def _micros(at: datetime) -> int:
    return int(np.datetime64(at.replace(tzinfo=None), "us").astype(np.int64))


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%MZ}"
