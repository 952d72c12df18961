"""A trial: a short session, and all that goes wrong in it, drawn from one seed.

What goes wrong: a schedule of the venue's own faults; the line, which is down for some calls (whether or not what was
asked for happens); orders that arrive late, when nobody expects them any more; deaths of the session, begun again over
what it left; hands that turn a position over. The last bars are calm, and at the end everything is closed. Time is
counted in bars and in calls of the venue, and never by a clock: so a seed is the same trial again.
"""

import random
from dataclasses import dataclass
from functools import cache

import numpy as np
from builders import INSTRUMENTS, beliefs, make_bars

from qtlib.domain.decisions import Moment
from qtlib.domain.market import Step
from qtlib.domain.panel import Beliefs, Panel
from qtlib.engine.feeds import Past, replay
from qtlib.exchanges.simulated.faults import KINDS, Fault, Place, schedule
from qtlib.exchanges.simulated.faulty import AT_THE_PORT
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams

CALM = 6  # bars at the end in which nothing goes wrong
MARKETS = 24  # different ones
BARS = 34  # of each
ON_THE_WIRE = tuple(kind for kind, its in KINDS.items() if its.place in (Place.REQUEST, Place.STEP, Place.HELD))
LIMITS = RiskLimits(  # tight where a position grows, and out of the way of trading often
    max_positions=2,
    max_gross_exposure=330.0,
    max_net_exposure=300.0,
    max_daily_loss_frac=0.5,
    max_drawdown_frac=0.5,
    max_day_fees_frac=0.5,
    max_losses_in_row=1_000,
    max_order_errors=12,
)


@dataclass(frozen=True, slots=True)
class Trial:
    seed: int
    wire: bool
    bars: int
    market: int  # which one
    profile: str  # of exits
    faults: tuple[Fault, ...]
    outages: tuple[tuple[int, int, bool], ...]  # from which call, for how many; whether what was asked for happens
    late: dict[int, int]  # which of the orders asked for, and after how many calls it arrives
    late_entries: dict[int, int]  # the same, of entries alone
    deaths: dict[int, bool]  # at which call of venue or journal; whether after it was done
    turned_over: tuple[int, ...]  # bars after which somebody else turns a position over
    beats: int  # moments between two bars
    lingering: bool  # the venue keeps orders that have nothing left to reduce

    @property
    def rules(self) -> Rules:
        exits = ExitParams(profile=self.profile, time_stop_s=4 * 3600)
        return Rules(INSTRUMENTS, SizingParams(entry_slippage_frac=0.003), LIMITS, exits)


def trial(seed: int, wire: bool = False) -> Trial:
    """The trial of `seed`, in process or over the wire."""
    dice = random.Random(f"trial:{seed}")
    bars = 26 if wire else dice.randint(25, BARS)
    calls = bars * 4

    def some(most: int, chance: float) -> range:
        return range(dice.randint(1, most) if dice.random() < chance else 0)

    return Trial(
        seed,
        wire,
        bars,
        market=dice.randrange(MARKETS),
        profile=dice.choice(("one_r", "seed", "static")),
        faults=schedule(seed, kinds=ON_THE_WIRE if wire else AT_THE_PORT, within=40, longest_s=0.02),
        outages=tuple((dice.randint(1, calls), dice.randint(1, 12), dice.random() < 0.5) for _ in some(2, 0.4)),
        late={} if wire else {dice.randint(1, 60): dice.randint(1, 20) for _ in some(3, 0.4)},
        late_entries={} if wire else {dice.randint(1, 20): dice.randint(1, 20) for _ in some(4, 0.3)},
        deaths={dice.randint(1, 2 * calls): dice.random() < 0.5 for _ in some(2, 0.5)},
        turned_over=() if wire else tuple(dice.randint(2, bars - CALM - 1) for _ in some(2, 0.15)),
        beats=dice.choice((0, 0, 1, 3)),
        lingering=not wire and dice.random() < 0.5,
    )


class Coin:
    """Believes something strong about every bar, from the last digits of its close: so it trades often."""

    lookback, name = 1, "coin"

    def signals(self, panel: Panel) -> Beliefs:
        digits = panel.close * 1e4 % 1_000
        return beliefs(panel, np.where(digits < 500, 0.9, -0.9), 0.45 + digits % 97 / 200, 0.012)


@cache
def history(market: int) -> Past:
    """Three symbols that move more and more."""
    symbols = enumerate(sorted(INSTRUMENTS))
    return Past({symbol: make_bars(BARS, 1_000 * market + n, vol=0.004 * (1 + n)) for n, symbol in symbols})


@cache
def moments(market: int) -> tuple[tuple[Step, Moment], ...]:
    """What a venue lives through, and what is then known."""
    return tuple(replay(history(market), Coin()))
