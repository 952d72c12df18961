"""What the panel shows at one instant, as values: from a state, what a session shows of itself, and the time.

Pure. Money is quote, and what is not known is None. Margin and liquidation are reckoned by the formulas that the
session's own rules use, from the leverage and the brackets that it wrote down when it began.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from qtlib.domain.account import Position
from qtlib.domain.commands import Command, Outcome, Verb
from qtlib.domain.decisions import Choice, Decision
from qtlib.domain.events import START, CommandAnswered
from qtlib.domain.orders import ExitPlan, Order, Role
from qtlib.domain.state import Brake, State, Trade
from qtlib.panel.desk import Models, Outside
from qtlib.panel.reader import Reader, resting
from qtlib.rules import formulas
from qtlib.rules.status import code
from qtlib.rules.used import Used, used

SILENT_BEATS, SILENT_S = 3, 4.0  # so many signs of life missing, and at least so long: then it is silent


class Life(Enum):
    """Whether a session is there to hear."""

    LIVES = "lives"
    STARTS = "starts"  # it has not given a sign of life yet
    SILENT = "silent"  # it should, and does not
    DIED = "died"
    ENDED = "ended"
    NONE = "none"  # there never was one


@dataclass(frozen=True, slots=True)
class Held:
    """A position, in the columns of an exchange's screen."""

    symbol: str
    quantity: float  # signed, in base
    value: float | None  # at the mark
    entry: float
    breakeven: float | None
    mark: float | None
    liquidation: float | None
    margin: float | None
    leverage: int | None
    pnl: float | None  # open, before costs
    pnl_frac: float | None  # of price
    r: float | None
    roi_frac: float | None  # of margin
    funding: float  # received so far
    stop: float | None
    target: float | None
    net_stop: float | None
    trail_frac: float | None  # of entry, behind the best price; None: no trailing
    trailing: bool  # it does by now
    partial_taken: bool
    time_stop: datetime | None
    naked_s: float | None  # without a confirmed stop of full size for so long, venue time; None: it is protected
    opened: datetime | None
    recovered: bool

    @property
    def long(self) -> bool:
        return self.quantity > 0


@dataclass(frozen=True, slots=True)
class Working:
    """An order that works."""

    symbol: str
    side: str
    role: str
    kind: str
    quantity: float | None  # None: all that is held
    level: float | None
    status: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A command, and what became of it."""

    verb: Verb
    what: str
    by: str
    asked: datetime
    outcome: Outcome | None  # None: nobody has answered yet
    seconds: float  # until it was answered, or since it was asked
    words: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one symbol was not traded at the last decision, and how often that was so lately."""

    symbol: str
    reason: str
    rule: str
    wanted: float
    times: int
    cycles: int


@dataclass(frozen=True, slots=True)
class Sight:
    now: datetime
    account: str
    mode: str
    market: str
    life: Life
    silent_s: float | None  # since the last sign of life
    read_age_s: float | None  # since something new was read in the journal
    state: State
    outside: Outside
    session: str | None
    positions: tuple[Held, ...]
    orders: tuple[Working, ...]
    limits: tuple[Used, ...]
    asked: tuple[Asked, ...]
    refusals: tuple[Refusal, ...]
    decided: datetime | None
    code: str | None  # that lets go of the brake, while there is one that needs it
    trouble: str | None
    complete: bool
    models: Models | None  # None: nothing is learned

    @property
    def known(self) -> bool:
        """Whether a session has ever got so far as to know what its account is worth."""
        return self.state.ts > START

    @property
    def stale(self) -> bool:
        return self.life is not Life.LIVES

    @property
    def brake(self) -> Brake | None:
        return self.state.brake

    def held(self, symbol: str | None) -> Held | None:
        return next((row for row in self.positions if row.symbol == symbol), None)


def sight(
    reader: Reader,
    outside: Outside,
    models: Models | None,
    account: str,
    mode: str,
    market: str,
    now: datetime,
    mono: float,
) -> Sight:
    """What there is to see now: `mode` and `market` are those of the settings, until a session says its own."""
    state, past = reader.state, reader.past
    brake = state.brake
    needs_code = brake is not None and brake.verb is not Verb.PAUSE
    health = outside.health or {}
    opened = past.opened
    return Sight(
        now=now,
        account=account,
        mode=str(health.get("mode") or (opened.mode if opened else mode)),
        market=state.market or market,
        life=_life(outside),
        silent_s=outside.beat_age_s,
        read_age_s=None if reader.heard is None else mono - reader.heard,
        state=state,
        outside=outside,
        session=reader.session,
        positions=tuple(_held(state, p) for _, p in sorted(state.account.positions.items())),
        orders=tuple(sorted(map(_working, state.orders.values()), key=lambda o: (o.symbol, o.role))),
        limits=used(state),
        asked=_asked(reader.waiting, past.answers, now),
        refusals=_refusals(past.decisions),
        decided=past.decisions[-1].ts if past.decisions else None,
        code=code(brake, now) if brake and needs_code else None,
        trouble=reader.trouble,
        complete=reader.complete,
        models=models,
    )


def _life(outside: Outside) -> Life:
    if outside.run_status is None:
        return Life.NONE
    if outside.run_status == "died":
        return Life.DIED
    if outside.run_status != "running":
        return Life.ENDED
    if outside.beat_age_s is None:
        return Life.STARTS
    patience = max(SILENT_BEATS * outside.beat_s, SILENT_S)
    return Life.SILENT if outside.beat_age_s > patience else Life.LIVES


