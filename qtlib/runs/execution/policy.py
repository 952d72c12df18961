"""When a session goes on: how long after a death it is started again, when it rolls over, when its next pass is due.

Times come in and times go out; nothing here looks at a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from qtlib.params.sections import Session

MEMORY = "MB of memory"  # a roll-over for want of it is a death as others are: a fresh kernel may need as much


@dataclass(slots=True)
class Restarts:
    """A back-off that doubles from `first_s` to `longest_s`; after `most` starts within `within_s` it is enough."""

    first_s: float = 1.0
    longest_s: float = 60.0
    most: int = 5
    within_s: float = 900.0
    deaths: list[float] = field(default_factory=list)  # those within `within_s`, oldest first [s, of any clock]

    def pause_s(self, now: float) -> float | None:
        """How long to wait after a death at `now`; None: starting again does not help."""
        self.deaths = [*(t for t in self.deaths if now - t < self.within_s), now]
        if len(self.deaths) > self.most:
            return None
        return min(self.longest_s, self.first_s * 2.0 ** (len(self.deaths) - 1))

    def __str__(self) -> str:
        return f"{len(self.deaths)} of {self.most} within {self.within_s / 60:g} min"


def next_rollover(after: datetime, at: str | None) -> datetime | None:
    """The first time of day `at` (UTC, as 00:05) that comes after `after`; None, where there is none.

    >>> next_rollover(datetime(2026, 7, 1, 0, 5, tzinfo=UTC), "00:05").isoformat()
    '2026-07-02T00:05:00+00:00'
    """
    if at is None:
        return None
    today = datetime.combine(after.astimezone(UTC).date(), time.fromisoformat(at), UTC)
    return today if today > after else today + timedelta(days=1)


def why_roll_over(beat: Mapping[str, Any], settings: Session, due: bool) -> str | None:
    """Why a segment with this sign of life should make room for the next, if it should; not before its loop has begun.

    `due`: the time of day at which it rolls over has come.
    """
    rss_mb, bars = beat.get("rss_mb") or 0.0, beat.get("done") or 0
    if not beat or beat.get("resting"):
        return None
    if rss_mb > settings.max_rss_mb:
        return f"roll-over: {rss_mb:,.0f} {MEMORY} > session.max_rss_mb {settings.max_rss_mb:,.0f}"
    if settings.rollover_bars and bars >= settings.rollover_bars:
        return f"roll-over: {bars} bars >= session.rollover_bars {settings.rollover_bars}"
    return f"roll-over: it is {settings.rollover} UTC" if due else None


def next_check(begun: float, now: float, every_s: float) -> float:
    """When the next pass is due, if one is due each `every_s` since `begun`: those that were missed are left out."""
    return begun + every_s * (1 + max(0, int((now - begun) // every_s)))
