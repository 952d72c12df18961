"""Which rules, and which conduct of the venue, the compiled engine knows; of others it says that it does not."""

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any

from qtlib.engine.compiled import shapes
from qtlib.exchanges.simulated.conduct import Conduct
from qtlib.rules.limits import RULES, RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams

MOST_POSITIONS = 30  # beyond, the venue's book of conditional orders might be full

EXITS = {
    "one_r": shapes.ONE_R,
    "seed": shapes.SEED_EXITS,
    "static": shapes.STATIC_EXITS,
    "learned": shapes.LEARNED,
}
SIZES = {"seed": shapes.SEED_SIZE, "risk": shapes.RISK_SIZE}


class Undecided(Exception):
    """The compiled engine can't tell what the event loop would do: in words, why."""


def insist(symbols: Sequence[str], rules: Rules, conduct: Conduct) -> None:
    """Say which of these the compiled engine does not know: `Undecided`."""
    known: tuple[Any, ...] = (rules, rules.sizing, rules.exits, rules.limits, conduct)
    for kind in map(type, known):
        if new := _new(kind):
            raise Undecided(f"{', '.join(sorted(new))} of {kind.__name__} is not compiled")
    if tuple(rule.__name__ for rule in RULES) != shapes.CAPS[1:]:
        raise Undecided("there is a limit that is not compiled")
    if conduct.cross:
        raise Undecided("margin is crossed")
    if (
        conduct.price_protect
        or not conduct.close_position_beside_reduce_only
        or conduct.max_conditional_orders < 200
        or conduct.max_orders < 1
    ):
        raise Undecided("the venue conducts itself in a way that only the event loop knows")
    if min(rules.limits.max_positions, len(symbols)) > MOST_POSITIONS:
        raise Undecided(f"more than {MOST_POSITIONS} positions may crowd the venue's book of conditional orders")
    if rules.exits.profile not in EXITS or rules.sizing.profile not in SIZES:
        raise Undecided(f"profile {rules.exits.profile} of exits or {rules.sizing.profile} of sizes is not compiled")


@cache
def _new(kind: type) -> set[str]:
    return {f.name for f in fields(kind)} - _KNOWN[kind]


_KNOWN: dict[type, set[str]] = {  # what is reckoned with here: a rule that is not named is not compiled
    Rules: {"instruments", "sizing", "limits", "exits", "costs", "strangers"},
    SizingParams: {
        "profile",
        "base_notional",
        "risk_frac",
        "confidence_threshold",
        "entry_slippage_frac",
        "leverage",
    },
    ExitParams: {"profile", "recover_timeout_s", *shapes.SETTINGS.names},  # type: ignore[misc]  # it has names
    RiskLimits: {
        "max_positions",
        "max_notional_per_trade",
        "max_notional_per_symbol",
        "max_gross_exposure",
        "max_net_exposure",
        "max_cluster_exposure",
        "clusters",
        "max_daily_loss_frac",
        "max_leverage",
        "drawdown_ladder",
        "max_drawdown_frac",
        "max_day_fees_frac",
        "max_losses_in_row",
        "max_order_errors",
        "cooldown_s",
    },
    Conduct: {
        "slippage_frac",
        "slippage_noise_frac",
        "max_volume_share_frac",
        "touch_fills",
        "margin_mode",
        "leverage",
        "price_protect",
        "gtx_refused_at_once",
        "close_position_beside_reduce_only",
        "profit_backs_orders",
        "long_margin_frac",
        "short_margin_frac",
        "max_orders",
        "max_conditional_orders",
        "seed",
    },
}
