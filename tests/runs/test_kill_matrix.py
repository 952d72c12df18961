"""A sample of the kill matrix, which `make prove` goes through: a real session, struck at steps of it."""

import pytest
from kill_life import ENTRY, KILL, STOP, STOP_LOSS, stage
from kill_matrix import BLOWS, ENDS, OUTCOMES, STEPS, Cell, Step, cells, live_through, lives
from patience import until
from stage import KERNEL, RUNNER, SUPERVISOR, VENUE
from strike import AFTER, BEFORE, WIRE

OUTCOME = "timed out after acceptance"
SAMPLE = (
    Cell(Step("asked", ENTRY), AFTER, KERNEL, KILL, OUTCOME),
    Cell(Step(WIRE, ENTRY), AFTER, VENUE, KILL, OUTCOME),
    Cell(Step("sent", ENTRY), BEFORE, RUNNER, KILL, OUTCOME),
    Cell(Step("became", ENTRY), BEFORE, SUPERVISOR, KILL, OUTCOME),
    Cell(Step("moment", ENTRY), AFTER, KERNEL, STOP, OUTCOME),
)


@pytest.fixture
def root(tmp_path):
    yield tmp_path
    until(lambda: stage().there() == [])


def test_whoever_is_killed_or_stopped_at_whichever_step_the_account_ends_as_if_nobody_had_been(root):
    lived = live_through(SAMPLE, root / "life", bars=80)
    assert lived.wrongs == []
    assert len(lived.struck) == len(SAMPLE)


def test_the_matrix_is_whole_and_each_cell_of_it_is_in_one_life():
    every = cells()
    assert len(every) == len(set(every)) == len(OUTCOMES) * len(STEPS) * 2 * len(BLOWS) + len(ENDS) * 2 * len(BLOWS)
    assert sorted(map(str, every)) == sorted(str(cell) for life in lives() for cell in life)
    assert {(step.name, step.order) for step in STEPS} >= {("asked", STOP_LOSS), (WIRE, STOP_LOSS), (WIRE, ENTRY)}
