"""How a session is: from facts to the health page's document, and from that document to Prometheus' text.

Pure: time is among the facts. What is not known is null, and missing from the metrics; a default is never shown as
if it were data. Both pages are one document, so they can't disagree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qtlib.domain.events import START, TradingStatus
from qtlib.domain.state import State
from qtlib.rules.limits import drawdown_frac

LATE = 5  # intervals without a sign of life, and
LATE_S = 5.0  # these seconds: then a loop is dead
SILENT_S = 2.5  # without a sign of life of streams that are pinged each second, something is wrong with them

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loop:
    """A thing that should give a sign of life every `interval_s`."""

    age_s: float  # of the last one
    interval_s: float

    @property
    def ok(self) -> bool:
        return self.age_s <= LATE * self.interval_s + LATE_S


@dataclass(frozen=True, slots=True)
class Link:
    """What is known of the way to the exchange; None: nothing yet."""

    reachable: bool | None = None
    clock_offset_ms: float | None = None
    last_event_age_s: float | None = None
    streams_age_s: float | None = None  # since the streams' last sign of life, of the one that is silent for longest
    streams_lost: str | None = None  # which of them are out of touch, and why; None also where there are none

    @property
    def out_of_touch(self) -> bool:
        """Whether the venue can't be reached, or may tell things that are not heard."""
        silent = self.streams_age_s is not None and self.streams_age_s > SILENT_S
        return self.reachable is False or self.streams_lost is not None or silent


@dataclass(frozen=True, slots=True)
class Learning:
    enabled: bool = False
    model_version: str | None = None
    samples_since_retrain: int | None = None
    needed: int | None = None
    last_retrain: datetime | None = None
    last_outcome: str | None = None
    next_due: datetime | None = None
    drift: str | None = None  # how far inputs and outcomes moved from what was learned; None: not known


@dataclass(frozen=True, slots=True)
class Facts:
    mode: str
    venue: str
    account: str
    started: datetime
    now: datetime
    loops: Mapping[str, Loop]
    state: State | None = None  # None: the session has not got so far
    max_positions: int | None = None
    max_gross_exposure: float | None = None  # quote
    learning: Learning = field(default_factory=Learning)
    exchange: Link = field(default_factory=Link)
    last_error: str | None = None


def document(facts: Facts) -> Document:
    """The health page."""
    return {
        "status": _status(facts),
        "mode": facts.mode,
        "venue": facts.venue,
        "account": facts.account,
        "started": facts.started.isoformat(),
        "uptime_s": round((facts.now - facts.started).total_seconds(), 1),
        "loops": {
            name: {"age_s": round(loop.age_s, 3), "interval_s": loop.interval_s, "ok": loop.ok}
            for name, loop in sorted(facts.loops.items())
        },
        **figures(facts.state, facts.max_positions, facts.max_gross_exposure),
        "learning": {
            "enabled": facts.learning.enabled,
            "model_version": facts.learning.model_version,
            "samples_since_retrain": facts.learning.samples_since_retrain,
            "needed": facts.learning.needed,
            "last_retrain": _iso(facts.learning.last_retrain),
            "last_outcome": facts.learning.last_outcome,
            "next_due": _iso(facts.learning.next_due),
        },
        "exchange": {
            "reachable": facts.exchange.reachable,
            "clock_offset_ms": facts.exchange.clock_offset_ms,
            "last_event_age_s": facts.exchange.last_event_age_s,
            "streams_age_s": facts.exchange.streams_age_s,
            "streams_lost": facts.exchange.streams_lost,
        },
        "last_error": facts.last_error,
    }


def figures(state: State | None, max_positions: int | None, max_gross_exposure: float | None) -> Document:
    """What the account holds and how it stands, as of the last bar."""
    known = state is not None and state.ts > START
    held = None if state is None else state.account.positions
    naked = None if state is None else sum(trade.naked_since is not None for trade in state.trades.values())
    return {
        "trading_status": None if state is None else state.status.value,
        "cause": None if state is None or state.status is TradingStatus.ACTIVE else state.cause,
        "as_of": _iso(state.ts) if state is not None and known else None,
        "positions": {
            "open": None if held is None else len(held),
            "max": max_positions,
            "protected": None if held is None or naked is None else len(held) - naked,
            "naked": naked,
        },
        "exposure": {
            "gross_quote": None if held is None else float(sum(position.cost for position in held.values())),
            "max_quote": max_gross_exposure,
        },
        "equity_quote": float(state.equity) if state is not None and known else None,
        "day_pnl_quote": float(state.equity - state.day_equity) if state is not None and known else None,
        "guards": {
            "drawdown_frac": drawdown_frac(state) if state is not None and known else None,
            "losses_in_row": None if state is None else state.losses_in_row,
            "order_errors": None if state is None else state.order_errors,
            "day_fees_quote": float(state.day_fees) if state is not None and known else None,
        },
    }


