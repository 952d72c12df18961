"""What holds for every test: a law has no deadline, as a busy machine is no broken law; sums round as Python rounds.

Before a change lands, each law is tried with the same examples every time, as a change is not to be blamed for what
was there before it. Everywhere else they are drawn anew: whoever finds one that breaks a law has found a bug.
"""

import decimal
import os

import pytest
from hypothesis import settings

collect_ignore_glob = ["conftest.py", "*/conftest.py"]  # there is no doctest in them, and four have one name
collect_ignore_glob += ["*/*_round.py", "*/freqtrade_*"]  # they run in environments of their own

settings.register_profile("anew", deadline=None)
settings.register_profile("landing", deadline=None, derandomize=True)
settings.load_profile("landing" if os.environ.get("QT_REQUIRE") == "all" else "anew")


@pytest.fixture(autouse=True)
def _rounding_of_its_own():
    """ccxt sets how decimals round in the thread that calls it, and leaves it so: that ends with the test."""
    with decimal.localcontext():
        yield


def pytest_collection_modifyitems(items):
    """Files in the opposite order: those whose tests live through whole sessions stand last in the tree, and who has
    two workers does not want one of them to wait for the longest file at the end."""
    place = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: -place[item.path])
