"""Documents of the account: balances, positions, margins, settings, brackets, and what its wallet lived through.

Positions and margins are the engine's own, computed by its own functions at the mark price of now.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from qtlib.domain.account import Position, exact
from qtlib.domain.orders import ZERO, Side
from qtlib.domain.state import START
from qtlib.exchanges.port import Refused
from qtlib.exchanges.simulated import margin
from qtlib.exchanges.simulated.book import reduces
from qtlib.exchanges.simulated.served.desk import Desk, Income, Trade
from qtlib.exchanges.simulated.served.market import listed
from qtlib.exchanges.simulated.served.words import Asked, Document, Refusal, in_steps, money, ms_of
from qtlib.rules.formulas import liquidation_price

ONE_WAY = "this account has one position per symbol (one-way mode)"
SINGLE_ASSET = "this account has USDT only"


def account_v3(desk: Desk, asked: Asked) -> Document:
    return {
        **_totals(desk),
        "assets": [_asset(desk)],
        "positions": [_held_v3(desk, symbol) for symbol in _busy(desk)],
    }


def account_v2(desk: Desk, asked: Asked) -> Document:
    return {
        **account_config(desk, asked),
        "updateTime": 0,
        **_totals(desk),
        "assets": [{**_asset(desk), "marginAvailable": True}],
        "positions": [_held_v2(desk, symbol) for symbol in desk.view.quotes],
    }


def balance_v3(desk: Desk, asked: Asked) -> list[Document]:
    asset = _asset(desk)
    kept = ("asset", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount", "updateTime")
    return [
        {
            "accountAlias": "simulated",
            **{name: asset[name] for name in kept},
            "balance": asset["walletBalance"],
            "marginAvailable": True,
        }
    ]


def position_risk_v3(desk: Desk, asked: Asked) -> list[Document]:
    """Of symbols that have a position or an open order."""
    return [_risk_v3(desk, symbol) for symbol in _busy(desk) if asked.text("symbol") in (None, symbol)]


def position_risk_v2(desk: Desk, asked: Asked) -> list[Document]:
    """Of all symbols, or the one asked for."""
    return [_risk_v2(desk, symbol) for symbol in _asked_for(desk, asked) if symbol in desk.view.quotes]


def leverage_bracket(desk: Desk, asked: Asked) -> list[Document]:
    return [_brackets(desk, symbol) for symbol in _asked_for(desk, asked)]


def symbol_config(desk: Desk, asked: Asked) -> list[Document]:
    return [
        {
            "symbol": symbol,
            "marginType": _margin_type(desk),
            "isAutoAddMargin": False,
            "leverage": desk.view.leverage(symbol),
            "maxNotionalValue": _most(desk, symbol),
        }
        for symbol in _asked_for(desk, asked)
    ]


def account_config(desk: Desk, asked: Asked) -> Document:
    return {
        "feeTier": 0,
        "feeBurn": False,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": False,
        "dualSidePosition": False,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def commission_rate(desk: Desk, asked: Asked) -> Document:
    i = listed(desk, asked.needed("symbol"))
    return {
        "symbol": i.symbol,
        "makerCommissionRate": f"{i.maker_fee_frac:f}",
        "takerCommissionRate": f"{i.taker_fee_frac:f}",
        "rpiCommissionRate": f"{i.maker_fee_frac:f}",
    }


def set_leverage(desk: Desk, asked: Asked) -> Document:
    symbol, leverage = listed(desk, asked.needed("symbol")).symbol, asked.whole("leverage") or 0
    asked.needed("leverage")
    try:
        desk.engine.set_leverage(symbol, leverage)
    except Refused as no:
        raise Refusal.of(str(no)) from no
    return {"leverage": leverage, "maxNotionalValue": _most(desk, symbol), "symbol": symbol}


def set_margin_type(desk: Desk, asked: Asked) -> Document:
    """One margin mode holds for the whole venue, as it was started; asking for that one finds it set already."""
    listed(desk, asked.needed("symbol"))
    there = _margin_type(desk)
    asked.needed("marginType")
    asked.only("marginType", (there,), f"it was started with {there.lower()} margin for every symbol")
    raise Refusal(-4046, "No need to change margin type.")


def position_mode(desk: Desk, asked: Asked) -> Document:
    return {"dualSidePosition": False}


def set_position_mode(desk: Desk, asked: Asked) -> Document:
    asked.needed("dualSidePosition")
    asked.only("dualSidePosition", ("FALSE",), ONE_WAY)
    raise Refusal(-4059, "No need to change position side.")


def multi_assets(desk: Desk, asked: Asked) -> Document:
    return {"multiAssetsMargin": False}


def set_multi_assets(desk: Desk, asked: Asked) -> Document:
    asked.needed("multiAssetsMargin")
    asked.only("multiAssetsMargin", ("FALSE",), SINGLE_ASSET)
    raise Refusal(-4171, "No need to change multi-assets mode.")


def user_trades(desk: Desk, asked: Asked) -> list[Document]:
    symbol, order_id, first = listed(desk, asked.needed("symbol")).symbol, asked.whole("orderId"), asked.whole("fromId")
    since, until = span(asked)
    found = [
        t
        for t in desk.trades
        if t.fill.symbol == symbol
        and order_id in (None, t.record.number)
        and (first is None or t.trade_id >= first)
        and since <= t.fill.ts <= until
    ]
    limit = asked.limit(500, 1000)
    from_the_start = first is not None or asked.text("startTime") is not None
    return [_trade(desk, t) for t in (found[:limit] if from_the_start else found[-limit:])]


def income(desk: Desk, asked: Asked) -> list[Document]:
    symbol, kind = asked.text("symbol"), asked.text("incomeType")
    since, until = span(asked)
    found = [
        i for i in desk.incomes if symbol in (None, i.symbol) and kind in (None, i.kind) and since <= i.ts <= until
    ]
    limit = asked.limit(100, 1000)
    return [_income(i) for i in (found[:limit] if asked.text("startTime") else found[-limit:])]


def span(asked: Asked) -> tuple[datetime, datetime]:
    """From `startTime` to `endTime`, both included; what is not sent is no bound."""
    start, end = asked.whole("startTime"), asked.whole("endTime")
    since = START if start is None else START + timedelta(milliseconds=start)
    return since, datetime.max.replace(tzinfo=START.tzinfo) if end is None else START + timedelta(milliseconds=end)


def isolated_wallet(desk: Desk, symbol: str) -> Decimal:
    """What backs the position in `symbol` alone; zero in cross margin."""
    return desk.engine.isolated.get(symbol, ZERO)


def breakeven_price(desk: Desk, position: Position) -> Decimal:
    """The price at which the position has earned the fee it was opened for."""
    sign = 1 if position.quantity > 0 else -1
    return position.entry_price * (1 + sign * desk.view.instruments[position.symbol].taker_fee_frac)


# --- below ------------------------------------------------------------------------------------------------


def _busy(desk: Desk) -> list[str]:
    return [symbol for symbol in desk.view.busy() if symbol in desk.view.quotes]


def _asked_for(desk: Desk, asked: Asked) -> list[str]:
    symbol = asked.text("symbol")
    return [listed(desk, symbol).symbol] if symbol else list(desk.view.instruments)


def _margin_type(desk: Desk) -> str:
    return "CROSSED" if desk.view.conduct.cross else "ISOLATED"


def _most(desk: Desk, symbol: str) -> str:
    return f"{margin.largest_notional(desk.view, symbol):f}"


def _mark(desk: Desk, symbol: str) -> Decimal:
    return exact(desk.view.quotes[symbol].mark)


def _unrealized(desk: Desk, symbol: str) -> Decimal:
    position = desk.engine.account.position(symbol)
    return position.unrealized(_mark(desk, symbol)) if position.quantity else ZERO


def _maintenance(desk: Desk, symbol: str) -> Decimal:
    quantity, brackets = float(desk.view.held(symbol)), margin.float_brackets(desk.view.instruments[symbol])
    return exact(margin.maintenance(quantity, desk.view.quotes[symbol].mark, brackets)) if quantity else ZERO


def _sums(desk: Desk) -> dict[str, Decimal]:
    """The account in quote, by the venue's words for an asset."""
    view, busy = desk.view, _busy(desk)
    wallet, unrealized = desk.engine.account.cash, sum((_unrealized(desk, s) for s in busy), ZERO)
    of_positions = sum((margin.position_margin(view, s) for s in busy), ZERO)
    of_orders = sum((margin.order_margin(view, s) for s in busy), ZERO)
    available = margin.available(view)
    return {
        "walletBalance": wallet,
        "unrealizedProfit": unrealized,
        "marginBalance": wallet + unrealized,
        "maintMargin": sum((_maintenance(desk, s) for s in busy), ZERO),
        "initialMargin": of_positions + of_orders,
        "positionInitialMargin": of_positions,
        "openOrderInitialMargin": of_orders,
        "crossWalletBalance": wallet - sum(desk.engine.isolated.values(), ZERO),
        "crossUnPnl": unrealized if view.conduct.cross else ZERO,
        "availableBalance": available,
        "maxWithdrawAmount": min(available, max(ZERO, wallet)),
    }


