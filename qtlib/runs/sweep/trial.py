"""A trial: one setting of everything, traded over one stretch of bars. What it is, and what came of it, as values.

Its key says what it is made of: every setting that could change it, the stretch, the bars, and the code. Equal keys
are equal trials, whoever traded them and when; so what is finished is never traded again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

OK, REFUSED, FAILED = "ok", "refused", "failed"
LEARNED = "learned"
MARKET = ("mode", "data", "universe")  # sections that bars are made by
_SECTIONS = (*MARKET, "venue", "strategy", "sizing", "limits", "exits")  # that a backtest is made by
_SESSION = ("engine", "max_bars", "at_end", "strangers")
NUMBERS = (  # of `report.metrics`, those that are kept of each trial
    *("trades", "win_rate_frac", "breakeven_win_rate_frac", "net_pnl_quote", "fees_quote", "funding_quote"),
    *("return_frac", "max_drawdown_frac", "sharpe", "sortino", "calmar", "profit_factor", "expectancy_quote"),
    *("expectancy_r", "exposure_frac", "bars"),
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some closes of a market: `bars` of them after `after`, and whether what is open then is closed."""

    after: int  # microseconds since 1970, UTC
    bars: int | None  # None: to the end
    close: bool


@dataclass(frozen=True, slots=True)
class Task:
    """A trial to be traded, as it travels to whoever trades it."""

    key: str
    settings: Mapping[str, Any]  # path -> value, over the sweep's own settings
    stretch: Stretch
    data: str  # fingerprint of the bars


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What came of it."""

    key: str
    status: str  # ok · refused: these settings do not go together · failed
    why: str = ""  # it was not ok; or the event loop ran although the compiled engine was asked for
    seconds: float = 0.0
    numbers: Mapping[str, float | None] = field(default_factory=dict)  # of `NUMBERS`
    first_day: int = 0  # of `returns`, since 1970, UTC
    returns: Array = field(default_factory=lambda: np.empty(0))  # net, a day each, as fractions of equity


def key(plain: Mapping[str, Any], stretch: Stretch, data: str, code: str) -> str:
    """What makes a trial of these settings, as `Params.plain` writes them, the one it is."""
    return digest([made_by(plain), [stretch.after, stretch.bars, stretch.close], data, code])


def made_by(plain: Mapping[str, Any]) -> str:
    """A hash of all settings that a backtest's result depends on, and of no other."""
    known = {name: plain[name] for name in _SECTIONS} | {name: plain["session"][name] for name in _SESSION}
    if plain["strategy"]["name"] == LEARNED:
        known["learning"] = plain["learning"]
    return digest(known)


def digest(value: Any) -> str:
    """A hash of what JSON can hold, the same for the same values in any order of their names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def bars_of(plain: Mapping[str, Any]) -> str:
    """What the bars of these settings are made by."""
    return digest([plain[name] for name in MARKET])


def changed(plain: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`plain`, as `Params.plain` writes it, with `settings` (path -> value) in it."""
    values: dict[str, Any] = dict(plain)
    for path, value in settings.items():
        at = values
        *way, last = path.split(".")
        for name in way:
            at[name] = dict(at.get(name) or {})
            at = at[name]
        at[last] = value
    return values
