"""A market: bars, mark prices and funding as values, with what is known about how good they are.

Frames are indexed by the bar's close (aware UTC, named ts) and hold open, high, low, close [quote] and volume [base]
as floats; funding rates are fractions by settlement time, and longs pay where they are positive. What stands in for
what is missing is said in `notes`, so that a record can repeat it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd

from qtlib.market.quality import COLUMNS, Finding, Severity, check, check_funding, missing, usable
from qtlib.market.report import Report
from qtlib.market.timeframes import HOUR, Micros, among, datetime_at, index_of, indexed, micros_in, micros_of

FUNDING_EVERY = 8 * HOUR  # the longest interval between two settlements
REFILL = 200  # bars after an interruption until they may be traded again: a strategy's lookback


class BadData(Exception):
    """Bars that must not be used: what is wrong with which rows of which file, and what to do."""


@dataclass(frozen=True, eq=False, repr=False)
class Market:
    """What happened in a market, and whether it did."""

    timeframe: str
    bars: Mapping[str, pd.DataFrame]  # by symbol
    marks: Mapping[str, pd.DataFrame]  # mark price bars; where a symbol or a bar is missing, last prices stand in
    funding: Mapping[str, "pd.Series[float]"]  # rates by settlement time
    usable: Mapping[str, "pd.Series[bool]"]  # which bars may be traded on
    source: str  # in words
    simulated: bool
    notes: tuple[str, ...] = ()  # which fallback is used where
    findings: tuple[Finding, ...] = ()
    finer: "Market | None" = None  # shorter bars that sum up to these: what a venue lives through inside them
    doubtful: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)  # [µs], where bars may be wrong

    @staticmethod
    def of(
        bars: Mapping[str, pd.DataFrame],
        timeframe: str,
        *,
        marks: Mapping[str, pd.DataFrame] | None = None,
        funding: Mapping[str, "pd.Series[float]"] | None = None,
        source: str = "bars given as they are",
        simulated: bool = False,
        allow_gaps: bool = False,
        refill: int = REFILL,
        until: datetime | str | None = None,
        finer: "Market | None" = None,
        notes: Sequence[str] = (),
    ) -> "Market":
        """These bars as a market, checked: what must not be traded raises `BadData`."""
        empty = [symbol for symbol, frame in bars.items() if not len(frame)]
        if empty or not bars:
            raise BadData(f"no bars for {', '.join(empty) or 'any symbol'}: ask for a period that has some")
        frames = {symbol: _tidy(frame) for symbol, frame in bars.items()}
        marked = {symbol: _tidy(frame) for symbol, frame in (marks or {}).items() if len(frame)}
        rates = {symbol: _tidy_rates(series) for symbol, series in (funding or {}).items()}

        last = max(frame.index[-1] for frame in frames.values()) if until is None else until
        found = [f for s, frame in frames.items() for f in check(frame, timeframe, s, until=last)]
        found = [_tolerated(f) if allow_gaps else f for f in found]
        found += [_tolerated(f) for s, frame in marked.items() for f in check(frame, timeframe, s, traded=False)]
        found += [f for s, series in rates.items() for f in check_funding(series, s)]
        if bad := [f for f in found if f.refuses]:
            raise BadData(_refusal(bad, source))
        return Market(
            timeframe=timeframe,
            bars=frames,
            marks=marked,
            funding=rates,
            usable={symbol: usable(frame, timeframe, refill) for symbol, frame in frames.items()},
            source=source,
            simulated=simulated,
            notes=(*notes, *_fallbacks(timeframe, frames, marked, rates)),
            findings=tuple(found),
            finer=finer,
        )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over every bar, mark price and rate, finer ones too: equal where all of them are."""
        digest = hashlib.sha256(self.timeframe.encode())
        tables: list[tuple[str, pd.DataFrame]] = [(f"bars {s}", frame) for s, frame in self.bars.items()]
        tables += [(f"marks {s}", frame) for s, frame in self.marks.items()]
        tables += [(f"funding {s}", series.to_frame()) for s, series in self.funding.items()]
        for name, table in sorted(tables, key=lambda named: named[0]):
            digest.update(f"|{name} {len(table)}|".encode())
            digest.update(np.ascontiguousarray(micros_in(table.index)).data)
            for column in table.columns:
                digest.update(np.ascontiguousarray(table[column].to_numpy(np.float64)).data)
        digest.update(self.finer.fingerprint.encode() if self.finer else b"")
        return digest.hexdigest()

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.bars)

    def refilled(self, refill: int) -> "Market":
        """The same market, whose bars may be traded on once `refill` of them stand in a row."""
        return replace(self, usable={symbol: self._fit(symbol, refill) for symbol in self.bars})

    def doubting(
        self, doubtful: Mapping[str, tuple[tuple[int, int], ...]], refill: int, notes: Sequence[str] = ()
    ) -> "Market":
        """The same market, of whose bars none may be traded on that reaches into a doubtful span."""
        return replace(self, doubtful=doubtful, notes=(*self.notes, *notes)).refilled(refill)

    def _fit(self, symbol: str, refill: int) -> "pd.Series[bool]":
        frame, span = self.bars[symbol], micros_of(self.timeframe)
        fit, close = usable(frame, self.timeframe, refill), micros_in(frame.index)
        for start, end in self.doubtful.get(symbol, ()):
            fit &= (close - span >= end) | (close <= start)
        return fit

    @property
    def first(self) -> datetime:
        """The first close."""
        return min(datetime_at(micros_in(frame.index)[0]) for frame in self.bars.values())

    @property
    def last(self) -> datetime:
        """The last close."""
        return max(datetime_at(micros_in(frame.index)[-1]) for frame in self.bars.values())

    @property
    def count(self) -> int:
        """Bars, of all symbols together."""
        return sum(len(frame) for frame in self.bars.values())

    def report(self) -> Report:
        """What there is and how good it is, to read."""
        title = f"{self.source}: bars of {self.timeframe}" + (", SIMULATED" if self.simulated else "")
        rows = tuple(self._row(symbol) for symbol in self.symbols)
        return Report(title, rows, (*self.notes, *map(str, self.findings)))

    def _row(self, symbol: str) -> tuple[str, ...]:
        frame, ts = self.bars[symbol], micros_in(self.bars[symbol].index)
        counts = (
            missing(ts, micros_of(self.timeframe)),
            int((frame["volume"] == 0).sum()),
            int((~self.usable[symbol]).sum()),
            len(self.marks.get(symbol, ())),
            len(self.funding.get(symbol, ())),
        )
        return (symbol, f"{len(frame):,}", _when(ts[0]), _when(ts[-1]), *(f"{count:,}" for count in counts))

    def __repr__(self) -> str:
        return f"<Market {self.source}: {', '.join(self.symbols)}, {self.count:,} bars of {self.timeframe}>"

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def coarser(self, timeframe: str, refill: int = REFILL) -> "Market":
        """The same market in longer bars, with these as the finer ones inside them."""
        return Market.of(
            {symbol: aggregate(frame, timeframe) for symbol, frame in self.bars.items()},
            timeframe,
            marks={symbol: aggregate(frame, timeframe) for symbol, frame in self.marks.items()},
            funding=self.funding,
            source=self.source,
            simulated=self.simulated,
            allow_gaps=any(f.kind == "gap" for f in self.findings),
            refill=refill,
            finer=self,
        )


