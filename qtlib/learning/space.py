"""What a sweep searches: axes, each a setting with the values it may take, and the points that they span.

A space is written as the settings themselves are, section by section; a leaf is a list of values, or a range:

>>> s = space({"strategy": {"params": {"fast": [12, 24]}}, "exits": {"atr_multiple": {"low": 1.0, "high": 2.0}}})
>>> [axis.path for axis in s.axes]
['strategy.params.fast', 'exits.atr_multiple']

A point is one value of each axis, in their order. Values are what JSON can hold.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice, product
from math import exp, isfinite, log, prod
from typing import Any

import numpy as np
import numpy.typing as npt

Point = tuple[Any, ...]
Array = npt.NDArray[np.float64]

MOST_VALUES = 10_000  # of one axis
_RANGE = {"low", "high", "step", "log"}


class NoSpace(ValueError):
    """What should be searched is none: which axis, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A setting, and what it may be: one of `values`, in their order, or any float from `low` to `high`."""

    path: str  # of the setting
    values: tuple[Any, ...] = ()  # empty: a range
    low: float = 0.0
    high: float = 0.0
    log: bool = False  # of a range: by its logarithm

    def at(self, share: float) -> Any:
        """The value so far along the axis; `share` is 0 .. 1."""
        if self.values:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        low, high = (log(self.low), log(self.high)) if self.log else (self.low, self.high)
        value = low + share * (high - low)
        return min(max(exp(value) if self.log else value, self.low), self.high)

    def place(self, value: Any) -> float:
        """How far along the axis `value` lies: a step counts one; a range is one long."""
        if self.values:
            return float(_index(self.values, value))
        if self.low == self.high:
            return 0.0
        return _scaled(value, self.log, self.low) / _scaled(self.high, self.log, self.low)

    @property
    def numeric(self) -> bool:
        """Its values are numbers in order, so that what lies between two of them means something."""
        return not self.values or (
            all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)
            and all(a < b for a, b in zip(self.values, self.values[1:], strict=False))
        )


@dataclass(frozen=True, slots=True)
class Space:
    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """How many points the grid has; `NoSpace` where an axis is no list."""
        for axis in self.axes:
            if not axis.values:
                raise NoSpace(
                    f"sweep.space.{axis.path} goes from {axis.low:g} to {axis.high:g} without a step, and a grid needs "
                    "one; add step, write a list of values, or set sweep.search=random"
                )
        return prod(len(axis.values) for axis in self.axes)

    def grid(self) -> Iterator[Point]:
        """Every point; the last axis turns first."""
        return product(*(axis.values for axis in self.axes))

    def settings(self, point: Point) -> dict[str, Any]:
        """The settings that `point` stands for, by their paths."""
        return {axis.path: value for axis, value in zip(self.axes, point, strict=True)}

    def places(self, points: list[Point]) -> Array:
        """How far along each axis each point lies, (points, axes)."""
        return np.array([[a.place(v) for a, v in zip(self.axes, p, strict=True)] for p in points]).reshape(
            -1, len(self.axes)
        )


def space(written: Mapping[str, Any]) -> Space:
    """The space that is written so, its axes in the order in which they turn least work over; or `NoSpace`."""
    axes = tuple(sorted(_axes(written, ""), key=lambda axis: _dear(axis.path)))
    if not axes:
        raise NoSpace(
            "sweep.space names no setting to search: write, say, -p 'sweep.space.exits.atr_multiple=[1.5, 2.0, 3.0]'"
        )
    return Space(axes)


# --- below ------------------------------------------------------------------------------------------------


def _axes(written: Mapping[str, Any], at: str) -> Iterator[Axis]:
    for name, leaf in written.items():
        path = f"{at}{name}"
        if isinstance(leaf, list | tuple):
            yield _listed(path, list(leaf))
        elif isinstance(leaf, Mapping) and leaf and set(leaf) <= _RANGE:
            yield _ranged(path, leaf)
        elif isinstance(leaf, Mapping):
            yield from _axes(leaf, f"{path}.")
        else:
            raise NoSpace(
                f"sweep.space.{path} = {leaf!r} must be a list of values, as [1, 2, 3], or a range, as "
                "{low: 1, high: 3, step: 1}"
            )


def _listed(path: str, values: list[Any]) -> Axis:
    if not values:
        raise NoSpace(f"sweep.space.{path} is an empty list; name at least one value, or leave it out")
    if len({json.dumps(v) for v in values}) < len(values):
        raise NoSpace(f"sweep.space.{path} names a value twice in {values}")
    return Axis(path, tuple(values))


def _ranged(path: str, leaf: Mapping[str, Any]) -> Axis:
    given = {name: leaf[name] for name in ("low", "high", "step") if leaf.get(name) is not None}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise NoSpace(f"sweep.space.{path}.{name} = {value!r} must be a number")
    if not {"low", "high"} <= set(given) or given["low"] > given["high"]:
        raise NoSpace(f"sweep.space.{path} must have a low and a high that is not below it, not {dict(leaf)}")
    low, high = given["low"], given["high"]
    by_log = leaf.get("log") is True
    if by_log and low <= 0:
        raise NoSpace(f"sweep.space.{path}.low = {low:g} must be above 0 for a logarithm")
    whole = isinstance(low, int) and isinstance(high, int)
    step = given.get("step", 1 if whole and not by_log else None)
    if step is None:
        return Axis(path, (), float(low), float(high), by_log)
    if by_log or step <= 0:
        raise NoSpace(f"sweep.space.{path}: step {step:g} must be above 0, and goes without log")
    first, by = Decimal(repr(low)), Decimal(repr(step))  # 0.1 is a tenth
    count = int((Decimal(repr(high)) - first) / by) + 1
    if count > MOST_VALUES:
        raise NoSpace(f"sweep.space.{path} has {count:,} values > {MOST_VALUES:,}: make its step larger")
    whole = whole and isinstance(step, int)
    return Axis(path, tuple((int if whole else float)(first + k * by) for k in range(count)))


def _dear(path: str) -> int:
    """What changes the market turns last, then what changes beliefs: both are prepared once for the trials between."""
    section = path.partition(".")[0]
    return {"mode": 0, "data": 0, "universe": 1, "strategy": 2}.get(section, 3)


def _index(values: tuple[Any, ...], value: Any) -> int:
    return [json.dumps(v) for v in values].index(json.dumps(value))


def _scaled(value: float, by_log: bool, low: float) -> float:
    return log(value) - log(low) if by_log else value - low


def chunks(points: Iterator[Point], most: int) -> Iterator[list[Point]]:
    """`points`, so many at a time."""
    while chunk := list(islice(points, most)):
        yield chunk
