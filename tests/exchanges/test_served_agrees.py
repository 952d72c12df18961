"""The served venue is the engine: whatever is sent, both answer, fill and hold the same, order by order."""

import random
from contextlib import suppress
from decimal import Decimal

import pytest
from a_served_venue import PAST, a_desk, a_step, served
from a_venue import a_conduct

from qtlib.domain.account import Account
from qtlib.domain.events import Filled, OrderChanged
from qtlib.domain.orders import Cancel, OrderIntent, OrderStatus, OrderType, Role, Side, Submit, TimeInForce
from qtlib.exchanges.port import Refused
from qtlib.exchanges.simulated import SimulatedExchange, facts
from qtlib.exchanges.simulated.served.words import Refusal

CONDUCT = {"slippage_frac": 0.0003, "slippage_noise_frac": 0.0002, "seed": 5, "max_volume_share_frac": 0.1}
HOURS = 25


def a_market(seed):
    """Steps that go up and down by whole ticks, with little to take at times, and funding."""
    dice, price = random.Random(seed), 60_000.0
    for hour in range(PAST + 1, PAST + HOURS + 1):
        close = price + dice.randrange(-900, 900)
        high, low = max(price, close) + dice.randrange(600), min(price, close) - dice.randrange(600)
        funding = 0.0002 if hour % 8 == 0 else None
        yield a_step(hour, price, high, low, close, volume=dice.choice([0.2, 5.0, 1e5]), funding=funding, next=close)
        price = close


def some_orders(dice, price):
    """What a client might send now: parameters as the wire has them, good and bad ones."""
    for _ in range(dice.randrange(5)):
        side, quantity = dice.choice(["BUY", "SELL"]), f"{dice.randrange(1, 40) / 1000:.3f}"
        near = f"{price + dice.randrange(-900, 900):.2f}"
        reduce = {"reduceOnly": dice.choice(["true", "false"])}
        plain, algo = {"quantity": quantity, **reduce}, {"algoType": "CONDITIONAL", "quantity": quantity, **reduce}
        yield {
            "symbol": "BTCUSDT",
            "side": side,
            **dice.choice(
                [
                    {"type": "MARKET", **plain},
                    {"type": "MARKET", **plain, "quantity": "0.0001"},
                    {"type": "LIMIT", "price": near, "timeInForce": dice.choice(["GTC", "IOC", "FOK", "GTX"]), **plain},
                    {"type": "LIMIT", "price": "1", "timeInForce": "GTC", **plain},
                    {"type": "STOP_MARKET", "triggerPrice": near, **algo},
                    {"type": "TAKE_PROFIT_MARKET", "triggerPrice": near, **algo},
                    {"type": "STOP", "triggerPrice": near, "price": near, **algo},
                    {"type": "TRAILING_STOP_MARKET", "callbackRate": "0.5", **algo},
                    {
                        "type": "STOP_MARKET",
                        "triggerPrice": near,
                        "closePosition": "true",
                        "algoType": "CONDITIONAL",
                    },
                ]
            ),
        }


def as_intent(name, asked):
    """The same order as the in-process engine is asked for it."""
    decimal = {n: Decimal(asked[n]) if n in asked else None for n in ("price", "triggerPrice", "callbackRate")}
    return OrderIntent(
        name,
        asked["symbol"],
        Side[asked["side"]],
        Decimal(asked.get("quantity", "0")),
        Role.ENTRY,
        OrderType(asked["type"]),
        decimal["price"],
        decimal["triggerPrice"],
        time_in_force=TimeInForce(asked.get("timeInForce", "GTC")),
        reduce_only=asked.get("reduceOnly") == "true",
        close_position=asked.get("closePosition") == "true",
        callback_frac=decimal["callbackRate"] and decimal["callbackRate"] / 100,
    )


