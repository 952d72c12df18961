"""Random events of every kind, and stories: sequences of events that a state can live through."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import get_args, get_origin, get_type_hints

from builders import T0, a_bar
from hypothesis import strategies as st

from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.decisions import Choice, Decision, Reason, Verdict
from qtlib.domain.events import (
    BarClosed,
    CashMoved,
    CommandAnswered,
    DecisionMade,
    Event,
    Filled,
    FundingPaid,
    OrderChanged,
    OrderRequested,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.orders import Fill, OrderIntent, OrderStatus, Role, Side

MINUTE = timedelta(minutes=1)
SYMBOLS = ("BTCUSDT", "ETHUSDT")

PLAIN = {
    str: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    bool: st.booleans(),
    int: st.integers(0, 10**9),
    float: st.floats(allow_nan=False, allow_infinity=False),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(-1000, 1000, places=8),
    datetime: st.integers(-(10**15), 10**15).map(lambda us: T0 + timedelta(microseconds=us)),
    NoneType: st.none(),
}


def a(kind):
    """Anything at all that the type `kind` allows."""
    arguments = get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if get_origin(kind) is UnionType:
        return st.one_of(*map(a, arguments))
    if get_origin(kind) is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(a, arguments))
    if get_origin(kind) is tuple:
        return st.lists(a(arguments[0]), max_size=3).map(tuple)
    if get_origin(kind) is Mapping:
        return st.dictionaries(a(arguments[0]), a(arguments[1]), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert is_dataclass(kind) or issubclass(kind, tuple)
    return st.deferred(lambda: st.builds(kind, **{name: a(hint) for name, hint in get_type_hints(kind).items()}))


any_event = a(Event)

moments = st.integers(0, 5).map(lambda n: T0 + n * MINUTE)
symbols = st.sampled_from(SYMBOLS)
names = st.sampled_from("abcd")
quantities = st.integers(1, 50).map(lambda n: n * Decimal("0.001"))
amounts = st.integers(-500, 500).map(lambda n: n * Decimal("0.01"))
prices = st.integers(50, 150).map(float)


def bars_closed(ts, price):
    return BarClosed(ts, {symbol: a_bar(ts, price) for symbol in SYMBOLS})


def filled(ts, fill_id, client_id, symbol, side, quantity):
    return Filled(ts, Fill(fill_id, client_id, symbol, side, quantity, Decimal(100), Decimal("0.01"), ts))


def requested(ts, client_id, symbol, side, quantity):
    return OrderRequested(ts, OrderIntent(client_id, symbol, side, quantity, Role.ENTRY))


def decided(ts, symbol="BTCUSDT", reason=Reason.NONE):
    choice = Choice.REFUSED if reason is not Reason.NONE else Choice.HOLD
    return DecisionMade(ts, Decision(ts, {}, (Verdict(symbol, choice, reason, wanted_notional=150.5, score=0.25),)))


def a_command(name, verb=Verb.PAUSE):
    return Command(name, verb, "eva@desk", T0)


def answered(command, status):
    return CommandAnswered(T0, command, Outcome.DONE, f"{command.verb.value} by {command.by}", T0, status)


story_event = st.one_of(
    st.builds(bars_closed, moments, prices),
    st.builds(filled, moments, names, names, symbols, st.sampled_from(Side), quantities),
    st.builds(requested, moments, names, symbols, st.sampled_from(Side), quantities),
    st.builds(OrderChanged, moments, names, st.sampled_from(OrderStatus)),
    st.builds(CashMoved, moments, amounts, st.just("deposit"), names),
    st.builds(FundingPaid, moments, symbols, amounts, st.just(0.0001)),
    st.builds(StatusSet, moments, st.sampled_from(TradingStatus), st.just("because"), names),
    st.builds(answered, st.builds(a_command, names, st.sampled_from(Verb)), st.sampled_from(TradingStatus)),
    st.builds(decided, moments, symbols, st.sampled_from(Reason)),
)
stories = st.lists(story_event, max_size=20)  # from small pools, so that they repeat themselves


def a_long_story(n, start=0):
    """`n` different events: bars, decisions, and now and then an order and its fill."""
    for i in range(start, start + n):
        ts = T0 + i * MINUTE
        side = Side.BUY if i % 8 < 4 else Side.SELL
        match i % 4:
            case 0:
                yield bars_closed(ts, 100.0 + i % 7)
            case 1:
                yield decided(ts)
            case 2:
                yield requested(ts, f"order-{i}", "BTCUSDT", side, Decimal("0.010"))
            case _:
                yield filled(ts, f"fill-{i}", f"order-{i - 1}", "BTCUSDT", side, Decimal("0.010"))
