"""What the compiled engine works on: plain records of numbers, side by side.

Whole numbers are exact: prices in ticks, quantities in lots, and money in units of 10^-`digits` quote (`*_u`), chosen
so that every fee, wallet and open profit is a whole number of them. `*_f` is the float that the decimal in question is
nearest to, which is what the event loop reckons with wherever it reckons in floats. An absent number is `nan`, or -1.
"""

from collections import namedtuple
from typing import Any

import numpy as np

from qtlib.rules.limits import LARGEST_ORDER

NONE = -1
LARGEST = 4_000_000_000_000_000_000  # amount of money, in its units
WISHES = 24  # that one position may have in one round: every order that rests replaced, and some
ORDERS = 8  # of one position that may rest at once: three, and a replacement of each


OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
SCORE, CONFIDENCE, VOLATILITY = range(3)

# --- codes ------------------------------------------------------------------------------------------------

ENTRY, EXIT, STOP, TARGET, NET = 0, 1, 2, 3, 4

ACTIVE, REDUCING, HALTED = 0, 1, 2

STOP_LOSS, TAKE_PROFIT, TRAILING, PARTIAL, TIME_STOP, SIGNAL, LIQUIDATION, FLATTEN, END = range(9)

AI, CLAMPED, STATIC = 0, 1, 2

ONE_R, SEED_EXITS, STATIC_EXITS, LEARNED = 0, 1, 2, 3
SEED_SIZE, RISK_SIZE = 0, 1

# what became of a candidate, and by which rule: `books` has the words
HOLD, LEAVE, WARMING, UNUSABLE, HELD_WARMING, HELD_UNUSABLE, REDUCED, STOPPED, UNSURE, WEAK, COOLING = range(1, 12)
TARGET_TOO_CLOSE, STOP_TOO_CLOSE, NO_ROOM = range(12, 15)
ENTERED, TOO_SMALL, AT_POSITIONS, AT_FEES, AT_LIMIT = range(15, 20)
CAPS = (
    "",
    "notional_per_trade",
    "notional_per_symbol",
    "gross_exposure",
    "net_exposure",
    "cluster_exposure",
    "leverage",
    "positions",
    "daily_loss",
    "losing_streak",
    "fee_budget",
    "drawdown",
)
BINDS = (*CAPS, LARGEST_ORDER)  # whatever may have made a candidate smaller
POSITIONS_RULE, FEE_RULE, ORDER_RULE = (BINDS.index(rule) for rule in ("positions", "fee_budget", LARGEST_ORDER))

# why the compiled engine gave up, and the event loop has to decide
DONE, CLOSE_CALL, TOO_LARGE, NO_ROWS, NO_SLIPS, CROWDED = range(6)

# --- records ----------------------------------------------------------------------------------------------

i8, f8, b1 = np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.bool_)


def _record(**fields: Any) -> np.dtype[Any]:
    return np.dtype(list(fields.items()), align=True)


SETTINGS = _record(
    base_notional=f8,
    risk_frac=f8,
    threshold=f8,
    entry_slippage_frac=f8,
    sizing=i8,
    leverage=i8,  # of the rules: where liquidation is reckoned to lie
    exits=i8,
    tp_frac=f8,
    sl_frac=f8,
    trail_frac=f8,
    atr_multiple=f8,
    r_frac=f8,
    max_loss_r=f8,
    partial_frac=f8,
    time_stop_s=f8,
    net_r=f8,
    min_target_atr=f8,
    min_stop_atr=f8,
    learned_stop_atr_low=f8,
    learned_stop_atr_high=f8,
    learned_target_r_low=f8,
    learned_target_r_high=f8,
    min_cost_multiple=f8,
    ratchet_step_frac=f8,
    liquidation_margin_frac=f8,
    protect_timeout_s=f8,
    round_trip_frac=f8,
    source=i8,  # of levels that a profile made
    max_positions=i8,
    per_trade=f8,
    per_symbol=f8,
    gross=f8,
    net=f8,
    cluster=f8,
    loss_num=i8,
    loss_den=i8,
    fees_num=i8,
    fees_den=i8,
    max_leverage=f8,
    max_drawdown_frac=f8,
    losses_in_row=i8,
    order_errors=i8,
    cooldown_s=f8,
    slippage_frac=f8,
    noisy=b1,
    share_frac=f8,
    backing=i8,  # the leverage that positions are backed at
    short_margin_frac=f8,
    digits=i8,
    one=i8,  # quote, in units of money
    cent=i8,  # 10^-8 quote, in units of money
    compensated=b1,  # whether Python's sum() keeps account of what it rounds off
    marked=b1,
    told=b1,  # whether decisions and levels are written down
)

