"""From the venue's messages to values, one function per kind of message; nothing is remembered here.

Prices, quantities and fees are taken digit by digit. A message that belongs to a kind we know and doesn't have its
form is a `Puzzle`, never a guess: whoever reads it stops believing the stream and asks REST.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from qtlib.domain.market import Bar
from qtlib.domain.orders import ZERO, Fill, OrderStatus, Side
from qtlib.exchanges.binance.told import Alarm, Look
from qtlib.exchanges.binance.words import PLAIN_STATUS, QUOTE, ts_of

Message = Mapping[str, Any]
T = TypeVar("T")


class Puzzle(ValueError):
    """A message that makes no sense to us, in words."""


@dataclass(frozen=True, slots=True)
class OrderNews:
    """Something became of a plain order; of the child of a conditional one too, which is a plain order."""

    ts: datetime
    symbol: str
    client_id: str  # a child bears that of the order which it came from
    order_id: int
    status: OrderStatus
    filled: Decimal  # altogether, in base
    fill: Fill | None
    closes_position: bool  # its quantity was not known before
    at_once: bool  # it never rests: what is not filled in a moment expires
    amended: bool
    by_venue: bool  # a liquidation, a deleveraging or a settlement: nobody sent it
    reason: str


@dataclass(frozen=True, slots=True)
class AlgoNews:
    """Something became of a conditional order; from its trigger on, its child's news tell the rest."""

    ts: datetime
    symbol: str
    client_id: str
    status: OrderStatus | None  # None: what became of its child tells
    child_id: int | None
    finished: bool  # so is its child
    reason: str


@dataclass(frozen=True, slots=True)
class TradeHint:
    """A trade that the news of its order will tell in full."""

    ts: datetime
    symbol: str
    trade_id: str
    client_id: str


AccountNews = OrderNews | AlgoNews | TradeHint | Look | Alarm


@dataclass(frozen=True, slots=True)
class CandleNews:
    """A bar as it stands; it is a `Bar` once it is over."""

    symbol: str
    opened_ms: int
    closes_ms: int
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class MarkNews:
    symbol: str
    ts_ms: int
    price: float


def account_news(message: Message) -> AccountNews | None:
    """What a message of the account's stream says; None where it is none of our business."""
    return _news(message, _ACCOUNT)


def market_news(message: Message) -> CandleNews | MarkNews | None:
    """What a message of a market stream says; None where it is neither a bar nor a mark price."""
    return _news(message, _MARKET)


def _news(message: Message, readers: Mapping[str, Callable[[Message], T]]) -> T | None:
    kind = message.get("e")
    read = readers.get(kind) if isinstance(kind, str) else None
    try:
        return read(message) if read else None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Puzzle(f"{kind} makes no sense ({type(error).__name__}: {error})") from error


# --- the account --------------------------------------------------------------------------------------------

_ALGO_STATUS = {
    "NEW": OrderStatus.OPEN,
    "TRIGGERING": None,
    "TRIGGERED": None,
    "FINISHED": None,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
}
_WHY_EXPIRED = {  # the venue's numbers, and what its documentation says they mean
    "0": "",
    "1": "it would have met an order of our own",
    "2": "immediate or cancel: no more at hand",
    "3": "immediate or cancel: the rest would have met an order of our own",
    "4": "a reduce-only order went before it, or it would have turned the position over",
    "5": "liquidation",
    "6": "the position it belonged to is gone",
    "7": "the symbol is delisted",
    "8": "its stop has triggered",
    "9": "market order: no more at hand",
    "10": "fill or kill: not all at hand",
    "11": "post only: it would have taken",
}
_LARGEST = 10**18  # in base or quote: nobody trades as much
_VENUES_OWN = ("autoclose-", "adl_autoclose", "settlement_autoclose-")  # how their client ids begin


