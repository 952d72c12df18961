"""A replay of what came after an instant says what the replay of everything says of it."""

from dataclasses import replace
from datetime import timedelta

from qtlib.engine.feeds import replay
from qtlib.learning.strategies import Trend
from qtlib.market.simulated import SimulatedMarket, simulate


def test_what_is_replayed_after_an_instant_is_the_end_of_the_whole():
    market = simulate(SimulatedMarket(symbols=("BTCUSDT", "ETHUSDT")), 420)
    gone = market.bars["ETHUSDT"].index[[250, 303]]
    bars, usable = ({**of, "ETHUSDT": of["ETHUSDT"].drop(gone)} for of in (market.bars, market.usable))
    market = replace(market, bars=bars, usable=usable)
    whole = list(replay(market, Trend()))
    for first in (0, 1, 200, 251, 304, 419, 420):
        after = whole[first][0].ts - timedelta(hours=1) if first < len(whole) else whole[-1][0].ts
        assert list(replay(market, Trend(), after=after)) == whole[first:]
