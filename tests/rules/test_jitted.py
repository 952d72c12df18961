"""The formulas give the same bits compiled and plain: one text serves both engines."""

import struct
from inspect import signature
from math import nan

import numba
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qtlib.compiler import known
from qtlib.rules.jitted import FORMULAS, STEPS

signs = st.sampled_from([-1, 1])
fractions = st.one_of(st.floats(-0.5, 0.5), st.sampled_from([0.0, -0.0, 1.0, 0.1, 0.01]))
numbers = st.one_of(st.floats(-1e9, 1e9), st.floats(1e-6, 1e6), st.sampled_from([0.0, -0.0, 0.5, 1.5, 2.5]))
prices = st.one_of(st.floats(1e-3, 1e6), st.sampled_from([0.1, 1.0, 100.0, 60_000.0]))
KINDS = {
    "sign": signs,
    "leverage": st.integers(1, 125),
    "confidence": st.floats(0.0, 1.0),
    "score": st.floats(-1.0, 1.0),
    "entry": prices,
    "best": prices,
    "step_frac": st.one_of(st.just(0.0), st.floats(1e-6, 0.5)),  # steps are counted in 64 bits there
    "trail_frac": st.one_of(fractions, st.just(nan)),
    "breakeven_frac": st.one_of(fractions, st.just(nan)),
    "step": st.sampled_from([0.1, 0.01, 0.001, 1.0, 0.5, 1e-7, 100.0]),
}


def arguments(function):
    names = signature(function).parameters
    return st.tuples(*(KINDS.get(n, fractions if n.endswith("_frac") else numbers) for n in names))


def compiled_call(function):
    names = ", ".join(signature(function).parameters)
    scope = {"function": function}
    exec(f"def call({names}): return function({names})", scope)
    return numba.njit(scope["call"])


def bits(value):
    """To the last bit; whole numbers are what they are."""
    if isinstance(value, tuple):
        return tuple(map(bits, value))
    return struct.pack("<d", value) if isinstance(value, float) else float(value)


def told(function, args):
    """What `function` answers, or how it declines."""
    try:
        return bits(function(*args))
    except ZeroDivisionError as error:
        return type(error)


@pytest.mark.parametrize("function", [*STEPS, *FORMULAS], ids=lambda f: f.__name__)
def test_a_formula_gives_the_same_bits_compiled_and_plain(function):
    call = compiled_call(function)

    @given(args=arguments(function))
    def same(args):
        assert told(call, args) == told(function, args)

    same()


def picked(a, b, c):
    return max(a, b), min(a, b), max(min(c, b), a)


@given(*[st.one_of(st.floats(allow_nan=True), st.sampled_from([0.0, -0.0, nan]))] * 3)
@example(0.0, -0.0, 0.0)
@example(-0.0, 0.0, nan)
@example(nan, 1.0, 0.0)
@example(1.0, nan, 0.0)
def test_the_larger_of_two_is_pythons_choice_where_they_are_equal_or_nan(a, b, c):
    assert bits(PICKED(a, b, c)) == bits(picked(a, b, c))


PICKED = compiled_call(known(picked))
