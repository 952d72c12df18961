"""Settings: files, environment and command line in; frozen, checked values out.

Four layers, each over the last: built-in default, a YAML file, `QT_…` names, `-p section.key=value`. What comes out
is one `Params`; the sections that rules read (`sizing`, `limits`, `exits`) are the rules' own dataclasses, with their
own names and defaults. Everywhere in here:

* an unknown key is an error that names the nearest known one; nothing is ever ignored;
* each setting says its unit; a percent where a fraction belongs is out of range, and the error says what to write;
* secrets are no settings: there is no field for one, and a key that looks like one is refused unread;
* numbers are read as YAML 1.2 reads them: `1e-3` is a number, `on` and `12:30` are strings.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from qtlib.learning.search import OBJECTIVES, SEARCHES, SweepParams
from qtlib.rules.limits import RiskLimits
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams
from qtlib.rules.universe import UniverseParams

TIMEFRAMES = {"1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14_400}
TIMEFRAMES |= {"6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400}  # name -> seconds
SIMULATED_BARS = 2_000  # what the simulated market makes where nobody says how many


class SettingsError(ValueError):
    """The settings make no sense; the message says which, why, and what to write."""


class Unearned(SettingsError):
    """Understood, and refused until a model has earned it."""


# --- sections ---------------------------------------------------------------------------------------------


def _frac(default: float, of: str, low: float, high: float, text: str) -> Any:
    """A fraction of `of`, within sane bounds that keep a percent out."""
    return Field(
        default, ge=low, le=high, description=f"{text} [fraction of {of}]", json_schema_extra={"fraction_of": of}
    )


def _decimal(raw: object) -> object:
    """What a person wrote, digit by digit: 0.1 is a tenth."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float | Decimal):
        return raw
    try:
        return Decimal(str(raw))
    except InvalidOperation:
        raise PydanticCustomError("decimal", "should be a number") from None


def _instant(raw: object) -> object:
    """An ISO 8601 date or time; without a zone it is UTC."""
    if not isinstance(raw, str):
        return raw
    try:
        ts = datetime.fromisoformat(raw)
    except ValueError:
        raise PydanticCustomError("instant", "should be a date or time as in 2022-10-01 or 2022-10-01T08:00Z") from None
    return ts.replace(tzinfo=UTC) if ts.tzinfo is None else ts.astimezone(UTC)


def _list(raw: object) -> object:
    """A YAML list, or names with commas between, as the environment and the command line write them."""
    if isinstance(raw, str):
        raw = [name.strip() for name in raw.split(",") if name.strip()]
    return tuple(raw) if isinstance(raw, list) else raw


def _symbol(raw: str) -> str:
    if not re.fullmatch(r"[A-Z0-9]{5,20}", raw):
        raise PydanticCustomError("symbol", "should be a symbol as the venue writes it, like BTCUSDT")
    return raw


def _pairs(raw: object) -> object:
    return tuple(tuple(row) if isinstance(row, list) else row for row in raw) if isinstance(raw, list) else raw


Exact = Annotated[Decimal, BeforeValidator(_decimal), PlainSerializer(str, return_type=str)]
Instant = Annotated[
    datetime, BeforeValidator(_instant), PlainSerializer(lambda ts: f"{ts:%Y-%m-%dT%H:%M:%S}Z", return_type=str)
]
Symbol = Annotated[str, AfterValidator(_symbol)]
Timeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"]
_Share = Annotated[float, Field(ge=0.0, le=1.0, json_schema_extra={"fraction_of": "the whole"})]
Plain = bool | int | float | str | None


