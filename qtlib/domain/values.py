"""Frozen values that are made, and made again with a change, at every bar: what dataclasses do, in half the time."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import update_wrapper
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """`cls` as a frozen dataclass with slots, whose `__init__` fills the slots themselves.

    The usual one of a frozen dataclass goes through `object.__setattr__`, which looks each of them up by name.
    """
    made: Any = dataclass(frozen=True, slots=True)(cls)
    scope: dict[str, Any] = {"MISSING": MISSING}
    head, body = ["self"], ["pass"]
    for f in fields(made):
        scope |= {f"fill_{f.name}": getattr(made, f.name).__set__, f"default_{f.name}": f.default}
        given = f.name
        if f.default_factory is not MISSING:
            scope[f"make_{f.name}"] = f.default_factory
            given = f"make_{f.name}() if {f.name} is MISSING else {f.name}"
        required = f.default is MISSING and f.default_factory is MISSING
        head.append(f.name if required else f"{f.name}=default_{f.name}")
        body.append(f"fill_{f.name}(self, {given})")
    exec(f"def __init__({', '.join(head)}): {'; '.join(body)}", scope)  # noqa: S102: as dataclasses does
    made.__init__ = update_wrapper(scope["__init__"], made.__init__)
    return made  # type: ignore[no-any-return]


def changed(value: T, changes: Mapping[str, Any], forget: str = "") -> T:
    """`value`, a dataclass without slots, with `changes`, and without what it had cached as `forget`."""
    fields = value.__dict__.copy()
    fields.pop(forget, None)
    fields.update(changes)
    new = object.__new__(type(value))
    object.__setattr__(new, "__dict__", fields)
    return new
