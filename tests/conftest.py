"""What holds for every test: a law has no deadline, as a busy machine is no broken law; sums round as Python rounds."""

import decimal

import pytest
from hypothesis import settings

collect_ignore_glob = ["conftest.py", "*/conftest.py"]  # there is no doctest in them, and four have one name

settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _rounding_of_its_own():
    """ccxt sets how decimals round in the thread that calls it, and leaves it so: that ends with the test."""
    with decimal.localcontext():
        yield
