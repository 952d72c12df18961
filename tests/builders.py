"""Builders: small real things for tests, naming only what matters."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd

from qtlib.domain.account import Account, Position
from qtlib.domain.decisions import Signal
from qtlib.domain.market import Bar, Instrument
from qtlib.domain.orders import ExitPlan
from qtlib.domain.panel import Beliefs
from qtlib.domain.state import State, Trade
from qtlib.engine.feeds import Past, panel_of
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import net_price, stop_price, target_price

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

BTC = Instrument("BTCUSDT", tick=Decimal("0.01"), lot=Decimal("0.001"))
ETH = Instrument("ETHUSDT", tick=Decimal("0.01"), lot=Decimal("0.001"))
XRP = Instrument("XRPUSDT", tick=Decimal("0.0001"), lot=Decimal("0.1"))
INSTRUMENTS = {i.symbol: i for i in (BTC, ETH, XRP)}


def a_bar(ts=T0, open=100.0, high=None, low=None, close=None, volume=1e6):
    """A bar that closed at `ts`; what is not named is flat."""
    close = open if close is None else close
    high = max(open, close) if high is None else high
    low = min(open, close) if low is None else low
    return Bar(ts, open, high, low, close, volume)


def make_bars(n=300, seed=0, start=100.0, drift=0.0002, vol=0.01, timeframe="1h", t0=T0):
    """A frame of `n` random bars, as market data is handed around: indexed by close time, UTC."""
    rng = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(rng.normal(drift, vol, n)))
    open_ = np.r_[start, close[:-1]]
    high = np.maximum(open_, close) * (1 + rng.uniform(0, vol, n))
    low = np.minimum(open_, close) * (1 - rng.uniform(0, vol, n))
    index = pd.date_range(t0, periods=n + 1, freq=timeframe, name="ts")[1:]
    ohlcv = {"open": open_, "high": high, "low": low, "close": close, "volume": 1e6}
    return pd.DataFrame(ohlcv, index=index)


def a_signal(symbol="BTCUSDT", score=0.8, confidence=0.7, price=100.0, volatility_frac=0.01, ts=T0, **more):
    return Signal(symbol, ts, score, confidence, price, volatility_frac, **more)


def some_rules(**more):
    """Rules over the three instruments, with defaults wherever nothing is named."""
    return Rules(INSTRUMENTS, **more)


def a_position(quantity, entry_price=100, symbol="BTCUSDT"):
    return Position(symbol, Decimal(str(quantity)), Decimal(str(entry_price)))


def a_state(*positions, cash=10_000, prices=None, ts=T0, **more):
    """A state that just came to hold `positions`, each with a trade, at entry prices unless `prices` says otherwise."""
    held = {p.symbol: p for p in positions}
    at_entry = {s: float(p.entry_price) for s, p in held.items()}
    trades = {
        s: Trade(f"t-{s}", s, ts, best=at_entry[s], worst=at_entry[s], exits=a_plan(), naked_since=ts) for s in held
    }
    equity = Decimal(cash)
    defaults = {"peak_equity": equity, "day_equity": equity, "trades": trades, "decided": ts, "grown": (*held,)}
    account = Account(Decimal(cash), held)
    return State(account=account, prices={**at_entry, **(prices or {})}, ts=ts, **{**defaults, **more})


def a_plan(**changes):
    return ExitPlan(**{"stop_frac": 0.02, "take_profit_frac": 0.03, "net_frac": 0.026, **changes})


class Levels(NamedTuple):
    """Where the orders of a position belong: what `plan` asks for one by one."""

    stop_loss: Decimal
    take_profit: Decimal | None
    net_stop: Decimal | None


def protective(trade, position, instrument, leverage, params):
    return Levels(
        stop_price(trade, position, instrument, leverage, params),
        target_price(trade, position, instrument, params),
        net_price(trade, position, instrument, leverage, params),
    )


def a_panel(frame, **more):
    """A panel of one frame of bars, or of several by symbol."""
    return panel_of(Past({"BTCUSDT": frame, **more}))


def beliefs(panel, score, confidence=0.9, volatility_frac=0.01):
    """What is believed wherever there are bars: numbers, or arrays of the panel's shape."""
    there = np.where(np.isnan(panel.close), np.nan, 1.0)
    return Beliefs(there * score, there * confidence, there * volatility_frac)
