"""The simulated venue in process, while things go wrong between it and its trader: faults as they look at the port.

The same faults as on the wire, by the same names: `carry_out` asks `POST` and `DELETE v1/order` or `v1/algoOrder`, one
for each action, `events` asks `GET v1/userTrades`, `snapshot` `GET v3/account`. What an adapter mends by itself (a
clock that is off, a wait, a socket) is no fault here; `AT_THE_PORT` are those that are. The port's promises hold all
the while: nothing happens twice, and what is not told now is told later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from qtlib.domain.events import Event, FactsRead, Filled, OrderChanged
from qtlib.domain.market import Step
from qtlib.domain.orders import Action, Cancel, Order, Submit
from qtlib.domain.state import ExchangeSnapshot
from qtlib.domain.values import changed
from qtlib.exchanges.listing import doubted
from qtlib.exchanges.port import ExchangeError, Unavailable, Unknown, Untrusted
from qtlib.exchanges.simulated.book import reduces
from qtlib.exchanges.simulated.faults import KINDS, Fault, Faults, Place
from qtlib.exchanges.simulated.rough import RoughMarket
from qtlib.exchanges.simulated.store import order_of
from qtlib.exchanges.simulated.venue import SimulatedExchange

_FAILS = ("too_many", "banned", "unavailable", "overloaded", "key_refused")  # for sure, nothing has happened
_MAYBE = ("unknown_error", "timeout", "unexpected", "empty", "unanswered", "reset")
AT_THE_PORT = tuple(
    kind
    for kind, its in KINDS.items()
    if kind in (*_FAILS, *_MAYBE, "stale") or its.place in (Place.EVENT, Place.STEP, Place.HELD)
)


class FaultyExchange:
    """`Exchange`, and a venue to replay steps through, over `engine`."""

    def __init__(self, engine: SimulatedExchange, faults: Faults) -> None:
        self.engine, self.faults = engine, faults
        self._market = RoughMarket(engine, faults)
        self._hidden: dict[str, int] = {}  # orders of which nothing is said, for so many questions yet
        self._owed: list[Event] = []  # told when they can be
        self._heard: set[str] = set()  # keys of events that were told, or are owed
        self._listed = self._listing()  # as it is known to who listens

    @property
    def tells_all(self) -> bool:
        """Nothing is owed or hidden."""
        return not (self._owed or self._hidden)

    # --- the port ---------------------------------------------------------------------------------------------

    def carry_out(self, actions: Sequence[Action]) -> Sequence[Event]:
        """One action after the other, until one fails: those after it are never asked for.

        Of an action whose outcome is unknown nothing is told now; where its connection was reset, that is an error.
        """
        told: list[Event] = []
        for action in actions:
            acting = self._acting(action)
            if failed := _first(acting, _FAILS):
                raise _error(failed)
            unknown = _first(acting, _MAYBE)
            happened = () if unknown and not unknown.executes else self.engine.carry_out([action])
            if stale := _first(acting, ("stale",)):
                self._hidden[_name(action)] = stale.asks
            if unknown and unknown.kind == "reset":
                raise _error(unknown)
            told += () if unknown else happened
        passed_on = self._passed_on(told)
        return [*passed_on, *self._relisted(doubted(passed_on))]

    def events(self, since: datetime, about: Iterable[Order] = ()) -> Sequence[Event]:
        """What there is to tell, and what is owed by now."""
        self._ask("GET v1/userTrades")
        self._hidden = {name: asks - 1 for name, asks in self._hidden.items() if asks}
        owed, self._owed = self._owed, []
        known = {event.key for event in owed}
        fresh = (event for event in self.engine.events(since, about) if event.key not in known)
        told = self._passed_on(sorted([*owed, *fresh], key=lambda event: event.ts))
        return [*told, *self._relisted(doubted(told) or bool(self._listed.out))]

    def snapshot(self) -> ExchangeSnapshot:
        """What is open and held now."""
        self._ask("GET v3/account")
        return self.engine.snapshot()

    # --- the market -------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.engine.now

    def advance(self, step: Step) -> None:
        """Live through `step`, as the faults make it."""
        if step.ts > self.engine.now:
            self.engine.advance(self._market.meet(step))

    # --- below ------------------------------------------------------------------------------------------------

    def _acting(self, action: Action) -> list[Fault]:
        resting = self.engine.view.book.orders.get(_name(action))
        intent = action.intent if isinstance(action, Submit) else resting.intent if resting else None
        exempt = isinstance(action, Cancel) or reduces(action.intent)
        verb = "POST" if isinstance(action, Submit) else "DELETE"
        path = "v1/algoOrder" if intent and intent.type.conditional else "v1/order"
        return self.faults.acting(Place.REQUEST, f"{verb} {path}", _name(action), ("overloaded",) if exempt else ())

    def _ask(self, name: str) -> None:
        """A question changes nothing: without an answer it was as good as not asked."""
        acting = self.faults.acting(Place.REQUEST, name)
        if failed := _first(acting, (*_FAILS, *_MAYBE)):
            raise _error(failed) if failed.kind == "key_refused" else Unavailable(_words(failed))

    def _listing(self) -> FactsRead:
        view = self.engine.view
        leverage = {symbol: view.leverage(symbol) for symbol in view.instruments}
        out = {symbol: f"{symbol} is SETTLING, not TRADING" for symbol in sorted(view.suspended)}
        return FactsRead(self.engine.now, "", dict(view.instruments), leverage, out)

    def _relisted(self, looks: bool) -> list[Event]:
        """The listing, where it has changed and an adapter looks: after a refusal, and while something is out."""
        if not looks or changed(self._listed, ts=self.engine.now) == self._listing():
            return []
        self._listed = self._listing()
        return [self._listed]

    def _passed_on(self, events: Iterable[Event]) -> list[Event]:
        """`events` once, twice, later, or owed, as the faults say when each is first to be told."""
        told: list[Event] = []
        late: list[_Late] = []
        for event in events:
            if late and late[-1].event.ts != event.ts:  # oldest first: only within an instant is there an order to lose
                told += [one.event for one in late]
                late = []
            overtaken = list(late)
            kinds = self._kinds(event)
            if "omit" in kinds or self._is_hidden(event):
                self._owed.append(event)
            elif "reorder" in kinds:
                late.append(_Late(event, kinds["reorder"].behind))
            else:
                told += [event, event] if "repeat" in kinds else [event]
            for one in overtaken:
                one.behind -= 1
                if not one.behind:
                    late.remove(one)
                    told.append(one.event)
        return [*told, *(one.event for one in late)]

    def _kinds(self, event: Event) -> dict[str, Fault]:
        if event.key in self._heard:
            return {}
        self._heard.add(event.key)
        kind = "ORDER_TRADE_UPDATE" if isinstance(event, Filled | OrderChanged) else "ACCOUNT_UPDATE"
        return {its.kind: its for its in self.faults.acting(Place.EVENT, kind, order_of(event) or "")}

    def _is_hidden(self, event: Event) -> bool:
        """What became of an order is not found yet; what it traded is told by the account's trades."""
        return isinstance(event, OrderChanged) and event.client_id in self._hidden


@dataclass(eq=False, slots=True)
class _Late:
    event: Event
    behind: int  # how many others go first


def _name(action: Action) -> str:
    return action.client_id if isinstance(action, Cancel) else action.intent.client_id


def _first(acting: Iterable[Fault], kinds: Sequence[str]) -> Fault | None:
    return next((its for its in acting if its.kind in kinds), None)


def _error(its: Fault) -> ExchangeError:
    if its.kind == "key_refused":
        return Untrusted(_words(its))
    return Unavailable(_words(its)) if its.kind in _FAILS else Unknown(_words(its))


def _words(its: Fault) -> str:
    return f"injected {its.kind}: {KINDS[its.kind].says}"
