"""What the account lived through: its trades and what moved its wallet."""

from datetime import datetime, timedelta

from qtlib.domain.events import START
from qtlib.domain.orders import Side
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.market import listed
from qtlib.exchanges.simulated.served.records import CLOSED_BY_VENUE, Income, Trade
from qtlib.exchanges.simulated.served.told import found
from qtlib.exchanges.simulated.served.words import Asked, Document, in_steps, money, ms_of


def user_trades(desk: Desk, asked: Asked) -> list[Document]:
    symbol, order_id, first = listed(desk, asked.needed("symbol")).symbol, asked.whole("orderId"), asked.whole("fromId")
    since, until = span(asked)
    rows = [
        t
        for t in desk.trades
        if t.fill.symbol == symbol
        and order_id in (None, t.record.number)
        and (first is None or t.trade_id >= first)
        and since <= t.fill.ts <= until
    ]
    limit = asked.limit(500, 1000)
    from_the_start = first is not None or asked.text("startTime") is not None
    return [_trade(desk, t) for t in (rows[:limit] if from_the_start else rows[-limit:])]


def income(desk: Desk, asked: Asked) -> list[Document]:
    symbol, kind = asked.text("symbol"), asked.text("incomeType")
    since, until = span(asked)
    rows = [i for i in desk.incomes if symbol in (None, i.symbol) and kind in (None, i.kind) and since <= i.ts <= until]
    limit = asked.limit(100, 1000)
    return [_income(i) for i in (rows[:limit] if asked.text("startTime") else rows[-limit:])]


def force_orders(desk: Desk, asked: Asked) -> list[Document]:
    """What the venue closed of the account, by itself (LIQUIDATION) or against others (ADL), as orders."""
    symbol, (since, until) = asked.text("symbol"), span(asked)
    asked.only("autoCloseType", tuple(CLOSED_BY_VENUE), "there is nothing else")
    begins = CLOSED_BY_VENUE.get(asked.text("autoCloseType") or "", "")
    closed = (t.record for t in desk.trades if t.liquidates and symbol in (None, t.fill.symbol))
    taken = (record for record in closed if record.client_id.startswith(begins))
    return [found(desk, record) for record in taken if since <= record.updated <= until][-asked.limit(50, 100) :]


def margins_moved(desk: Desk, asked: Asked) -> list[Document]:
    symbol, kind, (since, until) = listed(desk, asked.needed("symbol")).symbol, asked.whole("type"), span(asked)
    moved = [
        {
            "symbol": symbol,
            "type": 1 if amount > 0 else 2,
            "deltaType": "USER_ADJUST",
            "amount": f"{abs(amount):f}",
            "asset": "USDT",
            "time": ms_of(ts),
            "positionSide": "BOTH",
            "clientTranId": "",
        }
        for ts, amount in desk.ledger.margins_moved(symbol)
        if since <= ts <= until and kind in (None, 1 if amount > 0 else 2)
    ]
    return moved[-asked.limit(500, 500) :]


def span(asked: Asked) -> tuple[datetime, datetime]:
    """From `startTime` to `endTime`, both included; what is not sent is no bound."""
    start, end = asked.whole("startTime"), asked.whole("endTime")
    since = START if start is None else START + timedelta(milliseconds=start)
    return since, datetime.max.replace(tzinfo=START.tzinfo) if end is None else START + timedelta(milliseconds=end)


# --- below ------------------------------------------------------------------------------------------------


def _trade(desk: Desk, t: Trade) -> Document:
    fill, i = t.fill, desk.view.instruments[t.fill.symbol]
    return {
        "symbol": fill.symbol,
        "id": t.trade_id,
        "orderId": t.record.number,
        "side": fill.side.value.upper(),
        "price": in_steps(fill.price, i.tick),
        "qty": in_steps(fill.quantity, i.lot),
        "realizedPnl": money(t.realized),
        "quoteQty": money(fill.quantity * fill.price),
        "commission": money(fill.fee),
        "commissionAsset": "USDT",
        "marginAsset": "USDT",
        "time": ms_of(fill.ts),
        "positionSide": "BOTH",
        "buyer": fill.side is Side.BUY,
        "maker": fill.maker,
    }


def _income(i: Income) -> Document:
    return {
        "symbol": i.symbol,
        "incomeType": i.kind,
        "income": money(i.amount),
        "asset": "USDT",
        "info": i.info,
        "time": ms_of(i.ts),
        "tranId": i.number,
        "tradeId": i.trade_id,
    }
