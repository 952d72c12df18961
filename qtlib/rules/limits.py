"""Risk limits. A rule answers one question: how large may this position be?

Every rule is a function `(candidate, book, state, limits) -> cap`, a non-negative notional in quote, `inf` where
it has no opinion. The tightest cap holds: so a limit can only shrink a target, order cannot matter, and a rule that
raises stops trading rather than letting an order through. Caps count what is held at its entry price, and every
reservation and order in flight at its worst.

To add a rule: write the function, add its number to `RiskLimits`, add it to `RULES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

from qtlib.domain.decisions import Target
from qtlib.domain.events import StatusSet, TradingStatus
from qtlib.domain.orders import OrderIntent, Role, Side
from qtlib.domain.state import State, strictness


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """The most that each rule allows: the tightest holds, and an exit is never asked."""

    max_positions: int = 4
    max_notional_per_trade: float = 200.0  # quote
    max_notional_per_symbol: float = 200.0  # quote
    max_gross_exposure: float = 800.0  # quote: sum of all positions at their entry prices
    max_net_exposure: float = 600.0  # quote: longs minus shorts, either way
    max_cluster_exposure: float = 600.0  # quote: sum over symbols that move together
    clusters: Mapping[str, str] = field(default_factory=dict)  # symbol -> name of its cluster; absent: its own
    max_daily_loss_frac: float = 0.03  # of the day's first equity: then nothing grows until the next day
    max_leverage: float = 5.0  # gross exposure / equity
    drawdown_ladder: tuple[tuple[float, float], ...] = (
        (0.05, 0.5),
        (0.10, 0.25),
    )  # from the peak -> share of the cap left
    max_drawdown_frac: float = 0.15  # of peak equity: then flat, and halted
    max_day_fees_frac: float = 0.01  # of the day's first equity: the fee budget
    max_losses_in_row: int = 10  # trades, net of all costs: then nothing grows until the next day
    max_order_errors: int = 5  # entries and exits refused or lost in a row: then nothing grows until a person looked
    cooldown_s: float = 300.0  # after a symbol was closed


LARGEST_ORDER = "largest_order"  # what binds where one market order, as a stop is, could not leave all that is wanted

Book = dict[str, float]  # what each symbol has committed, signed, in quote
Rule = Callable[[str, int, Book, State, RiskLimits], float]  # of a symbol, and the sign of what is wanted there


def committed(state: State) -> Book:
    """What is held, at entry prices, and all that may still be added to it: orders in flight, and wishes."""
    book = {symbol: _signed_cost(p.quantity, p.entry_price) for symbol, p in state.account.positions.items()}
    for order in state.orders.values():
        intent = order.intent
        grows = intent.role is Role.FOREIGN and not (intent.reduce_only or intent.close_position)
        if intent.role is Role.ENTRY or grows:
            price = _dearest(intent)
            worth = float(order.remaining * price) if price else inf
            book[intent.symbol] = book.get(intent.symbol, 0.0) + intent.side.sign * worth
    for target in state.targets.values():
        reserve(book, target)
    return book


def reserve(book: Book, target: Target) -> None:
    """Count `target` into `book`, if it is larger than what stands there."""
    if target.quantity and target.worst_price is not None:
        worth = _signed_cost(target.quantity, target.worst_price)
        if abs(worth) > abs(book.get(target.symbol, 0.0)):
            book[target.symbol] = worth


def notional_per_trade(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    return limits.max_notional_per_trade


def notional_per_symbol(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    return limits.max_notional_per_symbol


def gross_exposure(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    return max(limits.max_gross_exposure - _gross_of_others(symbol, book), 0.0)


def net_exposure(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    others = sum(worth for s, worth in book.items() if s != symbol)
    return max(limits.max_net_exposure - sign * others, 0.0)


def cluster_exposure(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    cluster = limits.clusters.get(symbol)
    if cluster is None:
        return inf
    others = sum(abs(worth) for s, worth in book.items() if s != symbol and limits.clusters.get(s) == cluster)
    return max(limits.max_cluster_exposure - others, 0.0)


def leverage(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    return max(limits.max_leverage * float(state.equity) - _gross_of_others(symbol, book), 0.0)


def positions(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    others = sum(1 for s in book if s != symbol)
    return inf if others < limits.max_positions else _held(symbol, state)


def daily_loss(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    lost = state.day_equity - state.equity
    return _held(symbol, state) if lost >= state.day_equity * _exact(limits.max_daily_loss_frac) else inf


def losing_streak(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    """One loss more ends the next day, too, until a trade is won."""
    stopped = state.losses_in_row >= limits.max_losses_in_row and state.lost.date() == state.ts.date()
    return _held(symbol, state) if stopped else inf


def fee_budget(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    spent = state.day_fees >= state.day_equity * _exact(limits.max_day_fees_frac)
    return _held(symbol, state) if spent else inf


def drawdown(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> float:
    """The ladder: the deeper under the peak, the smaller a new position; what is held may stay."""
    down = drawdown_frac(state)
    shares = [share for rung, share in limits.drawdown_ladder if down >= rung]
    return max(min(shares) * limits.max_notional_per_trade, _held(symbol, state)) if shares else inf


RULES: tuple[Rule, ...] = (
    notional_per_trade,
    notional_per_symbol,
    gross_exposure,
    net_exposure,
    cluster_exposure,
    leverage,
    positions,
    daily_loss,
    losing_streak,
    fee_budget,
    drawdown,
)


def cap(symbol: str, sign: int, book: Book, state: State, limits: RiskLimits) -> tuple[float, str]:
    """The tightest cap on a position in `symbol`, in quote, and the name of the rule that set it."""
    tightest, name = inf, ""
    for rule in RULES:
        allowed = rule(symbol, sign, book, state, limits)
        if allowed < tightest:
            tightest, name = allowed, rule.__name__
    return tightest, name


def guard(state: State, limits: RiskLimits) -> StatusSet | None:
    """What too deep a drawdown, or one refused order after the other, demands; None if that is in force already."""
    down, errors = drawdown_frac(state), state.order_errors
    if down >= limits.max_drawdown_frac and state.status is not TradingStatus.HALTED:
        at = f"drawdown {down:.1%} of peak equity {state.peak_equity:.2f}"
        return StatusSet(state.ts, TradingStatus.HALTED, f"{at} reached the limit {limits.max_drawdown_frac:.1%}")
    in_force = state.brake.strictness if state.brake else 0
    if errors >= limits.max_order_errors and in_force < strictness(TradingStatus.REDUCING):
        return StatusSet(state.ts, TradingStatus.REDUCING, f"{errors} entries and exits in a row were refused or lost")
    return None


def _dearest(intent: OrderIntent) -> Decimal | None:
    """The price at which `intent` commits the most. A short sold well is the larger for it: it is counted as far above
    the price it was asked at as its limit lies below."""
    price = intent.price or intent.trigger or intent.expected
    if price and intent.side is Side.SELL and intent.expected:
        return max(price, 2 * intent.expected - price)
    return price


def drawdown_frac(state: State) -> float:
    """How far equity is under its peak, as a fraction of the peak."""
    return 1.0 - float(state.equity) / float(state.peak_equity) if state.peak_equity > 0 else 0.0


def _held(symbol: str, state: State) -> float:
    position = state.account.positions.get(symbol)
    return float(position.cost) if position else 0.0


def _gross_of_others(symbol: str, book: Book) -> float:
    return sum(abs(worth) for s, worth in book.items() if s != symbol)


def _signed_cost(quantity: Decimal, price: Decimal) -> float:
    return float(quantity * price)


def _exact(fraction: float) -> Decimal:
    return Decimal(repr(fraction))
