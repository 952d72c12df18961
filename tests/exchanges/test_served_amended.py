"""Orders changed while they rest, and settings of one symbol: what becomes of them, here and after a restart."""

import json
from decimal import Decimal

import pytest
from a_served_venue import LISTED, PAST, a_desk, a_step, served
from a_venue import a_conduct

from qtlib.domain.orders import OrderIntent, OrderType, Role, Side
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.exchanges.simulated.served import Desk, Ledger
from qtlib.exchanges.simulated.served.records import OrderTold

BUY = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010"}
LIMIT = {**BUY, "type": "LIMIT", "timeInForce": "GTC", "price": "59000.00", "newClientOrderId": "mine"}
MINE = {**BUY, "origClientOrderId": "mine", "price": "59000.00"}


@pytest.fixture
def venue():
    with served([a_step(PAST + 1, 60_000, 60_500, 59_400, 59_900, next=59_900)]) as venue:
        yield venue


def ask(venue, method, path, **asked):
    return venue.ask(method, f"/fapi/v1/{path}", signed=True, **asked)


def code(answer):
    status, document = answer
    return status if status == 200 else document["code"]


def test_an_amended_order_keeps_its_number_and_name_and_trades_at_its_new_price(venue):
    first = ask(venue, "POST", "order", **LIMIT)[1]
    amended = ask(venue, "PUT", "order", **MINE | {"price": "59500", "quantity": "0.020"})[1]
    assert (amended["orderId"], amended["clientOrderId"]) == (first["orderId"], "mine")
    assert (amended["price"], amended["origQty"], amended["status"]) == ("59500.00", "0.020", "NEW")
    venue.step()
    [trade] = ask(venue, "GET", "userTrades", symbol="BTCUSDT")[1]
    assert (trade["price"], trade["qty"], trade["maker"]) == ("59500.00", "0.020", True)


def test_an_order_amended_through_the_market_takes_at_once(venue):
    ask(venue, "POST", "order", **LIMIT)
    amended = ask(venue, "PUT", "order", **MINE | {"price": "60500"})[1]
    assert (amended["status"], amended["executedQty"]) == ("FILLED", "0.010")
    [trade] = ask(venue, "GET", "userTrades", symbol="BTCUSDT")[1]
    assert (trade["price"], trade["maker"]) == ("60000.00", False)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, -5027),
        ({"price": ""}, -1102),
        ({"quantity": ""}, -1102),
        ({"side": ""}, -1117),
        ({"side": "SELL", "price": "58000"}, -1117),
        ({"price": "59000.05"}, -4014),
        ({"quantity": "0"}, -4003),
        ({"quantity": "0.0005"}, -1111),
        ({"quantity": "0.0001", "price": "58000"}, -1111),
        ({"price": "70000"}, -4016),
        ({"quantity": "10"}, -2019),
        ({"origClientOrderId": "nobody"}, -2013),
        ({"priceMatch": "QUEUE"}, -5037),
    ],
)
def test_a_refused_amendment_leaves_the_order_as_it_was(venue, changed, expected):
    ask(venue, "POST", "order", **LIMIT)
    before = ask(venue, "GET", "openOrders")
    asked = {name: value for name, value in (MINE | changed).items() if value}
    assert code(ask(venue, "PUT", "order", **asked)) == (-1102 if "side" not in asked else expected)
    assert ask(venue, "GET", "openOrders") == before


def test_only_limit_orders_that_rest_can_be_amended(venue):
    filled = ask(venue, "POST", "order", **BUY, type="MARKET")[1]
    assert code(ask(venue, "PUT", "order", **BUY, orderId=filled["orderId"], price="59000")) == -2013


def test_an_amendment_is_told_before_what_follows_from_it(venue):
    told = []
    listen, tell = venue.desk.listen, venue.desk._listener
    listen(lambda one: (told.append(one), tell(one)))
    ask(venue, "POST", "order", **LIMIT)
    ask(venue, "PUT", "order", **MINE | {"price": "59500"})
    ask(venue, "PUT", "order", **MINE | {"price": "60500"})
    executions = [one.execution for one in told if isinstance(one, OrderTold)]
    assert executions == ["NEW", "AMENDMENT", "AMENDMENT", "TRADE"]


def test_an_order_amended_to_less_than_is_filled_ends():
    thin = a_step(PAST + 1, 60_000, 60_000, 58_900, 59_900, volume=0.04, next=59_900)
    with served([thin]) as venue:  # a tenth of the volume is all that may be had
        ask(venue, "POST", "order", **LIMIT)
        venue.step()
        assert ask(venue, "GET", "openOrders")[1][0]["executedQty"] == "0.004"
        ended = ask(venue, "PUT", "order", **MINE | {"quantity": "0.004", "price": "59100"})[1]
        assert (ended["status"], ended["executedQty"], ended["price"]) == ("CANCELED", "0.004", "59000.00")
        assert ask(venue, "GET", "openOrders")[1] == []


