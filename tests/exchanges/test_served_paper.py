"""A venue that follows another's market: the same bars, marks and funding, and nothing while that is out of touch.

The other venue is a served one, stepped by hand: nothing here reaches beyond this machine.
"""

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from math import inf

import pytest
from a_served_venue import KEY, LISTED, PAST, SECRET, SYMBOLS, Served, a_step, served
from a_venue import a_conduct
from patience import until
from test_served_process import running

from qtlib.exchanges.binance.sockets import Patience
from qtlib.exchanges.paper import Pace, open_upstream
from qtlib.exchanges.port import Refused
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.exchanges.simulated.faults import Faults, fault
from qtlib.exchanges.simulated.served import Desk, Doors, Ledger, serve
from qtlib.exchanges.simulated.served.auth import Credentials
from qtlib.exchanges.simulated.served.chart import Chart

HOUR = timedelta(hours=1)
BRISK = Patience(quiet_s=inf, connect_s=0.5, probe_s=0.05, unanswered=6, first_pause_s=0.01, longest_pause_s=0.05)
PACE = Pace(quotes_s=0.05, laggard_s=0.3, funding_s=0.0, again_s=0.02, streams=BRISK)
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}


def a_market(hours=12):
    """Up by a hundred an hour, with funding at eight o'clock."""
    for n in range(1, hours + 1):
        begins = 60_000 + 100 * (n - 1)
        hour = PAST + n
        rate = 0.0001 if hour % 8 == 0 else None
        yield a_step(hour, begins, begins + 150, begins - 50, begins + 100, funding=rate, next=begins + 100)


def elsewhere(**said):
    """The other venue; of which more may be asked, as here it is asked all the time."""
    return served(a_market(), times=1_000, **said)


@contextmanager
def following(other, symbols=SYMBOLS):
    """Our own venue, which follows the market of `other`."""
    loop, opened, closing, found = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    async def stay_open():
        async with open_upstream(other.url, symbols, "1h", HOUR, PACE) as upstream:
            known = {symbol: LISTED[symbol] for symbol in symbols}
            engine = SimulatedExchange(await upstream.instruments(known), Decimal(10_000), a_conduct())
            for symbol in upstream.halted:
                engine.relist(engine.instruments[symbol], suspended=True)
            chart, past = Chart(HOUR), await upstream.past(20)
            for step in past:
                chart.live(step)
            desk = Desk(engine, Ledger(), chart)
            desk.live(past[-1])
            async with serve(Doors(desk, iter(()), Credentials(KEY, SECRET), upstream=upstream)) as port:
                found.append(Served(None, desk, port))
                opened.set()
                await closing.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[stay_open()], daemon=True)
    thread.start()
    assert opened.wait(10)
    try:
        until(lambda: standing(found[0])["in_touch"])
        yield found[0]
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join(10)
        loop.close()


def standing(venue):
    return venue.ask("GET", "/sim")[1]["upstream"]


def caught_up(venue, other):
    until(lambda: venue.desk.now == other.desk.now)


