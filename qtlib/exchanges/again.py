"""Asking an exchange again: where it does not answer for a moment, nothing was found out about it yet."""

import time
from collections.abc import Callable
from typing import TypeVar

from qtlib.exchanges.port import Unavailable, Unknown

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # each is twice the one before

T = TypeVar("T")


class Again:
    """Asks until there is an answer, for `within_s` from now in all; the last error where there is none by then.

    Only for what may be asked twice.
    """

    def __init__(self, within_s: float) -> None:
        self._until = time.monotonic() + within_s

    def __call__(self, ask: Callable[[], T]) -> T:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return ask()
            except (Unavailable, Unknown):
                if time.monotonic() + pause_s > self._until:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
