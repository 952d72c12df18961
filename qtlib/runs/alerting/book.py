"""What was alerted and what is to be: a book of plain values, so that a restart neither repeats nor forgets.

Pure: times come in. A trouble is told once; told again within `again_s` it is only counted, and the next telling says
how often. What is to be sent stands in the book for each address until it was; after a day nobody needs it any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from qtlib.report.alarms import Alarm

MOST_LINES = 20  # of one message
KEPT = 50  # that were sent, for looking back
FORGOTTEN_S = 30 * 86_400.0  # after so long a topic is new again
USELESS_S = 86_400.0  # what could not be sent for so long is news no more
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0  # between attempts at one address


@dataclass(slots=True)
class Told:
    """When a topic was told last, and how often it came up since."""

    at: float  # [s since 1970]
    more: int = 0
    once: bool = False


@dataclass(slots=True)
class Due:
    """A line that some addresses have not had yet."""

    at: float
    words: str
    to: list[str]


@dataclass(slots=True)
class Attempts:
    """At an address that does not answer."""

    failed: int
    again_at: float


@dataclass(slots=True)
class Book:
    seq: int | None = None  # of the last event that was looked at; None: none was
    topics: dict[str, Told] = field(default_factory=dict)
    due: list[Due] = field(default_factory=list)
    sent: list[Due] = field(default_factory=list)
    attempts: dict[str, Attempts] = field(default_factory=dict)

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        return cls(
            plain.get("seq"),
            {topic: Told(**told) for topic, told in plain.get("topics", {}).items()},
            [Due(**due) for due in plain.get("due", ())],
            [Due(**due) for due in plain.get("sent", ())],
            {name: Attempts(**made) for name, made in plain.get("attempts", {}).items()},
        )

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    def hear(self, alarm: Alarm, names: Sequence[str], now: float, again_s: float) -> bool:
        """Put `alarm` down for every address, unless that trouble was told just now; whether it is to be sent."""
        told = self.topics.get(alarm.topic)
        if told is not None and (told.once or now - told.at < again_s):
            told.more += 1
            return False
        more = f" ({told.more} more times since it was last told)" if told and told.more else ""
        self.topics[alarm.topic] = Told(now, once=alarm.once)
        self.due.append(Due(now, f"{alarm.words}{more}", list(names)))
        return True

    def to_send(self, name: str, now: float) -> list[Due]:
        """What is to be sent to the address `name` now."""
        tried = self.attempts.get(name)
        return [] if tried and now < tried.again_at else [due for due in self.due if name in due.to]

    def sent_to(self, name: str, lines: Sequence[Due], now: float) -> None:
        """`lines` arrived there."""
        self.attempts.pop(name, None)
        for due in lines:
            due.to.remove(name)
            if not due.to:
                self.sent.append(due)
        self._tidy(now)

    def failed_at(self, name: str, now: float) -> None:
        """They did not: they are tried again after a pause that doubles."""
        failed = self.attempts[name].failed + 1 if name in self.attempts else 1
        self.attempts[name] = Attempts(failed, now + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failed - 1)))

    def dismiss(self, names: Sequence[str], now: float) -> list[Due]:
        """Let go of what nobody can be told any more: its address is gone, or it is a day old; what that was."""
        lost = [due for due in self.due if due.to and now - due.at > USELESS_S]
        for due in self.due:
            due.to = [] if due in lost else [name for name in due.to if name in names]
        self._tidy(now)
        return lost

    def _tidy(self, now: float) -> None:
        self.due = [due for due in self.due if due.to]
        self.sent = self.sent[-KEPT:]
        self.topics = {topic: told for topic, told in self.topics.items() if now - told.at < FORGOTTEN_S}


def message(lines: Sequence[Due]) -> str:
    """One message of all of them, the newest of too many."""
    shown = [f"• {due.words}" for due in lines[-MOST_LINES:]]
    left_out = len(lines) - len(shown)
    return "\n".join([*([f"({left_out} older ones: qt alerts list)"] if left_out else []), *shown])