def same_market(venue, other):
    for path in ("klines", "markPriceKlines"):
        both = [v.ask("GET", f"/fapi/v1/{path}", symbol="BTCUSDT", interval="1h", limit=15)[1] for v in (venue, other)]
        assert both[0] == both[1]
    funded = [v.ask("GET", "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=3)[1] for v in (venue, other)]
    assert [r["fundingRate"] for r in funded[0]] == [r["fundingRate"] for r in funded[1]][-len(funded[0]) :]


def buy(venue):
    return venue.ask("POST", "/fapi/v1/order", signed=True, **BUY)


def test_it_lives_through_the_same_bars_marks_and_funding_and_orders_stay_here():
    with elsewhere() as other, following(other) as venue:
        same_market(venue, other)
        other.step()
        caught_up(venue, other)
        assert buy(venue)[1]["status"] == "FILLED"
        trade = venue.ask("GET", "/fapi/v1/userTrades", signed=True, symbol="BTCUSDT")[1][0]
        assert trade["price"] == "60100.00"
        for _ in range(3):
            other.step()
            caught_up(venue, other)
        other.step(7)
        caught_up(venue, other)
        same_market(venue, other)
        paid = venue.ask("GET", "/fapi/v1/income", signed=True, incomeType="FUNDING_FEE")[1]
        assert [row["income"] for row in paid] == ["-0.06020000", "-0.06100000"]
        assert other.ask("GET", "/fapi/v1/userTrades", signed=True, symbol="BTCUSDT")[1] == []


def test_a_cut_stream_is_followed_again_without_a_gap_and_the_market_stood_still_meanwhile(caplog):
    cut = [fault("drop_socket", on="bar", first=2, times=2), fault("silent_socket", on="bar", first=6)]
    with elsewhere(faults=Faults(cut)) as other, following(other) as venue:
        for _ in range(9):
            other.step()
            time.sleep(0.05)
        caught_up(venue, other)
        until(lambda: standing(venue)["in_touch"])
        same_market(venue, other)
    stood = [line for line in caplog.messages if line.startswith("the market stands still: stream 1")]
    assert len(stood) >= 2


def test_while_the_other_is_gone_the_market_stands_and_takes_no_orders():
    with elsewhere() as other, following(other) as venue:
        other.step()
        caught_up(venue, other)
        limit = BUY | {"type": "LIMIT", "timeInForce": "GTC", "price": "59000"}
        rests = venue.ask("POST", "/fapi/v1/order", signed=True, **limit)[1]
        refuse(other, {"kind": "reset", "on": "*", "times": None, "executes": False})
        until(lambda: not standing(venue)["in_touch"])
        assert "prices" in standing(venue)["why_not"]
        now = venue.desk.now
        other.step(2)
        status, answer = buy(venue)
        assert (status, answer["msg"]) == (503, "Service Unavailable.")
        cancel = {"symbol": "BTCUSDT", "orderId": rests["orderId"]}
        assert venue.ask("DELETE", "/fapi/v1/order", signed=True, **cancel)[0] == 200
        assert venue.desk.now == now
        refuse(other, clear=True)
        caught_up(venue, other)
        until(lambda: standing(venue)["in_touch"])
        assert buy(venue)[0] == 200
        same_market(venue, other)


def test_prices_between_bars_are_the_others():
    with elsewhere() as other, following(other) as venue:
        other.desk.engine.requote({"BTCUSDT": 60_500.0}, {"BTCUSDT": 60_400.0})
        until(lambda: venue.ask("GET", "/fapi/v1/ticker/price", symbol="BTCUSDT")[1]["price"] == "60500.00")
        assert venue.ask("GET", "/fapi/v1/premiumIndex", symbol="BTCUSDT")[1]["markPrice"] == "60400.00000000"
        buy(venue)
        assert venue.ask("GET", "/fapi/v1/userTrades", signed=True, symbol="BTCUSDT")[1][0]["price"] == "60500.00"


def test_a_symbol_that_alone_has_no_bar_stands_still_by_itself():
    alone = Faults([fault("settling", on="ETHUSDT", times=3)])
    with elsewhere(faults=alone) as other, following(other) as venue:
        for bars in (1, 3):
            other.step(bars)
            caught_up(venue, other)
        count = {symbol: venue.desk.chart.count(symbol) for symbol in SYMBOLS}
        assert count["BTCUSDT"] - count["ETHUSDT"] == 3
        same_market(venue, other)


def test_a_symbol_that_is_halted_there_takes_no_orders_until_it_trades_again_and_the_others_do():
    with elsewhere(faults=Faults([fault("settling", on="ETHUSDT", times=3)])) as other:
        other.step(2)
        with following(other) as venue:
            assert standing(venue)["halted"] == {"ETHUSDT": "SETTLING"}
            assert _tried(venue, "ETHUSDT") == "SETTLING"
            assert _tried(venue, "BTCUSDT") == "FILLED"
            for _ in range(2):  # it is settling in the first of them, and not in the second
                other.step()
                caught_up(venue, other)
            assert standing(venue)["halted"] == {}
            assert _tried(venue, "ETHUSDT") == "FILLED"


def _tried(venue, symbol):
    """What becomes of a market order; of one that is refused, how the symbol is listed."""
    status, answer = venue.ask("POST", "/fapi/v1/order", signed=True, **{**BUY, "symbol": symbol})
    listed = {row["symbol"]: row for row in venue.ask("GET", "/fapi/v1/exchangeInfo")[1]["symbols"]}
    return answer["status"] if status == 200 else listed[symbol]["status"]


def test_where_nothing_trades_there_is_nothing_to_follow():
    async def ask(other):
        async with open_upstream(other.url, ("BTCUSDT",), "1h", HOUR, PACE) as upstream:
            await upstream.instruments({"BTCUSDT": LISTED["BTCUSDT"]})

    with elsewhere(faults=Faults([fault("settling", on="BTCUSDT", times=3)])) as other:
        other.step()
        with pytest.raises(Refused, match="none of BTCUSDT trades"):
            asyncio.run(ask(other))


def test_killed_and_started_again_it_lives_through_what_it_missed(tmp_path):
    with elsewhere() as other:
        words = ("--paper", other.url, "--timeframe", "1h", "--state", tmp_path / "venue.db")
        with running(*words) as (process, venue):
            until(lambda: standing(venue)["in_touch"])
            assert buy(venue)[1]["status"] == "FILLED"
            process.kill()
        other.step(4)
        with running(*words) as (_, venue):
            until(lambda: venue.ask("GET", "/sim")[1]["now"] == other.desk.now.isoformat())
            same_market(venue, other)
            paid = venue.ask("GET", "/fapi/v1/income", signed=True, incomeType="FUNDING_FEE")[1]
            assert [row["income"] for row in paid] == ["-0.06020000"]
            held = venue.ask("GET", "/fapi/v3/positionRisk", signed=True)[1]
            assert [row["positionAmt"] for row in held] == ["0.010"]


def test_filters_are_the_others_and_what_it_does_not_trade_is_refused():
    with elsewhere(faults=Faults([fault("filters", on="BTCUSDT", factor=10)])) as other:
        other.step()
        with following(other) as venue:
            listed = venue.ask("GET", "/fapi/v1/exchangeInfo")[1]["symbols"][0]
            assert listed["filters"][0]["tickSize"] == "1.00"
            assert venue.desk.view.instruments["BTCUSDT"].brackets == LISTED["BTCUSDT"].brackets

        async def ask_for_more():
            async with open_upstream(other.url, ("SOLUSDT",), "1h", HOUR, PACE) as upstream:
                await upstream.instruments({"SOLUSDT": LISTED["BTCUSDT"]})

        with pytest.raises(Refused, match="SOLUSDT cannot be traded"):
            asyncio.run(ask_for_more())


def test_it_goes_on_by_itself_and_not_when_told():
    with elsewhere() as other, following(other) as venue:
        assert venue.ask("POST", "/sim/step")[0] == 409


def refuse(venue, *faults, clear=False):
    venue.ask("POST", "/sim/faults", body=json.dumps({"clear": clear, "faults": list(faults)}).encode())