def _asset(desk: Desk) -> Document:
    sums = {name: money(value) for name, value in _sums(desk).items()}
    return {"asset": "USDT", **sums, "updateTime": ms_of(desk.now)}


_TOTALS = {
    "totalInitialMargin": "initialMargin",
    "totalMaintMargin": "maintMargin",
    "totalWalletBalance": "walletBalance",
    "totalUnrealizedProfit": "unrealizedProfit",
    "totalMarginBalance": "marginBalance",
    "totalPositionInitialMargin": "positionInitialMargin",
    "totalOpenOrderInitialMargin": "openOrderInitialMargin",
    "totalCrossWalletBalance": "crossWalletBalance",
    "totalCrossUnPnl": "crossUnPnl",
    "availableBalance": "availableBalance",
    "maxWithdrawAmount": "maxWithdrawAmount",
}


def _totals(desk: Desk) -> Document:
    sums = _sums(desk)
    return {total: money(sums[name]) for total, name in _TOTALS.items()}


def _margins(desk: Desk, symbol: str) -> Document:
    held, orders = margin.position_margin(desk.view, symbol), margin.order_margin(desk.view, symbol)
    return {
        "initialMargin": money(held + orders),
        "maintMargin": money(_maintenance(desk, symbol)),
        "positionInitialMargin": money(held),
        "openOrderInitialMargin": money(orders),
    }


