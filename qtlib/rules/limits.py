"""Risk limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RiskLimits:
    max_positions: int = 4
    max_notional_per_trade: float = 200.0  # quote
    max_notional_per_symbol: float = 200.0  # quote
    max_gross_exposure: float = 800.0  # quote: sum of all positions at their entry prices
    max_net_exposure: float = 600.0  # quote: longs minus shorts, either way
    max_cluster_exposure: float = 600.0  # quote: sum over symbols that move together
    clusters: Mapping[str, str] = field(default_factory=dict)  # symbol -> name of its cluster; absent: its own
    max_daily_loss_frac: float = 0.03  # of the day's first equity: then nothing grows until the next day
    drawdown_ladder: tuple[tuple[float, float], ...] = (
        (0.05, 0.5),
        (0.10, 0.25),
    )  # from peak -> share of each cap left
    max_drawdown_frac: float = 0.15  # of peak equity: then flat, and halted
    max_day_fees_frac: float = 0.01  # of the day's first equity: the fee budget
    cooldown_s: float = 300.0  # after a symbol was closed
