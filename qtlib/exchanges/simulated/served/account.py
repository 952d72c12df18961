"""Documents of the account: balances, positions, margins.

Positions and margins are the engine's own, computed by its own functions at the mark price of now.
"""

from decimal import Decimal

from qtlib.domain.account import Position, exact
from qtlib.domain.orders import ZERO, Side
from qtlib.exchanges.simulated import margin
from qtlib.exchanges.simulated.book import reduces
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.market import asked_for
from qtlib.exchanges.simulated.served.settings import account_config, most
from qtlib.exchanges.simulated.served.words import Asked, Document, in_steps, money, ms_of
from qtlib.rules.formulas import liquidation_price


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
    return [_risk_v2(desk, symbol) for symbol in asked_for(desk, asked) if symbol in desk.view.quotes]


def isolated_wallet(desk: Desk, symbol: str) -> Decimal:
    """What backs the position in `symbol` alone; zero in cross margin."""
    return desk.engine.isolated.get(symbol, ZERO)


def breakeven_price(desk: Desk, position: Position) -> Decimal:
    """The price at which the position has earned the fee it was opened for."""
    sign = 1 if position.quantity > 0 else -1
    return position.entry_price * (1 + sign * desk.view.instruments[position.symbol].taker_fee_frac)


def maintenance(desk: Desk, symbol: str) -> Decimal:
    quantity, brackets = float(desk.view.held(symbol)), desk.view.brackets[symbol]
    return exact(margin.maintenance(quantity, desk.view.quotes[symbol].mark, brackets)) if quantity else ZERO


# --- below ------------------------------------------------------------------------------------------------


def _busy(desk: Desk) -> list[str]:
    return [symbol for symbol in desk.view.busy() if symbol in desk.view.quotes]


def _mark(desk: Desk, symbol: str) -> Decimal:
    return exact(desk.view.quotes[symbol].mark)


def _unrealized(desk: Desk, symbol: str) -> Decimal:
    position = desk.engine.account.position(symbol)
    return position.unrealized(_mark(desk, symbol)) if position.quantity else ZERO


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
        "maintMargin": sum((maintenance(desk, s) for s in busy), ZERO),
        "initialMargin": of_positions + of_orders,
        "positionInitialMargin": of_positions,
        "openOrderInitialMargin": of_orders,
        "crossWalletBalance": margin.crossed_wallet(view),
        "crossUnPnl": sum((_unrealized(desk, s) for s in busy if view.cross(s)), ZERO),
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
        "maintMargin": money(maintenance(desk, symbol)),
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
        "isolated": not desk.view.cross(symbol),
        "maxNotional": most(desk, symbol),
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
        "maxNotionalValue": most(desk, symbol),
        "marginType": "cross" if desk.view.cross(symbol) else "isolated",
        "isAutoAddMargin": "false",
    }


def _liquidation_price(desk: Desk, symbol: str) -> str:
    """Where the mark price would liquidate the position, all others as they are; 0 if nowhere."""
    position = desk.engine.account.position(symbol)
    if not position.quantity:
        return "0"
    wallet = isolated_wallet(desk, symbol)
    if desk.view.cross(symbol):
        others = [s for s in desk.engine.account.positions if s != symbol and desk.view.cross(s)]
        wallet = margin.crossed_wallet(desk.view)
        wallet += sum((_unrealized(desk, s) - maintenance(desk, s) for s in others), ZERO)
    quantity, entry = float(position.quantity), float(position.entry_price)
    brackets = desk.view.brackets[symbol]
    prices = [liquidation_price(float(wallet), quantity, entry, frac, cum) for _, frac, cum in brackets]
    price = max(prices) if quantity > 0 else min(prices)
    return money(price) if price > 0 else "0"
