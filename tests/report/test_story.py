from datetime import timedelta
from decimal import Decimal

import builders
import pytest
from builders import HOUR, T0
from made_journal import DEPOSIT, PLAN, D, a_close, a_fill, a_position, a_request, fold, made_journal

from qtlib.domain.advance import advance
from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.decisions import Choice, Decision, Reason, Target, Verdict
from qtlib.domain.events import (
    CashCorrected,
    CommandAnswered,
    DecisionMade,
    FundingPaid,
    OrderChanged,
    PositionAdopted,
    SessionClosed,
    SessionOpened,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.orders import ExitPlan, ExitReason, ExitSource, OrderStatus, Role, Side
from qtlib.domain.state import State
from qtlib.report.story import tell

SOL = "SOLUSDT"
START = [DEPOSIT, a_close(T0, SOLUSDT=141.0, XRPUSDT=2.2)]
STATIC = ExitPlan(stop_frac=0.015, take_profit_frac=0.010, trail_frac=0.02)


def told(event, *history, max_positions=4):
    before = fold([*START, *history])
    return tell(before, event, advance(before, event), max_positions)


def decided(*verdicts, **targets):
    return DecisionMade(T0, Decision(T0, targets, verdicts))


def test_a_recovered_position():
    adopted = PositionAdopted(T0, a_position("XRPUSDT", "-67.1", "2.2211"), None, "venue short 67.1, journal flat")
    assert told(adopted) == ["♻️ Recovered XRPUSDT: SHORT 67.1000 @ $2.2211", "   venue short 67.1, journal flat"]


def test_a_position_that_is_gone_is_archived():
    held = PositionAdopted(T0, a_position("XRPUSDT", "-67.1", "2.2211"), None, "")
    gone = PositionAdopted(T0 + HOUR, a_position("XRPUSDT", 0, 0), None, "the venue is flat")
    assert told(gone, held) == ["🗄️ XRPUSDT is gone at the venue, archived: SHORT 67.1000 (the venue is flat)"]


@pytest.mark.parametrize(
    ("symbol", "side", "entry", "current", "line"),
    [
        (SOL, Side.BUY, "141.7910", "141.89", "💰 SOLUSDT LONG P&L: +0.07% (entry=141.7910, current=141.8900)"),
        ("XRPUSDT", Side.SELL, "2.2211", "2.1767", "💰 XRPUSDT SHORT P&L: +2.00% (entry=2.2211, current=2.1767)"),
    ],
)
def test_profit_is_told_when_a_position_closes_and_at_the_turn_of_a_day(symbol, side, entry, current, line):
    opened = a_fill("in", symbol, side, 1, entry)
    assert told(a_fill("out", symbol, side.opposite, 1, current), opened)[1] == line
    tomorrow = a_close(T0 + 24 * HOUR, **{symbol: float(current)})
    day, profit = told(tomorrow, opened)
    assert day.startswith("📅 2026-01-02: equity $10,0")
    assert day.endswith(", 1 open")
    assert profit == line
    assert told(a_close(T0 + HOUR, **{symbol: float(current)}), opened) == []


def test_a_position_without_a_known_entry_is_an_alarm_and_never_zero_percent():
    unknown = PositionAdopted(T0, a_position(SOL, 1, 0), None, "")
    assert told(a_fill("out", SOL, Side.SELL, 1, 140), unknown)[1].startswith("🚨 SOLUSDT: entry price unknown")


def test_three_of_four_open_and_three_candidates_leave_one_slot():
    held = [a_fill(s, s, Side.BUY, 1, 100) for s in ("A", "B", "C")]
    crowded = [
        Verdict(s, Choice.REFUSED, Reason.POSITION_LIMIT, wanted_notional=n) for s, n in (("E", 120), ("F", 100))
    ]
    entering = Verdict("D", Choice.ENTER, Reason.NONE, "", 150, 150, 0.65)
    lines = told(decided(entering, *crowded), *held)
    assert lines == [
        "⚠️ Position limit: 3/4 open, 1 new orders planned, 1 slots available (no slot for E, F)",
    ]


def test_an_entry_in_flight_takes_a_slot():
    flying = a_request("in", SOL, Side.BUY, 1)
    (line,) = told(decided(Verdict("E", Choice.REFUSED, Reason.POSITION_LIMIT)), flying, max_positions=1)
    assert line == "⚠️ Position limit: 1/1 open, 0 new orders planned, 0 slots available (no slot for E)"


def test_an_entry_tells_its_size_and_where_it_will_be_left():
    exits = ExitPlan(stop_frac=0.03, take_profit_frac=0.078, trail_frac=0.02, source=ExitSource.AI)
    verdict = Verdict(SOL, Choice.ENTER, Reason.NONE, "gross_exposure", 149.5, 120.0, 0.65, 0.4)
    assert told(decided(verdict, SOLUSDT=Target(SOL, D("-0.85"), exits=exits))) == [
        "📏 SOLUSDT SHORT sizing: 0.8500 = $120.00 notional at confidence 0.65, cut from $149.50 by gross_exposure",
        "🎯 SOLUSDT using AI TP/SL: TP=7.8%, SL=3.0%, Trail=2.0%",
        "   SOLUSDT needs a 27.8% win rate before costs",
    ]


def test_the_static_levels_say_what_they_need():
    adopted = PositionAdopted(T0, a_position(SOL, 1, 141), STATIC, "")
    assert told(adopted)[2:] == [
        "🎯 SOLUSDT using static TP/SL: TP=1.0%, SL=1.5%, Trail=2.0%",
        "   SOLUSDT needs a 60% win rate before costs",
    ]


def test_levels_tell_their_partial_and_their_time_stop():
    exits = ExitPlan(0.02, 0.02, partial_frac=0.3, time_stop_s=7200, profile="one_r")
    lines = told(decided(Verdict(SOL, Choice.ENTER), SOLUSDT=Target(SOL, D(1), exits=exits)))
    assert lines[1:] == [
        "🎯 SOLUSDT using static one_r TP/SL: TP=2.0%, SL=2.0%",
        "   SOLUSDT needs a 50% win rate before costs, takes 30% at the target, leaves after 2 h without it",
    ]


def test_a_limit_and_a_closing_wish_give_their_reasons():
    refused = Verdict("E", Choice.REFUSED, Reason.LIMIT, "daily_loss", 150.0, 0.0)
    closing = Target(SOL, Decimal(0), reason=ExitReason.TIME_STOP)
    assert told(decided(refused, SOLUSDT=closing), a_fill("in", SOL, Side.BUY, 1, 141)) == [
        "⚠️ daily_loss: E wanted $150.00, $0.00 allowed",
        "🚪 SOLUSDT LONG to be closed: time_stop",
    ]


def test_orders_tell_what_became_of_them():
    stop = a_request("s", SOL, Side.SELL, 1, Role.STOP_LOSS, trigger=D("137.54"), reason=ExitReason.STOP_LOSS)
    entry = a_request("e", SOL, Side.BUY, 2)
    assert told(OrderChanged(T0, "s", OrderStatus.OPEN), stop) == ["🛡️ SOLUSDT stop_loss rests at $137.5400"]
    assert told(OrderChanged(T0, "s", OrderStatus.CANCELED), stop) == []
    assert told(OrderChanged(T0, "e", OrderStatus.REJECTED, "-2019: Margin is insufficient."), entry) == [
        "❌ SOLUSDT entry order rejected: -2019: Margin is insufficient."
    ]
    assert told(OrderChanged(T0, "e", OrderStatus.EXPIRED), entry) == [
        "⌛ SOLUSDT entry order expired, 2.0000 of 2.0000 unfilled"
    ]
    assert told(a_fill("s", SOL, Side.SELL, 1, "137.5", fee="0.07"), a_fill("e", SOL, Side.BUY, 1, 141), stop)[0] == (
        "✅ SELL 1.0000 SOLUSDT @ $137.5000 (stop_loss, fee $0.07)"
    )


def test_money_and_status_are_told():
    assert told(FundingPaid(T0, SOL, D("-0.123"), 0.0001)) == ["💸 SOLUSDT funding: −$0.12 (rate +0.0100%)"]
    assert told(CashCorrected(T0, D(3)))[0].startswith("⚠️ Wallet corrected by +$3.00")
    assert tell(State(), DEPOSIT, advance(State(), DEPOSIT)) == ["🏦 +$10,000.00 moved: deposit"]
    halted = StatusSet(T0, TradingStatus.HALTED, "drawdown 15.2% of peak equity", "risk")
    assert told(halted) == ["🚦 ACTIVE → HALTED, by risk: drawdown 15.2% of peak equity"]
    assert told(SessionOpened(T0, "main", "r1", "sim", "0123456789ab"))[0].endswith("(mode sim, parameters 01234567)")
    assert told(SessionClosed(T0, "r1", "out of bars")) == ["⏹️ Session r1 closed: out of bars"]


def test_refusals_that_repeat_are_left_to_the_tables():
    weak = Verdict(SOL, Choice.REFUSED, Reason.LOW_CONFIDENCE, "", 0, 0, 0.5, 0.1)
    assert told(decided(weak)) == []


def test_every_event_of_a_history_can_be_told():
    state, lines = State(), []
    for event in made_journal(300):
        after = advance(state, event)
        lines += tell(state, event, after, max_positions=3)
        state = after
    kinds = {line.split()[0] for line in lines}
    assert {"💰", "🎯", "📏", "✅", "💸", "📅", "⚠️", "🏦"} <= kinds
    assert PLAN.profile in next(line for line in lines if line.startswith("🎯"))


def test_a_session_says_what_the_journal_brought_along():
    held = builders.a_state(builders.a_position(2, 100))
    lines = tell(held, SessionOpened(T0, "main", "r1", "sim", "abcdef123456"), held)
    assert lines == [
        "▶️ Session r1 opened (mode sim, parameters abcdef12)",
        "♻️ Recovered 1 positions from the journal, up to 2026-01-01 00:00 UTC",
        "♻️ Resumed BTCUSDT: LONG 2.0000 @ $100.0000, no stop",
    ]


def test_a_command_and_its_answer_are_told_and_what_still_holds_at_the_next_start():
    kill = Command("1", Verb.KILL, "eva@desk", T0)
    event = CommandAnswered(
        T0, kill, Outcome.DONE, "killed by eva@desk", T0 + timedelta(seconds=0.4), TradingStatus.HALTED
    )
    assert told(event) == ["🚦 kill, asked by eva@desk: done after 0.4 s: killed by eva@desk"]
    state = advance(State(), event)
    assert tell(state, SessionOpened(T0, "main", "r1", "sim", "abcdef123456"), state)[-2:] == [
        "🚦 HALTED since 2026-01-01 00:00 UTC, by eva@desk: killed by eva@desk",
        "   this session only protects, and closes what is open, until `qt rearm`",
    ]


def test_a_day_without_a_trade_is_said_once_with_the_reasons():
    weak = [Verdict(s, Choice.REFUSED, Reason.LOW_CONFIDENCE) for s in ("BTCUSDT", "ETHUSDT")]
    capped = Verdict(SOL, Choice.REFUSED, Reason.LIMIT, "daily_loss")
    state, lines = State(), []
    for hour in range(60):
        ts = T0 + timedelta(hours=hour)
        event = DecisionMade(ts, Decision(ts, {}, (*weak, capped)))
        after = advance(state, event)
        lines += [(hour, line) for line in tell(state, event, after, quiet_alarm_h=24.0) if line.startswith("⚠️ No")]
        state = after
    words = "every candidate was refused; now: low_confidence 2×, limit (daily_loss) 1×"
    assert lines == [(24, f"⚠️ No trade for 1 d, {words}")]
    assert tell(state, event, state) == tell(state, event, state, quiet_alarm_h=24.0)
