"""What can go wrong between a trader and a venue, said in such a way that it goes wrong again the same way.

A fault is a kind, what it acts on, and from which time on: the third `POST v1/order`, every other
`ORDER_TRADE_UPDATE`, the next bar in which BTCUSDT is held; or whatever is about the orders that are called so and so.
What it acts on is counted and never timed; its chance is a function of the seed, its number and the count. So the same
faults that are asked the same things do the same. A call of the WebSocket API is the request that it stands for.

`KINDS` says what there is, `read` takes it from a file, `schedule` draws it from a seed, and `Faults` is faults at
work: what each has seen, and all that was injected, in order. What a kind does is written where it is done.
"""

import difflib
import random
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

LOG = 10_000  # injections that are remembered


class Place(Enum):
    """What a kind acts on, and so what is counted and what `on` is compared with."""

    REQUEST = "request"  # method and path: POST v1/order
    EVENT = "event"  # what the account is told, by its type: ORDER_TRADE_UPDATE
    SOCKET = "socket"  # the same, and `bar` when a step is over: when something happens to those who listen
    STEP = "step"  # a symbol, at each of the market's steps
    HELD = "held"  # a symbol, at each step that begins with a position in it


@dataclass(frozen=True, slots=True)
class Fault:
    """One of `KINDS`. Only the numbers that its kind takes mean something."""

    kind: str
    on: str  # patterns as of file names, with `|` between them
    first: int = 1  # the first of what it acts on that it would act on
    times: int | None = 1  # it acts at most so often; None: for ever
    about: str = "*"  # likewise of the client id of the order that it is about; nothing, where it is about none
    chance: float = 1.0  # of acting, each time
    executes: bool = False  # what was asked for happens all the same
    seconds: float = 0.0
    asks: int = 0  # questions that are answered as if it had not happened
    behind: int = 0  # later events that go first
    lots: int = 0  # that can be had of a bar
    frac: float = 0.0  # of a price, a position or a notional: which, its kind says
    what: str = ""  # of an instrument
    field: str = ""  # of an answer
    value: str | int | float | bool = ""  # that stands there instead
    factor: int = 1

    @property
    def place(self) -> Place:
        return KINDS[self.kind].place

    def matches(self, name: str, about: str) -> bool:
        return _fits(name, self.on) and _fits(about, self.about)


@dataclass(frozen=True, slots=True)
class Kind:
    place: Place
    says: str
    takes: Mapping[str, Any]  # what can be said of it beside when it acts, and what holds if it is not
    on: tuple[str, ...]  # what it acts on, unless it is said; and what else a schedule draws from
    times: int | None = 1


PLACING = "POST v1/order|POST v1/algoOrder"
ENDING = "DELETE v1/order|DELETE v1/algoOrder|DELETE v1/allOpenOrders|DELETE v1/algoOpenOrders"
_ORDERS, _ANYTHING = (PLACING, ENDING), ("*", PLACING, ENDING, "GET *")
_EVENTS, _SOCKETS = ("*", "ORDER_TRADE_UPDATE", "ALGO_UPDATE", "ACCOUNT_UPDATE"), ("*", "bar", "ORDER_TRADE_UPDATE")
_SYMBOLS = ("*",)
_MAYBE = {"executes": True}

