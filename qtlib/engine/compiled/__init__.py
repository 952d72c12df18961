"""The compiled twin of the event loop: the same trades from the same bars, some hundred times as fast.

It is the backtest alone: what `engine/backtest.py` does over `exchanges/simulated`, in isolated margin, with every
formula of `rules/formulas.py` in the event loop's order. Prices count in ticks, quantities in lots and money in units
fine enough for every fee and wallet, so accounts are exact; wherever the event loop reckons in floats, these are the
same operations on the same floats. What only exact arithmetic could tell apart, and every rule that is not compiled,
raises `Undecided`: then the event loop runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from qtlib.domain.events import START
from qtlib.domain.panel import Panel
from qtlib.engine.compiled import shapes
from qtlib.engine.compiled.known import Undecided
from qtlib.engine.compiled.prepare import Room, Tape, Wishes, tape, wishes, world
from qtlib.engine.compiled.shapes import CLOSE_CALL, CROWDED, DONE, NO_ROWS, NO_SLIPS, TOO_LARGE, where
from qtlib.engine.feeds import History, Strategy, panel_of
from qtlib.exchanges.simulated.conduct import Conduct
from qtlib.rules.rules import Rules

__all__ = ["Lived", "Tape", "Undecided", "Wishes", "backtest", "tape", "trade", "wishes"]

ROOM = 1 << 10  # rows, and slips, to begin with
CELLS_A_ROW = 16
BREATH = 1 << 21  # bars of a symbol that are lived through at a stretch, in less than half a second

GoOn = Callable[[int, int], bool]  # how many bars are done, of how many; whether to go on


@dataclass(frozen=True, eq=False)
class Lived:
    """What came of a run, in the arrays of `shapes`."""

    symbols: tuple[str, ...]
    world: Any
    first: int  # bar
    end: int  # the bar after the last
    cash: Decimal  # at the start
    version: str  # of the model

    @property
    def unmarked(self) -> tuple[str, ...]:
        """Symbols of which a last price had to be the mark price."""
        lived = slice(self.first, self.end)
        marks, there = self.world.marks[:, lived, shapes.CLOSE], ~np.isnan(self.world.bars[:, lived, shapes.OPEN])
        if not marks.size:
            return tuple(s for s, any_ in zip(self.symbols, there.any(axis=1), strict=True) if any_)
        missing = (there & np.isnan(marks)).any(axis=1)
        return tuple(s for s, lacks in zip(self.symbols, missing, strict=True) if lacks)


def backtest(
    history: History,
    strategy: Strategy,
    rules: Rules,
    conduct: Conduct,
    cash: Decimal,
    *,
    close_at_end: bool = True,
    max_bars: int | None = None,
    after: datetime = START,
    go_on: GoOn = lambda done, total: True,
    panel: Panel | None = None,
) -> Lived:
    """Trade `history`, whose `panel` is made unless it is there, after `after`, or its first `max_bars` bars from then.

    `go_on` is asked now and then; once it says no, what is open stays open. Or `Undecided`.
    """
    panel = panel or panel_of(history)
    on, since = tape(history, panel), (after - START) // timedelta(microseconds=1)
    first, end = _stretch(on, since, max_bars)
    seen = max(0, first + 1 - strategy.lookback)
    return trade(
        on,
        wishes(strategy.signals(panel.between(seen, end)), on, seen),
        rules,
        conduct,
        cash,
        close_at_end=close_at_end,
        max_bars=max_bars,
        after=since,
        go_on=go_on,
    )


def trade(
    on: Tape,
    wished: Wishes,
    rules: Rules,
    conduct: Conduct,
    cash: Decimal,
    *,
    close_at_end: bool = True,
    max_bars: int | None = None,
    after: int = 0,  # microseconds since 1970, UTC
    told: bool = True,
    go_on: GoOn = lambda done, total: True,
    breath: int = BREATH,
) -> Lived:
    """Trade `on` as `wished`. `told`: every decision and every level is written down, too."""
    first, end = _stretch(on, after, max_bars)
    room = Room(ROOM + (end - first) * len(on.symbols) // CELLS_A_ROW, ROOM)
    while True:
        w = world(on, wished, rules, conduct, cash, told, room)
        outcome, reached = _through(w, first, end, close_at_end, go_on, max(1, breath // len(on.symbols)))
        if outcome == NO_ROWS:
            room = room._replace(rows=room.rows * 8)
        elif outcome == NO_SLIPS:
            room = room._replace(slips=room.slips * 8)
        else:
            break
    if outcome != DONE:
        raise Undecided(_WHY[outcome])
    return Lived(on.symbols, w, first, reached, cash, wished.version)


def _stretch(on: Tape, after: int, max_bars: int | None) -> tuple[int, int]:
    """The first bar that is traded, and the one after the last."""
    first = int(np.searchsorted(on.times, after, side="right"))
    return first, len(on.times) if max_bars is None else min(first + max_bars, len(on.times))


def _through(w: Any, first: int, end: int, close_at_end: bool, go_on: GoOn, stretch: int) -> tuple[int, int]:
    """Live through the bars from `first` on, a stretch at a time: how it ended, and before which bar."""
    # a cold start: numba takes a second, and whoever only asks what is known does not need it
    from qtlib.engine.compiled.kernel import lived  # noqa: PLC0415

    there, reached = where(w), first
    while True:
        begun, reached = reached, min(reached + stretch, end)
        outcome = lived(there, begun, reached, close_at_end and reached == end)
        if outcome != DONE or reached == end or not go_on(reached - first, end - first):
            return outcome, reached


_WHY = {
    CLOSE_CALL: "a decision hung on less than floats can tell",
    TOO_LARGE: "an amount became too large to be exact",
    CROWDED: "more orders rested for one position than there is room for",
}
