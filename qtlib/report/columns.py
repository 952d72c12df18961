"""What a run's tables are: their columns with types and units, the exact sums beside them, and how they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import pandas as pd

from qtlib.domain.orders import ZERO
from qtlib.domain.state import State
from qtlib.report.markup import table
from qtlib.report.names import exit_name
from qtlib.report.words import moment, number, say, signed

TIME = "datetime64[us, UTC]"

TRADES = {
    "trade_id": "str",
    "symbol": "str",
    "side": "str",  # long | short
    "quantity": "float64",  # closed by this row, in base, positive
    "entry_ts": TIME,
    "entry_price": "float64",
    "exit_ts": TIME,
    "exit_price": "float64",  # missing where a position vanished at the venue and no fill tells a price
    "exit_reason": "str",
    "fees_quote": "float64",  # of the exit, and the closed part's share of the entry's
    "funding_quote": "float64",  # received, the closed part's share
    "pnl_quote": "float64",  # net
    "pnl_frac": "float64",  # of entry notional
    "r_multiple": "float64",  # net, in what the closed part put at risk at its initial stop
    "mae_frac": "float64",  # furthest against us, of entry price: zero or negative
    "mfe_frac": "float64",  # furthest for us, of entry price: zero or positive
    "confidence": "float64",
    "model_version": "str",
    "exits_source": "str",
    "stop_price": "float64",  # of the working stop that rested at the exit
    "take_profit_price": "float64",
}
EQUITY = {
    "ts": TIME,
    "equity_quote": "float64",
    "cash_quote": "float64",
    "drawdown_frac": "float64",  # below the run's peak, of the peak: zero or positive
    "gross_exposure_quote": "float64",  # Σ |quantity| · entry price: what was committed, as the limits count it
    "open_positions": "int64",
}
DECISIONS = {
    "ts": TIME,
    "symbol": "str",
    "action": "str",
    "reason": "str",
    "rule": "str",
    "wanted_notional_quote": "float64",
    "allowed_notional_quote": "float64",
    "confidence": "float64",
    "score": "float64",
}
LEVELS = {  # one row per change of what protects a position; missing levels: none rests
    "ts": TIME,
    "symbol": "str",
    "trade_id": "str",  # empty: the position is closed
    "stop_price": "float64",
    "take_profit_price": "float64",
}


@dataclass(frozen=True, slots=True)
class Carried:
    """What the open part of a position has cost and earned besides its price: no row has taken it yet."""

    fees: Decimal = ZERO  # of entry, in quote
    funding: Decimal = ZERO  # received, in quote

    def share(self, part: Decimal, whole: Decimal) -> "Carried":
        if part == whole:
            return self
        return Carried(self.fees * part / whole, self.funding * part / whole)

    def __add__(self, other: "Carried") -> "Carried":
        return Carried(self.fees + other.fees, self.funding + other.funding)

    def __sub__(self, other: "Carried") -> "Carried":
        return Carried(self.fees - other.fees, self.funding - other.funding)


@dataclass(frozen=True, slots=True)
class Summary:
    """The exact sums behind the tables; in quote, unless the name says otherwise."""

    start_equity: Decimal = ZERO  # with the money that arrived before the first bar or fill
    final_equity: Decimal = ZERO
    open_pnl_start: Decimal = ZERO
    open_pnl: Decimal = ZERO  # at the end
    gross_pnl: Decimal = ZERO  # of the closed part, as the next two
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    moves: tuple[
        tuple[datetime, Decimal], ...
    ] = ()  # deposits, withdrawals and corrections since the start: not profit
    slippage: Decimal | None = None  # cost against the prices reckoned with; None: no order named one
    naked_seconds_max: float | None = None  # longest time a position had no confirmed full-size stop; None: no position
    max_open_positions: int = 0  # at any instant, also between bars
    max_gross_exposure: Decimal = ZERO  # likewise

    @property
    def net_pnl(self) -> Decimal:
        return self.gross_pnl - self.fees + self.funding

    @property
    def moved(self) -> Decimal:
        return sum((amount for _, amount in self.moves), ZERO)


@dataclass(frozen=True, slots=True)
class Tables:
    trades: pd.DataFrame  # one row a closing fill group, by exit time
    equity: pd.DataFrame  # one row a bar, once everything that happened at its close was settled
    decisions: pd.DataFrame  # one row a verdict
    levels: pd.DataFrame  # how the protective levels moved
    summary: Summary
    carried: Mapping[str, Carried] = field(default_factory=dict)  # of the positions still open, by symbol
    state: State = field(default_factory=State)  # at the end

    def _repr_html_(self) -> str:
        """What a notebook shows of them: how large they are, what was earned, and the last exits."""
        s, last = self.summary, self.trades.tail(8)
        caption = say(
            "The last of {exits} exits, over {bars} bars: equity {start} → {end}, net {net} of what is closed",
            exits=number(len(self.trades), ",d"),
            bars=number(len(self.equity), ",d"),
            start=number(float(s.start_equity)),
            end=number(float(s.final_equity)),
            net=signed(float(s.net_pnl)),
        )
        rows = [
            (
                moment(row["entry_ts"].to_pydatetime()),
                moment(row["exit_ts"].to_pydatetime()),
                row["symbol"],
                say(row["side"]),
                exit_name(row["exit_reason"]),
                signed(row["pnl_quote"]),
                number(row["r_multiple"], "+.2f"),
            )
            for row in last.to_dict("records")
        ]
        heads = (say("Entry, UTC"), say("Exit, UTC"), say("Symbol"), say("Side"), say("Why"), say("Net P&L"), "R")
        return table(caption, heads, rows, words={0, 1, 2, 3, 4})._repr_html_()