def test_the_wire_and_the_engine_agree_order_by_order():
    dice, market = random.Random(11), list(a_market(3))
    engine = SimulatedExchange({s: facts()[s] for s in ("BTCUSDT", "ETHUSDT")}, Decimal(10_000), a_conduct(**CONDUCT))
    engine.advance(a_step(PAST))
    refused = taken = amended = 0
    with served(market, **CONDUCT) as venue:
        for count, step in enumerate(market):
            for asked in list(some_orders(dice, engine.view.quotes["BTCUSDT"].price)):
                name = f"o-{refused + taken}"
                algo = "algoType" in asked
                said = {"clientAlgoId" if algo else "newClientOrderId": name}
                path = "/fapi/v1/algoOrder" if algo else "/fapi/v1/order"
                status, answer = venue.ask("POST", path, signed=True, **asked, **said)
                told = engine.carry_out([Submit(as_intent(name, asked))])
                words = [e.reason for e in told if isinstance(e, OrderChanged) and e.status is OrderStatus.REJECTED]
                assert (words == []) == (status == 200), (asked, answer, words)
                refused, taken = refused + bool(words), taken + (not words)
                if words:
                    assert f"{answer['code']}: {answer['msg']}" == words[0]
                elif not algo:
                    filled = sum(e.fill.quantity for e in told if isinstance(e, Filled))
                    assert Decimal(answer["executedQty"]) == filled
            amended += amend_both(venue, engine, dice)
            if count % 7 == 6:
                names = list(engine.snapshot().orders)
                engine.carry_out([Cancel(name, "BTCUSDT") for name in names])
                venue.ask("DELETE", "/fapi/v1/allOpenOrders", signed=True, symbol="BTCUSDT")
                venue.ask("DELETE", "/fapi/v1/algoOpenOrders", signed=True, symbol="BTCUSDT")
            assert all_open(venue) == set(engine.snapshot().orders)
            engine.advance(step)
            assert venue.step()["lived"] == 1
            agree(venue, engine)
    assert refused > 5 < taken
    assert amended > 3


def amend_both(venue, engine, dice):
    """One of the limit orders that rest gets another price and quantity, in both; how many were not refused."""
    resting = [intent for intent in engine.snapshot().orders.values() if intent.type is OrderType.LIMIT]
    for intent in dice.sample(resting, min(1, len(resting))):
        price, quantity = intent.price + dice.randrange(-900, 900), Decimal(dice.randrange(0, 40)) / 1000
        asked = {"symbol": "BTCUSDT", "side": intent.side.value.upper(), "price": price, "quantity": quantity}
        status, answer = venue.ask("PUT", "/fapi/v1/order", signed=True, origClientOrderId=intent.client_id, **asked)
        words = ""
        try:
            engine.amend(intent.client_id, quantity, price)
        except Refused as no:
            words = str(no)
        assert words == ("" if status == 200 else f"{answer['code']}: {answer['msg']}")
        return status == 200
    return 0


def all_open(venue):
    plain = venue.ask("GET", "/fapi/v1/openOrders", signed=True)[1]
    algos = venue.ask("GET", "/fapi/v1/openAlgoOrders", signed=True)[1]
    return {o["clientOrderId"] for o in plain} | {o["clientAlgoId"] for o in algos}


def agree(venue, engine):
    """Fills, wallet, positions and income, as told over the wire and as the engine tells."""
    there = venue.ask("GET", "/fapi/v1/userTrades", signed=True, symbol="BTCUSDT", limit=1000)[1]
    here = [e.fill for e in engine.events(engine.now.replace(year=2025)) if isinstance(e, Filled)]
    assert [(t["id"], t["side"], *map(Decimal, (t["qty"], t["price"], t["commission"]))) for t in there] == [
        (int(f.fill_id), f.side.value.upper(), f.quantity, f.price, f.fee) for f in here
    ]
    account = venue.ask("GET", "/fapi/v3/account", signed=True)[1]
    assert Decimal(account["totalWalletBalance"]) == engine.account.cash.quantize(Decimal("0.00000001"))
    held = {p["symbol"]: Decimal(p["positionAmt"]) for p in account["positions"] if Decimal(p["positionAmt"])}
    assert held == {s: p.quantity for s, p in engine.account.positions.items()}


@pytest.mark.parametrize("margin_mode", ["isolated", "cross"])
def test_income_adds_up_to_the_wallet_and_trades_to_the_position(margin_mode):
    """Liquidations and what the insurance fund pays included: nothing moves the wallet without a row."""
    desk = a_desk(cash=1_000, margin_mode=margin_mode, leverage=20)
    dice, liquidated = random.Random(2), 0
    for hour in range(PAST + 1, PAST + 40):
        quantity = Decimal(dice.randrange(1, 200)) / 1000
        intent = OrderIntent(f"o{hour}", "BTCUSDT", dice.choice(list(Side)), quantity, Role.ENTRY)
        with suppress(Refusal):  # whatever the venue says, the sums hold after it as well
            desk.submit(intent)
        swing = dice.choice([200, 6_000])
        desk.live(a_step(hour, 60_000, 60_000 + swing, 60_000 - swing, 60_000, funding=0.001))
        assert sum(i.amount for i in desk.incomes) == desk.engine.account.cash
        account = Account()
        for trade in desk.trades:
            account = account.after(trade.fill)
        assert account.positions == desk.engine.account.positions
        liquidated += any(trade.liquidates for trade in desk.trades)
    assert liquidated
