"""The account's messages: what each of them means, and that repeated, delayed or lost ones can do no harm."""

from decimal import Decimal

import pytest
from binance_messages import (
    AT,
    account_told,
    algo_told,
    kline_told,
    margin_call,
    mark_told,
    order_told,
    settings_told,
    trade_lite,
    trade_told,
)
from builders import T0
from hypothesis import given
from hypothesis import strategies as st

from qtlib.domain.events import Filled, OrderChanged
from qtlib.domain.market import Bar
from qtlib.domain.orders import Fill, OrderStatus, Side
from qtlib.exchanges.binance.hearing import Gap, Hearing
from qtlib.exchanges.binance.payloads import CandleNews, MarkNews, Puzzle, account_news, market_news
from qtlib.exchanges.binance.told import Alarm, Look
from qtlib.exchanges.binance.words import ts_of

CHILD = {"c": "stop-1", "i": 99, "S": "SELL", "o": "MARKET", "ot": "STOP_MARKET", "R": True}


def heard(*messages, settle_s=5.0):
    hearing = Hearing(settle_s)
    return [told for message in messages for told in hearing.hear(message, now=0.0)]


def facts(messages):
    return [told for told in heard(*messages) if isinstance(told, OrderChanged | Filled)]


# --- what each message means --------------------------------------------------------------------------------


def test_a_trade_is_a_fill_digit_by_digit():
    [filled] = heard(trade_told(trade=7, at=AT + 5, m=True))
    assert filled == Filled(
        ts_of(AT + 5),
        Fill(
            fill_id="7",
            client_id="ours-1",
            symbol="BTCUSDT",
            side=Side.BUY,
            quantity=Decimal("0.010"),
            price=Decimal("60012.50"),
            fee=Decimal("0.30006250"),
            ts=ts_of(AT + 5),
            maker=True,
        ),
    )
    assert str(filled.fill.price) == "60012.50"


def test_a_fee_in_another_coin_costs_the_wallet_nothing():
    assert [filled.fill.fee for filled in heard(trade_told(N="BNB", n="0.0005"))] == [0]


@pytest.mark.parametrize(
    ("message", "status", "reason"),
    [
        (order_told("NEW"), OrderStatus.OPEN, ""),
        (order_told("NEW", "NEW_INSURANCE", c="autoclose-1"), OrderStatus.OPEN, ""),
        (order_told("NEW", "NEW_ADL", c="adl_autoclose"), OrderStatus.OPEN, ""),
        (order_told("CANCELED"), OrderStatus.CANCELED, ""),
        (order_told("EXPIRED", er="9"), OrderStatus.EXPIRED, "market order: no more at hand"),
        (order_told("EXPIRED", er="a new reason"), OrderStatus.EXPIRED, "a new reason"),
        (
            order_told("EXPIRED", "EXPIRED_IN_MATCH", er="1"),
            OrderStatus.EXPIRED,
            "it would have met an order of our own",
        ),
        (order_told("REJECTED"), OrderStatus.REJECTED, ""),
        (algo_told("NEW"), OrderStatus.OPEN, ""),
        (algo_told("CANCELED"), OrderStatus.CANCELED, ""),
        (algo_told("EXPIRED"), OrderStatus.EXPIRED, ""),
        (algo_told("REJECTED", rm="Margin is insufficient."), OrderStatus.REJECTED, "Margin is insufficient."),
    ],
    ids=lambda value: value["o"]["X"] if isinstance(value, dict) else "",
)
def test_an_orders_change_is_told_in_our_words(message, status, reason):
    client_id = message["o"].get("c") or message["o"]["caid"]
    assert heard(message) == [OrderChanged(ts_of(AT), client_id, status, reason)]


def test_a_fill_shows_that_its_order_is_done_unless_the_order_closes_whatever_is_held():
    assert [type(told) for told in heard(trade_told())] == [Filled]
    assert heard(trade_told(cp=True))[1:] == [OrderChanged(ts_of(AT), "ours-1", OrderStatus.FILLED)]


def test_a_liquidation_is_a_fill_and_an_alarm():
    filled, alarm = heard(trade_told(execution="CALCULATED", c="autoclose-1", o="LIMIT", f="IOC"))
    assert filled.fill.client_id == "autoclose-1"
    assert isinstance(alarm, Alarm)
    assert "closed 0.010 BTCUSDT at 60012.50" in alarm.words


