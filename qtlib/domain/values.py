"""Frozen values: dataclasses in every respect but the time they take, as they are made and changed at every bar.

Each is a `msgspec.Struct` underneath, whose slots are filled in C: it is made in a quarter of the time of a frozen
dataclass with slots, and copied with a change in an eighth. `dataclasses.fields`, `replace` and `asdict` know it.
A value holds other values and never itself, so the collector of cycles need not look at it.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Protocol, TypeVar, dataclass_transform, overload

import msgspec

T = TypeVar("T")

_NOT_OURS = ("__dict__", "__weakref__", "__annotations__")  # of a class body: what every class has, and defines anew


@overload
def value(cls: type[T], /) -> type[T]: ...


@overload
def value(*, caches: bool) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T] | None = None, /, *, caches: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """`cls`, written as a dataclass is, as a frozen value; with `caches` it may have cached properties.

    What is cached is no part of the value: it is neither compared nor written down, and a changed copy is without it.
    """
    if cls is None:
        return lambda body: _made(body, caches)
    return _made(cls, caches)


def _made(cls: type[T], caches: bool) -> type[T]:
    names = cls.__annotations__
    body = {name: thing for name, thing in vars(cls).items() if name not in names and name not in _NOT_OURS}
    body["__qualname__"] = cls.__qualname__
    described = dataclass(frozen=True)(cls)
    made: Any = msgspec.defstruct(
        cls.__name__,
        [(f.name, f.type, _default(f)) for f in fields(described)],  # type: ignore[arg-type]
        namespace=body,
        frozen=True,
        dict=caches,
        gc=caches,
    )
    made.__dataclass_fields__ = described.__dataclass_fields__  # type: ignore[attr-defined]
    return made  # type: ignore[no-any-return]


def _default(f: Any) -> Any:
    if f.default_factory is not MISSING:
        return msgspec.field(default_factory=f.default_factory)
    return msgspec.NODEFAULT if f.default is MISSING else f.default


class _Changed(Protocol):
    def __call__(self, value: T, /, **changes: Any) -> T:
        """A copy of `value` with `changes`."""


changed: _Changed = msgspec.structs.replace  # type: ignore[assignment]
