"""The steps of a session, seen from inside: the one at which the next blow is to fall waits there until it has fallen.

A line that the kill matrix adds to the notebook wraps journal and exchange in this. Between the kernel and whoever
strikes it lie files in one folder: `plan.json`, the blows in order; `reached-N`, written where blow N is to fall;
`struck-N`, written before it falls; `go-N`, for whoever survived it; and `near-N` where a blow is to fall while the
venue holds a request, once that is about to be made. Nothing here is known to `qtlib`.
"""

import json
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from qtlib.domain.events import SessionClosed, SessionOpened
from qtlib.domain.orders import Submit

BEFORE, AFTER = "before", "after"
WIRE = "wire"  # the step of a request at the venue: before it is heard, after that and before it is answered
TRIAL = "qt-trial-*"  # the order of the start-up, which no step of ours comes before
FOLDER = "blows"
PATIENCE_S = 60.0  # of a step, for its blow


@dataclass(frozen=True, slots=True)
class Blow:
    """Who is struck, how, and at which step: before it acts, or after it acted.

    `about` are patterns, of client ids or of times, that say which of the steps of that name is meant.
    """

    who: str
    how: str
    step: str
    side: str
    about: str = "*"

    def __str__(self) -> str:
        return f"{self.how} {self.who} {self.side} {self.step}"


class Blows:
    """What is to fall in one session, as its steps know it."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._blows = [Blow(**said) for said in json.loads((self._folder / "plan.json").read_text())]
        self._next = 0

    def at(self, step: str, side: str, names) -> None:
        """This step is reached: wait for what is to fall here."""
        while self._next < len(self._blows) and (self._folder / f"struck-{self._next}").exists():
            self._next += 1
        if self._next == len(self._blows):
            return
        its = self._blows[self._next]
        if its.step == WIRE and step == "sent" and any(fnmatchcase(name, its.about) for name in names):
            (self._folder / f"near-{self._next}").touch()
        if (its.step, its.side) == (step, side) and any(fnmatchcase(name, its.about) for name in names):
            self._wait()

    def _wait(self) -> None:
        (self._folder / f"reached-{self._next}").touch()
        until = time.monotonic() + PATIENCE_S
        while not (self._folder / f"go-{self._next}").exists():
            assert time.monotonic() < until, f"nobody struck at {self._blows[self._next]}"
            time.sleep(0.005)


class _Over:
    """Something of a session, whose steps are told; all else of it is as it was."""

    def __init__(self, inner, blows: Blows, where: "_Where") -> None:
        self._inner, self._blows, self._where = inner, blows, where

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def _step(self, step, names, act):
        self._blows.at(step, BEFORE, names)
        done = act()
        self._blows.at(step, AFTER, names)
        return done


@dataclass
class _Where:
    """How far the session is."""

    ts: str = ""  # of the last moment
    sent: tuple[str, ...] = ()  # orders of which the answer is not written down yet
    recovering: int | None = 0  # lines since the session opened; None: its first moment has come


class StruckJournal(_Over):
    @property
    def listener(self):
        return self._inner.listener

    @listener.setter
    def listener(self, listener) -> None:
        self._inner.listener = listener

    def absorb(self, state, events, *, then=None, synced=False):
        events = list(events)
        step, names = self._called(events, then, synced)
        return self._step(step, names, lambda: self._inner.absorb(state, events, then=then, synced=synced))

    def _called(self, events, then, synced):
        where, sent = self._where, self._where.sent
        where.sent = ()
        if any(isinstance(event, SessionOpened) for event in events):
            return "opening", ("session",)
        if any(isinstance(event, SessionClosed) for event in events):
            return "closing", (self._where.ts,)
        if synced:
            return "asked", [event.intent.client_id for event in events]
        if moment := getattr(then, "keywords", {}).get("moment"):
            where.recovering, where.ts = None, moment.ts.isoformat()
            return "moment" if moment.bars else "heartbeat", (where.ts,)
        if sent:
            return "became", sent
        if where.recovering is None:
            return "learned", ("events",)
        where.recovering += 1
        return "recovery learned", (str(where.recovering),)


class StruckExchange(_Over):
    def carry_out(self, actions):
        names = tuple(a.intent.client_id if isinstance(a, Submit) else f"end of {a.client_id}" for a in actions)
        self._where.sent = names
        return self._step("sent", names, lambda: self._inner.carry_out(actions))

    def events(self, since, about=()):
        about = tuple(about)
        step, names = "heard", (since.isoformat(),)
        if self._where.recovering is not None:
            step = "recovery heard"
        return self._step(step, names, lambda: self._inner.events(since, about))

    def snapshot(self):
        step = "snapshot" if self._where.recovering is None else "recovery snapshot"
        return self._step(step, ("snapshot",), self._inner.snapshot)

    def step(self, bars=1):
        return self._step("market", (self._where.ts,), lambda: self._inner.step(bars))


def struck(root: Path, exchange, journal):
    """`exchange` and `journal` of the session under `root`, with steps at which it can be struck."""
    blows, where = Blows(root), _Where()
    return StruckExchange(exchange, blows, where), StruckJournal(journal, blows, where)
