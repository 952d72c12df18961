"""The sections of the settings, each setting with its default, unit and range."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from qtlib.params.kinds import (
    SIMULATED_BARS,
    TIMEFRAMES,
    Exact,
    Instant,
    Plain,
    Section,
    Symbol,
    Timeframe,
    clock,
    frac,
    listed,
)
from qtlib.rules.universe import UniverseParams


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
    slippage_frac: float = frac(0.0002, "price", 0.0, 0.01, "against the taker, on every taker fill")
    slippage_noise_frac: float = frac(0.0001, "price", 0.0, 0.01, "mean of the seeded extra slippage")
    max_volume_share_frac: float = frac(0.10, "a bar's volume", 0.0001, 1.0, "what our orders may take in one step")
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
    symbols: Annotated[tuple[Symbol, ...], BeforeValidator(listed)] = Field((), description="whom it meets; none: all")


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
    regimes: Annotated[tuple[Regime, ...], BeforeValidator(listed)] = Field(
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
    symbols: Annotated[tuple[Symbol, ...], BeforeValidator(listed)] = Field(
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
    features: Annotated[tuple[str, ...] | None, BeforeValidator(listed)] = Field(
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


class Schedule(Section):
    """When `qt schedule` runs what."""

    retrain: str | None = clock("5,20,35,50 * * * *", "whether a retrain is due that no session sees to")
    report: str | None = clock("20 0 * * *", "the post-mortem of yesterday")
    alerts: str | None = clock("*/5 * * * *", "whether a session fell silent, and what else needs a person")
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
