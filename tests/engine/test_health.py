"""The health page says what is known, and the metrics say the same."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import HOUR, T0, a_position, a_state
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.events import START, TradingStatus
from qtlib.engine.health import LATE, LATE_S, Facts, Link, Loop, document, http_status, metrics

CALM = {"trade": Loop(0.1, 1.0), "protect": Loop(0.0, 0.2)}
KEYS = {  # interface.md's
    "status": None, "mode": None, "venue": None, "account": None, "trading_status": None, "started": None,
    "uptime_s": None, "loops": None, "equity_quote": None, "day_pnl_quote": None, "last_error": None,
    "positions": {"open", "max", "protected", "naked"},
    "exposure": {"gross_quote", "max_quote"},
    "learning": {
        "enabled", "model_version", "samples_since_retrain", "needed", "last_retrain", "last_outcome", "next_due",
    },
    "exchange": {"reachable", "clock_offset_ms", "last_event_age_s", "streams_age_s", "streams_lost"},
}  # fmt: skip


def protected(*positions, **more):
    state = a_state(*positions, **more)
    return state.but(trades={s: replace(t, naked_since=None) for s, t in state.trades.items()})


def facts(**more):
    given_ = {"loops": CALM, "state": protected(), "exchange": Link(True, 3, 0.2)} | more
    return Facts("sim", "simulated", "main", T0, T0 + timedelta(minutes=1), **given_)


def test_every_key_of_the_interface_is_there():
    page = document(facts())
    assert page.keys() >= KEYS.keys()
    for name, inside in KEYS.items():
        assert inside is None or set(page[name]) == inside
    assert page["loops"]["trade"] == {"age_s": 0.1, "interval_s": 1.0, "ok": True}
    assert page["uptime_s"] == 60.0


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({}, "ok", 200),
        ({"state": protected(status=TradingStatus.REDUCING)}, "degraded", 200),
        ({"state": a_state(a_position(1, 100))}, "degraded", 200),
        ({"exchange": Link(reachable=False)}, "degraded", 200),
        ({"state": None}, "degraded", 200),
        ({"state": protected(status=TradingStatus.HALTED)}, "halted", 503),
        ({"loops": CALM | {"private": Loop(LATE + LATE_S + 0.1, 1.0)}}, "halted", 503),
        ({"loops": CALM | {"private": Loop(LATE + LATE_S, 1.0)}}, "ok", 200),
    ],
)
def test_the_status_says_whether_somebody_has_to_look(more, status, code):
    page = document(facts(**more))
    assert (page["status"], http_status(page)) == (status, code)


def test_what_is_not_known_is_null_and_no_metric():
    page = document(Facts("sim", "simulated", "main", T0, T0, {}))
    assert page["equity_quote"] is page["day_pnl_quote"] is page["exchange"]["reachable"] is None
    assert page["positions"] == {"open": None, "max": None, "protected": None, "naked": None}
    assert page["learning"]["enabled"] is False
    assert page["learning"]["samples_since_retrain"] is None
    assert "equity" not in metrics(page)
    unpriced = document(facts(state=a_state(ts=START)))
    assert unpriced["equity_quote"] is None  # no bar yet: nothing was valued


def test_the_account_is_shown_as_of_the_last_bar():
    state = protected(a_position(2, 100), cash=9_990, prices={"BTCUSDT": 103.0}, day_equity=Decimal(10_000))
    page = document(facts(state=state.but(losses_in_row=3), max_positions=4, max_gross_exposure=800.0))
    assert page["equity_quote"] == 9_996
    assert page["day_pnl_quote"] == -4
    assert page["positions"] == {"open": 1, "max": 4, "protected": 1, "naked": 0}
    assert page["exposure"] == {"gross_quote": 200.0, "max_quote": 800.0}
    assert page["guards"]["losses_in_row"] == 3
    assert page["as_of"] == T0.isoformat()


def test_a_position_without_its_stop_is_counted_as_naked():
    page = document(facts(state=a_state(a_position(2, 100), a_position(1, 50, "ETHUSDT"))))
    assert (page["positions"]["open"], page["positions"]["protected"], page["positions"]["naked"]) == (2, 0, 2)


names = st.text(min_size=1, max_size=10)


@given(mode=names, loop=names, age_s=st.floats(0, 1e6), equity=st.decimals(-1e6, 1e6, places=2))
def test_metrics_are_well_formed_whatever_the_names_are(mode, loop, age_s, equity):
    page = document(replace(facts(loops={loop: Loop(age_s, 1.0)}, state=a_state(cash=equity)), mode=mode))
    lines = metrics(page).removesuffix("\n").split("\n")
    sample = re.compile(r'[a-z_]+(\{[a-z]+="(\\.|[^"\\\n])*"(,[a-z]+="(\\.|[^"\\\n])*")*\})? -?[0-9.e+-]+', re.DOTALL)
    for line in lines:
        assert line.startswith(("# HELP qt_", "# TYPE qt_")) or sample.fullmatch(line), line
    assert f"qt_equity_quote {float(equity):.15g}" in lines
    described = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(described) == len(set(described))


def test_the_metrics_are_the_page():
    lines = metrics(document(facts(state=protected(status=TradingStatus.REDUCING, ts=T0 + HOUR)))).splitlines()
    assert 'qt_trading_status{status="reducing"} 1' in lines
    assert 'qt_trading_status{status="active"} 0' in lines
    assert 'qt_status{status="degraded"} 1' in lines
    assert 'qt_loop_age_seconds{loop="trade"} 0.1' in lines
    assert "qt_exchange_clock_offset_seconds 0.003" in lines
    assert "qt_exchange_reachable 1" in lines
