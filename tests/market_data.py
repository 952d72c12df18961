"""Where real market data may lie. The project contains none: tests that want it skip, visibly, where it is absent."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[2] / "shared" / "data" / "market"


def folder() -> Path:
    """The folder of real bars: `QT_MARKET_DATA`, or the one beside the repository."""
    found = Path(os.environ.get("QT_MARKET_DATA") or _BESIDE)
    if not found.is_dir():
        pytest.skip("market data not present")  # whatever QT_REQUIRE says: nobody can install what the project lacks
    return found
