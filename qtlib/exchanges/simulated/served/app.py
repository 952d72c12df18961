"""The venue's doors: which path leads where, who may enter, what it weighs. Loopback only.

A request is routed, weighed, signed for and then answered by one plain function of the desk and of what was asked,
without a pause in between: so requests, steps and messages happen one after the other, in one order. What leads
nowhere is answered 404, counted and logged. Beside the venue's own paths there is `/sim`, which no venue has:

* `POST /sim/step?bars=N` lives through the next N bars (1 if not said), whatever the clock, and says how many it were;
* `GET /sim` says where the market stands, and how many requests led nowhere.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

from aiohttp import web

from qtlib.domain.market import Step
from qtlib.exchanges.port import ExchangeError, Unavailable
from qtlib.exchanges.simulated.served import account, market, orders
from qtlib.exchanges.simulated.served.auth import Credentials, Sent
from qtlib.exchanges.simulated.served.clock import Clock
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.limits import Limits
from qtlib.exchanges.simulated.served.streams import ListenKey, Streams
from qtlib.exchanges.simulated.served.words import Asked, Refusal

HOST = "127.0.0.1"
LARGEST_BODY = 1_000_000  # bytes
_EXPIRY_EVERY_S = 1.0
_log = logging.getLogger(__name__)

Answer = Callable[[Desk, Asked], Any]
Weight = Callable[[Asked], int]

NONE, KEY, SIGNED = "none", "key", "signed"


class Route(NamedTuple):
    answer: Answer
    weight: Weight
    security: str = SIGNED
    places: tuple[int, int] | None = None  # of an order: how it counts in ten seconds and in the minute
    weighed: bool = True  # whether the reply says how much weight is used


def _flat(weight: int) -> Weight:
    return lambda asked: weight


def _one_or_all(one: int, every: int) -> Weight:
    return lambda asked: one if asked.text("symbol") else every


def _by_limit(default: int, *steps: tuple[int, int], beyond: int) -> Weight:
    """The weight of the first step whose bound the asked limit is below."""

    def weigh(asked: Asked) -> int:
        limit = asked.whole("limit") or default
        return next((weight for bound, weight in steps if limit < bound), beyond)

    return weigh


_ONE = _flat(1)
_CANDLES = _by_limit(500, (100, 1), (500, 2), (1001, 5), beyond=10)

ROUTES: dict[tuple[str, str], Route] = {
    # public
    ("GET", "v1/ping"): Route(market.ping, _ONE, NONE),
    ("GET", "v1/time"): Route(market.server_time, _ONE, NONE),
    ("GET", "v1/exchangeInfo"): Route(market.exchange_info, _ONE, NONE),
    ("GET", "v1/klines"): Route(market.klines, _CANDLES, NONE),
    ("GET", "v1/markPriceKlines"): Route(market.mark_price_klines, _CANDLES, NONE),
    ("GET", "v1/premiumIndex"): Route(market.premium_index, _one_or_all(1, 10), NONE),
    ("GET", "v1/fundingRate"): Route(market.funding_rate, _flat(0), NONE, weighed=False),
    ("GET", "v1/fundingInfo"): Route(market.funding_info, _flat(0), NONE, weighed=False),
    ("GET", "v1/ticker/24hr"): Route(market.ticker_24hr, _one_or_all(1, 40), NONE),
    ("GET", "v1/ticker/price"): Route(market.ticker_price, _one_or_all(1, 2), NONE),
    ("GET", "v2/ticker/price"): Route(market.ticker_price, _one_or_all(1, 2), NONE),
    ("GET", "v1/ticker/bookTicker"): Route(market.book_ticker, _one_or_all(2, 5), NONE),
    ("GET", "v1/depth"): Route(market.depth, _by_limit(500, (51, 2), (101, 5), (501, 10), beyond=20), NONE),
    # the account
    ("GET", "v3/account"): Route(account.account_v3, _flat(5)),
    ("GET", "v2/account"): Route(account.account_v2, _flat(5)),
    ("GET", "v3/balance"): Route(account.balance_v3, _flat(5)),
    ("GET", "v2/balance"): Route(account.balance_v3, _flat(5)),
    ("GET", "v3/positionRisk"): Route(account.position_risk_v3, _flat(5)),
    ("GET", "v2/positionRisk"): Route(account.position_risk_v2, _flat(5)),
    ("GET", "v1/leverageBracket"): Route(account.leverage_bracket, _ONE),
    ("GET", "v1/symbolConfig"): Route(account.symbol_config, _flat(5)),
    ("GET", "v1/accountConfig"): Route(account.account_config, _flat(5)),
    ("GET", "v1/commissionRate"): Route(account.commission_rate, _flat(20)),
    ("GET", "v1/userTrades"): Route(account.user_trades, _flat(5)),
    ("GET", "v1/income"): Route(account.income, _flat(30)),
    ("POST", "v1/leverage"): Route(account.set_leverage, _ONE),
    ("POST", "v1/marginType"): Route(account.set_margin_type, _ONE),
    ("GET", "v1/positionSide/dual"): Route(account.position_mode, _flat(30)),
    ("POST", "v1/positionSide/dual"): Route(account.set_position_mode, _ONE),
    ("GET", "v1/multiAssetsMargin"): Route(account.multi_assets, _flat(30)),
    ("POST", "v1/multiAssetsMargin"): Route(account.set_multi_assets, _ONE),
    # orders
    ("POST", "v1/order"): Route(orders.place, _flat(0), places=(1, 1)),
    ("GET", "v1/order"): Route(orders.query, _ONE),
    ("DELETE", "v1/order"): Route(orders.cancel, _ONE),
    ("GET", "v1/openOrder"): Route(orders.query_open, _ONE),
    ("GET", "v1/openOrders"): Route(orders.open_orders, _one_or_all(1, 40)),
    ("GET", "v1/allOrders"): Route(orders.all_orders, _flat(5)),
    ("DELETE", "v1/allOpenOrders"): Route(orders.cancel_all, _ONE),
    ("POST", "v1/batchOrders"): Route(orders.place_batch, _flat(5), places=(5, 1)),
    ("DELETE", "v1/batchOrders"): Route(orders.cancel_batch, _ONE),
    ("POST", "v1/algoOrder"): Route(orders.place_algo, _flat(0), places=(1, 1)),
    ("GET", "v1/algoOrder"): Route(orders.query_algo, _ONE),
    ("DELETE", "v1/algoOrder"): Route(orders.cancel_algo, _ONE),
    ("GET", "v1/openAlgoOrders"): Route(orders.open_algos, _one_or_all(1, 40)),
    ("GET", "v1/allAlgoOrders"): Route(orders.all_algos, _flat(5)),
    ("DELETE", "v1/algoOpenOrders"): Route(orders.cancel_algos, _ONE),
}


class Doors:
    """The venue as a web application; `wall` is the clock that signatures, limits and listen keys go by."""

    def __init__(
        self,
        desk: Desk,
        coming: Iterator[Step],
        credentials: Credentials,
        speed: float | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.unrouted: Counter[str] = Counter()  # requests that led nowhere, by method and path
        self._desk, self._credentials, self._wall = desk, credentials, wall
        self._limits, self._key = Limits(wall), ListenKey(desk.ledger, wall)
        self._streams = Streams(desk, self._key)
        self._clock = Clock(desk, coming, speed, self._streams.tell_market)
        self._routes = ROUTES | {
            ("POST", "v1/listenKey"): Route(lambda desk, asked: self._key.open(), _ONE, KEY),
            ("PUT", "v1/listenKey"): Route(lambda desk, asked: self._key.renew(), _ONE, KEY),
            ("DELETE", "v1/listenKey"): Route(lambda desk, asked: self._key.close(), _ONE, KEY),
        }

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY)
        app.cleanup_ctx.append(self._alive)
        app.on_shutdown.append(self._hang_up)
        app.router.add_get("/sim", self._where)
        app.router.add_post("/sim/step", self._step)
        for prefix in ("", "/public", "/market", "/private"):
            for kind in ("ws", "stream"):
                app.router.add_get(f"{prefix}/{kind}", self._streams.serve)
                app.router.add_get(f"{prefix}/{kind}/{{rest:.*}}", self._streams.serve)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        body = (await request.read()).decode(errors="replace")
        sent = Sent(request.method, path, query, body, request.headers)
        route = self._routes.get((sent.method, path.removeprefix("/fapi/"))) if path.startswith("/fapi/") else None
        try:
            document = self._answer(sent, route)
        except Refusal as no:
            return web.json_response(no.document, status=no.status, headers={**self._used(route), **no.headers})
        except ExchangeError as failed:  # the engine's disk: nothing has happened
            _log.error("%s %s: %s", sent.method, path, failed)
            return web.json_response({"msg": "Service Unavailable."}, status=503)
        return web.json_response(document, headers=self._used(route), dumps=_compact)

    def _answer(self, sent: Sent, route: Route | None) -> Any:
        if route is None:
            self.unrouted[f"{sent.method} {sent.path}"] += 1
            _log.warning("no route: %s %s for %s", sent.method, sent.path, sent.headers.get("User-Agent", "a client"))
            raise Refusal(-5000, f"Path {sent.path}, Method {sent.method} is invalid", status=404)
        asked = sent.asked
        self._limits.weigh(route.weight(asked))
        if route.security == KEY:
            self._credentials.check_key(sent)
        elif route.security == SIGNED:
            self._credentials.check_signature(sent, int(self._wall() * 1000))
        if route.places:
            self._limits.order(*route.places)
        return route.answer(self._desk, asked)

    def _used(self, route: Route | None) -> dict[str, str]:
        if route is None or not route.weighed:
            return {}
        return self._limits.headers(placing=route.places is not None)

    # --- what no venue has ------------------------------------------------------------------------------------

    async def _where(self, request: web.Request) -> web.Response:
        return web.json_response(self._standing())

    async def _step(self, request: web.Request) -> web.Response:
        bars = request.query.get("bars", "1")
        if not (bars.isascii() and bars.isdigit() and int(bars)):
            return web.json_response({"msg": f"bars {bars!r} must be a whole number, at least 1"}, status=400)
        try:
            lived = self._clock.step(int(bars))
        except Unavailable as why:
            return web.json_response({"msg": str(why)}, status=503)
        return web.json_response({"lived": lived, **self._standing()})

    def _standing(self) -> dict[str, Any]:
        now = self._desk.now.isoformat()
        return {"now": now, "ended": self._clock.ended, "unrouted": dict(self.unrouted)}

    async def _alive(self, app: web.Application) -> AsyncIterator[None]:
        """While the doors are open the clock runs, and keys expire."""
        tasks = [asyncio.create_task(self._clock.run()), asyncio.create_task(self._expire())]
        for task in tasks:
            task.add_done_callback(_say_why)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hang_up(self, app: web.Application) -> None:
        self._streams.close()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRY_EVERY_S)
            self._streams.expire()


@contextlib.asynccontextmanager
async def serve(doors: Doors, port: int = 0) -> AsyncIterator[int]:
    """Open the doors on loopback, at `port` or at any that is free; the port it is."""
    runner = web.AppRunner(doors.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _say_why(task: "asyncio.Task[None]") -> None:
    """A task that failed is not mourned in silence."""
    if not task.cancelled() and (error := task.exception()):
        _log.error("the market stands still", exc_info=error)


def _compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"))
