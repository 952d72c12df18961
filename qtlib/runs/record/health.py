"""The health page of a session: what its loops hand over, served on loopback by a thread of its own.

The session's thread sets a value and goes on; whoever asks for the page is answered from what was set last, also while
the session hangs in a call: then the ages say so. Nothing here asks the exchange anything.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from qtlib.domain.events import Event
from qtlib.domain.state import State
from qtlib.engine.health import Document, Facts, Learning, Link, Loop, document, http_status, metrics
from qtlib.engine.loop import Watch
from qtlib.exchanges.port import ExchangeError
from qtlib.rules.in_force import limits_of
from qtlib.rules.limits import RiskLimits

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
TRADE = "trade"
PORTS_TRIED = 20  # from the one that was asked for, before any that is free will do
ASK_S = 2.0


@dataclass(slots=True)
class Health:
    """What is known of a session now. Each of its loops says `beat` with its name; the page says how long ago."""

    mode: str
    venue: str
    account: str
    limits: RiskLimits
    heartbeat_s: float = 1.0
    link: Callable[[], Link] = Link  # of the exchange: what the adapter has heard, without asking
    learning: Callable[[], Learning] = Learning  # what the learner says of itself
    clock: Callable[[], float] = time.monotonic
    url: str | None = None  # None: not served
    state: State | None = None  # None: the session has not got so far
    reachable: bool | None = None  # the exchange, when it was last needed
    last_error: str | None = None  # in a sentence
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _beats: dict[str, tuple[float, float]] = field(default_factory=dict)  # name -> when last, and how often

    def expect(self, name: str, interval_s: float) -> None:
        """From now on the loop `name` gives a sign of life every `interval_s`."""
        self._beats[name] = (self.clock(), interval_s)

    def beat(self, name: str) -> None:
        """The loop `name` lives."""
        self._beats[name] = (self.clock(), self._beats[name][1] if name in self._beats else self.heartbeat_s)

    def done(self, name: str) -> None:
        """The loop `name` has ended in order: no more is expected of it."""
        self._beats.pop(name, None)

    def over(self, watch: Watch) -> Watch:
        """`watch`, with what it sees shown on the page: the trade loop's signs of life, its state, the exchange."""
        return _Shown(self, watch)

    def page(self) -> Document:
        """The page, now."""
        now, state, link, beats = self.clock(), self.state, self.link(), dict(self._beats)
        limits = limits_of(state.limits.in_force, self.limits) if state and state.limits else self.limits
        return document(
            Facts(
                mode=self.mode,
                venue=self.venue,
                account=self.account,
                started=self._started,
                now=datetime.now(UTC),
                loops={name: Loop(now - last, interval_s) for name, (last, interval_s) in beats.items()},
                state=state,
                max_positions=limits.max_positions,
                max_gross_exposure=limits.max_gross_exposure,
                exchange=replace(link, reachable=self.reachable),
                learning=self.learning(),
                last_error=self.last_error,
            )
        )

    @contextmanager
    def serving(self, port: int | None, tell: Callable[[str], None]) -> Iterator["Health"]:
        """Serve the page on loopback meanwhile; `tell` hears where, and why not there. None: do not."""
        if port is None:
            yield self
            return
        server = _bound(port, self)
        bound = server.server_address[1]
        self.url = f"http://{HOST}:{bound}"
        taken = "" if port in (0, bound) else f"; port {port} is not free (session.health_port, QT_HEALTH_PORT)"
        tell(f"🩺 Health at {self.url}/health{taken}")
        self.expect(TRADE, self.heartbeat_s)
        thread = threading.Thread(target=server.serve_forever, args=[0.1], name="health", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.url = None
            server.shutdown()
            server.server_close()
            thread.join()


def asked(url: str) -> Document | None:
    """The page of a session that serves it at `url`; None: nobody answers there."""
    opener = build_opener(ProxyHandler({}))  # loopback is never a proxy's business
    try:
        with opener.open(f"{url}/health", timeout=ASK_S) as reply:
            page: Document = json.loads(reply.read())
    except HTTPError as reply:  # halted: 503, and the page all the same
        page = json.loads(reply.read())
    except (OSError, ValueError):
        return None
    return page


@dataclass(frozen=True, slots=True)
class _Shown:
    """A `Watch` that shows what it sees."""

    health: Health
    watch: Watch

    def look(self, state: State) -> None:
        self.health.state, self.health.reachable = state, True
        self.health.beat(TRADE)
        self.watch.look(state)

    def news(self, state: State) -> Event | None:
        return self.watch.news(state)

    def trouble(self, why: ExchangeError) -> None:
        self.health.reachable, self.health.last_error = False, f"{type(why).__name__}: {why}"
        self.health.beat(TRADE)
        self.watch.trouble(why)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True  # a listener that is there already still keeps its port

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or spoke nonsense, is no news."""
        logging.getLogger(__name__).debug("%s was not answered", client_address, exc_info=True)


def _bound(port: int, health: Health) -> _Server:
    """A server at `port`, at the next free one after it, or at any."""
    for candidate in [*range(port, min(port + PORTS_TRIED, 65_536)), 0] if port else [0]:
        try:
            return _Server((HOST, candidate), _handler(health))
        except OSError as why:
            last = why
    raise last


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        timeout = 5.0  # a client that says nothing holds its own thread for so long

        def do_GET(self) -> None:
            asked_of = urlsplit(f"//{self.headers.get('Host', HOST)}").hostname
            if asked_of not in NAMES:  # a page of elsewhere, whose name was made to mean this machine
                self._send(403, "text/plain", "this page is for this machine only\n")
            elif self.path == "/health":
                page = health.page()
                self._send(http_status(page), "application/json", json.dumps(page) + "\n")
            elif self.path == "/metrics":
                self._send(200, "text/plain; version=0.0.4; charset=utf-8", metrics(health.page()))
            else:
                self._send(404, "text/plain", "there are /health and /metrics here\n")

        def _send(self, code: int, kind: str, body: str) -> None:
            data = body.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            logging.getLogger(__name__).debug(format, *args)

    return Page
