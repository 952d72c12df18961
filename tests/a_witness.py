"""A venue that is watched from inside, and the laws that every session keeps there, whatever goes wrong.

The witness sees each event as the venue tells it, and the venue's books whenever a bar is over. What it finds broken it
writes down in words. A bar is *quiet* if nothing was injected, lost or late in it: then all must be as it should; in
others a position may be bare until the next quiet one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from a_rough_way import PATIENCE

from qtlib.domain.account import Account, Position
from qtlib.domain.decisions import Choice, Reason
from qtlib.domain.events import (
    START,
    BarClosed,
    CashCorrected,
    CashMoved,
    DecisionMade,
    Filled,
    FundingPaid,
    OrderChanged,
    OrderRequested,
    PositionAdopted,
)
from qtlib.domain.market import Instrument
from qtlib.domain.naming import PREFIX, role_of
from qtlib.domain.orders import ExitReason, OrderIntent, OrderStatus, Role, Side
from qtlib.domain.state import State
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.exchanges.simulated.book import Resting
from qtlib.rules.limits import RiskLimits

CENT = Decimal("0.01")
STOPPED = (ExitReason.STOP_LOSS, ExitReason.TRAILING)
FOREIGN = ("web-", "autoclose-", "adl_")
NEAR = 0.005  # a fraction of the price: no stop is as near as that


class Witness:
    """`knows` is the journal's memory; `name` what an order is called by who asked for it."""

    def __init__(self, limits: RiskLimits, knows: Callable[[str], bool]) -> None:
        self.broken: list[str] = []
        self.landed: dict[str, str] = {}  # our orders that the venue took, and their symbols
        self.figures: Counter[str] = Counter()
        self.name: Callable[[str], str] = lambda order_id: order_id
        self._limits, self._knows = limits, knows
        self._account = Account()
        self._stops: dict[str, Decimal] = {}  # the nearest trigger in the life of each position
        self._late: set[str] = set()  # orders that arrived when the price was another, since the last bar
        self._placed: dict[str, OrderIntent] = {}  # stops, by the venue's name for them
        self._over = False  # an entry was late, and filled at another price: not acted on since
        self._turned: dict[str, float] = {}  # symbols, since the last bar, and at what price that closed
        self._left: set[str] = set()  # symbols with an exit at the venue since then
        self._bare: Counter[str] = Counter()  # bars without a stop, in a row
        self._bare_since: dict[tuple[str, str], int] = {}  # symbol and trade, and the call at which it was seen so
        self._overdue: dict[str, str] = {}  # symbols and trades that are to be left in this moment
        self._overdue_after = 0  # troubles

    # --- as it happens ----------------------------------------------------------------------------------------

    def arrives_late(self, name: str) -> None:
        """This order may find another price than the one it was made for: what is too much of it is cut back later."""
        self._late.add(name)

    def turned_over(self, symbol: str, close: float) -> None:
        """Somebody else did that, after this bar: it is protected anew, as no stop of it can be passed yet.

        Unless it was done far from the bar's price, by which the session goes.
        """
        self._turned[symbol] = close

    def hears(self, venue: "Watched", event) -> None:
        match event:
            case CashMoved() | FundingPaid():
                self._account = self._account.with_cash(event.amount)
            case Filled():
                self._fills(venue, event)
            case OrderChanged(status=OrderStatus.OPEN):
                self._lands(venue, event)
            case OrderChanged(status=OrderStatus.CANCELED, reason="") if event.client_id in self._placed:
                stop = self._placed[event.client_id]
                position = self._account.positions.get(stop.symbol)
                covered = position and closes(stop.side, position) and stop.quantity >= abs(position.quantity)
                if covered and not self._is_covered(venue, stop.symbol):
                    self._breaks(venue, f"{stop.symbol} is held, and its last stop was taken away by us")

    def _fills(self, venue: "Watched", event: Filled) -> None:
        fill, name = event.fill, self.name(event.fill.client_id)
        before = self._account.position(fill.symbol).quantity
        self._account = self._account.after(fill)
        after = self._account.position(fill.symbol).quantity
        self.figures["fills"] += 1
        if before * after <= 0:
            self._stops.pop(fill.symbol, None)
        if after and (abs(after) > abs(before) or before * after < 0):
            if role_of(name) is not Role.ENTRY and not name.startswith(FOREIGN):
                self._breaks(venue, f"{name} took {fill.symbol} from {before} to {after}, and is no entry")
            self._over |= name in self._late
            if not self._over and not self._turned:  # what others did may not be told yet
                self._caps(venue, f"after {name}")

    def _caps(self, venue: "Watched", when: str) -> None:
        held, limits = self._account.positions, self._limits
        gross = float(sum(position.cost for position in held.values()))
        largest = max((float(position.cost) for position in held.values()), default=0.0)
        for what, is_now, cap in (
            ("positions", len(held), limits.max_positions),
            ("gross exposure", gross, limits.max_gross_exposure),
            ("exposure of one symbol", largest, limits.max_notional_per_symbol),
        ):
            self._at_most(f"{what} in percent of its cap", round(100 * is_now / cap))
            if is_now > cap * (1 + 1e-9):
                self._breaks(venue, f"{what} {is_now:.2f} > {cap} {when}")

    def _lands(self, venue: "Watched", event: OrderChanged) -> None:
        name = self.name(event.client_id)
        if not name.startswith(PREFIX):
            return
        intent, role = venue.view.book.orders[event.client_id].intent, role_of(name)
        self.figures["orders"] += 1
        if name in self.landed:
            self._breaks(venue, f"{name} was taken twice")
        self.landed[name] = intent.symbol
        if not self._knows(f"request:{name}"):
            self._breaks(venue, f"{name} was sent before it was written down")
        position = self._account.positions.get(intent.symbol)
        if role is Role.EXIT:
            self._left.add(intent.symbol)
            stopped = name not in self._late and intent.reason in STOPPED and venue.trades(intent.symbol)
            close = self._turned.get(intent.symbol)
            if stopped and close and position and abs(float(position.entry_price) / close - 1) < NEAR:
                self._breaks(venue, f"{name} leaves {intent.symbol} by a stop of what it was turned over from")
        if role is Role.STOP_LOSS:
            self._placed[event.client_id] = intent
        in_time = role is Role.STOP_LOSS and name not in self._late
        if in_time and position and intent.trigger is not None and closes(intent.side, position):
            self._tightens(venue, intent.symbol, -intent.side.sign, intent.trigger)

    # --- as the session sees it ---------------------------------------------------------------------------------

    def looks(self, venue: "Watched", state: State, acted: bool, calls: int, troubles: int) -> None:
        """The session saw `state` at this call, and has acted on it or is about to, after so many troubles.

        What was bare for longer than it may, is left in the moment in which that is found, if nothing hinders it. What
        a late entry put over a cap is gone once it was heard of and acted on, where orders are taken.
        """
        trades = state.trades
        leaves = any(order.intent.role is Role.EXIT for order in state.orders.values())
        could = state.account.positions == venue.account.positions and all(map(venue.trades, state.account.positions))
        if acted and self._over and not leaves and could:
            self._over = False
            if not self._turned:
                self._caps(venue, "when a late entry was acted on")
        if acted and troubles == self._overdue_after:
            for symbol, trade_id in self._overdue.items():
                leaving = {o.intent.symbol for o in state.orders.values() if o.intent.role is Role.EXIT} | self._left
                if symbol in trades and trades[symbol].trade_id == trade_id and symbol not in leaving:
                    self._breaks(venue, f"{symbol} was bare for more than {PATIENCE:g} calls, and was not left")
        bare = [
            (symbol, trade.trade_id)
            for symbol, trade in trades.items()
            if trade.naked_since and symbol in venue.account.positions and not self._is_covered(venue, symbol)
        ]
        self._bare_since = {one: self._bare_since.get(one, calls) for one in bare}
        waited = {one: calls - since for one, since in self._bare_since.items()}
        self._at_most("calls that a position was bare", max(waited.values(), default=0))
        late = [one for one, calls in waited.items() if calls > PATIENCE and venue.trades(one[0])]
        self._overdue, self._overdue_after = ({}, 0) if acted else (dict(late), troubles)
        self.figures["left as overdue"] += len(self._overdue)

    def dies(self) -> None:
        """Who had counted is gone."""
        self._bare_since, self._overdue = {}, {}

    def _tightens(self, venue: "Watched", symbol: str, sign: int, stop: Decimal) -> None:
        last = self._stops.setdefault(symbol, stop)
        if sign * (stop - last) < 0:
            self._breaks(venue, f"the stop of {symbol} is moved away, from {last} to {stop}")
        self._stops[symbol] = stop

    # --- when a bar is over -------------------------------------------------------------------------------------

    def bar_ends(self, venue: "Watched", state: State, quiet: bool) -> None:
        """The market is about to go on, and the session believes `state`."""
        self.figures["bars"] += 1
        self.figures["quiet bars"] += quiet
        for symbol in venue.instruments:
            position = venue.account.positions.get(symbol)
            orders = [o for o in venue.view.orders(symbol) if self.name(o.intent.client_id).startswith(PREFIX)]
            self._count_bare(symbol, bool(position) and not self._is_covered(venue, symbol))
            if quiet and venue.trades(symbol):
                self._agrees(venue, symbol, orders, state)
                if not position and orders:
                    self._breaks(venue, f"{symbol} is flat, and {self.name(orders[0].intent.client_id)} is left of it")
                if position and symbol not in self._left:
                    self._is_protected(venue, position, orders)
        if quiet and not self._left:
            self._caps(venue, "when all was settled")
            self._over = False
        self._left.clear()
        self._late.clear()
        self._turned.clear()

    def _agrees(self, venue: "Watched", symbol: str, orders: Sequence[Resting], state: State) -> None:
        ours, theirs = state.account.position(symbol).quantity, venue.account.position(symbol).quantity
        if ours != theirs:
            self._breaks(venue, f"the session believes in {ours} of {symbol}, and {theirs} are held")
        for name in (self.name(order.intent.client_id) for order in orders):
            if name not in state.orders:
                self._breaks(venue, f"the session knows nothing of {name}")

    def _is_protected(self, venue: "Watched", position: Position, orders: Sequence[Resting]) -> None:
        """By one stop of its size (in lots as they were listed), on its side, that is not further away than it was."""
        symbol, size = position.symbol, abs(position.quantity)
        for order in orders:
            if not closes(order.intent.side, position):
                self._breaks(venue, f"{self.name(order.intent.client_id)} lies on the wrong side of {symbol}")
        stops = [o for o in orders if role_of(self.name(o.intent.client_id)) is Role.STOP_LOSS]
        sizes = {size, *((size // lot + bool(size % lot)) * lot for lot in venue.lots.get(symbol, ()))}
        resting = [stop.remaining for stop in stops if stop.intent.reduce_only]
        if len(resting) != 1 or resting[0] not in sizes:
            self._breaks(venue, f"{symbol} holds {size}, and its stops are of {[str(o.remaining) for o in stops]}")
        elif (trigger := stops[0].intent.trigger) is not None:
            self._tightens(venue, symbol, -stops[0].intent.side.sign, trigger)

    def _is_covered(self, venue: "Watched", symbol: str) -> bool:
        """Whether some stop of ours would close all of the position."""
        position = venue.account.positions[symbol]
        return any(
            role_of(self.name(order.intent.client_id)) is Role.STOP_LOSS
            and closes(order.intent.side, position)
            and order.remaining >= abs(position.quantity)
            for order in venue.view.orders(symbol)
        )

    def _count_bare(self, symbol: str, bare: bool) -> None:
        self._bare[symbol] = self._bare[symbol] + 1 if bare else 0
        self.figures["bare bars"] += bare
        self._at_most("bare bars in a row", self._bare[symbol])

    def _at_most(self, what: str, number: int) -> None:
        what = f"{what}, at most"
        self.figures[what] = max(self.figures[what], number)

    def _breaks(self, venue: "Watched", law: str) -> None:
        self.broken.append(f"{venue.now:%d. %H:%M} {law}")

    # --- when all is over ---------------------------------------------------------------------------------------

    def end(self, venue: "Watched", state: State, journal, symbols: int, told: bool = True) -> None:
        """Everything is closed. `told`: the venue has told all there was to tell, so that nothing had to be adopted."""
        events = [event for _, event in journal.events()]
        account = venue.account
        if venue.account.positions or state.account.positions:
            self._breaks(venue, f"still held: {[*venue.account.positions]}, believed {[*state.account.positions]}")
        if venue.view.book.orders or state.orders:
            self._breaks(venue, f"still resting: {[*venue.view.book.orders]}, believed {[*state.orders]}")
        if self._account != account:
            self._breaks(venue, f"the venue's fills add up to {self._account}, its wallet says {account}")
        if abs(state.account.cash - account.cash) >= CENT:
            self._breaks(venue, f"the journal's cash is {state.account.cash}, the wallet {account.cash}")
        if journal.state() != state:
            self._breaks(venue, "the journal does not add up to the session's state")
        for event in events:
            if isinstance(event, CashCorrected) or (told and isinstance(event, PositionAdopted)):
                self._breaks(venue, f"without need: {event}")
        self._decisions(venue, events, symbols)

    def _decisions(self, venue: "Watched", events, symbols: int) -> None:
        """At most one entry came of a decision for a symbol, and each candidate has one reason."""
        decided = START
        entered: Counter[tuple[datetime, str]] = Counter()
        bars: Counter[datetime] = Counter()
        for event in events:
            match event:
                case BarClosed():
                    bars[event.ts] += 1
                case DecisionMade():
                    decided = event.ts
                    self._reasons(venue, event, symbols)
                case OrderRequested() if event.intent.role is Role.ENTRY and event.intent.client_id in self.landed:
                    entered[decided, event.intent.symbol] += 1
        self.figures["entries"] += sum(entered.values())
        for (ts, symbol), times in entered.items():
            if times > 1:
                self._breaks(venue, f"{times} entries in {symbol} came of what was decided at {ts:%d. %H:%M}")
        if bars and max(bars.values()) > 1:
            self._breaks(venue, "a bar was learned twice")

    def _reasons(self, venue: "Watched", event: DecisionMade, symbols: int) -> None:
        verdicts = event.decision.verdicts
        if len({v.symbol for v in verdicts}) != len(verdicts) or len(verdicts) > symbols:
            self._breaks(venue, f"not one verdict a candidate: {verdicts}")
        for verdict in verdicts:
            refused = verdict.choice is Choice.REFUSED
            if refused and verdict.reason is Reason.NONE:
                self._breaks(venue, f"refused without a reason: {verdict}")
            self.figures["refused"] += refused


class Watched(SimulatedExchange):
    """The venue, with a witness; `lingering`: what has nothing left to reduce stays until it is cancelled."""

    def __init__(self, *said, witness: Witness, lingering: bool = False, **named) -> None:
        self._witness, self._lingering = witness, lingering
        super().__init__(*said, **named)
        self.lots: dict[str, set[Decimal]] = {}  # in which each symbol was listed, where that changed

    def trades(self, symbol: str) -> bool:
        """Whether orders are taken there."""
        return symbol not in self.view.suspended

    def relist(self, instrument: Instrument, suspended: bool = False) -> None:
        self.lots.setdefault(instrument.symbol, set()).add(instrument.lot)
        super().relist(instrument, suspended)

    def _tell(self, event) -> None:
        super()._tell(event)
        self._witness.hears(self, event)

    def _release_reducers(self, symbol: str) -> None:
        if not self._lingering:
            super()._release_reducers(symbol)


def closes(side: Side, position: Position) -> bool:
    """Whether an order of `side` is on the side that closes `position`."""
    return side.sign * position.quantity < 0
