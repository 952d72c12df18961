"""Samples: what came of decisions that were really made, with the features as they were known then.

A sample is made from a session's own events and nothing else: the features from the decision, the outcome from fills,
fees and funding. It says where it comes from, and what never happened is never called a trade: a candidate that a limit
kept out is followed *in shadow*, by what its label says came of it, and counts for no trigger. A trade of whose
decision no such features were kept (a rule of thumb decided, or the features were others then) teaches by those that
its bars tell of it now, and says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Choice
from qtlib.domain.events import DecisionMade, Event, Filled, SessionOpened
from qtlib.domain.learned import FeaturesSeen
from qtlib.domain.panel import Panel
from qtlib.domain.state import State, Trade
from qtlib.learning.dataset import Dataset
from qtlib.learning.labels import Labels

BACKFILL = "backfill"  # the provenance of what is known by features that were computed afterwards
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sample:
    symbol: str
    decided: datetime  # the close at which it was decided
    sign: int  # +1 a long, -1 a short
    features: tuple[float, ...]
    schema: str  # of the features; empty: none were kept
    provenance: str  # sim · paper · demo · live: the mode of the session; or backfill
    confidence: float | None = None
    model_version: str = ""
    outcome_frac: float | None = None  # net of all costs, of entry notional; None: not known
    outcome_r: float | None = None  # over the stop's distance
    ended: datetime | None = None
    shadow: bool = False  # it was never traded


def samples(events: Iterable[Event]) -> list[Sample]:
    """Of every trade that closed and was ours, and of every candidate that was followed, as they became known."""
    state, mode = State(), ""
    seen: dict[tuple[str, datetime], FeaturesSeen] = {}
    found: list[Sample] = []
    decision: DecisionMade | None = None
    for event in events:
        before, state = state, advance(state, event)
        if isinstance(event, SessionOpened):
            mode = event.mode
        elif isinstance(event, DecisionMade):
            decision = event
        elif isinstance(event, FeaturesSeen) and decision is not None and decision.ts == event.ts:
            seen |= {(symbol, event.ts): event for symbol in event.rows}
            found += _followed(event, decision, mode)
        elif isinstance(event, Filled):
            was, now = before.trades.get(event.fill.symbol), state.trades.get(event.fill.symbol)
            if was and was.decided and (now is None or now.trade_id != was.trade_id):
                net = was.net + state.account.cash - before.account.cash
                kept = seen.pop((was.symbol, was.decided), None)
                found.append(_closed(was, before, net, event.ts, kept, mode))
    return found


def _followed(seen: FeaturesSeen, decision: DecisionMade, mode: str) -> Iterator[Sample]:
    for verdict in decision.decision.verdicts:
        if verdict.choice is Choice.REFUSED and verdict.symbol in seen.rows:
            sign = 1 if verdict.score > 0 else -1
            row = seen.rows[verdict.symbol]
            yield Sample(verdict.symbol, seen.ts, sign, row, seen.schema, mode, verdict.confidence, shadow=True)


def _closed(was: Trade, before: State, net: Decimal, ts: datetime, seen: FeaturesSeen | None, mode: str) -> Sample:
    assert was.decided is not None
    return Sample(
        was.symbol,
        was.decided,
        1 if before.account.positions[was.symbol].quantity > 0 else -1,
        seen.rows[was.symbol] if seen else (),
        seen.schema if seen else "",
        mode,
        was.confidence,
        was.model_version,
        float(net / was.notional),
        was.r_of(net),
        ts,
    )


def usable(found: Iterable[Sample], mode: str, until: datetime | None = None) -> list[Sample]:
    """Those known at `until` (None: all) that may teach in `mode`: a market made up teaches nothing of a real one."""
    known = [sample for sample in found if until is None or (sample.ended or sample.decided) <= until]
    return [sample for sample in known if (sample.provenance == "sim") == (mode == "sim")]


def shadowed(found: Sequence[Sample], panel: Panel, labels: Labels) -> list[Sample]:
    """`found`, with what came of those that were never traded, where their label is known."""
    columns = {ts: column for column, ts in enumerate(panel.times.tolist())}
    rows = {symbol: row for row, symbol in enumerate(panel.symbols)}
    out = []
    for sample in found:
        place = rows.get(sample.symbol), columns.get(_micros(sample.decided))
        if sample.shadow and place[0] is not None and place[1] is not None:
            side = (labels.long_frac, labels.long_r) if sample.sign > 0 else (labels.short_frac, labels.short_r)
            frac, r = (float(of[place]) for of in side)
            if not np.isnan(frac):
                out.append(replace(sample, outcome_frac=frac, outcome_r=r))
                continue
        out.append(sample)
    return out


def backfilled(found: Iterable[Sample], data: Dataset, schema: str) -> list[Sample]:
    """`found`, where a trade that has no features of `schema` gets those that `data`, which are of it, have for it."""
    rows = _rows(data)

    def told(sample: Sample) -> Sample:
        row = rows.get((sample.symbol, _micros(sample.decided)))
        if row is None or sample.shadow or sample.schema == schema:
            return sample
        return replace(sample, features=tuple(data.x[row].tolist()), schema=schema, provenance=BACKFILL)

    return [told(sample) for sample in found]


def taught(data: Dataset, found: Iterable[Sample], schema: str, weight: float) -> tuple[Dataset, int, int]:
    """`data` with what really came of trades in place of what bars say, each counting `weight` times as much.

    Also how many rows that were, and in how many of them the features are not, bit for bit, what was seen at the
    decision: these are left as they are. `schema` is that of the features of `data`; what was kept of others is not
    compared.
    """
    rows = _rows(data)
    columns = {name: getattr(data, name).copy() for name in ("long_r", "short_r", "long_frac", "short_frac", "weight")}
    used = strange = 0
    for sample in found:
        row = rows.get((sample.symbol, _micros(sample.decided)))
        if row is None or sample.shadow or sample.outcome_r is None or sample.schema != schema:
            continue
        if tuple(data.x[row].tolist()) != sample.features:
            strange += 1
            continue
        side = "long" if sample.sign > 0 else "short"
        columns[f"{side}_r"][row], columns[f"{side}_frac"][row] = sample.outcome_r, sample.outcome_frac
        columns["weight"][row] *= weight
        used += 1
    return replace(data, **columns), used, strange


def _rows(data: Dataset) -> dict[tuple[str, int], int]:
    """Where the row of each symbol and close stands."""
    at = zip(data.symbol.tolist(), data.times.tolist(), strict=True)
    return {(data.symbols[s], t): row for row, (s, t) in enumerate(at)}


def _micros(ts: datetime) -> int:
    return (ts - _EPOCH) // timedelta(microseconds=1)
