"""The universe of each day, asked of bars side by side: a replay and a live session ask the same of the same bars."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, fsum

import numpy as np

from qtlib.domain.decisions import Moment
from qtlib.domain.panel import Panel
from qtlib.domain.universe import Picked
from qtlib.rules.universe import Known, UniverseParams, pick

DAY = timedelta(days=1)
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Universe:
    """Who may become a member, and by which rule."""

    candidates: tuple[str, ...]
    params: UniverseParams
    listed: Mapping[str, datetime] = field(default_factory=dict)  # close of the first bar; one without is not listed

    def at(self, ts: datetime, panel: Panel) -> Picked:
        """The choice of the day that `ts` lies in, of what `panel` has up to its beginning."""
        day = ts.replace(hour=0, minute=0, second=0, microsecond=0)
        first, last = np.searchsorted(panel.times, [_micros(day - DAY), _micros(day)], side="right")
        places = {symbol: place for place, symbol in enumerate(panel.symbols)}
        known = {
            symbol: Known(
                self.listed.get(symbol),
                _turnover_quote(panel, places[symbol], first, last) if symbol in places else 0.0,
            )
            for symbol in self.candidates
        }
        return pick(day, known, self.params)


def bars_needed(span: timedelta) -> int:
    """How many closes, `span` apart, hold the day before the one that lies among the last of them."""
    return ceil(2 * DAY / span)


@dataclass(slots=True)
class Days:
    """Tells each day once: a moment that opens one brings its universe along."""

    universe: Universe | None
    last: datetime | None = None

    def opened(self, moment: Moment, panel: Panel) -> Moment:
        """`moment`, with what was picked if it is the first of its day."""
        if self.universe is None or (self.last is not None and self.last.date() == moment.ts.date()):
            return moment
        self.last = moment.ts
        return moment._replace(picked=self.universe.at(moment.ts, panel))


def _turnover_quote(panel: Panel, place: int, first: int, last: int) -> float:
    """Volume at the close of its bar: bars do not tell the money itself. Exact, so that no order of summing shows."""
    worth = panel.close[place, first:last] * panel.volume[place, first:last]
    return fsum(worth[~np.isnan(worth)].tolist())


def _micros(ts: datetime) -> int:
    return (ts - _EPOCH) // _MICROSECOND
