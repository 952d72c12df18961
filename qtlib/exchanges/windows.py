"""A count that begins anew with each window of the wall clock: what a venue allows by the minute, and who keeps to it.

The served venue counts what it is asked, the adapter what it asks, by the same windows.
"""

from dataclasses import dataclass
from math import inf


@dataclass(slots=True)
class Window:
    """So much is `used` of the `most` that `seconds` of the wall clock allow."""

    seconds: int
    most: float = inf
    used: int = 0
    number: int = -1

    def at(self, now: float) -> "Window":
        """The window of `now`.

        >>> window = Window(60, 10, used=7, number=1)
        >>> window.at(119.0).used, window.left_s(119.0), window.at(120.0).used
        (7, 1.0, 0)
        """
        if (number := int(now // self.seconds)) != self.number:
            self.number, self.used = number, 0
        return self

    def left_s(self, now: float) -> float:
        """Until the next one begins."""
        return self.seconds - now % self.seconds
