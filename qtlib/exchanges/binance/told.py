"""What a stream tells its owner: facts in the domain's own words, hints to look, and what the stream itself is worth.

A fact may be told twice, and of one that was lost nobody is told: REST is the truth. So a stream says when it lost
touch and when it has it again; between a `Restored` that its owner has answered and the next `LostTouch` nothing was
missed. Instants are the venue's.
"""

from dataclasses import dataclass
from datetime import datetime

from qtlib.domain.events import Filled, OrderChanged
from qtlib.exchanges.port import BarHeard


@dataclass(frozen=True, slots=True)
class Look:
    """Something happened whose particulars, or whose name, only REST tells: funding, a deposit, an amended order."""

    ts: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """A person wants to know: a margin call, a liquidation, settings that changed under us."""

    ts: datetime
    words: str


@dataclass(frozen=True, slots=True)
class LostTouch:
    """From here on events may be missing."""

    why: str


@dataclass(frozen=True, slots=True)
class Restored:
    """From here on none will be; what is missing happened about `since_ms` or later, as for all that were not answered.

    Whoever cares asks REST and then answers with `generation`.
    """

    generation: int  # counts up with each; an answer to an older one restores no trust
    since_ms: int  # the last instant heard of before; 0: nothing was ever heard


AccountTold = OrderChanged | Filled | Look | Alarm | LostTouch | Restored
MarketTold = BarHeard | Alarm | LostTouch | Restored
