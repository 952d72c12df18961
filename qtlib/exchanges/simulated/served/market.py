"""Public documents: what is listed, bars, prices, funding. Each is a function of the desk and of what was asked.

The book shows what a taker would get: its two prices are the engine's own, slippage included, and its quantity is
what may still be taken out of the bar. All market times are the simulated market's; `serverTime` is the wall's.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from qtlib.domain.market import Instrument
from qtlib.domain.orders import OrderType, TimeInForce
from qtlib.domain.state import START
from qtlib.exchanges.simulated.book import Quote
from qtlib.exchanges.simulated.facts import recorded
from qtlib.exchanges.simulated.served import limits
from qtlib.exchanges.simulated.served.chart import INTERVALS, Candle
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.words import Asked, Document, Refusal, in_steps, money, ms_of
from qtlib.rules.formulas import taker_price

MOST_CANDLES, MOST_RATES = 1_500, 1_000
DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_DAY = timedelta(days=1)
_PERMISSIONS = ["GRID", "COPY"]


def ping(desk: Desk, asked: Asked) -> Document:
    return {}


def server_time(desk: Desk, asked: Asked) -> Document:
    return {"serverTime": wall_ms()}


def exchange_info(desk: Desk, asked: Asked) -> Document:
    rates = [
        ("REQUEST_WEIGHT", "MINUTE", 1, limits.WEIGHT_1M),
        ("ORDERS", "MINUTE", 1, limits.ORDERS_1M),
        ("ORDERS", "SECOND", 10, limits.ORDERS_10S),
    ]
    return {
        "timezone": "UTC",
        "serverTime": wall_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": most}
            for kind, interval, count, most in rates
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}],
        "symbols": [_listing(instrument, desk) for instrument in desk.view.instruments.values()],
    }


def klines(desk: Desk, asked: Asked) -> list[list[Any]]:
    return _klines(desk, asked, marks=False)


def mark_price_klines(desk: Desk, asked: Asked) -> list[list[Any]]:
    return _klines(desk, asked, marks=True)


def premium_index(desk: Desk, asked: Asked) -> Document | list[Document]:
    return _of_one_or_all(desk, asked, premium)


def funding_rate(desk: Desk, asked: Asked) -> list[Document]:
    symbol = asked.text("symbol")
    since, until, limit = _instant(asked, "startTime"), _instant(asked, "endTime"), asked.limit(100, MOST_RATES)
    rows = [
        (funded.ts, one, funded)
        for one in ([listed(desk, symbol).symbol] if symbol else desk.view.quotes)
        for funded in desk.chart.funding(one)
        if (since is None or funded.ts >= since) and (until is None or funded.ts <= until)
    ]
    rows.sort(key=lambda row: row[:2])
    return [
        {"symbol": one, "fundingTime": ms_of(ts), "fundingRate": money(f.rate_frac), "markPrice": money(f.mark)}
        for ts, one, f in (rows[:limit] if since is not None else rows[-limit:])
    ]


def funding_info(desk: Desk, asked: Asked) -> list[Document]:
    """Only symbols that are not settled every eight hours, as on the venue; their caps are not simulated."""
    return [
        {
            "symbol": i.symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": i.funding_interval_h,
            "disclaimer": False,
        }
        for i in desk.view.instruments.values()
        if i.funding_interval_h != 8
    ]


def ticker_24hr(desk: Desk, asked: Asked) -> Document | list[Document]:
    return _of_one_or_all(desk, asked, day)


def ticker_price(desk: Desk, asked: Asked) -> Document | list[Document]:
    return _of_one_or_all(desk, asked, _price)


def book_ticker(desk: Desk, asked: Asked) -> Document | list[Document]:
    return _of_one_or_all(desk, asked, best)


def depth(desk: Desk, asked: Asked) -> Document:
    """One level on each side: bars know of no others."""
    symbol = traded(desk, asked.needed("symbol"))
    limit = asked.whole("limit") or 500
    if limit not in DEPTHS:
        raise Refusal(-4021, f"Invalid depth limit: {limit} is none of {', '.join(map(str, DEPTHS))}.")
    top = best(desk, symbol)
    return {
        "lastUpdateId": top["lastUpdateId"],
        "E": top["time"],
        "T": top["time"],
        "bids": [[top["bidPrice"], top["bidQty"]]],
        "asks": [[top["askPrice"], top["askQty"]]],
    }


# --- of one symbol: what streams tell of too ----------------------------------------------------------------


def premium(desk: Desk, symbol: str) -> Document:
    mark = money(desk.view.quotes[symbol].mark)
    settled = desk.chart.funding(symbol)
    interval = timedelta(hours=desk.view.instruments[symbol].funding_interval_h)
    return {
        "symbol": symbol,
        "markPrice": mark,
        "indexPrice": mark,  # the feed knows no index
        "estimatedSettlePrice": mark,
        "lastFundingRate": money(settled[-1].rate_frac if settled else 0.0),
        "interestRate": "0.00010000",
        "nextFundingTime": ms_of(desk.now - (desk.now - START) % interval + interval),
        "time": ms_of(desk.now),
    }


def day(desk: Desk, symbol: str) -> Document:
    """The last 24 hours, or what is known of them."""
    instrument, bars = desk.view.instruments[symbol], desk.chart.bars_since(symbol, desk.now - _DAY)
    bars = bars or [desk.chart.last_bar(symbol)]
    first, last = bars[0].open, desk.view.quotes[symbol].price
    volume, turnover = sum(bar.volume for bar in bars), sum(bar.volume * bar.close for bar in bars)
    count = desk.chart.count(symbol)
    return {
        "symbol": symbol,
        "priceChange": in_steps(last - first, instrument.tick),
        "priceChangePercent": f"{(last / first - 1) * 100:.3f}",
        "weightedAvgPrice": in_steps(turnover / volume if volume else last, instrument.tick),
        "lastPrice": in_steps(last, instrument.tick),
        "lastQty": in_steps(instrument.lot, instrument.lot),
        "openPrice": in_steps(first, instrument.tick),
        "highPrice": in_steps(max(last, *(bar.high for bar in bars)), instrument.tick),
        "lowPrice": in_steps(min(last, *(bar.low for bar in bars)), instrument.tick),
        "volume": in_steps(volume, instrument.lot),
        "quoteVolume": f"{turnover:.2f}",
        "openTime": ms_of(bars[0].ts - desk.chart.span),
        "closeTime": ms_of(desk.now),
        "firstId": count - len(bars) + 1,
        "lastId": count,
        "count": len(bars),
    }


def best(desk: Desk, symbol: str) -> Document:
    instrument, quote = desk.view.instruments[symbol], desk.view.quotes[symbol]
    bid, ask = _taken_at(desk, quote, instrument)
    quantity = in_steps(max(desk.view.at_hand(symbol), instrument.lot), instrument.lot)
    return {
        "symbol": symbol,
        "bidPrice": in_steps(bid, instrument.tick),
        "bidQty": quantity,
        "askPrice": in_steps(ask, instrument.tick),
        "askQty": quantity,
        "time": ms_of(desk.now),
        "lastUpdateId": desk.chart.count(symbol),
    }


def candle_row(candle: Candle, interval: timedelta, instrument: Instrument, marks: bool = False) -> list[Any]:
    """A bar as the venue writes it; takers are taken to be half of the volume."""
    prices = [in_steps(p, instrument.tick) for p in candle[1:5]]
    volumes = ["0", "0", "0", "0"]
    if not marks:
        base, quote = candle.volume, candle.quote_volume
        volumes = [
            in_steps(base, instrument.lot),
            f"{quote:.2f}",
            in_steps(base / 2, instrument.lot),
            f"{quote / 2:.2f}",
        ]
    closes = ms_of(candle.opened + interval) - 1
    return [ms_of(candle.opened), *prices, volumes[0], closes, volumes[1], 1, *volumes[2:], "0"]


def listed(desk: Desk, symbol: str) -> Instrument:
    """The instrument, or the venue's word that there is none."""
    instrument = desk.view.instruments.get(symbol)
    if instrument is None:
        raise Refusal(-1121, "Invalid symbol.")
    return instrument


