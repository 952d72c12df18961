"""What a session finds when it starts, and what it makes of it: one case a row, over a real (simulated) venue.

A session opened a position and protected it, and ended. Then hands touched the venue, or the journal. The next session
hears a single heartbeat. Whatever was done, the two agree afterwards, and what is held is protected.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from a_venue import LISTED, a_step, a_venue, buy, sell, submit
from builders import T0, a_plan, a_signal, some_rules

from qtlib.domain.decisions import Moment
from qtlib.domain.events import (
    CashCorrected,
    OrderRequested,
    PositionAdopted,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.market import Step
from qtlib.domain.orders import Cancel, OrderIntent, OrderStatus, OrderType, Role, Side, Submit, TimeInForce
from qtlib.engine.rehearsal import foresee
from qtlib.engine.session import Name, session
from qtlib.journal import MemoryJournal
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Strangers
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams

D = Decimal
RULES = some_rules(
    exits=ExitParams(profile="seed"),
    sizing=SizingParams(base_notional=145.2),
    limits=RiskLimits(max_notional_per_trade=500, max_notional_per_symbol=500, max_net_exposure=1_000),
)
A_BAR = {"BTCUSDT": a_step(0, 100).bars["BTCUSDT"]}


class Scene:
    """A venue at 100 and a journal, after a session that holds 2 BTC, long or short, with its three orders."""

    def __init__(self, side, instruments=LISTED):
        self.sign = 1 if side is Side.BUY else -1
        self.venue, self.journal = a_venue(instruments=instruments), MemoryJournal()
        belief = a_signal(score=0.9 * self.sign, confidence=0.95, volatility_frac=0.02)
        self.run(Moment(T0, A_BAR, (belief,)))
        assert self.shows() == f"{2 * self.sign} BTC, stop target net, active"

    def run(self, *moments, rules=RULES):
        self.before = self.journal.last
        name = Name(run_id=f"run-{self.before}")
        moments = moments or (Moment(self.venue.now, {}),)
        self.state = session(iter(moments), rules, self.venue, self.journal, name=name)

    @property
    def news(self):
        return [event for _, event in self.journal.events(self.before)]

    def ours(self, role):
        (found,) = [o for o in self.venue.view.book.orders.values() if o.intent.role is role]
        return found.intent

    def cancel(self, *roles):
        for role in roles:
            self.venue.carry_out([Cancel(self.ours(role).client_id, "BTCUSDT")])

    def by_hand(self, client_id, quantity, **said):
        """An order of somebody else, for so much more (or less) of the position."""
        order = buy if quantity * self.sign > 0 else sell
        submit(self.venue, order(client_id, abs(quantity), **said))

    def move(self, percent, hour=1, **said):
        """The market goes so far with the position, or against it, and stays there."""
        price = 100 + percent * self.sign
        self.venue.advance(a_step(hour, 100, max(100, price), min(100, price), price, nexts=price, **said))

    def asked(self, intent, *, sent):
        """The journal says that `intent` was to be sent; and it was, or the session died before."""
        state = self.journal.state()
        self.journal.absorb(state, [OrderRequested(state.ts, intent)])
        if sent:
            self.venue.carry_out([Submit(intent)])

    def shows(self):
        """What is held and how it is protected, as the venue has it, and the session's status."""
        venue, words = self.venue, []
        for symbol, position in sorted(venue.account.positions.items()):
            words.append(f"{position.quantity.normalize():f} {symbol.removesuffix('USDT')}")
        roles = [_SHORT[o.intent.role] for o in self.state.orders.values()]
        words.append(" ".join(sorted(roles, key=list(_SHORT.values()).index)) or "no orders")
        return ", ".join([*(words if venue.account.positions else ["flat", *words]), self.state.status.value])


_SHORT = {
    Role.STOP_LOSS: "stop",
    Role.TAKE_PROFIT: "target",
    Role.NET_STOP: "net",
    Role.ENTRY: "entry",
    Role.EXIT: "exit",
    Role.FOREIGN: "foreign",
}


