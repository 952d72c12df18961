"""A value is a frozen dataclass in every respect but the time it takes to make one."""

from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from inspect import signature

import pytest

from qtlib.domain.values import changed, value


def made_by(decorator):
    @decorator
    class Note:
        symbol: str
        quantity: int = 0
        notes: dict[str, str] = field(default_factory=dict)

    return Note


Value, Usual = made_by(value), made_by(dataclass(frozen=True, slots=True))
GIVEN = (("BTC",), ("BTC", 2), ("BTC", 2, {"a": "b"}))


@pytest.mark.parametrize("given", GIVEN)
def test_a_value_is_made_as_a_dataclass_is(given):
    made, usual = Value(*given), Usual(*given)
    assert asdict(made) == asdict(usual)
    assert f"made_by.<locals>.{made!r}" == repr(usual)
    assert made == Value(*given) == replace(made)
    assert made != usual


def test_a_value_says_what_it_is_made_of_as_a_dataclass_does():
    assert str(signature(Usual)).startswith(str(signature(Value)))  # which also says that it returns nothing
    assert [f.name for f in fields(Value)] == [f.name for f in fields(Usual)]
    assert not hasattr(Value("BTC"), "__dict__")


def test_what_is_not_given_is_made_anew_for_each():
    one, other = Value("BTC"), Value("BTC")
    one.notes["a"] = "b"
    assert other.notes == {}


def test_a_value_stays_as_it_was_made():
    with pytest.raises(AttributeError):
        Value("BTC").quantity = 3


def test_a_field_without_a_default_must_be_given():
    with pytest.raises(TypeError):
        Value()


def test_a_copy_differs_in_what_was_changed():
    assert changed(Value("BTC", 2), quantity=3) == Value("BTC", 3)
    with pytest.raises(TypeError):
        changed(Value("BTC"), price=3)


def test_what_is_cached_is_no_part_of_a_value():
    @value(caches=True)
    class Sum:
        one: int
        other: int

        @cached_property
        def whole(self) -> int:
            return self.one + self.other

    made = Sum(1, 2)
    assert made.whole == 3
    assert made == Sum(1, 2)
    assert changed(made, one=5).whole == replace(made, one=5).whole == 7
