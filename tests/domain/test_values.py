"""A value is a frozen dataclass in every respect but the time it takes to make one."""

from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from inspect import signature

import pytest

from qtlib.domain.values import value


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
    assert repr(made) == repr(usual)
    assert made == Value(*given) == replace(made)
    assert made != usual


def test_a_value_says_what_it_is_made_of_as_a_dataclass_does():
    assert signature(Value) == signature(Usual)
    assert [f.name for f in fields(Value)] == [f.name for f in fields(Usual)]
    assert not hasattr(Value("BTC"), "__dict__")


def test_what_is_not_given_is_made_anew_for_each():
    one, other = Value("BTC"), Value("BTC")
    one.notes["a"] = "b"
    assert other.notes == {}


def test_a_value_stays_as_it_was_made():
    with pytest.raises(FrozenInstanceError):
        Value("BTC").quantity = 3


def test_a_field_without_a_default_must_be_given():
    with pytest.raises(TypeError):
        Value()