def traded(desk: Desk, symbol: str) -> str:
    """`symbol`, if it has a price by now."""
    if listed(desk, symbol).symbol not in desk.view.quotes:
        raise Refusal(-4140, "Invalid symbol status for opening position.")
    return symbol


def wall_ms() -> int:
    """The time that clients sign with."""
    return time.time_ns() // 1_000_000


# --- below ------------------------------------------------------------------------------------------------


def _klines(desk: Desk, asked: Asked, marks: bool) -> list[list[Any]]:
    symbol = asked.needed("symbol")
    instrument = listed(desk, symbol)
    interval = INTERVALS.get(asked.needed("interval"))
    if interval is None or not desk.chart.offers(interval):
        raise Refusal(-1120, "Invalid interval.")
    quote = desk.view.quotes.get(symbol)
    if quote is None:
        return []
    candles = desk.chart.candles(
        symbol,
        interval,
        quote.mark if marks else quote.price,
        marks=marks,
        since=_instant(asked, "startTime"),
        until=_instant(asked, "endTime"),
        limit=asked.limit(500, MOST_CANDLES),
    )
    return [candle_row(candle, interval, instrument, marks) for candle in candles]


def _of_one_or_all(desk: Desk, asked: Asked, one: Callable[[Desk, str], Document]) -> Document | list[Document]:
    if symbol := asked.text("symbol"):
        return one(desk, traded(desk, symbol))
    return [one(desk, symbol) for symbol in desk.view.quotes]


def _price(desk: Desk, symbol: str) -> Document:
    price = in_steps(desk.view.quotes[symbol].price, desk.view.instruments[symbol].tick)
    return {"symbol": symbol, "price": price, "time": ms_of(desk.now)}


def _taken_at(desk: Desk, quote: Quote, instrument: Instrument) -> tuple[Decimal, Decimal]:
    slippage = desk.view.conduct.slippage_frac
    bid = instrument.price(taker_price(quote.price, -1, slippage), "down")
    ask = instrument.price(taker_price(quote.price, +1, slippage), "up")
    return bid, max(ask, bid + instrument.tick)  # a book is never locked


def _instant(asked: Asked, name: str) -> datetime | None:
    ms = asked.whole(name)
    return None if ms is None else START + timedelta(milliseconds=ms)


@cache
def _recorded_symbols() -> Mapping[str, Mapping[str, Any]]:
    symbols: Mapping[str, Mapping[str, Any]] = recorded()["symbols"]
    return symbols


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
        "status": "TRADING" if i.symbol in desk.view.quotes else "PENDING_TRADING",
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
