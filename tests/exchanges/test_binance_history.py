"""What happened to the account is told from the venue's own books: all of it, under our names, from where we began."""

from decimal import Decimal

import pytest
from a_liar import lying
from a_served_venue import PAST, a_step, served
from builders import HOUR, T0
from test_binance_faults import a_stop, an_entry, fates

from qtlib.domain.events import INSURANCE_CLEAR, START, CashMoved, Filled
from qtlib.domain.orders import Order, OrderStatus, Submit
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.history import MOST_ROWS
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.binance.words import fill_of
from qtlib.exchanges.port import Unavailable, Untrusted
from qtlib.exchanges.simulated.faults import Faults, fault

NOW = T0 + PAST * HOUR
NOW_MS = int(NOW.timestamp() * 1000)


def opened(url):
    return open_exchange(Mode.SIM, url=url, settle_s=0.0, deadline_s=2.0)


def a_fall():
    """Down through 58 000."""
    yield a_step(PAST + 1, 60_000, 60_000, 57_000, 57_500, next=57_500)


def fills_of(events):
    return {e.fill.fill_id: e.fill.client_id for e in events if isinstance(e, Filled)}


def test_what_was_before_a_journal_began_is_not_part_of_it():
    with served(times=1000) as venue:
        with opened(venue.url) as before:
            before.carry_out([Submit(an_entry(1))])
        with opened(venue.url) as ours:
            assert list(ours.events(START)) == []  # a journal that knows nothing: the snapshot says what is
            assert ours.snapshot().positions["BTCUSDT"].quantity == Decimal("0.02")
            ours.carry_out([Submit(an_entry(2))])  # in the very same instant of the market
            assert fills_of(ours.events(NOW)) == {"2": an_entry(2).client_id}


def test_what_happens_after_a_journal_began_is_told_however_often_it_asks():
    with served(times=1000) as venue, opened(venue.url) as ours, opened(venue.url) as somebody:
        assert list(ours.events(START)) == []
        somebody.carry_out([Submit(an_entry(1))])
        for _ in range(2):
            assert fills_of(ours.events(START)) == {"1": an_entry(1).client_id}


def test_an_answer_that_makes_no_sense_is_not_trusted_and_the_order_is_found_later():
    entry, stop = an_entry(1), a_stop(2)
    with (
        served(times=1000) as venue,
        lying(venue.url, {("POST", "/fapi/v1/algoOrder"): {"what": "ever"}}) as url,
        opened(url) as ours,
    ):
        with pytest.raises(Untrusted, match="makes no sense"):
            ours.carry_out([Submit(entry), Submit(stop)])
        told = ours.events(NOW, [Order(entry), Order(stop)])
        assert OrderStatus.FILLED in fates(told, entry)
        assert fates(told, stop) == [OrderStatus.OPEN]


def test_after_a_restart_everything_is_told_under_the_same_names():
    entry, stop = an_entry(1), a_stop(2)
    with served(a_fall(), times=1000) as venue:
        with opened(venue.url) as before:
            before.carry_out([Submit(entry), Submit(stop)])
            before.step()
            told = before.events(NOW, [Order(stop, OrderStatus.OPEN)])
        with opened(venue.url) as ours:
            assert ours.events(NOW, [Order(stop, OrderStatus.OPEN)]) == told
        with opened(venue.url) as ours:
            assert fills_of(ours.events(NOW)) == fills_of(told) == {"1": entry.client_id, "2": stop.client_id}


def test_the_child_of_a_conditional_order_goes_by_its_parents_name_whatever_the_venue_calls_it():
    def renamed(said):
        return {**said, "clientOrderId": "x-child"} if said.get("origType") == "STOP_MARKET" else said

    stop = a_stop(2)
    with (
        served(a_fall(), times=1000) as venue,
        lying(venue.url, {("GET", "/fapi/v1/order"): renamed}) as url,
        opened(url) as ours,
    ):
        ours.carry_out([Submit(an_entry(1)), Submit(stop)])
        ours.step()
        with opened(url) as again:  # which has never seen it
            assert fills_of(again.events(NOW))["2"] == stop.client_id
        assert fills_of(ours.events(NOW, [Order(stop, OrderStatus.OPEN)]))["2"] == stop.client_id


def test_what_the_venue_wrote_late_is_told_nevertheless():
    with served(times=1000) as venue, opened(venue.url) as ours:
        ours.carry_out([Submit(an_entry(1))])
        later = NOW.replace(minute=5)
        assert fills_of(ours.events(later)) == {"1": an_entry(1).client_id}


