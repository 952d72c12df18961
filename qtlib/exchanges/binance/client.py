"""One connection to the venue's REST interface: ccxt signs and sends, we say when, how long, and what an answer means.

Every call goes through `request`: it waits for room, is sent, and comes back as a document or as one of the port's
errors. Questions that nobody answered are asked again, once or twice; what changes something is sent again only where
it was not executed for want of the right time. It lives in one event loop; the only addresses it knows are those of its
mode, and a served mode can connect to nothing but this machine.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import aiohttp
import ccxt.async_support as ccxt

from qtlib.exchanges.binance.errors import Astray, Banned, Slowly, judge
from qtlib.exchanges.binance.limits import PLACING, Limits, protects, weight_of
from qtlib.exchanges.binance.modes import Address, Keys, Mode, connector
from qtlib.exchanges.port import ExchangeError, Unavailable, Unknown, Untrusted

TIMEOUT_S = 10.0  # of one request on its way
PATIENCE_S = 65.0  # for room to send it: a minute's window, and a little
MOST_CONNECTIONS = 32
_TRIES = 3
_PAUSE_S = 0.05  # before a question is asked again; longer each time
_RIGHTS = "https://api.binance.com"  # where a real key's are known
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

_patience_s: ContextVar[float] = ContextVar("patience_s", default=PATIENCE_S)
_mute = logging.getLogger(f"{__name__}.mute")  # ccxt logs headers, and so the key
_mute.disabled = True


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Calls made inside wait at most so long for room to be sent."""
    token = _patience_s.set(seconds)
    try:
        yield
    finally:
        _patience_s.reset(token)


class Client(ccxt.binanceusdm):  # type: ignore[misc]  # ccxt has no types
    """Make it inside the loop that it is to live in."""

    def __init__(self, mode: Mode, address: Address, keys: Keys) -> None:
        self.allowance = Limits(self.venue_time)
        self.heard_at = 0.0  # wall time of the last answer of any kind
        self.address = address
        self.commission_rates: dict[str, dict[str, Any]] = {}  # by symbol, as far as they were asked for
        super().__init__(
            {
                "apiKey": keys.key,
                "secret": keys.secret,
                "enableRateLimit": False,  # one limiter is enough, and this one knows what protects
                "timeout": int(TIMEOUT_S * 1000),
                "asyncio_loop": asyncio.get_running_loop(),
                "options": {"fetchCurrencies": False, "timeDifference": 0},
            }
        )
        self.logger = _mute
        self.own_session = False
        self.session = aiohttp.ClientSession(
            connector=connector(mode, MOST_CONNECTIONS, self.cafile), timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
        )
        self.urls["demo"] = _sections(mode, address)  # whatever else ccxt has is not to be had
        self.enable_demo_trading(True)

    # --- what ccxt calls --------------------------------------------------------------------------------------

    async def request(  # type: ignore[no-untyped-def]  # the signature is ccxt's
        self,
        path,
        api=("public",),
        method="GET",
        params=MappingProxyType({}),
        config=MappingProxyType({}),
    ) -> Any:
        """Send one request when there is room for it."""
        places = path in PLACING and method == "POST"
        for attempt in range(_TRIES):
            await self.allowance.room(
                weight_of(method, path, params), places, protects(method, path, params), _patience_s.get()
            )
            try:
                return await super().request(path, api, method, dict(params), config)
            except Slowly:
                raise
            except Unavailable as why:
                if attempt == _TRIES - 1 or not (method == "GET" or isinstance(why, Astray)):
                    raise
                if isinstance(why, Astray):
                    await self.set_clock()
                else:
                    await asyncio.sleep(_PAUSE_S * (attempt + 1))
        raise AssertionError("the last attempt returns or raises")

    async def fetch(self, url, method="GET", headers=None, body=None) -> Any:  # type: ignore[no-untyped-def]
        """Send; where the network fails, say whether it may have happened nevertheless."""
        where = f"{method} {_path_of(url)}"
        try:
            document = await super().fetch(url, method, headers, body)
        except ExchangeError:
            raise
        except ccxt.BaseError as failed:  # its words contain the signed request
            cause = failed.__cause__
            said = f"{where}: {type(cause or failed).__name__} {cause or ''}".rstrip()
            if method == "GET" or isinstance(cause, _NEVER_CONNECTED):
                raise Unavailable(said) from None
            raise Unknown(said) from None
        if not isinstance(document, dict | list):
            raise _named(where, judge(200, None, "an answer that is no document", method != "GET"))
        return document

    def handle_errors(  # type: ignore[no-untyped-def]
        self, status, reason, url, method, headers, body, response, request_headers, request_body
    ) -> None:
        """Judge an answer by its status, code and text; take down what it says of limits."""
        self.heard_at = self.wall()
        self.allowance.heard(headers)
        code = response.get("code") if isinstance(response, dict) else None
        code = int(code) if code is not None and _is_whole(code) else None
        if status < 300 and (code is None or code >= 0):
            return
        text = response.get("msg") if isinstance(response, dict) else body
        no = _named(f"{method} {_path_of(url)}", judge(status, code, str(text or reason or ""), method != "GET"))
        if isinstance(no, Slowly):
            no.pause_s = float(headers.get("Retry-After", no.pause_s))
            self.allowance.quiet(no.pause_s, f"the venue {'bans us' if isinstance(no, Banned) else 'is busy'} ({no})")
        raise no

    # --- time -------------------------------------------------------------------------------------------------

    async def set_clock(self) -> None:
        """Learn how far our clock is from the venue's, from the quicker of two answers."""
        readings = []
        for _ in range(2):
            sent = self.wall()
            server = (await self.fapiPublicGetTime())["serverTime"] / 1000
            heard = self.wall()
            readings.append((heard - sent, (sent + heard) / 2 - server))
        self.options["timeDifference"] = round(min(readings)[1] * 1000)

    @property
    def clock_offset_ms(self) -> int:
        """Ours minus the venue's."""
        return int(self.options["timeDifference"])

    def venue_time(self) -> float:
        return self.wall() - self.clock_offset_ms / 1000

    def wall(self) -> float:
        return time.time()

    # --- our own venue ------------------------------------------------------------------------------------------

    async def control(self, method: str, path: str, **asked: str) -> dict[str, Any]:
        """Ask what no other venue has: `/sim` and what lies below."""
        try:
            async with self.session.request(method, f"{self.address.rest}{path}", params=asked) as answer:
                document: dict[str, Any] = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as failed:
            raise Unavailable(f"{method} {path}: {type(failed).__name__} {failed}") from failed
        if answer.status != 200:
            raise Untrusted(f"{method} {path}: HTTP {answer.status}, {document.get('msg', 'no words')}")
        return document

    async def end(self) -> None:
        session = self.session
        self.timeout_on_exit = 0
        await self.close()
        await session.close()


