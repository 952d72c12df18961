"""What the market could do next to what an account has: whether a step does anything at all, and what comes first.

All of it reads a `View` and changes nothing: it is the venue that lets things happen.
"""

from collections.abc import Iterator, Mapping, Set
from functools import partial
from math import inf
from typing import NamedTuple

from qtlib.domain.market import Step
from qtlib.domain.orders import TriggerBy
from qtlib.exchanges.simulated import margin, matching
from qtlib.exchanges.simulated.book import View
from qtlib.exchanges.simulated.way import Way, quiet_range


class Alarm(NamedTuple):
    """What a bar must stay strictly within to be quiet."""

    low: float = -inf
    high: float = inf
    mark_low: float = -inf
    mark_high: float = inf

    def tighter(self, low: float, high: float, by_mark: bool) -> "Alarm":
        """This one, and beside it `low` and `high`, of mark prices or of last ones."""
        if by_mark:
            return Alarm(self.low, self.high, max(self.mark_low, low), min(self.mark_high, high))
        return Alarm(max(self.low, low), min(self.high, high), self.mark_low, self.mark_high)


class Happening(NamedTuple):
    """Something that comes next on the way, compared by when, then by how bad, then by how old."""

    instant: float
    rank: int
    number: int
    client_id: str = ""
    price: float = 0.0  # what a taker meets
    liquidates: tuple[str, ...] = ()


def alarms(view: View) -> dict[str, Alarm]:
    """Per symbol, the prices within which a bar must stay to be quiet."""
    found = dict.fromkeys(view.busy(), Alarm())
    for order in view.book.orders.values():
        symbol, low, high = order.intent.symbol, *quiet_range(order)
        by_mark = order.waiting and order.intent.trigger_by is TriggerBy.MARK
        found[symbol] = found[symbol].tighter(low, high, by_mark)
    for symbol, position in view.book.account.positions.items():
        if view.cross(symbol):
            continue
        wallet, quantity = float(view.book.isolated[symbol]), float(position.quantity)
        price = margin.isolated_liquidation_price(wallet, quantity, float(position.entry_price), view.brackets[symbol])
        low, high = (price, inf) if quantity > 0 else (-inf, price)
        found[symbol] = found[symbol].tighter(low, high, by_mark=True)
    return found


def is_touched(step: Step, alarms: Mapping[str, Alarm], view: View) -> bool:
    """Whether anything could happen on the way through `step`; a quiet one costs no more than asking this."""
    bars, marks = step.bars, step.marks
    for symbol, (low, high, mark_low, mark_high) in alarms.items():
        bar = bars.get(symbol)
        if bar is not None:
            mark = marks.get(symbol, bar)
            if bar.low <= low or bar.high >= high or mark.low <= mark_low or mark.high >= mark_high:
                return True
    may_cross = view.conduct.cross or view.book.crossed
    return bool(may_cross) and _is_cross_endangered(step, view)


def happenings(view: View, ways: Mapping[str, Way], since: float, spent: Set[str]) -> Iterator[Happening]:
    """What could come next, each at its instant; at the same one liquidation goes first, then triggers."""
    for group in margin.groups(view):
        if any(symbol in ways for symbol in group):
            instant = matching.runs_out(partial(_left, view, group, ways), since)
            if instant is not None:
                yield Happening(instant, 0, 0, liquidates=group)
    for client_id, order in view.book.orders.items():
        way = ways.get(order.intent.symbol)
        if way is None or client_id in spent:
            continue
        found = way.trigger(order, since) if order.waiting else way.limit(order, since, view.conduct.touch_fills)
        if found is not None:
            yield Happening(found[0], 1 if order.waiting else 2, order.number, client_id, found[1])


# --- below ------------------------------------------------------------------------------------------------


def _is_cross_endangered(step: Step, view: View) -> bool:
    """Whether what is crossed could be liquidated if every position met its worst mark price at once."""
    group = [symbol for symbol in view.book.account.positions if view.cross(symbol)]
    left = float(margin.crossed_wallet(view))
    for symbol in group:
        position = view.book.account.positions[symbol]
        bar = step.marks.get(symbol) or step.bars.get(symbol)
        quantity, worst = float(position.quantity), view.quotes[symbol].mark
        if bar is not None:
            worst = bar.low if quantity > 0 else bar.high
        left += quantity * (worst - float(position.entry_price))
        left -= margin.maintenance(quantity, worst, view.brackets[symbol])
    return bool(group) and left <= 0


def _left(view: View, group: tuple[str, ...], ways: Mapping[str, Way], instant: float) -> float:
    """What backs `group` at the mark prices of `instant`, beyond its maintenance margin, in quote."""
    left = float(margin.backing_of(view, group))
    for symbol in group:
        position, way = view.book.account.positions[symbol], ways.get(symbol)
        mark = matching.price_at(way.mark, instant) if way else view.quotes[symbol].mark
        quantity = float(position.quantity)
        left += quantity * (mark - float(position.entry_price))
        left -= margin.maintenance(quantity, mark, view.brackets[symbol])
    return left