def entry(scene, quantity=1, price=100):
    return OrderIntent(
        "qt-entry",
        "ETHUSDT",
        Side.of(scene.sign),
        D(quantity),
        Role.ENTRY,
        OrderType.LIMIT,
        D(price),
        time_in_force=TimeInForce.IOC,
        exits=a_plan(),
    )


def leaving(scene):
    side = Side.SELL if scene.sign > 0 else Side.BUY
    return OrderIntent("qt-exit", "BTCUSDT", side, D(2), Role.EXIT, reduce_only=True)


def ether_trades(scene, volume=1e6):
    """Ether, too, has a price."""
    bar = a_step(0, 100, volume=volume).bars["BTCUSDT"]
    now = scene.venue.now + timedelta(minutes=1)
    scene.venue.advance(Step(now, dict.fromkeys(("BTCUSDT", "ETHUSDT"), bar._replace(ts=now))))


# --- what may have happened -------------------------------------------------------------------------------


def nothing(scene):
    pass


def the_stop_fired(scene):
    scene.move(-6)


def the_target_was_hit(scene):
    scene.move(+12)


def the_stop_was_taken_away(scene):
    scene.cancel(Role.STOP_LOSS)


def the_target_was_taken_away(scene):
    scene.cancel(Role.TAKE_PROFIT)


def the_net_stop_was_taken_away(scene):
    scene.cancel(Role.NET_STOP)


def every_order_was_taken_away(scene):
    scene.cancel(Role.STOP_LOSS, Role.TAKE_PROFIT, Role.NET_STOP)


def it_was_added_to(scene):
    scene.by_hand("web-1", +1)


def it_was_reduced(scene):
    scene.by_hand("web-1", -1)


def it_was_closed(scene):
    scene.by_hand("web-1", -2)


def it_was_turned_over(scene):
    scene.by_hand("web-1", -5)


def it_was_closed_and_opened_again(scene):
    scene.by_hand("web-1", -2)
    scene.by_hand("web-2", +1)


def it_was_liquidated(scene):
    scene.cancel(Role.STOP_LOSS, Role.NET_STOP)
    scene.move(-40)


def a_part_was_deleveraged(scene):
    scene.by_hand("adl_autoclose-7", -1, reduce_only=True)


def an_entry_was_asked_for_and_never_sent(scene):
    ether_trades(scene)
    scene.asked(entry(scene), sent=False)


def an_entry_was_filled(scene):
    ether_trades(scene)
    scene.asked(entry(scene), sent=True)


def an_entry_was_half_filled(scene):
    ether_trades(scene, volume=5)
    scene.asked(entry(scene), sent=True)


def an_entry_met_nobody(scene):
    ether_trades(scene)
    scene.asked(entry(scene, price=100 - scene.sign), sent=True)


def an_entry_was_refused(scene):
    ether_trades(scene)
    scene.asked(entry(scene, quantity=100_000), sent=True)


def an_exit_was_asked_for_and_never_sent(scene):
    scene.asked(leaving(scene), sent=False)


def an_exit_was_filled(scene):
    scene.asked(leaving(scene), sent=True)


def a_new_stop_was_in_and_the_old_one_not_out(scene):
    old = scene.ours(Role.STOP_LOSS)
    nearer = old.trigger + D(1) * scene.sign
    scene.asked(replace(old, client_id="qt-nearer", trigger=nearer), sent=True)


def a_stop_was_asked_for_and_never_sent(scene):
    scene.cancel(Role.STOP_LOSS)
    scene.asked(replace(stop_of(scene), client_id="qt-stop"), sent=False)


def stop_of(scene):
    side = Side.SELL if scene.sign > 0 else Side.BUY
    level = D(100) - D(3) * scene.sign
    return OrderIntent(
        "x", "BTCUSDT", side, D(2), Role.STOP_LOSS, OrderType.STOP_MARKET, trigger=level, reduce_only=True
    )


