"""What holds for every test: a law has no deadline, as a busy machine is no broken law; sums round as Python rounds.

Before a change lands, each law is tried with the same examples every time, as a change is not to be blamed for what
was there before it. Everywhere else they are drawn anew: whoever finds one that breaks a law has found a bug.
"""

import decimal
import os
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent

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


FIRST = (  # the compiler's, so that whoever needs compiled code later finds it kept; then whole sessions
    *("engine/test_compiled.py", "panel/test_panel_browser.py", "test_notebooks.py", "test_broken_input.py"),
    *("runs/test_supervisor.py", "runs/test_refusals.py", "test_lab_browser.py", "conformance/test_freqtrade.py"),
)


def pytest_collection_modifyitems(items):
    """The longest files first, then the others, in the opposite order of the tree, whose last ones live through whole
    sessions: who has two workers does not want one of them to wait for the other's longest file at the end."""
    place = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    ahead = {TESTS / name: -len(items) - number for number, name in enumerate(reversed(FIRST))}
    items.sort(key=lambda item: ahead.get(item.path, -place[item.path]))
