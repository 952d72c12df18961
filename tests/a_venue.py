"""A simulated venue to try things on: at 100, without slippage unless asked for, deep enough not to matter."""

from dataclasses import replace
from decimal import Decimal

from builders import BTC, ETH, HOUR, T0, XRP, a_bar
from hypothesis import settings

from qtlib.domain.account import Account
from qtlib.domain.events import CashMoved, Filled, FundingPaid, OrderChanged
from qtlib.domain.market import Step
from qtlib.domain.orders import Cancel, OrderIntent, OrderType, Role, Side, Submit, TriggerBy
from qtlib.exchanges.simulated import Conduct, SimulatedExchange

LISTED = {i.symbol: i for i in (BTC, ETH, replace(XRP, tick=Decimal("0.01")))}
CASH = Decimal(10_000)
LAW = settings(deadline=None)  # a busy machine is no finding


def a_conduct(**said):
    return Conduct(**{"slippage_frac": 0.0, **said})


def a_venue(cash=CASH, store=None, price=100.0, instruments=LISTED, **conduct):
    venue = SimulatedExchange(instruments, Decimal(cash), a_conduct(**conduct), store)
    venue.advance(a_step(0, price))
    return venue


def a_step(hour, *ohlc, mark=None, volume=1e6, funding=None, nexts=None, symbol="BTCUSDT"):
    """The step that closes `hour` hours after the first, of one symbol: open, high, low, close; fewer are flat."""
    ts = T0 + hour * HOUR
    marks = {} if mark is None else {symbol: a_bar(ts, *mark)}
    rates = {} if funding is None else {symbol: funding}
    return Step(ts, {symbol: a_bar(ts, *ohlc, volume=volume)}, marks, rates, {} if nexts is None else {symbol: nexts})


def an_order(client_id, side=Side.BUY, quantity=1, type=OrderType.MARKET, price=None, trigger=None, **said):
    """An order of whatever is named; a trigger alone makes it a stop at market, a price alone a limit."""
    if type is OrderType.MARKET and (price, trigger) != (None, None):
        type = OrderType.LIMIT if trigger is None else OrderType.STOP_MARKET
    exact = {name: Decimal(str(value)) for name, value in (("price", price), ("trigger", trigger)) if value is not None}
    symbol, role = said.pop("symbol", "BTCUSDT"), said.pop("role", Role.ENTRY)
    return OrderIntent(client_id, symbol, side, Decimal(str(quantity)), role, type, **exact, **said)


def buy(client_id, quantity=1, **said):
    return an_order(client_id, Side.BUY, quantity, **said)


def sell(client_id, quantity=1, **said):
    return an_order(client_id, Side.SELL, quantity, **said)


def by_mark(intent):
    return replace(intent, trigger_by=TriggerBy.MARK)


def submit(venue, *intents):
    return venue.carry_out([Submit(intent) for intent in intents])


def fills(venue, client_id=None):
    found = [e.fill for e in venue.events(T0) if isinstance(e, Filled)]
    return [f for f in found if client_id in (None, f.client_id)]


def fate(venue, client_id):
    """What became of an order, in the venue's last word on it, with its reason."""
    last = [e for e in venue.events(T0) if isinstance(e, OrderChanged) and e.client_id == client_id][-1]
    return f"{last.status.value} {last.reason}".strip()


def live(venue, hours):
    """A busy life until `hours`. It depends on nothing but the venue, so whoever takes over goes on the same way."""
    while venue.now < T0 + hours * HOUR:
        n = round((venue.now - T0) / HOUR)
        stop = sell(f"s{n}", 9, trigger=97, reduce_only=True)
        trailing = OrderType.TRAILING_STOP_MARKET
        trail = sell(f"t{n}", 1, type=trailing, callback_frac=Decimal("0.02"), reduce_only=True)
        protect = (stop, trail) if venue.account.positions else ()
        submit(venue, buy(f"b{n}", 1 + n % 3), buy(f"l{n}", 1, price=98), *protect)
        venue.carry_out([Cancel(f"l{n - 2}", "BTCUSDT")])
        funding = 0.0001 if n % 8 == 0 else None
        venue.advance(a_step(n + 1, 100, 101 + n % 4, 98.5 - n % 3, 100 + n % 2, volume=60, funding=funding))


def told(events):
    """The account that `events` add up to."""
    account = Account()
    for event in events:
        match event:
            case CashMoved() | FundingPaid():
                account = account.with_cash(event.amount)
            case Filled():
                account = account.after(event.fill)
    return account
