"""Parity: a session's journal beside its replay, and what each trade's difference is due to.

What the session met otherwise than the backtest reckons with is read from its journal: what fees it paid, how long
after a close it was filled, at which closes it was away. The replay is done again with each of these in turn, and so
what it led to, down to a trade that was missed for it, is put to its account.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from statistics import median

import pandas as pd

from qtlib.domain.events import START, DecisionMade, Event, Filled, OrderRequested, SessionOpened
from qtlib.domain.market import Instrument
from qtlib.domain.orders import OrderIntent
from qtlib.journal import Journal
from qtlib.report.parity import (
    Candidate,
    Cause,
    Deal,
    Difference,
    beliefs,
    by_cause,
    deals,
    differences,
    disagreements,
    unlike,
)
from qtlib.report.tables import tables
from qtlib.runs import wiring
from qtlib.runs.record.folder import RunsError, journal_location
from qtlib.runs.record.run import Run
from qtlib.runs.review import relived
from qtlib.runs.review.relived import Scene, World

LEAST_FEE = Decimal("0.0000001")  # of notional: fees are charged in whole 1e-8 of quote, and no nearer known
LEAST_S = 0.001  # of a delay
LEAST_SLIP_FRAC = 1e-5  # of price: prices are in ticks, and no nearer known
TAKEN = (Cause.MISSED, Cause.MODEL, Cause.FEATURES, Cause.SIGNAL, Cause.FEE, Cause.DELAY, Cause.SLIPPAGE)  # in turn


@dataclass(frozen=True, slots=True)
class Measured:
    """What a session met, where a backtest assumes something."""

    fee_frac: Mapping[str, Decimal] = field(default_factory=dict)  # of notional, of takers, by symbol
    delay_s: float | None = None  # median, from a close to a fill of what was decided at it; None: nothing was filled
    slips: Mapping[str, float] = field(default_factory=dict)  # of the price that was reckoned with, by order
    decisions: int = 0

    @property
    def slippage_frac(self) -> float | None:
        """The mean; None: nothing was filled at once."""
        return sum(self.slips.values()) / len(self.slips) if self.slips else None


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
    met, away = measured(events), _away(scenes)
    doubted = unlike(events, {(m.ts, s.symbol): s for scene in scenes for _, m in scene.pairs for s in m.signals})
    world, causes, replays = World(), list[Cause | None]([None]), [list(_relived(scenes, World()))]
    for cause in TAKEN:
        nearer = taken(cause, world, events, replays[-1], met, _listed(scenes), away, doubted)
        if nearer != world:
            world = nearer
            causes.append(cause)
            replays.append(list(_relived(scenes, world)))
    books = [tables(replay) for replay in replays]
    lived = tables(events)
    judged, again = (b.decisions[b.decisions.ts > pd.Timestamp(since)] for b in (lived, books[0]))
    live, *steps = (
        {k: d for k, d in deals(b).items() if (d.decided or d.ended or since) > since} for b in (lived, *books)
    )
    found = differences(live, list(zip(causes, steps, strict=True)))
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


def taken(
    cause: Cause,
    world: World,
    life: Sequence[Event],
    replayed: Sequence[Event],
    met: Measured,
    listed: Mapping[str, Instrument],
    away: int,
    doubted: Mapping[Candidate, Cause],
) -> World:
    """`world`, which went as `replayed`, with what `cause` names taken from life too, where that is not the same.

    `doubted` says of which candidates life did not believe the same, and why.
    """
    match cause:
        case Cause.MISSED:
            return replace(world, asked=away > 0)
        case Cause.MODEL | Cause.FEATURES | Cause.SIGNAL:
            said = beliefs(life)
            other = {candidate: said[candidate] for candidate, why in doubted.items() if why is cause}
            return replace(world, believed={**world.believed, **other})
        case Cause.FEE:
            paid = met.fee_frac.items()
            dearer = {s: frac for s, frac in paid if abs(frac - listed[s].taker_fee_frac) >= LEAST_FEE}
            return replace(world, taker_fee_frac=dearer)
        case Cause.DELAY:
            delay_s = met.delay_s or 0.0
            return replace(world, delay_s=delay_s if delay_s >= LEAST_S else 0.0)
        case _:
            slipped = measured(replayed).slips
            more = [slip - slipped[name] for name, slip in met.slips.items() if name in slipped]
            more_frac = median(more) if more else 0.0
            return replace(world, slippage_frac=more_frac if abs(more_frac) >= LEAST_SLIP_FRAC else 0.0)


def measured(events: Iterable[Event]) -> Measured:
    """What orders met that went to the market at once."""
    asked: dict[str, tuple[datetime, OrderIntent]] = {}
    paid: dict[str, tuple[Decimal, Decimal]] = {}
    delays: list[float] = []
    slips: dict[str, float] = {}
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
                    slips[fill.client_id] = intent.side.sign * (float(fill.price / intent.expected) - 1)
                if not intent.type.conditional:
                    delays.append((event.ts - since).total_seconds())
    fees = {symbol: (fee / notional).quantize(LEAST_FEE) for symbol, (fee, notional) in paid.items() if notional}
    return Measured(fees, median(delays) if delays else None, slips, decisions)


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


def _listed(scenes: Sequence[Scene]) -> Mapping[str, Instrument]:
    return {symbol: instrument for scene in scenes for symbol, instrument in scene.listed.items()}


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
