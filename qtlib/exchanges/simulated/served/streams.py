"""What is told without being asked: market streams as bars close, the account's events as they happen.

A socket may be opened at any of the venue's paths, with streams named in the path, in the query, or subscribed to
later; under `/stream` each message is wrapped with its stream's name. A message is built once, at the instant it is
about, and waits for each listener in a queue of its own; who does not read is cut off.
"""

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web

from qtlib.domain.orders import ZERO
from qtlib.exchanges.simulated.served import market
from qtlib.exchanges.simulated.served.account import breakeven_price, isolated_wallet
from qtlib.exchanges.simulated.served.chart import INTERVALS, Candle
from qtlib.exchanges.simulated.served.desk import AccountTold, AlgoTold, Desk, OrderTold, Record, Told
from qtlib.exchanges.simulated.served.ledger import Ledger
from qtlib.exchanges.simulated.served.words import Document, Refusal, in_steps, money, ms_of

PING_S = 180.0
QUEUE = 20_000  # messages that may wait for one listener
KEY_LIFE_S = 3_600.0
MOST_STREAMS = 1_024

_STREAM = re.compile(r"(!?)([A-Za-z0-9]+)@([A-Za-z0-9]+?)(?:_([0-9]+[mhdwM]))?(@arr)?(@[0-9]+m?s)?")


class ListenKey:
    """The key to the account's stream, one at a time; it lives for an hour of the wall clock after its last renewal."""

    def __init__(self, ledger: Ledger, wall: Callable[[], float]) -> None:
        self._ledger, self._wall = ledger, wall
        self.key, self._until = ledger.noted("listen_key") or "", float(ledger.noted("listen_key_until") or 0)

    def open(self) -> Document:
        """The key there is, or a new one; renewed."""
        if not self.valid(self.key):
            self.key = secrets.token_hex(32)
            self._ledger.note("listen_key", self.key)
        return self._renewed()

    def renew(self) -> Document:
        if not self.valid(self.key):
            raise Refusal(-1125, "This listenKey does not exist.")
        return self._renewed()

    def close(self) -> Document:
        self.key, self._until = "", 0.0
        self._ledger.note("listen_key", "")
        self._ledger.note("listen_key_until", "0")
        return {}

    def valid(self, key: str) -> bool:
        return bool(key) and key == self.key and self._wall() < self._until

    def _renewed(self) -> Document:
        self._until = self._wall() + KEY_LIFE_S
        self._ledger.note("listen_key_until", str(self._until))
        return {"listenKey": self.key}


