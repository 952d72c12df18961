"""What a session learns: which events say so, and what they add up to.

A closed trade is counted when it ends, a retrain when it begins and when it ends; so whether one is due is a question
to the journal, and a crash neither forgets a trigger nor pulls it twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from qtlib.domain.values import value

MOST_REALIZED = 2_000  # trades of one model that are looked at


class RetrainOutcome(Enum):
    """How a retrain ended."""

    PROMOTED = "promoted"  # the new model trades from now on
    ASKED = "asked"  # it passed the gate, and a person is to say whether it trades
    REFUSED = "refused"  # the gate said no, and what traded before still does
    FAILED = "failed"  # it came to no model at all


@value
class FeaturesSeen:
    """What was known of the candidates at a decision, as a model was shown it."""

    ts: datetime
    schema: str  # which features, and what each makes of bars
    rows: Mapping[str, tuple[float, ...]]  # by symbol

    @property
    def key(self) -> str:
        return f"{int(self.ts.timestamp())}:features"


@value
class RetrainBegun:
    ts: datetime
    number: int  # the account's first is 1
    cause: str

    @property
    def key(self) -> str:
        return f"retrain:{self.number}"


@value
class RetrainEnded:
    ts: datetime
    number: int
    outcome: RetrainOutcome
    words: str  # why, in a sentence
    version: str = ""  # of the model it made; empty: none
    run_id: str = ""

    @property
    def key(self) -> str:
        return f"retrained:{self.number}"


@value
class ModelChanged:
    """From the next decision on another model believes."""

    ts: datetime
    version: str  # empty: the rule of thumb does
    content_hash: str
    cause: str
    action: str = "promote"  # promote · rollback · demote

    @property
    def key(self) -> str:
        return f"model:{self.ts.isoformat()}:{self.version}"


class Realized(NamedTuple):
    """What was promised of a trade, and what came of it."""

    decided: datetime
    confidence: float
    r: float  # net, in R


@dataclass(frozen=True, slots=True)
class Learning:
    """What is known of it."""

    enabled: bool = False  # whether this session learns; what is counted is counted all the same
    closed: int = 0  # trades that ended, but for those that were found
    first: datetime | None = None  # when the first of them did
    retrains: int = 0  # begun
    learned: int = 0  # of `closed`, how many the last one knew that did not fail
    begun: datetime | None = None  # when the last one was
    known: int = 0  # of `closed`, how many that one knows
    running: bool = False
    failures: int = 0  # in a row
    last: RetrainEnded | None = None
    asked: str = ""  # who asked for one by hand
    version: str = ""  # of the model that believes; empty: the rule of thumb does
    realized: tuple[Realized, ...] = ()  # what came of its trades so far, the newest of them

    @property
    def samples(self) -> int:
        """Trades that ended since."""
        return self.closed - self.learned

    def counted(self, ts: datetime, version: str = "", realized: Realized | None = None) -> "Learning":
        """After one more trade ended, which `version` had wished for."""
        known = self.realized
        if realized and version and version == self.version:
            known = (*known, realized)[-MOST_REALIZED:]
        return replace(self, closed=self.closed + 1, first=self.first or ts, realized=known)

    def after(self, event: RetrainBegun | RetrainEnded | ModelChanged) -> "Learning":
        """After `event`."""
        if isinstance(event, RetrainBegun):
            return replace(self, retrains=event.number, begun=event.ts, known=self.closed, running=True, asked="")
        if isinstance(event, ModelChanged):
            return replace(self, version=event.version, realized=())
        failed = event.outcome is RetrainOutcome.FAILED
        learned, failures = (self.learned, self.failures + 1) if failed else (self.known, 0)
        return replace(self, running=False, last=event, learned=learned, failures=failures)
