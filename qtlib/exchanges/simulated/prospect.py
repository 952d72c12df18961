"""What the market could do next to what an account has: whether a step does anything at all, and what comes first.

All of it reads a `View` and changes nothing: it is the venue that lets things happen.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from math import inf
from typing import NamedTuple

from qtlib.domain.market import Step
from qtlib.domain.orders import TriggerBy
from qtlib.exchanges.simulated import margin, matching
from qtlib.exchanges.simulated.book import View
from qtlib.exchanges.simulated.way import Way, quiet_range


class Alarm(NamedTuple):
    """What a bar must stay strictly within to be quiet."""

    low: float
    high: float
    mark_low: float
    mark_high: float


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
    lows = {symbol: [-inf, -inf] for symbol in view.busy()}  # of last prices and of mark prices
    highs = {symbol: [inf, inf] for symbol in lows}
    for order in view.book.orders.values():
        symbol, (low, high) = order.intent.symbol, quiet_range(order)
        by_mark = order.waiting and order.intent.trigger_by is TriggerBy.MARK
        lows[symbol][by_mark] = max(lows[symbol][by_mark], low)
        highs[symbol][by_mark] = min(highs[symbol][by_mark], high)
    for symbol, position in view.book.account.positions.items():
        if view.cross(symbol):
            continue
        wallet, quantity = float(view.book.isolated[symbol]), float(position.quantity)
        price = margin.isolated_liquidation_price(wallet, quantity, float(position.entry_price), view.brackets[symbol])
        if quantity > 0:
            lows[symbol][True] = max(lows[symbol][True], price)
        else:
            highs[symbol][True] = min(highs[symbol][True], price)
    return {symbol: Alarm(low, highs[symbol][0], mark, highs[symbol][1]) for symbol, (low, mark) in lows.items()}


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
            instant = matching.runs_out(_left(view, group, ways), since)
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


def _left(view: View, group: tuple[str, ...], ways: Mapping[str, Way]) -> Callable[[float], float]:
    """At an instant, what backs `group` at the mark prices then, beyond its maintenance margin, in quote."""
    backed, held = float(margin.backing_of(view, group)), []
    for symbol in group:
        position, way, mark = view.book.account.positions[symbol], ways.get(symbol), view.quotes[symbol].mark
        path = way.mark if way else (mark, mark, mark, mark)
        held.append((float(position.quantity), float(position.entry_price), path, view.brackets[symbol]))

    def at(instant: float) -> float:
        left = backed
        for quantity, entry, path, brackets in held:
            mark = matching.price_at(path, instant)
            left += quantity * (mark - entry)
            left -= margin.maintenance(quantity, mark, brackets)
        return left

    return at
