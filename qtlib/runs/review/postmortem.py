"""A post-mortem: one trade, or one day, told from the journal: what was believed, what each rule said, what was
ordered, how the price went against the levels, what it cost; and what would have come of what was refused.

The rules are asked again, by their own functions, in the state of that moment. What would have come of a refused entry
is reckoned by the brackets that trade (`learning.labels`), on the bars that the journal heard: with fees, slippage and
funding, and without the limits that refused it. Nothing is asked of a venue.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from qtlib.domain.advance import advance
from qtlib.domain.decisions import Choice, Decision, Verdict
from qtlib.domain.events import DecisionMade, Event, Filled, OrderChanged, OrderRequested
from qtlib.domain.orders import OrderIntent, OrderStatus
from qtlib.domain.state import State
from qtlib.engine.feeds import Past, panel_of
from qtlib.journal import Journal
from qtlib.learning.labels import labels
from qtlib.report import charts
from qtlib.report.columns import Tables
from qtlib.report.figure import Figure
from qtlib.report.markup import Html, listing
from qtlib.report.names import exit_name, order_status_name, reason_name, role_name, rule_name
from qtlib.report.tables import bars, tables
from qtlib.report.words import UNKNOWN, moment, number, percent, price, say, signed
from qtlib.rules import limits
from qtlib.rules.in_force import limits_of
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.runs import wiring
from qtlib.runs.record.folder import RunsError, journal_location
from qtlib.runs.record.run import Run

AROUND = 24  # bars that are shown before a trade and after it
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order of a trade, and what became of it."""

    ts: datetime
    intent: OrderIntent
    status: OrderStatus
    filled: float
    price: float | None  # mean of its fills
    fee: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One trade: the state in which it was decided, the decision, and its orders."""

    trade_id: str
    symbol: str
    before: State
    decision: Decision
    verdict: Verdict | None
    orders: tuple[Ordered, ...]


@dataclass(frozen=True, slots=True)
class Postmortem:
    of: str
    begun: datetime
    ended: datetime
    books: Tables
    trials: tuple[Trial, ...]
    refused: tuple[tuple[datetime, Verdict], ...]
    heard: dict[str, pd.DataFrame]
    rules: Rules


def examine(run: Run) -> Postmortem:
    """What `postmortem.of` names in the account's journal: a trade, a symbol's last, a day; else the last trade.

    The last is the last that is over, where there is one.
    """
    where, account = journal_location(run.params.session.account, run.folder.root), run.params.session.account
    if not isinstance(where, str) and not where.exists():
        raise RunsError(f"account {account} has no journal, so there is nothing to look into; `qt live` begins one")
    with Journal(where, account, reading=True) as journal:
        events = [event for _, event in journal.events()]
    books = tables(events)
    of, begun, ended, ids = _meant(run.params.postmortem.of, books)
    trials = tuple(trial for trial in _trials(events) if trial.trade_id in ids)
    state = books.state
    listed = state.facts.instruments if state.facts else wiring.instruments(run.params)
    refused = tuple(
        (event.decision.ts, verdict)
        for event in events
        if isinstance(event, DecisionMade) and begun <= event.ts <= ended
        for verdict in event.decision.verdicts
        if verdict.choice is Choice.REFUSED and verdict.score
    )
    return Postmortem(of, begun, ended, books, trials, refused, bars(events), wiring.rules(run.params, listed))


def believed(p: Postmortem) -> Html:
    """What was believed when each trade was decided, how large it was wanted, and how it was to be left."""
    heads: tuple[str, ...] = (
        say("Decided, UTC"),
        say("Symbol"),
        say("Score"),
        say("Confidence"),
        say("Model"),
        say("Wanted"),
    )
    heads = (*heads, say("Allowed"), say("Limit that bound"), say("Stop"), say("Target"), say("Break-even win rate"))
    rows = []
    for trial in p.trials:
        target, verdict = trial.decision.targets.get(trial.symbol), trial.verdict
        plan = target.exits if target else None
        rows.append(
            (
                moment(trial.decision.ts),
                trial.symbol,
                number(verdict.score if verdict else None, "+.2f"),
                number(verdict.confidence if verdict else None, ".2f"),
                (target.model_version if target else "") or say("rule of thumb"),
                number(verdict.wanted_notional if verdict else None),
                number(verdict.allowed_notional if verdict else None),
                rule_name(verdict.rule) if verdict and verdict.rule else UNKNOWN,
                percent(-plan.stop_frac if plan else None, sign=True),
                percent(plan.take_profit_frac if plan else None, sign=True),
                percent(plan.breakeven_win_rate_frac if plan else None, ".1f"),
            )
        )
    return listing(say("Score, size and levels, as they were decided"), heads, rows, words={0, 1, 4, 7})


def said(p: Postmortem) -> Html:
    """What each limit would have allowed at most, in the state of the decision; the smallest held."""
    names = [rule.__name__ for rule in limits.RULES]
    heads = (say("Decided, UTC"), say("Symbol"), say("Wanted"), *map(rule_name, names))
    rows = []
    for trial in p.trials:
        state = trial.before
        kept = state.limits
        held = limits_of(kept.in_force, RiskLimits()) if kept else p.rules.limits
        target = trial.decision.targets.get(trial.symbol)
        sign = 1 if target and target.quantity > 0 else -1
        book = limits.committed(state)
        caps = [rule(trial.symbol, sign, book, state, held) for rule in limits.RULES]
        least = min(caps)
        wanted = trial.verdict.wanted_notional if trial.verdict else None
        cells = [f"<b>{_cap(cap)}</b>" if cap == least else _cap(cap) for cap in caps]
        rows.append((moment(trial.decision.ts), trial.symbol, number(wanted), *cells))
    return listing(say("The most that each limit allowed, in quote"), heads, rows, words={0, 1})


def ordered(p: Postmortem) -> Html:
    """Every order of each trade, and what became of it."""
    heads: tuple[str, ...] = (
        say("Ordered, UTC"),
        say("Symbol"),
        say("Why"),
        say("Side"),
        say("Quantity"),
        say("At"),
        say("State"),
    )
    heads = (*heads, say("Filled at"), say("Slippage"), say("Fees"))
    rows = []
    for trial in p.trials:
        for order in trial.orders:
            intent = order.intent
            level = intent.trigger if intent.trigger is not None else intent.price
            expected = None if intent.expected is None else float(intent.expected)
            slip = None
            if expected is not None and order.price is not None:
                slip = (order.price - expected) * order.filled * intent.side.sign
            rows.append(
                (
                    moment(order.ts),
                    intent.symbol,
                    role_name(intent.role.value),
                    say(intent.side.value.upper()),
                    say("all") if intent.close_position else number(float(intent.quantity), ",.6g"),
                    price(None if level is None else float(level)),
                    order_status_name(order.status),
                    price(order.price),
                    signed(slip),
                    number(order.fee) if order.filled else UNKNOWN,
                )
            )
    return listing(say("Orders in their order, and what became of each"), heads, rows, words={0, 1, 2, 3, 6})


def path(p: Postmortem, trial: Trial) -> Figure:
    """The price against the levels, from a day's bars before the trade to a day's after it."""
    rows, shown = _exits(p, trial), _while_held(p, trial, AROUND)
    levels = p.books.levels[(p.books.levels.symbol == trial.symbol) & (p.books.levels.ts >= shown.index[0])]
    levels = levels[levels.ts <= shown.index[-1]]
    state = p.books.state if trial.symbol in p.books.state.trades and not len(rows) else State()
    return charts.price(replace(p.books, trades=rows, levels=levels, state=state), shown, trial.symbol)


def path_table(p: Postmortem, trial: Trial, most: int = 200) -> Html:
    """The bars of the picture from the one that it was decided at to the one that it ended in, with the levels."""
    levels = p.books.levels[p.books.levels.trade_id == trial.trade_id]
    bars_of, rows = _while_held(p, trial, 1), []
    for ts, bar in zip(bars_of.index, bars_of.head(most).to_dict("records"), strict=False):
        rested = levels[levels.ts <= ts].tail(1).to_dict("records")
        stop, target = (rested[0]["stop_price"], rested[0]["take_profit_price"]) if rested else (None, None)
        figures = (bar["open"], bar["high"], bar["low"], bar["close"], stop, target)
        rows.append((moment(ts.to_pydatetime()), *map(price, figures)))
    caption = say(
        "{symbol}: bars while it was held, and what protected it at their close ({shown} of {count})",
        symbol=trial.symbol,
        shown=number(len(rows), ",d"),
        count=number(len(bars_of), ",d"),
    )
    heads = ("UTC", say("Open"), say("High"), say("Low"), say("Close"), say("Stop"), say("Target"))
    return listing(caption, heads, rows, words={0})


def cost(p: Postmortem) -> Html:
    """What each exit of the trades brought, and what it cost."""
    heads: tuple[str, ...] = (
        say("Exit, UTC"),
        say("Symbol"),
        say("Why"),
        say("Net P&L"),
        "R",
        say("Fees"),
        say("Funding"),
    )
    heads = (*heads, say("Worst"), say("Best"))
    ids = {trial.trade_id for trial in p.trials}
    rows = [
        (
            moment(r["exit_ts"].to_pydatetime()),
            r["symbol"],
            exit_name(r["exit_reason"]),
            signed(r["pnl_quote"]),
            number(r["r_multiple"], "+.2f"),
            number(r["fees_quote"]),
            signed(r["funding_quote"]),
            percent(r["mae_frac"], sign=True),
            percent(r["mfe_frac"], sign=True),
        )
        for r in p.books.trades[p.books.trades.trade_id.isin(ids)].to_dict("records")
    ]
    return listing(say("What each exit brought, and what it cost"), heads, rows, words={0, 1, 2})


def what_if(p: Postmortem, run: Run, most: int = 500) -> Html:
    """What would have come of each refused entry, by the brackets that trade; a dash where its end is not there yet."""
    panel = panel_of(Past(p.heard))
    volatility = wiring.strategy(run.params).signals(panel).volatility_frac
    came = labels(panel, volatility, p.rules.exits, p.rules.costs)
    heads = (
        say("Decided, UTC"),
        say("Symbol"),
        say("Side"),
        say("Why not"),
        say("Net, of notional"),
        "R",
        say("Ended, UTC"),
    )
    rows, total = [], 0.0
    for ts, verdict in p.refused:
        place = int(np.searchsorted(panel.times, int(ts.timestamp() * 1_000_000)))
        if verdict.symbol not in panel.symbols or place >= len(panel.times):
            continue
        at = panel.symbols.index(verdict.symbol), place
        long = verdict.score > 0
        frac, r = (came.long_frac, came.long_r) if long else (came.short_frac, came.short_r)
        end = int((came.long_end if long else came.short_end)[at])
        over = _instant(panel.times[end]) if end >= 0 else None
        total += 0.0 if np.isnan(frac[at]) else float(r[at])
        why = reason_name(verdict.reason.value) + (f" ({rule_name(verdict.rule)})" if verdict.rule else "")
        rows.append(
            (
                moment(ts),
                verdict.symbol,
                say("LONG") if long else say("SHORT"),
                why,
                percent(float(frac[at]), sign=True),
                number(float(r[at]), "+.2f"),
                moment(over) if over else UNKNOWN,
            )
        )
    caption = say(
        "What if: refused entries ({shown} of {count}), {r} R in all",
        shown=min(most, len(rows)),
        count=len(rows),
        r=number(total, "+.2f"),
    )
    return listing(caption, heads, rows[:most], words={0, 1, 2, 3, 6})


# --- below ------------------------------------------------------------------------------------------------


def _meant(of: str | None, books: Tables) -> tuple[str, datetime, datetime, set[str]]:
    """What is meant by `of`: in words, from when to when, and which trades."""
    began = {str(r["trade_id"]): r["entry_ts"].to_pydatetime() for r in books.trades.to_dict("records")}
    began |= {trade.trade_id: trade.opened for trade in books.state.trades.values()}
    if not began and not len(books.equity):
        raise RunsError("the journal has no bar and no trade yet: there is nothing to look into")
    day = _day(of)
    if day is not None:
        ids = {name for name, ts in began.items() if day <= ts < day + DAY}
        return f"{day:%Y-%m-%d}", day, day + DAY, ids
    symbols = {str(r["trade_id"]): r["symbol"] for r in books.trades.to_dict("records")}
    symbols |= {trade.trade_id: trade.symbol for trade in books.state.trades.values()}
    still = {trade.trade_id for trade in books.state.trades.values()}  # open
    found = [name for name in began if of is None or name == of or symbols[name] == of.upper()]
    if not found:
        last = f"; the last of {len(began)} is {max(began, key=lambda n: began[n])}" if began else ""
        raise RunsError(f"postmortem.of {of!r} is no trade, no symbol that was traded and no day as 2026-03-01{last}")
    ended = [name for name in found if name not in still]
    chosen = max(ended or found, key=lambda name: began[name])
    ends = books.trades[books.trades.trade_id == chosen].exit_ts
    over = ends.max().to_pydatetime() if len(ends) else books.state.ts
    return f"{symbols[chosen]} {chosen}", began[chosen] - DAY, over, {chosen}


def _exits(p: Postmortem, trial: Trial) -> pd.DataFrame:
    return p.books.trades[p.books.trades.trade_id == trial.trade_id]


def _while_held(p: Postmortem, trial: Trial, around: int) -> pd.DataFrame:
    """The bars of a trade's symbol from its decision to its last exit, and so many before and after."""
    frame, exits = p.heard[trial.symbol], _exits(p, trial)
    first = frame.index.searchsorted(pd.Timestamp(trial.decision.ts)) - around
    last = frame.index.searchsorted(exits.exit_ts.max() if len(exits) else frame.index[-1]) + around
    return frame.iloc[max(0, first) : last]