# --- below ------------------------------------------------------------------------------------------------


def _sections(mode: Mode, address: Address) -> dict[str, Any]:
    """The addresses of what we ask; what a real key may do is known elsewhere, and of the demo's keys nowhere."""
    rest, ws = f"{address.rest}/fapi", address.streams
    rights = {} if mode is Mode.DEMO else {"sapi": f"{_RIGHTS if mode is Mode.LIVE else address.rest}/sapi/v1"}
    return {
        **rights,
        "fapiPublic": f"{rest}/v1",
        "fapiPublicV2": f"{rest}/v2",
        "fapiPublicV3": f"{rest}/v3",
        "fapiPrivate": f"{rest}/v1",
        "fapiPrivateV2": f"{rest}/v2",
        "fapiPrivateV3": f"{rest}/v3",
        "fapiData": f"{address.rest}/futures/data",
        "ws": {"linear": f"{ws}/ws", "ws-api": {"linear": f"{ws}/ws-fapi/v1"}},
    }


def _path_of(url: str) -> str:
    """Without the query, which is signed.

    >>> _path_of("http://127.0.0.1:8081/fapi/v1/order?symbol=BTCUSDT&signature=0")
    '/fapi/v1/order'
    """
    return "/" + url.split("?", 1)[0].split("/", 3)[-1]


def _named(where: str, no: ExchangeError) -> ExchangeError:
    """`no`, which also says what was asked where the venue gave no code."""
    if no.args and str(no.args[0]).startswith("HTTP"):
        no.args = (f"{where}: {no.args[0]}",)
    return no


def _is_whole(value: Any) -> bool:
    return str(value).lstrip("-").isdigit()
