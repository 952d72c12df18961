"""Parity: a session's journal beside its replay, and what each trade's difference is due to.

What the session met otherwise than the backtest reckons with is read from its journal: what fees it paid, how long
after a close it was filled, at which closes it was away. The replay is done again with each of these in turn, and so
what it led to, down to a trade that was missed for it, is put to its account.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from statistics import median

import pandas as pd

from qtlib.domain.events import START, DecisionMade, Event, Filled, OrderRequested, SessionOpened
from qtlib.domain.market import Instrument
from qtlib.domain.orders import OrderIntent
from qtlib.journal import Journal
from qtlib.report.parity import Cause, Deal, Difference, by_cause, deals, differences, disagreements, unlike
from qtlib.report.tables import tables
from qtlib.runs import relived, wiring
from qtlib.runs.folder import RunsError, journal_location
from qtlib.runs.relived import Scene, World
from qtlib.runs.run import Run

LEAST_FEE = Decimal("0.0000001")  # of notional: fees are charged in whole 1e-8 of quote, and no nearer known
LEAST_S = 0.001  # of a delay


@dataclass(frozen=True, slots=True)
class Measured:
    """What a session met, where a backtest assumes something."""

    fee_frac: Mapping[str, Decimal] = field(default_factory=dict)  # of notional, of takers, by symbol
    delay_s: float | None = None  # median, from a close to a fill of what was decided at it; None: nothing was filled
    slippage_frac: float | None = None  # mean, of the price that was reckoned with
    decisions: int = 0


@dataclass(frozen=True, slots=True)
class Parity:
    of: str  # the run that is looked at; empty: all
    account: str
    scenes: Sequence[Scene]
    live: Mapping[str, Deal]
    replayed: Mapping[str, Deal]
    found: Sequence[Difference]
    decided: int
    unequal: pd.DataFrame  # verdicts that differ
    met: Measured
    assumed: Measured
    away: int  # closes at which the session did not decide


def examine(run: Run) -> Parity:
    """The account's journal, or the run of it that `parity.of` names, beside its replay."""
    account, root = run.params.session.account, run.folder.root
    where = journal_location(account, root)
    if not isinstance(where, str) and not where.exists():
        raise RunsError(f"account {account} has no journal, so there is nothing to replay; `qt live` begins one")
    with Journal(where, account, reading=True) as journal:
        events = [event for _, event in journal.events()]
    events, since = _meant(run.params.parity.of, events)
    return compare(events, relived.scenes(events, root, run.params), account, run.params.parity.of or "", since)


def compare(
    events: Sequence[Event], scenes: Sequence[Scene], account: str = "", of: str = "", since: datetime = START
) -> Parity:
    """What `events` add up to beside what their replay does, after `since`."""
    listed = {symbol: instrument for scene in scenes for symbol, instrument in scene.listed.items()}
    met = measured(events)
    replays = [list(_relived(scenes, World()))]
    books = [tables(replays[0])]
    causes: list[Cause | None] = [None]
    for cause, world in worlds(met, listed, away := _away(scenes)):
        replays.append(list(_relived(scenes, world)))
        books.append(tables(replays[-1]))
        causes.append(cause)
    lived = tables(events)
    judged, again = (b.decisions[b.decisions.ts > pd.Timestamp(since)] for b in (lived, books[0]))
    live, *steps = (
        {k: d for k, d in deals(b).items() if (d.decided or d.ended or since) > since} for b in (lived, *books)
    )
    found = differences(live, list(zip(causes, steps, strict=True)), unlike(events, replays[-1]))
    return Parity(
        of,
        account,
        scenes,
        live,
        steps[0],
        found,
        len(judged),
        disagreements(judged, again),
        met,
        measured(replays[0]),
        away,
    )


def worlds(met: Measured, listed: Mapping[str, Instrument], away: int) -> Iterable[tuple[Cause, World]]:
    """From the backtest's world to the session's, one thing at a time; only what differs."""
    world = World()
    if away:
        world = World(asked=True)
        yield Cause.MISSED, world
    dearer = {
        symbol: frac for symbol, frac in met.fee_frac.items() if abs(frac - listed[symbol].taker_fee_frac) >= LEAST_FEE
    }
    if dearer:
        world = World(dearer, asked=world.asked)
        yield Cause.FEE, world
    if met.delay_s is not None and met.delay_s >= LEAST_S:
        yield Cause.DELAY, World(world.taker_fee_frac, met.delay_s, world.asked)


