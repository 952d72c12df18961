"""Triggers: whether a retrain is due, from what the journal has counted. Asked as often as one likes.

A retrain is due when enough trades have closed since the last one, or when long enough has passed and there is at least
one, or when what is seen has drifted from what was learned, or when a person asks. While one runs none is due, so
whatever triggers meanwhile is one trigger; one that failed is tried again after a pause that grows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from qtlib.domain.learned import Learning

LONGEST_PAUSE = 24  # of `retry_hours`
SETTLED = 0.25  # of the interval: a drift that the last retrain did not mend is no reason for another at once


@dataclass(frozen=True, slots=True)
class TriggerParams:
    enabled: bool = True
    min_samples: int = 50  # closed trades since the last retrain
    interval_hours: float = 24.0  # since the last retrain, of the venue's time; then one new sample will do
    retry_hours: float = 1.0  # after one that failed; doubled with each that follows


def due(learning: Learning, now: datetime, params: TriggerParams, drift: str = "") -> str:
    """Why a retrain is due at `now` [venue time]; empty: it is not. `drift` says how far inputs or outcomes moved."""
    if not params.enabled or learning.running:
        return ""
    if learning.asked:
        return f"asked for by {learning.asked}"
    if learning.failures and learning.begun and now < learning.begun + _pause(learning.failures, params):
        return ""
    if learning.samples >= params.min_samples:
        return f"{learning.samples} closed trades since the last retrain, {params.min_samples} are enough"
    if learning.samples and (since := _since(learning)) and now >= since + timedelta(hours=params.interval_hours):
        return f"{params.interval_hours:g} h have passed, with {learning.samples} closed trades"
    since = _since(learning)
    settled = since is not None and now >= since + timedelta(hours=params.interval_hours * SETTLED)
    return drift if learning.samples and settled else ""


def next_due(learning: Learning, params: TriggerParams) -> datetime | None:
    """When the clock alone will make one due [venue time]; None: it will not, for want of a sample."""
    since = _since(learning)
    if not params.enabled or learning.running or not learning.samples or since is None:
        return None
    by_clock = since + timedelta(hours=params.interval_hours)
    if learning.failures and learning.begun:
        return max(by_clock, learning.begun + _pause(learning.failures, params))
    return by_clock


def _since(learning: Learning) -> datetime | None:
    """When the interval began: with the last retrain, or with the first trade that ended."""
    return learning.begun or learning.first


def _pause(failures: int, params: TriggerParams) -> timedelta:
    return timedelta(hours=params.retry_hours * min(2 ** (failures - 1), LONGEST_PAUSE))