@pytest.mark.parametrize("reason", ["FUNDING_FEE", "DEPOSIT", "WITHDRAW", "INSURANCE_CLEAR", "ADJUSTMENT", "COIN_SWAP"])
def test_what_moves_the_balance_beside_trades_is_a_hint_to_look(reason):
    assert heard(account_told(reason)) == [Look(ts_of(AT), reason.lower())]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (margin_call(), "margin call: 1.327 ETHUSDT needs 1.614445 of margin"),
        (settings_told(ac={"s": "BTCUSDT", "l": 25}), "the account's settings were changed: leverage of BTCUSDT is 25"),
        (settings_told(ai={"j": True}), "the account's settings were changed: multi-assets margin is on"),
    ],
)
def test_what_a_person_must_know_is_an_alarm(message, words):
    assert heard(message) == [Alarm(ts_of(AT), words)]


def test_an_amended_order_is_a_hint_to_look():
    assert heard(order_told("NEW"), order_told("AMENDMENT", "NEW"))[1:] == [Look(ts_of(AT), "order ours-1 was amended")]


@pytest.mark.parametrize(
    "message", [account_told("ORDER"), trade_lite(), {"e": "GRID_UPDATE"}, {"result": None, "id": 1}]
)
def test_what_says_nothing_new_is_not_told(message):
    assert heard(message) == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (order_told("NEW", "HALF_OPEN"), "HALF_OPEN"),
        (order_told("NEW", ps="LONG"), "one-way mode"),
        (trade_told(l="many"), "makes no sense"),
        ({"e": "ORDER_TRADE_UPDATE"}, "makes no sense"),
        (algo_told("NEW", ai="x"), "makes no sense"),
        (account_told() | {"a": None}, "makes no sense"),
    ],
)
def test_a_message_that_makes_no_sense_is_a_gap_and_never_a_guess(message, words):
    with pytest.raises(Puzzle, match=words):
        account_news(message)
    [gap] = heard(message)
    assert isinstance(gap, Gap)


@given(
    st.sampled_from([order_told(), trade_told(), algo_told(), trade_lite(), account_told("DEPOSIT"), margin_call()]),
    st.sampled_from(["e", "E", "T", "s", "t", "c", "o", "a", "p", *order_told()["o"], *algo_told()["o"]]),
    st.sampled_from([None, "", "x", -1, 10**30, 1.5, True, [], {}, [1], "NaN", "1e999999999"]),
)
def test_whatever_a_message_holds_it_is_told_or_it_is_a_gap(message, name, junk):
    inside = message.get("o", {})
    changed = message | ({"o": inside | {name: junk}} if name in inside else {name: junk})
    for told in Hearing(5.0).hear(changed, now=0.0):
        assert isinstance(told, OrderChanged | Filled | Look | Alarm | Gap)


def test_bars_and_marks_are_read_under_the_time_of_their_close():
    bar = Bar(ts_of(AT + 60_000), 60_000.0, 60_020.1, 59_990.0, 60_012.5, 1_000.125)
    assert bar.ts == T0.replace(minute=1)
    assert market_news(kline_told()) == CandleNews("BTCUSDT", AT, AT + 60_000, bar)
    assert market_news(kline_told(closed=False)) == CandleNews("BTCUSDT", AT, AT + 60_000, None)
    assert market_news(mark_told()) == MarkNews("BTCUSDT", AT, 60_001.25)
    assert market_news({"e": "aggTrade"}) is None
    with pytest.raises(Puzzle, match="kline makes no sense"):
        market_news({"e": "kline", "s": "BTCUSDT"})


# --- conditional orders -------------------------------------------------------------------------------------


def test_a_stop_that_fires_is_told_by_its_child_under_its_own_name():
    told = heard(
        algo_told("NEW"),
        algo_told("TRIGGERING"),
        algo_told("TRIGGERED", ai="99"),
        order_told("NEW", **CHILD),
        trade_told(**CHILD),
        algo_told("FINISHED", ai="99", aq="0.010"),
    )
    assert told == [OrderChanged(ts_of(AT), "stop-1", OrderStatus.OPEN), *heard(trade_told(**CHILD))]


def test_a_child_may_come_before_its_parents_word():
    before = facts([algo_told(), order_told(**CHILD), trade_told(**CHILD), algo_told("TRIGGERED", ai="99")])
    after = facts([algo_told(), algo_told("TRIGGERED", ai="99"), order_told(**CHILD), trade_told(**CHILD)])
    assert before == after