def _held(state: State, position: Position) -> Held:
    symbol, quantity, entry = position.symbol, float(position.quantity), float(position.entry_price)
    trade, mark = state.trades.get(symbol), state.prices.get(symbol)
    rest, facts = resting(state, symbol), state.facts
    instrument = facts.instruments.get(symbol) if facts else None
    leverage = facts.leverage.get(symbol) if facts else None
    funding, net = (float(trade.funding), float(trade.net)) if trade else (0.0, 0.0)
    cost, sign = abs(quantity) * entry, 1 if quantity > 0 else -1
    pnl = None if mark is None else quantity * (mark - entry)
    margin = None if leverage is None else formulas.initial_margin(quantity, entry, leverage) + funding
    liquidation = None
    if instrument is not None and margin is not None:
        bracket = instrument.bracket(position.cost)
        maintenance, cum = float(bracket.maintenance_frac), float(bracket.cum)
        liquidation = formulas.liquidation_price(margin, quantity, entry, maintenance, cum) or None
    plan = trade.exits if trade else None
    frac = None if pnl is None or not cost else pnl / cost
    return Held(
        symbol,
        quantity,
        value=None if mark is None else abs(quantity) * mark,
        entry=entry,
        breakeven=None
        if instrument is None or trade is None
        else formulas.breakeven_price(quantity, entry, net, float(instrument.taker_fee_frac)),
        mark=mark,
        liquidation=liquidation,
        margin=margin,
        leverage=leverage,
        pnl=pnl,
        pnl_frac=frac,
        r=None if frac is None or plan is None or not plan.stop_frac else frac / plan.stop_frac,
        roi_frac=None if frac is None or leverage is None else frac * leverage,
        funding=funding,
        stop=_number(rest.get(Role.STOP_LOSS)),
        target=_number(rest.get(Role.TAKE_PROFIT)),
        net_stop=_number(rest.get(Role.NET_STOP)),
        trail_frac=plan.trail_frac if plan else None,
        trailing=_trails(plan, trade, entry, sign),
        partial_taken=trade.partial_taken if trade else False,
        time_stop=_time_stop(plan, trade),
        naked_s=None
        if trade is not None and trade.naked_since is None
        else (state.ts - trade.naked_since).total_seconds()
        if trade and trade.naked_since
        else 0.0,
        opened=trade.opened if trade else None,
        recovered=trade.recovered if trade else False,
    )


def _trails(plan: ExitPlan | None, trade: Trade | None, entry: float, sign: int) -> bool:
    """Whether the ratchet has come nearer than the initial stop."""
    if plan is None or trade is None or plan.trail_frac is None:
        return False
    if not (plan.trail_from_start or trade.partial_taken):
        return False
    return sign * (trade.best - entry) / entry > plan.trail_frac - plan.stop_frac


def _time_stop(plan: ExitPlan | None, trade: Trade | None) -> datetime | None:
    if plan is None or trade is None or plan.time_stop_s is None or trade.partial_taken:
        return None
    return trade.opened + timedelta(seconds=plan.time_stop_s)


def _working(order: Order) -> Working:
    intent = order.intent
    level = intent.trigger if intent.trigger is not None else intent.price
    return Working(
        intent.symbol,
        intent.side.value,
        intent.role.value,
        intent.type.value,
        None if intent.close_position else float(order.remaining),
        _number(level),
        order.status.value,
        order.since,
    )


def _asked(waiting: Sequence[Command], answers: Sequence[CommandAnswered], now: datetime) -> tuple[Asked, ...]:
    """Newest first: those that wait, then those that were answered."""
    rows = [
        Asked(c.verb, _what(c), c.by, c.asked, None, max(0.0, (now - c.asked).total_seconds()), "") for c in waiting
    ]
    rows += [
        Asked(
            a.command.verb,
            _what(a.command),
            a.command.by,
            a.command.asked,
            a.outcome,
            max(0.0, (a.answered - a.command.asked).total_seconds()),
            a.words,
        )
        for a in answers
    ]
    return tuple(sorted(rows, key=lambda row: row.asked, reverse=True))


def _what(command: Command) -> str:
    price = [] if command.price is None else [f"{command.price}"]
    return " ".join([command.symbol, *price, *(f"{name}={value:g}" for name, value in command.limits.items())]).strip()


def _refusals(decisions: Sequence[Decision]) -> tuple[Refusal, ...]:
    """Why each symbol that was a candidate at the last decision was not traded then."""
    if not decisions:
        return ()
    counts: Counter[tuple[str, str, str]] = Counter()
    for decision in decisions:
        counts.update((v.symbol, v.reason.value, v.rule) for v in decision.verdicts if v.choice is Choice.REFUSED)
    rows = [
        Refusal(
            v.symbol,
            v.reason.value,
            v.rule,
            v.wanted_notional,
            counts[v.symbol, v.reason.value, v.rule],
            len(decisions),
        )
        for v in decisions[-1].verdicts
        if v.choice is Choice.REFUSED
    ]
    return tuple(sorted(rows, key=lambda row: row.symbol))


def _number(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]  # a Decimal


def flat(mapping: Mapping[str, object], *names: str) -> object:
    """What stands under `names` in a document, one inside the other; None, where it ends before."""
    value: object = mapping
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
