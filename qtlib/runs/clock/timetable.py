"""What runs on a clock: a table of jobs, each a command of `qt`, with the setting that says when.

A job more is a row more, and a field of the same name in `params.Schedule`. Times are UTC, as everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from qtlib.params import Params
from qtlib.runs.alerting.alerts import addresses


@dataclass(frozen=True, slots=True)
class Job:
    name: str  # of the field in `params.Schedule` that holds its clock
    what: str
    words: Callable[[datetime], list[str]]  # of `qt`, for the time it was due; settings are added
    idle: Callable[[Params], str] = lambda params: ""  # why it need not run with these settings


def _learns(params: Params) -> str:
    return "" if params.strategy.name == "learned" and params.learning.enabled else "this account learns nothing"


def _told(params: Params) -> str:
    return "" if addresses() else "nobody is to be told: QT_ALERT_URLS names no address"


def _yesterday(due: datetime) -> str:
    return f"{due - timedelta(days=1):%Y-%m-%d}"


JOBS = (
    Job("retrain", "a new model, if one is due and no session is on it", lambda due: ["retrain", "--if-due"], _learns),
    Job("report", "the post-mortem of yesterday", lambda due: ["postmortem", _yesterday(due)]),
    Job("alerts", "what needs a person, and a session that fell silent", lambda due: ["alerts", "send"], _told),
)
