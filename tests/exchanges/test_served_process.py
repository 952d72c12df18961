"""`qt exchange` as a process: ready when it answers, killed at any time, and there again with all it knew."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from itertools import count

import pytest
from a_served_venue import LISTED, PAST, Served, a_desk, a_step
from builders import HOUR, T0

from qtlib.domain.orders import OrderIntent, OrderType, Role, Side, Submit
from qtlib.exchanges.port import Unavailable, Untrusted
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.exchanges.simulated.served import Desk, Ledger
from qtlib.exchanges.simulated.served.chart import Chart
from qtlib.exchanges.simulated.served.clock import Clock
from qtlib.exchanges.simulated.served.ledger import Entry
from qtlib.params import SettingsError, resolve
from qtlib.runs.session.exchange import opened, speed_of

SMALL = ["-p", "data.bars=600", "-p", "universe.symbols=BTCUSDT,ETHUSDT", "--speed", "step"]


def command(*words):
    return [sys.executable, "-m", "qtlib.cli", "exchange", "--port", "0", "--json", *SMALL, *map(str, words)]


@contextmanager
def running(*words):
    """The process and how to ask it, once it says that it is ready."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("QT_")}
    process = subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        said = process.stdout.readline()
        assert said, process.stderr.read()
        venue = Served(None, None, json.loads(said)["url"].rsplit(":", 1)[1])
        assert venue.ask("GET", "/fapi/v1/ping") == (200, {})
        yield process, venue
    finally:
        process.kill()
        process.communicate()


def everything(venue):
    """All that a client can ask about the account and where the market stands."""
    signed = [
        ("v3/account", {}),
        ("v3/positionRisk", {}),
        ("v1/openOrders", {}),
        ("v1/openAlgoOrders", {}),
        ("v1/allOrders", {"symbol": "BTCUSDT"}),
        ("v1/allAlgoOrders", {"symbol": "BTCUSDT"}),
        ("v1/userTrades", {"symbol": "BTCUSDT"}),
        ("v1/income", {}),
        ("v1/symbolConfig", {"symbol": "BTCUSDT"}),
    ]
    told = {path: venue.ask("GET", f"/fapi/{path}", signed=True, **asked) for path, asked in signed}
    told["klines"] = venue.ask("GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1h")
    told["key"] = venue.ask("PUT", "/fapi/v1/listenKey", key="sim")
    assert {status for status, _ in told.values()} == {200}
    return told


