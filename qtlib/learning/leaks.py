"""A linter for leaks: whatever is computed at a bar must be the same when nothing after that bar exists.

It believes no name and reads no source: it takes the future away, computes again, and compares to the last bit. So
it runs over features, strategies, labels, universes, and any function of yours that has the same form, on any market;
each finding names the function, the bar and the two values. What a function alone can't show (folds, purging, what is
fitted on which rows) is looked for in `row_leaks`.

    lint(FEATURES.values(), panel)                    # look-ahead, and lookbacks that are too short
    lint_labels("mine", my_labels, panel)             # outcomes that read beyond their own end
    lint_universe("the largest", pick, panel, begins) # symbols chosen by what came later
    lint_world("funding", of, world)                  # rates and mark prices before they were known
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import pandas as pd

from qtlib.domain.panel import Array, Beliefs, Panel
from qtlib.learning.across import LEADERS
from qtlib.learning.features import Feature
from qtlib.learning.findings import Finding, Findings
from qtlib.learning.labels import Labels

FUTURE, LOOKBACK, BROKEN, UNIVERSE = "reads the future", "lookback too short", "breaks", "future universe"
_ONE_BY_ONE = 26  # closes in a row at which the lookback is tried: every hour of a day
_CUTS = 5  # places at which the future is taken away from all that came before
_SYMBOLS = 6  # that are looked at
_AHEAD = 400  # closes looked at beyond two lookbacks: a fortnight of hours
_START = datetime(1970, 1, 1, tzinfo=UTC)


class Leaky(ValueError):
    """What is asked to trade, or to be learned from, knows what nobody can know; the message says what, and where."""


class Strategic(Protocol):
    """A strategy, as far as it is looked at."""

    @property
    def name(self) -> str: ...
    @property
    def lookback(self) -> int: ...
    def signals(self, panel: Panel) -> Beliefs: ...


def lint(functions: Iterable[Feature | Strategic], panel: Panel) -> Findings:
    """Where a feature or a strategy reads the future, or more of the past than its `lookback`.

    Looked at on the newest stretch of `panel`, as it is and with bars missing: what fills gaps shows only there.
    """
    found, looked = [], []
    for function in functions:
        looked.append(function.name)
        found += list(_first_of_each_kind(_leaks_of(function, panel)))
    return Findings(tuple(found), tuple(looked))


def lint_labels(name: str, of: Callable[[Panel], Labels], panel: Panel) -> Findings:
    """Where an outcome changes with what came after its own end, or is told before it."""
    whole = of(panel)
    found = []
    for cut in _spread(len(panel), 2):
        told = of(panel.between(0, cut))
        for value, end in _ENDS.items():
            ends, before = getattr(whole, end)[:, :cut], getattr(told, end)
            there = (ends >= 0) & (ends < cut)
            expected = np.where(there, getattr(whole, value)[:, :cut], np.nan)
            apart = _apart(expected, getattr(told, value)) | (np.where(there, ends, -1) != before)
            if apart.any():
                row, at = _first(apart)
                known = getattr(told, value)[row, at]
                words = f"{name} reads beyond the end of its label: {value} of {_place(panel, row, at)} ends at "
                words += f"{_when(panel, int(ends[row, at]))} with {_shown(expected[row, at])}, and is {_shown(known)} "
                words += f"ending at {_when(panel, int(before[row, at]))} when nothing after "
                words += f"{_when(panel, cut - 1)} exists; let its end be the last bar that it reads"
                where = _place(panel, row, at)
                found.append(Finding(FUTURE, name, where, _shown(expected[row, at]), _shown(known), words))
    return Findings(tuple(_first_of_each_kind(iter(found))), (name,))


def lint_universe(name: str, pick: Callable[[Panel], Iterable[str]], panel: Panel, begins: int) -> Findings:
    """Whether the symbols that are traded from column `begins` on would have been picked at its close."""
    with_future, then = set(pick(panel)), set(pick(panel.between(0, begins + 1)))
    found = []
    if with_future != then:
        symbol = sorted(with_future ^ then)[0]
        told, known = ("in", "out") if symbol in with_future else ("out", "in")
        words = f"{name} picks by what came later: {symbol} is {told} when all bars are known, and {known} by what was "
        words += f"known at {_when(panel, begins)}, when trading begins; pick at each time from what was known then"
        found.append(Finding(UNIVERSE, name, f"{symbol} at {_when(panel, begins)}", told, known, words))
    return Findings(tuple(found), (name,))


@dataclass(frozen=True)
class World:
    """What there is of a market, each series by the time that its exchange stamps it with."""

    bars: Mapping[str, pd.DataFrame]  # by close
    marks: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # by close
    funding: "Mapping[str, pd.Series[float]]" = field(default_factory=dict)  # rates by settlement

    def known_at(self, close: pd.Timestamp) -> "World":
        """What is known when one decides at `close`: its bars, and marks and rates from before it.

        The mark price of a bar and the rate that is settled at its close are published after it, so neither can be in
        a decision at that close.
        """
        return World(
            {symbol: frame.loc[:close] for symbol, frame in self.bars.items()},
            {symbol: frame.loc[frame.index < close] for symbol, frame in self.marks.items()},
            {symbol: rates.loc[rates.index < close] for symbol, rates in self.funding.items()},
        )


def lint_world(name: str, of: Callable[[World], pd.DataFrame], world: World) -> Findings:
    """Where a table by close and symbol, made of bars, mark prices and funding, has what was not known at its close."""
    whole = of(world)
    times = pd.DatetimeIndex(sorted(set().union(*(frame.index for frame in world.bars.values()))))
    for cut in _spread(len(times), _ONE_BY_ONE):
        close = times[cut - 1]
        told = of(world.known_at(close)).reindex(columns=whole.columns)
        rows = whole.index[whole.index <= close]
        one, other = whole.loc[rows].to_numpy(np.float64), told.reindex(rows).to_numpy(np.float64)
        if (apart := _apart(one, other)).any():
            at, column = _first(apart)
            where = f"{whole.columns[column]} at {rows[at]:%Y-%m-%d %H:%M} UTC"
            words = _sentence(name, where, one[at, column], other[at, column], f"{close:%Y-%m-%d %H:%M} UTC")
            found = Finding(FUTURE, name, where, _shown(one[at, column]), _shown(other[at, column]), words)
            return Findings((found,), (name,))
    return Findings((), (name,))


# --- below ----------------------------------------------------------------------------------------------------------

_ENDS = {"long_frac": "long_end", "long_r": "long_end", "short_frac": "short_end", "short_r": "short_end"}
_ENDS |= {"favourable_frac": "excursion_end", "adverse_frac": "excursion_end"}


def _leaks_of(function: Feature | Strategic, panel: Panel) -> Iterator[Finding]:
    recent = _some(panel).last(2 * function.lookback + _AHEAD)
    try:
        for world in (recent, _with_gaps(recent)):
            yield from _leaks_in(function, world)
    except Exception as why:
        words = f"{function.name} breaks on a part of the panel: {type(why).__name__}: {why}; it must take any"
        yield Finding(BROKEN, function.name, "", "", "", words)


def _leaks_in(function: Feature | Strategic, panel: Panel) -> Iterator[Finding]:
    name, lookback = function.name, function.lookback
    whole = _values(function, panel)
    for cut in _spread(len(panel), 1):
        past = _values(function, panel.between(0, cut))
        for (column, values), before in zip(whole.items(), past.values(), strict=True):
            if (apart := _apart(values[:, :cut], before)).any():
                row, at = _first(apart)
                yield _found(FUTURE, name, column, panel, row, at, values[row, at], before[row, at], cut - 1)
    for cut in _spread(len(panel), _ONE_BY_ONE):
        alone = _values(function, panel.between(max(0, cut - lookback), cut))
        for (column, values), last in zip(whole.items(), alone.values(), strict=True):
            apart = _apart(values[:, cut - 1], last[:, -1])
            if apart.any():
                row = int(np.argmax(apart))
                before = _values(function, panel.between(0, cut))[column][row, -1]
                honest = _apart(values[row, cut - 1], before)
                kind, known = (FUTURE, before) if honest.any() else (LOOKBACK, last[row, -1])
                yield _found(kind, name, column, panel, row, cut - 1, values[row, cut - 1], known, cut - 1, lookback)


def _values(function: Feature | Strategic, panel: Panel) -> dict[str, Array]:
    """What `function` tells, by the name of each column it tells."""
    if isinstance(function, Feature):
        return {"": np.asarray(function.of(panel), dtype=np.float64)}
    beliefs = function.signals(panel)._asdict()
    return {name: np.asarray(c, dtype=np.float64) for name, c in beliefs.items() if isinstance(c, np.ndarray)}


def _spread(count: int, in_a_row: int) -> Sequence[int]:
    """How many closes are left at each cut: some from all over the second half, and the last ones, one by one."""
    step = 0.5 / (_CUTS + 0.618)
    spread = [int(count * (0.5 + step * (place + 1))) for place in range(_CUTS)]
    return sorted({cut for cut in (*spread, *range(count - in_a_row, count)) if 0 < cut < count})


def _some(panel: Panel) -> Panel:
    """`panel` with few of its symbols, bitcoin among them: a leak is in the function, and each symbol shows it."""
    rows = [row for row, symbol in enumerate(panel.symbols) if symbol in LEADERS]
    rows = sorted([*rows, *(row for row in range(len(panel.symbols)) if row not in rows)][:_SYMBOLS])
    columns = {f.name: getattr(panel, f.name)[rows] for f in fields(Panel) if f.name not in ("symbols", "times")}
    return replace(panel, symbols=tuple(panel.symbols[row] for row in rows), **columns)


def _with_gaps(panel: Panel) -> Panel:
    """`panel` without the last bars before each cut, of one symbol after the other."""
    columns = {f.name: getattr(panel, f.name).copy() for f in fields(Panel) if f.name not in ("symbols", "times")}
    for number, cut in enumerate(_spread(len(panel), 1)):
        for values in columns.values():
            values[number % len(values), max(0, cut - 3) : cut] = np.nan
    return replace(panel, **columns)


def _apart(one: Array, other: Array) -> Any:
    return ~((one == other) | (np.isnan(one) & np.isnan(other)))


def _first(apart: Any) -> tuple[int, int]:
    """The first place along the last axis at which anything is apart."""
    at = int(np.argmax(apart.any(axis=0)))
    row = int(np.argmax(apart[:, at]))
    return row, at


def _found(
    kind: str,
    name: str,
    column: str,
    panel: Panel,
    row: int,
    at: int,
    told: float,
    known: float,
    newest: int,
    lookback: int = 0,
) -> Finding:
    named, where = f"{name}'s {column}" if column else name, _place(panel, row, at)
    if kind is FUTURE:
        words = _sentence(named, where, told, known, _when(panel, newest))
    else:
        words = (
            f"{named} reads more of the past than its lookback: {where} it is {_shown(told)} from the whole past and "
        )
        words += f"{_shown(known)} from the last {lookback} closes; say a larger lookback, or let nothing accumulate"
    return Finding(kind, name, where, _shown(told), _shown(known), words)


def _sentence(name: str, where: str, told: float, known: float, newest: str) -> str:
    return (
        f"{name} reads the future: {where} it is {_shown(told)}, and {_shown(known)} when nothing after {newest} is "
        f"known; read no bar later than the one it is for"
    )


def _first_of_each_kind(found: Iterator[Finding]) -> Iterator[Finding]:
    seen = set()
    for finding in found:
        if finding.kind not in seen:
            seen.add(finding.kind)
            yield finding


def _place(panel: Panel, row: int, at: int) -> str:
    return f"{panel.symbols[row]} at {_when(panel, at)}"


def _when(panel: Panel, at: int) -> str:
    if at < 0:
        return "no time yet"
    return f"{_START + timedelta(microseconds=int(panel.times[at])):%Y-%m-%d %H:%M} UTC"


def _shown(value: float) -> str:
    return "unknown" if np.isnan(value) else repr(float(value))
