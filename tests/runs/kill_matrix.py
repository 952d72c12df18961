"""The kill matrix: real sessions struck at steps of theirs, and what is left of each.

In a life each of some orders meets the same outcome (accepted, refused, lost on its way, …), and at each one blow
falls, at one step of one process. It ends as one of the same outcome that was left in peace, whatever struck it.
`cells` is the whole matrix, `lives` shares it out, `live_through` tries a share of it. A helper of the tests, and of
`make prove`.
"""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from kill_life import ENTRY, HELD_S, KILL, SETTINGS, STOP, STOP_LOSS, Life, Slot
from stage import KERNEL, RUNNER, SUPERVISOR, VENUE
from strike import AFTER, BEFORE, TRIAL, WIRE, Blow

from qtlib.domain.naming import name_of
from qtlib.domain.orders import ZERO, OrderIntent, Role, Side
from qtlib.exchanges.simulated.faults import PLACING
from qtlib.market.timeframes import length_of
from qtlib.params import resolve
from qtlib.runs import wiring
from qtlib.runs.record.folder import HOME

BLOWS = ((KERNEL, KILL), (RUNNER, KILL), (SUPERVISOR, KILL), (VENUE, KILL), (KERNEL, STOP))
TRIAL_STOP = "trial stop"
REJECTED_EVERY = 2  # bars
CELLS = 16  # of a life; where orders are rejected half as many, as fewer of them are

OUTCOMES: Mapping[str, Mapping[str, Any] | None] = {
    "accepted": None,
    "rejected": {"kind": "rejected", "times": None},  # whatever it is called when it is asked for again
    "timed out after acceptance": {"kind": "timeout", "executes": True},
    "503 after acceptance": {"kind": "unknown_error", "executes": True},
    "503, not accepted": {"kind": "unknown_error", "executes": False},
    "503, failed": {"kind": "unavailable"},
    "reset after acceptance": {"kind": "reset", "executes": True},
}


class Step(NamedTuple):
    """A step of a session as it deals with an order of a kind; `again`: in the session after one that was killed."""

    name: str
    order: str
    again: bool = False
    which: str = "*"  # of several of that name


STEPS = (
    *(Step(name, ENTRY) for name in ("market", "heard", "moment", "asked", "sent", WIRE, "became")),
    *(Step(name, STOP_LOSS) for name in ("asked", "sent", WIRE, "became")),
    *(Step(name, ENTRY, again=True) for name in ("opening", "recovery heard", "recovery snapshot")),
    *(Step("recovery learned", ENTRY, again=True, which=str(line)) for line in (1, 2, 3, 4)),
)
ENDS = (Step(WIRE, TRIAL_STOP), Step("closing", ""))  # at the beginning and at the end, where no order has an outcome


class Cell(NamedTuple):
    """One of the matrix."""

    step: Step
    side: str
    who: str
    how: str
    outcome: str

    def __str__(self) -> str:
        which = f" {self.step.which}" if self.step.which != "*" else ""
        about = f" of {self.step.order}" if self.step.order else ""
        return f"{self.how} {self.who} {self.side} {self.step.name}{which}{about}, {self.outcome}"


def cells() -> list[Cell]:
    """The whole matrix."""
    sides = (BEFORE, AFTER)
    found = [Cell(step, side, *blow, o) for o, step, side, blow in product(OUTCOMES, STEPS, sides, BLOWS)]
    return found + [Cell(step, side, *blow, "accepted") for step, side, blow in product(ENDS, sides, BLOWS)]


