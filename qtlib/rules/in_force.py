"""Which risk limits are in force: a limit is tightened at once, and loosened from the next UTC day on.

So nobody loosens a limit in the middle of a loss. What is in force is never looser than what was in force earlier in
the day, nor than what is asked for; from the next day on it is what was asked for. Days are those of wall time: it is
a person who has to sleep on it.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from math import isfinite
from typing import Any

from qtlib.domain.events import LimitsSet, PlainLimits
from qtlib.rules.limits import RiskLimits

_LARGER_IS_TIGHTER = {"cooldown_s"}

Ladder = tuple[tuple[float, float], ...]

SETTABLE = tuple(f.name for f in fields(RiskLimits) if isinstance(getattr(RiskLimits(), f.name), int | float))
_COUNTS = tuple(name for name in SETTABLE if isinstance(getattr(RiskLimits(), name), int))


def in_force(asked: RiskLimits, recorded: LimitsSet | None, now: datetime) -> RiskLimits:
    """The limits that hold at `now` [wall time] for a session that asks for `asked`, after what is recorded."""
    return asked if recorded is None else tighter(asked, _standing(asked, recorded, now))


def asked_for(settings: RiskLimits, recorded: LimitsSet | None) -> RiskLimits:
    """What a session with these settings asks for: where people asked otherwise, it is their word that counts.

    Until the settings say something else than they did then: the later word counts, whoever says it.
    """
    if recorded is None:
        return settings
    said = recorded.settings
    kept = {name: recorded.asked[name] for name, now in plain(settings).items() if name in said and said[name] == now}
    return limits_of(kept, settings)


def reset(recorded: LimitsSet, changes: Mapping[str, float], by: str, reason: str, now: datetime) -> LimitsSet:
    """What is recorded, after `by` asked for `changes` at `now`: stricter at once, looser from the next UTC day on."""
    asked = limits_of({**recorded.asked, **changes}, RiskLimits())
    why = reason if loosened(asked, recorded) else recorded.reason
    holding = plain(in_force(asked, recorded, now))
    return replace(recorded, in_force=holding, asked=plain(asked), asked_at=now, by=by, reason=why)


def unfit(changes: Mapping[str, float]) -> str:
    """Why no limit may be set like this, in a sentence; empty: they may."""
    if not changes:
        return "no limit was named: " + ", ".join(SETTABLE)
    for name, value in changes.items():
        if name not in SETTABLE:
            return f"there is no limit {name!r} to set; there are {', '.join(SETTABLE)}"
        if not isfinite(value) or value < 0:
            return f"{name} = {value} must be a number, and not below 0"
        if name.endswith("_frac") and value > 1:
            return f"{name} = {value} must be at most 1: 1 % is 0.01"
        if name in _COUNTS and value != int(value):
            return f"{name} = {value} must be a whole number"
    return ""


def loosened(asked: RiskLimits, recorded: LimitsSet | None) -> dict[str, tuple[Any, Any]]:
    """The limits by name that `asked` would loosen beyond what is recorded as asked for: what they were, and are."""
    if recorded is None:
        return {}
    before = limits_of(recorded.asked, asked)
    kept = tighter(asked, before)
    names = [f.name for f in fields(RiskLimits) if getattr(kept, f.name) != getattr(asked, f.name)]
    return {name: (getattr(before, name), getattr(asked, name)) for name in names}


def tighter(one: RiskLimits, other: RiskLimits) -> RiskLimits:
    """Limits that allow nothing that `one` or `other` does not; `one` itself where it is as tight in everything."""
    picked: dict[str, Any] = {
        "drawdown_ladder": _lower(one.drawdown_ladder, other.drawdown_ladder),
        "clusters": _joined(one.clusters, other.clusters),
    }
    for f in fields(RiskLimits):
        if f.name not in picked:
            pick = max if f.name in _LARGER_IS_TIGHTER else min
            picked[f.name] = pick(getattr(one, f.name), getattr(other, f.name))
    return RiskLimits(**picked)


def plain(limits: RiskLimits) -> PlainLimits:
    """`limits` as the journal keeps them, by name."""
    return {f.name: getattr(limits, f.name) for f in fields(limits)}


def limits_of(kept: PlainLimits, asked: RiskLimits) -> RiskLimits:
    """What the journal kept; a limit that it does not know yet is as `asked`, one that is no more is passed over."""
    values = {f.name: kept[f.name] for f in fields(RiskLimits) if f.name in kept}
    return replace(asked, **values | {name: int(values[name]) for name in _COUNTS if name in values})  # type: ignore[arg-type]


def _standing(asked: RiskLimits, recorded: LimitsSet, now: datetime) -> RiskLimits:
    """What no session may be looser than today."""
    slept = now.date() > recorded.asked_at.date()
    return limits_of(recorded.asked if slept else recorded.in_force, asked)


def _lower(one: Ladder, other: Ladder) -> Ladder:
    """The ladder that leaves the smaller share of the two at any drawdown."""
    if all(_share(one, rung) <= _share(other, rung) for rung, _ in (*one, *other)):
        return one
    return tuple(sorted({*one, *other}))


def _share(ladder: Ladder, down: float) -> float:
    return min((share for rung, share in ladder if down >= rung), default=1.0)


def _joined(one: Mapping[str, str], other: Mapping[str, str]) -> Mapping[str, str]:
    """What either holds together is together."""
    groups: list[set[str]] = []
    for clusters in (one, other):
        for name in dict.fromkeys(clusters.values()):
            members = {symbol for symbol, of in clusters.items() if of == name}
            touched = [group for group in groups if group & members]
            groups = [group for group in groups if not group & members] + [members.union(*touched)]
    if len(groups) == len(set(one.values())) and sum(map(len, groups)) == len(one):
        return one
    return {symbol: min(group) for group in groups for symbol in sorted(group)}
