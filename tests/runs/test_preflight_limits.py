"""Loosening a limit without a reason is refused before a kernel starts, with the numbers and exit code 3."""

from datetime import UTC, datetime

import pytest

from qtlib.domain.events import LimitsSet
from qtlib.domain.state import State
from qtlib.engine.session import Loosened
from qtlib.journal import Journal
from qtlib.params import resolve
from qtlib.rules.in_force import plain
from qtlib.rules.limits import RiskLimits
from qtlib.runs.execution.preflight import preflight
from qtlib.runs.record.ends import end_of
from qtlib.runs.record.folder import journal_location


def test_what_would_loosen_a_limit_is_refused_unless_somebody_says_why(tmp_path):
    held = plain(RiskLimits(max_positions=2))
    with Journal(journal_location("main", tmp_path), "main") as journal:
        journal.absorb(State(), [LimitsSet(State().ts, "r1", held, held, datetime.now(UTC), "eva@desk")])
    with pytest.raises(Loosened, match="max_positions from 2 to 4: say why") as refused:
        preflight("live", resolve().params, tmp_path)
    assert end_of([kind.__name__ for kind in type(refused.value).__mro__]) == ("refused", 3)
    preflight("live", resolve(overrides=["session.reason=four are enough"]).params, tmp_path)
    preflight("live", resolve(overrides=["limits.max_positions=1"]).params, tmp_path)
    preflight("backtest", resolve().params, tmp_path)