def lives(slots: int = CELLS) -> list[tuple[Cell, ...]]:
    """The matrix, shared out: the cells of a life have one outcome in common, and the kind of order that meets it.

    Else they are drawn, and so is the order of lives: so that any number of them is a fair sample of it.
    """
    dice = random.Random("the matrix")
    worlds: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells():
        worlds.setdefault((cell.outcome, cell.step.order), []).append(cell)
    trials, closings = (worlds.pop(("accepted", step.order)) for step in ENDS)
    shared = []
    for (outcome, _), found in worlds.items():
        dice.shuffle(found)
        most = slots // 2 if outcome == "rejected" else slots
        shared += [tuple(found[at : at + most]) for at in range(0, len(found), most)]
    for n, (trial, closing) in enumerate(zip(trials, closings, strict=True)):
        shared[n] = (trial, *shared[n], closing)  # these are of the outcome that is none
    dice.shuffle(shared)
    return shared


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of a life."""

    wrongs: list[str]
    struck: list[str]
    figures: dict[str, int]


def live_through(its: Sequence[Cell], root: Path, bars: int = 120) -> Lived:
    """Live through these cells in one life under `root`, and compare it with one in peace."""
    main = its[len(its) // 2]
    quiet = peace("rejected" if main.outcome == "rejected" else "accepted", main.step.order, bars)
    blows = blows_of(its, quiet)
    life = Life(root, faults_of(main.outcome, main.step.order, bars, blows, quiet.slots), blows, bars)
    begun = time.monotonic()
    try:
        life.live()
        ending = life.ending()
        wrongs = life.wrongs()
        wrongs += [f"{k} is {ending[k]}, in peace {there}" for k, there in quiet.ending.items() if ending[k] != there]
    except AssertionError as why:
        wrongs = [str(why)]
    finally:
        life.end()
    fell = Counter(f"{blow.how} of the {blow.who}" for blow in blows[: len(life.struck)])
    took = round(time.monotonic() - begun)
    return Lived(
        wrongs, life.struck, {"cells": len(its), "blows": len(life.struck), **fell, "seconds of a life, at most": took}
    )


class Peace(NamedTuple):
    """How a life ends that is left in peace, and where one of its outcome can be struck."""

    ending: dict[str, Any]
    slots: Sequence[Slot]
    last: str  # when its last bar closed


@cache
def peace(outcome: str, order: str, bars: int = 120) -> Peace:
    """A life that nobody strikes, where orders are rejected or else accepted: however that was told, it is one life."""
    with TemporaryDirectory(prefix="qt-peace-") as folder:
        life = Life(Path(folder) / "life", faults_of(outcome, order, bars), bars=bars)
        try:
            life.live()
        finally:
            life.end()
        assert not life.wrongs(), life.wrongs()
        return Peace(life.ending(), life.slots(order, outcome == "rejected"), life.last())


# --- what a life is struck by -----------------------------------------------------------------------------


def blows_of(its: Sequence[Cell], quiet: Peace) -> list[Blow]:
    """The blows of a life, in order: each cell has a slot of its own, but those at its beginning and at its end."""
    free = iter(quiet.slots)
    found: list[Blow] = []
    for cell in its:
        step, blow = cell.step, (cell.who, cell.how)
        if step.order == TRIAL_STOP:
            found.append(Blow(*blow, WIRE, cell.side, TRIAL))
        elif not step.order:
            found.append(Blow(*blow, step.name, cell.side, quiet.last))  # sessions before it close as well
        elif step.again:
            found.append(Blow(KERNEL, KILL, "sent", AFTER, next(free).order(ENTRY)))
            found.append(Blow(*blow, step.name, cell.side, step.which))
        else:
            slot = next(free)
            when = {"market": slot.before, "heard": slot.before, "moment": slot.closed}
            found.append(Blow(*blow, step.name, cell.side, when.get(step.name) or slot.order(step.order)))
    return found


def faults_of(
    outcome: str, order: str, bars: int, blows: Sequence[Blow] = (), slots: Sequence[Slot] = ()
) -> list[dict[str, Any]]:
    """What the venue does to the orders of the slots; and it holds the requests at which blows are to fall."""
    its, about = OUTCOMES[outcome], [slot.order(order) for slot in slots]
    if outcome == "rejected":  # in peace as well, since what follows is another life
        about = _every_so_often(order, bars)
    met = [] if its is None else [{"on": PLACING, "about": one, **its} for one in about]
    held = {"on": PLACING, "seconds": HELD_S, "times": None}
    return met + [{"kind": f"delay_{blow.side}", "about": blow.about, **held} for blow in blows if blow.step == WIRE]


def _every_so_often(order: str, bars: int) -> list[str]:
    """The orders of that kind that are wished at some of the bars."""
    params = resolve(HOME / "params" / "sim.yaml", list(SETTINGS)).params
    start, span = wiring.simulated_market(params).start, length_of(params.data.timeframe)
    wish = OrderIntent("", "*", Side.BUY, ZERO, Role.ENTRY if order == ENTRY else Role.STOP_LOSS)
    when = range(0, params.data.history + bars, REJECTED_EVERY)
    return [f"{name_of(wish, start + bar * span, 0).removesuffix('-0')}-*" for bar in when]