FACTS = _record(
    tick=f8,
    lot=f8,
    tick_num=f8,
    tick_den=f8,
    lot_num=f8,
    lot_den=f8,
    scale=f8,  # price units in one quote
    tick_units=i8,  # a tick, in price units
    value_u=i8,  # one lot by one price unit
    step_u=i8,  # one lot by one tick
    min_notional=f8,
    least=i8,  # lots times ticks of the smallest order
    max_lots=i8,
    max_market_lots=i8,
    most_lots=i8,  # what one order can enter, and one market order leave
    band_frac=f8,
    taker_num=i8,
    taker_den=i8,
    liq_num=i8,
    liq_den=i8,
    largest=f8,  # notional, by the brackets, at the leverage it is backed at
    brackets=i8,
    cluster=i8,
    room_long=f8,
    room_short=f8,
)

HELD = _record(
    lots=i8,  # signed
    entry=i8,  # ticks
    entry_f=f8,
    wallet_u=i8,
    opened=i8,  # bar
    number=i8,  # of the order that opened it
    best=f8,
    worst=f8,
    stop_frac=f8,
    target_frac=f8,
    trail_frac=f8,
    partial_frac=f8,
    breakeven_frac=f8,
    time_stop_s=f8,
    due=i8,  # the first bar that is as late as that
    net_frac=f8,
    trail_from_start=b1,
    source=i8,
    confidence=f8,
    taken=b1,
    funding_f=f8,  # received on what is open
    funding_u=i8,
    whole=b1,  # whether `funding_u` is all of it
    net_u=i8,
    naked=i8,  # when it was last left without a stop, in microseconds
    refused=i8,  # a bit for each role
    resting=i8,  # orders
    price=f8,  # valued at
    price_units=i8,
    entry_units=i8,
    lot_u=i8,  # what is held by one price unit
    pnl_u=i8,
    alarm_low=f8,  # between these a bar is quiet
    alarm_high=f8,
    step_low=f8,  # and beyond these a stop may step nearer
    step_high=f8,
    low=f8,  # between these no order is met
    high=f8,
    mark_low=f8,
    mark_high=f8,
    stale=b1,  # those have to be reckoned anew
    first_stop=i8,  # in ticks, as it was wished at the entry; 0: to be reckoned
    next_stop=i8,  # in ticks, where it belongs at the last close at which it was asked
    room=f8,  # the widest stop, as a fraction of entry; nan: to be reckoned anew
    hopeful=b1,  # nothing is missing if all that was asked for is granted
    steady=b1,  # nor since, but for a stop that could be nearer
    calm=b1,  # nothing is missing until something happens
    calm_low=f8,
    calm_high=f8,
    calm_best=f8,  # a price that brings its stop no nearer, unless it is better than this
    leaving=b1,  # wished gone
    standing=f8,  # what a wish that was granted in full counts as, signed, until the next bar closes
    standing_bar=i8,
    left=i8,  # when it was last closed, in microseconds
    short=b1,  # when the bar began
    wanted=f8,  # of its candidate
    limit=i8,
    wished=i8,  # lots, signed
    committed=f8,
    book=i8,  # not of the symbol: the first is the symbol of the position that was opened first, and so on, as the next
    there=i8,
    among=i8,  # by symbol
    ranked=i8,
    listed=i8,
    taken_bar=i8,  # whose volume was taken
    taken_volume=f8,
    fees_f=f8,  # of entry, carried
    paid_f=f8,  # funding, carried
    row=i8,  # its last row
    shown_stop=i8,  # levels as last written down
    shown_target=i8,
    shown_trade=i8,
)

RESTING = _record(role=i8, trigger=i8, level=f8, lots=i8, number=i8, bar=i8, reason=i8)

