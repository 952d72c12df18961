"""Where a position's protective orders belong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExitParams:
    profile: str = "one_r"  # one_r · seed · static
    tp_frac: float = 0.010  # static profile, and fallback: of price. Needs a 60 % win rate before costs
    sl_frac: float = 0.015
    trail_frac: float = 0.02
    atr_multiple: float = 2.0  # one_r: stop and ratchet, in average true ranges
    r_frac: float = 0.015  # one_r: 1R, of equity
    max_loss_r: float = 1.5  # one_r: a stop never costs more than this, in R
    partial_frac: float = 0.30  # one_r: taken at +1R
    time_stop_s: float = 7200.0  # one_r: out, if the partial was not taken by then
    net_r: float = 0.3  # the net stop, this many R behind the working stop
    min_target_atr: float = 0.5  # nearer targets are noise: no trade
    min_stop_atr: float = 0.5
    min_cost_multiple: float = 3.0  # a target is at least this many round-trip costs away
    liquidation_margin_frac: float = 0.01  # of entry: a stop stays this far on our side of the liquidation price
    protect_timeout_s: float = 3.0  # a position without a confirmed stop for longer is flattened
