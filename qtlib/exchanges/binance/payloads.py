"""From the venue's messages to values, one function per kind of message; nothing is remembered here.

Prices, quantities and fees are taken digit by digit. A message that belongs to a kind we know and doesn't have its
form is a `Puzzle`, never a guess: whoever reads it stops believing the stream and asks REST.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from qtlib.domain.market import Bar
from qtlib.domain.orders import Fill, OrderStatus, Side
from qtlib.domain.state import START
from qtlib.exchanges.binance.told import Alarm, Look

Message = Mapping[str, Any]


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
    read = _ACCOUNT.get(message.get("e", ""))
    try:
        return read(message) if read else None
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise Puzzle(f"{message.get('e')} makes no sense ({type(error).__name__}: {error})") from error


def market_news(message: Message) -> CandleNews | MarkNews | None:
    """What a message of a market stream says; None where it is neither a bar nor a mark price."""
    read = _MARKET.get(message.get("e", ""))
    try:
        return read(message) if read else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Puzzle(f"{message.get('e')} makes no sense ({type(error).__name__}: {error})") from error


def instant(ms: int) -> datetime:
    """
    >>> instant(1_767_225_600_001).isoformat()
    '2026-01-01T00:00:00.001000+00:00'
    """
    return START + timedelta(milliseconds=ms)


# --- the account --------------------------------------------------------------------------------------------

_STATUS = {
    "NEW": OrderStatus.OPEN,
    "NEW_INSURANCE": OrderStatus.OPEN,  # a liquidation that the insurance fund takes over
    "NEW_ADL": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
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
_VENUES_OWN = ("autoclose-", "adl_autoclose", "settlement_autoclose-")  # how their client ids begin
_QUOTE = "USDT"


def _order(message: Message) -> OrderNews:
    o = message["o"]
    if o["ps"] != "BOTH":
        raise ValueError(f"position side {o['ps']!r} must be BOTH: put the account into one-way mode")
    return OrderNews(
        ts=instant(message["T"]),
        symbol=o["s"],
        client_id=o["c"],
        order_id=o["i"],
        status=_STATUS[o["X"]],
        filled=Decimal(o["z"]),
        fill=_fill(o) if o["x"] in ("TRADE", "CALCULATED") and Decimal(o["l"]) else None,
        closes_position=o.get("cp", False),
        at_once=o["o"] == "MARKET" or o["f"] in ("IOC", "FOK"),
        amended=o["x"] == "AMENDMENT",
        by_venue=o["x"] == "CALCULATED" or o["c"].startswith(_VENUES_OWN),
        reason=_WHY_EXPIRED.get(str(o.get("er", "")), str(o.get("er", ""))),
    )


def _fill(o: Message) -> Fill:
    fee = Decimal(o.get("n", 0))
    if fee and o["N"] != _QUOTE:
        raise ValueError(f"a fee of {fee} {o['N']} must be in {_QUOTE}: turn off paying fees in another coin")
    return Fill(
        fill_id=str(o["t"]),
        client_id=o["c"],
        symbol=o["s"],
        side=Side[o["S"]],
        quantity=Decimal(o["l"]),
        price=Decimal(o["L"]),
        fee=fee,
        ts=instant(o["T"]),
        maker=o["m"],
    )


def _algo(message: Message) -> AlgoNews:
    o = message["o"]
    return AlgoNews(
        ts=instant(message["T"]),
        symbol=o["s"],
        client_id=o["caid"],
        status=_ALGO_STATUS[o["X"]],
        child_id=int(o["ai"]) if o.get("ai") else None,
        finished=o["X"] == "FINISHED",
        reason=o.get("rm", ""),
    )


def _trade_hint(message: Message) -> TradeHint:
    return TradeHint(instant(message["T"]), message["s"], str(message["t"]), message["c"])


def _account(message: Message) -> Look | None:
    """Fills tell of themselves; what else moves a balance has a name and an amount that only REST tells."""
    why = message["a"]["m"]
    return None if why == "ORDER" else Look(instant(message["T"]), str(why).lower())


def _margin_call(message: Message) -> Alarm:
    held = ", ".join(f"{p['pa']} {p['s']} needs {p['mm']} of margin" for p in message["p"])
    return Alarm(instant(message["E"]), f"margin call: {held}")


def _settings(message: Message) -> Alarm:
    if "ac" in message:
        changed = f"leverage of {message['ac']['s']} is {message['ac']['l']}"
    else:
        changed = f"multi-assets margin is {'on' if message['ai']['j'] else 'off'}"
    return Alarm(instant(message["T"]), f"the account's settings were changed: {changed}")


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
    return CandleNews(message["s"], opened_ms, closes_ms, Bar(instant(closes_ms), *numbers))


def _mark(message: Message) -> MarkNews:
    return MarkNews(message["s"], message["E"], float(message["p"]))


_MARKET: dict[str, Callable[[Message], CandleNews | MarkNews]] = {"kline": _candle, "markPriceUpdate": _mark}
