"""Each value and record of a `World` from the record of where its arrays lie: `at.held(w, s)`, `at.bars(w, s, t, LOW)`.

One address is handed around instead of twenty arrays, each of seven or more parts, and an item is found without making
an array of it first: compiling took minutes else. No place is looked at twice: it has to be one that there is. What
numba does not own it does not count the holders of, so whoever calls in has to hold the `World`.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from qtlib.engine.compiled.shapes import ARRAYS

_WORD, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
_FETCH = ir.FunctionType(ir.VoidType(), [_BYTES, *[ir.IntType(32)] * 3])


def _said(context: Any, builder: Any, where: Any, kind: Any, field: str) -> Any:
    """A field of the record `where`, which stays what it is as long as anybody looks there."""
    word = builder.load(cgutils.get_record_member(builder, where, kind.offset(field), _WORD))
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


def _address(name: str, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Where an item of `name` lies."""
    where, *places = arguments
    place = _WORD(0)
    for n, index in enumerate(places):
        if n:
            place = builder.mul(place, _said(context, builder, where, signature.args[0], f"{name}_{n}"))
        place = builder.add(place, index)
    start = _said(context, builder, where, signature.args[0], f"{name}_at")
    return builder.add(start, builder.mul(place, _WORD(ARRAYS[name][0].itemsize)))


def _found(name: str) -> Callable[..., tuple[Any, Any]]:
    """How an item of `name` is typed, and the code that finds it."""
    dtype, dimensions = ARRAYS[name]
    kind = from_dtype(dtype)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(name, context, builder, signature, arguments)
        if isinstance(kind, types.Record):
            return builder.inttoptr(address, context.get_value_type(kind))
        data = context.get_data_type(kind)
        return context.unpack_value(builder, kind, builder.inttoptr(address, data.as_pointer()))

    def typed(where: Any, *places: Any) -> tuple[Any, Any]:
        return kind(where, *(types.int64 for _ in places)), code

    assert dimensions < 4
    return typed


def _only(name: str) -> Any:
    """The one record of `name`."""
    found = _found(name)

    @intrinsic
    def item(typing: Any, where: Any) -> Any:
        return found(where)

    return item


def _item(name: str) -> Any:
    """An item of `name`, by as many numbers as it has dimensions."""
    found, dimensions = _found(name), ARRAYS[name][1]
    if dimensions == 1:

        @intrinsic
        def of_line(typing: Any, where: Any, i: Any) -> Any:
            return found(where, i)

        return of_line
    if dimensions == 2:

        @intrinsic
        def of_table(typing: Any, where: Any, i: Any, j: Any) -> Any:
            return found(where, i, j)

        return of_table

    @intrinsic
    def of_block(typing: Any, where: Any, i: Any, j: Any, k: Any) -> Any:
        return found(where, i, j, k)

    return of_block


def _soon(name: str) -> Any:
    """Asks for an item of `name` to be at hand soon, and waits for nothing: there need not be one."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.inttoptr(_address(name, context, builder, signature, arguments), _BYTES)
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [_BYTES], _FETCH)
        builder.call(fetch, [address, *(ir.IntType(32)(n) for n in (0, 3, 1))])  # to be read, kept, data
        return context.get_dummy_value()

    def typed(where: Any, *places: Any) -> tuple[Any, Any]:
        return types.void(where, *(types.int64 for _ in places)), code

    if ARRAYS[name][1] == 1:

        @intrinsic
        def of_line(typing: Any, where: Any, i: Any) -> Any:
            return typed(where, i)

        return of_line

    @intrinsic
    def of_block(typing: Any, where: Any, i: Any, j: Any, k: Any) -> Any:
        return typed(where, i, j, k)

    return of_block


def _length(name: str, dimension: int = 0) -> Any:
    """How long `name` is that way."""

    @intrinsic
    def length(typing: Any, where: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _said(context, builder, arguments[0], signature.args[0], f"{name}_{dimension}")

        return types.int64(where), code

    return length


def _array(name: str) -> Any:
    """All of `name`, to be gone through or written to."""
    dtype, dimensions = ARRAYS[name]
    seen = types.Array(from_dtype(dtype), dimensions, "C")

    @intrinsic
    def array(typing: Any, where: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def said(field: str) -> Any:
                return _said(context, builder, arguments[0], signature.args[0], f"{name}_{field}")

            shape = [said(str(n)) for n in range(dimensions)]
            item = _WORD(dtype.itemsize)
            strides = [item]
            for length in reversed(shape[1:]):
                strides.insert(0, builder.mul(strides[0], length))
            made = make_array(seen)(context, builder)
            data = builder.inttoptr(said("at"), made.data.type)
            populate_array(made, data=data, shape=shape, strides=strides, itemsize=item, meminfo=None)
            return made._getvalue()

        return seen(where), code

    return array


settings = _only("settings")
account = _only("account")

facts = _item("facts")
held = _item("held")
orders = _item("orders")
brackets = _item("brackets")
ladder = _item("ladder")
slips = _item("slips")
times = _item("times")
bars = _item("bars")
marks = _item("marks")
beliefs = _item("beliefs")
own = _item("own")
usable = _item("usable")
funding = _item("funding")
accounts = _item("accounts")
rows = _item("rows")
levels = _item("levels")
moves = _item("moves")
verdicts = _item("verdicts")
asked = _item("asked")

soon_times = _soon("times")
soon_bars = _soon("bars")
soon_beliefs = _soon("beliefs")

symbols = _length("held")
closes = _length("times")
rungs = _length("ladder")
settlements = _length("funding")
proposals = _length("own", 2)
doubts = _length("usable", 1)
most_slips = _length("slips")
most_rows = _length("rows")
most_levels = _length("levels")
most_moves = _length("moves")
most_verdicts = _length("verdicts")

all_bars = _array("bars")
all_orders = _array("orders")
all_marks = _array("marks")
all_beliefs = _array("beliefs")
coming = _array("coming")
curve = _array("curve")
codes = _array("codes")