def test_a_child_with_a_name_of_its_own_is_known_by_its_number():
    told = heard(algo_told(), algo_told("TRIGGERED", ai="99"), trade_told(**CHILD | {"c": "made-by-the-venue"}))
    assert told[-1].fill.client_id == "stop-1"


def test_a_child_that_was_told_under_another_name_is_a_gap():
    told = heard(algo_told(), trade_told(**CHILD | {"c": "made-by-the-venue"}), algo_told("TRIGGERED", ai="99"))
    assert "heard of as made-by-the-venue, and is stop-1" in told[-1].why


def test_a_finished_conditional_order_whose_child_is_not_heard_of_is_a_gap_after_a_while():
    hearing = Hearing(settle_s=5.0)
    for message in (algo_told(), algo_told("TRIGGERED", ai="99"), algo_told("FINISHED", ai="99")):
        hearing.hear(message, now=10.0)
    assert hearing.overdue(now=15.0) is None
    assert "conditional order stop-1 finished" in hearing.overdue(now=15.1).why
    hearing.hear(order_told("EXPIRED", **CHILD), now=15.2)
    assert hearing.overdue(now=99.0) is None


# --- losses -------------------------------------------------------------------------------------------------


def test_a_lost_fill_shows_in_the_next_word_of_its_order():
    told = heard(
        order_told("NEW", at=AT + 1),
        trade_told(1, "0.002", "0.002", "PARTIALLY_FILLED", at=AT + 2),
        order_told("NEW", c="ours-2", i=2, at=AT + 5),
        trade_told(3, "0.004", "0.010", at=AT + 9),
    )
    assert isinstance(told[-2], Filled)
    assert told[-1] == Gap("of order ours-1 0.010 is filled, and 0.006 was heard", AT + 2)


def test_a_fill_that_only_came_late_is_told_and_no_second_gap():
    hearing = Hearing(5.0)
    told = []
    for message in (
        order_told("NEW"),
        trade_told(2, "0.004", "0.006", "PARTIALLY_FILLED"),
        trade_told(1, "0.002", "0.002", "PARTIALLY_FILLED"),
        trade_told(3, "0.004", "0.010"),
    ):
        told += hearing.hear(message, now=0.0)
    assert [t.fill.fill_id for t in told if isinstance(t, Filled)] == ["2", "1", "3"]
    assert len([t for t in told if isinstance(t, Gap)]) == 1


def test_an_order_that_ends_with_more_filled_than_was_heard_is_a_gap():
    told = heard(order_told("NEW"), order_told("EXPIRED", z="0.004", er="2"))
    assert isinstance(told[-1], Gap)


def test_what_was_filled_before_we_listened_is_no_gap():
    assert [type(t) for t in heard(trade_told(3, "0.004", "0.010"))] == [Filled]


def test_a_trade_that_was_announced_and_does_not_come_is_a_gap():
    hearing = Hearing(settle_s=5.0)
    hearing.hear(order_told("NEW", at=AT + 3), now=9.0)
    hearing.hear(trade_lite(trade=4, at=AT + 7), now=10.0)
    assert hearing.overdue(now=15.1) == Gap(
        "trade 4 of order ours-1 was announced, and in 5 s nothing followed", AT + 3
    )
    hearing.hear(trade_told(trade=4), now=16.0)
    assert hearing.overdue(now=99.0) is None


@pytest.mark.parametrize("kind", [{"o": "MARKET"}, {"f": "IOC"}, {"f": "FOK"}])
def test_an_order_that_never_rests_and_does_not_end_is_a_gap(kind):
    hearing = Hearing(settle_s=5.0)
    hearing.hear(order_told("NEW", **kind), now=10.0)
    hearing.hear(trade_told(1, "0.002", "0.002", "PARTIALLY_FILLED", **kind), now=10.1)
    assert hearing.overdue(now=15.1).why == "order ours-1 never rests, and in 5 s nothing followed"
    hearing.hear(order_told("EXPIRED", z="0.002", **kind), now=15.2)
    assert hearing.overdue(now=99.0) is None


def test_an_accepted_order_that_is_not_heard_of_is_a_gap():
    hearing = Hearing(settle_s=5.0)
    hearing.expect("ours-1", now=10.0)
    hearing.expect("stop-1", now=10.0)
    hearing.hear(order_told("NEW"), now=10.1)
    assert "order stop-1 was accepted" in hearing.overdue(now=15.1).why
    hearing.hear(algo_told("NEW"), now=15.2)
    hearing.expect("ours-1", now=16.0)
    assert hearing.overdue(now=99.0) is None


