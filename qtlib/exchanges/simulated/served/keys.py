"""The key to the account's stream, as the venue hands it out."""

import secrets
from collections.abc import Callable

from qtlib.exchanges.simulated.served.ledger import Ledger
from qtlib.exchanges.simulated.served.words import Document, Refusal

KEY_LIFE_S = 3_600.0


class ListenKey:
    """The key to the account's stream, one at a time; it lives for an hour of the wall clock after its last renewal."""

    def __init__(self, ledger: Ledger, wall: Callable[[], float]) -> None:
        self._ledger, self._wall = ledger, wall
        self.key, self._until = ledger.noted("listen_key") or "", float(ledger.noted("listen_key_until") or 0)

    def open(self) -> Document:
        """The key there is, or a new one; renewed."""
        if not self.valid(self.key):
            self.key = secrets.token_hex(32)
            self._ledger.note("listen_key", self.key)
        return self._renewed()

    def renew(self) -> Document:
        if not self.valid(self.key):
            raise Refusal(-1125, "This listenKey does not exist.")
        return self._renewed()

    def close(self) -> Document:
        self.key, self._until = "", 0.0
        self._ledger.note("listen_key", "")
        self._ledger.note("listen_key_until", "0")
        return {}

    def valid(self, key: str) -> bool:
        return bool(key) and key == self.key and self._wall() < self._until

    def _renewed(self) -> Document:
        self._until = self._wall() + KEY_LIFE_S
        self._ledger.note("listen_key_until", str(self._until))
        return {"listenKey": self.key}