def http_status(page: Document) -> int:
    """503 where somebody has to look, else 200."""
    return 503 if page["status"] == "halted" else 200


def metrics(page: Document) -> str:
    """`page` as Prometheus reads it; what is null there is missing here."""
    lines: list[str] = []
    for name, words, samples in _families(page):
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            lines += [f"# HELP qt_{name} {words}", f"# TYPE qt_{name} gauge"]
            lines += [f"qt_{name}{_labels(labels)} {float(value):.15g}" for labels, value in known]
    return "\n".join(lines) + "\n"


# --- below ------------------------------------------------------------------------------------------------


def _status(facts: Facts) -> str:
    """Halted: it can't or may not trade. Degraded: something that it needs for trading freely is missing."""
    state = facts.state
    dead = any(not loop.ok for loop in facts.loops.values())
    if dead or (state is not None and state.status is TradingStatus.HALTED):
        return "halted"
    if state is None or state.status is TradingStatus.REDUCING or facts.exchange.out_of_touch:
        return "degraded"
    return "degraded" if any(trade.naked_since is not None for trade in state.trades.values()) else "ok"


_Sample = tuple[Mapping[str, str], float | None]


def _families(page: Document) -> Iterator[tuple[str, str, list[_Sample]]]:
    """Every figure of the page: name, what it is, and its samples."""

    def one(value: float | None) -> list[_Sample]:
        return [({}, value)]

    def each(label: str, values: Mapping[str, Any]) -> list[_Sample]:
        return [({label: key}, value) for key, value in values.items()]

    def chosen(label: str, names: tuple[str, ...], value: str | None) -> list[_Sample]:
        return [({label: name}, None if value is None else name == value) for name in names]

    loops, positions, link, guards = page["loops"], page["positions"], page["exchange"], page["guards"]
    offset_ms = link["clock_offset_ms"]
    yield "info", "The session.", [({name: page[name] for name in ("mode", "venue", "account")}, 1)]
    yield "status", "1 at what holds: ok, degraded or halted.", chosen("status", STATUSES, page["status"])
    statuses = tuple(status.value for status in TradingStatus)
    yield "trading_status", "1 at what holds.", chosen("status", statuses, page["trading_status"])
    yield "uptime_seconds", "Since the session began.", one(page["uptime_s"])
    yield (
        "loop_age_seconds",
        "Since a loop's last sign of life.",
        each("loop", {k: v["age_s"] for k, v in loops.items()}),
    )
    yield "loop_ok", "1 while a loop lives.", each("loop", {k: v["ok"] for k, v in loops.items()})
    held = {name: positions[name] for name in ("open", "protected", "naked")}
    yield "positions", "Open, and of these protected and naked ones.", each("which", held)
    yield "positions_max", "Positions allowed at once.", one(positions["max"])
    yield "gross_exposure_quote", "Of all positions at entry prices.", one(page["exposure"]["gross_quote"])
    yield "gross_exposure_max_quote", "Allowed.", one(page["exposure"]["max_quote"])
    yield "equity_quote", "Cash and unrealized profit, at the last bar.", one(page["equity_quote"])
    yield "day_pnl_quote", "Since the day's first bar, UTC.", one(page["day_pnl_quote"])
    yield "day_fees_quote", "Since the day's first bar, UTC.", one(guards["day_fees_quote"])
    yield "drawdown_frac", "Of peak equity.", one(guards["drawdown_frac"])
    yield "losses_in_row", "Trades lost since the last one won.", one(guards["losses_in_row"])
    yield "order_errors", "Entries and exits refused or lost since the last one filled.", one(guards["order_errors"])
    yield "exchange_reachable", "1 if it answered last.", one(link["reachable"])
    yield "exchange_clock_offset_seconds", "Ours minus its.", one(None if offset_ms is None else offset_ms / 1000)
    yield "exchange_last_event_age_seconds", "Since it last said anything.", one(link["last_event_age_s"])
    yield "exchange_streams_age_seconds", "Since their last sign of life.", one(link["streams_age_s"])
    learning = page["learning"]
    yield "learning_enabled", "1 if it learns.", one(learning["enabled"])
    yield "learning_samples", "Trades closed since the last retrain.", one(learning["samples_since_retrain"])
    yield "learning_samples_needed", "For the next one.", one(learning["needed"])


STATUSES = ("ok", "degraded", "halted")


def _labels(labels: Mapping[str, str]) -> str:
    """
    >>> _labels({"account": 'a"b'}), _labels({})
    ('{account="a\\\\"b"}', '')
    """
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _iso(ts: datetime | None) -> str | None:
    return None if ts is None else ts.isoformat()
