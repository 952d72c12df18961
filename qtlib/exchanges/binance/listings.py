"""What the venue lists: instruments with their filters, fees and margin brackets, and bars.

An instrument is read in full or left out with its reason: nothing about it is guessed.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from qtlib.domain.account import exact
from qtlib.domain.market import Bar, Instrument, MarginBracket
from qtlib.exchanges.binance import words
from qtlib.exchanges.binance.client import Client
from qtlib.exchanges.binance.words import Document, ms_of
from qtlib.exchanges.port import Refused, Settled

MOST_BARS = 1_000  # in one answer; more was refused at times
MOST_RATES = 1_000  # likewise
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_USUAL_FUNDING_H = 8  # only other intervals are listed


class Listing(NamedTuple):
    """What the venue says of some symbols."""

    instruments: dict[str, Instrument]  # of those that could be read, whether they trade or not
    out: dict[str, str]  # of those that do not trade, or could not be read: why

    @property
    def traded(self) -> tuple[str, ...]:
        return tuple(symbol for symbol in self.instruments if symbol not in self.out)


async def listing(client: Client, symbols: Iterable[str]) -> Listing:
    """How `symbols` are listed now; what can't be read in full is left out with its reason."""
    said, brackets, funding = await asyncio.gather(
        client.fapiPublicGetExchangeInfo(), client.fapiPrivateGetLeverageBracket(), client.fapiPublicGetFundingInfo()
    )
    listed = {row["symbol"]: row for row in said["symbols"]}
    rows = {row["symbol"]: row["brackets"] for row in brackets}
    hours = {row["symbol"]: int(row["fundingIntervalHours"]) for row in funding}
    wanted = list(dict.fromkeys(symbols))
    out = {symbol: why for symbol in wanted if (why := _unfit(symbol, listed, rows))}
    readable = [symbol for symbol in wanted if symbol in listed and rows.get(symbol)]
    fees = dict(zip(readable, await asyncio.gather(*(_fees(client, symbol) for symbol in readable)), strict=True))
    found = {}
    for symbol in readable:
        try:
            hours_of = hours.get(symbol, _USUAL_FUNDING_H)
            found[symbol] = instrument(listed[symbol], rows[symbol], fees[symbol], hours_of)
        except Refused as why:
            out.setdefault(symbol, str(why))
    return Listing(found, out)


async def leverages(client: Client, symbols: Iterable[str]) -> dict[str, int]:
    """At which leverage each of `symbols` is now."""
    wanted = set(symbols)
    rows = await client.fapiPrivateGetSymbolConfig()
    return {row["symbol"]: int(row["leverage"]) for row in rows if row["symbol"] in wanted}


async def trading(client: Client, symbols: Iterable[str]) -> tuple[str, ...]:
    """Those of `symbols` that trade now as perpetuals, in their order."""
    listed = {row["symbol"]: row for row in (await client.fapiPublicGetExchangeInfo())["symbols"]}
    return tuple(symbol for symbol in symbols if not _unlisted(symbol, listed))


async def first_close(client: Client, symbol: str, timeframe: str, now: datetime) -> datetime | None:
    """When the first bar of `symbol` that the venue knows closed; None: none has yet."""
    rows = await client.fapiPublicGetKlines({"symbol": symbol, "interval": timeframe, "limit": "1", "startTime": "0"})
    closes = [bar.ts for bar in map(words.bar_of, rows) if bar.ts <= now]
    return closes[0] if closes else None


async def bars(
    client: Client, symbol: str, timeframe: str, count: int, now: datetime, *, marks: bool = False
) -> list[Bar]:
    """The last `count` bars that closed by `now`, oldest first; of mark prices, without volume, if `marks`."""
    ask = client.fapiPublicGetMarkPriceKlines if marks else client.fapiPublicGetKlines
    found: list[Bar] = []
    until: dict[str, str] = {}
    while len(found) < count:
        limit = min(MOST_BARS, count - len(found) + 1)  # the last one is not over yet
        rows = await ask({"symbol": symbol, "interval": timeframe, "limit": str(limit), **until})
        closed = [bar for bar in map(words.bar_of, rows) if bar.ts <= now]
        found = closed + found
        if len(rows) < limit or not closed:
            break
        until = {"endTime": str(int(rows[0][0]) - 1)}
    return found[-count:]


