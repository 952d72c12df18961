"""A house without one of its guards: a function that runs with one line of it changed, wherever it is called from.

So a guard is shown to matter, by what breaks without it. A line that is not there any more is an error, and not a test
that goes on to pass. A helper of `test_guards_matter.py`.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without(guard: Callable[..., Any], line: str, instead: str) -> Iterator[None]:
    """`guard` with `line` changed to `instead`; afterwards it is as it was."""
    source = textwrap.dedent(inspect.getsource(guard))
    assert source.count(line) == 1, f"{guard.__qualname__} has {line!r} {source.count(line)} times"
    made: dict[str, Any] = {}
    exec(source.replace(line, instead), guard.__globals__, made)
    whole, guard.__code__ = guard.__code__, made[guard.__name__].__code__
    try:
        yield
    finally:
        guard.__code__ = whole