class Section(BaseModel):
    """Strict and frozen: no unknown key, no silent conversion, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SymbolFacts(Section):
    """What the venue would say about a symbol that is not among the facts the package carries."""

    tick: Exact = Field(gt=0, description="smallest price step [quote]")
    lot: Exact = Field(gt=0, description="smallest quantity step [base]")
    min_notional: Exact = Field(ge=0, description="smallest order worth [quote]")
    max_quantity: Exact | None = Field(None, gt=0, description="of one limit order [base]")
    max_market_quantity: Exact | None = Field(None, gt=0, description="of one market order [base]")
    maker_fee_frac: Exact | None = Field(None, ge=-0.001, le=0.01, description="[fraction of notional]")
    taker_fee_frac: Exact | None = Field(None, ge=0, le=0.01, description="[fraction of notional]")
    funding_interval_h: int | None = Field(None, ge=1, le=24, description="between two settlements [h]")


class Venue(Section):
    name: Literal["simulated"] = Field("simulated", description="where orders go")
    balance: Exact = Field(
        Decimal(10_000), gt=0, description="deposited when the simulated venue opens the account [quote]"
    )
    slippage_frac: float = _frac(0.0002, "price", 0.0, 0.01, "against the taker, on every taker fill")
    slippage_noise_frac: float = _frac(0.0001, "price", 0.0, 0.01, "mean of the seeded extra slippage")
    max_volume_share_frac: float = _frac(0.10, "a bar's volume", 0.0001, 1.0, "what our orders may take in one step")
    margin_mode: Literal["isolated", "cross"] = Field("isolated", description="what a position's loss can reach")
    symbols: Mapping[Symbol, SymbolFacts] = Field(
        default_factory=dict, description="facts of symbols that the package has none of"
    )
    seed: int = Field(0, ge=0, description="of the venue's own chance")
    speed: float | None = Field(
        None,
        gt=0.0,
        le=1e6,
        description="of a served simulated market; null: it goes on when the session has settled [s in a second]",
    )
    faults: str | None = Field(None, description="what goes wrong on purpose at a session's venue: a file of faults")


class Regime(Section):
    """Something that happens to the simulated market, on demand."""

    kind: Literal["bull", "crash", "sideways", "outage", "delisting"] = Field(description="what happens")
    day: float = Field(ge=0.0, le=100_000.0, description="when it begins, after the market's first open [days]")
    days: float | None = Field(None, gt=0.0, le=100_000.0, description="how long; null: what is usual for it [days]")
    size_frac: float | None = Field(
        None,
        gt=-1.0,
        le=100.0,
        description="by how much prices have changed at its end; null: what is usual [fraction of price]",
        json_schema_extra={"fraction_of": "price"},
    )
    symbols: Annotated[tuple[Symbol, ...], BeforeValidator(_list)] = Field((), description="whom it meets; none: all")


class Data(Section):
    source: Literal["simulated", "files"] = Field("simulated", description="a seeded market, or bars on disk")
    path: str | None = Field(None, description="folder of bars, for files")
    timeframe: Timeframe = Field("1h", description="of the bars that decisions are made on")
    start: Instant | None = Field(None, description="first instant used, for files [UTC]")
    end: Instant | None = Field(None, description="last instant used, for files [UTC]")
    bars: int | None = Field(
        None,
        ge=50,
        le=10_000_000,
        description=f"how many bars of each symbol the simulated market makes; null: {SIMULATED_BARS:,}",
    )
    history: int = Field(
        0, ge=0, le=10_000_000, description="of the simulated market: how many are past when the account begins [bars]"
    )
    allow_gaps: bool = Field(False, description="trade on over missing bars, once the lookback is full again")
    finer_timeframe: Timeframe | None = Field(None, description="bars that the venue lives through, for files")
    seed: int = Field(7, ge=0, description="of the simulated market")
    edge: float = Field(
        3.0,
        ge=0.0,
        le=20.0,
        description="planted in the simulated market; 0: none [annual Sharpe ratio of one who sees it]",
    )
    regimes: Annotated[tuple[Regime, ...], BeforeValidator(_list)] = Field(
        (), description="what happens to the simulated market: a list of kind, day, days, size_frac, symbols"
    )

    @model_validator(mode="before")
    @classmethod
    def _a_market_has_a_length(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("source", "simulated") == "simulated" and raw.get("bars") is None:
            return raw | {"bars": SIMULATED_BARS}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> "Data":
        if self.source == "files" and not self.path:
            raise PydanticCustomError("path", "data.path must name the folder of bars: -p data.path=FOLDER")
        if self.source == "files" and self.bars is not None:
            raise PydanticCustomError(
                "unused",
                "data.bars says nothing to bars on disk: data.start and data.end say which; set data.bars=null",
            )
        if self.source == "files" and self.regimes:
            raise PydanticCustomError(
                "unused", "data.regimes says nothing to bars on disk: what happened to them has happened; leave it out"
            )
        if self.source == "simulated":
            for name in ("path", "start", "end", "finer_timeframe"):
                if getattr(self, name) is not None:
                    raise PydanticCustomError(
                        "unused",
                        "data.{name} says nothing to the simulated market; set data.source=files, or leave it out",
                        {"name": name},
                    )
        if self.start and self.end and self.start >= self.end:
            raise PydanticCustomError(
                "order", "data.start {start} must come before data.end {end}", {"start": self.start, "end": self.end}
            )
        finer = self.finer_timeframe
        if finer and (
            TIMEFRAMES[finer] >= TIMEFRAMES[self.timeframe] or TIMEFRAMES[self.timeframe] % TIMEFRAMES[finer]
        ):
            raise PydanticCustomError(
                "finer",
                "data.finer_timeframe {finer} must divide data.timeframe {timeframe}",
                {"finer": finer, "timeframe": self.timeframe},
            )
        return self


class Universe(Section):
    symbols: Annotated[tuple[Symbol, ...], BeforeValidator(_list)] = Field(
        ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "LINKUSDT"),
        min_length=1,
        description="what is traded, as the venue writes it; with `top` these are the candidates",
    )
    top: int | None = Field(
        None,
        ge=1,
        le=500,
        description="each UTC day the candidates with the most turnover are traded, so many; null: all [symbols]",
    )
    min_turnover_quote: float | None = Field(
        None, ge=0.0, le=1e12, description="with `top`: of a member, within the 24 h before the day [quote]"
    )
    min_age_days: float | None = Field(
        None, ge=0.0, le=3_650.0, description="with `top`: of a member, since its first bar [days]"
    )

    @model_validator(mode="before")
    @classmethod
    def _a_rule_has_its_numbers(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("top") is None:
            return raw
        usual = {name: getattr(UniverseParams(), name) for name in _OF_A_RULE}
        return raw | {name: usual[name] for name in _OF_A_RULE if raw.get(name) is None}

    @property
    def rule(self) -> UniverseParams | None:
        """How a day's members are chosen; None: all symbols are traded."""
        if self.top is None or self.min_turnover_quote is None or self.min_age_days is None:
            return None
        return UniverseParams(self.top, self.min_turnover_quote, self.min_age_days)

    @model_validator(mode="after")
    def _said_for_something(self) -> "Universe":
        for name in _OF_A_RULE if self.top is None else ():
            if getattr(self, name) is not None:
                raise PydanticCustomError(
                    "unused",
                    "universe.{name} says nothing where all symbols are traded; set universe.top, or leave it out",
                    {"name": name},
                )
        return self

    @model_validator(mode="after")
    def _once_each(self) -> "Universe":
        twice = sorted({s for s in self.symbols if self.symbols.count(s) > 1})
        if twice:
            raise PydanticCustomError("twice", "universe.symbols names {twice} twice", {"twice": ", ".join(twice)})
        return self