def test_killed_and_started_again_it_knows_every_order_and_balance(tmp_path):
    def order(venue, path="order", **said):
        asked = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010", **said}
        status, answer = venue.ask("POST", f"/fapi/v1/{path}", signed=True, **asked)
        assert status == 200, answer
        return answer

    with running("--state", tmp_path / "venue.db", "--balance", "5000") as (process, venue):
        price = float(venue.ask("GET", "/fapi/v1/ticker/price", symbol="BTCUSDT")[1]["price"])
        far, near, stop = (f"{price * by:.0f}" for by in (0.96, 0.999, 0.97))
        venue.ask("POST", "/fapi/v1/leverage", signed=True, symbol="BTCUSDT", leverage=9)
        venue.ask("POST", "/fapi/v1/listenKey", key="sim")
        order(venue)
        order(venue, type="LIMIT", timeInForce="GTC", price=far, newClientOrderId="mine")
        order(venue, type="LIMIT", timeInForce="GTC", price=near)
        venue.ask("DELETE", "/fapi/v1/order", signed=True, symbol="BTCUSDT", origClientOrderId="mine")
        order(venue, type="LIMIT", timeInForce="GTC", price=far, newClientOrderId="mine")  # the name is used again
        order(venue, "algoOrder", algoType="CONDITIONAL", side="SELL", type="STOP_MARKET", triggerPrice=stop)
        venue.step(3)
        before = everything(venue)
        process.send_signal(signal.SIGKILL)
        process.wait()

    with running("--state", tmp_path / "venue.db") as (process, venue):
        assert everything(venue) == before
        venue.step()
        assert order(venue)["orderId"] > max(o["orderId"] for o in before["v1/allOrders"][1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0

    another = subprocess.run(
        command("--state", tmp_path / "venue.db", "-p", "data.seed=9"), capture_output=True, text=True, check=False
    )
    assert another.returncode == 2
    assert "seed 7" in another.stderr
    assert "seed 9" in another.stderr


def test_killed_amid_orders_it_forgets_none_that_it_answered_and_its_sums_hold(tmp_path):
    answered = []

    def trade(venue):
        """Orders and steps without end, until nobody answers."""
        with suppress(OSError, http.client.HTTPException, ValueError):
            for n in count():
                asked = {
                    "symbol": "BTCUSDT",
                    "side": ("BUY", "SELL")[n // 2 % 2],
                    "type": "MARKET",
                    "quantity": "0.010",
                }
                status, answer = venue.ask("POST", "/fapi/v1/order", signed=True, newClientOrderId=f"o{n}", **asked)
                if status == 200:
                    answered.append((answer["clientOrderId"], answer["orderId"], answer["status"]))
                if n % 10 == 9:
                    venue.step()

    with running("--state", tmp_path / "venue.db") as (process, venue):
        trading = threading.Thread(target=trade, args=[venue])
        trading.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        trading.join(20)
    assert len(answered) > 20
    with running("--state", tmp_path / "venue.db") as (_, venue):
        told = venue.ask("GET", "/fapi/v1/allOrders", signed=True, symbol="BTCUSDT", limit=1000, orderId=1)[1]
        known = [(o["clientOrderId"], o["orderId"], o["status"]) for o in told]
        assert known[: len(answered)] == answered
        assert len(known) <= len(answered) + 1  # the one that was on its way
        account = venue.ask("GET", "/fapi/v3/account", signed=True)[1]
        rows = venue.ask("GET", "/fapi/v1/income", signed=True, startTime=0, limit=1000)[1]
        assert sum(Decimal(row["income"]) for row in rows) == Decimal(account["totalWalletBalance"])
        trades = venue.ask("GET", "/fapi/v1/userTrades", signed=True, symbol="BTCUSDT", limit=1000)[1]
        held = sum(Decimal(t["qty"]) * (1 if t["buyer"] else -1) for t in trades)
        assert held == sum(Decimal(p["positionAmt"]) for p in account["positions"])


def test_it_ends_in_order_when_its_starter_is_gone(tmp_path):
    starter = subprocess.Popen(["sleep", "60"])
    with running("--state", tmp_path / "venue.db", "--until-pid", starter.pid) as (process, _venue):
        assert process.poll() is None
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        assert process.wait(20) == 0
    assert subprocess.run(command("--until-pid", starter.pid), capture_output=True, check=False).returncode == 0


def test_it_goes_wrong_as_a_file_says_and_one_that_says_nonsense_is_refused(tmp_path):
    file = tmp_path / "faults.yaml"
    file.write_text("seed: 7\nfaults:\n- {kind: unavailable, on: GET v1/time, first: 2}\n", encoding="utf-8")
    with running("--faults", file) as (_, venue):
        assert [venue.ask("GET", "/fapi/v1/time")[0] for _ in range(3)] == [200, 503, 200]
        assert venue.ask("GET", "/sim/faults")[1]["seed"] == 7
    for text, words in (("faults: [{kind: unavailble}]", "did you mean unavailable?"), ("[", "faults.yaml")):
        file.write_text(text, encoding="utf-8")
        refused = subprocess.run(command("--faults", file), capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert words in " ".join(refused.stderr.split())


def test_two_cannot_hold_one_state_file(tmp_path):
    with running("--state", tmp_path / "venue.db"):
        second = subprocess.run(command("--state", tmp_path / "venue.db"), capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert "another process" in second.stderr


def test_an_order_that_was_written_down_and_never_sent_never_came_to_be(tmp_path):
    """Killed between the ledger and the engine: nothing of it remains, and its number is free."""
    desk = a_desk(tmp_path)
    unsent = OrderIntent("1", "BTCUSDT", Side.BUY, Decimal("0.01"), Role.ENTRY)
    desk.ledger.write(Entry(1, "mine", desk.now, unsent))
    desk.engine.close()
    desk.ledger.close()
    again = a_desk(tmp_path)
    assert list(again.records()) == list(again.ledger.entries()) == []
    record = again.submit(replace(unsent, client_id="mine"))
    assert (record.number, record.filled) == (1, Decimal("0.01"))


def test_a_stop_with_a_limit_that_fired_and_rests_is_remembered_as_fired(tmp_path):
    """The engine says nothing when a trigger only makes an order rest: the ledger keeps that it did."""
    desk = a_desk(tmp_path)
    desk.submit(
        OrderIntent(
            "mine",
            "BTCUSDT",
            Side.BUY,
            Decimal("0.01"),
            Role.ENTRY,
            OrderType.STOP,
            Decimal(60_500),
            Decimal(61_000),
        )
    )
    desk.live(a_step(PAST + 1, 60_000, 61_500, 60_000, 61_200))
    [record] = desk.records()
    assert (record.algo_status, record.plain_status) == ("TRIGGERED", "NEW")
    desk.cancel(record)
    told = (record.algo_status, record.plain_status, record.fired)
    assert told[:2] == ("FINISHED", "CANCELED")
    desk.engine.close()
    desk.ledger.close()
    [record] = a_desk(tmp_path).records()
    assert (record.algo_status, record.plain_status, record.fired) == told


class Stumbling(SimulatedExchange):
    """An engine whose disk is full once, at its second step."""

    stumbles = 1

    def advance(self, step):
        if self.stumbles and self.account.positions:
            self.stumbles -= 1
            raise Unavailable("the disk is full")
        super().advance(step)


def test_a_step_that_could_not_be_kept_comes_again():
    engine = Stumbling(LISTED, Decimal(10_000))
    desk = Desk(engine, Ledger(), Chart(HOUR))
    steps = [a_step(hour) for hour in (1, 2, 3)]
    clock = Clock(desk, iter(steps), None)
    clock.step()
    desk.submit(OrderIntent("mine", "BTCUSDT", Side.BUY, Decimal("0.01"), Role.ENTRY))
    with pytest.raises(Unavailable):
        clock.step()
    assert (desk.now, desk.chart.now) == (steps[0].ts, steps[0].ts)
    assert clock.step(5) == 2
    assert desk.chart.count("BTCUSDT") == 3


def test_an_engine_that_took_orders_without_a_ledger_is_not_served(tmp_path):
    engine = a_desk(tmp_path).engine
    engine.carry_out([Submit(OrderIntent("a-sessions", "BTCUSDT", Side.BUY, Decimal("0.01"), Role.ENTRY))])
    with pytest.raises(Untrusted, match="a session's own venue cannot be served"):
        Desk(engine, Ledger(), Chart(HOUR))


def test_the_simulated_market_goes_on_for_ever_and_is_the_same_however_it_is_cut():
    def steps(bars, count):
        settings = resolve(None, [f"data.bars={bars}", "universe.symbols=BTCUSDT"]).params
        _, coming = opened(settings)
        return [next(coming) for _ in range(count)]

    assert steps(60, 130) == steps(5_000, 130)


def test_the_account_begins_when_it_is_told_to_and_what_was_before_is_past():
    settings = resolve(None, ["universe.symbols=BTCUSDT"]).params
    begins = T0.replace(day=9)
    desk, coming = opened(settings, begins=begins)
    assert desk.now == begins
    assert desk.chart.count("BTCUSDT") == 8 * 24
    assert next(coming).ts > begins
    with pytest.raises(SettingsError, match="begin later"):
        opened(settings, begins=T0.replace(year=2020))


@pytest.mark.parametrize("text", ["0", "-1", "fast", "inf", "nan"])
def test_a_speed_is_a_number_above_zero_or_step(text):
    with pytest.raises(SettingsError, match="real time"):
        speed_of(text)
