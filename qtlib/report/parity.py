"""Parity: a session beside a replay of it, decision by decision and trade by trade, and what each difference is due to.

A replay is a world: the session as it would have gone under some assumptions. Between the backtest's world and life lie
worlds that each take one more thing from life, as the fees it paid. What changes from one to the next is that thing's
doing, whatever it led to; what is left at the end is split by the parts of a trade. So the parts of a difference add up
to it: nothing is left over, nothing counts twice.

A trade is known by its symbol and the close at which it was decided.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from math import fsum

import pandas as pd

from qtlib.domain.decisions import Decision, Signal
from qtlib.domain.events import DecisionMade, Event
from qtlib.domain.learned import FeaturesSeen
from qtlib.domain.naming import wished
from qtlib.report.columns import Tables

TICK = 1e-6  # in quote: less than this is no difference


class Cause(Enum):
    """What a trade's difference is due to."""

    MODEL = "model_version"  # another model believed
    FEATURES = "features"  # it was shown something else
    SIGNAL = "signal"  # it said something else of the same
    MISSED = "missed"  # the session did not trade what the replay trades
    EXTRA = "extra"  # the session traded what the replay does not
    SIZE = "size"
    DELAY = "delay"  # between decision and fill
    SLIPPAGE = "slippage"
    STOP_PATH = "stop_path"  # it was left elsewhere, or otherwise
    FEE = "fee"
    FUNDING = "funding"


@dataclass(frozen=True, slots=True)
class Deal:
    """What became of a trade, in quote unless it says otherwise; prices are means over what was closed."""

    key: str
    symbol: str
    sign: int
    quantity: float  # closed, in base
    entry: float
    exit: float
    fees: float
    funding: float  # received
    net: float
    way: tuple[str, ...] = ()  # why each part of it was left
    decided: datetime | None = None  # None: it was found
    ended: datetime | None = None


