"""Markets, beliefs, rules and conducts at random, for the two engines to agree on: `case` draws one, `agrees` tries it.

`make test` tries some hundreds and `make prove` 20,000 of them: a case is a function of its number alone.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from builders import INSTRUMENTS, make_bars
from twins import assert_same, by_compiled, by_event_loop

from qtlib.domain.market import Instrument, MarginBracket
from qtlib.domain.panel import Beliefs
from qtlib.engine.compiled import Undecided
from qtlib.engine.feeds import Past
from qtlib.exchanges.simulated import Conduct
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams

STEEP = (  # small positions already reach the second bracket
    MarginBracket(Decimal(500), Decimal("0.01"), 50, Decimal(0)),
    MarginBracket(Decimal(3_000), Decimal("0.05"), 20, Decimal(20)),
    MarginBracket(Decimal(1_000_000), Decimal("0.10"), 5, Decimal(170)),
)


@dataclass(frozen=True)
class Dice:
    """Believes anything, at random."""

    seed: int
    proposing: bool = False
    least: float = 0.3  # confidence
    version: str = ""
    lookback: int = 1
    name: str = "dice"

    def signals(self, panel):
        rng, n = np.random.default_rng(self.seed), panel.close.shape
        there = ~np.isnan(panel.close)
        score = np.where(rng.random(n) < 0.05, 0.0, rng.uniform(-1, 1, n))
        known = there & (rng.random(n) > 0.03)
        columns = [score, rng.uniform(self.least, 1, n), rng.uniform(0.0005, 0.03, n)]
        own = [rng.uniform(-0.01, 0.08, n) for _ in range(3)] if self.proposing else [None] * 3
        doubt = rng.integers(0, 2, n).astype(np.int8) * (rng.random(n) < 0.2) if self.proposing else None
        told = [np.where(known, column, np.nan) for column in columns]
        return Beliefs(*told, own[1], own[0], own[2], doubt, version=self.version)


@dataclass(frozen=True)
class Case:
    history: Past
    strategy: Dice
    rules: Rules
    conduct: Conduct
    cash: Decimal


def case(number):
    """The `number`th case."""
    rng = np.random.default_rng(number)

    def pick(*choices):
        return choices[rng.integers(len(choices))]

    bars = int(pick(20, 30, 50))
    listed = _listed(pick)
    frames = {s: _frame(rng, pick, i, bars, number * 5 + k) for k, (s, i) in enumerate(listed.items())}
    marks = {s: _marks(rng, frame, listed[s]) for s, frame in frames.items() if rng.random() < 0.4}
    funding = {s: _funding(rng, pick, frame) for s, frame in frames.items()}
    usable = {s: pd.Series(rng.random(len(f)) > 0.05, index=f.index) for s, f in frames.items() if rng.random() < 0.2}
    leverage = int(pick(1, 2, 5, 20))
    profile = pick("one_r", "seed", "static", "learned")
    limits = RiskLimits(
        max_positions=int(pick(1, 2, 3)),
        max_notional_per_trade=float(pick(60.0, 200.0, 2000.0)),
        max_notional_per_symbol=float(pick(100.0, 2000.0)),
        max_gross_exposure=float(pick(150.0, 800.0, 5000.0)),
        max_net_exposure=float(pick(150.0, 600.0, 5000.0)),
        clusters=pick({}, {"BTCUSDT": "majors", "ETHUSDT": "majors"}),
        max_cluster_exposure=250.0,
        max_leverage=float(pick(0.5, 5.0)),
        max_daily_loss_frac=float(pick(0.003, 0.03)),
        max_drawdown_frac=float(pick(0.02, 0.15, 0.9)),
        max_day_fees_frac=float(pick(0.0002, 0.2)),
        max_losses_in_row=int(pick(3, 10)),
        max_order_errors=int(pick(2, 5)),
        cooldown_s=float(pick(0.0, 7200.0)),
    )
    exits = ExitParams(
        profile=profile,
        time_stop_s=float(pick(3600.0, 20_000.0)),
        trail_frac=float(pick(0.005, 0.02)),
        net_r=float(pick(0.0, 0.3)),
        partial_frac=float(pick(0.3, 0.5, 1.0)),
        ratchet_step_frac=float(pick(0.0, 0.1)),
        liquidation_margin_frac=float(pick(0.0, 0.01)),
    )
    sizing = SizingParams(
        profile=pick("seed", "risk"),
        leverage=leverage,
        base_notional=float(pick(20.0, 200.0, 3000.0)),
        entry_slippage_frac=float(pick(0.0005, 0.005, 0.04)),
    )
    conduct = Conduct(
        slippage_frac=float(pick(0.0, 0.0002, 0.004)),
        slippage_noise_frac=float(pick(0.0, 0.001)),
        max_volume_share_frac=float(pick(0.10, 0.000003, 0.0000005)),  # the smaller ones fill in parts
        leverage=leverage,
        seed=int(rng.integers(1_000)),
    )
    strategy = Dice(number, profile == "learned", float(pick(0.3, -4.0)), pick("", "forest-1"))  # the latter: quiet
    return Case(
        Past(frames, marks, funding, usable), strategy, Rules(listed, sizing, limits, exits), conduct,
        Decimal(int(pick(300, 2_000, 10_000))),
    )  # fmt: skip


def agrees(one):
    """Try `one`: the number of trades both engines made of it; None where the compiled one gave up."""
    given = (one.history, one.strategy, one.rules, one.conduct, one.cash)
    try:
        ours = by_compiled(*given)
    except Undecided as why:
        if "less than floats" not in str(why):
            raise
        return None
    assert_same(ours, by_event_loop(*given), figures=False)
    return len(ours.trades)


def _listed(pick):
    brackets = pick(INSTRUMENTS["BTCUSDT"].brackets, STEEP)
    coarse = pick(False, False, True)
    if not coarse:
        return {s: Instrument(s, i.tick, i.lot, brackets=brackets) for s, i in INSTRUMENTS.items()}
    sizes = {"max_quantity": Decimal(20), "max_market_quantity": Decimal(pick("0.5", "5"))}
    return {s: Instrument(s, Decimal("0.5"), Decimal("0.05"), brackets=brackets, **sizes) for s in INSTRUMENTS}


def _frame(rng, pick, instrument, count, seed):
    frame = make_bars(count, seed=seed, vol=float(pick(0.003, 0.01, 0.03, 0.08)), start=float(pick(20.0, 100.0)))
    jump = np.cumprod(1 + float(pick(0.0, 0.02, -0.01, -0.2)) * (rng.random(count) < 0.1))
    prices = frame[["open", "high", "low", "close"]].mul(jump, axis=0)
    ticks = np.maximum((prices / float(instrument.tick)).round(), 1)
    numerator, denominator = instrument.tick.as_integer_ratio()
    frame = (ticks * numerator / denominator).assign(volume=frame["volume"] * rng.choice([1.0, 1.0, 0.0, 0.01], count))
    if rng.random() < 0.3:  # bars that are not there
        frame = frame[rng.random(count) > 0.1]
    return frame.iloc[int(rng.integers(0, 5)) :] if rng.random() < 0.2 else frame


def _marks(rng, frame, instrument):
    away = 1 + rng.normal(0, 0.01, (len(frame), 1))
    marks = (frame[["open", "high", "low", "close"]] * away).round(6).assign(volume=0.0)
    return marks[rng.random(len(marks)) > 0.1]


def _funding(rng, pick, frame):
    times = frame.index[:: int(pick(3, 8))]
    shift = pd.Timedelta(minutes=int(pick(0, 0, 7)))
    return pd.Series(rng.normal(0, float(pick(0.0001, 0.003)), len(times)).round(8), index=times - shift)


def tried(number):
    """For `make prove`: what was broken by the `number`th case, in words, and its figures."""
    try:
        trades = agrees(case(number))
    except AssertionError as differs:
        return [str(differs)], {"cases": 1}
    return [], {"cases": 1, "trades": trades or 0, "left to the event loop": int(trades is None)}
