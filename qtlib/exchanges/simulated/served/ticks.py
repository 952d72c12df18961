"""Messages of the market: what each public stream says when a step is over.

A stream's name is parsed once, into a function of the desk; a name that parses to nothing is no stream here. Most
streams say what a REST document says, under shorter names.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from qtlib.domain.orders import Side
from qtlib.exchanges.simulated.served import market
from qtlib.exchanges.simulated.served.chart import INTERVALS, Candle
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.records import Trade
from qtlib.exchanges.simulated.served.words import Document, in_steps, ms_of

Messages = Callable[[Desk], list[Any]]
_Told = Callable[[Desk, str], list[Document]]

_BARS = re.compile(r"(?P<symbol>[A-Za-z0-9]+)(?P<kind>@kline|_perpetual@continuousKline)_(?P<interval>\w+)")
_ONE = re.compile(r"(?P<symbol>[A-Za-z0-9]+)@(?P<kind>[A-Za-z0-9]+)")
_ALL = re.compile(r"!(?P<kind>[A-Za-z]+)(?P<gathered>@arr)?")
_PACE = re.compile(r"@(?:\d+ms|\ds)$")  # how often, on the venue; here everything is said once a step


def messages_of(desk: Desk, stream: str) -> Messages | None:
    """What `stream` says at the end of each step; None if there is no such stream.

    Of a bar that closed a stream of bars says so, and then what has just begun.
    """
    name = _PACE.sub("", stream)
    if every := _ALL.fullmatch(name):
        told = _OF_ALL.get(every["kind"])
        return partial(_all, told, gathered=bool(every["gathered"])) if told else None
    bars = _BARS.fullmatch(name)
    found = bars or _ONE.fullmatch(name)
    if found is None or (symbol := found["symbol"].upper()) not in desk.view.instruments:
        return None
    if bars:
        span = INTERVALS.get(bars["interval"])
        offered = span is not None and desk.chart.offers(span)
        return partial(_OF_BARS[bars["kind"]], symbol=symbol, interval=bars["interval"]) if offered else None
    told = _OF_ONE.get(found["kind"])
    return partial(_one, told, symbol=symbol) if told else None


# --- of bars ----------------------------------------------------------------------------------------------


def _klines(desk: Desk, symbol: str, interval: str) -> list[Document]:
    if symbol not in desk.view.quotes:
        return []
    span = INTERVALS[interval]
    candles = desk.chart.candles(symbol, span, desk.view.quotes[symbol].price, limit=2)
    just_closed = [c for c in candles if c.closed and c.opened + span == desk.now]
    return [_kline(desk, symbol, interval, c) for c in [*just_closed, *candles[-1:]]]


def _kline(desk: Desk, symbol: str, interval: str, candle: Candle) -> Document:
    row = market.candle_row(candle, INTERVALS[interval], desk.view.instruments[symbol])
    names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
    count = desk.chart.count(symbol)
    k = {**dict(zip(names, row, strict=True)), "s": symbol, "i": interval, "f": count, "L": count, "x": candle.closed}
    return {"e": "kline", "E": ms_of(desk.now), "s": symbol, "k": k}


def _continuous(desk: Desk, symbol: str, interval: str) -> list[Document]:
    return [_of_contract(said) for said in _klines(desk, symbol, interval)]


def _of_contract(said: Document) -> Document:
    k = {name: value for name, value in said["k"].items() if name != "s"}
    return {"e": "continuous_kline", "E": said["E"], "ps": said["s"], "ct": "PERPETUAL", "k": k}


# --- of one symbol, or of all -----------------------------------------------------------------------------


def _one(told: _Told, desk: Desk, symbol: str) -> list[Document]:
    return told(desk, symbol) if symbol in desk.view.quotes else []


def _all(told: _Told, desk: Desk, gathered: bool) -> list[Any]:
    said = [message for symbol in desk.view.quotes for message in told(desk, symbol)]
    return [said] if gathered and told is not _liquidations else said  # a liquidation is told by itself


def _shortened(event: str, document: Callable[[Desk, str], Document], names: dict[str, str]) -> _Told:
    """What `document` says, under the short names of a stream's messages."""

    def told(desk: Desk, symbol: str) -> list[Document]:
        said = document(desk, symbol)
        return [{"e": event, **{short: said[name] for short, name in names.items()}}]

    return told


