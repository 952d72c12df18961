"""What a venue says of the past: bars, mark prices and funding, a page at a time, and what time it is there.

A page is asked for by its span, so that pages can be asked for side by side and in any order. What is promised of all:
rows ascend, lie within the span, and none stands twice; a hole in them is one that the venue has. Errors are the
port's: Unavailable (ask again later; `Slowly` says when), Refused (not this, ever), Untrusted (a person should look).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qtlib.exchanges.port import Untrusted

Row = tuple[
    int, tuple[float, ...]
]  # the open of a bar, or a settlement [ms]; open, high, low, close, volume, or a rate
BARS, MARKS, FUNDING = "bars", "mark", "funding"


@dataclass(frozen=True, slots=True)
class Asked:
    """One page: what opens, or was settled, from `start` to before `end` [ms]."""

    symbol: str
    kind: str
    start: int
    end: int
    timeframe: str = ""  # none for funding


class Past(Protocol):
    @property
    def venue(self) -> str:
        """As ccxt names it."""

    @property
    def simulated(self) -> bool:
        """Whether its market may be made up: then what is fetched says so for ever."""

    @property
    def side_by_side(self) -> int:
        """How many pages may be asked for at once."""

    async def now_ms(self, symbol: str) -> int:
        """What time it is in the venue's market."""

    async def first_ms(self, asked: Asked) -> int | None:
        """The first time in `asked` at which there may be something; None where nothing is known to be."""

    def page_ms(self, kind: str, span_ms: int) -> int:
        """How long a page should be that is asked for at once; `span_ms` is the length of a bar."""

    async def page(self, asked: Asked) -> Sequence[Row]:
        """All that the venue has of it."""

    async def end(self) -> None:
        """Hang up."""


def checked(rows: Sequence[Row], asked: Asked, span_ms: int) -> list[Row]:
    """The rows of `asked`, which ascend; Untrusted where they make no sense."""
    found = [row for row in rows if asked.start <= row[0] < asked.end]
    for at, row in enumerate(found):
        if at and row[0] <= found[at - 1][0]:
            raise Untrusted(f"{asked.symbol} {asked.kind}: row {row[0]} does not come after {found[at - 1][0]}")
        if span_ms and row[0] % span_ms:
            raise Untrusted(f"{asked.symbol} {asked.kind}: row {row[0]} is not on the grid of {asked.timeframe}")
    return found
