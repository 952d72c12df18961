"""Who asks: the key, the signature over exactly what was sent, and the time it was signed at.

Parameters may come in the query, in a form body, or in both; the signature is over the query followed directly by the
body, each without its `signature` pair. Some clients sign the text before they percent-encode it, so both forms count.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from qtlib.exchanges.simulated.served.words import Asked, Refusal

AHEAD_MS = 1_000  # a timestamp may be this far in the future
WINDOW_MS, WIDEST_MS = 5_000, 60_000  # recvWindow, when not sent and at most


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it came over the wire: nothing decoded yet."""

    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]

    @property
    def place(self) -> str | None:
        """Where it goes, as routes and faults are called: v1/order, and other houses than futures by their own name."""
        inside = self.path.startswith(("/fapi/", "/sapi/"))
        return self.path.removeprefix("/fapi/").removeprefix("/") if inside else None

    @property
    def asked(self) -> Asked:
        """What is asked; where query and body disagree, the query counts."""
        pairs = [*parse_qsl(self.body, keep_blank_values=True), *parse_qsl(self.query, keep_blank_values=True)]
        return Asked(dict(pairs))

    @property
    def message(self) -> str:
        """What a signature is over."""
        return _unsigned(self.query) + _unsigned(self.body)


@dataclass(frozen=True, slots=True)
class Credentials:
    key: str
    secret: str

    def check_key(self, sent: Sent) -> None:
        """Refuse `sent` if it does not carry the account's key."""
        key = sent.headers.get("X-MBX-APIKEY", "")
        if not key:
            raise Refusal(-2014, "API-key format invalid.", status=401)
        if not hmac.compare_digest(key.encode(), self.key.encode()):
            raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", status=401)

    def check_signature(self, sent: Sent, now_ms: int) -> None:
        """Refuse `sent` if its key, time or signature is not right."""
        self.check_key(sent)
        asked = sent.asked
        timestamp, given = asked.whole("timestamp"), asked.needed("signature").lower()
        if timestamp is None:
            asked.needed("timestamp")
            return
        window = asked.whole("recvWindow")
        window = WINDOW_MS if window is None else window
        if not 0 < window <= WIDEST_MS:
            raise Refusal(-1131, f"recvWindow must be less than {WIDEST_MS}")
        if timestamp >= now_ms + AHEAD_MS:
            raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now_ms - timestamp > window:
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
        right = (signature(self.secret, message) for message in (sent.message, unquote(sent.message)))
        if not any(hmac.compare_digest(one.encode(), given.encode()) for one in right):
            raise Refusal(-1022, "Signature for this request is not valid.")


def signature(secret: str, message: str) -> str:
    """HMAC-SHA256 of `message`, in lower-case hex; the venue's published vector holds.

    >>> signature("2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
    ...     "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
    ...     "&recvWindow=5000&timestamp=1591702613943")
    '3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9'
    """
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def _unsigned(text: str) -> str:
    return "&".join(pair for pair in text.split("&") if not pair.startswith("signature="))
