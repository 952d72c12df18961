"""A limit is a cap: whatever is thrown at it, it can only shrink, and never blocks a way out."""

from dataclasses import replace
from decimal import Decimal
from math import inf

import pytest
from builders import HOUR, T0, a_bar, a_position, a_signal, a_state, some_rules
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.advance import advance
from qtlib.domain.commands import Command, Verb
from qtlib.domain.decisions import Choice, Decision, Moment, Target
from qtlib.domain.events import BarClosed, DecisionMade, Filled, OrderRequested, TradingStatus
from qtlib.domain.orders import Fill, OrderIntent, OrderType, Role, Side
from qtlib.rules import limits
from qtlib.rules.decide import decide
from qtlib.rules.limits import RULES, RiskLimits
from qtlib.rules.status import answer

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
money = st.decimals("1", "1e6", places=2)
risk_limits = st.builds(
    RiskLimits,
    max_positions=st.integers(1, 4),
    max_notional_per_trade=st.floats(10, 1e4),
    max_notional_per_symbol=st.floats(10, 1e4),
    max_gross_exposure=st.floats(10, 1e4),
    max_net_exposure=st.floats(10, 1e4),
    max_cluster_exposure=st.floats(10, 1e4),
    clusters=st.sampled_from([{}, dict.fromkeys(SYMBOLS, "all"), {"BTCUSDT": "a", "ETHUSDT": "a"}]),
    max_leverage=st.floats(0.1, 20),
    drawdown_ladder=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=3).map(tuple),
    max_daily_loss_frac=st.floats(0.001, 0.5),
    max_day_fees_frac=st.floats(0.0001, 0.2),
    max_losses_in_row=st.integers(1, 12),
    max_order_errors=st.integers(1, 12),
    max_drawdown_frac=st.floats(0.01, 0.9),
    cooldown_s=st.floats(0, 10_000),
)


@st.composite
def states(draw):
    held = draw(st.lists(st.sampled_from(SYMBOLS), unique=True))
    positions = [a_position(draw(st.sampled_from([-2, -1, 1, 2])), draw(st.integers(10, 200)), s) for s in held]
    return a_state(
        *positions,
        cash=draw(money),
        prices={s: draw(st.floats(1, 500)) for s in SYMBOLS},
        peak_equity=draw(money),
        day_equity=draw(money),
        day_fees=draw(st.decimals("0", "100", places=2)),
        losses_in_row=draw(st.integers(0, 12)),
        lost=T0 - draw(st.sampled_from([0, 1])) * HOUR,
        status=draw(st.sampled_from(TradingStatus)),
    )


