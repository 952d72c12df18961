"""The smallest strategy that trades: in at once, out at half a percent of profit, never in again."""

from typing import ClassVar

from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy


class OneRound(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "5m"
    startup_candle_count = 20
    process_only_new_candles = False
    minimal_roi: ClassVar = {"0": 0.005}
    stoploss = -0.05
    order_types: ClassVar = {
        "entry": "market",
        "exit": "market",
        "stoploss": "market",
        "stoploss_on_exchange": True,
    }

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe

    def confirm_trade_entry(self, *args, **kwargs):
        return not Trade.get_trades_proxy()
