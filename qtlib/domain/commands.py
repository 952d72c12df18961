"""What a person asks of a session, and what may become of it.

A command has a name of its own, so asking twice is asking once. Its times are wall time, the asker's and the
engine's: a person does not live by the venue's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum


class Verb(Enum):
    """The first by how much they hold trading back, `RESUME` and `REARM` apart, which let go of it."""

    PAUSE = "pause"  # nothing grows, until RESUME
    RESUME = "resume"
    REDUCE = "reduce"  # nothing grows, until REARM
    FLATTEN = "flatten"  # everything is closed at market, until REARM
    KILL = "kill"  # the same, and no guard's halt takes its place
    REARM = "rearm"
    CLOSE = "close"  # one position is closed at market; trading goes on
    TIGHTEN = "tighten"  # one position's stop is moved nearer
    LIMITS = "limits"  # tightened at once, loosened from the next UTC day on
    RETRAIN = "retrain"  # now, whatever the triggers say
    STOP = "stop"  # the session ends in order; what is open stays protected


class Outcome(Enum):
    DONE = "done"
    REFUSED = "refused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Command:
    command_id: str
    verb: Verb
    by: str  # user@host
    asked: datetime
    expires: datetime | None = None  # nothing comes of it afterwards; None: it waits until it is done
    code: str = ""  # of REARM: says which halt was looked at
    symbol: str = ""  # of CLOSE and TIGHTEN
    price: Decimal | None = None  # of TIGHTEN: the stop [quote]
    limits: Mapping[str, float] = field(default_factory=dict)  # of LIMITS: those that change, by name
    reason: str = ""  # of LIMITS: why they are loosened, where they are

    @property
    def key(self) -> str:
        """That of the event which answers it."""
        return f"command:{self.command_id}"