def the_journal_was_lost(scene):
    scene.journal = MemoryJournal()


def the_journal_was_lost_and_the_orders_taken_away(scene):
    every_order_was_taken_away(scene)
    scene.journal = MemoryJournal()


def the_position_is_nowhere(scene):
    scene.venue = a_venue()


def somebody_rests_an_order_that_opens(scene):
    scene.by_hand("web-1", 1 * scene.sign, price=95)


def somebody_rests_an_order_that_reduces(scene):
    scene.by_hand("web-1", -1, price=105 if scene.sign > 0 else 95, reduce_only=True)


def somebody_holds_another_symbol(scene):
    ether_trades(scene)
    scene.by_hand("web-eth", +1, symbol="ETHUSDT")


def funding_was_settled(scene):
    scene.move(0, funding=0.001)


def the_session_was_halted(scene):
    scene.journal.absorb(scene.journal.state(), [StatusSet(T0, TradingStatus.HALTED, "a drawdown")])


def the_session_was_reducing(scene):
    scene.journal.absorb(scene.journal.state(), [StatusSet(T0, TradingStatus.REDUCING, "a person said so")])


KEPT = "2 BTC, stop target net, active"
STATES = [  # what happened, what is there afterwards for a long, and what the journal learned
    (nothing, KEPT, ""),
    (the_stop_fired, "flat, no orders, active", "Filled"),
    (the_target_was_hit, "1 BTC, stop net, active", "Filled"),
    (the_stop_was_taken_away, KEPT, "OrderChanged"),
    (the_target_was_taken_away, KEPT, "OrderChanged"),
    (the_net_stop_was_taken_away, KEPT, "OrderChanged"),
    (every_order_was_taken_away, KEPT, "OrderChanged"),
    (it_was_added_to, "3 BTC, stop target net, active", "Filled"),
    (it_was_reduced, "1 BTC, stop target net, active", "Filled"),
    (it_was_closed, "flat, no orders, active", "Filled"),
    (it_was_turned_over, "-3 BTC, stop target net, active", "Filled"),
    (it_was_closed_and_opened_again, "1 BTC, stop target net, active", "Filled"),
    (it_was_liquidated, "flat, no orders, active", "Filled"),
    (a_part_was_deleveraged, "1 BTC, stop target net, active", "Filled"),
    (an_entry_was_asked_for_and_never_sent, KEPT, "OrderChanged"),
    (an_entry_was_filled, "2 BTC, 1 ETH, stop stop target target net net, active", "Filled"),
    (an_entry_was_half_filled, "2 BTC, 0.5 ETH, stop stop target target net net, active", "Filled"),
    (an_entry_met_nobody, KEPT, "OrderChanged"),
    (an_entry_was_refused, KEPT, "OrderChanged"),
    (an_exit_was_asked_for_and_never_sent, KEPT, "OrderChanged"),
    (an_exit_was_filled, "flat, no orders, active", "Filled"),
    (a_new_stop_was_in_and_the_old_one_not_out, KEPT, "OrderChanged"),
    (a_stop_was_asked_for_and_never_sent, KEPT, "OrderChanged"),
    (the_journal_was_lost, KEPT, "Filled"),
    (the_journal_was_lost_and_the_orders_taken_away, KEPT, "Filled"),
    (the_position_is_nowhere, "flat, no orders, active", "PositionAdopted"),
    (somebody_rests_an_order_that_opens, "2 BTC, stop target net foreign, active", "OrderRequested"),
    (somebody_rests_an_order_that_reduces, "2 BTC, stop target net foreign, active", "OrderRequested"),
    (somebody_holds_another_symbol, "2 BTC, 1 ETH, stop stop target target net net, active", "Filled"),
    (funding_was_settled, KEPT, "FundingPaid"),
    (the_session_was_halted, "flat, no orders, halted", "Filled"),
    (the_session_was_reducing, "2 BTC, stop target net, reducing", ""),
]