_MARK = {"E": "time", "s": "symbol", "p": "markPrice", "i": "indexPrice", "P": "estimatedSettlePrice"}
_MARK |= {"r": "lastFundingRate", "T": "nextFundingTime"}
_BEST = {"u": "lastUpdateId", "E": "time", "T": "time", "s": "symbol", "b": "bidPrice", "B": "bidQty"}
_BEST |= {"a": "askPrice", "A": "askQty"}
_DAY = {"E": "closeTime", "s": "symbol", "c": "lastPrice", "o": "openPrice", "h": "highPrice", "l": "lowPrice"}
_DAY |= {"v": "volume", "q": "quoteVolume"}
_LONG_DAY = _DAY | {"p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "Q": "lastQty"}
_LONG_DAY |= {"O": "openTime", "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count"}
_DEAL = {"E": "told", "T": "time", "s": "symbol", "p": "price", "q": "qty", "m": "isBuyerMaker"}
_TRADE = _DEAL | {"t": "id", "X": "type"}
_SUMMED = _DEAL | {"a": "id", "nq": "qty", "f": "id", "l": "id"}


def _levels(desk: Desk, symbol: str) -> list[Document]:
    """The book as it is: one level on each side."""
    said, count = market.best(desk, symbol), desk.chart.count(symbol)
    return [
        {
            "e": "depthUpdate",
            "E": said["time"],
            "T": said["time"],
            "s": symbol,
            "U": count - 1,  # so that a book that was asked for before the step can be gone on with
            "u": count,
            "pu": count - 1,
            "b": [[said["bidPrice"], said["bidQty"]]],
            "a": [[said["askPrice"], said["askQty"]]],
        }
    ]


def _changes(desk: Desk, symbol: str) -> list[Document]:
    """What became of the book: the levels that are gone, and those there are."""
    [said] = _levels(desk, symbol)
    tick = desk.view.instruments[symbol].tick
    before = desk.before.get(symbol)
    for side, price in zip("ba", market.around(desk, symbol, before) if before else (), strict=False):
        if (gone := in_steps(price, tick)) != said[side][0][0]:
            said[side] = [[gone, "0"], *said[side]]
    return [said]


def _last_trade(desk: Desk, symbol: str) -> Document:
    """The whole bar as one trade at its close: bars know of no others."""
    return {**market.last_trade(desk, symbol), "symbol": symbol, "type": "MARKET", "told": ms_of(desk.now)}


def _liquidations(desk: Desk, symbol: str) -> list[Document]:
    """The account's own, in this step: the simulated venue has no other accounts."""
    return [_liquidation(desk, t) for t in desk.trades_now() if t.liquidates and t.fill.symbol == symbol]


def _liquidation(desk: Desk, trade: Trade) -> Document:
    fill, i = trade.fill, desk.view.instruments[trade.fill.symbol]
    quantity, price = in_steps(fill.quantity, i.lot), in_steps(fill.price, i.tick)
    order = {"s": fill.symbol, "S": "BUY" if fill.side is Side.BUY else "SELL", "o": "LIMIT", "f": "IOC"}
    order |= {"q": quantity, "p": price, "ap": price, "X": "FILLED", "l": quantity, "z": quantity}
    return {"e": "forceOrder", "E": ms_of(fill.ts), "o": {**order, "T": ms_of(fill.ts)}}


_OF_BARS = {"@kline": _klines, "_perpetual@continuousKline": _continuous}
_OF_ONE: dict[str, _Told] = {
    "markPrice": _shortened("markPriceUpdate", market.premium, _MARK),
    "bookTicker": _shortened("bookTicker", market.best, _BEST),
    "miniTicker": _shortened("24hrMiniTicker", market.day, _DAY),
    "ticker": _shortened("24hrTicker", market.day, _LONG_DAY),
    "depth": _changes,
    **dict.fromkeys(("depth5", "depth10", "depth20"), _levels),
    "trade": _shortened("trade", _last_trade, _TRADE),
    "aggTrade": _shortened("aggTrade", _last_trade, _SUMMED),
    "forceOrder": _liquidations,
}
_OF_ALL = {kind: _OF_ONE[kind] for kind in ("markPrice", "bookTicker", "miniTicker", "ticker", "forceOrder")}