def aggregate(bars: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """`bars` summed up to `timeframe`; a longer bar stands only where all its parts do."""
    ts, span = micros_in(bars.index), micros_of(timeframe)
    if len(ts) < 2:  # the length of a bar is seen between two
        return bars.iloc[:0]
    part = int(np.min(np.diff(ts)))
    if part <= 0 or span % part:
        raise ValueError(f"bars of {part / 6e7:g} minutes do not add up to {timeframe}")
    close = -(-ts // span) * span  # the longer bar's own
    starts = np.flatnonzero(np.r_[True, np.diff(close) > 0])
    whole = np.diff(np.r_[starts, len(ts)]) == span // part
    o, h, low, c, volume = (bars[name].to_numpy(np.float64) for name in COLUMNS)
    summed = {
        "open": o[starts],
        "high": np.maximum.reduceat(h, starts),
        "low": np.minimum.reduceat(low, starts),
        "close": c[np.r_[starts[1:], len(ts)] - 1],
        "volume": np.add.reduceat(volume, starts),
    }
    return pd.DataFrame({name: values[whole] for name, values in summed.items()}, index=index_of(close[starts][whole]))


def _tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the columns of a bar, as floats, on the index that every frame has."""
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise BadData(f"bars have no column {', '.join(missing)}; they have {', '.join(map(str, frame.columns))}")
    return frame[list(COLUMNS)].astype(np.float64).set_axis(indexed(frame.index))


def _tidy_rates(series: "pd.Series[float]") -> "pd.Series[float]":
    return series.astype(np.float64).set_axis(indexed(series.index)).rename("funding_rate")


def _tolerated(finding: Finding) -> Finding:
    """A gap that may be read over: it is known, and what follows from it is in `usable` or in the notes."""
    return replace(finding, severity=Severity.WARN) if finding.kind == "gap" else finding


def _refusal(bad: Sequence[Finding], source: str) -> str:
    shown = "; ".join(str(f) for f in bad[:5]) + (f"; and {len(bad) - 5} more" if len(bad) > 5 else "")
    gaps = all(f.kind == "gap" for f in bad)
    remedy = "ask for a period without them, or set allow_gaps" if gaps else "mend these bars, or get them again"
    return f"{shown}. Not read from {source}: {remedy}"


def _fallbacks(
    timeframe: str,
    bars: Mapping[str, pd.DataFrame],
    marks: Mapping[str, pd.DataFrame],
    funding: Mapping[str, "pd.Series[float]"],
) -> list[str]:
    """In words, what stands in for mark prices and funding that are not there."""
    notes = []
    for symbol, frame in bars.items():
        ts = micros_in(frame.index)
        bare = ts[~among(ts, micros_in(marks[symbol].index))] if symbol in marks else ts
        if len(bare):
            notes.append(f"{symbol}: no mark price at {timeframe}, last price stands in {_stretch(bare, ts)}")
        settled = micros_in(funding[symbol].index) if symbol in funding else ts[:0]
        notes += _unfunded(symbol, ts[0] - micros_of(timeframe), ts[-1], settled)
    return notes


def _stretch(some: Micros, ts: Micros) -> str:
    if len(some) == len(ts):
        return "throughout"
    if len(some) == 1:
        return f"at {_when(some[0])}"
    unbroken = np.searchsorted(ts, some[-1]) - np.searchsorted(ts, some[0]) + 1 == len(some)
    return f"from {_when(some[0])} to {_when(some[-1])}" + ("" if unbroken else f" in {len(some)} bars")


def _unfunded(symbol: str, first: int, last: int, settled: Micros) -> list[str]:
    """In words, where more than `FUNDING_EVERY` lies between two settlements, or between them and the bars' ends."""
    met = settled[(settled > first) & (settled <= last)]
    edges = np.concatenate([[first], met, [last]])
    wide = np.flatnonzero(np.diff(edges) > FUNDING_EVERY)
    if len(wide) and not len(met):
        return [f"{symbol}: no funding rates, none is charged"]
    notes = []
    for begin, end in zip(edges[wide], edges[wide + 1], strict=True):
        between = f"before {_when(end)}" if begin == first else f"after {_when(begin)}" if end == last else ""
        between = between or f"between {_when(begin)} and {_when(end)}"
        notes.append(f"{symbol}: no funding rates {between}, none is charged there")
    return (
        notes if len(notes) <= 3 else [*notes[:2], f"{symbol}: {len(notes) - 2} more stretches without funding rates"]
    )


def _when(micros: int) -> str:
    at = datetime_at(micros)
    return f"{at:%Y-%m-%d}" if at.hour == at.minute == 0 else f"{at:%Y-%m-%d %H:%M}"