# --- laws ---------------------------------------------------------------------------------------------------


@st.composite
def lives(draw, number):
    """All that is told of one order, plain or conditional, in the order it happens; a conditional one in two rows."""
    name, plain = f"order-{number}", {"c": f"order-{number}", "i": 100 + number}
    parts = draw(st.lists(st.integers(1, 5), max_size=4))
    done, story = 0, [order_told("NEW", **plain)]
    for part in parts:
        done += part
        status = "FILLED" if done == sum(parts) and draw(st.booleans()) else "PARTIALLY_FILLED"
        story.append(trade_told(1_000 * number + done, str(part), str(done), status, **plain))
    if not parts or story[-1]["o"]["X"] != "FILLED":
        story.append(order_told(draw(st.sampled_from(["CANCELED", "EXPIRED"])), z=str(done), **plain))
    if draw(st.booleans()):
        return [story]
    parent = {"caid": name, "ai": str(100 + number)}
    return [[algo_told("NEW", caid=name)], story, [algo_told("TRIGGERED", **parent), algo_told("FINISHED", **parent)]]


@st.composite
def interleaved(draw):
    """Several orders' lives one after the other, and the same messages as they might have come instead."""
    stories = [draw(lives(number)) for number in range(1, draw(st.integers(2, 4)))]
    original = [message for story in stories for row in story for message in row]
    first, rows = [], []
    for story in stories:  # a conditional order is placed before anything becomes of it
        if len(story) > 1:
            first += story[0]
        rows += [list(row) for row in (story[1:] if len(story) > 1 else story)]
    mixed = []
    while any(rows):
        row = draw(st.sampled_from([row for row in rows if row]))
        mixed.append(row.pop(0))
    return original, first + mixed


def by_order(told):
    found = {}
    for fact in told:
        name = fact.fill.client_id if isinstance(fact, Filled) else fact.client_id
        found.setdefault(name, []).append(fact)
    return found


@given(interleaved())
def test_orders_may_be_told_of_in_any_order_among_each_other(told):
    original, mixed = told
    assert by_order(facts(mixed)) == by_order(facts(original))
    assert not [t for t in heard(*mixed) if isinstance(t, Gap)]


@given(interleaved(), st.data())
def test_what_is_told_twice_is_heard_once(told, data):
    _, messages = told
    repeated = list(messages)
    for _ in range(data.draw(st.integers(1, 6))):
        which = data.draw(st.integers(0, len(messages) - 1))
        after = repeated.index(messages[which])
        repeated.insert(data.draw(st.integers(after + 1, len(repeated))), messages[which])
    assert facts(repeated) == facts(messages)
    assert not [t for t in heard(*repeated) if isinstance(t, Gap)]


@given(interleaved(), st.randoms(use_true_random=False))
def test_however_messages_are_shuffled_no_fill_is_missed_and_no_order_goes_backward(told, dice):
    _, messages = told
    shuffled = list(messages)
    dice.shuffle(shuffled)
    fills = {f.fill.fill_id for f in facts(shuffled) if isinstance(f, Filled)}
    assert fills == {f.fill.fill_id for f in facts(messages) if isinstance(f, Filled)}
    for changes in by_order(facts(shuffled)).values():
        working = [f.status.working for f in changes if isinstance(f, OrderChanged)]
        assert working == sorted(working, reverse=True)
        assert len(working) == len(set(working))


@given(interleaved(), st.data())
def test_a_lost_fill_is_never_passed_over(told, data):
    _, messages = told
    fills = [n for n, m in enumerate(messages) if m["o"].get("x") == "TRADE"]
    if fills:
        lost = data.draw(st.sampled_from(fills))
        later = [m for m in messages[lost + 1 :] if m["o"].get("i") == messages[lost]["o"]["i"]]
        hearing = Hearing(settle_s=5.0)
        told = [t for m in messages[:lost] + messages[lost + 1 :] for t in hearing.hear(m, now=0.0)]
        ends = any(m["o"].get("caid") == messages[lost]["o"]["c"] for m in messages)
        noticed = any(isinstance(t, Gap) for t in told) or hearing.overdue(now=6.0) is not None
        assert noticed or not (later or ends)
