"""Writing an event down loses nothing of it, and what would be lost is refused."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import reduce
from types import MappingProxyType
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from builders import T0, a_bar
from hypothesis import given
from stories import any_event, requested, stories

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Decision, Target
from qtlib.domain.events import (
    BarClosed,
    CashMoved,
    DecisionMade,
    Event,
    FundingPaid,
    OrderRequested,
)
from qtlib.domain.orders import ExitPlan, OrderIntent, Role, Side
from qtlib.domain.state import State
from qtlib.journal import Corrupt, Unwritable
from qtlib.journal.codec import KINDS, decode, decode_state, encode, encode_state


def read_back(event):
    return decode(type(event).__name__, encode(event))


@given(event=any_event)
def test_every_event_reads_back_the_same(event):
    again = read_back(event)
    assert again == event
    assert again.key == event.key
    assert repr(again) == repr(event)  # sees digits, signs of zero and types that `==` does not


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_kind_of_event_is_known(kind):
    assert KINDS[kind.__name__] is kind


@given(story=stories)
def test_a_state_reads_back_the_same(story):
    state = reduce(advance, story, State())
    assert decode_state(encode_state(state)) == state


@pytest.mark.parametrize("written", ["0.100", "-0.000", "1E+3", "60012.50", "1E-18", "123456789012345678.123456789"])
def test_decimals_keep_their_digits(written):
    assert str(read_back(CashMoved(T0, Decimal(written), "deposit", "x")).amount) == written


def test_times_come_back_aware_and_utc():
    ts = datetime(2026, 7, 1, 12, 30, 15, 123456, UTC)
    assert read_back(FundingPaid(ts, "BTCUSDT", Decimal(1), 0.0001)).ts.tzinfo is UTC


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan"), np.float64("nan")])
@pytest.mark.parametrize("where", ["open", "volume"])
def test_a_number_that_is_not_finite_is_refused_by_name(bad, where):
    bar = a_bar()._replace(**{where: bad})
    with pytest.raises(Unwritable, match=rf"BarClosed\.bars\.BTCUSDT\.{where} = -?(inf|nan)"):
        encode(BarClosed(T0, {"ETHUSDT": a_bar(), "BTCUSDT": bar}))


def test_an_infinite_number_is_refused_even_where_none_would_be_allowed():
    exits = ExitPlan(stop_frac=0.01, take_profit_frac=0.02, trail_frac=float("inf"))
    intent = OrderIntent("a", "BTCUSDT", Side.BUY, Decimal(1), Role.ENTRY, exits=exits)
    with pytest.raises(Unwritable, match=r"intent\.exits\.trail_frac = inf"):
        encode(OrderRequested(T0, intent))


def test_money_that_is_not_a_number_is_refused():
    with pytest.raises(Unwritable, match=r"CashMoved\.amount = NaN"):
        encode(CashMoved(T0, Decimal("NaN"), "deposit", "x"))


@pytest.mark.parametrize("ts", [T0.replace(tzinfo=None), T0.astimezone(timezone(timedelta(hours=2)))])
def test_a_time_that_is_not_utc_is_refused(ts):
    with pytest.raises(Unwritable, match="aware, and UTC"):
        encode(FundingPaid(ts, "BTCUSDT", Decimal(1), 0.0001))


def test_numbers_and_times_out_of_frames_are_written_as_what_they_mean():
    ts = pd.Timestamp(T0)
    event = BarClosed(ts, MappingProxyType({"BTCUSDT": a_bar(ts, np.float64(100.5))}))
    assert read_back(event) == BarClosed(T0, {"BTCUSDT": a_bar(T0, 100.5)})


def test_what_is_no_plain_value_is_refused():
    target = Target("BTCUSDT", np.int64(1))
    with pytest.raises(Unwritable, match="int64"):
        encode(DecisionMade(T0, Decision(T0, {"BTCUSDT": target})))


def test_a_text_that_no_file_can_hold_is_refused():
    with pytest.raises(Unwritable, match="surrogates"):
        encode(requested(T0, "\ud800", "BTCUSDT", Side.BUY, Decimal(1)))


def test_an_older_event_reads_with_the_defaults_of_fields_that_came_later():
    assert decode("BarClosed", '{"ts":"2026-01-01T00:00:00Z","bars":{}}') == BarClosed(T0, {})


@pytest.mark.parametrize(("kind", "payload"), [("Miracle", "{}"), ("BarClosed", '{"ts":"2026'), ("BarClosed", "{}")])
def test_what_does_not_read_says_so(kind, payload):
    with pytest.raises(Corrupt, match=kind):
        decode(kind, payload)
