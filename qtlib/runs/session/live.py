"""The live pieces of a session: the exchange of its mode, and the moments that come from there.

Apart from `wiring`, because the adapter's client library takes a second to load and a backtest has no use for it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.domain.decisions import Moment
from qtlib.domain.panel import Array, Times
from qtlib.domain.state import State
from qtlib.engine.auditor import PERIOD_S, Auditor
from qtlib.engine.feeds import Strategy
from qtlib.engine.health import Link
from qtlib.engine.live import Fit, Subject, single_pass, stepped, streamed
from qtlib.engine.universe import Universe
from qtlib.exchanges.binance.adapter import SETTLE_S, Binance, open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.market import first_closes
from qtlib.market.quality import OUTAGE, fit
from qtlib.market.survey import Doubts, doubts
from qtlib.market.timeframes import length_of
from qtlib.params import Params
from qtlib.report.columns import Tables
from qtlib.report.metrics import Metrics
from qtlib.rules.rules import Rules
from qtlib.runs import reading, wiring
from qtlib.runs.record.health import Health
from qtlib.runs.record.run import Run
from qtlib.runs.record.secrecy import know_keys
from qtlib.runs.session.venue import opened

PRIVATE_S = 20.0  # without trust in the account's stream REST is asked, and the page says so after three of these
SERVED_SETTLE_S = 1.0  # after which our own venue has certainly not taken an order that it does not know
MICROSECOND = timedelta(microseconds=1)
STALE_BARS = 0.5  # beliefs about a bar that closed longer ago than this part of its length open nothing


def exchange(params: Params, root: Path | None = None) -> Binance:
    """The exchange of the session's mode, through the venue's own protocol: of `sim` and `paper` our own venue's."""
    mode = Mode(params.mode)
    know_keys(params.mode)
    url = opened(params, root) if mode.served else None
    settle_s = SERVED_SETTLE_S if mode.served else SETTLE_S
    return open_exchange(mode, params.universe.symbols, url=url, settle_s=settle_s, in_turn=_waits(params))


def symbols(params: Params, start: State, exchange: Binance) -> list[str]:
    """What facts are needed of: what is traded, and what is held. A candidate that the venue does not list is none."""
    named = params.universe.symbols
    return sorted({*(exchange.trading(named) if params.universe.rule else named), *start.account.positions})


def moments(
    run: Run, exchange: Binance, strategy: Strategy, rules: Rules, after: datetime, auditor: Auditor, health: Health
) -> Iterator[Moment]:
    """What is known at each close of a bar after `after`, as the session's venue tells it."""
    params = run.params
    timeframe, names = params.data.timeframe, tuple(s for s in params.universe.symbols if s in rules.instruments)
    span = length_of(timeframe)
    may_trade: Fit = partial(fit, timeframe=timeframe, refill=strategy.lookback)
    if params.mode == Mode.SIM.value and params.data.path is not None:
        may_trade = undoubted(may_trade, sorted(names), span, doubts(Path(params.data.path), names, timeframe))
    funding = getattr(strategy, "reads_funding", False)
    subject = Subject(
        strategy,
        names,
        timeframe,
        span,
        may_trade,
        before=OUTAGE - 1,
        reads_funding=funding,
        universe=_universe(params, exchange, names),
    )
    if _waits(params):
        return stepped(exchange, subject, after, lambda: auditor.settled)
    feed = streamed(exchange, subject, after, stale_s=STALE_BARS * span.total_seconds())
    return _heard(single_pass(feed) if params.session.once else feed, exchange, health, span)


def _heard(feed: Iterator[Moment], exchange: Binance, health: Health, span: timedelta) -> Iterator[Moment]:
    """`feed`, with signs of life of both streams on the health page."""
    health.expect("market", span.total_seconds())
    health.expect("private", PRIVATE_S)
    for moment in feed:
        if moment.bars:
            health.beat("market")
        if exchange.trusted:
            health.beat("private")
        yield moment


def health(run: Run, exchange: Binance, rules: Rules) -> Health:
    """What the health page will say of this session."""
    params, link = run.params, partial(link_of, exchange)
    return Health(
        params.mode, params.venue.name, params.session.account, rules.limits, params.session.heartbeat_s, link
    )


def link_of(exchange: Binance) -> Link:
    """What the adapter has heard of the venue, without asking it."""
    age_s, streams_age_s = exchange.last_event_age_s, exchange.streams_age_s
    return Link(
        clock_offset_ms=exchange.clock_offset_ms,
        last_event_age_s=round(age_s, 3),
        streams_age_s=None if streams_age_s is None else round(streams_age_s, 3),
        streams_lost=exchange.streams_lost or None,
    )


def auditor(run: Run, rules: Rules, health: Health | None = None) -> Auditor:
    """Counts for how long positions are bare; what it says stands in the log, and that it lives on the health page."""
    exits = rules.exits
    if health is None:
        return Auditor(exits.protect_timeout_s, exits.recover_timeout_s, run.log.warning)
    health.expect("protect", PERIOD_S)
    beat = partial(health.beat, "protect")
    return Auditor(exits.protect_timeout_s, exits.recover_timeout_s, run.log.warning, beat)


def keep(run: Run, books: Tables, bars: Mapping[str, pd.DataFrame]) -> Metrics:
    """Write the tables and hand the metrics to the record, with the bars that were traded on; the metrics."""
    return reading.keep(run, books, _data(run, bars))


def undoubted(may_trade: Fit, names: list[str], span: timedelta, doubted: Doubts) -> Fit:
    """`may_trade`, but for what a survey of the bars on disk doubts, as in a backtest of them."""

    def told(times: Times, volume: Array) -> npt.NDArray[np.bool_]:
        close, length = int(times[-1]), span // MICROSECOND
        spans = (doubted.spans.get(name, ()) for name in names)
        clear = [not any(start < close and close - length < end for start, end in its) for its in spans]
        return np.asarray(may_trade(times, volume) & clear, dtype=np.bool_)

    return told


# --- below ------------------------------------------------------------------------------------------------


def _universe(params: Params, exchange: Binance, names: tuple[str, ...]) -> Universe | None:
    rule, candidates = params.universe.rule, params.universe.symbols
    if rule is None:
        return None
    data = params.data
    if (
        params.mode == Mode.SIM.value and data.path is not None
    ):  # our own venue knows no bars before the first it serves
        return Universe(candidates, rule, first_closes(data.path, names, data.timeframe))
    return Universe(candidates, rule, exchange.first_closes(names, data.timeframe))


def _waits(params: Params) -> bool:
    """Whether the market waits for its trader."""
    return Mode(params.mode) is Mode.SIM and params.venue.speed is None


def _data(run: Run, bars: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for symbol in sorted(bars):
        digest.update(symbol.encode())
        digest.update(bars[symbol].to_numpy(dtype=float).tobytes())
    return {
        "source": wiring.prices_of(run.params),
        "simulated": run.params.mode == Mode.SIM.value and run.params.data.source == "simulated",
        "symbols": list(run.params.universe.symbols),
        "timeframe": run.params.data.timeframe,
        "fingerprint": digest.hexdigest(),
        "notes": [],
    }