Candidate = tuple[datetime | None, str]  # the close at which it was judged, and its symbol
Belief = tuple[float, float]  # score and confidence
Parts = Mapping[Cause, float]  # in quote; what is not named is zero
Deals = Mapping[str, Deal]


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one trade: what the session made of it and what the backtest does, and what each cause brought or took."""

    key: str
    symbol: str
    live: float | None  # net; None: not traded
    replayed: float | None
    parts: Parts
    decided: datetime | None = None

    @property
    def total(self) -> float:
        """What the session made more."""
        return (self.live or 0.0) - (self.replayed or 0.0)


def deals(tables: Tables) -> dict[str, Deal]:
    """The trades that were closed, wholly or in part, by symbol and decision."""
    found: dict[str, Deal] = {}
    for name, rows in tables.trades.groupby("trade_id", sort=False):
        quantity = float(rows.quantity.sum())
        first, key = rows.iloc[0], _decided(str(name))
        while key in found:
            key += "+"  # decided again at the same close
        found[key] = Deal(
            key,
            str(first.symbol),
            1 if first.side == "long" else -1,
            quantity,
            fsum(rows.entry_price * rows.quantity) / quantity,
            fsum(rows.exit_price * rows.quantity) / quantity,
            fsum(rows.fees_quote),
            fsum(rows.funding_quote),
            fsum(rows.pnl_quote),
            tuple(rows.exit_reason),
            wished(str(name)),
            rows.exit_ts.max().to_pydatetime(),
        )
    return found


def differences(live: Deals, worlds: Sequence[tuple[Cause | None, Deals]]) -> list[Difference]:
    """Of each trade that any of them made: what is due to what.

    The first of `worlds` is the backtest; each that follows takes what its cause names from life.
    """
    names = dict.fromkeys([*live, *(key for _, world in worlds for key in world)])
    found = []
    for key in names:
        steps = [world.get(key) for _, world in worlds]
        there, first = live.get(key), steps[0]
        any_of = next(deal for deal in (there, *steps) if deal)
        parts: dict[Cause, float] = {}
        for (cause, _), before, after in zip(worlds[1:], steps, steps[1:], strict=False):
            if cause is not None:
                parts[cause] = parts.get(cause, 0.0) + _net(after) - _net(before)
        for cause, part in split(there, steps[-1]).items():
            parts[cause] = parts.get(cause, 0.0) + part
        told = {cause: part for cause, part in parts.items() if abs(part) >= TICK}
        live_net, replayed_net = (None if deal is None else deal.net for deal in (there, first))
        found.append(Difference(key, any_of.symbol, live_net, replayed_net, told, any_of.decided))
    return found


def split(live: Deal | None, replayed: Deal | None) -> dict[Cause, float]:
    """What `live` made more than `replayed`, by what they do not share; a part that is the same in both counts nothing.

    >>> one = Deal("a", "BTCUSDT", 1, 2.0, entry=100.0, exit=110.0, fees=0.2, funding=0.0, net=19.8)
    >>> dearer = Deal("a", "BTCUSDT", 1, 2.0, entry=101.0, exit=110.0, fees=0.3, funding=0.0, net=17.7)
    >>> {cause.value: round(part, 6) for cause, part in split(dearer, one).items()}
    {'fee': -0.1, 'slippage': -2.0}
    """
    total = _net(live) - _net(replayed)
    if live is None or replayed is None:
        return {Cause.MISSED if live is None else Cause.EXTRA: total} if total else {}
    if live.sign != replayed.sign:
        return {Cause.SIGNAL: total}
    moved = replayed.exit - replayed.entry
    parts = {
        Cause.SIZE: live.sign * (live.quantity - replayed.quantity) * moved,
        Cause.FEE: replayed.fees - live.fees,
        Cause.FUNDING: live.funding - replayed.funding,
        Cause.SLIPPAGE: live.sign * live.quantity * (replayed.entry - live.entry),
    }
    left = total - fsum(parts.values())  # where it was left; of what vanished no price is known
    whose = Cause.SLIPPAGE if live.way == replayed.way else Cause.STOP_PATH
    parts[whose] = parts.get(whose, 0.0) + left
    return {cause: part for cause, part in parts.items() if abs(part) >= TICK}


def by_cause(found: Iterable[Difference]) -> dict[Cause, float]:
    """What each cause brought or took in all, in quote, in the order of the causes."""
    found = list(found)
    sums = {cause: fsum(one.parts.get(cause, 0.0) for one in found) for cause in Cause}
    moved = {cause: fsum(abs(one.parts.get(cause, 0.0)) for one in found) for cause in Cause}
    return {cause: sums[cause] for cause in Cause if moved[cause] >= TICK}


def disagreements(live: pd.DataFrame, replayed: pd.DataFrame) -> pd.DataFrame:
    """The verdicts that are not the same, of both sides (`_live`, `_replayed`), by close and symbol; `_merge` says
    where one side has none."""
    both = live.merge(replayed, on=["ts", "symbol"], how="outer", suffixes=("_live", "_replayed"), indicator=True)
    columns = [name for name in live.columns if name not in ("ts", "symbol")]
    same = both["_merge"] == "both"
    for name in columns:
        one, other = both[f"{name}_live"], both[f"{name}_replayed"]
        same &= (one == other) | (one.isna() & other.isna())
    return both[~same].reset_index(drop=True)


def unlike(live: Iterable[Event], own: Mapping[Candidate, Signal]) -> dict[Candidate, Cause]:
    """Of which candidates the session did not believe what is believed here of the same bars (`own`), and why: another
    model, other features, or neither.

    A journal keeps the features of what was entered, or nearly. What others were made from is judged by those: it is as
    it was with the one nearest in time.
    """
    told = _Beliefs.of(live)
    found: dict[Candidate, Cause] = {}
    for candidate, said in told.said.items():
        here = own.get(candidate)
        if here is None or said == (here.score, here.confidence):
            continue
        found[candidate] = Cause.SIGNAL
        if told.versions.get(candidate[0], here.model_version) != here.model_version:
            found[candidate] = Cause.MODEL
        elif told.features.get(candidate, here.features) != here.features:
            found[candidate] = Cause.FEATURES
    kept = [one for one, why in found.items() if one in told.features and why is not Cause.MODEL]
    return found | _judged_by(kept, found)


def beliefs(events: Iterable[Event]) -> Mapping[Candidate, Belief]:
    """What was believed of each candidate."""
    return _Beliefs.of(events).said


# --- below ------------------------------------------------------------------------------------------------


def _judged_by(kept: Iterable[Candidate], found: Mapping[Candidate, Cause]) -> dict[Candidate, Cause]:
    """The cause of each candidate whose features nobody kept: that of the nearest in time whose are `kept`."""
    known = sorted(kept, key=_time)
    if not known:
        return {}
    times, judged = [_time(one) for one in known], {}
    unknown = found.keys() - set(known)
    for candidate in (one for one in found if one in unknown and found[one] is Cause.SIGNAL):
        at = bisect_left(times, _time(candidate))
        near = min(known[max(0, at - 1) : at + 1], key=partial(_apart, _time(candidate)))
        judged[candidate] = found[near]
    return judged


def _apart(then: float, candidate: Candidate) -> float:
    return abs(_time(candidate) - then)


def _time(candidate: Candidate) -> float:
    ts, _ = candidate
    return ts.timestamp() if ts else 0.0


def _net(deal: Deal | None) -> float:
    return 0.0 if deal is None else deal.net


def _decided(trade_id: str) -> str:
    """Symbol and close of a trade: its name, less the number of the order, which counts what differs elsewhere."""
    head, _, _ = trade_id.rpartition("-")
    return head if trade_id.startswith("qt-") else trade_id


@dataclass(frozen=True, slots=True)
class _Beliefs:
    """What a journal says of what was believed."""

    said: Mapping[Candidate, Belief]
    features: Mapping[Candidate, tuple[float, ...]]  # where a model was to learn from them
    versions: Mapping[datetime | None, str]  # by close: as the last entry until then names it

    @classmethod
    def of(cls, events: Iterable[Event]) -> "_Beliefs":
        said: dict[Candidate, Belief] = {}
        features: dict[Candidate, tuple[float, ...]] = {}
        versions: dict[datetime | None, str] = {}
        version: str | None = None
        for event in events:
            if isinstance(event, DecisionMade):
                said |= {(event.ts, v.symbol): (v.score, v.confidence) for v in event.decision.verdicts}
                entered = _version(event.decision)
                version = version if entered is None else entered
                if version is not None:
                    versions[event.ts] = version
            elif isinstance(event, FeaturesSeen):
                features |= {(event.ts, symbol): row for symbol, row in event.rows.items()}
        return cls(said, features, versions)


def _version(decision: Decision) -> str | None:
    """Whose decision it was; None: it entered nothing, and so does not say."""
    return next((target.model_version for target in decision.targets.values() if target.quantity), None)
