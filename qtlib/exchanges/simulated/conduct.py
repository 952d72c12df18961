"""How the simulated venue behaves where bars, or what is known of the real one, leave a choice.

Every number here belongs in a run's record. The defaults are the careful choice: slippage on, no fill at a touch,
a tenth of the volume. The flags stand for open questions about the real venue, and are tested both ways.
"""

import random
from dataclasses import dataclass

ISOLATED, CROSS = "isolated", "cross"


@dataclass(frozen=True, slots=True)
class Conduct:
    slippage_frac: float = 0.0002  # of price, against the taker, on every taker fill
    slippage_noise_frac: float = 0.0  # of price: mean of the seeded, exponential slippage on top
    max_volume_share_frac: float = 0.10  # of a bar's volume: all that our orders may take of it
    touch_fills: bool = False  # optimistic: a resting limit fills when touched, not only when traded through
    margin_mode: str = ISOLATED  # or "cross", of every symbol until `set_margin_mode` says otherwise
    leverage: int = 5  # of every symbol until `set_leverage` says otherwise
    price_protect: bool = False  # a trigger is refused while last and mark are further apart than the price band
    gtx_refused_at_once: bool = True  # else a post-only order that would take is accepted, and expires
    close_position_beside_reduce_only: bool = True  # both kinds may rest on one side
    profit_backs_orders: bool = True  # cross: open profit counts toward what new orders may use
    long_margin_frac: float = 0.0005  # a market buy is reckoned this much above the price
    short_margin_frac: float = 0.0015  # any sell is reckoned at least this much above it
    max_orders: int = 200  # resting at once, per symbol
    max_conditional_orders: int = 200  # waiting at once, per account
    seed: int = 0

    def __post_init__(self) -> None:
        if self.margin_mode not in (ISOLATED, CROSS):
            raise ValueError(f"margin_mode {self.margin_mode!r} must be {ISOLATED!r} or {CROSS!r}")
        if not 0 < self.max_volume_share_frac <= 1:
            raise ValueError(f"max_volume_share_frac {self.max_volume_share_frac} must lie above 0 and at most at 1")
        if not (0 <= self.slippage_frac < 1 and 0 <= self.slippage_noise_frac < 1):
            raise ValueError(
                f"slippage_frac {self.slippage_frac} and slippage_noise_frac {self.slippage_noise_frac} must be"
                " fractions of price, at least 0 and below 1"
            )
        if self.leverage < 1:
            raise ValueError(f"leverage {self.leverage} must be at least 1")

    @property
    def cross(self) -> bool:
        return self.margin_mode == CROSS

    def slippage_of(self, fill: int) -> float:
        """That of the `fill`th fill, a fraction of price: fixed, or with noise on top. Chance is a function of the seed
        and the number of the fill."""
        if not self.slippage_noise_frac:
            return self.slippage_frac
        dice = random.Random(f"{self.seed}:{fill}")
        return min(0.99, self.slippage_frac + dice.expovariate(1 / self.slippage_noise_frac))


USUAL = Conduct()
