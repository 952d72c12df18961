"""A venue that is reached late: what is sent to it trades a moment after the close, at the price of that moment.

Bars don't say how a price went within them, so it is taken to go straight from a bar's open to its close. What waits
at the venue already is not late.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from qtlib.domain.decisions import Moment
from qtlib.domain.events import Event, Filled, OrderChanged
from qtlib.domain.market import Step
from qtlib.domain.orders import Action, Order
from qtlib.domain.state import ExchangeSnapshot
from qtlib.domain.values import changed
from qtlib.exchanges.simulated.venue import SimulatedExchange


class LateExchange:
    """`Exchange` over another one, `delay_s` away."""

    def __init__(self, venue: SimulatedExchange, delay_s: float) -> None:
        self._venue, self._delay = venue, timedelta(seconds=delay_s)
        self._late: set[str] = set()  # keys of what came of an order as it was sent

    @property
    def now(self) -> datetime:
        return self._venue.now

    def advance(self, step: Step) -> None:
        self._venue.advance(step)

    def carry_out(self, actions: Sequence[Action]) -> Sequence[Event]:
        followed = self._venue.carry_out(actions)
        self._late |= {event.key for event in followed if event.ts == self.now}
        return [self._told(event) for event in followed]

    def events(self, since: datetime, about: Iterable[Order] = ()) -> Sequence[Event]:
        return [self._told(event) for event in self._venue.events(since, about)]

    def snapshot(self) -> ExchangeSnapshot:
        return self._venue.snapshot()

    def _told(self, event: Event) -> Event:
        if event.key not in self._late:
            return event
        ts = event.ts + self._delay
        match event:
            case Filled():
                return Filled(ts, changed(event.fill, ts=ts))
            case OrderChanged():
                return OrderChanged(ts, event.client_id, event.status, event.reason)
            case _:
                return event


def late(pairs: Iterable[tuple[Step, Moment]], delay_s: float) -> Iterator[tuple[Step, Moment]]:
    """`pairs`, with the first price after each close that of `delay_s` later; after the last it is not known."""
    before: tuple[Step, Moment] | None = None
    for step, moment in pairs:
        if before is not None:
            yield _until(before[0], step, delay_s), before[1]
        before = step, moment
    if before is not None:
        yield before


def _until(step: Step, coming: Step, delay_s: float) -> Step:
    part = min(1.0, delay_s / (coming.ts - step.ts).total_seconds())
    moved = {symbol: bar.open + (bar.close - bar.open) * part for symbol, bar in coming.bars.items()}
    return step._replace(nexts={**step.nexts, **{symbol: moved[symbol] for symbol in step.nexts if symbol in moved}})
