"""What happened to the account: its trades, funding and cash moves, as the venue's own books have them.

The income list is the thread: one call tells of every move of the wallet in every symbol, and so also in which symbols
something traded; only those are asked for their trades. It is asked from a while before, because venues write some
rows late; what is told twice has the same key twice.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from qtlib.domain.events import INSURANCE_CLEAR, CashMoved, Event, Filled, FundingPaid, OrderChanged
from qtlib.domain.orders import ZERO, OrderStatus
from qtlib.exchanges.binance import words
from qtlib.exchanges.binance.client import Client
from qtlib.exchanges.binance.orders import MOST_TRADES, Orders, Recent
from qtlib.exchanges.binance.words import Document, ms_of, ts_of

OVERLAP = timedelta(minutes=10)  # how late a row may be written
RETENTION = timedelta(days=89)  # the venue keeps about three months
WINDOW = timedelta(days=7)  # the widest it answers for at once
MOST_ROWS = 1_000
_NEAR = timedelta(minutes=1)  # between a funding rate's time and that of its payment
_OF_TRADES = ("COMMISSION", "REALIZED_PNL")
_CASH_WORDS = {"INSURANCE_CLEAR": INSURANCE_CLEAR}


class Told(NamedTuple):
    """An event with its place among those of the same instant."""

    ts: datetime
    place: int
    number: int
    event: Event


def placed(event: Event) -> Told:
    """`event` of an order: openings come before what else happened in the same instant, ends after it."""
    place = -1 if isinstance(event, OrderChanged) and event.status is OrderStatus.OPEN else 10**9
    return Told(event.ts, place, int(event.fill.fill_id) if isinstance(event, Filled) else 10**18, event)


class History:
    def __init__(self, client: Client, orders: Orders) -> None:
        self._client, self._orders = client, orders
        self._rates = Recent[tuple[str, datetime], float]()

    async def since(self, since: datetime, now: datetime, busy: Iterable[str] = ()) -> list[Told]:
        """Fills, funding and cash moves from a while before `since`; `busy` symbols are asked for trades whatever
        the income list says."""
        begin = max(since - OVERLAP, now - RETENTION)
        income = await self._income(begin, now)
        traded = {row["symbol"] for row in income if row["incomeType"] in _OF_TRADES and row["symbol"]} | set(busy)
        trades, _ = await asyncio.gather(
            asyncio.gather(*(self._trades(symbol, begin, now) for symbol in sorted(traded))),
            self._learn_rates(row for row in income if row["incomeType"] == "FUNDING_FEE"),
        )
        places = {(row["symbol"], str(row["tradeId"])): place for place, row in enumerate(income) if row["tradeId"]}
        told = list(self._moves(income))
        rows = [row for of_symbol in trades for row in of_symbol]
        names = await self._orders.names_of({(row["symbol"], int(row["orderId"])) for row in rows})
        for row in rows:
            place = places.get((row["symbol"], str(row["id"])), len(income))
            fill = words.fill_of(row, names[int(row["orderId"])])
            told.append(Told(fill.ts, place, int(row["id"]), Filled(fill.ts, fill)))
        return sorted(told, key=lambda t: t[:3])

    # --- below ------------------------------------------------------------------------------------------------

    def _moves(self, income: list[Document]) -> Iterator[Told]:
        for place, row in enumerate(income):
            ts, amount, kind = ts_of(row["time"]), Decimal(row["income"]), str(row["incomeType"])
            if kind in _OF_TRADES or row["asset"] != words.QUOTE:
                continue  # a fill says it already, or it is not the wallet that we keep account of
            if kind == "FUNDING_FEE":
                rate = self._rates.get((row["symbol"], ts), 0.0)  # 0 where the venue does not say it
                yield Told(ts, place, 0, FundingPaid(ts, row["symbol"], amount, rate))
            else:
                ref = f"{kind.lower()}-{row['tranId']}"  # an id is unique among its kind only
                yield Told(ts, place, 0, CashMoved(ts, amount, _cash_word(kind, amount), ref))

    async def _income(self, begin: datetime, now: datetime) -> list[Document]:
        """All rows from `begin` on, oldest first."""
        rows: dict[tuple[Any, ...], Document] = {}
        start = begin
        while True:
            asked = {"startTime": str(max(0, ms_of(start))), "limit": str(MOST_ROWS)}
            batch = await self._client.fapiPrivateGetIncome(asked)
            known = len(rows)
            for row in batch:
                rows[row["incomeType"], row["symbol"], row["tranId"], row["tradeId"], row["time"]] = row
            if len(batch) == MOST_ROWS:
                last = ts_of(batch[-1]["time"])
                start = last if len(rows) > known else last + timedelta(milliseconds=1)
            elif start + WINDOW < now:
                start += WINDOW
            else:
                return sorted(rows.values(), key=lambda row: row["time"])

    async def _trades(self, symbol: str, begin: datetime, now: datetime) -> list[Document]:
        rows: list[Document] = []
        start = begin
        asked = {"symbol": symbol, "limit": str(MOST_TRADES)}
        while True:
            where = {"startTime": str(max(0, ms_of(start)))}
            batch = await self._client.fapiPrivateGetUserTrades({**asked, **where})
            rows += batch
            if len(batch) == MOST_TRADES:
                return rows + await self._later(asked, batch)
            if start + WINDOW >= now:
                return rows
            start += WINDOW

    async def _later(self, asked: dict[str, str], batch: list[Document]) -> list[Document]:
        """All trades after a full answer: by their ids, which know no windows."""
        rows: list[Document] = []
        while len(batch) == MOST_TRADES:
            batch = await self._client.fapiPrivateGetUserTrades({**asked, "fromId": str(batch[-1]["id"] + 1)})
            rows += batch
        return rows

    async def _learn_rates(self, payments: Iterable[Document]) -> None:
        """The rates behind `payments`, which do not say them."""
        missing = [(row["symbol"], ts_of(row["time"])) for row in payments]
        missing = [one for one in missing if one not in self._rates]
        for symbol, ts in missing:
            asked = {"symbol": symbol, "startTime": str(ms_of(ts - _NEAR)), "endTime": str(ms_of(ts + _NEAR))}
            for row in await self._client.fapiPublicGetFundingRate(asked):
                self._rates[symbol, ts] = float(row["fundingRate"])


def _cash_word(kind: str, amount: Decimal) -> str:
    if kind == "TRANSFER":
        return "deposit" if amount > ZERO else "withdrawal"
    return _CASH_WORDS.get(kind, kind.lower())
