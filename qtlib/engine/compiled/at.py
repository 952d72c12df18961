"""The arrays of a `World` from the record of where they lie: one address is handed around instead of twenty arrays.

Numba hands an array around by its seven or more parts, which took minutes to compile; and what it does not own it does
not count the holders of. Whoever calls in has to hold the `World`.
"""

from typing import Any

from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from qtlib.engine.compiled.shapes import ARRAYS

_WORD = ir.IntType(64)


def _view(name: str) -> Any:
    """`name` of what lies where a record says, inlined wherever it is asked for."""
    kind, dimensions = ARRAYS[name]
    seen = types.Array(from_dtype(kind), dimensions, "C")

    @intrinsic
    def view(typing: Any, where: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def said(field: str) -> Any:
                place = signature.args[0].offset(f"{name}_{field}")
                return builder.load(cgutils.get_record_member(builder, arguments[0], place, _WORD))

            shape = [said(str(n)) for n in range(dimensions)]
            item = _WORD(kind.itemsize)
            strides = [item]
            for length in reversed(shape[1:]):
                strides.insert(0, builder.mul(strides[0], length))
            array = make_array(seen)(context, builder)
            data = builder.inttoptr(said("at"), array.data.type)
            populate_array(array, data=data, shape=shape, strides=strides, itemsize=item, meminfo=None)
            return array._getvalue()

        return seen(where), code

    return view


settings = _view("settings")
account = _view("account")
facts = _view("facts")
held = _view("held")
orders = _view("orders")
brackets = _view("brackets")
ladder = _view("ladder")
slips = _view("slips")
times = _view("times")
bars = _view("bars")
marks = _view("marks")
beliefs = _view("beliefs")
own = _view("own")
usable = _view("usable")
funding = _view("funding")
coming = _view("coming")
curve = _view("curve")
accounts = _view("accounts")
codes = _view("codes")
rows = _view("rows")
levels = _view("levels")
moves = _view("moves")
verdicts = _view("verdicts")
asked = _view("asked")
