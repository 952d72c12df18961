"""What things of the code are called in reports and on the panel, in the reader's language.

A name that has no words here yet is itself, with blanks.
"""

from qtlib.domain.commands import Verb
from qtlib.domain.events import TradingStatus
from qtlib.domain.orders import OrderStatus
from qtlib.domain.universe import LOW_TURNOVER, NO_CANDIDATE, NOT_LISTED, NOT_TRADED, OUTRANKED, TOO_YOUNG
from qtlib.report.forms import FORMS
from qtlib.report.words import say

_STATUS = {
    TradingStatus.ACTIVE: "TRADING",
    TradingStatus.REDUCING: "REDUCING",
    TradingStatus.HALTED: "HALTED",
}
_VERBS = {
    Verb.PAUSE: "Pause",
    Verb.RESUME: "Resume",
    Verb.REDUCE: "Reduce only",
    Verb.FLATTEN: "Flatten all",
    Verb.KILL: "Kill",
    Verb.REARM: "Re-arm",
    Verb.CLOSE: "Close position",
    Verb.TIGHTEN: "Move stop",
    Verb.LIMITS: "Set limit",
    Verb.RETRAIN: "Retrain now",
    Verb.STOP: "Stop session",
}
_LIMITS = {
    "max_positions": "Positions",
    "max_notional_per_trade": "Notional a trade",
    "max_notional_per_symbol": "Notional a symbol",
    "max_gross_exposure": "Gross exposure",
    "max_net_exposure": "Net exposure",
    "max_cluster_exposure": "Exposure of a cluster",
    "max_leverage": "Exposure over equity",
    "max_daily_loss_frac": "Loss of the day",
    "max_drawdown_frac": "Drawdown",
    "max_day_fees_frac": "Fees of the day",
    "max_losses_in_row": "Losses in a row",
    "max_order_errors": "Order errors in a row",
    "cooldown_s": "Cooldown of a symbol",
}
_RULES = {
    "notional_per_trade": "Notional a trade",
    "notional_per_symbol": "Notional a symbol",
    "gross_exposure": "Gross exposure",
    "net_exposure": "Net exposure",
    "cluster_exposure": "Exposure of a cluster",
    "leverage": "Exposure over equity",
    "positions": "Positions",
    "daily_loss": "Loss of the day",
    "losing_streak": "Losses in a row",
    "fee_budget": "Fees of the day",
    "drawdown": "Drawdown",
    "largest_order": "Largest order of the venue",
}
_REASONS = {
    "no_signal": "no signal to act on",
    "status": "trading is held back",
    "low_confidence": "confidence is too low",
    "weak_score": "no direction",
    "cooldown": "left a moment ago",
    "in_flight": "an order is in flight",
    "target_too_close": "target nearer than its costs",
    "stop_too_close": "stop nearer than noise",
    "liquidation": "no room before liquidation",
    "position_limit": "no position slot is free",
    "limit": "a limit left nothing",
    "too_small": "less than the smallest order",
    "fee_budget": "the day's fee budget is spent",
    "universe": "out of the universe",
    "venue": "its venue takes no entries",
}
_EXITS = {
    "stop_loss": "stop",
    "take_profit": "target",
    "trailing": "trailing stop",
    "partial": "part at the target",
    "time_stop": "time stop",
    "signal": "signal",
    "liquidation": "liquidation",
    "flatten": "flatten",
    "end": "end of the bars",
    "universe": "dropped out of the universe",
}
_SILENT = {  # why there was no belief to act on
    "bars not usable": "bars not usable",
    "warming up": "warming up",
    "nobody may believe": "nobody may believe",
}
_OUT = {
    NOT_LISTED: "not listed",
    TOO_YOUNG: "listed for too short a time",
    NOT_TRADED: "not traded for a day",
    LOW_TURNOVER: "too little turnover",
    OUTRANKED: "others have more turnover",
    NO_CANDIDATE: "no longer named in the settings",
}
_KEYS = {"symbol": "symbol", "exit_reason": "exit reason", "hour": "hour of exit [UTC]"}
_OBJECTIVES = {  # what a sweep looks for the largest of
    "sharpe": "Sharpe",
    "sortino": "Sortino",
    "calmar": "Calmar",
    "return_frac": "return",
    "profit_factor": "profit factor",
    "expectancy_quote": "expectancy [USDT]",
    "expectancy_r": "expectancy [R]",
    "net_pnl_quote": "net P&L [USDT]",
}
_ROLES = {
    "entry": "entry",
    "exit": "exit",
    "stop_loss": "stop",
    "take_profit": "target",
    "net_stop": "net stop",
    "foreign": "not ours",
}
_CAUSES = {
    "model_version": "model",
    "features": "features",
    "signal": "signal",
    "missed": "missed",
    "extra": "extra",
    "size": "size",
    "delay": "delay",
    "slippage": "slippage",
    "stop_path": "path to the exit",
    "fee": "fee",
    "funding": "funding",
}
_LOOPS = {"trade": "trading", "market": "prices", "private": "own orders", "protect": "protection"}
_ORDER_TYPES = {
    "MARKET": "market",
    "LIMIT": "limit",
    "STOP": "stop with a limit",
    "STOP_MARKET": "stop at market",
    "TAKE_PROFIT": "target with a limit",
    "TAKE_PROFIT_MARKET": "target at market",
    "TRAILING_STOP_MARKET": "trailing stop",
}
_ORDER_STATUS = {
    "pending": "pending",
    "open": "open",
    "filled": "filled",
    "canceled": "canceled",
    "rejected": "rejected",
    "expired": "expired",
    "lost": "lost",
}
_ODDITIES = {
    "gap": "gap",
    "listing": "listing",
    "delisted": "delisted",
    "outage": "outage",
    "no trade": "no trade",
    "no volume": "no trade",
    "flat": "stands still",
    "spike": "spike",
    "seam": "seam",
    "volume level": "volume level",
    "jump": "jump",
    "coverage": "coverage",
    "apart": "apart",
    "rate": "rate",
    "cadence": "cadence",
    "sum": "does not add up",
    "clock": "another clock",
    "market": "another market",
    "units": "other units",
    "grid": "off the grid",
    "order": "out of order",
    "duplicate": "stands twice",
    "missing value": "missing value",
    "ohlc": "impossible prices",
    "funding": "impossible rate",
    "stale end": "ends early",
    "damaged": "damaged",
    "unreadable": "unreadable",
    "empty": "empty",
}
OTHERS = (
    "Price, entries, exits and levels",
    "ROI calculator",
    "long",
    "short",
    "BUY",
    "SELL",
    "open",
    "TRADING",
    "REDUCING",
    "HALTED",
    "simulated market and venue: no real prices, no real money",
    "real prices, simulated venue: no real money",
    "the venue's demo account: no real money",
    "REAL MONEY",
    "enter",
    "exit",
    "hold",
    "refused",
    "another model believed",
    "the model was shown something else",
    "another belief of the same",
    "the session was away, or did not trade it",
    "only the session traded it",
    "another quantity, at the replay's prices",
    "filled so long after the close, and all that this led to",
    "another price, entered and left in the same way",
    "left for another reason, or in other parts",
    "another fee, and all that this led to",
    "other funding",
)


