"""The tables of a run of the compiled engine: what `report.tables` makes of a journal, made of arrays."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from qtlib.domain.account import Account, Position
from qtlib.domain.decisions import Choice, Reason
from qtlib.domain.events import END_OF_DATA, START, TradingStatus
from qtlib.domain.naming import all_named, named
from qtlib.domain.orders import ZERO, ExitPlan, ExitReason, ExitSource, Role
from qtlib.domain.state import State, Trade
from qtlib.engine import compiled
from qtlib.engine.compiled import shapes
from qtlib.report.columns import DECISIONS, EQUITY, LEVELS, TIME, TRADES, Carried, Summary, Tables
from qtlib.rules.rules import Rules
from qtlib.runs.curve import curve

Array = npt.NDArray[Any]


def tables(lived: compiled.Lived, rules: Rules) -> Tables:
    """What `lived` adds up to, as a journal of the same run would."""
    return _Columns(lived, rules).tables()


class _Columns:
    def __init__(self, lived: compiled.Lived, rules: Rules) -> None:
        self.w, self.rules = lived.world, rules
        self.symbols, self.cash, self.version = lived.symbols, lived.cash, lived.version
        self.first, self.end = lived.first, lived.end
        self.one = float(self.w.settings[0]["one"])
        self.account = self.w.account[0]
        self.listed = [rules.instruments[s] for s in lived.symbols]
        self.tick = np.array([float(i.tick) for i in self.listed])
        self.facts = self.w.facts
        self.times = self.w.times
        self.curve = self.w.curve[lived.first : lived.end]

    def tables(self) -> Tables:
        rows = self.w.rows[: self.account["rows"]]
        if (np.diff(rows["bar"]) < 0).any():
            rows = rows[np.argsort(rows["bar"], kind="stable")]
        return Tables(
            trades=self._trades(rows),
            equity=self._equity(),
            decisions=self._decisions(),
            levels=self._levels(),
            summary=self._summary(rows),
            carried=self._carried(),
            state=self._state(),
        )

    # --- trades -------------------------------------------------------------------------------------------

    def _trades(self, rows: Array) -> pd.DataFrame:
        s = rows["symbol"]
        lots, entry = rows["lots"], self._price(s, rows["entry_value"] / rows["lots"])
        exit_price = self._price(s, rows["exit_value"] / rows["lots"])
        quantity = lots * self.facts["lot_num"][s] / self.facts["lot_den"][s]
        value = rows["entry_value"] * self.facts["step_u"][s] / self.one
        fees = rows["exit_fees_u"] / self.one + rows["fees_f"]
        pnl = rows["gross_u"] / self.one - fees + rows["funding_f"]
        sign = np.where(rows["long"], 1.0, -1.0)
        seen = [sign * (price - entry) / entry for price in (rows["best"], rows["worst"], entry, exit_price)]
        names = {
            "trade_id": _text(self._names(s, rows["trade_bar"], rows["trade_number"])),
            "symbol": _words(self.symbols, s),
            "side": _words(("short", "long"), rows["long"].astype(np.int64)),
            "quantity": quantity,
            "entry_ts": self._at(rows["trade_bar"]),
            "entry_price": entry,
            "exit_ts": self._at(rows["bar"]),
            "exit_price": exit_price,
            "exit_reason": _words([r.value for r in _REASONS], rows["reason"]),
            "fees_quote": fees,
            "funding_quote": rows["funding_f"],
            "pnl_quote": pnl,
            "pnl_frac": pnl / value,
            "r_multiple": pnl / (value * rows["stop_frac"]),
            "mae_frac": np.minimum.reduce(seen),
            "mfe_frac": np.maximum.reduce(seen),
            "confidence": rows["confidence"],
            "model_version": _words([self.version], np.zeros(len(rows), np.int64)),
            "exits_source": _words([source.value for source in _SOURCES], rows["source"]),
            "stop_price": self._price(s, rows["stop"], absent=True),
            "take_profit_price": self._price(s, rows["target"], absent=True),
        }
        return _frame(names, TRADES)

    def _price(self, s: Array, ticks: Array, absent: bool = False) -> Array:
        price = ticks * self.facts["tick_num"][s] / self.facts["tick_den"][s]
        return np.where(ticks == 0, np.nan, price) if absent else price

    def _at(self, bars: Array | slice) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.times[bars], dtype=TIME, copy=False)

    def _names(self, s: Array, bars: Array, numbers: Array) -> Any:
        names = all_named(self.symbols, Role.ENTRY, s, self.times[bars] // 60_000_000, numbers)
        return pa.array(names).cast(pa.large_string())

    def _name(self, s: int, bar: int, number: int) -> str:
        return named(self.symbols[s], Role.ENTRY, int(self.times[bar]) // 60_000_000, int(number))

    # --- equity -------------------------------------------------------------------------------------------

    def _equity(self) -> pd.DataFrame:
        rows, moves = self.w.accounts[: self.account["accounts"]], self.w.moves[: self.account["moves"]]
        start = int(self.cash * int(self.one))
        equity, cash, drawdown, gross, count = curve(self.curve, rows, moves, self.first, self.one, start)
        columns = {
            "ts": self._at(slice(self.first, self.end)),
            "equity_quote": equity,
            "cash_quote": cash,
            "drawdown_frac": drawdown,
            "gross_exposure_quote": gross,
            "open_positions": count,
        }
        return _frame(columns, EQUITY)

    # --- decisions ----------------------------------------------------------------------------------------

    def _decisions(self) -> pd.DataFrame:
        """Those that were judged without asking a limit come first at each close, by symbol; then by rank."""
        codes, verdicts = self.w.codes[:, : self.end].T, self.w.verdicts[: self.account["verdicts"]]
        bar, s = np.nonzero(codes)
        code = codes[bar, s].astype(np.int64)
        bar, s = np.concatenate([bar, verdicts["bar"]]), np.concatenate([s, verdicts["symbol"]])
        order = np.argsort(bar, kind="stable")
        zero = np.zeros(len(code))
        bar, s = bar[order], s[order]
        code = np.concatenate([code, verdicts["code"]])[order]
        rule = np.concatenate([zero.astype(np.int64), verdicts["rule"]])[order]
        score, confidence, volatility = self.w.beliefs[:, s, bar]
        told = ~np.isnan(score + confidence + volatility)
        words = [_WORDS.get(c, _WORDS[shapes.HOLD]) for c in range(max(_WORDS) + 1)]
        said = [w[2] for w in words]
        columns = {
            "ts": self._at(bar),
            "symbol": _words(self.symbols, s),
            "action": _words([w[0].value for w in words], code),
            "reason": _words([w[1].value for w in words], code),
            "rule": _words([*said, *shapes.BINDS], np.where(rule > 0, rule + len(said), code)),
            "wanted_notional_quote": np.concatenate([zero, verdicts["wanted"]])[order],
            "allowed_notional_quote": np.concatenate([zero, verdicts["allowed"]])[order],
            "confidence": np.where(told, confidence, 0.0),
            "score": np.where(told, score, 0.0),
        }
        return _frame(columns, DECISIONS)

    def _levels(self) -> pd.DataFrame:
        levels = self.w.levels[: self.account["levels"]]
        s = levels["symbol"]
        gone = levels["trade_number"] == shapes.NONE
        names = self._names(s, np.where(gone, 0, levels["trade_bar"]), np.where(gone, 0, levels["trade_number"]))
        columns = {
            "ts": self._at(levels["bar"]),
            "symbol": _words(self.symbols, s),
            "trade_id": _text(pc.if_else(pa.array(gone), "", names)),
            "stop_price": self._price(s, levels["stop"], absent=True),
            "take_profit_price": self._price(s, levels["target"], absent=True),
        }
        return _frame(columns, LEVELS)

    # --- the sums -----------------------------------------------------------------------------------------

    def _summary(self, rows: Array) -> Summary:
        a = self.account
        open_pnl = sum(
            (
                self._money(h["lots"] * (h["price_units"] - h["entry"] * f["tick_units"]) * f["value_u"])
                for h, f in self._open()
            ),
            ZERO,
        )
        carried = self._carried().values()
        naked = [self.times[self.end - 1] - h["naked"] for h, _ in self._open() if h["naked"] != shapes.NONE]
        return Summary(
            start_equity=self.cash,
            final_equity=self._money(a["equity_u"]),
            open_pnl=open_pnl + sum((c.funding - c.fees for c in carried), ZERO),
            gross_pnl=self._money(rows["gross_u"].sum()),
            fees=self._money(rows["exit_fees_u"].sum()) + _decimal(rows["fees_f"].sum()),
            funding=_decimal(rows["funding_f"].sum()),
            moves=tuple(
                (_moment(int(self.times[m["bar"]])), self._money(m["amount_u"])) for m in self.w.moves[: a["moves"]]
            ),
            slippage=self._money(a["slippage_u"]) if a["asked"] else None,
            naked_seconds_max=None if a["naked_max"] < 0 else float(max([a["naked_max"], *naked])) / 1e6,
            max_open_positions=int(a["max_open"]),
            max_gross_exposure=self._money(a["max_gross_u"]),
        )

    def _money(self, units: Any) -> Decimal:
        return Decimal(int(units)).scaleb(-int(self.w.settings[0]["digits"]))

    def _open(self) -> list[tuple[Any, Any]]:
        return [(h, f) for h, f in zip(self.w.held, self.facts, strict=True) if h["lots"]]

    def _carried(self) -> dict[str, Carried]:
        open_ = [(s, h) for s, h in zip(self.symbols, self.w.held, strict=True) if h["lots"]]
        return {s: Carried(_decimal(h["fees_f"]), _decimal(h["paid_f"])) for s, h in open_}

    def _state(self) -> State:
        """What the report asks of it: the account, the open trades, prices and status."""
        a, positions, trades, prices = self.account, {}, {}, {}
        last = _moment(int(self.times[self.end - 1])) if self.end > self.first else START
        order = [int(s) for s in self.w.held["book"][: a["open"]]]
        for s in order:
            h, i, symbol = self.w.held[s], self.listed[s], self.symbols[s]
            positions[symbol] = Position(symbol, int(h["lots"]) * i.lot, int(h["entry"]) * i.tick)
            prices[symbol] = float(h["price"])
            trades[symbol] = self._trade(s, h)
        status = _STATUSES[a["status"]]
        cause = ""
        if status is not TradingStatus.ACTIVE:
            cause = END_OF_DATA if a["at_end"] else self._cause(status)
        return State(
            account=Account(self._money(a["cash_u"]), positions),
            trades=trades,
            prices=prices,
            requests=int(a["requests"]),
            ts=last,
            decided=last,
            peak_equity=self._money(a["peak_u"]),
            day_equity=self._money(a["day_equity_u"]),
            day_fees=self._money(a["day_fees_u"]),
            losses_in_row=int(a["losses"]),
            order_errors=int(a["errors"]),
            status=status,
            cause=cause,
        )

    def _cause(self, status: TradingStatus) -> str:
        a, limits = self.account, self.rules.limits
        if status is TradingStatus.REDUCING:
            return f"{int(a['braked_errors'])} entries and exits in a row were refused or lost"
        at = f"drawdown {a['braked_down']:.1%} of peak equity {self._money(a['braked_peak_u']):.2f}"
        return f"{at} reached the limit {limits.max_drawdown_frac:.1%}"

    def _trade(self, s: int, h: Any) -> Trade:
        def given(value: float) -> float | None:
            return None if np.isnan(value) else float(value)

        profile = self.rules.exits.profile
        plan = ExitPlan(
            float(h["stop_frac"]),
            float(h["target_frac"]),
            given(h["trail_frac"]),
            float(h["partial_frac"]),
            bool(h["trail_from_start"]),
            given(h["breakeven_frac"]),
            given(h["time_stop_s"]),
            given(h["net_frac"]),
            profile,
            _SOURCES[h["source"]],
        )
        return Trade(
            trade_id=self._name(s, int(h["opened"]), int(h["number"])),
            symbol=self.symbols[s],
            opened=_moment(int(self.times[h["opened"]])),
            best=float(h["best"]),
            worst=float(h["worst"]),
            exits=plan,
            confidence=float(h["confidence"]),
            model_version=self.version,
            partial_taken=bool(h["taken"]),
            funding=_decimal(h["funding_f"]),
            net=self._money(h["net_u"]),
            naked_since=None if h["naked"] == shapes.NONE else _moment(int(h["naked"])),
        )


_STATUSES = (TradingStatus.ACTIVE, TradingStatus.REDUCING, TradingStatus.HALTED)  # as codes, as the next two
_SOURCES = (ExitSource.AI, ExitSource.CLAMPED, ExitSource.STATIC)
_REASONS = (
    ExitReason.STOP_LOSS,
    ExitReason.TAKE_PROFIT,
    ExitReason.TRAILING,
    ExitReason.PARTIAL,
    ExitReason.TIME_STOP,
    ExitReason.SIGNAL,
    ExitReason.LIQUIDATION,
    ExitReason.FLATTEN,
    ExitReason.END,
)
_WORDS: dict[int, tuple[Choice, Reason, str]] = {
    shapes.HOLD: (Choice.HOLD, Reason.NONE, ""),
    shapes.LEAVE: (Choice.EXIT, Reason.NONE, ""),
    shapes.WARMING: (Choice.REFUSED, Reason.NO_SIGNAL, "warming up"),
    shapes.UNUSABLE: (Choice.REFUSED, Reason.NO_SIGNAL, "bars not usable"),
    shapes.HELD_WARMING: (Choice.HOLD, Reason.NO_SIGNAL, "warming up"),
    shapes.HELD_UNUSABLE: (Choice.HOLD, Reason.NO_SIGNAL, "bars not usable"),
    shapes.REDUCED: (Choice.REFUSED, Reason.STATUS, TradingStatus.REDUCING.value),
    shapes.STOPPED: (Choice.REFUSED, Reason.STATUS, TradingStatus.HALTED.value),
    shapes.UNSURE: (Choice.REFUSED, Reason.LOW_CONFIDENCE, ""),
    shapes.WEAK: (Choice.REFUSED, Reason.WEAK_SCORE, ""),
    shapes.COOLING: (Choice.REFUSED, Reason.COOLDOWN, ""),
    shapes.TARGET_TOO_CLOSE: (Choice.REFUSED, Reason.TARGET_TOO_CLOSE, ""),
    shapes.STOP_TOO_CLOSE: (Choice.REFUSED, Reason.STOP_TOO_CLOSE, ""),
    shapes.NO_ROOM: (Choice.REFUSED, Reason.LIQUIDATION, ""),
    shapes.ENTERED: (Choice.ENTER, Reason.NONE, ""),
    shapes.TOO_SMALL: (Choice.REFUSED, Reason.TOO_SMALL, ""),
    shapes.AT_POSITIONS: (Choice.REFUSED, Reason.POSITION_LIMIT, ""),
    shapes.AT_FEES: (Choice.REFUSED, Reason.FEE_BUDGET, ""),
    shapes.AT_LIMIT: (Choice.REFUSED, Reason.LIMIT, ""),
}


def _frame(columns: dict[str, Any], types: dict[str, str]) -> pd.DataFrame:
    made = {
        name: columns[name] if kind in ("str", TIME) else np.asarray(columns[name], kind)
        for name, kind in types.items()
    }
    return pd.DataFrame(made, copy=False)


def _words(words: Sequence[str], codes: Array) -> Any:
    """The word of each code, as a column of text."""
    return _text(pa.array(words, pa.large_string()).take(pa.array(codes)))


def _text(words: Any) -> Any:
    return _STR.__from_arrow__(words.cast(pa.large_string()))


_STR: Any = pd.Series(dtype="str").dtype


def _decimal(number: Any) -> Decimal:
    return Decimal(repr(float(number)))


@cache
def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
