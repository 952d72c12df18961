"""What we believe, what we therefore want, and why we may have less of it."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from math import inf, nan
from typing import NamedTuple

from qtlib.domain.market import Bar
from qtlib.domain.orders import ExitPlan, ExitReason
from qtlib.domain.universe import Picked
from qtlib.domain.values import value


class Signal(NamedTuple):  # a tuple, because one is made for every bar of every symbol
    """A belief about one instrument over the next bars, with the two numbers needed to act on it."""

    symbol: str
    ts: datetime
    score: float  # -1 surely down .. +1 surely up
    confidence: float  # 0 .. 1: how likely the direction is right
    price: float  # last close, in quote
    volatility_frac: float  # average true range of a bar, as a fraction of price
    model_version: str = ""  # empty: a rule of thumb, not a model
    fault: str = ""  # why this belief must not open anything: warming up, stale bars, a degraded model
    stop_frac: float = nan  # the exits that a model proposes, as fractions of price; nan: it proposes none
    take_profit_frac: float = nan
    trail_frac: float = nan
    exits_doubt: str = ""  # why it proposes none
    features: tuple[float, ...] = ()  # what it was made from, where a model is to learn from what comes of it
    schema: str = ""  # of these features


class Moment(NamedTuple):
    """All that is known at `ts`: the bars that closed, and what the strategy makes of them."""

    ts: datetime
    bars: Mapping[str, Bar]
    signals: tuple[Signal, ...] = ()
    marks: Mapping[str, float] = {}  # mark prices at `ts`, where the venue has one of its own
    doubt: str = ""  # why something may have been missed: then the venue's whole word is asked for first
    past: bool = False  # its bars closed long ago: they are learned, and not acted on
    picked: Picked | None = None  # the universe of the day, where it has just begun
    holds_s: float = inf  # for how long its signals may be acted on, should the exchange be away just then


@value
class Target:
    """The position we want in one symbol, and how it should be left again."""

    symbol: str
    quantity: Decimal  # signed, in base
    limit_price: Decimal | None = None  # an entry does not pay more (or, short, get less) than this
    worst_price: Decimal | None = None  # the dearest it may turn out: what limits count it at
    exits: ExitPlan | None = None
    reason: ExitReason | None = None  # of a target that closes
    confidence: float | None = None
    model_version: str = ""
    ts: datetime | None = None  # when it was wished


class Choice(Enum):
    """What became of a candidate."""

    ENTER = "enter"
    EXIT = "exit"
    HOLD = "hold"
    REFUSED = "refused"


class Reason(Enum):
    """Why a candidate is not traded: each that is not leaves exactly one."""

    NONE = ""
    NO_SIGNAL = "no_signal"  # warming up, stale, or a degraded model: `rule` says which
    STATUS = "status"  # reducing or halted
    LOW_CONFIDENCE = "low_confidence"
    WEAK_SCORE = "weak_score"
    COOLDOWN = "cooldown"
    IN_FLIGHT = "in_flight"
    TARGET_TOO_CLOSE = "target_too_close"  # nearer than its costs or the noise of a bar
    STOP_TOO_CLOSE = "stop_too_close"
    LIQUIDATION = "liquidation"  # no room for a stop before the liquidation price
    POSITION_LIMIT = "position_limit"
    LIMIT = "limit"  # another cap left nothing: `rule` says which
    TOO_SMALL = "too_small"  # less than the venue's smallest order
    FEE_BUDGET = "fee_budget"
    UNIVERSE = "universe"  # it is out of the universe: `rule` says why
    VENUE = "venue"  # nothing may be entered there for now: `rule` says why


class Verdict(NamedTuple):
    """What became of one candidate, and which rule bound, with what was wanted and what it left [quote]."""

    symbol: str
    choice: Choice
    reason: Reason = Reason.NONE
    rule: str = ""
    wanted_notional: float = 0.0
    allowed_notional: float = 0.0
    confidence: float = 0.0
    score: float = 0.0

    def __str__(self) -> str:
        if self.choice is Choice.ENTER:
            return f"{self.symbol}: enter{', cut by ' + self.rule if self.rule else ''}"
        why = self.reason.value + (f" ({self.rule})" if self.rule else "")
        return f"{self.symbol}: {self.choice.value}{' because ' + why if why else ''}"


@value
class Decision:
    """What changes at `ts`: targets of the symbols to enter or leave, and one verdict per candidate."""

    ts: datetime
    targets: Mapping[str, Target] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
