"""Somebody who is told things, and tests that wait for them."""

import asyncio

from patience import PATIENCE_S

from qtlib.exchanges.port import Unavailable


async def until(so, patience_s=PATIENCE_S):
    """Wait until it is so."""
    async with asyncio.timeout(patience_s):
        while not so():
            await asyncio.sleep(0.01)


async def no_clock():
    """The time at a venue that does not say it."""
    raise Unavailable("there is no clock")


class Told(list):
    """All that was told, in order; called with one thing more."""

    def __init__(self):
        super().__init__()
        self._more = asyncio.Event()

    def __call__(self, thing):
        self.append(thing)
        self._more.set()

    def of(self, *kinds):
        return [thing for thing in self if isinstance(thing, kinds)]

    async def until(self, kind, count=1, patience_s=PATIENCE_S):
        """The `count`th thing of this kind, once it was told."""
        async with asyncio.timeout(patience_s):
            while len(self.of(kind)) < count:
                self._more.clear()
                await self._more.wait()
        return self.of(kind)[count - 1]
