"""What is set for the account and for each symbol: leverage, margin and position mode, brackets, fees."""

from qtlib.exchanges.simulated import margin
from qtlib.exchanges.simulated.conduct import CROSS, ISOLATED
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.market import asked_for, listed
from qtlib.exchanges.simulated.served.words import SUCCESS, Asked, Document, Refusal, malformed

ONE_WAY = "this account has one position per symbol (one-way mode)"
SINGLE_ASSET = "this account has USDT only"
ADD, TAKE = 1, 2  # to and from what backs a position
_MODES = {"ISOLATED": ISOLATED, "CROSSED": CROSS}


def leverage_bracket(desk: Desk, asked: Asked) -> list[Document]:
    return [_brackets(desk, symbol) for symbol in asked_for(desk, asked)]


def symbol_config(desk: Desk, asked: Asked) -> list[Document]:
    return [
        {
            "symbol": symbol,
            "marginType": margin_type(desk, symbol),
            "isAutoAddMargin": False,
            "leverage": desk.view.leverage(symbol),
            "maxNotionalValue": most(desk, symbol),
        }
        for symbol in asked_for(desk, asked)
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


def api_restrictions(desk: Desk, asked: Asked) -> Document:
    """What the key may do: all that trading here needs, and nothing besides."""
    return {
        "ipRestrict": True,
        "createTime": 0,
        "enableReading": True,
        "enableFutures": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": False,
        "enableMargin": False,
        "enableSpotAndMarginTrading": False,
        "enableVanillaOptions": False,
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
    desk.set_leverage(symbol, leverage)
    return {"leverage": leverage, "maxNotionalValue": most(desk, symbol), "symbol": symbol}


def set_margin_type(desk: Desk, asked: Asked) -> Document:
    symbol = listed(desk, asked.needed("symbol")).symbol
    mode = _MODES.get(asked.needed("marginType"))
    if mode is None:
        raise Refusal(-1130, "Data sent for parameter 'marginType' is not valid.")
    desk.set_margin_mode(symbol, mode)
    return SUCCESS


def move_margin(desk: Desk, asked: Asked) -> Document:
    """More backing for an isolated position (type 1), or less (type 2)."""
    symbol, amount, kind = listed(desk, asked.needed("symbol")).symbol, asked.decimal("amount"), asked.whole("type")
    asked.needed("amount")
    if kind not in (ADD, TAKE):
        raise malformed("type")
    if not amount or amount < 0:
        raise Refusal(-4055, "Amount must be positive.")
    desk.move_margin(symbol, amount if kind == ADD else -amount)
    return {"amount": float(amount), "code": 200, "msg": "Successfully modify position margin.", "type": kind}


def position_mode(desk: Desk, asked: Asked) -> Document:
    return {"dualSidePosition": False}


def set_position_mode(desk: Desk, asked: Asked) -> Document:
    asked.needed("dualSidePosition")
    if asked.flag("dualSidePosition"):
        if desk.view.book.orders:
            raise Refusal(-4067, "Position side cannot be changed if there exists open orders.")
        if desk.account.positions:
            raise Refusal(-4068, "Position side cannot be changed if there exists position.")
    asked.only("dualSidePosition", ("FALSE",), ONE_WAY)
    raise Refusal(-4059, "No need to change position side.")


def multi_assets(desk: Desk, asked: Asked) -> Document:
    return {"multiAssetsMargin": False}


def set_multi_assets(desk: Desk, asked: Asked) -> Document:
    asked.needed("multiAssetsMargin")
    asked.only("multiAssetsMargin", ("FALSE",), SINGLE_ASSET)
    raise Refusal(-4171, "No need to change multi-assets mode.")


def margin_type(desk: Desk, symbol: str) -> str:
    return "CROSSED" if desk.view.cross(symbol) else "ISOLATED"


def most(desk: Desk, symbol: str) -> str:
    """The largest notional that the brackets of `symbol` allow at its leverage."""
    return f"{margin.largest_notional(desk.view, symbol):f}"


# --- below ------------------------------------------------------------------------------------------------


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
