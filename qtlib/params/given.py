"""Sections that rules read: the rules' own dataclasses, names and defaults, and here a unit and a range for each."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from qtlib.learning.search import OBJECTIVES, SEARCHES, SweepParams
from qtlib.params.kinds import Section, Share, Symbol, frac, pairs
from qtlib.rules.limits import RiskLimits
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams

_SIZING: dict[str, Any] = {
    "profile": (Literal["seed", "risk"], Field(description="seed: by confidence · risk: by what the stop costs")),
    "base_notional": Field(gt=0.0, le=1e7, description="seed profile: full size [quote]"),
    "risk_frac": frac(0.0, "equity", 0.0005, 0.05, "risk profile: lost when the stop is hit"),
    "confidence_threshold": Field(ge=0.0, le=1.0, description="weaker beliefs are not traded [probability]"),
    "entry_slippage_frac": frac(0.0, "price", 0.0001, 0.05, "an entry pays at most this much more than it saw"),
    "leverage": Field(ge=1, le=125, description="enters margin only, never the size [multiple]"),
}
_LIMITS: dict[str, Any] = {
    "max_positions": Field(ge=1, le=1_000, description="open at once, entries in flight counted [positions]"),
    "max_notional_per_trade": Field(gt=0.0, le=1e8, description="of one entry [quote]"),
    "max_notional_per_symbol": Field(gt=0.0, le=1e8, description="of one position [quote]"),
    "max_gross_exposure": Field(gt=0.0, le=1e9, description="of all positions at their entry prices [quote]"),
    "max_net_exposure": Field(gt=0.0, le=1e9, description="of longs minus shorts, either way [quote]"),
    "max_cluster_exposure": Field(gt=0.0, le=1e9, description="of symbols that move together [quote]"),
    "clusters": (Mapping[Symbol, str], Field(description="symbol to the name of its cluster")),
    "max_daily_loss_frac": frac(0.0, "the day's first equity", 0.001, 0.5, "then nothing grows until tomorrow"),
    "max_leverage": Field(gt=0.0, le=125.0, description="of all positions together [gross exposure over equity]"),
    "drawdown_ladder": (
        Annotated[tuple[tuple[Share, Share], ...], BeforeValidator(pairs)],
        Field(description="rows of drawdown and share of each cap left [fraction of peak equity, fraction]"),
    ),
    "max_drawdown_frac": frac(0.0, "peak equity", 0.01, 0.9, "then flat, and halted"),
    "max_day_fees_frac": frac(0.0, "the day's first equity", 0.0001, 0.2, "the fee budget"),
    "max_losses_in_row": Field(ge=1, le=1_000, description="then nothing grows until tomorrow [trades]"),
    "max_order_errors": Field(
        ge=1, le=1_000, description="in a row, then nothing grows until somebody re-arms [entries and exits]"
    ),
    "cooldown_s": Field(ge=0.0, le=604_800.0, description="after a symbol was closed [s]"),
}
_EXITS: dict[str, Any] = {
    "profile": (Literal["one_r", "seed", "static", "learned"], Field(description="how protective levels are chosen")),
    "tp_frac": frac(0.0, "price", 0.0005, 0.3, "static profile and fallback: take profit"),
    "sl_frac": frac(0.0, "price", 0.0005, 0.2, "static profile and fallback: stop loss"),
    "trail_frac": frac(0.0, "price", 0.0005, 0.2, "static profile and fallback: trailing distance"),
    "atr_multiple": Field(ge=0.25, le=20.0, description="one_r: stop and ratchet [average true ranges]"),
    "r_frac": frac(0.0, "equity", 0.0005, 0.05, "one_r, learned: what 1R is"),
    "max_loss_r": Field(ge=0.5, le=5.0, description="one_r, learned: a stop costs at most this [R]"),
    "partial_frac": frac(0.0, "the position", 0.0, 1.0, "one_r, learned: taken at the target"),
    "time_stop_s": Field(
        ge=0.0, le=2_592_000.0, description="one_r, learned: out, if the partial was not taken yet [s]"
    ),
    "learned_stop_atr_low": Field(ge=0.25, le=20.0, description="learned: the stop at least [average true ranges]"),
    "learned_stop_atr_high": Field(ge=0.25, le=20.0, description="learned: the stop at most [average true ranges]"),
    "learned_target_r_low": Field(ge=0.1, le=20.0, description="learned: the target at least [R]"),
    "learned_target_r_high": Field(ge=0.1, le=20.0, description="learned: the target at most [R]"),
    "net_r": Field(ge=0.0, le=5.0, description="the net stop, behind the working stop [R]"),
    "min_target_atr": Field(ge=0.0, le=20.0, description="nearer targets are no trade [average true ranges]"),
    "min_stop_atr": Field(ge=0.0, le=20.0, description="nearer stops are no trade [average true ranges]"),
    "min_cost_multiple": Field(ge=0.0, le=100.0, description="nearer targets are no trade [round-trip costs]"),
    "ratchet_step_frac": frac(0.0, "the trailing distance", 0.0, 1.0, "the ratchet moves in steps of this"),
    "liquidation_margin_frac": frac(0.0, "entry price", 0.0, 0.2, "between a stop and the liquidation price"),
    "protect_timeout_s": Field(gt=0.0, le=60.0, description="without a confirmed stop, then flattened [s]"),
    "recover_timeout_s": Field(gt=0.0, le=120.0, description="the same, for what a session finds when it starts [s]"),
}
_SWEEP: dict[str, Any] = {
    "space": (
        Mapping[str, Any],
        Field(description="settings to search, as settings are written; a leaf is a list, or {low, high, step, log}"),
    ),
    "search": (Literal[SEARCHES], Field(description="every point, points by chance, or where the best were so far")),
    "trials": Field(ge=1, le=1_000_000, description="of random and bayes; a grid has its own number [points]"),
    "seed": Field(ge=0, description="of random and bayes"),
    "objective": (Literal[OBJECTIVES], Field(description="the largest is the best, among trials with enough trades")),
    "min_trades": Field(ge=0, le=1_000_000, description="with fewer, a trial is never the best [trades]"),
    "folds": Field(ge=0, le=1_000, description="of a walk-forward, each chosen for by its past; 0: none [stretches]"),
    "train_folds": Field(gt=0.0, le=1_000.0, description="what a fold is chosen by is so long [lengths of the fold]"),
    "anchored": Field(description="what a fold is chosen by begins with the bars, however long that is"),
    "workers": Field(ge=1, le=1_024, description="that trade side by side; null: one a core [processes]"),
    "scheduler": Field(
        pattern=r"^[a-z]+://\S+$", description="of a Dask cluster that does the work, as tcp://HOST:8786; null: none"
    ),
}


def _section(cls: type, rows: Mapping[str, Any]) -> type[Section]:
    """The checking twin of a rule's dataclass: names, types and defaults from there, units and ranges from `rows`."""
    hints = get_type_hints(cls)
    made: dict[str, Any] = {}
    for f in fields(cls):
        row = rows.get(f.name, Field())
        hint, info = row if isinstance(row, tuple) else (hints[f.name], row)
        if f.default_factory is not MISSING:
            info = FieldInfo.merge_field_infos(info, default=..., default_factory=f.default_factory)
        else:
            info = FieldInfo.merge_field_infos(info, default=f.default)
        made[f.name] = (hint, info)
    return create_model(cls.__name__, __base__=Section, **made)


@dataclass(frozen=True, slots=True)
class Checked:
    """Validates a mapping with `twin` and hands out the rule's own dataclass, so that errors keep their paths."""

    twin: type[Section]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            lambda twin: source(**dict(twin)),
            handler.generate_schema(self.twin),
            serialization=core_schema.plain_serializer_function_ser_schema(asdict),
        )


RULES: dict[str, type[Section]] = {
    "sizing": _section(SizingParams, _SIZING),
    "limits": _section(RiskLimits, _LIMITS),
    "exits": _section(ExitParams, _EXITS),
    "sweep": _section(SweepParams, _SWEEP),
}