KINDS: Mapping[str, Kind] = {
    "delay_before": Kind(Place.REQUEST, "heard late by `seconds`", {"seconds": 1.0}, _ANYTHING),
    "delay_after": Kind(Place.REQUEST, "answered late by `seconds`", {"seconds": 1.0}, _ANYTHING),
    "too_many": Kind(Place.REQUEST, "429, and to come back in `seconds`", {"seconds": 1.0}, _ANYTHING),
    "banned": Kind(Place.REQUEST, "418, for `seconds`", {"seconds": 120.0}, _ANYTHING),
    "unavailable": Kind(Place.REQUEST, "503: failed", {}, _ANYTHING),
    "rejected": Kind(Place.REQUEST, "-2010: understood, and no", {}, (PLACING,)),
    "overloaded": Kind(Place.REQUEST, "503, -1008: throttled, unless it reduces or cancels", {}, (PLACING,)),
    "unknown_error": Kind(Place.REQUEST, "503: it may have happened", _MAYBE, _ORDERS),
    "timeout": Kind(Place.REQUEST, "408, -1007: it may have happened", _MAYBE, _ORDERS),
    "unexpected": Kind(Place.REQUEST, "-1006: it may have happened", _MAYBE, _ORDERS),
    "reset": Kind(Place.REQUEST, "the connection is reset: it may have happened", _MAYBE, _ANYTHING),
    "empty": Kind(Place.REQUEST, "200 and no word: it may have happened", _MAYBE, _ORDERS),
    "unanswered": Kind(Place.REQUEST, "nor ever another answer there: it may have happened", _MAYBE, _ORDERS),
    "clock_skew": Kind(Place.REQUEST, "the venue's clock is `seconds` ahead: -1021", {"seconds": 30.0}, ("*",), 5),
    "engine_late": Kind(Place.REQUEST, "-5028: outside of the engine's window", {}, _ORDERS),
    "key_refused": Kind(Place.REQUEST, "401, -2015", {}, _ANYTHING),
    "stale": Kind(
        Place.REQUEST,
        "the order placed is not found (-2013) by the next `asks` questions for it, nor for `seconds`",
        {"asks": 2, "seconds": 0.0},
        (PLACING,),
    ),
    "alters": Kind(
        Place.REQUEST,
        "`field` is `value`, wherever it stands in the answer",
        {"field": "canTrade", "value": False},
        ("GET v1/accountConfig",),
        None,
    ),
    "repeat": Kind(Place.EVENT, "told twice", {}, _EVENTS),
    "reorder": Kind(Place.EVENT, "told after the next `behind` events of its instant", {"behind": 1}, _EVENTS),
    "omit": Kind(Place.EVENT, "not told", {}, _EVENTS),
    "drop_socket": Kind(Place.SOCKET, "who would hear of it is cut off", {}, _SOCKETS),
    "silent_socket": Kind(Place.SOCKET, "who would hear of it hears nothing any more", {}, _SOCKETS),
    "listen_key_expired": Kind(Place.SOCKET, "the listen key is no longer valid", {}, _SOCKETS),
    "partial_fills": Kind(Place.STEP, "`lots` can be had of a bar", {"lots": 3}, _SYMBOLS, 3),
    "settling": Kind(Place.STEP, "SETTLING: no bars, and no orders are taken (-4108)", {}, _SYMBOLS, 3),
    "filters": Kind(Place.STEP, "`what` grows by `factor`", {"what": "tick", "factor": 10}, _SYMBOLS, None),
    "gap": Kind(Place.HELD, "prices lie `frac` further, against the position", {"frac": 0.05}, _SYMBOLS),
    "liquidation": Kind(Place.HELD, "the mark price alone runs through its end", {}, _SYMBOLS),
    "adl": Kind(Place.HELD, "the venue closes `frac` of it, at mark", {"frac": 0.5}, _SYMBOLS),
    "funding": Kind(Place.HELD, "`frac` of notional is paid when the step is over", {"frac": 0.001}, _SYMBOLS),
}  # fmt: skip

_WHEN = ("on", "first", "times", "about", "chance")
_DAY_S = 86_400
_WHATS = ("tick", "lot", "min_notional")


def fault(kind: str, **said: Any) -> Fault:
    """A fault of `kind`, with what holds where nothing is said.

    >>> fault("reset", first=3).executes
    True
    >>> fault("reset", frist=3)
    Traceback (most recent call last):
    ValueError: reset takes no 'frist' (did you mean first?): it takes on, first, times, about, chance, executes
    """
    if kind not in KINDS:
        raise ValueError(f"there is no fault {kind!r}{_meant(kind, KINDS)}: there are {', '.join(KINDS)}")
    its = KINDS[kind]
    known = [*_WHEN, *its.takes]
    for name in said:
        if name not in known:
            raise ValueError(f"{kind} takes no {name!r}{_meant(name, known)}: it takes {', '.join(known)}")
    made = Fault(kind, **{"on": its.on[0], "times": its.times, **its.takes, **said})
    _check(made)
    return made


def read(document: Any) -> tuple[tuple[Fault, ...], int]:
    """The faults of a document as YAML or JSON give it, `{seed: 7, faults: [{kind: …}, …]}`, and its seed."""
    if not isinstance(document, Mapping):
        raise ValueError(f"expected 'seed' and 'faults', found {document!r}")
    for name in document:
        if name not in ("seed", "faults"):
            raise ValueError(f"unknown {name!r}{_meant(str(name), ('seed', 'faults'))}: there are seed and faults")
    seed, listed = document.get("seed", 0), document.get("faults") or []
    if type(seed) is not int:
        raise ValueError(f"seed {seed!r} must be a whole number")
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise ValueError(f"faults must be a list, found {listed!r}")
    made = []
    for number, said in enumerate(listed, 1):
        if not isinstance(said, Mapping) or not isinstance(said.get("kind"), str):
            raise ValueError(f"fault {number}: expected a kind and what is said of it, found {said!r}")
        try:
            made.append(fault(**said))
        except (TypeError, ValueError) as why:
            raise ValueError(f"fault {number}: {why}") from None
    return tuple(made), seed


def schedule(
    seed: int, kinds: Sequence[str] = tuple(KINDS), most: int = 6, within: int = 40, longest_s: float = 0.05
) -> tuple[Fault, ...]:
    """One to `most` faults, drawn from `seed` and nothing else.

    Kinds and what they act on are drawn evenly; the first time evenly from the first `within`; how often from one to
    four; half of them then act at every chance, the others at each with a chance between 0.1 and 0.9. Where it may
    have happened all the same, it does in half of them. Waiting is short: at most `longest_s`, and a second for bans.
    """
    dice = random.Random(f"schedule:{seed}")
    return tuple(_drawn(dice, dice.choice(kinds), within, longest_s) for _ in range(dice.randint(1, most)))