def _order(message: Message) -> OrderNews:
    o = message["o"]
    if o["ps"] != "BOTH":
        raise ValueError(f"position side {o['ps']!r} must be BOTH: put the account into one-way mode")
    return OrderNews(
        ts=ts_of(message["T"]),
        symbol=_text(o["s"]),
        client_id=_text(o["c"]),
        order_id=int(o["i"]),
        status=PLAIN_STATUS[o["X"]],
        filled=_number(o["z"]),
        fill=_fill(o) if o["x"] in ("TRADE", "CALCULATED") and _number(o["l"]) else None,
        closes_position=bool(o.get("cp")),
        at_once=o["o"] == "MARKET" or o["f"] in ("IOC", "FOK"),
        amended=o["x"] == "AMENDMENT",
        by_venue=o["x"] == "CALCULATED" or o["c"].startswith(_VENUES_OWN),
        reason=_WHY_EXPIRED.get(str(o.get("er", "")), str(o.get("er", ""))),
    )


def _fill(o: Message) -> Fill:
    return Fill(
        fill_id=str(int(o["t"])),
        client_id=_text(o["c"]),
        symbol=_text(o["s"]),
        side=Side[o["S"]],
        quantity=_number(o["l"]),
        price=_number(o["L"]),
        fee=_number(o.get("n", "0")) if o.get("N") == QUOTE else ZERO,  # another coin is in no wallet that we keep
        ts=ts_of(o["T"]),
        maker=bool(o["m"]),
    )


def _algo(message: Message) -> AlgoNews:
    o = message["o"]
    return AlgoNews(
        ts=ts_of(message["T"]),
        symbol=_text(o["s"]),
        client_id=_text(o["caid"]),
        status=_ALGO_STATUS[o["X"]],
        child_id=int(o["ai"]) if o.get("ai") else None,
        finished=o["X"] == "FINISHED",
        reason=str(o.get("rm", "")),
    )


def _trade_hint(message: Message) -> TradeHint:
    return TradeHint(ts_of(message["T"]), _text(message["s"]), str(int(message["t"])), _text(message["c"]))


def _account(message: Message) -> Look | None:
    """Fills tell of themselves; what else moves a balance has a name and an amount that only REST tells."""
    why = message["a"]["m"]
    return None if why == "ORDER" else Look(ts_of(message["T"]), str(why).lower())


def _margin_call(message: Message) -> Alarm:
    held = ", ".join(f"{p['pa']} {p['s']} needs {p['mm']} of margin" for p in message["p"])
    return Alarm(ts_of(message["E"]), f"margin call: {held}")


def _settings(message: Message) -> Alarm:
    if "ac" in message:
        changed = f"leverage of {message['ac']['s']} is {message['ac']['l']}"
    else:
        changed = f"multi-assets margin is {'on' if message['ai']['j'] else 'off'}"
    return Alarm(ts_of(message["T"]), f"the account's settings were changed: {changed}")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} must be a text")
    return value


def _number(text: Any) -> Decimal:
    number = Decimal(_text(text))
    if not abs(number) < _LARGEST:
        raise ValueError(f"{text!r} must be a number below {_LARGEST}")
    return number


_ACCOUNT: dict[str, Callable[[Message], AccountNews | None]] = {
    "ORDER_TRADE_UPDATE": _order,
    "ALGO_UPDATE": _algo,
    "TRADE_LITE": _trade_hint,
    "ACCOUNT_UPDATE": _account,
    "MARGIN_CALL": _margin_call,
    "ACCOUNT_CONFIG_UPDATE": _settings,
}


# --- the market ---------------------------------------------------------------------------------------------


def _candle(message: Message) -> CandleNews:
    k = message["k"]
    opened_ms, closes_ms = k["t"], k["T"] + 1
    if not k["x"]:
        return CandleNews(message["s"], opened_ms, closes_ms, None)
    numbers = (float(k["o"]), float(k["h"]), float(k["l"]), float(k["c"]), float(k["v"]))
    return CandleNews(message["s"], opened_ms, closes_ms, Bar(ts_of(closes_ms), *numbers))


def _mark(message: Message) -> MarkNews:
    return MarkNews(message["s"], message["E"], float(message["p"]))


_MARKET: dict[str, Callable[[Message], CandleNews | MarkNews]] = {"kline": _candle, "markPriceUpdate": _mark}