signals = st.lists(
    st.builds(
        a_signal,
        symbol=st.sampled_from(SYMBOLS),
        score=st.floats(-1, 1),
        confidence=st.floats(0, 1),
        price=st.floats(1, 500),
        volatility_frac=st.floats(0.0001, 0.1),
    ),
    unique_by=lambda s: s.symbol,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@given(state=states(), symbol=st.sampled_from(SYMBOLS), sign=st.sampled_from([1, -1]), within=risk_limits)
def test_a_rule_is_a_cap(rule, state, symbol, sign, within):
    assert 0 <= rule(symbol, sign, limits.committed(state), state, within) <= inf


@given(state=states(), symbol=st.sampled_from(SYMBOLS), sign=st.sampled_from([1, -1]), within=risk_limits)
def test_the_tightest_rule_wins_in_any_order(state, symbol, sign, within):
    book = limits.committed(state)
    cap, rule = limits.cap(symbol, sign, book, state, within)
    each = {r.__name__: r(symbol, sign, book, state, within) for r in RULES}
    assert cap == min(each.values())
    assert cap == inf or each[rule] == cap


@given(state=states(), signals=signals, within=risk_limits)
def test_a_limit_only_ever_shrinks(state, signals, within):
    decision = decide(Moment(T0, {}, tuple(signals)), state, some_rules(limits=within))
    for verdict in decision.verdicts:
        assert 0 <= verdict.allowed_notional <= verdict.wanted_notional
    for symbol, target in decision.targets.items():
        score = next(s.score for s in signals if s.symbol == symbol)
        assert float(target.quantity) * score >= 0


@given(state=states(), signals=signals, within=risk_limits)
def test_all_targets_together_respect_every_cap(state, signals, within):
    decision = decide(Moment(T0, {}, tuple(signals)), state, some_rules(limits=within))
    entered = {s: float(t.quantity * t.worst_price) for s, t in decision.targets.items() if t.quantity}
    held = {s: float(p.quantity * p.entry_price) for s, p in state.account.positions.items()}
    book = held | entered
    slack = 1 + 1e-9
    if not entered:
        return
    assert max(abs(worth) for worth in entered.values()) <= within.max_notional_per_trade * slack
    assert sum(abs(worth) for worth in book.values()) <= within.max_gross_exposure * slack
    assert sum(abs(worth) for worth in book.values()) <= within.max_leverage * float(state.equity) * slack
    assert len(book) <= within.max_positions
    grew = {s: 1 if worth > 0 else -1 for s, worth in entered.items()}
    net = sum(book.values())
    assert abs(net) <= within.max_net_exposure * slack or -(1 if net > 0 else -1) in grew.values()


@given(state=states(), signals=signals, within=risk_limits)
def test_exits_are_always_allowed(state, signals, within):
    """No limit and no status stops an opposite, sure signal from closing."""
    decision = decide(Moment(T0, {}, tuple(signals)), state, some_rules(limits=within))
    for signal in signals:
        position = state.account.positions.get(signal.symbol)
        if position and float(position.quantity) * signal.score < 0 and signal.confidence >= 0.55:
            assert decision.targets[signal.symbol].quantity == 0


@given(state=states(), signals=signals, within=risk_limits)
def test_every_candidate_leaves_exactly_one_verdict_and_one_reason(state, signals, within):
    decision = decide(Moment(T0, {}, tuple(signals)), state, some_rules(limits=within))
    assert sorted(v.symbol for v in decision.verdicts) == sorted(s.symbol for s in signals)
    for verdict in decision.verdicts:
        assert (verdict.choice is Choice.REFUSED) <= bool(verdict.reason.value)


@given(state=states(), signals=signals)
def test_the_order_of_signals_does_not_matter(state, signals):
    rules = some_rules()
    forward = decide(Moment(T0, {}, tuple(signals)), state, rules)
    backward = decide(Moment(T0, {}, tuple(reversed(signals))), state, rules)
    assert forward.targets == backward.targets
    assert sorted(map(str, forward.verdicts)) == sorted(map(str, backward.verdicts))


def entered(state, *signals, **limits_):
    decision = decide(Moment(T0, {}, signals), state, some_rules(limits=RiskLimits(**limits_)))
    return set(decision.targets), {v.symbol: v.rule for v in decision.verdicts}


def test_longs_that_move_together_share_one_cap():
    clusters = {"BTCUSDT": "majors", "ETHUSDT": "majors"}
    both = a_signal("BTCUSDT", confidence=0.9), a_signal("ETHUSDT", confidence=0.6)
    assert entered(a_state(), *both, clusters=clusters, max_cluster_exposure=201)[0] == {"BTCUSDT"}
    assert entered(a_state(), *both, max_cluster_exposure=201)[0] == {"BTCUSDT", "ETHUSDT"}


def test_the_net_cap_stops_a_one_sided_book_but_lets_it_balance():
    held = a_state(a_position(5, 100, "BTCUSDT"))
    assert entered(held, a_signal("ETHUSDT"), max_net_exposure=500)[0] == set()
    assert entered(held, a_signal("ETHUSDT", score=-0.8), max_net_exposure=500)[0] == {"ETHUSDT"}


def test_a_lost_day_ends_entries_until_the_next():
    lost = a_state(cash=9_600, day_equity=Decimal(10_000), peak_equity=Decimal(10_000))
    assert entered(lost, a_signal())[1] == {"BTCUSDT": "daily_loss"}
    next_day = advance(lost, BarClosed(T0.replace(day=2), {"BTCUSDT": a_bar(T0.replace(day=2))}))
    assert entered(next_day, a_signal())[0] == {"BTCUSDT"}


def test_the_ladder_shrinks_trades_and_the_deepest_drawdown_halts():
    down = a_state(cash=9_400, peak_equity=Decimal(10_000), day_equity=Decimal(9_400))
    decision = decide(Moment(T0, {}, (a_signal(confidence=0.9),)), down, some_rules())
    assert 95 < decision.verdicts[0].allowed_notional <= 100
    assert limits.guard(down, RiskLimits()) is None
    broken = a_state(cash=8_499, peak_equity=Decimal(10_000))
    halt = limits.guard(broken, RiskLimits())
    assert halt.status is TradingStatus.HALTED
    assert "15.0%" in halt.cause
    assert limits.guard(advance(broken, halt), RiskLimits()) is None


def test_a_losing_streak_ends_entries_until_the_next_day_and_one_loss_more_ends_that_too():
    streak = a_state(losses_in_row=10, lost=T0, ts=T0 + HOUR)
    assert entered(streak, a_signal())[1] == {"BTCUSDT": "losing_streak"}
    assert entered(streak.but(losses_in_row=9), a_signal())[0] == {"BTCUSDT"}
    next_day = advance(streak, BarClosed(T0.replace(day=2), {"BTCUSDT": a_bar(T0.replace(day=2))}))
    assert entered(next_day, a_signal())[0] == {"BTCUSDT"}
    assert entered(next_day.but(losses_in_row=11, lost=next_day.ts), a_signal())[1] == {"BTCUSDT": "losing_streak"}


def test_a_venue_that_refuses_order_after_order_is_given_no_more_entries():
    failing = a_state(order_errors=5)
    assert limits.guard(failing.but(order_errors=4), RiskLimits()) is None
    demanded = limits.guard(failing, RiskLimits())
    assert (demanded.status, demanded.cause) == (
        TradingStatus.REDUCING,
        "5 entries and exits in a row were refused or lost",
    )
    reducing = advance(failing, demanded)
    assert reducing.status is TradingStatus.REDUCING
    assert limits.guard(reducing, RiskLimits()) is None


def test_a_pause_hides_no_guard():
    paused = answer(a_state(order_errors=5), Command("1", Verb.PAUSE, "eva@desk", T0), T0)
    state = advance(a_state(order_errors=5), paused)
    state = advance(state, limits.guard(state, RiskLimits()))
    assert (state.brake.verb, state.cause.split(" ")[0]) == (None, "5")


def test_the_fee_budget_of_a_day_ends_entries():
    spent = a_state(day_fees=Decimal(100))
    decision = decide(Moment(T0, {}, (a_signal(),)), spent, some_rules())
    assert decision.verdicts[0].reason.value == "fee_budget"


def test_an_entry_in_flight_is_counted_at_its_worst_and_takes_a_slot():
    asked = OrderIntent("qt-1", "ETHUSDT", Side.BUY, Decimal(2), Role.ENTRY, OrderType.LIMIT, price=Decimal(101))
    state = advance(a_state(prices={"ETHUSDT": 100.0}), OrderRequested(T0, asked))
    assert limits.committed(state) == {"ETHUSDT": 202.0}
    part = Fill("f", "qt-1", "ETHUSDT", Side.BUY, Decimal("0.5"), Decimal(100), Decimal(0), T0)
    assert limits.committed(advance(state, Filled(T0, part))) == {"ETHUSDT": 50 + 1.5 * 101}
    assert entered(state, a_signal("BTCUSDT"), max_positions=1)[1] == {"BTCUSDT": "positions"}
    assert entered(state, a_signal("BTCUSDT"), max_gross_exposure=205)[0] == set()


def test_a_wish_counts_at_the_dearest_it_may_turn_out():
    wish = Target("ETHUSDT", Decimal(-2), Decimal(99), Decimal(101), ts=T0)
    state = advance(a_state(), DecisionMade(T0, Decision(T0, {"ETHUSDT": wish})))
    assert limits.committed(state) == {"ETHUSDT": -202.0}


def test_a_short_in_flight_counts_as_much_above_the_price_as_its_limit_lies_below():
    entry = OrderIntent("qt-1", "ETHUSDT", Side.SELL, Decimal(2), Role.ENTRY, OrderType.LIMIT, Decimal(99))
    asked = a_state().but(ts=T0)
    assert limits.committed(advance(asked, OrderRequested(T0, entry))) == {"ETHUSDT": -198.0}
    dear = replace(entry, expected=Decimal(100))
    assert limits.committed(advance(asked, OrderRequested(T0, dear))) == {"ETHUSDT": -202.0}


_FREE = {
    **{"max_positions": 99, "max_notional_per_trade": 1e9, "max_notional_per_symbol": 1e9, "max_gross_exposure": 1e9},
    **{"max_net_exposure": 1e9, "max_cluster_exposure": 1e9, "max_daily_loss_frac": 0.99, "max_leverage": 1e9},
    **{"drawdown_ladder": (), "max_drawdown_frac": 0.99, "max_day_fees_frac": 0.99, "max_losses_in_row": 99},
}


@pytest.mark.parametrize(
    ("rule", "set_to", "so"),
    [
        ("notional_per_trade", {"max_notional_per_trade": 90.0}, {}),
        ("notional_per_symbol", {"max_notional_per_symbol": 90.0}, {}),
        ("gross_exposure", {"max_gross_exposure": 190.0}, {}),
        ("net_exposure", {"max_net_exposure": 190.0}, {}),
        ("cluster_exposure", {"max_cluster_exposure": 190.0, "clusters": dict.fromkeys(SYMBOLS, "all")}, {}),
        ("leverage", {"max_leverage": 0.019}, {}),
        ("positions", {"max_positions": 1}, {}),
        ("daily_loss", {"max_daily_loss_frac": 0.01}, {"day_equity": Decimal(10_200)}),
        ("losing_streak", {"max_losses_in_row": 2}, {"losses_in_row": 2, "lost": T0}),
        ("fee_budget", {"max_day_fees_frac": 0.001}, {"day_fees": Decimal(20)}),
        ("drawdown", {"drawdown_ladder": ((0.05, 0.1),)}, {"peak_equity": Decimal(11_000)}),
    ],
)  # fmt: skip
def test_each_rule_matters_there_is_a_case_in_which_it_alone_binds(rule, set_to, so):
    """Take any one out of `RULES`, and another, or nobody, would say how large the position may be."""
    state = a_state(a_position(1, 100, "ETHUSDT"), **so)
    within = RiskLimits(**{**_FREE, **set_to})
    allowed, bound = limits.cap("BTCUSDT", 1, limits.committed(state), state, within)
    assert bound == rule
    assert allowed < 1e9  # what the others allow


@given(
    confidence=st.floats(0.6, 1.0),
    most=st.decimals("0.01", "3", places=4),
    market=st.decimals("0.01", "3", places=4),
    score=st.sampled_from([-0.8, 0.8]),
)
def test_nothing_is_entered_that_one_market_order_could_not_leave_again(confidence, most, market, score):
    rules = some_rules(limits=RiskLimits())
    btc = replace(rules.instruments["BTCUSDT"], max_quantity=most, max_market_quantity=market, min_notional=Decimal(0))
    signal = a_signal(score=score, confidence=confidence)
    free, bound = (
        decide(Moment(T0, {}, (signal,)), a_state(), replace(rules, instruments={"BTCUSDT": listed}))
        for listed in (rules.instruments["BTCUSDT"], btc)
    )
    wanted, granted = (abs(d.targets["BTCUSDT"].quantity) for d in (free, bound))
    assert granted == min(wanted, btc.largest)
    (verdict,) = bound.verdicts
    assert (verdict.rule == limits.LARGEST_ORDER) == (wanted > btc.largest)
