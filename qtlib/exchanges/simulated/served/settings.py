"""What is set for the account and for each symbol: leverage, margin and position mode, brackets, fees."""

from qtlib.exchanges.port import Refused
from qtlib.exchanges.simulated import margin
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.market import asked_for, listed
from qtlib.exchanges.simulated.served.words import Asked, Document, Refusal

ONE_WAY = "this account has one position per symbol (one-way mode)"
SINGLE_ASSET = "this account has USDT only"


def leverage_bracket(desk: Desk, asked: Asked) -> list[Document]:
    return [_brackets(desk, symbol) for symbol in asked_for(desk, asked)]


def symbol_config(desk: Desk, asked: Asked) -> list[Document]:
    return [
        {
            "symbol": symbol,
            "marginType": margin_type(desk),
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
        desk.set_leverage(symbol, leverage)
    except Refused as no:
        raise Refusal.of(str(no)) from no
    return {"leverage": leverage, "maxNotionalValue": most(desk, symbol), "symbol": symbol}


def set_margin_type(desk: Desk, asked: Asked) -> Document:
    """One margin mode holds for the whole venue, as it was started; asking for that one finds it set already."""
    listed(desk, asked.needed("symbol"))
    there = margin_type(desk)
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


def margin_type(desk: Desk) -> str:
    return "CROSSED" if desk.view.conduct.cross else "ISOLATED"


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