_OF_A_RULE = ("min_turnover_quote", "min_age_days")


class Strategy(Section):
    name: str = Field("trend", pattern=r"^[a-z][a-z0-9_]*$", description="one of the registered strategies")
    params: Mapping[str, Plain | tuple[Plain, ...]] = Field(
        default_factory=dict, description="of the strategy, by its own names"
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("params"), dict):
            return raw | {"params": {k: tuple(v) if isinstance(v, list) else v for k, v in raw["params"].items()}}
        return raw


class Learning(Section):
    """When a session trains a new model, from what, and what becomes of it; with `strategy.name: learned`."""

    enabled: bool = Field(True, description="closed trades and time make the session train models")
    min_samples: int = Field(50, ge=1, le=100_000, description="closed since the last, then one is due [trades]")
    interval_hours: float = Field(24.0, gt=0.0, le=87_600.0, description="since the last; then one trade will do [h]")
    retry_hours: float = Field(1.0, gt=0.0, le=8_760.0, description="after one that failed; doubled each time [h]")
    history_bars: int = Field(17_520, ge=500, le=2_000_000, description="of each symbol, to learn from [bars]")
    model: Literal["boosted", "logistic"] = Field("boosted", description="what is fitted")
    features: Annotated[tuple[str, ...] | None, BeforeValidator(_list)] = Field(
        None, description="by name; null: those that come along"
    )
    seed: int = Field(0, ge=0, description="of fits, bootstrap and permutations")
    permutations: int = Field(19, ge=0, le=999, description="permuted outcomes to stand out among [fits]")
    backtest_after_train: bool = Field(True, description="a run of its own trades the new model before it is judged")
    promotion: Literal["auto", "ask"] = Field("auto", description="after the gate's yes: at once, or when you say so")
    gather: bool = Field(
        True, description="modes sim and paper: while no model is promoted a rule of thumb trades, so that some close"
    )
    keep_versions: int = Field(20, ge=2, le=10_000, description="of models that do not trade, so many stay [bundles]")
    until: Instant | None = Field(None, description="nothing later is learned from; null: all there is [UTC]")


