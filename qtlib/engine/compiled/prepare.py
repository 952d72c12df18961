"""From a market, beliefs and rules as values to the arrays of `shapes`; or the words why the event loop has to run."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from math import inf, isfinite, nan
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.domain.market import Instrument
from qtlib.domain.panel import Beliefs, Panel
from qtlib.engine.compiled import shapes
from qtlib.engine.compiled.known import EXITS, SIZES, Undecided, insist
from qtlib.engine.feeds import OHLCV, History, micros
from qtlib.exchanges.simulated.conduct import Conduct
from qtlib.exchanges.simulated.margin import float_brackets
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import ExitParams, stop_room_frac

Array = npt.NDArray[np.float64]

FINEST = 10  # decimal places of a price
LONGEST = 1e15  # a price, in its smallest units
MOST_DIGITS = 12  # of an amount of money
_OF_EXITS = [f.name for f in fields(ExitParams) if f.name in set(shapes.SETTINGS.names or ())]


class Room(NamedTuple):
    """How much may be written down."""

    rows: int  # memory that is not written to is not taken
    slips: int


@dataclass(frozen=True, eq=False)
class Tape:
    """A market side by side: a row a symbol, a column a close; NaN where a symbol has no bar."""

    symbols: tuple[str, ...]
    times: npt.NDArray[np.int64]  # microseconds since 1970, UTC
    bars: Array  # (symbols, bars, 5): open, high, low, close, volume
    marks: Array | None  # (symbols, bars, 4): open, high, low, close; None: no symbol has any
    usable: npt.NDArray[np.int8] | None
    funding: npt.NDArray[np.int64]  # (settlements, 4): bar, symbol, mantissa and decimal places of the rate

    @cached_property
    def lowest(self) -> float:
        """The lowest price, in quote."""
        return min((lowest for _, _, lowest in self._looked_over), default=inf)

    @cached_property
    def grids(self) -> tuple[tuple[int, float], ...]:
        """By symbol, the fewest decimal places that every price it is valued at has room in, and the highest price."""
        return tuple((places, highest) for places, highest, _ in self._looked_over)

    @cached_property
    def _looked_over(self) -> list[tuple[int, float, float]]:
        # a cold start: numba takes a second, and whoever only asks what is known does not need it
        from qtlib.engine.compiled.grid import looked_over  # noqa: PLC0415

        seen = [looked_over(bars, FINEST) for bars in self.bars]
        if self.marks is not None:
            marked = [looked_over(marks, FINEST) for marks in self.marks]
            seen = [(max(a[0], b[0]), max(a[1], b[1]), a[2]) for a, b in zip(seen, marked, strict=True)]
        return seen


@dataclass(frozen=True, eq=False)
class Wishes:
    """Beliefs of the same shape."""

    columns: Array  # (3, symbols, bars): score, confidence, volatility as a fraction of price
    own: Array  # (3, symbols, bars): target, stop and trail that it proposes itself, as fractions; or of no bars
    version: str = ""  # of the model; empty: a rule of thumb


def tape(history: History, panel: Panel) -> Tape:
    """`history`, whose bars `panel` has."""
    if history.finer is not None:
        raise Undecided("bars are lived through in finer ones")
    symbols, times = panel.symbols, panel.times
    bars = np.stack([panel.open, panel.high, panel.low, panel.close, panel.volume], axis=-1)
    if sum(map(len, history.bars.values())) * len(OHLCV) != np.isfinite(bars).sum():
        raise Undecided("a bar lacks a number")
    usable = None
    if any(not fit.all() for fit in history.usable.values()):
        usable = np.ones((len(symbols), len(times)), np.int8)
        for row, s in enumerate(symbols):
            if (fit := history.usable.get(s)) is not None:
                usable[row, np.searchsorted(times, micros(history.bars[s].index))] = fit.to_numpy(dtype=bool)
    return Tape(symbols, times, bars, _marks(history, panel), usable, _settlements(history.funding, symbols, times))


def wishes(beliefs: Beliefs, on: Tape, first: int = 0) -> Wishes:
    """What is believed of the bars of `on` from the `first` on, and nothing of others. Exits in doubt are none."""
    columns = _placed(np.stack([beliefs.score, beliefs.confidence, beliefs.volatility_frac]), on, first)
    own = np.zeros((3, len(on.symbols), 0))
    proposed = (beliefs.take_profit_frac, beliefs.stop_frac, beliefs.trail_frac)
    if all(column is not None for column in proposed):
        own = np.stack(proposed)  # type: ignore[arg-type]  # none is None
        if beliefs.doubt is not None:
            own = np.where(beliefs.doubt > 0, nan, own)
        own = _placed(own, on, first)
    return Wishes(columns, own, beliefs.version)


def world(on: Tape, wished: Wishes, rules: Rules, conduct: Conduct, cash: Decimal, told: bool, room: Room) -> Any:
    """Everything that a run needs, and room for what it writes down; or `Undecided`."""
    insist(on.symbols, rules, conduct)
    if on.lowest <= 0:
        raise Undecided("a price is not above zero")
    listed = [rules.instruments[s] for s in on.symbols]
    places = [_places(*each) for each in zip(listed, on.grids, strict=True)]
    digits = max(8, *(p + _split(i.lot)[1] for p, i in zip(places, listed, strict=True)))
    if digits > MOST_DIGITS:
        raise Undecided(f"money would have {digits} decimal places, and {MOST_DIGITS} are exact")
    one = 10**digits
    limits = rules.limits
    if 2 * one * min(limits.max_notional_per_trade, limits.max_notional_per_symbol) > shapes.LARGEST:
        raise Undecided(f"a position of {limits.max_notional_per_trade:g} would be too large to be exact")
    account = _records(1, shapes.ACCOUNT)
    start = cash * one
    if start != int(start) or abs(start) > shapes.LARGEST // 4:
        raise Undecided(f"a balance of {cash} is not whole in units of 10^-{digits}, or too large")
    _begin(account, int(start), cash, rules.limits)
    held = _records(len(listed), shapes.HELD)
    for name in ("naked", "left", "row", "shown_trade", "taken_bar"):
        held[name] = shapes.NONE - 1 if name == "taken_bar" else shapes.NONE
    held["stale"], held["committed"] = True, nan
    clusters = {name: k for k, name in enumerate(dict.fromkeys(rules.limits.clusters.values()))}
    facts = [_described(*each, digits, rules, conduct, clusters) for each in zip(listed, places, strict=True)]
    count = len(on.times)
    return shapes.World(
        _settings(rules, conduct, digits, on.marks is not None, told, bool(wished.version)),
        account,
        _filled(shapes.FACTS, facts),
        held,
        _records((len(listed), shapes.ORDERS), shapes.RESTING),
        _brackets(listed),
        np.array(rules.limits.drawdown_ladder, dtype=float).reshape(-1, 2),
        _slips(conduct, room.slips),
        on.times,
        on.bars,
        np.zeros((len(listed), 0, 4)) if on.marks is None else on.marks,
        wished.columns,
        wished.own,
        np.zeros((len(listed), 0), np.int8) if on.usable is None else on.usable,
        on.funding,
        np.full(len(listed), shapes.NONE, np.int64),
        np.empty(count, np.int64),
        _unwritten(count + 1, shapes.ACCOUNTS),
        np.zeros((len(listed), count if told else 0), np.int8),
        _unwritten(room.rows, shapes.ROWS),
        _unwritten(room.rows * 4 if told else 0, shapes.LEVELS),
        _unwritten(room.rows, shapes.MOVES),
        _unwritten(count * len(listed) if told else 0, shapes.VERDICTS),
        _records(len(listed) * shapes.WISHES, shapes.ASKED),
    )


# --- below ------------------------------------------------------------------------------------------------


def _placed(told: Array, on: Tape, first: int) -> Array:
    """`told` of bars from the `first` on, among all bars of `on`."""
    if told.shape[-1] == len(on.times):
        return told
    out = np.full((*told.shape[:-1], len(on.times)), nan)
    out[..., first : first + told.shape[-1]] = told
    return out


def _records(shape: int | tuple[int, int], kind: Any) -> Any:
    return np.zeros(shape, kind)


def _unwritten(count: int, kind: Any) -> Any:
    return np.empty(count, kind)


def _begin(account: Any, cash_u: int, cash: Decimal, limits: RiskLimits) -> None:
    a = account[0]
    a["cash_u"] = a["equity_u"] = a["peak_u"] = a["day_equity_u"] = cash_u
    a["safe_u"] = int(cash_u * (1.0 - limits.max_drawdown_frac * (1.0 - 1e-9))) + 1
    a["naked_max"], a["lost_day"] = -1, -1


def _settings(rules: Rules, conduct: Conduct, digits: int, marked: bool, told: bool, model: bool) -> Any:
    sizing, exits, limits = rules.sizing, rules.exits, rules.limits
    loss, fees = _fraction(limits.max_daily_loss_frac), _fraction(limits.max_day_fees_frac)
    values = {
        "base_notional": sizing.base_notional,
        "risk_frac": sizing.risk_frac,
        "threshold": sizing.confidence_threshold,
        "entry_slippage_frac": sizing.entry_slippage_frac,
        "sizing": SIZES[sizing.profile],
        "leverage": sizing.leverage,
        "exits": EXITS[exits.profile],
        "round_trip_frac": rules.costs.round_trip_frac,
        "source": shapes.AI if model else shapes.STATIC,
        "max_positions": limits.max_positions,
        "per_trade": limits.max_notional_per_trade,
        "per_symbol": limits.max_notional_per_symbol,
        "gross": limits.max_gross_exposure,
        "net": limits.max_net_exposure,
        "cluster": limits.max_cluster_exposure,
        "loss_num": loss.numerator,
        "loss_den": loss.denominator,
        "fees_num": fees.numerator,
        "fees_den": fees.denominator,
        "max_leverage": limits.max_leverage,
        "max_drawdown_frac": limits.max_drawdown_frac,
        "losses_in_row": limits.max_losses_in_row,
        "order_errors": limits.max_order_errors,
        "cooldown_s": limits.cooldown_s,
        "slippage_frac": conduct.slippage_frac,
        "noisy": conduct.slippage_noise_frac > 0,
        "share_frac": conduct.max_volume_share_frac,
        "backing": conduct.leverage,
        "short_margin_frac": conduct.short_margin_frac,
        "digits": digits,
        "one": 10**digits,
        "cent": 10 ** (digits - 8),
        "compensated": sys.version_info >= (3, 12),
        "marked": marked,
        "told": told,
    }
    values |= {name: getattr(exits, name) for name in _OF_EXITS}
    return _filled(shapes.SETTINGS, [values])


def _described(
    i: Instrument, places: int, digits: int, rules: Rules, conduct: Conduct, clusters: Mapping[str, int]
) -> Mapping[str, Any]:
    (tick, tick_places), (lot, lot_places) = _split(i.tick), _split(i.lot)
    tick_units = tick * 10 ** (places - tick_places)
    value_u = lot * 10 ** (digits - places - lot_places)
    if value_u * tick_units % 10 ** (digits - 8):
        raise Undecided(f"{i.symbol} counts in finer amounts than 10^-8")
    taker, liquidation = Fraction(i.taker_fee_frac), Fraction(i.liquidation_fee_frac)
    if max(taker.numerator, liquidation.numerator) > 10_000:
        raise Undecided(f"the fees of {i.symbol} have too many digits")
    step = i.tick * i.lot
    capped = [float(b.notional_cap) for b in i.brackets if b.max_leverage >= conduct.leverage]
    return {
        "tick": float(i.tick),
        "lot": float(i.lot),
        "tick_num": tick,
        "tick_den": 10**tick_places,
        "lot_num": lot,
        "lot_den": 10**lot_places,
        "scale": 10**places,
        "tick_units": tick_units,
        "value_u": value_u,
        "step_u": value_u * tick_units,
        "min_notional": float(i.min_notional),
        "least": -int(-Fraction(i.min_notional) // Fraction(step)),
        "max_lots": int(i.max_quantity // i.lot),
        "max_market_lots": int(i.max_market_quantity // i.lot),
        "most_lots": int(i.largest // i.lot),
        "band_frac": float(i.price_band_frac),
        "taker_num": taker.numerator,
        "taker_den": taker.denominator,
        "liq_num": liquidation.numerator,
        "liq_den": liquidation.denominator,
        "largest": max(capped, default=0.0),
        "brackets": len(i.brackets),
        "cluster": clusters.get(rules.limits.clusters.get(i.symbol, ""), shapes.NONE),
        "room_long": stop_room_frac(1, i.brackets[0], 1.0 / rules.sizing.leverage, rules.exits),
        "room_short": stop_room_frac(-1, i.brackets[0], 1.0 / rules.sizing.leverage, rules.exits),
    }


def _filled(kind: Any, records: Sequence[Mapping[str, Any]]) -> Any:
    for values in records:
        if values.keys() != set(kind.names):
            raise TypeError(f"not said, or of no use: {', '.join(sorted(values.keys() ^ set(kind.names)))}")
    return np.array([tuple(map(values.__getitem__, kind.names)) for values in records], kind)


def _brackets(listed: Sequence[Instrument]) -> Array:
    rows = [float_brackets(instrument) for instrument in listed]
    most = max(map(len, rows))
    return np.array([[*r, *[r[-1]] * (most - len(r))] for r in rows], shapes.BRACKET)


def _places(instrument: Instrument, grid: tuple[int, float]) -> int:
    """The decimal places that prices are counted in."""
    places = max(grid[0], _split(instrument.tick)[1])
    if places > FINEST or grid[1] * 10.0**places >= LONGEST:
        raise Undecided(f"{instrument.symbol} has prices of more than {FINEST} decimal places, or of too many digits")
    return places


@lru_cache(maxsize=256)
def _split(step: Decimal) -> tuple[int, int]:
    """A step as a whole number of 10^-places."""
    fraction, places = Fraction(step), max(0, -int(step.normalize().as_tuple().exponent))
    return int(fraction * 10**places), places


@lru_cache(maxsize=64)
def _fraction(frac: float) -> Fraction:
    if not isfinite(frac):
        raise Undecided(f"a limit of {frac} is no number")
    exact = Fraction(Decimal(repr(frac)))
    if exact.denominator > 10**9 or exact.numerator > 10**9:
        raise Undecided(f"a limit of {frac} has too many digits")
    return exact


def _slips(conduct: Conduct, count: int) -> Array:
    """At least `count` of them: as many as any run of this conduct has asked for."""
    if not conduct.slippage_noise_frac:
        return np.zeros(0)
    drawn = _drawn(conduct)
    there = len(drawn[-1])
    if there < count:
        drawn[:] = [np.append(drawn[-1], [conduct.slippage_of(number) for number in range(there, count)])]
    return drawn[-1]


@lru_cache(maxsize=4)  # the same for every trial of a sweep, and by far the dearest part of a short one
def _drawn(conduct: Conduct) -> list[Array]:
    return [np.zeros(0)]


def _settlements(
    funding: "Mapping[str, pd.Series[float]]", symbols: Sequence[str], times: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Rates by the bar at whose close they are settled: the first one not before them. Several in one bar add up."""
    rates: dict[tuple[int, int], float] = {}
    for s, series in funding.items():
        if s not in symbols:
            continue
        places = np.searchsorted(times, micros(series.index))
        for place, rate in zip(places.tolist(), series.to_numpy(dtype=float).tolist(), strict=True):
            if place < len(times):
                key = (place, symbols.index(s))
                rates[key] = rates.get(key, 0.0) + rate
    rows = [(place, s, *_decimal(rate)) for (place, s), rate in sorted(rates.items()) if rate]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _decimal(rate: float) -> tuple[int, int]:
    sign, digits, exponent = Decimal(repr(rate)).as_tuple()
    mantissa = int("".join(map(str, digits)))
    return -mantissa if sign else mantissa, -int(exponent)


def _marks(history: History, panel: Panel) -> Array | None:
    if not any(len(frame) for frame in history.marks.values()):
        return None
    made = np.full((len(panel.symbols), len(panel.times), 4), nan)
    for row, s in enumerate(panel.symbols):
        frame = history.marks.get(s)
        if frame is not None and len(frame):
            index = micros(frame.index)
            known = np.isin(index, micros(history.bars[s].index))
            made[row, np.searchsorted(panel.times, index[known])] = frame[OHLCV[:4]].to_numpy(dtype=float)[known]
    return made
