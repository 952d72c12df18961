"""A desk, and the panel that stands before it."""

import pytest
from a_desk import ADesk

from qtlib.panel import Panel


@pytest.fixture
def desk(tmp_path):
    return ADesk(tmp_path / "journal.sqlite")


@pytest.fixture
def panel(desk):
    made = Panel(desk)
    yield made
    made.close()
