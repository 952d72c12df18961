"""Who watches a drill: a client of the venue that counts for how long positions are bare, and a look at what is left.

Neither asks the session anything: the first reads positions and conditional orders from the venue, with a key of its
own making; the second reads the files of both, when all is over.
"""

import json
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from qtlib.domain.account import Account
from qtlib.domain.events import START, CashMoved, Filled, FundingPaid
from qtlib.domain.naming import PREFIX, role_of
from qtlib.domain.orders import Role
from qtlib.exchanges.port import ExchangeError
from qtlib.exchanges.simulated.served import Ledger
from qtlib.exchanges.simulated.served.auth import signature
from qtlib.journal import Journal
from qtlib.params import Params
from qtlib.runs import wiring
from qtlib.runs.record.folder import journal_location, venue_location

EVERY_S, TIMEOUT_S = 0.2, 1.0
KEY = "sim"  # and secret: those of every served venue of ours
CENT = Decimal("0.01")


def control(url: str, method: str, path: str, said: Any = None, **headers: str) -> Any:
    """The answer of the venue's own door to one request."""
    body = None if said is None else json.dumps(said).encode()
    with urllib.request.urlopen(
        urllib.request.Request(url + path, body, headers, method=method), timeout=10 * TIMEOUT_S
    ) as answer:
        return json.loads(answer.read())


class Eye:
    """Looks at the venue five times a second, in a thread of its own; while that is not there, the clock goes on."""

    def __init__(self) -> None:
        self.url = ""
        self.longest_s = 0.0  # since `reset`
        self.sees_nothing = False  # neither a position nor a conditional order
        self._since: dict[str, float] = {}  # bare symbols
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="eye", daemon=True)

    @property
    def bare(self) -> bool:
        return bool(self._since)

    def look_at(self, url: str) -> None:
        self.url = url

    def reset(self) -> None:
        self.longest_s = 0.0

    def __enter__(self) -> "Eye":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)

    def _watch(self) -> None:
        while not self._done.wait(EVERY_S):
            if self.url:
                self._look()

    def _look(self) -> None:
        now = time.monotonic()
        try:
            held = {row["symbol"]: Decimal(row["positionAmt"]) for row in self._asked("/fapi/v3/positionRisk")}
            stops = self._asked("/fapi/v1/openAlgoOrders")
        except (OSError, ValueError):
            held, stops = {}, None
        if stops is not None:
            self.sees_nothing = not stops and not any(held.values())
            bare = {
                symbol for symbol, quantity in held.items() if quantity and not _is_covered(symbol, quantity, stops)
            }
            self._since = {symbol: self._since.get(symbol, now) for symbol in bare}
        self.longest_s = max([self.longest_s, *(now - since for since in self._since.values())])

    def _asked(self, path: str) -> Any:
        query = urlencode({"timestamp": int(time.time() * 1000)})
        path = f"{path}?{query}&signature={signature(KEY, query)}"
        request = urllib.request.Request(self.url + path, headers={"X-MBX-APIKEY": KEY})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read())


@dataclass(frozen=True, slots=True)
class Left:
    """What journal and venue say when all is over."""

    wrong: tuple[str, ...]  # the laws that were broken
    orders: int = 0
    fills: int = 0
    bars: int = 0


def what_is_left(params: Params, root: Path) -> Left:
    """Look over the files of the account under `root`: nobody may hold them any more."""
    account = params.session.account
    store = venue_location(account, root)
    if not store.exists():
        return Left(("there is no venue's file",))
    try:
        ledger = Ledger(store.with_name(store.name + ".orders"))
        names = {str(entry.number): entry.client_id for entry in ledger.entries()}
        ledger.close()
        venue = wiring.venue(params, wiring.instruments(params), store)
    except ExchangeError as why:
        return Left((str(why),))
    with Journal(journal_location(account, root), account) as journal:
        state, events = journal.state(), [event for _, event in journal.events()]
    wrong = [f"{name} was taken {n} times" for name, n in Counter(names.values()).items() if n > 1]
    wished = Counter(tuple(name.split("-")[1:3]) for name in names.values() if role_of(name) is Role.ENTRY)
    wrong += [f"{n} entries in {symbol} came of one bar" for (symbol, _), n in wished.items() if n > 1]
    held = venue.account.positions
    resting = list(venue.view.book.orders.values())
    ours = {id(order): names.get(order.intent.client_id, "") for order in resting}
    for order in resting:
        if ours[id(order)].startswith(PREFIX) and order.intent.symbol not in held:
            wrong.append(f"{ours[id(order)]} is left, and {order.intent.symbol} is flat")
    for symbol, position in held.items():
        stops = [
            order.remaining
            for order in resting
            if order.intent.symbol == symbol and role_of(ours[id(order)]) is Role.STOP_LOSS
        ]
        if stops != [abs(position.quantity)]:
            wrong.append(f"{symbol} holds {position.quantity}, and its stops are of {[str(size) for size in stops]}")
    if {s: p.quantity for s, p in state.account.positions.items()} != {s: p.quantity for s, p in held.items()}:
        wrong.append(f"the journal holds {[*state.account.positions]}, the venue {[*held]}")
    if abs(state.account.cash - venue.account.cash) >= CENT:
        wrong.append(f"the journal's cash is {state.account.cash}, the venue's {venue.account.cash}")
    told = venue.events(START)
    if _summed(told) != venue.account:
        wrong.append("the venue's fills and its wallet do not add up")
    venue.close()
    fills, bars = (sum(type(event).__name__ == name for event in events) for name in ("Filled", "BarClosed"))
    return Left(tuple(wrong), len(names), fills, bars)


# --- below ------------------------------------------------------------------------------------------------


def _summed(events: Any) -> Account:
    account = Account()
    for event in events:
        if isinstance(event, CashMoved | FundingPaid):
            account = account.with_cash(event.amount)
        elif isinstance(event, Filled):
            account = account.after(event.fill)
    return account


def _is_covered(symbol: str, quantity: Decimal, stops: Any) -> bool:
    """Whether a working stop would close all of it."""
    side = "SELL" if quantity > 0 else "BUY"
    return any(
        order["symbol"] == symbol
        and order["side"] == side
        and role_of(order["clientAlgoId"]) is Role.STOP_LOSS
        and Decimal(order["quantity"]) >= abs(quantity)
        for order in stops
    )
