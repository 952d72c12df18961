"""How large a position a signal deserves, before any limit is asked. In notional: leverage plays no part in it."""

from dataclasses import dataclass

from qtlib.domain.decisions import Signal
from qtlib.domain.orders import ExitPlan
from qtlib.rules import formulas
from qtlib.rules.tpsl import ExitParams


@dataclass(frozen=True, slots=True)
class SizingParams:
    """How large a position is wanted, before any limit is asked."""

    profile: str = "seed"  # seed: by confidence, from a base · risk: by what the stop would cost
    base_notional: float = 200.0  # quote, seed profile
    risk_frac: float = 0.01  # of equity, lost at the stop, risk profile (0.005 .. 0.015)
    confidence_threshold: float = 0.55  # weaker beliefs are not traded
    entry_slippage_frac: float = 0.005  # an entry pays at most this much more than the price it was decided at
    leverage: int = 5  # enters margin and the liquidation price, never the size


def size(signal: Signal, plan: ExitPlan, equity: float, params: SizingParams, exits: ExitParams) -> float:
    """The notional to want, positive, in quote. Under one_r and learned a stop never costs more than `max_loss_r` R."""
    if params.profile == "risk":
        notional = formulas.risk_notional(equity, params.risk_frac, plan.stop_frac)
    else:
        notional = formulas.seed_notional(signal.confidence, params.base_notional)
    if plan.profile in ("one_r", "learned"):
        notional = min(notional, formulas.risk_notional(equity, exits.max_loss_r * exits.r_frac, plan.stop_frac))
    return max(notional, 0.0)