def measured(events: Iterable[Event]) -> Measured:
    """What orders met that went to the market at once."""
    asked: dict[str, tuple[datetime, OrderIntent]] = {}
    paid: dict[str, tuple[Decimal, Decimal]] = {}
    delays: list[float] = []
    slips: list[float] = []
    decisions = 0
    for event in events:
        match event:
            case DecisionMade():
                decisions += 1
            case OrderRequested():
                asked[event.intent.client_id] = event.ts, event.intent
            case Filled() if not event.fill.maker and event.fill.client_id in asked:
                fill, (since, intent) = event.fill, asked[event.fill.client_id]
                fee, notional = paid.get(fill.symbol, (Decimal(0), Decimal(0)))
                paid[fill.symbol] = fee + fill.fee, notional + fill.price * fill.quantity
                if intent.expected:
                    slips.append(intent.side.sign * (float(fill.price / intent.expected) - 1))
                if not intent.type.conditional:
                    delays.append((event.ts - since).total_seconds())
    fees = {symbol: (fee / notional).quantize(LEAST_FEE) for symbol, (fee, notional) in paid.items() if notional}
    slippage = sum(slips) / len(slips) if slips else None
    return Measured(fees, median(delays) if delays else None, slippage, decisions)


def keep(run: Run, found: Parity) -> None:
    """Hand the figures to the record."""
    from_, to = found.scenes[0], found.scenes[-1]
    metrics = {
        "decisions": found.decided,
        "decisions_differing": len(found.unequal),
        "trades": len(found.live),
        "trades_replayed": len(found.replayed),
        "trades_differing": sum(bool(one.parts) for one in found.found),
        "net_pnl_quote": sum(deal.net for deal in found.live.values()),
        "replayed_net_pnl_quote": sum(deal.net for deal in found.replayed.values()),
        "difference_quote": sum(one.total for one in found.found),
        **{f"due_to_{cause.value}_quote": part for cause, part in by_cause(found.found).items()},
    }
    data = {
        "source": wiring.prices_of(to.params),
        "simulated": to.params.mode == "sim" and to.params.data.source == "simulated",
        "symbols": list(to.params.universe.symbols),
        "timeframe": to.params.data.timeframe,
        "runs": [scene.stretch.opened.run_id for scene in found.scenes],
        "first": from_.stretch.closes[0],
        "last": to.stretch.closes[-1],
    }
    run.finish(metrics=metrics, counters={"closes_away": found.away}, data=data)


# --- below ------------------------------------------------------------------------------------------------


def _relived(scenes: Sequence[Scene], world: World) -> Iterable[Event]:
    return (event for _, event in relived.relive(scenes, world).events())


def _away(scenes: Sequence[Scene]) -> int:
    return sum(
        bool(moment.signals) and not asked.signals
        for scene in scenes
        for (_, moment), (_, asked) in zip(scene.pairs, scene.asked, strict=True)
    )


def _meant(of: str | None, events: Sequence[Event]) -> tuple[list[Event], datetime]:
    """The events up to the end of the run that is meant, and the last close before it; all, where none is named."""
    if of is None:
        return list(events), START
    begun = [(at, event.run_id) for at, event in enumerate(events) if isinstance(event, SessionOpened)]
    meant = [number for number, (_, run_id) in enumerate(begun) if of in run_id]
    if len(meant) != 1:
        last = f"; its last is {begun[-1][1]}" if begun else ""
        raise RunsError(f"parity.of {of!r} fits {len(meant)} of the {len(begun)} runs in this journal{last}")
    start = begun[meant[0]][0]
    end = begun[meant[0] + 1][0] if meant[0] + 1 < len(begun) else len(events)
    before = max((event.ts for event in events[:start] if isinstance(event, DecisionMade)), default=START)
    return list(events[:end]), before
