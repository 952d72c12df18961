"""While streams are trusted nothing need be asked, and whenever they are not, nothing is missed."""

import time
from contextlib import contextmanager
from decimal import Decimal
from queue import Empty

import pytest
from a_served_venue import PAST, a_step, served
from builders import HOUR, T0
from patience import PATIENCE_S
from test_binance_faults import a_stop, an_entry, fates

from qtlib.domain.events import Filled, FundingPaid
from qtlib.domain.orders import Order, OrderStatus, Submit
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.port import BarHeard, Untrusted, Woken
from qtlib.exchanges.simulated.faults import Faults, fault

NOW = T0 + PAST * HOUR
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def a_market(hours, rate):
    for hour in range(PAST + 1, PAST + hours + 1):
        low = 57_500 if hour % 5 == 0 else 59_500
        yield a_step(hour, 60_000, 60_500, low, 60_000, funding=rate if hour % 8 == 0 else None, next=60_000)


class Watcher:
    """A venue, the adapter watching it, and all that was heard so far."""

    def __init__(self, venue, ours, faults):
        self.venue, self.ours, self.faults = venue, ours, faults
        self.queue, self.heard = ours.watch(SYMBOLS, "1h"), []

    def until(self, seen, patience_s=PATIENCE_S):
        """Listen until `seen` is true of what was heard."""
        end = time.monotonic() + patience_s
        while not seen():
            assert time.monotonic() < end, self.heard
            try:
                self.heard.append(self.queue.get(timeout=0.02))
            except Empty:
                continue

    def until_trusted(self, *about):
        self.until(lambda: self.ours.events(NOW, about) is not None and self.ours.trusted)

    def bars(self, symbol="BTCUSDT"):
        return [said for said in self.heard if isinstance(said, BarHeard) and said.symbol == symbol]

    def woken(self, word):
        return [said for said in self.heard if isinstance(said, Woken) and word in said.why]

    @contextmanager
    def not_asking(self):
        """Nobody asks about the account: who does is refused as nobody can overlook."""
        questions = "GET v1/income|GET v1/openOrders|GET v1/openAlgoOrders|GET v1/userTrades"
        self.faults.add([fault("key_refused", on=questions, times=None)])
        yield
        self.faults.clear()


@contextmanager
def watching(hours=12, rate=None):
    faults = Faults()
    with (
        served(a_market(hours, rate), faults=faults, times=1000) as venue,
        open_exchange(Mode.SIM, url=venue.url, settle_s=0.1) as ours,
    ):
        watcher = Watcher(venue, ours, faults)
        watcher.until_trusted()
        yield watcher


def test_bars_are_heard_as_they_close_with_their_marks():
    with watching() as watcher:
        for hour in range(1, 6):
            watcher.ours.step()
            watcher.until(lambda hour=hour: all(len(watcher.bars(symbol)) == hour for symbol in SYMBOLS))
        assert [said.bar.ts for said in watcher.bars()] == [NOW + hour * HOUR for hour in range(1, 6)]
        assert [said.bar.low for said in watcher.bars()] == [59_500.0] * 4 + [57_500.0]
        assert {said.mark for said in watcher.bars()} == {60_000.0}
        assert [said.bar for said in watcher.bars()] == list(watcher.ours.bars(["BTCUSDT"], "1h", 5)["BTCUSDT"])


def test_what_happens_to_the_account_wakes_and_is_told_without_asking():
    entry, stop = an_entry(), a_stop()
    with watching() as watcher:
        with watcher.not_asking():
            watcher.ours.carry_out([Submit(entry), Submit(stop)])
            for _ in range(5):
                watcher.ours.step()
            watcher.until(lambda: len(watcher.bars()) == 5 and watcher.woken("fill:BTCUSDT:2"))
            told = watcher.ours.events(NOW, [Order(stop, OrderStatus.OPEN)])
        assert [e.fill.client_id for e in told if isinstance(e, Filled)] == [entry.client_id, stop.client_id]
        watcher.ours.snapshot()  # after which REST is asked
        again = watcher.ours.events(NOW, [Order(stop, OrderStatus.OPEN)])
        assert [e for e in told if isinstance(e, Filled)] == [e for e in again if isinstance(e, Filled)]


def test_a_fill_is_heard_sooner_than_it_could_be_asked_for():
    with watching() as watcher:
        with watcher.not_asking():
            told = watcher.ours.carry_out([Submit(an_entry())])
        assert fates(told, an_entry()) == [OrderStatus.OPEN, OrderStatus.FILLED]


def test_funding_is_told_once_a_hint_of_it_was_heard():
    with watching(rate=0.0001) as watcher:
        watcher.ours.carry_out([Submit(an_entry())])
        while watcher.ours.step() and watcher.ours.now < T0 + 40 * HOUR:
            pass
        watcher.until(lambda: watcher.woken("funding_fee"))
        told = watcher.ours.events(NOW)
        assert [(e.ts, e.amount, e.rate_frac) for e in told if isinstance(e, FundingPaid)] == [
            (T0 + 32 * HOUR, Decimal("-0.12"), 0.0001),
            (T0 + 40 * HOUR, Decimal("-0.12"), 0.0001),
        ]


@pytest.mark.parametrize("kind", ["drop_socket", "listen_key_expired", "omit", "repeat", "reorder"])
def test_nothing_is_missed_whatever_becomes_of_the_streams(kind):
    entry, stop = an_entry(), a_stop()
    on = {"drop_socket": "*", "listen_key_expired": "bar"}.get(kind, "ORDER_TRADE_UPDATE")
    with watching() as watcher:
        watcher.faults.add([fault(kind, on=on, times=3)])
        told = list(watcher.ours.carry_out([Submit(entry), Submit(stop)]))
        for hour in range(1, 7):
            watcher.ours.step()
            watcher.until(lambda hour=hour: len(watcher.bars()) == hour)
        watcher.faults.clear()
        about = [Order(stop, OrderStatus.OPEN)]
        filled = "fill:BTCUSDT:2"
        end = time.monotonic() + 15
        while filled not in {event.key for event in told}:
            assert time.monotonic() < end
            told += watcher.ours.events(NOW, about)
            time.sleep(0.02)
        fills = {e.key: e.fill for e in told if isinstance(e, Filled)}
        assert {f.fill_id: f.client_id for f in fills.values()} == {"1": entry.client_id, "2": stop.client_id}
        assert [said.bar.ts for said in watcher.bars()] == [NOW + hour * HOUR for hour in range(1, 7)]


def test_after_a_snapshot_everything_is_asked_for():
    with watching() as watcher:
        with watcher.not_asking():
            watcher.ours.events(NOW)
        watcher.ours.snapshot()
        with watcher.not_asking(), pytest.raises(Untrusted):
            watcher.ours.events(NOW)


def test_touch_that_is_lost_is_said_and_asked_about_once_it_is_back():
    with watching() as watcher:
        watcher.faults.add([fault("drop_socket", on="ORDER_TRADE_UPDATE")])
        told = watcher.ours.carry_out([Submit(an_entry())])
        assert fates(told, an_entry()) == [OrderStatus.OPEN, OrderStatus.FILLED]  # by REST
        watcher.until(lambda: len(watcher.woken("the account is heard of again")) == 2)
        assert watcher.woken("touch with the account is lost")
        assert not watcher.ours.trusted
        with watcher.not_asking(), pytest.raises(Untrusted):  # asked at once, and refused by that fault
            watcher.ours.events(NOW)
        watcher.until_trusted()
