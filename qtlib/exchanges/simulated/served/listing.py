"""What is listed, with the filters that orders must pass: `exchangeInfo`."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from qtlib.domain.market import Instrument
from qtlib.domain.orders import OrderType, TimeInForce
from qtlib.exchanges.simulated.facts import recorded
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.limits import Limits
from qtlib.exchanges.simulated.served.words import Document, in_steps, wall_ms

_PERMISSIONS = ["GRID", "COPY"]


def exchange_info(desk: Desk, limits: Limits) -> Document:
    allowed = [{name: value for name, value in one.items() if name != "count"} for one in limits.told(placing=True)]
    return {
        "timezone": "UTC",
        "serverTime": wall_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": allowed,
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}],
        "symbols": [_listing(instrument, desk) for instrument in desk.view.instruments.values()],
    }


# --- below ------------------------------------------------------------------------------------------------


@cache
def _recorded_symbols() -> Mapping[str, Mapping[str, Any]]:
    symbols: Mapping[str, Mapping[str, Any]] = recorded()["symbols"]
    return symbols


def _status(symbol: str, desk: Desk) -> str:
    if symbol in desk.view.suspended:
        return "SETTLING"
    return "TRADING" if symbol in desk.view.quotes else "PENDING_TRADING"


def _listing(i: Instrument, desk: Desk) -> Document:
    said = _recorded_symbols().get(i.symbol, {})
    base = i.symbol.removesuffix("USDT")
    bracket = i.brackets[0]
    band = in_steps(i.price_band_frac, Decimal("0.0001"))
    return {
        "symbol": i.symbol,
        "pair": i.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": said.get("onboard_ms", 0),
        "status": _status(i.symbol, desk),
        "maintMarginPercent": f"{bracket.maintenance_frac * 100:.4f}",
        "requiredMarginPercent": f"{Decimal(100) / bracket.max_leverage:.4f}",
        "baseAsset": base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": said.get("price_precision", _places(i.tick)),
        "quantityPrecision": said.get("quantity_precision", _places(i.lot)),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": band,
        "liquidationFee": in_steps(i.liquidation_fee_frac, Decimal("0.000001")),
        "marketTakeBound": band,
        "maxMoveOrderLimit": 10000,
        "filters": _filters(i, said, desk),
        "orderTypes": [kind.value for kind in OrderType],
        "timeInForce": [kind.value for kind in TimeInForce],
        "permissionSets": _PERMISSIONS,
    }


def _filters(i: Instrument, said: Mapping[str, Any], desk: Desk) -> list[Document]:
    lot = {"minQty": f"{i.lot:f}", "stepSize": f"{i.lot:f}"}
    up, down = 1 + i.price_band_frac, 1 - i.price_band_frac
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": str(said.get("min_price", f"{i.tick:f}")),
            "maxPrice": str(said.get("max_price", "1000000000")),
            "tickSize": f"{i.tick:f}",
        },
        {"filterType": "LOT_SIZE", "maxQty": f"{i.max_quantity:f}", **lot},
        {"filterType": "MARKET_LOT_SIZE", "maxQty": f"{i.max_market_quantity:f}", **lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": desk.view.conduct.max_orders},
        {"filterType": "MIN_NOTIONAL", "notional": f"{i.min_notional:f}"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": f"{up:.4f}",
            "multiplierDown": f"{down:.4f}",
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]


def _places(step: Decimal) -> int:
    exponent = step.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
