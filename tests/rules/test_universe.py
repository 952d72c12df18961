"""Who may be traded on a day: chosen by a rule from what was known then, each other candidate out for one reason."""

from datetime import timedelta

from builders import T0, a_position, a_signal, a_state, some_rules
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Choice, Moment, Reason
from qtlib.domain.events import SessionOpened
from qtlib.domain.orders import ExitReason
from qtlib.domain.universe import (
    LOW_TURNOVER,
    NO_CANDIDATE,
    NOT_LISTED,
    NOT_TRADED,
    OUTRANKED,
    TOO_YOUNG,
    WHY_OUT,
    Picked,
    UniverseChanged,
)
from qtlib.rules.decide import decide
from qtlib.rules.universe import Known, UniverseParams, change, pick

DAY = timedelta(days=1)
PARAMS = UniverseParams(top=2, min_turnover_quote=100.0, min_age_days=7.0)
RULES = some_rules()

known = st.builds(
    Known,
    listed=st.one_of(st.none(), st.integers(-30, 3).map(lambda days: T0 + days * DAY)),
    turnover_quote=st.sampled_from([0.0, 50.0, 100.0, 200.0, 300.0]),
)
tables = st.dictionaries(st.sampled_from("ABCDEF"), known)


def old(turnover_quote):
    return Known(T0 - 100 * DAY, turnover_quote)


def test_the_largest_of_the_old_and_liquid_are_members_and_each_other_has_its_reason():
    picked = pick(
        T0,
        {
            "TOP": old(900.0),
            "NEXT": old(500.0),
            "THIRD": old(400.0),
            "QUIET": old(99.9),
            "GONE": old(0.0),
            "NEW": Known(T0 - 6 * DAY, 5_000.0),
            "LATER": Known(T0 + DAY, 5_000.0),
            "NEVER": Known(None, 5_000.0),
        },
        PARAMS,
    )
    assert picked.members == ("TOP", "NEXT")
    assert picked.out == {
        "THIRD": OUTRANKED,
        "QUIET": LOW_TURNOVER,
        "GONE": NOT_TRADED,
        "NEW": TOO_YOUNG,
        "LATER": NOT_LISTED,
        "NEVER": NOT_LISTED,
    }


@given(table=tables, top=st.integers(1, 4))
def test_every_candidate_is_in_or_out_and_nobody_is_out_who_trades_more_than_one_that_is_in(table, top):
    picked = pick(T0, table, UniverseParams(top, 100.0, 7.0))
    assert len(picked.members) <= top
    assert set(picked.members) | set(picked.out) == set(table)
    assert not set(picked.members) & set(picked.out)
    assert set(picked.out.values()) <= set(WHY_OUT)
    least = min((table[symbol].turnover_quote for symbol in picked.members), default=0.0)
    assert all(table[s].turnover_quote <= least for s, why in picked.out.items() if why == OUTRANKED)
    assert pick(T0, dict(reversed(table.items())), UniverseParams(top, 100.0, 7.0)) == picked


def test_since_when_is_kept_and_an_unchanged_universe_is_no_event():
    state = advance(a_state(), change(Picked(T0, ("A", "B"), {"C": OUTRANKED}), T0, a_state()))
    assert change(Picked(T0 + DAY, ("B", "A"), {"C": OUTRANKED}), T0 + DAY, state) is None
    later = change(Picked(T0 + DAY, ("B", "C"), {"A": LOW_TURNOVER}), T0 + DAY, state)
    assert later.members == {"B": T0, "C": T0 + DAY}
    assert later.out == {"A": LOW_TURNOVER}


def test_who_is_no_candidate_any_more_is_out_and_not_forgotten():
    state = advance(a_state(), UniverseChanged(T0, {"A": T0, "B": T0}, {"C": OUTRANKED}))
    after = change(Picked(T0 + DAY, ("A",), {}), T0 + DAY, state)
    assert after.out == {"B": NO_CANDIDATE, "C": NO_CANDIDATE}
    again = change(Picked(T0 + 2 * DAY, ("A",), {}), T0 + 2 * DAY, advance(state, after))
    assert again is None


def test_a_session_that_trades_all_it_names_forgets_the_universe_of_one_that_chose():
    state = a_state(universe=UniverseChanged(T0, {"ETHUSDT": T0}, {"BTCUSDT": OUTRANKED}))
    assert advance(state, SessionOpened(T0, "main", "r1", "sim", "", chooses=True)).universe == state.universe
    assert advance(state, SessionOpened(T0, "main", "r2", "sim", "")).universe is None


# --- what is decided ------------------------------------------------------------------------------------------


def out_of_it(*positions):
    return a_state(*positions, universe=UniverseChanged(T0, {"ETHUSDT": T0}, {"BTCUSDT": OUTRANKED}))


def test_who_is_out_is_refused_with_a_reason_of_its_own():
    decision = decide(Moment(T0, {}, (a_signal("BTCUSDT"), a_signal("ETHUSDT"))), out_of_it(), RULES)
    said = {v.symbol: (v.choice, v.reason, v.rule) for v in decision.verdicts}
    assert said["BTCUSDT"] == (Choice.REFUSED, Reason.UNIVERSE, OUTRANKED)
    assert said["ETHUSDT"][0] is Choice.ENTER


def test_what_is_held_of_who_is_out_is_left_whatever_is_signalled():
    for signals in ((a_signal("BTCUSDT"),), (a_signal("BTCUSDT", fault="warming up"),), (a_signal("ETHUSDT"),)):
        decision = decide(Moment(T0, {}, signals), out_of_it(a_position(1)), RULES)
        target = decision.targets["BTCUSDT"]
        assert (target.quantity, target.reason) == (0, ExitReason.UNIVERSE)
        verdict = next(v for v in decision.verdicts if v.symbol == "BTCUSDT")
        assert (verdict.choice, verdict.reason, verdict.rule) == (Choice.EXIT, Reason.UNIVERSE, OUTRANKED)


def test_what_never_was_a_candidate_is_none_of_its_business():
    state = out_of_it(a_position(1, symbol="XRPUSDT"))
    assert not decide(Moment(T0, {}, (a_signal("ETHUSDT", score=0.0),)), state, RULES).targets
