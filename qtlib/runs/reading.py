"""What a run leaves behind: its tables, its metrics and what it traded on, in the run's folder."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from qtlib.domain.events import Event, TradingStatus
from qtlib.domain.state import State
from qtlib.market import Market
from qtlib.report.columns import Tables
from qtlib.report.metrics import Metrics, metrics
from qtlib.report.tables import tables
from qtlib.runs.record.run import Run

if TYPE_CHECKING:  # a session has no use for what compiles, and it takes a second
    from qtlib.runs.backtested import Backtest


def before(journal: Iterable[tuple[int, Event]], start: State) -> Mapping[str, Any]:
    """What the positions open at `start` had cost by then; the journal is only read if there are any."""
    if not start.trades:
        return {}
    return tables(event for _, event in journal).carried


def keep(run: Run, books: Tables, data: Mapping[str, Any]) -> Metrics:
    """Write the tables and hand the metrics to the record, with what they were made of (`data`); the metrics."""
    for name in ("trades", "equity", "decisions"):
        run.write_table(name, getattr(books, name))
    figures = metrics(books)
    ending = books.state.ending
    stopped = f"{ending} asked for it" if ending else None
    run.finish(metrics=figures, counters=_counters(books), data={**data, **_period(books)}, stopped=stopped)
    return figures


def replayed(market: Market, done: "Backtest") -> dict[str, Any]:
    """What a backtest was made of, as the record has it."""
    return {
        **market_words(market),
        "fallbacks": dict(done.fallbacks),
        "engine": done.engine,
        "engine_note": done.said if done.why else None,
    }


def market_words(market: Market) -> dict[str, Any]:
    """What was traded on, as the record has it."""
    return {
        "source": market.source,
        "simulated": market.simulated,
        "symbols": list(market.symbols),
        "timeframe": market.timeframe,
        "fingerprint": market.fingerprint,
        "notes": [*market.notes, *map(str, market.findings)],
    }


def _counters(books: Tables) -> dict[str, Any]:
    chosen = books.decisions["action"].value_counts()
    refused = books.decisions.loc[books.decisions["action"] == "refused", "reason"].value_counts()
    return {
        "decisions": len(books.decisions),
        **{str(name): int(count) for name, count in chosen.items()},
        "refused_by_reason": {str(name): int(count) for name, count in refused.items()},
        "open_positions": len(books.state.account.positions),
        "status": books.state.status.value,
        "status_cause": books.state.cause if books.state.status is not TradingStatus.ACTIVE else None,
    }


def _period(books: Tables) -> dict[str, Any]:
    times = books.equity["ts"]
    return {
        "first": times.iloc[0].to_pydatetime() if len(times) else None,
        "last": times.iloc[-1].to_pydatetime() if len(times) else None,
        "bars": len(times),
    }
