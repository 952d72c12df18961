"""Builders: small real things for tests, naming only what matters."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd

from qtlib.domain.market import Bar, Instrument

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
