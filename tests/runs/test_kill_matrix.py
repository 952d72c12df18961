"""The parts of a real session struck once each, in one life: it ends as the life that was left in peace."""

import pytest
from death_drill import until
from kill_matrix import BUSY, KERNEL, KILL, RUNNER, STOP, SUPERVISOR, VENUE, Blow, Life
from supervision import left_of

SETTINGS = (*BUSY, "data.bars=120")
EACH_ONCE = [
    Blow(KERNEL, KILL, 20, 0.05),
    Blow(RUNNER, KILL, 45),
    Blow(SUPERVISOR, KILL, 70),
    Blow(KERNEL, STOP, 85),
    Blow(VENUE, KILL, 100),
]


@pytest.fixture
def a_life(tmp_path):
    lives = []

    def begin(name):
        lives.append(Life(tmp_path / name, SETTINGS))
        lives[-1].root.mkdir()
        return lives[-1]

    yield begin
    for life in lives:
        life.end()
    until(lambda: left_of(tmp_path) == [])


def test_whoever_is_killed_or_stopped_the_account_ends_as_if_nobody_had_been(a_life):
    peace, rough = a_life("peace"), a_life("rough")
    peace.live()
    rough.live(EACH_ONCE)
    assert not any("nobody" in words for words in rough.struck)
    assert len(peace.ending()["fills"]) > 20
    assert rough.ending() == peace.ending()
