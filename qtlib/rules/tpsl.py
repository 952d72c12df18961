"""Where a position's protective orders belong.

An `ExitPlan` is made once, at the decision, in fractions of price; the levels follow from the fill. From
then on nobody needs a signal to leave a position: the levels are read from the trade, and nothing else.
A stop is never moved away, lies on the losing side of the entry at first, and always this side of liquidation.
"""

from dataclasses import dataclass
from decimal import Decimal
from math import inf, isnan, nan

from qtlib.domain.account import Position
from qtlib.domain.decisions import Reason, Signal
from qtlib.domain.market import Instrument, MarginBracket
from qtlib.domain.orders import ExitPlan, ExitReason, ExitSource
from qtlib.domain.state import Trade
from qtlib.domain.values import changed
from qtlib.rules import formulas


@dataclass(frozen=True, slots=True)
class ExitParams:
    """How a position is left again: by which profile, and its levels; fractions are of price, but where they say."""

    profile: str = "one_r"  # one_r · seed · static · learned
    tp_frac: float = 0.010  # static profile, and fallback: of price. Needs a 60 % win rate before costs
    sl_frac: float = 0.015
    trail_frac: float = 0.02
    atr_multiple: float = 2.0  # one_r: stop and ratchet, in average true ranges
    r_frac: float = 0.015  # one_r and learned: 1R, of equity
    max_loss_r: float = 1.5  # one_r and learned: a stop never costs more than this, in R
    partial_frac: float = 0.30  # one_r and learned: taken at the target
    time_stop_s: float = 7200.0  # one_r and learned: out, if the partial was not taken by then
    learned_stop_atr_low: float = 1.0  # learned: a model's stop lies so far away, in average true ranges
    learned_stop_atr_high: float = 4.0
    learned_target_r_low: float = 0.5  # learned: and its target so far, in R of that stop
    learned_target_r_high: float = 4.0
    net_r: float = 0.3  # the net stop, this many R behind the working stop
    min_target_atr: float = 0.5  # nearer targets are noise: no trade
    min_stop_atr: float = 0.5
    min_cost_multiple: float = 3.0  # a target is at least this many round-trip costs away
    ratchet_step_frac: float = (
        0.1  # of the trailing distance: the ratchet moves in steps, as less is not worth an order
    )
    liquidation_margin_frac: float = 0.01  # of entry: a stop stays this far on our side of the liquidation price
    protect_timeout_s: float = 3.0  # a position without a confirmed stop for longer is flattened
    recover_timeout_s: float = 10.0  # the same, for what a session finds when it starts


@dataclass(frozen=True, slots=True)
class Costs:
    """What a rule reckons trading costs."""

    taker_fee_frac: float = 0.0005  # of notional
    slippage_frac: float = 0.0002  # of price

    @property
    def round_trip_frac(self) -> float:
        return formulas.round_trip_cost_frac(self.taker_fee_frac, self.slippage_frac)


def exit_plan(signal: Signal, params: ExitParams, costs: Costs) -> ExitPlan:
    """How a position opened on `signal` is to be left, by the profile in `params`."""
    if params.profile == "one_r":
        stop = params.atr_multiple * signal.volatility_frac
        return _sourced(
            signal,
            ExitPlan(
                stop_frac=stop,
                take_profit_frac=stop,
                trail_frac=stop,
                partial_frac=params.partial_frac,
                trail_from_start=False,
                breakeven_frac=costs.round_trip_frac,
                time_stop_s=params.time_stop_s,
                net_frac=stop * (1.0 + params.net_r),
                profile="one_r",
            ),
        )
    if params.profile == "seed":
        target, stop, trail, partial = formulas.seed_levels(signal.confidence, signal.score, signal.volatility_frac)
        return _sourced(
            signal,
            ExitPlan(
                stop_frac=stop,
                take_profit_frac=target,
                trail_frac=trail,
                partial_frac=partial,
                breakeven_frac=costs.round_trip_frac,
                net_frac=stop * (1.0 + params.net_r),
                profile="seed",
            ),
        )
    if params.profile == "learned":
        return _learned_plan(signal, params, costs)
    return static_plan(params, ExitSource.STATIC)


def _learned_plan(signal: Signal, params: ExitParams, costs: Costs) -> ExitPlan:
    """What a model proposes, moved to where it may lie, left the way of one_r; static where it proposes nothing sound.

    It says itself where it knows too little (`exits_doubt`). What is not a distance is never taken for one.
    """
    doubt = signal.exits_doubt
    proposed = (signal.take_profit_frac, signal.stop_frac, signal.trail_frac)
    if not doubt and not all(0.0 < distance < inf for distance in proposed):
        doubt = "no proposal" if all(isnan(distance) for distance in proposed) else "not finite"
    if doubt:
        return changed(static_plan(params, ExitSource.STATIC), doubt=doubt)
    target, stop, trail, moved = formulas.learned_levels(
        *proposed,
        signal.volatility_frac,
        params.learned_stop_atr_low,
        params.learned_stop_atr_high,
        params.learned_target_r_low,
        params.learned_target_r_high,
    )
    return ExitPlan(
        stop_frac=stop,
        take_profit_frac=target,
        trail_frac=trail,
        partial_frac=params.partial_frac,
        trail_from_start=False,
        breakeven_frac=costs.round_trip_frac,
        time_stop_s=params.time_stop_s,
        net_frac=stop * (1.0 + params.net_r),
        profile="learned",
        source=ExitSource.CLAMPED if moved else ExitSource.AI,
    )


