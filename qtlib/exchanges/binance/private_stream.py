"""The account's own stream: what became of our orders, as it happens.

It is a hint that came early; REST is the truth. `trusted` says when the hint may stand alone: from the moment its
owner has asked REST for everything since a `Restored`, and said so, until the next `LostTouch`. Whatever could have
made a message go missing ends the trust: a socket that closed or fell silent, an expired key, a gap in what was heard.
"""

import asyncio
import contextlib
from collections.abc import Callable
from math import inf
from typing import Protocol

import aiohttp

from qtlib.exchanges.binance.hearing import Gap, Hearing
from qtlib.exchanges.binance.payloads import Message
from qtlib.exchanges.binance.sockets import Lost, Patience, Pauses, Pulse, Socket, relay, side_by_side
from qtlib.exchanges.binance.told import AccountTold, LostTouch, Restored
from qtlib.exchanges.port import ExchangeError, Unavailable, Unknown

_GOODBYE_S = 2.0  # for giving the key back


class Keys(Protocol):
    """Listen keys, by REST; each call raises the port's errors."""

    async def new_key(self) -> str:
        """The account's key, made or renewed."""

    async def extend_key(self) -> None:
        """One more hour; `Refused` if there is no such key any more."""

    async def close_key(self) -> None:
        """It is not needed any more."""


class PrivateStream:
    """What happens to the account is told in the loop that awaits `run`, by calling `told`.

    `base` is the address of the venue's streams ("wss://fstream.binance.com"). The session belongs to the caller.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        keys: Keys,
        told: Callable[[AccountTold], None],
        *,
        patience: Patience | None = None,
        seed: int = 0,
    ) -> None:
        self.generation = 0  # of trust: it begins anew with each `Restored`
        self._session, self._base, self._keys, self._told = session, base, keys, told
        self._patience, self._pulse = patience or Patience(), Pulse()
        self._pauses = Pauses(self._patience, seed)
        self._hearing = Hearing(self._patience.settle_s)
        self._listening, self._reconciled, self._key = False, 0, ""
        self._why = ""  # of the last loss
        self._missing_ms = 0.0  # since when events may be missing that no `Restored` told of yet; inf: none are
        self._since_ms = 0.0  # since when they were, as the latest told

    @property
    def trusted(self) -> bool:
        """Whether what was told is all there is to tell."""
        return self._listening and self._reconciled == self.generation

    @property
    def lost(self) -> str:
        """Why touch is lost, if it is."""
        return "" if self._listening else f"the account: {self._why or 'not heard of yet'}"

    def reconciled(self, generation: int) -> None:
        """REST was asked for all that the `Restored` of this generation may have missed."""
        self._reconciled = max(self._reconciled, generation)

    def expect(self, client_id: str) -> None:
        """The venue has accepted this order: if nothing is heard of it soon, nothing is heard. From the loop only."""
        self._hearing.expect(client_id, self._now())

    def age_s(self) -> float:
        """Since the last sign of life; inf before the first. From the loop only."""
        return self._now() - self._pulse.alive_at

    async def run(self) -> None:
        """Listen until cancelled, however often touch is lost."""
        try:
            while True:
                began, why = self._now(), ""
                try:
                    await self._connection()
                except (Lost, ExchangeError) as lost:
                    why = str(lost)
                self._lose(why, self._hearing.last_ms)
                await asyncio.sleep(self._pauses.after(self._now() - began))
        finally:
            self._listening = False
            if self._key:
                with contextlib.suppress(ExchangeError, TimeoutError):
                    async with asyncio.timeout(_GOODBYE_S):
                        await self._keys.close_key()

    async def _connection(self) -> None:
        """From a key to a loss."""
        self._key = await self._keys.new_key()
        await side_by_side(
            relay(self._open, self._hear, self._patience, self._restored), self._renew_key(), self._miss_what_is_late()
        )

    async def _open(self) -> Socket:
        url = f"{self._base}/private/ws?listenKey={self._key}"
        return await Socket.open(self._session, url, self._pulse, self._patience)

    def _hear(self, message: Message) -> None:
        if message.get("e") == "listenKeyExpired" and message.get("listenKey", self._key) == self._key:
            raise Lost("the listen key expired")
        for heard in self._hearing.hear(message, self._now()):
            if isinstance(heard, Gap):
                self._missed(heard)
            else:
                self._told(heard)

    def _missed(self, gap: Gap) -> None:
        """The socket is sound, but what it told is not all."""
        self._lose(gap.why, gap.since_ms)
        self._restored()

    def _lose(self, why: str, since_ms: int) -> None:
        self._missing_ms = min(self._missing_ms, since_ms)
        if self._listening or why != self._why:  # an outage is told once for each of its reasons
            self._told(LostTouch(why))
        self._listening, self._why = False, why

    def _restored(self) -> None:
        answered = self._reconciled == self.generation
        self._since_ms = self._missing_ms if answered else min(self._missing_ms, self._since_ms)
        self._missing_ms = inf
        self._hearing.forget()
        self.generation += 1
        self._listening = True
        self._told(Restored(self.generation, int(self._since_ms)))

    async def _miss_what_is_late(self) -> None:
        """A socket that keeps back what must have happened is worth no more than one that broke."""
        while True:
            await asyncio.sleep(self._patience.settle_s / 4)
            if late := self._hearing.overdue(self._now()):
                self._lose(late.why, late.since_ms)
                raise Lost(late.why)

    async def _renew_key(self) -> None:
        renewed, wait_s = self._now(), self._patience.renew_s
        while True:
            await asyncio.sleep(wait_s)
            try:
                await self._keys.extend_key()
                renewed, wait_s = self._now(), self._patience.renew_s
            except (Unavailable, Unknown) as error:
                wait_s = min(self._patience.renew_s, self._patience.longest_pause_s)
                if self._now() - renewed > self._patience.key_life_s:
                    raise Lost(f"the listen key could not be renewed: {error}") from error

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