ACCOUNT = _record(
    cash_u=i8,
    backed_u=i8,  # of cash, behind positions
    equity_u=i8,
    peak_u=i8,
    safe_u=i8,  # equity above which no drawdown rule can speak
    day=i8,
    day_ends=i8,  # the first bar of the next
    day_equity_u=i8,
    day_fees_u=i8,
    loss_at_u=i8,
    fees_at_u=i8,
    losses=i8,
    lost_day=i8,
    errors=i8,
    status=i8,
    at_end=b1,  # of a halt: for want of data
    braked=i8,
    braked_down=f8,  # of a halt: how deep, and under what
    braked_peak_u=i8,
    braked_errors=i8,  # of what else made it stricter
    requests=i8,
    fills=i8,
    open=i8,
    accounts=i8,
    rows=i8,
    levels=i8,
    moves=i8,
    verdicts=i8,
    funded=i8,  # the first settlement to come
    naked_max=i8,
    max_open=i8,
    max_gross_u=i8,
    gross_u=i8,
    slippage_u=i8,
    asked=b1,  # whether any order named a price
    outcome=i8,
)

ROWS = _record(
    symbol=i8,
    trade_bar=i8,
    trade_number=i8,
    order=i8,
    long=b1,
    lots=i8,
    entry_value=i8,  # lots times ticks
    exit_value=i8,
    bar=i8,
    reason=i8,
    gross_u=i8,
    exit_fees_u=i8,
    fees_f=f8,
    funding_f=f8,
    stop=i8,
    target=i8,
    best=f8,
    worst=f8,
    stop_frac=f8,
    source=i8,
    confidence=f8,
)

ASKED = _record(symbol=i8, what=i8, ticks=i8, lots=i8, reason=i8, number=i8)  # of the venue, at one close
BRACKET = _record(cap=f8, maintenance_frac=f8, cum=f8)  # of notional, in quote
LEVELS = _record(bar=i8, symbol=i8, trade_bar=i8, trade_number=i8, stop=i8, target=i8)
ACCOUNTS = _record(bar=i8, cash_u=i8, gross_u=i8, open=i8)  # from the close of `bar` on
MOVES = _record(bar=i8, amount_u=i8)
VERDICTS = _record(bar=i8, symbol=i8, code=i8, rule=i8, wanted=f8, allowed=f8)


ARRAYS: dict[str, tuple[np.dtype[Any], int]] = {  # what each is made of, and its dimensions
    "settings": (SETTINGS, 1),  # one record, as `account`
    "account": (ACCOUNT, 1),
    "facts": (FACTS, 1),  # by symbol, as `held`
    "held": (HELD, 1),
    "orders": (RESTING, 2),  # (symbols, places)
    "brackets": (BRACKET, 2),  # (symbols, rows)
    "ladder": (f8, 2),  # (rungs, 2)
    "slips": (f8, 1),  # slippage of each fill, where it is noisy
    "times": (i8, 1),
    "bars": (f8, 3),  # (symbols, bars, 5)
    "marks": (f8, 3),  # (symbols, bars, 4); of no bars where last prices stand in
    "beliefs": (f8, 3),  # (3, symbols, bars)
    "own": (f8, 3),  # (3, symbols, bars): target, stop and trail that a signal brings along; of no bars where none does
    "usable": (np.dtype(np.int8), 2),  # (symbols, bars), int8; of no bars where all are
    "funding": (i8, 2),  # settlements by bar: (n, 4) of bar, symbol, mantissa, decimal places
    "coming": (
        i8,
        1,
    ),  # by symbol: the first bar ahead, as far as it is known, at which something is said
    "curve": (i8, 1),  # equity at each close, in units of money
    "accounts": (ACCOUNTS, 1),
    "codes": (np.dtype(np.int8), 2),  # (symbols, bars), int8: what became of each signal that was no candidate
    "rows": (ROWS, 1),
    "levels": (LEVELS, 1),
    "moves": (MOVES, 1),
    "verdicts": (VERDICTS, 1),
    "asked": (ASKED, 1),  # scratch
}
_named: Any = namedtuple  # whose types want its fields spelled out
World = _named("World", tuple(ARRAYS))  # all that there is; `at` finds its way from `where`

WHERE = _record(**{f"{name}_{part}": i8 for name, (_, n) in ARRAYS.items() for part in ("at", *map(str, range(n)))})


def where(world: Any) -> Any:
    """Where each array lies in memory, and how long it is each way: good for as long as `world` is held."""
    made: list[int] = []
    for array, (name, (kind, dimensions)) in zip(world, ARRAYS.items(), strict=True):
        if array.dtype != kind or array.ndim != dimensions or not array.flags.c_contiguous:
            raise TypeError(f"{name} must be a contiguous array of {kind} in {dimensions} dimensions")
        made += [array.__array_interface__["data"][0], *array.shape]
    return np.array(made, np.int64).view(WHERE)  # whose fields are in this order
