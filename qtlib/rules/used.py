"""How much of each limit is used, counted as the limits themselves count: for whoever looks on, never for deciding."""

from collections.abc import Iterator
from dataclasses import dataclass

from qtlib.domain.state import State
from qtlib.rules.in_force import limits_of
from qtlib.rules.limits import RiskLimits, committed, drawdown_frac


@dataclass(frozen=True, slots=True)
class Used:
    """One limit: what is in force, what of it is used, and what was asked for, which holds from the next UTC day on."""

    name: str
    limit: float
    used: float | None  # in the limit's own unit; None: it counts nothing, as a cooldown
    asked: float

    @property
    def share_frac(self) -> float | None:
        """Of the limit; a limit of nothing is used up by anything."""
        if self.used is None:
            return None
        return self.used / self.limit if self.limit > 0 else float(self.used > 0)


def used(state: State) -> tuple[Used, ...]:
    """Each limit of the session that this journal is of; none, before a session has said them."""
    if state.limits is None:
        return ()
    limits, asked = (limits_of(kept, RiskLimits()) for kept in (state.limits.in_force, state.limits.asked))
    return tuple(
        Used(name, float(getattr(limits, name)), amount, float(getattr(asked, name)))
        for name, amount in _amounts(state, limits)
    )


def _amounts(state: State, limits: RiskLimits) -> Iterator[tuple[str, float | None]]:
    book = committed(state)
    sizes = [abs(worth) for worth in book.values()]
    gross, equity, day = sum(sizes), float(state.equity), float(state.day_equity)
    clusters: dict[str, float] = {}
    for symbol, worth in book.items():
        if symbol in limits.clusters:
            clusters[limits.clusters[symbol]] = clusters.get(limits.clusters[symbol], 0.0) + abs(worth)
    yield "max_positions", float(len(book))
    yield "max_notional_per_trade", max(sizes, default=0.0)
    yield "max_notional_per_symbol", max(sizes, default=0.0)
    yield "max_gross_exposure", gross
    yield "max_net_exposure", abs(sum(book.values()))
    if limits.clusters:
        yield "max_cluster_exposure", max(clusters.values(), default=0.0)
    yield "max_leverage", gross / equity if equity > 0 else None
    yield "max_daily_loss_frac", max(0.0, (day - equity) / day) if day > 0 else None
    yield "max_drawdown_frac", max(0.0, drawdown_frac(state))
    yield "max_day_fees_frac", float(state.day_fees) / day if day > 0 else None
    yield "max_losses_in_row", float(state.losses_in_row)
    yield "max_order_errors", float(state.order_errors)
    yield "cooldown_s", None