def test_a_batch_of_amendments_is_answered_one_by_one(venue):
    ask(venue, "POST", "order", **LIMIT)
    batch = json.dumps([MINE | {"price": "59100"}, MINE | {"price": "59100"}])
    first, second = ask(venue, "PUT", "batchOrders", batchOrders=batch)[1]
    assert (first["price"], second["code"]) == ("59100.00", -5027)


def test_a_desk_opened_again_knows_an_amendment_that_it_answered_and_none_that_never_happened(tmp_path):
    desk = a_desk(tmp_path)
    intents = {name: desk.submit(_intent(name)) for name in ("kept", "lost")}
    desk.amend(intents["kept"], Decimal("0.020"), Decimal(59_100))
    lost = desk.ledger.entries()
    [entry] = [e for e in lost if e.client_id == "lost"]
    desk.ledger.amend(
        entry.number, intents["kept"].intent.named(entry.intent.client_id)
    )  # killed before the engine heard
    desk.engine.close()
    desk.ledger.close()
    engine = SimulatedExchange(LISTED, Decimal(1), a_conduct(), tmp_path / "venue.db")
    again = Desk(engine, Ledger(tmp_path / "orders.db"), desk.chart)
    told = {r.client_id: (r.intent.quantity, r.intent.price) for r in again.records()}
    assert told == {"kept": (Decimal("0.020"), 59_100), "lost": (Decimal("0.010"), 59_000)}
    assert {e.intent.price for e in again.ledger.entries()} == {59_100, 59_000}


def _intent(name):
    return OrderIntent(name, "BTCUSDT", Side.BUY, Decimal("0.010"), Role.ENTRY, OrderType.LIMIT, Decimal(59_000))


# --- settings of one symbol -------------------------------------------------------------------------------


def test_margin_mode_is_each_symbols_own_and_locked_by_its_orders_and_position(venue):
    crossed = {"symbol": "BTCUSDT", "marginType": "CROSSED"}
    assert code(ask(venue, "POST", "marginType", **crossed)) == 200
    assert code(ask(venue, "POST", "marginType", **crossed)) == -4046
    modes = {c["symbol"]: c["marginType"] for c in ask(venue, "GET", "symbolConfig")[1]}
    assert modes == {"BTCUSDT": "CROSSED", "ETHUSDT": "ISOLATED"}
    ask(venue, "POST", "order", **LIMIT)
    isolated = crossed | {"marginType": "ISOLATED"}
    assert code(ask(venue, "POST", "marginType", **isolated)) == -4047
    ask(venue, "DELETE", "allOpenOrders", symbol="BTCUSDT")
    ask(venue, "POST", "order", **BUY, type="MARKET")
    assert code(ask(venue, "POST", "marginType", **isolated)) == -4048
    ask(venue, "POST", "order", symbol="ETHUSDT", side="BUY", type="MARKET", quantity="0.1")
    held = {p["symbol"]: p for p in venue.ask("GET", "/fapi/v2/positionRisk", signed=True)[1]}
    assert (held["BTCUSDT"]["marginType"], held["BTCUSDT"]["isolatedMargin"]) == ("cross", "0")
    assert (held["ETHUSDT"]["marginType"], Decimal(held["ETHUSDT"]["isolatedWallet"])) == ("isolated", 40)


def test_a_position_can_be_backed_with_more_and_with_less_again(venue):
    ask(venue, "POST", "order", **BUY, type="MARKET")
    [before] = venue.ask("GET", "/fapi/v3/positionRisk", signed=True)[1]
    move = {"symbol": "BTCUSDT", "amount": "30", "type": 1}
    assert ask(venue, "POST", "positionMargin", **move)[1]["amount"] == 30
    [after] = venue.ask("GET", "/fapi/v3/positionRisk", signed=True)[1]
    assert Decimal(after["isolatedWallet"]) == Decimal(before["isolatedWallet"]) + 30
    assert Decimal(after["liquidationPrice"]) < Decimal(before["liquidationPrice"])
    assert code(ask(venue, "POST", "positionMargin", **move | {"amount": "31", "type": 2})) == -4051
    assert code(ask(venue, "POST", "positionMargin", **move | {"amount": "1e6"})) == -4050
    assert code(ask(venue, "POST", "positionMargin", **move | {"type": 2})) == 200
    assert venue.ask("GET", "/fapi/v3/positionRisk", signed=True)[1] == [before]
    moved = ask(venue, "GET", "positionMargin/history", symbol="BTCUSDT")[1]
    assert [(row["type"], row["amount"]) for row in moved] == [(1, "30"), (2, "30")]


def test_hedge_mode_is_refused_for_the_reason_that_the_venue_would_name_first(venue):
    hedge = {"dualSidePosition": "true"}
    ask(venue, "POST", "order", **LIMIT)
    assert code(ask(venue, "POST", "positionSide/dual", **hedge)) == -4067
    ask(venue, "DELETE", "allOpenOrders", symbol="BTCUSDT")
    ask(venue, "POST", "order", **BUY, type="MARKET")
    assert code(ask(venue, "POST", "positionSide/dual", **hedge)) == -4068
