"""What an order, or a position, does on the way through a bar: when it acts, and within which prices it does not.

A `Way` holds a bar's last and mark prices side by side, so that each order can follow the one it listens to.
"""

from math import inf

from qtlib.domain.market import Bar
from qtlib.domain.orders import ZERO, OrderType, Side, TriggerBy
from qtlib.domain.values import value
from qtlib.exchanges.simulated import matching
from qtlib.exchanges.simulated.book import Resting, fires_upward


@value
class Way:
    """Last and mark prices side by side through one bar."""

    last: matching.Path
    mark: matching.Path

    @staticmethod
    def through(bar: Bar, mark: Bar, short: bool) -> "Way":
        return Way(matching.path(bar, short), matching.path(mark, short))

    def trigger(self, order: Resting, since: float) -> tuple[float, float] | None:
        """When the waiting `order` fires, and what price a taker meets then: its trigger, or what lies beyond it."""
        intent = order.intent
        by_last = intent.trigger_by is TriggerBy.LAST
        way = self.last if by_last else self.mark
        if intent.type is OrderType.TRAILING_STOP_MARKET:
            trail = self.trail(order)
            if trail.fires is None:
                return None
            instant, level = max(since, trail.fires), trail.level
        else:
            level = float(intent.trigger or ZERO)
            found = matching.reaches(way, level, since, +1 if fires_upward(intent) else -1)
            if found is None:
                return None
            instant = found
            if instant == 0:
                level = way[0]  # a gap: the open lies beyond the trigger
        return instant, level if by_last else matching.price_at(self.last, instant)

    def limit(self, order: Resting, since: float, touch_fills: bool) -> tuple[float, float] | None:
        """When the resting limit `order` fills, and at what price: its own."""
        price = float(order.intent.price or ZERO)
        instant = matching.reaches(self.last, price, since, -order.intent.side.sign, beyond=not touch_fills)
        return None if instant is None else (instant, price)

    def trail(self, order: Resting) -> matching.Trail:
        intent = order.intent
        way = self.last if intent.trigger_by is TriggerBy.LAST else self.mark
        activation = None if intent.activation is None else float(intent.activation)
        callback_frac = float(intent.callback_frac or ZERO)
        return matching.trail(way, intent.side.sign, callback_frac, activation, order.extreme)


def quiet_range(order: Resting) -> tuple[float, float]:
    """The prices between which nothing becomes of `order`."""
    intent = order.intent
    if not order.waiting:
        price = float(intent.price or ZERO)
        return (price, inf) if intent.side is Side.BUY else (-inf, price)
    if intent.type is OrderType.TRAILING_STOP_MARKET:
        if order.extreme is None:
            wakes = float(intent.activation or ZERO)
            return (wakes, inf) if intent.side is Side.BUY else (-inf, wakes)
        level = order.extreme * (1 + intent.side.sign * float(intent.callback_frac or ZERO))
        return min(level, order.extreme), max(level, order.extreme)
    trigger = float(intent.trigger or ZERO)
    return (-inf, trigger) if fires_upward(intent) else (trigger, inf)