@dataclass(eq=False, slots=True)
class Listener:
    """One socket: what it listens to, and what waits for it."""

    wrapped: bool
    streams: dict[str, None] = field(default_factory=dict)
    queue: "asyncio.Queue[str | None]" = field(default_factory=lambda: asyncio.Queue(QUEUE))

    def send(self, stream: str, message: Document) -> None:
        self.put({"stream": stream, "data": message} if self.wrapped else message)

    def put(self, message: Any) -> None:
        if self.queue.full():
            self.end()
        else:
            self.queue.put_nowait(json.dumps(message, separators=(",", ":")))

    def end(self) -> None:
        """Nothing more is sent."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Streams:
    """All sockets."""

    def __init__(self, desk: Desk, key: ListenKey) -> None:
        self._desk, self._key = desk, key
        self._listeners: set[Listener] = set()
        desk.listen(self._tell_account)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One socket, from its opening to its end."""
        parts = request.path.strip("/").split("/")
        wrapped = "stream" in parts[:2]
        named = parts[parts.index("stream" if wrapped else "ws") + 1 :]
        named += request.query.get("streams", "").split("/") if wrapped else []
        named.append(request.query.get("listenKey", ""))
        listener = Listener(wrapped)
        self._subscribe(listener, [name for name in named if "@" in name or self._key.valid(name)])
        socket = web.WebSocketResponse(heartbeat=PING_S)
        await socket.prepare(request)
        self._listeners.add(listener)
        writing = asyncio.create_task(_write(listener, socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    listener.put(self._answer(listener, message.data))
        finally:
            self._listeners.discard(listener)
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
        return socket

    def tell_market(self) -> None:
        """A step is over: every market stream that somebody listens to says so."""
        built: dict[str, list[Document]] = {}
        for listener in list(self._listeners):
            for stream in listener.streams:
                if stream not in built:
                    built[stream] = market_messages(self._desk, stream)
                for message in built[stream]:
                    listener.send(stream, message)

    def expire(self) -> None:
        """Tell those who listen by a key that is no longer valid, and end them."""
        for listener in list(self._listeners):
            for name in [n for n in listener.streams if "@" not in n and not self._key.valid(n)]:
                del listener.streams[name]
                listener.send(name, {"e": "listenKeyExpired", "E": market.wall_ms(), "listenKey": name})

    def close(self) -> None:
        for listener in list(self._listeners):
            listener.end()

    def _tell_account(self, told: Told) -> None:
        message = None
        for listener in self._listeners:
            if self._key.key in listener.streams and self._key.valid(self._key.key):
                message = message or account_message(self._desk, told)
                listener.send(self._key.key, message)

    def _answer(self, listener: Listener, text: str) -> Document:
        try:
            command = json.loads(text)
            method, names, number = command["method"], command.get("params") or [], command.get("id")
            if not all(isinstance(name, str) for name in names):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"error": {"code": 3, "msg": "Invalid JSON: expected method, params and id"}}
        if method == "SUBSCRIBE":
            unknown = [n for n in names if not (self._key.valid(n) or market_messages(self._desk, n))]
            if unknown or len(listener.streams) + len(names) > MOST_STREAMS:
                return {
                    "error": {"code": 2, "msg": f"Invalid request: {', '.join(unknown) or 'too many streams'}"},
                    "id": number,
                }
            self._subscribe(listener, names)
        elif method == "UNSUBSCRIBE":
            for name in names:
                listener.streams.pop(name, None)
        elif method == "LIST_SUBSCRIPTIONS":
            return {"result": list(listener.streams), "id": number}
        else:
            return {"error": {"code": 2, "msg": f"Invalid request: unknown method {method}"}, "id": number}
        return {"result": None, "id": number}

    def _subscribe(self, listener: Listener, names: Iterable[str]) -> None:
        listener.streams.update(dict.fromkeys(names))


async def _write(listener: Listener, socket: web.WebSocketResponse) -> None:
    while (text := await listener.queue.get()) is not None:
        try:
            await socket.send_str(text)
        except ConnectionError:
            return
    await socket.close()


# --- market messages --------------------------------------------------------------------------------------


def market_messages(desk: Desk, stream: str) -> list[Document]:
    """What `stream` says at the end of a step; nothing if there is no such stream.

    Of a bar that closed it says so, and then what has just begun.
    """
    found = _STREAM.fullmatch(stream)
    if found is None:
        return []
    every, name, kind, interval, _, _ = found.groups()
    if every:
        return _of_all(desk, name) if kind == "arr" else []
    symbol = name.upper()
    if symbol not in desk.view.quotes:
        return []
    if kind == "kline" and interval:
        return _klines(desk, symbol, interval)
    made = _OF_ONE.get(kind)
    return [made(desk, symbol)] if made and not interval else []


def _of_all(desk: Desk, kind: str) -> list[Any]:
    made = _OF_ONE.get(kind)
    return [[made(desk, symbol) for symbol in desk.view.quotes]] if made else []


def _klines(desk: Desk, symbol: str, interval: str) -> list[Document]:
    span = INTERVALS.get(interval)
    if span is None or not desk.chart.offers(span):
        return []
    candles = desk.chart.candles(symbol, span, desk.view.quotes[symbol].price, limit=2)
    just_closed = [c for c in candles if c.closed and c.opened + span == desk.now]
    return [_kline(desk, symbol, interval, c) for c in [*just_closed, *candles[-1:]]]


def _kline(desk: Desk, symbol: str, interval: str, candle: Candle) -> Document:
    row = market.candle_row(candle, INTERVALS[interval], desk.view.instruments[symbol])
    names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
    count = desk.chart.count(symbol)
    k = {**dict(zip(names, row, strict=True)), "s": symbol, "i": interval, "f": count, "L": count, "x": candle.closed}
    return {"e": "kline", "E": ms_of(desk.now), "s": symbol, "k": k}


def _mark_price(desk: Desk, symbol: str) -> Document:
    said = market.premium(desk, symbol)
    return {
        "e": "markPriceUpdate",
        "E": said["time"],
        "s": symbol,
        "p": said["markPrice"],
        "i": said["indexPrice"],
        "P": said["estimatedSettlePrice"],
        "r": said["lastFundingRate"],
        "T": said["nextFundingTime"],
    }


def _book_ticker(desk: Desk, symbol: str) -> Document:
    said = market.best(desk, symbol)
    return {
        "e": "bookTicker",
        "u": said["lastUpdateId"],
        "E": said["time"],
        "T": said["time"],
        "s": symbol,
        "b": said["bidPrice"],
        "B": said["bidQty"],
        "a": said["askPrice"],
        "A": said["askQty"],
    }


def _mini_ticker(desk: Desk, symbol: str) -> Document:
    said = market.day(desk, symbol)
    return {
        "e": "24hrMiniTicker",
        "E": said["closeTime"],
        "s": symbol,
        "c": said["lastPrice"],
        "o": said["openPrice"],
        "h": said["highPrice"],
        "l": said["lowPrice"],
        "v": said["volume"],
        "q": said["quoteVolume"],
    }


def _agg_trade(desk: Desk, symbol: str) -> Document:
    """The whole bar as one trade at its close: bars know of no others."""
    bar, instrument, count = desk.chart.last_bar(symbol), desk.view.instruments[symbol], desk.chart.count(symbol)
    return {
        "e": "aggTrade",
        "E": ms_of(desk.now),
        "a": count,
        "s": symbol,
        "p": in_steps(bar.close, instrument.tick),
        "q": in_steps(bar.volume, instrument.lot),
        "f": count,
        "l": count,
        "T": ms_of(bar.ts),
        "m": bar.close < bar.open,
    }


_OF_ONE: dict[str, Callable[[Desk, str], Document]] = {
    "markPrice": _mark_price,
    "bookTicker": _book_ticker,
    "miniTicker": _mini_ticker,
    "aggTrade": _agg_trade,
}


# --- messages of the account --------------------------------------------------------------------------------


def account_message(desk: Desk, told: Told) -> Document:
    """`told` as the venue writes it, at the instant it happens."""
    at = ms_of(told.ts)
    match told:
        case OrderTold():
            return {"e": "ORDER_TRADE_UPDATE", "E": at, "T": at, "o": _order(desk, told)}
        case AlgoTold():
            return {"e": "ALGO_UPDATE", "E": at, "T": at, "o": _algo(desk, told.record, told.status)}
        case AccountTold():
            return {"e": "ACCOUNT_UPDATE", "E": at, "T": at, "a": _account(desk, told)}


def _order(desk: Desk, told: OrderTold) -> Document:
    r, trade = told.record, told.trade
    i, intent = desk.view.instruments[r.intent.symbol], r.intent
    said = {
        "s": intent.symbol,
        "c": r.client_id,
        "S": intent.side.value.upper(),
        "o": r.plain_type.value,
        "f": intent.time_in_force.value,
        "q": in_steps(r.quantity, i.lot),
        "p": in_steps(intent.price or ZERO, i.tick),
        "ap": in_steps(r.average, i.tick / 1000),
        "sp": in_steps(intent.trigger or ZERO, i.tick),
        "x": told.execution,
        "X": r.plain_status,
        "i": r.number,
        "l": in_steps(trade.fill.quantity if trade else ZERO, i.lot),
        "z": in_steps(r.filled, i.lot),
        "L": in_steps(trade.fill.price if trade else ZERO, i.tick),
        "T": ms_of(told.ts),
        "t": trade.trade_id if trade else 0,
        "b": "0",
        "a": "0",
        "m": trade.fill.maker if trade else False,
        "R": intent.reduce_only,
        "wt": intent.trigger_by.value,
        "ot": intent.type.value,
        "ps": "BOTH",
        "cp": intent.close_position,
        "pP": False,
        "si": 0,
        "ss": 0,
        "rp": money(trade.realized if trade else ZERO),
        "V": "NONE",
        "pm": "NONE",
        "gtd": 0,
        "er": r.reason,
    }
    return {**said, "N": "USDT", "n": money(trade.fill.fee)} if trade else said


def _algo(desk: Desk, r: Record, status: str) -> Document:
    i, intent = desk.view.instruments[r.intent.symbol], r.intent
    return {
        "caid": r.client_id,
        "aid": r.algo_id,
        "at": "CONDITIONAL",
        "o": intent.type.value,
        "s": intent.symbol,
        "S": intent.side.value.upper(),
        "ps": "BOTH",
        "f": intent.time_in_force.value,
        "q": in_steps(intent.quantity, i.lot),
        "X": status,
        "ai": "" if r.fired is None else str(r.number),
        "ap": in_steps(r.average, i.tick / 1000),
        "aq": in_steps(r.filled, i.lot),
        "act": "" if r.fired is None else r.plain_type.value,
        "tp": in_steps(intent.trigger or ZERO, i.tick),
        "p": in_steps(intent.price or ZERO, i.tick),
        "V": "NONE",
        "wt": intent.trigger_by.value,
        "pm": "NONE",
        "cp": intent.close_position,
        "pP": False,
        "R": intent.reduce_only,
        "tt": 0 if r.fired is None else ms_of(r.fired),
        "gtd": 0,
        "rm": r.reason,
    }


def _account(desk: Desk, told: AccountTold) -> Document:
    cross = desk.view.conduct.cross
    kept = sum(desk.engine.isolated.values(), Decimal(0))
    balance = {
        "a": "USDT",
        "wb": money(desk.account.cash),
        "cw": money(desk.account.cash - kept),
        "bc": money(told.moved),
    }
    return {
        "m": told.reason,
        "B": [balance],
        "P": [_position(desk, symbol, cross) for symbol in told.symbols],
    }


def _position(desk: Desk, symbol: str, cross: bool) -> Document:
    position, i = desk.account.position(symbol), desk.view.instruments[symbol]
    held = bool(position.quantity)
    mark = Decimal(repr(desk.view.quotes[symbol].mark))
    return {
        "s": symbol,
        "pa": in_steps(position.quantity, i.lot),
        "ep": money(position.entry_price),
        "bep": money(breakeven_price(desk, position) if held else ZERO),
        "cr": money(desk.realized.get(symbol, ZERO)),
        "up": money(position.unrealized(mark) if held else ZERO),
        "mt": "cross" if cross else "isolated",
        "iw": "0" if cross else money(isolated_wallet(desk, symbol)),
        "ps": "BOTH",
    }
