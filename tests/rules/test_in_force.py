"""A limit is tightened at once and loosened from the next day on; nothing that is in force is looser than either."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from builders import T0
from hypothesis import given
from hypothesis import strategies as st
from test_limits import SYMBOLS, risk_limits, states

from qtlib.domain.events import LimitsSet
from qtlib.rules import limits
from qtlib.rules.in_force import asked_for, in_force, limits_of, loosened, plain, tighter
from qtlib.rules.limits import RULES, RiskLimits

DAY = timedelta(days=1)
LADDER = ((0.05, 0.5), (0.10, 0.25))


def recorded(holding, asked=None, at=T0):
    return LimitsSet(T0, "r1", plain(holding), plain(asked or holding), at, "eva@desk", "slept on it")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@given(
    state=states(), one=risk_limits, other=risk_limits, symbol=st.sampled_from(SYMBOLS), sign=st.sampled_from([1, -1])
)
def test_the_tighter_of_two_caps_what_either_caps(rule, state, one, other, symbol, sign):
    book = limits.committed(state)
    both = rule(symbol, sign, book, state, tighter(one, other))
    assert both <= min(rule(symbol, sign, book, state, one), rule(symbol, sign, book, state, other))


@given(state=states(), one=risk_limits, other=risk_limits)
def test_a_guard_demands_as_soon_as_either_would(state, one, other):
    demanded = [limits.guard(state, within) for within in (one, other)]
    assert (limits.guard(state, tighter(one, other)) is not None) >= any(demanded)


@given(one=risk_limits, other=risk_limits)
def test_every_limit_of_the_tighter_is_one_of_the_two(one, other):
    both = tighter(one, other)
    for f in fields(RiskLimits):
        if isinstance(getattr(one, f.name), int | float):
            pick = max if f.name == "cooldown_s" else min
            assert getattr(both, f.name) == pick(getattr(one, f.name), getattr(other, f.name))
    assert tighter(one, one) == one
    assert tighter(both, other) == tighter(both, one) == both


@given(asked=risk_limits, before=risk_limits, then=risk_limits, hours=st.integers(0, 23))
def test_today_nothing_is_looser_than_what_held_or_what_is_asked_for(asked, before, then, hours):
    held = in_force(asked, recorded(before, then), T0 + timedelta(hours=hours))
    assert held == tighter(asked, before)


@given(asked=risk_limits, before=risk_limits)
def test_from_the_next_day_on_it_is_what_was_asked_for(asked, before):
    assert in_force(asked, recorded(before, asked), T0 + DAY) == asked
    assert in_force(asked, None, T0) == asked


@given(asked=risk_limits, before=risk_limits)
def test_what_is_tightened_holds_at_once_and_needs_no_reason(asked, before):
    tight = tighter(asked, before)
    assert in_force(tight, recorded(before), T0) == tight
    assert loosened(tight, recorded(before)) == {}


@given(asked=risk_limits, before=risk_limits)
def test_what_was_loosened_once_with_a_reason_is_not_loosened_again(asked, before):
    assert loosened(asked, recorded(tighter(asked, before), asked)) == {}


def test_each_limit_that_is_loosened_is_named_with_what_it_was():
    asked = RiskLimits(max_positions=6, cooldown_s=10.0, max_gross_exposure=100.0)
    assert loosened(asked, recorded(RiskLimits())) == {"max_positions": (4, 6), "cooldown_s": (300.0, 10.0)}
    assert loosened(asked, None) == {}


@pytest.mark.parametrize(
    ("ladder", "looser"),
    [
        (LADDER, False),
        (((0.05, 0.5), (0.10, 0.25), (0.2, 0.9)), False),  # the deeper rung never counts
        (((0.04, 0.5), (0.10, 0.25)), False),
        (((0.06, 0.5), (0.10, 0.25)), True),
        (((0.05, 0.5),), True),
        ((), True),
    ],
)
def test_a_ladder_is_loosened_where_it_leaves_more(ladder, looser):
    found = loosened(RiskLimits(drawdown_ladder=ladder), recorded(RiskLimits(drawdown_ladder=LADDER)))
    assert (list(found) == ["drawdown_ladder"]) is looser


def test_what_moves_together_for_either_stays_together():
    before = RiskLimits(clusters={"BTCUSDT": "a", "ETHUSDT": "a"})
    asked = RiskLimits(clusters={"ETHUSDT": "b", "XRPUSDT": "b"})
    assert len(set(tighter(asked, before).clusters.values())) == 1
    assert list(loosened(asked, recorded(before))) == ["clusters"]
    assert loosened(RiskLimits(clusters=dict.fromkeys(SYMBOLS, "all")), recorded(before)) == {}


def test_a_limit_that_an_older_journal_does_not_know_is_as_asked():
    kept = {name: value for name, value in plain(RiskLimits(max_positions=2)).items() if name != "max_order_errors"}
    asked = RiskLimits(max_positions=3, max_order_errors=7)
    assert limits_of({**kept, "gone": 1.0}, asked) == replace(RiskLimits(max_positions=2), max_order_errors=7)


def test_a_fraction_that_was_kept_stays_one_where_a_whole_number_is_asked():
    asked = RiskLimits(max_daily_loss_frac=1, max_drawdown_frac=0)
    assert limits_of(plain(RiskLimits()), asked) == RiskLimits()


@given(settings=risk_limits, later=risk_limits, people=risk_limits)
def test_what_people_asked_outlasts_a_session_until_its_settings_say_something_new(settings, later, people):
    kept = LimitsSet(T0, "r1", plain(people), plain(people), T0, "eva@desk", settings=plain(settings))
    assert asked_for(settings, kept) == people
    new = asked_for(later, kept)
    for f in fields(RiskLimits):
        said_again = getattr(later, f.name) == getattr(settings, f.name)
        assert getattr(new, f.name) == getattr(people if said_again else later, f.name)
    assert asked_for(settings, None) == settings
