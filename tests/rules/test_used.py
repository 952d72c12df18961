"""What is shown of a limit is what the limit itself counts: where it is used up, nothing more is allowed."""

from dataclasses import replace

from builders import T0
from hypothesis import given
from hypothesis import strategies as st
from test_limits import SYMBOLS, risk_limits, states

from qtlib.domain.events import LimitsSet
from qtlib.domain.state import State
from qtlib.rules import limits
from qtlib.rules.in_force import plain
from qtlib.rules.used import used

RULE = {"max_gross_exposure": limits.gross_exposure, "max_leverage": limits.leverage}
HELD_ONLY = {
    "max_daily_loss_frac": limits.daily_loss,
    "max_losses_in_row": limits.losing_streak,
    "max_day_fees_frac": limits.fee_budget,
}


def with_limits(state, given_limits):
    return state.but(limits=LimitsSet(T0, "r1", plain(given_limits), plain(given_limits), T0, "eva@desk"))


@given(state=states(), given_limits=risk_limits, sign=st.sampled_from([1, -1]))
def test_a_limit_that_is_used_up_leaves_a_new_symbol_nothing(state, given_limits, sign):
    state = with_limits(state, given_limits)
    book = limits.committed(state)
    new = next((symbol for symbol in (*SYMBOLS, "NEWUSDT") if symbol not in book), "NEWUSDT")
    rows = {row.name: row for row in used(state)}
    for name, rule in RULE.items():
        row = rows[name]
        if row.share_frac is not None and row.share_frac >= 1 + 1e-9:
            assert rule(new, sign, book, state, given_limits) == 0
    if rows["max_positions"].share_frac >= 1 and new not in book:
        assert limits.positions(new, sign, book, state, given_limits) == 0
    for name, rule in HELD_ONLY.items():
        share = rows[name].share_frac
        if share is not None and share < 1 - 1e-9:
            assert rule(new, sign, book, state, given_limits) > 0, name


def test_before_a_session_has_said_its_limits_none_is_shown():
    assert used(State()) == ()
    assert replace(used(with_limits(State(), limits.RiskLimits()))[0], used=5.0, limit=4.0).share_frac == 1.25
