"""The formulas in compiled code: once this is imported, a compiled function calls them by the names they have.

Every scalar function of `formulas`, and how an instrument counts in steps: one text each, for both engines.
"""

from collections.abc import Callable
from inspect import isfunction
from typing import Any

from qtlib.compiler import known
from qtlib.domain import market
from qtlib.rules import formulas

STEPS: tuple[Callable[..., Any], ...] = (market.steps_down, market.steps_up, market.steps_near)
FORMULAS: tuple[Callable[..., Any], ...] = tuple(
    f for f in vars(formulas).values() if isfunction(f) and f.__module__ == formulas.__name__
)

for function in (*STEPS, *FORMULAS):
    known(function)