async def bars_after(
    client: Client, symbol: str, timeframe: str, after: datetime, now: datetime, *, marks: bool = False
) -> list[Bar]:
    """The bars that closed after `after` and by `now`, oldest first."""
    ask = client.fapiPublicGetMarkPriceKlines if marks else client.fapiPublicGetKlines
    found: list[Bar] = []
    span_ms = _UNITS_MS[timeframe[-1]] * int(timeframe[:-1])
    start = ms_of(after) - span_ms + 1  # the bar that `after` lies in
    while True:
        limit = max(1, min(MOST_BARS, (ms_of(now) - start) // span_ms + 2))
        asked = {"symbol": symbol, "interval": timeframe, "limit": str(limit), "startTime": str(start)}
        rows = await ask(asked)
        found += [bar for bar in map(words.bar_of, rows) if after < bar.ts <= now]
        if len(rows) < MOST_BARS:
            return found
        start = int(rows[-1][6]) + 1


def instrument(said: Document, brackets: Any, fee: Document, funding_h: int) -> Instrument:
    """What is listed as `said`, with these brackets, fees and hours between fundings."""
    filters = {row["filterType"]: row for row in said["filters"]}
    try:
        lot, market, band = filters["LOT_SIZE"], filters["MARKET_LOT_SIZE"], filters["PERCENT_PRICE"]
        up, down = Decimal(band["multiplierUp"]) - 1, 1 - Decimal(band["multiplierDown"])
        return Instrument(
            said["symbol"],
            tick=Decimal(filters["PRICE_FILTER"]["tickSize"]),
            lot=max(Decimal(said[step]) for said in (lot, market) for step in ("stepSize", "minQty")),
            min_notional=Decimal(filters["MIN_NOTIONAL"]["notional"]),
            max_quantity=Decimal(lot["maxQty"]),
            max_market_quantity=Decimal(market["maxQty"]),
            price_band_frac=min(up, down, Decimal(said["marketTakeBound"])),
            maker_fee_frac=Decimal(fee["makerCommissionRate"]),
            taker_fee_frac=Decimal(fee["takerCommissionRate"]),
            liquidation_fee_frac=Decimal(said["liquidationFee"]),
            funding_interval_h=funding_h,
            brackets=tuple(
                MarginBracket(
                    exact(float(row["notionalCap"])),
                    exact(float(row["maintMarginRatio"])),
                    int(row["initialLeverage"]),
                    exact(float(row["cum"])),
                )
                for row in sorted(brackets, key=lambda row: row["notionalCap"])
            ),
        )
    except (KeyError, ArithmeticError) as missing:
        raise Refused(f"{said['symbol']} could not be read: {type(missing).__name__} {missing}") from missing


async def funding(client: Client, symbol: str, since: datetime) -> list[Settled]:
    """The rates of `symbol` that were settled at or after `since`, oldest first."""
    found: list[Settled] = []
    start = max(0, ms_of(since))
    while True:
        asked = {"symbol": symbol, "startTime": str(start), "limit": str(MOST_RATES)}
        rows = await client.fapiPublicGetFundingRate(asked)
        found += [Settled(words.ts_of(row["fundingTime"]), float(row["fundingRate"])) for row in rows]
        if len(rows) < MOST_RATES:
            return found
        start = int(rows[-1]["fundingTime"]) + 1


# --- below ------------------------------------------------------------------------------------------------


async def _fees(client: Client, symbol: str) -> Document:
    """Asked for once: those of a hundred symbols weigh nearly all that may be asked in a minute."""
    if symbol not in client.commission_rates:
        client.commission_rates[symbol] = await client.fapiPrivateGetCommissionRate({"symbol": symbol})
    return client.commission_rates[symbol]


def _unfit(symbol: str, listed: Mapping[str, Document], brackets: Mapping[str, Any]) -> str:
    """Why `symbol` can't be traded; empty if it can."""
    if why := _unlisted(symbol, listed):
        return why
    return "" if brackets.get(symbol) else f"{symbol} has no margin brackets"


def _unlisted(symbol: str, listed: Mapping[str, Document]) -> str:
    said = listed.get(symbol)
    if said is None:
        return f"{symbol} is not listed"
    if said["status"] != "TRADING":
        return f"{symbol} is {said['status']}, not TRADING"
    if (said["contractType"], said["marginAsset"]) != ("PERPETUAL", words.QUOTE):
        return f"{symbol} is {said['contractType']} in {said['marginAsset']}, not a perpetual in {words.QUOTE}"
    return ""