@dataclass(slots=True)
class Armed:
    """A fault at work."""

    fault: Fault
    number: int
    seen: int = 0
    acted: int = 0

    def acts(self, seed: int) -> bool:
        """It has seen one more; whether it acts on it."""
        self.seen += 1
        its = self.fault
        spent = its.times is not None and self.acted >= its.times
        if self.seen < its.first or spent:
            return False
        if its.chance < 1 and random.Random(f"{seed}:{self.number}:{self.seen}").random() >= its.chance:
            return False
        self.acted += 1
        return True


class Faults:
    """Faults at work, and all that they did."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self.seed = seed
        self._numbers = count(1)
        self._injections = count(1)
        self.armed: list[Armed] = []
        self.injected: deque[dict[str, Any]] = deque(maxlen=LOG)
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        self.armed += [Armed(fault, next(self._numbers)) for fault in faults]

    def clear(self) -> None:
        """Nothing more goes wrong; what did is still known."""
        self.armed.clear()

    def acting(self, place: Place, name: str, about: str = "", spared: Container[str] = ()) -> list[Fault]:
        """Something happened: the faults that act on it, in their order; the kinds it is `spared` do not see it.

        `about` is the client id of the order that it is about, if it is about one.
        """
        found = []
        for armed in self.armed:
            its = armed.fault
            if its.place is place and its.kind not in spared and its.matches(name, about) and armed.acts(self.seed):
                found.append(its)
                self.injected.append(
                    {"n": next(self._injections), "fault": armed.number, "kind": its.kind, "on": name, "about": about}
                )
        return found

    @property
    def document(self) -> dict[str, Any]:
        """What is at work, with its counts, and what was injected."""
        return {
            "seed": self.seed,
            "faults": [{"fault": a.number, **_plain(a.fault), "seen": a.seen, "acted": a.acted} for a in self.armed],
            "injected": list(self.injected),
        }


# --- below ------------------------------------------------------------------------------------------------


def _fits(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns.split("|"))


def _plain(its: Fault) -> dict[str, Any]:
    said = asdict(its)
    return {name: said[name] for name in ("kind", *_WHEN, *KINDS[its.kind].takes)}


def _check(its: Fault) -> None:
    for name in ("first", "asks", "behind", "lots", "factor"):
        if name in (*_WHEN, *KINDS[its.kind].takes) and (type(getattr(its, name)) is not int or getattr(its, name) < 1):
            raise ValueError(f"{its.kind}: {name} {getattr(its, name)!r} must be a whole number, at least 1")
    if its.times is not None and (type(its.times) is not int or its.times < 1):
        raise ValueError(f"{its.kind}: times {its.times!r} must be a whole number, at least 1, or null for no end")
    earliest = -_DAY_S if its.kind == "clock_skew" else 0
    for name, low, high in (("chance", 0, 1), ("seconds", earliest, _DAY_S), ("frac", 0, 1)):
        value = getattr(its, name)
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"{its.kind}: {name} {value!r} must be a number from {low} to {high}")
    if type(its.executes) is not bool:
        raise ValueError(f"{its.kind}: executes {its.executes!r} must be true or false")
    for name, example in (("on", KINDS[its.kind].on[0]), ("about", "qt-BTCUSDT-e*")):
        pattern = getattr(its, name)
        if not isinstance(pattern, str) or not pattern:
            raise ValueError(f"{its.kind}: {name} {pattern!r} must be a pattern, as {example}")
    if "field" in KINDS[its.kind].takes and not (isinstance(its.field, str) and its.field):
        raise ValueError(f"{its.kind}: field {its.field!r} must be a name, as canTrade")
    if type(its.value) not in (str, int, float, bool):
        raise ValueError(f"{its.kind}: value {its.value!r} must be a text, a number, true or false")
    if its.what and its.what not in _WHATS:
        raise ValueError(f"{its.kind}: what {its.what!r} must be one of {', '.join(_WHATS)}")


def _drawn(dice: random.Random, kind: str, within: int, longest_s: float) -> Fault:
    its = KINDS[kind]
    said: dict[str, Any] = {"on": dice.choice(its.on), "first": dice.randint(1, within), "times": dice.randint(1, 4)}
    said["chance"] = 1.0 if dice.random() < 0.5 else round(dice.uniform(0.1, 0.9), 2)
    if "executes" in its.takes:
        said["executes"] = dice.random() < 0.5
    if "asks" in its.takes:
        said["asks"] = dice.randint(1, 4)
    if "frac" in its.takes:
        said["frac"] = round(its.takes["frac"] * dice.uniform(0.2, 2.0), 6)
    if "what" in its.takes:
        said |= {"what": dice.choice(_WHATS), "factor": dice.choice((2, 7, 10))}
    if kind.startswith("delay"):
        said["seconds"] = round(dice.uniform(0.0, longest_s), 4)
    if kind in ("banned", "too_many"):
        said["seconds"] = 1.0
    return fault(kind, **said)


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
