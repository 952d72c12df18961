"""NautilusTrader: its engine over bars alone, which it walks by open, high, low and close.

Signals are given; an entry is a bracket of three orders, whose market order fills at the price that stands when it is
sent: the close. It has an account, a cache and a message bus, and writes down each order and each position.
"""

import json
import sys
import time
from decimal import Decimal

import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

SCALE = 100  # so that 200 of quote are a quantity that the instrument allows


class Crossing(Strategy):
    def __init__(self, instrument, bar_type, score):
        super().__init__()
        self.instrument, self.bar_type, self.score, self.at = instrument, bar_type, score, 0

    def on_start(self):
        self.subscribe_bars(self.bar_type)

    def on_bar(self, bar):
        said, self.at = self.score[self.at], self.at + 1
        if said == 0 or not self.portfolio.is_flat(self.instrument.id):
            return
        side, price = (1 if said > 0 else -1), float(bar.close)
        bracket = self.order_factory.bracket(
            instrument_id=self.instrument.id,
            order_side=OrderSide.BUY if side > 0 else OrderSide.SELL,
            quantity=self.instrument.make_qty(200 / price),
            sl_trigger_price=self.instrument.make_price(price * (1 - side * 0.015)),
            tp_price=self.instrument.make_price(price * (1 + side * 0.02)),
        )
        self.submit_order_list(bracket)

    def on_stop(self):
        self.cancel_all_orders(self.instrument.id)
        self.close_all_positions(self.instrument.id)


def main(path, bars, runs):
    given = np.load(path)
    columns = {name: given[name][:bars] * SCALE for name in ("open", "high", "low", "close")}
    index = pd.to_datetime(given["times"][:bars], unit="us", utc=True)
    frame, score = pd.DataFrame({**columns, "volume": 1e6}, index), given["score"][:bars].tolist()
    instrument = TestInstrumentProvider.btcusdt_perp_binance()
    bar_type = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    data = BarDataWrangler(bar_type, instrument).process(frame)
    found, told = [], {}
    for _ in range(runs):
        quiet = LoggingConfig(bypass_logging=True)
        engine = BacktestEngine(BacktestEngineConfig(logging=quiet, risk_engine=RiskEngineConfig(bypass=True)))
        engine.add_venue(
            Venue("BINANCE"),
            OmsType.NETTING,
            AccountType.MARGIN,
            starting_balances=[Money(10_000, USDT)],
            base_currency=USDT,
            default_leverage=Decimal(10),
        )
        engine.add_instrument(instrument)
        engine.add_strategy(Crossing(instrument, bar_type, score))
        engine.add_data(data)
        begun = time.process_time()
        engine.run()
        engine.trader.generate_positions_report()
        found.append((time.process_time() - begun) / bars * 1e9)
        told["trades"] = len(engine.trader.generate_positions_report())
        engine.dispose()
    print(json.dumps({**told, "whole": found}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
