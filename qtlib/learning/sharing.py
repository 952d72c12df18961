"""What several features are made of is computed once, while they are computed together.

Outside of `sharing()` nothing is kept; inside, what a shared function made of a panel and plain numbers is kept until
it ends. Panels are never written to, so what was made of one stays true; nor are shared results.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
B = TypeVar("B")
T = TypeVar("T")

_kept: ContextVar[dict[Hashable, tuple[object, Any]] | None] = ContextVar("kept", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """For as long as this lasts, shared functions of one panel are computed once."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def shared(function: Callable[Concatenate[B, P], T]) -> Callable[Concatenate[B, P], T]:
    """`function` of a panel and plain numbers; the same, and computed once inside `sharing()`."""

    @wraps(function)
    def once(panel: B, /, *args: P.args, **kwargs: P.kwargs) -> T:
        kept = _kept.get()
        if kept is None:
            return function(panel, *args, **kwargs)
        key = (function, id(panel), args, tuple(kwargs.items()))
        if key not in kept:
            kept[key] = panel, function(panel, *args, **kwargs)  # with the panel, so that no other gets its id
        result: T = kept[key][1]
        return result

    return once
