"""Messages of the account: what became of an order, a wallet, a position, as the venue writes it."""

from decimal import Decimal

from qtlib.domain.orders import ZERO
from qtlib.exchanges.simulated import margin
from qtlib.exchanges.simulated.served.account import breakeven_price, isolated_wallet, maintenance
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.records import (
    AccountTold,
    AlgoTold,
    LeverageTold,
    MarginCalled,
    OrderTold,
    Record,
    Told,
    Trade,
)
from qtlib.exchanges.simulated.served.settings import margin_type
from qtlib.exchanges.simulated.served.words import Document, in_steps, money, ms_of


def account_messages(desk: Desk, told: Told) -> list[Document]:
    """`told` as the venue writes it, at the instant it happens; of a trade there is a brief word first."""
    at = {"E": ms_of(told.ts), "T": ms_of(told.ts)}
    match told:
        case OrderTold(trade=trade):
            update = {"e": "ORDER_TRADE_UPDATE", **at, "o": _order(desk, told)}
            if trade is None or trade.liquidates:
                return [update]
            return [{"e": "TRADE_LITE", **at, **_in_brief(desk, trade)}, update]
        case AlgoTold():
            return [{"e": "ALGO_UPDATE", **at, "o": _algo(desk, told.record, told.status)}]
        case AccountTold():
            return [{"e": "ACCOUNT_UPDATE", **at, "a": _account(desk, told)}]
        case LeverageTold():
            said = {"s": told.symbol, "l": desk.view.leverage(told.symbol)}
            return [{"e": "ACCOUNT_CONFIG_UPDATE", **at, "ac": said}]
        case MarginCalled():
            return [_margin_call(desk, told)]


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


def _in_brief(desk: Desk, trade: Trade) -> Document:
    r, fill, i = trade.record, trade.fill, desk.view.instruments[trade.fill.symbol]
    return {
        "s": fill.symbol,
        "q": in_steps(r.quantity, i.lot),
        "p": in_steps(r.intent.price or ZERO, i.tick),
        "m": fill.maker,
        "c": r.client_id,
        "S": fill.side.value.upper(),
        "L": in_steps(fill.price, i.tick),
        "l": in_steps(fill.quantity, i.lot),
        "t": trade.trade_id,
        "i": r.number,
    }


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
    kept, wallet = sum(desk.engine.isolated.values(), ZERO), desk.account.cash
    balance = {"a": "USDT", "wb": money(wallet), "cw": money(wallet - kept), "bc": money(told.moved)}
    return {"m": told.reason, "B": [balance], "P": [_position(desk, symbol) for symbol in told.symbols]}


def _position(desk: Desk, symbol: str) -> Document:
    cross = desk.view.cross(symbol)
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


def _margin_call(desk: Desk, told: MarginCalled) -> Document:
    said: Document = {"e": "MARGIN_CALL", "E": ms_of(told.ts), "p": [_called(desk, s) for s in told.symbols]}
    crossed = desk.view.cross(told.symbols[0])
    return {**said, "cw": money(margin.crossed_wallet(desk.view))} if crossed else said


def _called(desk: Desk, symbol: str) -> Document:
    position = _position(desk, symbol)
    return {
        **{name: position[name] for name in ("s", "ps", "pa", "iw", "up")},
        "mt": margin_type(desk, symbol),
        "mp": money(desk.view.quotes[symbol].mark),
        "mm": money(maintenance(desk, symbol)),
    }