@pytest.mark.parametrize("side", Side, ids=["long", "short"])
@pytest.mark.parametrize(("happened", "afterwards", "learned"), STATES, ids=[row[0].__name__ for row in STATES])
def test_whatever_was_done_the_two_agree_and_what_is_held_is_protected(happened, afterwards, learned, side):
    scene = Scene(side)
    happened(scene)
    scene.run()
    mirrored = afterwards if side is Side.BUY else mirror(afterwards)
    assert scene.shows() == mirrored
    assert learned in " ".join(type(event).__name__ for event in scene.news)
    agree(scene)
    again = scene.journal.last
    scene.run()
    quiet = [event for _, event in scene.journal.events(again) if "Session" not in type(event).__name__]
    assert quiet == []  # recovered once is recovered


def mirror(words):
    """What is there for a short: every quantity with the other sign."""
    parts = words.split(", ")
    return ", ".join(_turned(part) if part[-3:] in ("BTC", "ETH") else part for part in parts)


def _turned(part):
    return part.removeprefix("-") if part.startswith("-") else f"-{part}"


def agree(scene):
    """The venue and the journal say the same; each position has one working stop of its size, on the right side."""
    venue, state = scene.venue, scene.state
    assert state.account.positions == venue.account.positions
    assert state.account.cash == venue.account.cash
    assert {*state.orders} == {*venue.view.book.orders}
    for symbol, position in venue.account.positions.items():
        stops = [o for o in state.orders.values() if o.intent.symbol == symbol and o.intent.role is Role.STOP_LOSS]
        (stop,) = stops
        assert (stop.status, stop.remaining) == (OrderStatus.OPEN, abs(position.quantity))
        assert stop.intent.side is Side.of(position.quantity).opposite
        assert state.trades[symbol].naked_since is None


@pytest.mark.parametrize("side", Side, ids=["long", "short"])
def test_the_way_out_is_remembered(side):
    """Levels, extremes, the partial and the hour of entry come back with the position."""
    scene = Scene(side)
    before = scene.state.trades["BTCUSDT"]
    scene.run()
    assert scene.state.trades["BTCUSDT"] == before
    the_target_was_hit(scene)
    scene.run()
    after = scene.state.trades["BTCUSDT"]
    assert after.net > before.net  # what was realized counts already
    assert after == replace(before, partial_taken=True, funding=after.funding, net=after.net)
    (stop,) = [o.intent for o in scene.state.orders.values() if o.intent.role is Role.STOP_LOSS]
    assert scene.sign * (stop.trigger - 100) > 0  # breakeven, as the plan says once the partial was taken


@pytest.mark.parametrize(
    ("strangers", "afterwards"),
    [
        (Strangers.ADOPT, "2 BTC, 1 ETH, stop stop target target net net foreign, active"),
        (Strangers.REDUCE, "2 BTC, 1 ETH, stop stop target target net net foreign, reducing"),
        (Strangers.HALT, "flat, foreign, halted"),
    ],
    ids=lambda value: value.value if isinstance(value, Strangers) else "",
)
def test_policy_says_what_follows_when_somebody_else_traded(strangers, afterwards):
    scene = Scene(Side.BUY)
    somebody_rests_an_order_that_opens(scene)
    somebody_holds_another_symbol(scene)
    scene.run(rules=replace(RULES, strangers=strangers))
    assert scene.shows() == afterwards


class Says:
    """The venue, but its snapshot says something that no event explains."""

    def __init__(self, venue, **changes):
        self.venue, self.changes = venue, changes

    def __getattr__(self, name):
        return getattr(self.venue, name)

    def snapshot(self):
        return replace(self.venue.snapshot(), **self.changes)


