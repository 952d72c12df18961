"""The venue's doors: which path leads where, who may enter, what it weighs. Loopback only.

A request is routed, weighed, signed for and then answered by one plain function of the desk and of what was asked,
without a pause in between: so requests, steps and messages happen one after the other, in one order. What leads
nowhere is answered 404, counted and logged. Beside the venue's own paths there is `/sim`, which no venue has:

* `POST /sim/step?bars=N` lives through the next N bars (1 if not said), whatever the clock, and says how many it were;
* `GET /sim` says where the market stands, and which requests led nowhere;
* `GET` and `POST /sim/faults` say and set what goes wrong on purpose (see `faults`).
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from aiohttp import web

from qtlib.domain.market import Step
from qtlib.exchanges.port import ExchangeError, Unavailable
from qtlib.exchanges.simulated.faults import Faults
from qtlib.exchanges.simulated.rough import RoughMarket
from qtlib.exchanges.simulated.served.auth import Credentials, Sent
from qtlib.exchanges.simulated.served.calls import PATH, Calls
from qtlib.exchanges.simulated.served.clock import Clock, Upstream
from qtlib.exchanges.simulated.served.countdowns import Countdowns
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.faults import RequestFaults
from qtlib.exchanges.simulated.served.keys import ListenKey
from qtlib.exchanges.simulated.served.limits import Limits
from qtlib.exchanges.simulated.served.listing import exchange_info
from qtlib.exchanges.simulated.served.routes import KEY, NONE, ONE, ROUTES, SIGNED, TEN, Route
from qtlib.exchanges.simulated.served.streams import Streams
from qtlib.exchanges.simulated.served.words import SKEW_S, Refusal

HOST = "127.0.0.1"
LARGEST_BODY = 1_000_000  # bytes
_EXPIRY_EVERY_S = 1.0
_log = logging.getLogger(__name__)


class Doors:
    """The venue as a web application; `wall` is the clock that signatures, limits and listen keys go by.

    In a minute `times` as much may be asked of it as of the real one. With an `upstream` its market is that one's, and
    while that is out of touch no orders are taken.
    """

    def __init__(
        self,
        desk: Desk,
        coming: Iterator[Step],
        credentials: Credentials,
        speed: float | None = None,
        wall: Callable[[], float] = time.time,
        faults: Faults | None = None,
        times: int = 1,
        upstream: Upstream | None = None,
    ) -> None:
        self.unrouted: Counter[str] = Counter()  # what was asked for and is not there, and by whom
        self._desk, self._credentials, self._wall, self._upstream = desk, credentials, wall, upstream
        faults = faults or Faults()
        self._faults = RequestFaults(faults)
        self._limits, self._key = Limits(wall, times), ListenKey(desk.ledger, wall)
        self._streams = Streams(desk, self._key, wall, faults, self._astray)
        self._clock = Clock(desk, coming, speed, self._streams.tell_market, RoughMarket(desk.engine, faults).meet)
        self._countdowns = Countdowns(desk, wall)
        self._calls = Calls(self._answer, self._limits.told, self._faults)
        self._routes = ROUTES | {
            ("GET", "v1/exchangeInfo"): Route(lambda desk, asked: exchange_info(desk, self._limits), ONE, NONE),
            ("GET", "v1/rateLimit/order"): Route(lambda desk, asked: self._limits.orders_told(), ONE),
            ("POST", "v1/countdownCancelAll"): Route(self._countdowns.set, TEN),
            ("POST", "v1/listenKey"): Route(lambda desk, asked: self._key.open(), ONE, KEY),
            ("PUT", "v1/listenKey"): Route(lambda desk, asked: self._key.renew(), ONE, KEY),
            ("DELETE", "v1/listenKey"): Route(lambda desk, asked: self._key.close(), ONE, KEY),
        }

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._faults.pass_by])
        app.cleanup_ctx.append(self._alive)
        app.on_shutdown.append(self._hang_up)
        app.router.add_get("/sim", self._where)
        app.router.add_post("/sim/step", self._step)
        app.router.add_get("/sim/faults", self._faults.show)
        app.router.add_post("/sim/faults", self._faults.change)
        for prefix in ("", "/public", "/market", "/private"):
            for kind in ("ws", "stream"):
                app.router.add_get(f"{prefix}/{kind}", self._streams.serve)
                app.router.add_get(f"{prefix}/{kind}/{{rest:.*}}", self._streams.serve)
        app.router.add_get(PATH, self._calls.serve)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        body = (await request.read()).decode(errors="replace")
        sent = Sent(request.method, path, query, body, request.headers)
        try:
            document = self._answer(sent)
        except Refusal as no:
            return web.json_response(no.document, status=no.status, headers={**self._used(sent), **no.headers})
        except ExchangeError as failed:  # the engine's disk, or its market is out of touch: nothing has happened
            _log.error("%s %s: %s", sent.method, path, failed)
            return web.json_response({"msg": "Service Unavailable."}, status=503)
        return web.json_response(document, headers=self._used(sent), dumps=_compact)

    def _route(self, sent: Sent) -> Route | None:
        return self._routes.get((sent.method, sent.place)) if sent.place else None

    def _answer(self, sent: Sent) -> Any:
        route = self._route(sent)
        if route is None:
            self._astray(f"{sent.method} {sent.path}", sent.headers.get("User-Agent", "a client"))
            raise Refusal(-5000, f"Path {sent.path}, Method {sent.method} is invalid", status=404)
        asked = sent.asked
        self._limits.weigh(route.weight(asked))
        if route.security == KEY:
            self._credentials.check_key(sent)
        elif route.security == SIGNED:
            self._credentials.check_signature(sent, int((self._wall() + SKEW_S.get()) * 1000))
        if route.places:
            if self._upstream and (why := self._upstream.why_not):
                raise Unavailable(why)
            self._limits.order(*route.places)
        return route.answer(self._desk, asked)

    def _astray(self, what: str, client: str) -> None:
        """`what` leads nowhere."""
        self.unrouted[f"{what} for {client}"] += 1
        _log.warning("there is no %s for %s", what, client)

    def _used(self, sent: Sent) -> dict[str, str]:
        route = self._route(sent)
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
        if self._upstream:
            return web.json_response({"msg": "this market follows another: it goes on by itself"}, status=409)
        try:
            lived = self._clock.step(int(bars))
        except Unavailable as why:
            return web.json_response({"msg": str(why)}, status=503)
        return web.json_response({"lived": lived, **self._standing()})

    def _standing(self) -> dict[str, Any]:
        now = self._desk.now.isoformat()
        followed = {"upstream": self._upstream.standing} if self._upstream else {}
        return {"now": now, "ended": self._clock.ended, "unrouted": list(self.unrouted), **followed}

    async def _alive(self, app: web.Application) -> AsyncIterator[None]:
        """While the doors are open the market goes on, and keys expire."""
        if self._upstream:
            market = self._upstream.run(self._desk.now, self._clock.live, self._desk.engine.requote)
        else:
            market = self._clock.run()
        tasks = [asyncio.create_task(market), asyncio.create_task(self._expire())]
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
            self._countdowns.run_out()


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
