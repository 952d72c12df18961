"""What makes the simulated market go on: a control endpoint (stepped), or the wall clock, at any speed.

`speed` is simulated time over wall time: at 1 an hourly bar takes an hour, at 3600 a second. A feed that has ended
leaves the market standing where it is; the venue goes on answering. A step that could not be kept on disk has not
happened, and comes again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from qtlib.domain.market import Step
from qtlib.exchanges.port import Unavailable
from qtlib.exchanges.simulated.served.desk import Desk

_log = logging.getLogger(__name__)


class Upstream(Protocol):
    """A market elsewhere, which ours follows."""

    @property
    def why_not(self) -> str:
        """Why the market stands still; empty: it does not."""

    @property
    def standing(self) -> dict[str, Any]:
        """For whoever asks how the market is."""

    async def run(
        self,
        after: datetime,
        live: Callable[[Step], None],
        requote: Callable[[Mapping[str, float], Mapping[str, float]], None],
    ) -> None:
        """`live` through each step after `after`, and `requote` in between, for ever."""


@dataclass(slots=True)
class Clock:
    """`speed` None: only `step` moves it."""

    desk: Desk
    coming: Iterator[Step]
    speed: float | None
    after: Callable[[], None] = field(default=lambda: None)  # called when a step is over
    met: Callable[[Step], Step] = field(default=lambda step: step)  # a step as what goes wrong makes it
    ended: bool = False
    _due: Step | None = None  # begun, and not yet lived through

    def step(self, bars: int = 1) -> int:
        """Live through the next `bars`; how many there were."""
        for lived in range(bars):
            self._due = self._due or next(self.coming, None)
            if self._due is None:
                self.ended = True
                return lived
            self.live(self._due)
            self._due = None
        return bars

    def live(self, step: Step) -> None:
        """Live through `step`, and say so."""
        self.desk.live(self.met(step))
        self.after()

    async def run(self) -> None:
        """Step at its speed until the feed ends; late steps are caught up with, none is left out."""
        if self.speed is None:
            return
        loop = asyncio.get_running_loop()
        length_s = self.desk.chart.span.total_seconds() / self.speed
        due = loop.time()
        while not self.ended:
            due += length_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            try:
                self.step()
            except Unavailable as why:
                _log.error("the market stands still: %s", why)