def _day(of: str | None) -> datetime | None:
    try:
        return None if of is None else datetime.strptime(of, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _trials(events: Iterable[Event]) -> Iterable[Trial]:
    """Each trade that an order of ours opened, with its decision and all its orders."""
    state = State()
    decided: dict[str, tuple[State, Decision]] = {}
    asked: dict[str, tuple[datetime, OrderIntent]] = {}
    became: dict[str, OrderStatus] = {}
    fills: dict[str, list[Filled]] = {}
    opened: dict[str, tuple[str, State, Decision]] = {}
    whose: dict[str, str] = {}  # of an order: the trade during which it was asked for
    for event in events:
        before, state = state, advance(state, event)
        match event:
            case DecisionMade():
                decided |= dict.fromkeys(event.decision.targets, (before, event.decision))
            case OrderRequested():
                intent = event.intent
                asked[intent.client_id] = (event.ts, intent)
                trade = state.trades.get(intent.symbol)
                whose[intent.client_id] = trade.trade_id if trade else intent.client_id
                if trade is None and intent.symbol in decided:
                    opened[intent.client_id] = (intent.symbol, *decided[intent.symbol])
            case OrderChanged():
                became[event.client_id] = event.status
            case Filled():
                fills.setdefault(event.fill.client_id, []).append(event)
                became[event.fill.client_id] = OrderStatus.FILLED
    for name, (symbol, then, decision) in opened.items():
        if name in fills:
            verdict = next((v for v in decision.verdicts if v.symbol == symbol), None)
            names = [order for order, trade in whose.items() if trade == name]
            orders = tuple(_ordered(*asked[n], became.get(n, OrderStatus.PENDING), fills.get(n, ())) for n in names)
            yield Trial(name, symbol, then, decision, verdict, orders)


def _ordered(ts: datetime, intent: OrderIntent, status: OrderStatus, filled: Sequence[Filled]) -> Ordered:
    quantity = sum(float(f.fill.quantity) for f in filled)
    worth = sum(float(f.fill.quantity * f.fill.price) for f in filled)
    fee = sum(float(f.fill.fee) for f in filled)
    return Ordered(ts, intent, status, quantity, worth / quantity if quantity else None, fee)


def _cap(cap: float) -> str:
    return "∞" if cap == float("inf") else number(cap)


def _instant(us: int) -> datetime:
    return datetime.fromtimestamp(int(us) / 1_000_000, UTC)