def test_more_trades_than_one_answer_holds_are_all_told():
    count = MOST_ROWS + 7
    with served(times=1000, cash=10_000_000) as venue, opened(venue.url) as ours:
        ours.carry_out([Submit(an_entry(number, "0.001")) for number in range(count)])
        assert len(fills_of(ours.events(NOW))) == count


def test_every_move_of_the_wallet_that_no_trade_explains_is_a_cash_move():
    def moved(number, kind, amount, asset="USDT"):
        return {
            "symbol": "",
            "incomeType": kind,
            "income": amount,
            "asset": asset,
            "info": "",
            "time": NOW_MS + number,
            "tranId": 4_000 + number,
            "tradeId": "",
        }

    rows = [
        moved(1, "TRANSFER", "250.5"),
        moved(2, "TRANSFER", "-20"),
        moved(3, "INSURANCE_CLEAR", "1.25"),
        moved(4, "WELCOME_BONUS", "3"),
        moved(5, "TRANSFER", "0.1", "BNB"),  # not the wallet that we keep account of
        moved(6, "COMMISSION", "-0.3"),  # its trade says so
    ]
    with served(times=1000) as venue, lying(venue.url, {("GET", "/fapi/v1/income"): rows}) as url, opened(url) as ours:
        told = [e for e in ours.events(NOW) if isinstance(e, CashMoved)]
        assert [(e.amount, e.reason) for e in told] == [
            (Decimal("250.5"), "deposit"),
            (Decimal(-20), "withdrawal"),
            (Decimal("1.25"), INSURANCE_CLEAR),
            (Decimal(3), "welcome_bonus"),
        ]
        assert len({e.key for e in told}) == 4
        assert [e.key for e in ours.events(NOW) if isinstance(e, CashMoved)] == [e.key for e in told]


def test_an_order_is_not_over_before_its_trades_were_heard():
    entry, faults = an_entry(1), Faults()
    with served([a_step(PAST + 1)], faults=faults, times=1000) as venue, opened(venue.url) as ours:
        faults.add([fault("partial_fills", lots=3), fault("unavailable", on="GET v1/userTrades", times=None)])
        ours.step()
        assert fates(ours.carry_out([Submit(entry)]), entry) == [OrderStatus.OPEN]  # though it is over already
        faults.clear()
        told = fates(ours.events(NOW, [Order(entry, OrderStatus.OPEN)]), entry)
        assert set(told) == {OrderStatus.FILLED, OrderStatus.EXPIRED}


def test_an_order_that_a_list_forgets_is_not_taken_for_gone():
    stop = a_stop(2)
    with (
        served(times=1000) as venue,
        lying(venue.url, {("GET", "/fapi/v1/openAlgoOrders"): []}) as url,
        opened(url) as ours,
    ):
        ours.carry_out([Submit(an_entry(1)), Submit(stop)])
        assert fates(ours.events(NOW, [Order(stop, OrderStatus.OPEN)]), stop) == []


def test_a_fee_in_another_coin_leaves_our_wallet_alone():
    trade = {
        "id": 7,
        "symbol": "BTCUSDT",
        "side": "BUY",
        "qty": "0.002",
        "price": "60000.10",
        "commission": "0.00004",
        "time": NOW_MS,
        "maker": False,
    }
    assert fill_of({**trade, "commissionAsset": "BNB"}, "c").fee == 0
    assert fill_of({**trade, "commissionAsset": "USDT"}, "c").fee == Decimal("0.00004")


def test_a_snapshot_whose_parts_are_not_of_one_moment_is_asked_for_again():
    answers = []

    def late(said):
        answers.append(said)
        return [] if len(answers) < 3 else said  # a position that is not there yet

    with (
        served(times=1000) as venue,
        lying(venue.url, {("GET", "/fapi/v3/positionRisk"): late}) as url,
        opened(url) as ours,
    ):
        ours.carry_out([Submit(an_entry(1))])
        assert ours.snapshot().positions["BTCUSDT"].quantity == Decimal("0.02")
        assert len(answers) == 3
    with (
        served(times=1000) as venue,
        lying(venue.url, {("GET", "/fapi/v3/positionRisk"): lambda said: []}) as url,
        opened(url) as ours,
    ):
        ours.carry_out([Submit(an_entry(1))])
        with pytest.raises(Unavailable, match="do not come to rest"):
            ours.snapshot()