def static_plan(params: ExitParams, source: ExitSource) -> ExitPlan:
    """The fallback's levels: what holds when nothing better is known, and for a position that was found."""
    return ExitPlan(
        stop_frac=params.sl_frac,
        take_profit_frac=params.tp_frac,
        trail_frac=params.trail_frac,
        net_frac=params.sl_frac * (1.0 + params.net_r),
        source=source,
    )


def _sourced(signal: Signal, plan: ExitPlan) -> ExitPlan:
    """Only a model's levels are called AI: a rule of thumb's are static, whatever profile made them."""
    return changed(plan, source=ExitSource.AI) if signal.model_version else plan


def vet(
    plan: ExitPlan, signal: Signal, instrument: Instrument, leverage: int, params: ExitParams, costs: Costs
) -> tuple[ExitPlan, Reason]:
    """`plan` moved to where it may lie, or the reason why no trade can be left that way."""
    noise = signal.volatility_frac
    if plan.take_profit_frac < max(params.min_cost_multiple * costs.round_trip_frac, params.min_target_atr * noise):
        return plan, Reason.TARGET_TOO_CLOSE
    nearest = max(params.min_stop_atr * noise, 2.0 * float(instrument.tick) / signal.price)
    if plan.stop_frac < nearest:
        return plan, Reason.STOP_TOO_CLOSE
    room = stop_room_frac(1 if signal.score > 0 else -1, instrument.brackets[0], 1.0 / leverage, params)
    if nearest > room:
        return plan, Reason.LIQUIDATION
    if plan.stop_frac > room:
        plan = changed(plan, stop_frac=room, source=ExitSource.CLAMPED)
    return plan, Reason.NONE


def stop_room_frac(sign: int, bracket: MarginBracket, margin_frac: float, params: ExitParams) -> float:
    """The widest stop, as a fraction of entry, that is hit before liquidation comes near."""
    maintenance = float(bracket.maintenance_frac)
    return formulas.liquidation_room_frac(sign, margin_frac, maintenance) - params.liquidation_margin_frac


def _room_frac(trade: Trade, position: Position, instrument: Instrument, leverage: int, params: ExitParams) -> float:
    """That of an open position. Funding that was paid is gone from its margin, and liquidation so much nearer."""
    sign, cost = 1 if position.quantity > 0 else -1, position.cost
    margin_frac = 1.0 / leverage + float(trade.funding) / float(cost)
    return stop_room_frac(sign, instrument.bracket(cost), margin_frac, params)


def stop_price(trade: Trade, position: Position, instrument: Instrument, leverage: int, params: ExitParams) -> Decimal:
    """Where the working stop belongs: the initial level, or as near as ratchet, breakeven or a person brought it."""
    plan = trade.exits or static_plan(params, ExitSource.RECOVERED)
    sign, best = 1 if position.quantity > 0 else -1, followed(trade, position, params)
    breakeven = plan.breakeven_frac if trade.partial_taken else None
    stop = formulas.ratchet(
        sign,
        float(position.entry_price),
        nan if best is None else best,
        min(plan.stop_frac, _room_frac(trade, position, instrument, leverage, params)),
        nan if best is None or plan.trail_frac is None else plan.trail_frac,
        nan if breakeven is None else breakeven,
    )
    belongs = instrument.price(stop, toward(sign))
    if trade.tightened is None:
        return belongs
    return tighten(belongs, instrument.price(float(trade.tightened), toward(sign)), sign)


def followed(trade: Trade, position: Position, params: ExitParams) -> float | None:
    """The best price as far as the ratchet follows it, in its steps; None while there is none."""
    plan = trade.exits or static_plan(params, ExitSource.RECOVERED)
    if plan.trail_frac is None or not (plan.trail_from_start or trade.partial_taken):
        return None
    sign, entry = 1 if position.quantity > 0 else -1, float(position.entry_price)
    return formulas.stepped(sign, entry, trade.best, plan.trail_frac * params.ratchet_step_frac)


def target_price(trade: Trade, position: Position, instrument: Instrument, params: ExitParams) -> Decimal | None:
    """Where the plan's share is taken; None once it was."""
    if trade.partial_taken:
        return None
    plan = trade.exits or static_plan(params, ExitSource.RECOVERED)
    sign = 1 if position.quantity > 0 else -1
    return instrument.price(formulas.level(sign, float(position.entry_price), plan.take_profit_frac))


def net_price(
    trade: Trade, position: Position, instrument: Instrument, leverage: int, params: ExitParams
) -> Decimal | None:
    """Where the net stop rests for good: behind the initial stop; None where there is no room for a second one."""
    plan = trade.exits or static_plan(params, ExitSource.RECOVERED)
    sign = 1 if position.quantity > 0 else -1
    if plan.net_frac is None:
        return None
    net_frac = min(plan.net_frac, _room_frac(trade, position, instrument, leverage, params))
    if net_frac <= plan.stop_frac:
        return None
    return instrument.price(formulas.level(sign, float(position.entry_price), -net_frac), toward(sign))


def toward(sign: int) -> str:
    return "up" if sign > 0 else "down"


def tighten(resting: Decimal, stop: Decimal, sign: int) -> Decimal:
    """The nearer of the two: a stop is never moved away."""
    return max(resting, stop) if sign > 0 else min(resting, stop)


def stop_reason(
    trade: Trade, position: Position, stop: Decimal, instrument: Instrument, params: ExitParams
) -> ExitReason:
    """What being taken out at `stop` is called: a loss at the initial level, trailing anywhere nearer."""
    plan = trade.exits or static_plan(params, ExitSource.RECOVERED)
    sign = 1 if position.quantity > 0 else -1
    initial = instrument.price(formulas.level(sign, float(position.entry_price), -plan.stop_frac), toward(sign))
    return ExitReason.TRAILING if sign * (stop - initial) > 0 else ExitReason.STOP_LOSS