class Session(Section):
    account: str = Field("main", pattern=r"^[a-z][a-z0-9_]{0,31}$", description="whose journal; one session at a time")
    strangers: Literal["adopt", "reduce", "halt"] = Field(
        "adopt", description="when somebody else trades on the account: go on, let nothing grow, or close everything"
    )
    armed: bool = Field(False, description="mode live trades real money: true says that it is meant")
    max_bars: int | None = Field(
        None, ge=0, description="the session ends by itself after so many [bars]; 0: it recovers, settles and ends"
    )
    at_end: Literal["keep", "close"] = Field(
        "keep", description="when the bars are used up: keep positions, protected at the venue, or close them"
    )
    engine: Literal["compiled", "event"] = Field(
        "compiled", description="of backtests: the same trades, compiled or in the loop that trades live"
    )
    reason: str | None = Field(None, max_length=200, description="why limits are loosened, from the next UTC day on")
    event_driven: bool = Field(True, description="one loop that waits for what happens; false: one pass each check")
    check_interval_s: float = Field(30.0, ge=1.0, le=86_400.0, description="between two passes begun by the clock [s]")
    once: bool = Field(False, description="one pass: recover, decide on the newest closed bar, settle, end")
    quiet_alarm_h: float | None = Field(
        24.0, gt=0.0, le=8_760.0, description="with every candidate refused, then that is said; null: never [h]"
    )
    health_port: int | None = Field(
        8000, ge=0, le=65_535, description="of the health page, on loopback; 0: any that is free, null: none [port]"
    )
    heartbeat_s: float = Field(1.0, ge=0.1, le=10.0, description="between two signs of life [s]")
    hung_after_s: float = Field(15.0, ge=2.0, le=3600.0, description="without one, the session is ended [s]")
    grace_s: float = Field(20.0, ge=0.5, le=600.0, description="for an orderly end after it was asked for [s]")
    rollover: str | None = Field(
        "00:05",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$",
        description="when the session goes on in a fresh kernel and folder, each day; null: never [UTC, time of day]",
    )
    rollover_bars: int | None = Field(None, ge=1, description="the same, after about so many; null: never [bars]")
    max_rss_mb: float = Field(2_000.0, ge=200.0, le=1e6, description="of memory in one kernel; then the same [MB]")


class Alerts(Section):
    """What needs a person is sent to the addresses in QT_ALERT_URLS, or in the file QT_ALERT_URLS_FILE; never here."""

    again_h: float = Field(6.0, ge=0.0, le=720.0, description="before the same trouble is told again [h]")


def _clock(default: str, text: str) -> Any:
    return Field(
        default,
        pattern=r"^\s*\S+(\s+\S+){4}\s*$",
        description=f"{text}; null: never [crontab, UTC]",
    )


class Schedule(Section):
    """When `qt schedule` runs what."""

    retrain: str | None = _clock("5,20,35,50 * * * *", "whether a retrain is due that no session sees to")
    report: str | None = _clock("20 0 * * *", "the post-mortem of yesterday")
    alerts: str | None = _clock("*/5 * * * *", "whether a session fell silent, and what else needs a person")
    late_s: float = Field(
        3_600.0, ge=60.0, le=604_800.0, description="later than that a run is missed, and not made up for [s]"
    )


class Report(Section):
    language: Literal["en", "nb"] = Field("en", description="of reports and the panel: English, Norwegian Bokmål")
    title: str | None = Field(None, max_length=120, description="of the report; null: kind, market and period")


class Postmortem(Section):
    of: str | None = Field(
        None, max_length=60, description="a trade's id, a symbol, or a day as 2026-03-01; null: the last trade"
    )


class Parity(Section):
    of: str | None = Field(
        None,
        max_length=60,
        description="a live run, or an unmistakable part of its name; null: all runs of the account",
    )


