"""Public documents: bars, prices, funding. Each is a function of the desk and of what was asked.

The book shows what a taker would get: its two prices are the engine's own, slippage included, and its quantity is
what may still be taken out of the bar. All market times are the simulated market's; `serverTime` is the wall's.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from qtlib.domain.events import START
from qtlib.domain.market import Bar, Instrument
from qtlib.exchanges.simulated.served.chart import INTERVALS, Candle
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.words import Asked, Document, Refusal, in_steps, money, ms_of, wall_ms
from qtlib.rules.formulas import taker_price

MOST_CANDLES, MOST_RATES = 1_500, 1_000
DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_DAY = timedelta(days=1)


def ping(desk: Desk, asked: Asked) -> Document:
    return {}


def server_time(desk: Desk, asked: Asked) -> Document:
    return {"serverTime": wall_ms()}


def klines(desk: Desk, asked: Asked) -> list[list[Any]]:
    return _klines(desk, asked, marks=False)


def mark_price_klines(desk: Desk, asked: Asked) -> list[list[Any]]:
    return _klines(desk, asked, marks=True)


def index_price_klines(desk: Desk, asked: Asked) -> list[list[Any]]:
    """Those of the mark price: the feed knows no index."""
    return mark_price_klines(desk, _of_pair(asked))


def continuous_klines(desk: Desk, asked: Asked) -> list[list[Any]]:
    asked.needed("contractType")
    asked.only("contractType", ("PERPETUAL",), "perpetual contracts are all there are")
    return klines(desk, _of_pair(asked))


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


def trades(desk: Desk, asked: Asked) -> list[Document]:
    """Each bar as one trade at its close: bars know of no others."""
    return _latest(desk, traded(desk, asked.needed("symbol")), asked.limit(500, 1000))


def historical_trades(desk: Desk, asked: Asked) -> list[Document]:
    symbol, limit, first = traded(desk, asked.needed("symbol")), asked.limit(100, 500), asked.whole("fromId")
    if first is None:
        return _latest(desk, symbol, limit)
    bars = list(enumerate(desk.chart.bars_since(symbol, START), 1))[max(0, first - 1) :][:limit]
    return [_trade_of(desk, symbol, bar, number) for number, bar in bars]


def agg_trades(desk: Desk, asked: Asked) -> list[Document]:
    symbol, limit, first = traded(desk, asked.needed("symbol")), asked.limit(500, 1000), asked.whole("fromId")
    since, until = _instant(asked, "startTime"), _instant(asked, "endTime")
    found = [
        (number, bar)
        for number, bar in enumerate(desk.chart.bars_since(symbol, START), 1)
        if (first is None or number >= first)
        and (since is None or bar.ts >= since)
        and (until is None or bar.ts <= until)
    ]
    from_the_start = first is not None or since is not None
    made = [_trade_of(desk, symbol, bar, n) for n, bar in (found[:limit] if from_the_start else found[-limit:])]
    names = {"a": "id", "p": "price", "q": "qty", "f": "id", "l": "id", "T": "time", "m": "isBuyerMaker"}
    return [{short: trade[name] for short, name in names.items()} for trade in made]


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
    instrument = desk.view.instruments[symbol]
    bid, ask = around(desk, symbol, desk.view.quotes[symbol].price)
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


def around(desk: Desk, symbol: str, price: float) -> tuple[Decimal, Decimal]:
    """Bid and ask while the market stands at `price`."""
    instrument, slippage = desk.view.instruments[symbol], desk.view.conduct.slippage_frac
    bid = instrument.price(taker_price(price, -1, slippage), "down")
    ask = instrument.price(taker_price(price, +1, slippage), "up")
    return bid, max(ask, bid + instrument.tick)  # a book is never locked


def last_trade(desk: Desk, symbol: str) -> Document:
    return _trade_of(desk, symbol, desk.chart.last_bar(symbol), desk.chart.count(symbol))


def candle_row(candle: Candle, interval: timedelta, instrument: Instrument, marks: bool = False) -> list[Any]:
    """A bar as the venue writes it; takers are taken to be half of the volume."""
    prices = [money(p) if marks else in_steps(p, instrument.tick) for p in candle[1:5]]
    volumes = ["0", "0", "0", "0"]
    if not marks:
        base, quote = candle.volume, candle.quote_volume
        volumes = [
            _traded(base, instrument),
            f"{quote:.2f}",
            in_steps(base / 2, instrument.lot),
            f"{quote / 2:.2f}",
        ]
    closes = ms_of(candle.opened + interval) - 1
    return [ms_of(candle.opened), *prices, volumes[0], closes, volumes[1], 1, *volumes[2:], "0"]


def _traded(base: float, instrument: Instrument) -> str:
    """A volume in lots, or, where it is not, to its last digit: what a client reads is what the market did."""
    text = in_steps(base, instrument.lot)
    return text if float(text) == base else f"{Decimal(repr(base)):f}"


def listed(desk: Desk, symbol: str) -> Instrument:
    """The instrument, or the venue's word that there is none."""
    instrument = desk.view.instruments.get(symbol)
    if instrument is None:
        raise Refusal(-1121, "Invalid symbol.")
    return instrument


def asked_for(desk: Desk, asked: Asked) -> list[str]:
    """The symbol asked for, or all."""
    symbol = asked.text("symbol")
    return [listed(desk, symbol).symbol] if symbol else list(desk.view.instruments)


def traded(desk: Desk, symbol: str) -> str:
    """`symbol`, if it has a price by now."""
    if listed(desk, symbol).symbol not in desk.view.quotes:
        raise Refusal(-4140, "Invalid symbol status for opening position.")
    return symbol


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


def _of_pair(asked: Asked) -> Asked:
    """What is asked of a pair, asked of the perpetual contract with that name."""
    return Asked({**asked.values, "symbol": asked.needed("pair")})


def _latest(desk: Desk, symbol: str, limit: int) -> list[Document]:
    count = desk.chart.count(symbol)
    bars = desk.chart.bars_since(symbol, START)[-limit:]
    return [_trade_of(desk, symbol, bar, number) for number, bar in enumerate(bars, count - len(bars) + 1)]


def _trade_of(desk: Desk, symbol: str, bar: Bar, number: int) -> Document:
    instrument = desk.view.instruments[symbol]
    return {
        "id": number,
        "price": in_steps(bar.close, instrument.tick),
        "qty": in_steps(bar.volume, instrument.lot),
        "quoteQty": f"{bar.volume * bar.close:.2f}",
        "time": ms_of(bar.ts),
        "isBuyerMaker": bar.close < bar.open,
    }


def _of_one_or_all(desk: Desk, asked: Asked, one: Callable[[Desk, str], Document]) -> Document | list[Document]:
    if symbol := asked.text("symbol"):
        return one(desk, traded(desk, symbol))
    return [one(desk, symbol) for symbol in desk.view.quotes]


def _price(desk: Desk, symbol: str) -> Document:
    price = in_steps(desk.view.quotes[symbol].price, desk.view.instruments[symbol].tick)
    return {"symbol": symbol, "price": price, "time": ms_of(desk.now)}


def _instant(asked: Asked, name: str) -> datetime | None:
    ms = asked.whole(name)
    return None if ms is None else START + timedelta(milliseconds=ms)