_JUDGED = {
    "promoted": "promoted by the gate",
    "refused": "refused by the gate",
    "not judged": "not judged",
    "damaged": "damaged",
}


def status_name(status: TradingStatus) -> str:
    return say(_STATUS[status])


def verb_name(verb: Verb) -> str:
    return say(_VERBS[verb])


def limit_name(name: str) -> str:
    return say(_LIMITS.get(name, name))


def rule_name(name: str) -> str:
    return say((_RULES | _OUT | _SILENT).get(name, name.replace("_", " ")))


def reason_name(name: str) -> str:
    return say(_REASONS.get(name, name.replace("_", " ")))


def exit_name(name: str) -> str:
    return say(_EXITS.get(name, name.replace("_", " ")))


def judged_name(word: str) -> str:
    return say(_JUDGED[word])


def loop_name(name: str) -> str:
    return say(_LOOPS.get(name, name))


def order_type_name(name: str) -> str:
    return say(_ORDER_TYPES.get(name, name.replace("_", " ").lower()))


def order_status_name(status: OrderStatus) -> str:
    return say(_ORDER_STATUS[status.value])


def oddity_name(kind: str) -> str:
    """What is odd in bars."""
    return say(_ODDITIES.get(kind, kind))


def key_name(by: str) -> str:
    """What P&L is added up by."""
    return say(_KEYS[by])


def objective_name(name: str) -> str:
    return say(_OBJECTIVES[name])


def role_name(name: str) -> str:
    return say(_ROLES.get(name, name.replace("_", " ")))


def cause_name(name: str) -> str:
    """What a difference between a session and its replay is due to."""
    return say(_CAUSES[name])


def messages() -> set[str]:
    """Every message that only a table here names: catalogues have them, too."""
    tables = (
        *(_STATUS, _VERBS, _LIMITS, _RULES, _REASONS, _EXITS, _OUT, _KEYS, _ROLES, _CAUSES, _JUDGED, _LOOPS),
        *(_ORDER_TYPES, _ORDER_STATUS, _ODDITIES, _OBJECTIVES, _SILENT),
    )
    return {words for table in tables for words in table.values()} | set(OTHERS) | set(FORMS)