_SIZING: dict[str, Any] = {
    "profile": (Literal["seed", "risk"], Field(description="seed: by confidence · risk: by what the stop costs")),
    "base_notional": Field(gt=0.0, le=1e7, description="seed profile: full size [quote]"),
    "risk_frac": _frac(0.0, "equity", 0.0005, 0.05, "risk profile: lost when the stop is hit"),
    "confidence_threshold": Field(ge=0.0, le=1.0, description="weaker beliefs are not traded [probability]"),
    "entry_slippage_frac": _frac(0.0, "price", 0.0001, 0.05, "an entry pays at most this much more than it saw"),
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
    "max_daily_loss_frac": _frac(0.0, "the day's first equity", 0.001, 0.5, "then nothing grows until tomorrow"),
    "max_leverage": Field(gt=0.0, le=125.0, description="of all positions together [gross exposure over equity]"),
    "drawdown_ladder": (
        Annotated[tuple[tuple[_Share, _Share], ...], BeforeValidator(_pairs)],
        Field(description="rows of drawdown and share of each cap left [fraction of peak equity, fraction]"),
    ),
    "max_drawdown_frac": _frac(0.0, "peak equity", 0.01, 0.9, "then flat, and halted"),
    "max_day_fees_frac": _frac(0.0, "the day's first equity", 0.0001, 0.2, "the fee budget"),
    "max_losses_in_row": Field(ge=1, le=1_000, description="then nothing grows until tomorrow [trades]"),
    "max_order_errors": Field(
        ge=1, le=1_000, description="in a row, then nothing grows until somebody re-arms [entries and exits]"
    ),
    "cooldown_s": Field(ge=0.0, le=604_800.0, description="after a symbol was closed [s]"),
}
_EXITS: dict[str, Any] = {
    "profile": (Literal["one_r", "seed", "static", "learned"], Field(description="how protective levels are chosen")),
    "tp_frac": _frac(0.0, "price", 0.0005, 0.3, "static profile and fallback: take profit"),
    "sl_frac": _frac(0.0, "price", 0.0005, 0.2, "static profile and fallback: stop loss"),
    "trail_frac": _frac(0.0, "price", 0.0005, 0.2, "static profile and fallback: trailing distance"),
    "atr_multiple": Field(ge=0.25, le=20.0, description="one_r: stop and ratchet [average true ranges]"),
    "r_frac": _frac(0.0, "equity", 0.0005, 0.05, "one_r, learned: what 1R is"),
    "max_loss_r": Field(ge=0.5, le=5.0, description="one_r, learned: a stop costs at most this [R]"),
    "partial_frac": _frac(0.0, "the position", 0.0, 1.0, "one_r, learned: taken at the target"),
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
    "ratchet_step_frac": _frac(0.0, "the trailing distance", 0.0, 1.0, "the ratchet moves in steps of this"),
    "liquidation_margin_frac": _frac(0.0, "entry price", 0.0, 0.2, "between a stop and the liquidation price"),
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
class _Checked:
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


class Params(Section):
    """All settings of a run, checked."""

    mode: Literal["sim", "paper", "demo", "live"] = Field("sim", description="how real the money is")
    venue: Venue = Venue()
    data: Data = Data()
    universe: Universe = Universe()
    strategy: Strategy = Strategy()
    sizing: Annotated[SizingParams, _Checked(RULES["sizing"])] = SizingParams()
    limits: Annotated[RiskLimits, _Checked(RULES["limits"])] = RiskLimits()
    exits: Annotated[ExitParams, _Checked(RULES["exits"])] = ExitParams()
    learning: Learning = Learning()
    session: Session = Session()
    alerts: Alerts = Alerts()
    schedule: Schedule = Schedule()
    report: Report = Report()
    postmortem: Postmortem = Postmortem()
    parity: Parity = Parity()
    sweep: Annotated[SweepParams, _Checked(RULES["sweep"])] = SweepParams()

    def plain(self) -> dict[str, Any]:
        """As JSON and YAML can hold it: money as strings, times in ISO 8601."""
        values: dict[str, Any] = self.model_dump(mode="json")
        return values

    def hash(self) -> str:
        """SHA-256 of the canonical JSON: equal settings, equal hash."""
        canonical = json.dumps(self.plain(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


# --- four layers ------------------------------------------------------------------------------------------

ENVIRONMENT: Mapping[str, str] = {
    "QT_MODE": "mode",
    "QT_SYMBOLS": "universe.symbols",
    "QT_BASE_NOTIONAL": "sizing.base_notional",
    "QT_CONFIDENCE_THRESHOLD": "sizing.confidence_threshold",
    "QT_MAX_NOTIONAL_PER_TRADE": "limits.max_notional_per_trade",
    "QT_MAX_GROSS_EXPOSURE": "limits.max_gross_exposure",
    "QT_MAX_POSITIONS": "limits.max_positions",
    "QT_MAX_DAILY_LOSS_FRAC": "limits.max_daily_loss_frac",
    "QT_COOLDOWN_SECONDS": "limits.cooldown_s",
    "QT_TP_FRAC": "exits.tp_frac",
    "QT_SL_FRAC": "exits.sl_frac",
    "QT_TRAIL_FRAC": "exits.trail_frac",
    "QT_PROTECT_TIMEOUT_S": "exits.protect_timeout_s",
    "QT_EVENT_DRIVEN_MODE": "session.event_driven",
    "QT_CHECK_INTERVAL": "session.check_interval_s",
    "QT_HEALTH_PORT": "session.health_port",
    "QT_CONTINUOUS_LEARNING": "learning.enabled",
    "QT_MIN_SAMPLES_FOR_RETRAIN": "learning.min_samples",
    "QT_RETRAIN_INTERVAL_HOURS": "learning.interval_hours",
    "QT_AUTO_BACKTEST_AFTER_TRAIN": "learning.backtest_after_train",
}
# read elsewhere, and no settings of a run: where things lie, secrets, the tests' switches, the runner's own word
_ELSEWHERE = {"QT_RUNS_DIR", "QT_DATABASE_URL", "QT_API_KEY", "QT_API_SECRET", "QT_REQUIRE", "QT_MARKET_DATA"}
_ELSEWHERE |= {
    "QT_ALERT_URLS",
    "QT_ALERT_URLS_FILE",
    "QT_RUNNER_PID",
    "QT_RUN_DIR",
    "QT_RUN_GRACE_S",
    "QT_VENUE_URL",
    "QT_PANEL",
}
# the Qt widget toolkit shares the prefix, and desktops set its names for every program
_TOOLKIT = re.compile(
    r"QT_(IM_|ACCESSIBILITY|LINUX_|QPA_|SCALE_|SCREEN_|AUTO_SCREEN|ENABLE_HIGHDPI|FONT_|STYLE_|PLUGIN_|LOGGING_|DEBUG_|"
    r"XCB_|X11_|WAYLAND_|QUICK_|OPENGL|SELECT|GRAPHICSSYSTEM|DEVICE_|USE_|NO_|MAC_|STYLE|WIDGETS_|VIRTUALKEYBOARD)"
)
_SECRET = re.compile(r"secret|passw|passphrase|credential|token|(api|private|access)_?key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and where they came from."""

    params: Params
    overrides: Mapping[str, Any]  # path -> value, of what the environment and the command line said
    file: str | None  # the file's name, as it was given
    hash: str

    def dump_yaml(self) -> str:
        """The whole of the settings: read back, they are these."""
        head = f"# resolved settings · {self.file or 'defaults'} · sha256 {self.hash}\n"
        return head + dump_yaml(self.params.plain())

    def lines(self) -> list[str]:
        """The whole of the settings, a line for each section: what a start shows."""
        return [dump_yaml({name: value}, flow=True).strip()[1:-1] for name, value in self.params.plain().items()]


def resolve(
    file: str | Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Resolved:
    """Default, then `file`, then the `QT_…` names of `environ`, then `overrides` ("section.key=value"); the last wins.

    >>> resolve(overrides=["limits.max_positions=2"]).params.limits.max_positions
    2
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}  # path -> who said it last, for the error's sake
    said: dict[str, Any] = {}
    if file is not None:
        _merge(values, _read(Path(file)), str(file), sources)
    for name, path, value in _from_environment(environ or {}):
        _merge(values, _nest(path, value), name, sources)
        said[path] = value
    for text in overrides:
        path, value = _parse(text)
        _merge(values, _nest(path, value), f"-p {path}", sources)
        said[path] = value
    params = _validated(values, sources, "" if file is None else str(file))
    return Resolved(params, said, None if file is None else str(file), params.hash())


def validate(values: Mapping[str, Any]) -> Params:
    """Values as `Params.plain` wrote them, checked again by the same model."""
    _check_keys(values, "params")
    return _validated(dict(values), {}, "params")


def load_yaml(text: str, name: str = "<text>") -> Any:
    """YAML as version 1.2 means it.

    >>> load_yaml("{a: 1e-3, b: on, c: 12:30, d: 0o17, e: 0123}")
    {'a': 0.001, 'b': 'on', 'c': '12:30', 'd': 15, 'e': 123}
    """
    try:
        return yaml.load(text, Loader=_Yaml12)
    except yaml.MarkedYAMLError as e:
        where = f"{name}, line {e.problem_mark.line + 1}" if e.problem_mark else name
        problem = e.problem or "this is no YAML"
        if "'\\t'" in problem:
            problem = "a tab stands where YAML takes spaces only; indent with spaces"
        raise SettingsError(f"{where}: {problem}") from None
    except yaml.YAMLError as e:
        raise SettingsError(f"{name}: this is no YAML ({str(e).splitlines()[0]})") from None


def dump_yaml(value: Mapping[str, Any], flow: bool = False) -> str:
    """YAML that `load_yaml` reads back as `value`: a text that looks like a number is quoted.

    >>> dump_yaml({"title": "1e3"})
    "title: '1e3'\\n"
    """
    width = 10_000 if flow else 110
    return yaml.dump(
        value, None, _Yaml12Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=width
    )


# --- reading ----------------------------------------------------------------------------------------------


class _Yaml12(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own way: a class attribute, filled below

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} must be a name", problem_mark=key_node.start_mark)
            if key in made:
                raise yaml.MarkedYAMLError(problem=f"{key} stands here twice", problem_mark=key_node.start_mark)
            made[key] = self.construct_object(value_node, deep=True)
        return made

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        text = node.value
        if re.fullmatch(r"[-+]?[0-9]+", text):
            return int(text)
        if text[:2] in ("0o", "0x"):
            return int(text, 0)
        return float(text.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf").replace(".NaN", "nan"))


_Yaml12.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN))$"),
    list("-+.0123456789"),
)
_Yaml12.add_constructor("tag:yaml.org,2002:int", _Yaml12.construct_number)
_Yaml12.add_constructor("tag:yaml.org,2002:float", _Yaml12.construct_number)
_Yaml12.add_constructor("tag:yaml.org,2002:map", _Yaml12.construct_mapping)


class _Yaml12Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _Yaml12.yaml_implicit_resolvers


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f"; {path.parent} has {', '.join(there)}" if there else f"; {path.parent.absolute()} holds no settings"
        raise SettingsError(f"{path} does not exist{hint}") from None
    except IsADirectoryError:
        raise SettingsError(f"{path} is a folder; name a file of settings in it") from None
    except UnicodeDecodeError as e:
        raise SettingsError(f"{path} is no text in UTF-8 (byte {e.start} is none of it); save it as UTF-8") from None
    except OSError as e:
        raise SettingsError(f"{path} cannot be read: {e.strerror or e}") from None
    values = load_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold sections (venue: …, sizing: …), not a {type(values).__name__}")
    _check_keys(values, str(path))
    # a section that is named and left empty says nothing
    return {k: v for k, v in values.items() if v is not None}


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """(name, path, value) of each `QT_…` setting; a `QT_…` name that means nothing is an error."""
    for name in sorted(n for n in environ if n.startswith("QT_")):
        text = environ[name]
        if name in ENVIRONMENT:
            if text.strip():  # a shell's way to say: not set
                yield name, ENVIRONMENT[name], load_yaml(text, name)
        elif name not in _ELSEWHERE and not _TOOLKIT.match(name):
            raise SettingsError(f"unknown setting {name} in the environment{_nearest(name, list(ENVIRONMENT))}")


def _parse(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals:
        if _SECRET.search(text):
            raise SettingsError("-p: what looks like a secret is no setting; it comes from the environment or keyring")
        raise SettingsError(f"-p {text}: write it as section.key=value")
    _check_keys(_nest(path, None), "-p")
    parsed = load_yaml(value, f"-p {path}")
    if isinstance(parsed, dict):
        _check_keys(_nest(path, parsed), "-p")
    return path, parsed


def _nest(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def _merge(into: dict[str, Any], layer: Mapping[str, Any], source: str, sources: dict[str, str], at: str = "") -> None:
    for key, value in layer.items():
        path = f"{at}{key}"
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, source, sources, f"{path}.")
        else:
            into[key] = value
            for below in [p for p in sources if p.startswith(f"{path}.")]:
                del sources[below]
            sources[path] = source
            if isinstance(value, dict):
                into[key] = {}
                _merge(into[key], value, source, sources, f"{path}.")


def _check_keys(values: Mapping[str, Any], source: str, at: str = "") -> None:
    """Keys are plain names, and none of them a secret's: the value is not even looked at."""
    by_symbol = at in ("venue.symbols.", "limits.clusters.")  # 1000PEPEUSDT is a symbol, if no identifier
    for key, value in values.items():
        if _SECRET.search(key):
            raise SettingsError(
                f"{source}: {at}{key} looks like a secret, and secrets are no settings; put it into the environment "
                "(QT_API_KEY, QT_API_SECRET) or the keyring, and out of this place"
            )
        if not (key.isidentifier() or (by_symbol and re.fullmatch(r"\w+", key))):
            raise SettingsError(f"{source}: {at}{key!r} is no name; write it as section.key")
        if isinstance(value, Mapping):
            _check_keys(value, source, f"{at}{key}.")


# --- checking, in words -----------------------------------------------------------------------------------


def _validated(values: dict[str, Any], sources: Mapping[str, str], default_source: str) -> Params:
    try:
        params = Params.model_validate(values)
    except ValidationError as e:
        errors = e.errors()
        causes = [x for x in errors if not any(len(y["loc"]) > len(x["loc"]) == _common(x, y) for y in errors)]
        lines = list(dict.fromkeys(_sentence(error, sources, default_source) for error in causes))
        more = f" (and {len(lines) - 3} more)" if len(lines) > 3 else ""
        raise SettingsError("; ".join(lines[:3]) + more) from None
    _check_mode(params)
    return params


def _check_mode(params: Params) -> None:
    """One word decides which world it is; what contradicts it is refused."""
    if params.mode == "live" and not params.session.armed:
        raise SettingsError("mode live trades real money: say that you mean it (-p session.armed=true)")
    if params.mode == "live" and params.strategy.name != "learned":
        raise Unearned(
            f"mode live trades only what a promoted model believes, and strategy.name is {params.strategy.name}: set "
            "strategy.name=learned; paper trades real prices without money, and demo is the venue's own playground"
        )
    if params.mode != "sim" and params.venue.speed is not None:
        raise SettingsError(f"venue.speed is of the simulated market, and mode {params.mode} has the real one's time")
    if params.mode not in ("sim", "paper") and params.venue.faults is not None:
        raise SettingsError(f"venue.faults are of our own venue, and mode {params.mode} has another")


def _common(a: ErrorDetails, b: ErrorDetails) -> int:
    """How many steps of the way to `a` and to `b` are the same."""
    return next(
        (i for i, (x, y) in enumerate(zip(a["loc"], b["loc"], strict=False)) if x != y),
        min(len(a["loc"]), len(b["loc"])),
    )


def _sentence(error: ErrorDetails, sources: Mapping[str, str], default_source: str) -> str:
    """One failed check as a person would say it: who said it, what it was, what it must be, what to write."""
    loc = [str(part) for part in error["loc"]]
    named = [p for p in loc if not p.startswith(("function-", "tuple[", "constrained-"))]
    path = ".".join(named)
    said = next((sources[p] for p in _upwards(path) if p in sources), default_source)
    prefix = f"{said}: " if said and not said.startswith("-p ") else ("-p " if said else "")
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        known = _fields_at(named[:-1])
        section = ".".join(named[:-1])
        return f"{prefix}unknown {path}{_nearest(named[-1], list(known), section)}"
    if kind in ("path", "unused", "order", "finer", "twice"):
        return prefix.removesuffix("-p ") + error["msg"]
    info = _fields_at(named[:-1]).get(named[-1]) if named else None
    if kind == "missing":
        return f"{prefix}{path} is missing{_hint(info, None)}"
    return f"{prefix}{path} = {_short(value)} {_must(error)}{_hint(info, value)}"


def _must(error: ErrorDetails) -> str:
    context, kind = error.get("ctx") or {}, error["type"]
    words = {
        "greater_than": "must be above {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be below {lt}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be one of {expected}",
        "too_short": "must not be empty",
        "string_pattern_mismatch": "must look like {pattern}",
        "finite_number": "must be a finite number",
        "model_type": "must be a section of key: value lines",
    }
    if kind in words:
        return words[kind].format(**context)
    wanted = error["msg"].removeprefix("Input should be ").removeprefix("should be ")
    return f"must be {wanted}"


def _hint(info: FieldInfo | None, value: object) -> str:
    """The unit, and for a fraction given as percent what to write instead."""
    if info is None:
        return ""
    extra = info.json_schema_extra
    of = extra.get("fraction_of") if isinstance(extra, dict) else None
    if of is None:
        return f" ({info.description})" if info.description else ""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return f"; it is a fraction of {of}: {value:g} % is {value / 100:g}"
    return f"; it is a fraction of {of}: 1 % is 0.01"


def _fields_at(path: Sequence[str]) -> Mapping[str, FieldInfo]:
    """The fields of the section at `path`, where there is one."""
    if not path:
        return Params.model_fields
    if path[0] in RULES:
        return RULES[path[0]].model_fields if len(path) == 1 else {}
    if list(path[:2]) == ["venue", "symbols"]:
        return SymbolFacts.model_fields
    if list(path[:2]) == ["data", "regimes"]:
        return Regime.model_fields
    info = Params.model_fields.get(path[0])
    kind = info.annotation if info else None
    return kind.model_fields if len(path) == 1 and isinstance(kind, type) and issubclass(kind, Section) else {}


def _nearest(name: str, known: Sequence[str], section: str = "") -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    full = f"{section}." if section else ""
    if near:
        return f" (did you mean {full}{near[0]}?)"
    return f" (known here: {', '.join(known)})" if known else ""


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