def test_a_wallet_that_nobody_can_explain_is_taken_over_and_said_so():
    scene = Scene(Side.BUY)
    venue, scene.venue = scene.venue, Says(scene.venue, cash=scene.venue.account.cash + 5)
    scene.run()
    assert [event.amount for event in scene.news if isinstance(event, CashCorrected)] == [5]
    assert scene.state.account.cash == venue.account.cash + 5


def test_rounding_is_no_disagreement():
    scene = Scene(Side.BUY)
    scene.venue = Says(scene.venue, cash=scene.venue.account.cash + D("0.00000002"))
    scene.run()
    assert not [event for event in scene.news if isinstance(event, CashCorrected)]


def test_what_nothing_is_known_of_can_not_be_protected_so_nothing_grows():
    scene = Scene(Side.BUY)
    somebody_holds_another_symbol(scene)
    scene.run(rules=replace(RULES, instruments={"BTCUSDT": RULES.instruments["BTCUSDT"]}))
    assert scene.state.status is TradingStatus.REDUCING
    assert "ETHUSDT is held, and this session has no facts about it" in scene.state.cause


def test_a_position_that_no_fill_explains_is_adopted_with_the_evidence_of_both_sides():
    scene = Scene(Side.BUY)
    held = scene.venue.account.position("BTCUSDT")
    there = {"BTCUSDT": replace(held, quantity=held.quantity + 1)}
    scene.venue = Says(scene.venue, positions=there)
    scene.run()
    (adopted,) = [event for event in scene.news if isinstance(event, PositionAdopted)]
    assert adopted.evidence == "the exchange holds 3.000 at 100.00, the journal 2.000 at 100.00"
    assert not scene.state.trades["BTCUSDT"].recovered  # corrected: what we know of the trade still holds


def test_a_venue_that_moves_between_two_answers_is_no_disagreement():
    """A stop that fires just after the snapshot was taken is heard, and its position not adopted again."""
    scene = Scene(Side.BUY)

    class Moving(Says):
        def snapshot(self):
            there = self.venue.snapshot()
            scene.move(-6)
            return there

    scene.venue = Moving(scene.venue)
    scene.run()
    assert not [event for event in scene.news if isinstance(event, PositionAdopted | CashCorrected)]
    assert scene.shows() == "flat, no orders, active"


@pytest.mark.parametrize("side", Side, ids=["long", "short"])
@pytest.mark.parametrize("happened", [row[0] for row in STATES], ids=lambda happened: happened.__name__)
def test_what_a_recovery_would_do_is_what_it_does_and_looking_changes_nothing(happened, side):
    scene = Scene(side)
    happened(scene)
    written, book = scene.journal.last, dict(scene.venue.view.book.orders)
    foreseen = foresee(RULES, scene.venue, scene.journal)
    assert (scene.journal.last, scene.venue.view.book.orders) == (written, book)
    scene.run()
    learned = [step[1] for one in foreseen for step in one.learned]
    asked = [a.intent for one in foreseen for a in one.actions if isinstance(a, Submit)]
    requested = [event.intent for event in scene.news if isinstance(event, OrderRequested)]
    assert all(event in scene.news for event in learned)
    assert all(intent in requested for intent in asked)
    assert bool(learned or asked) == bool(len(scene.news) > 2)  # more than opening and closing the session


@pytest.mark.parametrize("side", Side, ids=["long", "short"])
def test_a_position_that_a_hand_made_larger_than_one_order_may_be_is_left_in_parts(side):
    """No stop of its size can rest: it goes as what the venue takes no stop of goes, and never stays bare."""
    listed = {s: replace(i, max_market_quantity=D(2)) for s, i in LISTED.items()}
    scene = Scene(side, listed)
    scene.by_hand("theirs", 1.5)
    scene.run(rules=replace(RULES, instruments=listed))
    assert scene.shows() == "flat, no orders, active"
    left = [e.intent.quantity for e in scene.news if isinstance(e, OrderRequested) and e.intent.role is Role.EXIT]
    assert left == [D(2), D("1.5")]
