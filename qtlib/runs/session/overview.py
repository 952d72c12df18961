"""What an account holds and what its last run does, as far as journal and record know. Nothing is asked of a venue,
and each figure says when it was true.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qtlib.domain.events import START
from qtlib.domain.state import State
from qtlib.engine.health import figures
from qtlib.journal import Journal
from qtlib.runs.record import atomic
from qtlib.runs.record.commands import braked
from qtlib.runs.record.folder import RUNNING, RunFolder, journal_location, runs
from qtlib.runs.record.health import asked


def overview(account: str, root: Path | None = None) -> dict[str, Any]:
    """Account, positions with their protection, and the newest run; `as_of` is venue time, ages are in seconds."""
    where = journal_location(account, root)
    return {
        "account": account,
        "journal": _journal(where, account),
        "run": next((_run(folder) for folder in runs(root)), None),
    }


def limits_in_force(account: str, root: Path | None = None) -> list[dict[str, Any]]:
    """Each limit of the account by name: what holds now, and what holds from the next UTC day on."""
    where = journal_location(account, root)
    if isinstance(where, Path) and not where.exists():
        return []
    with Journal(where, account) as journal:
        limits = journal.state().limits
    if limits is None:
        return []
    return [
        {"limit": name, "now": value, "then": limits.asked.get(name)}
        for name, value in limits.in_force.items()
        if isinstance(value, int | float)
    ]


def _journal(where: str | Path, account: str) -> dict[str, Any] | None:
    if isinstance(where, Path) and not where.exists():
        return None  # opening it would make one
    with Journal(where, account) as journal:
        state, waiting, writer = journal.state(), journal.commands(), journal.writer()
    written = where.stat().st_mtime if isinstance(where, Path) else None
    wal = where.with_name(f"{where.name}-wal") if isinstance(where, Path) else None
    if written is not None and wal is not None and wal.exists():
        written = max(written, wal.stat().st_mtime)
    return {
        "as_of": None if state.ts == START else state.ts.isoformat(),
        "written_age_s": None if written is None else round(max(0.0, time.time() - written), 1),
        "status": state.status.value,
        "cause": state.cause,
        "brake": braked(state),
        "waiting": [{"command": c.verb.value, "by": c.by, "asked": c.asked.isoformat()} for c in waiting],
        "session": writer.owner if writer else None,
        "equity_quote": float(state.equity),
        "cash_quote": float(state.account.cash),
        "positions": [_position(state, symbol) for symbol in state.account.positions],
        "universe": _universe(state),
        "figures": _figures(state),
    }


def _universe(state: State) -> dict[str, Any] | None:
    """Who may be traded, since when, and why others may not; None: all that the settings name."""
    universe = state.universe
    if universe is None:
        return None
    return {
        "changed": universe.ts.isoformat(),
        "members": {symbol: since.isoformat() for symbol, since in sorted(universe.members.items())},
        "out": dict(sorted(universe.out.items())),
    }


def _figures(state: State) -> dict[str, Any]:
    """As the health page has them, from the journal."""
    limits = state.limits.in_force if state.limits else {}
    positions, exposure = limits.get("max_positions"), limits.get("max_gross_exposure")
    most = exposure if isinstance(exposure, int | float) else None
    return figures(state, int(positions) if isinstance(positions, int | float) else None, most)


def _position(state: State, symbol: str) -> dict[str, Any]:
    position, trade = state.account.positions[symbol], state.trades.get(symbol)
    price = state.prices.get(symbol)
    working = [o.intent for o in state.orders.values() if o.intent.symbol == symbol and o.intent.role.protects]
    triggers = [float(intent.trigger) for intent in working if intent.trigger is not None]
    naked = trade.naked_since if trade else None
    return {
        "symbol": symbol,
        "side": "long" if position.quantity > 0 else "short",
        "quantity": float(position.quantity),
        "entry_price": float(position.entry_price),
        "price": price,
        "unrealized_quote": _unrealized(position.quantity, position.entry_price, price),
        "protected": trade is not None and naked is None and bool(working),
        "protective_orders": len(working),
        "trigger_prices": sorted(triggers),
        "naked_since": naked.isoformat() if naked else None,
        "opened": trade.opened.isoformat() if trade else None,
        "recovered": trade.recovered if trade else None,
    }


def _unrealized(quantity: Any, entry: Any, price: float | None) -> float | None:
    return None if price is None else round(float(quantity) * (price - float(entry)), 8)


def _run(folder: RunFolder) -> dict[str, Any]:
    record = folder.record()
    beat = atomic.read_json(folder / "heartbeat.json") or {}
    started = record.get("started")
    age = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds() if started else None
    return {
        "run_id": folder.run_id,
        "status": record["status"],
        "started": started,
        "started_age_s": None if age is None else round(age, 1),
        "last_beat_age_s": round(time.time() - float(beat["ts"]), 1) if "ts" in beat else None,
        "done": beat.get("done"),
        "total": beat.get("total"),
        "health": asked(beat["health"]) if record["status"] == RUNNING and beat.get("health") else None,
        "error": record.get("error"),
    }
