"""One symbol's bars in their order: none twice, none left out, each with the mark price it closed with.

What is heard tells itself whether something before it is missing: a bar opens when the one before it closes. What
follows a hole waits until the hole is filled from REST. What time it is comes in from outside.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime

from qtlib.domain.market import Bar
from qtlib.exchanges.binance.payloads import CandleNews, MarkNews
from qtlib.exchanges.binance.words import ms_of, ts_of
from qtlib.exchanges.port import BarHeard

_MARKS = 16  # remembered: as many seconds as the word of a bar's close may be late


class Candles:
    """The bars of `symbol` that closed after `after`."""

    def __init__(self, symbol: str, after: datetime, late_ms: int) -> None:
        self.symbol = symbol
        self._newest_ms = ms_of(after)  # the close of the newest bar told
        self._needed_ms = self._newest_ms  # bars up to here have closed
        self._closes_ms, self._span_ms = 0, 0  # when the bar that is open will close, and how long one is
        self._late_ms = late_ms  # after its close a bar has closed, whether it was told or not
        self._waiting: dict[int, tuple[int, BarHeard]] = {}  # by close: its open, and what to tell once its turn comes
        self._marks: deque[MarkNews] = deque(maxlen=_MARKS)

    @property
    def newest(self) -> datetime:
        """The close of the newest bar told."""
        return ts_of(self._newest_ms)

    @property
    def incomplete(self) -> bool:
        """Whether a bar has closed that was not told."""
        return self._newest_ms < self._needed_ms

    def hear_mark(self, mark: MarkNews) -> None:
        self._marks.append(mark)
        self.stand_at(mark.ts_ms)

    def stand_at(self, now_ms: int) -> None:
        """It is that late at the venue: what had to close before has closed, whether it was told or not."""
        late_ms = now_ms - self._late_ms - self._closes_ms
        if self._span_ms and late_ms > 0:
            closed_ms = self._closes_ms + (late_ms - 1) // self._span_ms * self._span_ms
            self._needed_ms = max(self._needed_ms, closed_ms)

    def hear(self, news: CandleNews) -> list[BarHeard]:
        """The bars that can be told now that this was heard."""
        self._needed_ms = max(self._needed_ms, news.opened_ms)
        self._closes_ms, self._span_ms = max(self._closes_ms, news.closes_ms), news.closes_ms - news.opened_ms
        if news.bar:
            mark = self._mark_within(news.opened_ms, news.closes_ms)
            self._waiting[news.closes_ms] = (news.opened_ms, BarHeard(self.symbol, news.bar, mark))
        return self._due()

    def fill(self, found: Sequence[tuple[Bar, float | None]]) -> list[BarHeard]:
        """The bars that can be told now that REST has `found` these with their marks, oldest first."""
        told = []
        for bar, mark in found:
            if (closed_ms := ms_of(bar.ts)) > self._newest_ms:
                self._newest_ms = closed_ms
                told.append(BarHeard(self.symbol, bar, mark))
        return told + self._due()

    def give_up(self) -> list[BarHeard]:
        """The bars that can be told if those which are missing never come."""
        first = min((opened for opened, _ in self._waiting.values()), default=self._needed_ms)
        self._newest_ms = max(self._newest_ms, first)
        return self._due()

    def _due(self) -> list[BarHeard]:
        told = []
        for closed_ms in sorted(self._waiting):
            opened_ms, heard = self._waiting[closed_ms]
            if opened_ms > self._newest_ms:
                break
            del self._waiting[closed_ms]
            if closed_ms > self._newest_ms:
                self._newest_ms = closed_ms
                told.append(heard)
        return told

    def _mark_within(self, opened_ms: int, closes_ms: int) -> float | None:
        within = [mark for mark in self._marks if opened_ms < mark.ts_ms <= closes_ms]
        return max(within, key=lambda mark: mark.ts_ms).price if within else None