def _isolated(desk: Desk, symbol: str) -> tuple[str, str]:
    """Isolated wallet, and margin with its open profit; a bare 0 in cross margin, by which clients tell the two."""
    if symbol not in desk.engine.isolated:
        return "0", "0"
    wallet = isolated_wallet(desk, symbol)
    return money(wallet), money(wallet + _unrealized(desk, symbol))


def _resting_notional(desk: Desk, symbol: str) -> Document:
    sums = {Side.BUY: ZERO, Side.SELL: ZERO}
    for order in desk.view.orders(symbol):
        if not order.waiting and not reduces(order.intent):
            sums[order.intent.side] += order.remaining * (order.intent.price or ZERO)
    return {"bidNotional": money(sums[Side.BUY]), "askNotional": money(sums[Side.SELL])}


def _position(desk: Desk, symbol: str) -> Document:
    """What every document of a position says."""
    lot = desk.view.instruments[symbol].lot
    return {"symbol": symbol, "positionSide": "BOTH", "positionAmt": in_steps(desk.view.held(symbol), lot)}


def _prices(desk: Desk, symbol: str) -> Document:
    position = desk.engine.account.position(symbol)
    return {
        "entryPrice": money(position.entry_price),
        "breakEvenPrice": money(breakeven_price(desk, position)) if position.quantity else money(ZERO),
    }


