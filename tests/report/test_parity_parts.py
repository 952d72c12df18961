"""The parts of a difference add up to it, and each is nothing where its own thing is the same."""

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.decisions import Choice, Decision, Signal, Target, Verdict
from qtlib.domain.events import DecisionMade
from qtlib.domain.learned import FeaturesSeen
from qtlib.report.parity import Cause, Deal, by_cause, differences, disagreements, split, unlike

TS = datetime(2026, 3, 1, 12, tzinfo=UTC)
CENT = 0.01
prices = st.floats(10.0, 1_000.0)
money = st.floats(-50.0, 50.0)
ways = st.sampled_from([("stop_loss",), ("partial", "trailing"), ("time_stop",)])


def a_deal(quantity=2.0, entry=100.0, exit=110.0, fees=0.2, funding=0.0, way=("stop_loss",), sign=1):
    net = sign * quantity * (exit - entry) - fees + funding
    return Deal("k", "BTCUSDT", sign, quantity, entry, exit, fees, funding, net, way, TS, TS)


a_trade = st.builds(
    a_deal,
    quantity=st.floats(0.001, 100.0),
    entry=prices,
    exit=prices,
    fees=money,
    funding=money,
    way=ways,
    sign=st.sampled_from([1, -1]),
)
maybe = st.none() | a_trade


@given(live=maybe, replayed=maybe, worlds=st.lists(st.tuples(st.sampled_from(Cause), maybe), max_size=3))
def test_the_parts_of_a_difference_add_up_to_it(live, replayed, worlds):
    told = lambda deal: {} if deal is None else {"k": deal}  # noqa: E731
    steps = [(None, told(replayed)), *((cause, told(deal)) for cause, deal in worlds)]
    for one in differences(told(live), steps):
        assert abs(sum(one.parts.values()) - one.total) < CENT


@given(one=a_trade, other=a_trade)
def test_what_is_the_same_in_both_counts_nothing(one, other):
    assert split(one, one) == {}
    assert set(split(replace(one, fees=other.fees, net=one.net + one.fees - other.fees), one)) <= {Cause.FEE}
    funded = replace(one, funding=other.funding, net=one.net - one.funding + other.funding)
    assert set(split(funded, one)) <= {Cause.FUNDING}
    elsewhere = a_deal(one.quantity, one.entry, other.exit, one.fees, one.funding, (*one.way, "signal"), one.sign)
    assert set(split(elsewhere, one)) <= {Cause.STOP_PATH}
    dearer = a_deal(one.quantity, other.entry, one.exit, one.fees, one.funding, one.way, one.sign)
    assert set(split(dearer, one)) <= {Cause.SLIPPAGE}
    smaller = a_deal(other.quantity, one.entry, one.exit, one.fees, one.funding, one.way, one.sign)
    assert set(split(smaller, one)) <= {Cause.SIZE}


def test_what_only_one_side_traded_is_missed_or_extra():
    assert split(None, a_deal()) == {Cause.MISSED: -a_deal().net}
    assert split(a_deal(), None) == {Cause.EXTRA: a_deal().net}
    assert by_cause(differences({"k": a_deal()}, [(None, {})])) == {Cause.EXTRA: a_deal().net}


def judged(score=0.5, version="", features=None):
    target = Target("BTCUSDT", 1, model_version=version, ts=TS)
    verdict = Verdict("BTCUSDT", Choice.ENTER, score=score, confidence=0.7)
    made = [DecisionMade(TS, Decision(TS, {"BTCUSDT": target}, (verdict,)))]
    return made if features is None else [*made, FeaturesSeen(TS, "s", {"BTCUSDT": features})]


def own(score=0.5, version="", features=()):
    return {(TS, "BTCUSDT"): Signal("BTCUSDT", TS, score, 0.7, 100.0, 0.01, version, features=features)}


def test_another_belief_is_put_to_the_model_to_what_it_was_shown_or_to_itself():
    candidate = TS, "BTCUSDT"
    assert unlike(judged(), own()) == {}
    assert unlike(judged(0.4, "m1"), own(0.5, "m2")) == {candidate: Cause.MODEL}
    assert unlike(judged(0.4, "m", (1.0,)), own(0.5, "m", (2.0,))) == {candidate: Cause.FEATURES}
    assert unlike(judged(0.4, "m", (1.0,)), own(0.5, "m", (1.0,))) == {candidate: Cause.SIGNAL}


def test_a_verdict_disagrees_where_any_of_it_does():
    columns = ["ts", "symbol", "action", "reason", "rule", "wanted_notional_quote", "confidence"]
    rows = [(TS, "BTCUSDT", "refused", "limit", "positions", 200.0, 0.7), (TS, "ETHUSDT", "hold", "", "", 0.0, 0.5)]
    live = pd.DataFrame(rows, columns=columns)
    assert disagreements(live, live).empty
    other = live.assign(wanted_notional_quote=[199.0, 0.0])
    assert disagreements(live, other).symbol.tolist() == ["BTCUSDT"]
    assert disagreements(live, live.iloc[:1]).symbol.tolist() == ["ETHUSDT"]
