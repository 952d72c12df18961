"""What the account's messages add up to: each fact once, no order ever going backward, and every gap noticed.

The venue numbers its messages for nobody, so a gap shows in what an order says of itself: how much of it is filled
altogether must be what was heard of its fills. What was announced, or must follow, is waited for, and is a gap too if
it does not come. A gap is told like any loss: what follows it is believed again once REST was asked.

Times without a unit in their name are the caller's own clock, in seconds; nothing here looks at a clock.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from qtlib.domain.events import Filled, OrderChanged
from qtlib.domain.orders import ZERO, OrderStatus
from qtlib.exchanges.binance.payloads import AccountNews, AlgoNews, Message, OrderNews, Puzzle, TradeHint, account_news
from qtlib.exchanges.binance.told import Alarm, Look
from qtlib.exchanges.binance.words import ms_of

REMEMBERED = 20_000  # trades, and orders: what repeats an older one is told again, which harms nobody


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Gap:
    """Something was missed, after `since_ms`."""

    why: str
    since_ms: int


Heard = OrderChanged | Filled | Look | Alarm | Gap


class Hearing:
    """One account's messages, in the order they came in."""

    def __init__(self, settle_s: float) -> None:
        self.last_ms = 0  # the newest instant heard of
        self._settle_s = settle_s  # how long what must follow may take
        self._trades: dict[tuple[str, str], None] = {}  # by symbol and number
        self._ended: dict[str, bool] = {}  # by client id: whether nothing but fills can follow
        self._orders: dict[int, _Known] = {}  # plain ones, by the venue's number
        self._awaited: dict[str, _Awaited] = {}

    def hear(self, message: Message, now: float) -> list[Heard]:
        """What `message` tells that was not told before."""
        try:
            news = account_news(message)
        except Puzzle as puzzle:
            return [Gap(str(puzzle), self.last_ms)]
        if news is None:
            return []
        heard = self._of(news, now)
        self.last_ms = max(self.last_ms, ms_of(news.ts))
        return heard

    def expect(self, client_id: str, now: float) -> None:
        """The venue has accepted the order `client_id`: if the account does not hear of it soon, it hears nothing."""
        if client_id not in self._ended:
            self._await(f"order {client_id}", f"order {client_id} was accepted", now)

    def overdue(self, now: float) -> Gap | None:
        """What should have followed and has not."""
        for awaited in self._awaited.values():
            if awaited.until < now:
                return Gap(f"{awaited.words}, and in {self._settle_s:g} s nothing followed", awaited.since_ms)
        return None

    def forget(self) -> None:
        """Something was missed: how much of each order is filled, and what is to follow, is no longer known."""
        self._orders.clear()
        self._awaited.clear()

    def _of(self, news: AccountNews, now: float) -> list[Heard]:
        match news:
            case OrderNews():
                return self._order(news, now)
            case AlgoNews():
                return self._algo(news, now)
            case TradeHint():
                return self._hint(news, now)
        return [news]

    def _order(self, news: OrderNews, now: float) -> list[Heard]:
        known = self._orders.get(news.order_id) or _Known(news.client_id)
        fill, fresh, heard = news.fill, ZERO, list[Heard]()
        if fill:
            if (fill.symbol, fill.fill_id) in self._trades:
                return []
            _keep(self._trades, (fill.symbol, fill.fill_id), None)
            self._awaited.pop(f"trade {fill.symbol} {fill.fill_id}", None)
            fresh = fill.quantity
            heard.append(Filled(fill.ts, replace(fill, client_id=known.client_id)))
        silent = bool(fill) and not (news.closes_position and news.status is OrderStatus.FILLED)
        heard += self._become(news.ts, known.client_id, news.status, news.reason, silent)
        if news.at_once and not self._ended[known.client_id]:
            self._await(f"end of {known.client_id}", f"order {known.client_id} never rests", now)
        if news.amended:
            heard.append(Look(news.ts, f"order {known.client_id} was amended"))
        if fill and news.by_venue:
            words = f"the venue closed {fill.quantity} {fill.symbol} at {fill.price} (order {known.client_id})"
            heard.append(Alarm(news.ts, words))
        before = news.filled - fresh if known.filled is None else known.filled
        if news.filled > before + fresh:
            words = f"of order {known.client_id} {news.filled} is filled, and {before + fresh} was heard"
            heard.append(Gap(words, known.heard_ms))
        _keep(self._orders, news.order_id, _Known(known.client_id, max(before, news.filled), ms_of(news.ts)))
        return heard

    def _algo(self, news: AlgoNews, now: float) -> list[Heard]:
        heard = list[Heard]()
        if news.child_id is not None:
            known = self._orders.get(news.child_id) or _Known(news.client_id)
            if known.client_id != news.client_id:
                words = f"order {news.child_id} was heard of as {known.client_id}, and is {news.client_id}"
                heard.append(Gap(words, known.heard_ms))
            _keep(self._orders, news.child_id, replace(known, client_id=news.client_id))
        if news.status:
            heard += self._become(news.ts, news.client_id, news.status, news.reason)
        elif news.finished and not self._ended.get(news.client_id):
            self._await(f"end of {news.client_id}", f"conditional order {news.client_id} finished", now)
        return heard

    def _hint(self, news: TradeHint, now: float) -> list[Heard]:
        if (news.symbol, news.trade_id) not in self._trades:
            words = f"trade {news.trade_id} of order {news.client_id} was announced"
            self._await(f"trade {news.symbol} {news.trade_id}", words, now)
        return []

    def _become(
        self, ts: datetime, client_id: str, status: OrderStatus, reason: str, silent: bool = False
    ) -> list[Heard]:
        """The order `client_id` is now `status`; told if that is a step ahead, and if a fill does not show it."""
        before, over = self._ended.get(client_id), not status.working
        _keep(self._ended, client_id, over or bool(before))
        self._awaited.pop(f"order {client_id}", None)
        if over:
            self._awaited.pop(f"end of {client_id}", None)
        ahead = before is None or (over and not before)
        return [OrderChanged(ts, client_id, status, reason)] if ahead and not silent else []

    def _await(self, what: str, words: str, now: float) -> None:
        self._awaited.setdefault(what, _Awaited(words, now + self._settle_s, self.last_ms))


@dataclass(frozen=True, slots=True)
class _Known:
    """What was heard of one plain order."""

    client_id: str  # of a child: that of the order which it came from
    filled: Decimal | None = None  # altogether; None: not heard yet
    heard_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Awaited:
    words: str
    until: float
    since_ms: int


def _keep(known: dict[K, V], key: K, value: V) -> None:
    """`known` with `value` as its newest, and without its oldest if they are too many."""
    known.pop(key, None)
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]