def _notional(desk: Desk, symbol: str) -> str:
    return money(desk.view.held(symbol) * _mark(desk, symbol))


def _held_v3(desk: Desk, symbol: str) -> Document:
    wallet, backing = _isolated(desk, symbol)
    margins = _margins(desk, symbol)
    return {
        **_position(desk, symbol),
        "unrealizedProfit": money(_unrealized(desk, symbol)),
        "isolatedMargin": backing,
        "notional": _notional(desk, symbol),
        "isolatedWallet": wallet,
        "initialMargin": margins["initialMargin"],
        "maintMargin": margins["maintMargin"],
        "updateTime": ms_of(desk.now),
    }


def _held_v2(desk: Desk, symbol: str) -> Document:
    return {
        **_held_v3(desk, symbol),
        **_prices(desk, symbol),
        **_margins(desk, symbol),
        **_resting_notional(desk, symbol),
        "leverage": str(desk.view.leverage(symbol)),
        "isolated": not desk.view.conduct.cross,
        "maxNotional": _most(desk, symbol),
    }


def _risk(desk: Desk, symbol: str) -> Document:
    wallet, backing = _isolated(desk, symbol)
    return {
        **_position(desk, symbol),
        **_prices(desk, symbol),
        "markPrice": money(desk.view.quotes[symbol].mark),
        "unRealizedProfit": money(_unrealized(desk, symbol)),
        "liquidationPrice": _liquidation_price(desk, symbol),
        "isolatedMargin": backing,
        "notional": _notional(desk, symbol),
        "isolatedWallet": wallet,
        "updateTime": ms_of(desk.now),
    }


def _risk_v3(desk: Desk, symbol: str) -> Document:
    return {
        **_risk(desk, symbol),
        "marginAsset": "USDT",
        **_margins(desk, symbol),
        "adl": 1,
        **_resting_notional(desk, symbol),
    }


def _risk_v2(desk: Desk, symbol: str) -> Document:
    return {
        **_risk(desk, symbol),
        "leverage": str(desk.view.leverage(symbol)),
        "maxNotionalValue": _most(desk, symbol),
        "marginType": "cross" if desk.view.conduct.cross else "isolated",
        "isAutoAddMargin": "false",
    }


def _liquidation_price(desk: Desk, symbol: str) -> str:
    """Where the mark price would liquidate the position, all others as they are; 0 if nowhere."""
    position = desk.engine.account.position(symbol)
    if not position.quantity:
        return "0"
    wallet = isolated_wallet(desk, symbol)
    if desk.view.conduct.cross:
        others = [s for s in desk.engine.account.positions if s != symbol]
        wallet = desk.engine.account.cash + sum((_unrealized(desk, s) - _maintenance(desk, s) for s in others), ZERO)
    quantity, entry = float(position.quantity), float(position.entry_price)
    brackets = margin.float_brackets(desk.view.instruments[symbol])
    prices = [liquidation_price(float(wallet), quantity, entry, frac, cum) for _, frac, cum in brackets]
    price = max(prices) if quantity > 0 else min(prices)
    return money(price) if price > 0 else "0"


def _brackets(desk: Desk, symbol: str) -> Document:
    rows: list[Document] = []
    floor = 0.0
    for number, bracket in enumerate(desk.view.instruments[symbol].brackets, 1):
        rows.append(
            {
                "bracket": number,
                "initialLeverage": bracket.max_leverage,
                "notionalCap": float(bracket.notional_cap),
                "notionalFloor": floor,
                "maintMarginRatio": float(bracket.maintenance_frac),
                "cum": float(bracket.cum),
            }
        )
        floor = float(bracket.notional_cap)
    return {"symbol": symbol, "notionalCoef": 1.0, "brackets": rows}


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
