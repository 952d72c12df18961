"""freqtrade, unmodified and live (no dry run), trades a full round on a `qt exchange`: its own strategy, its own loop.

It goes by the wall clock, so the market's bars are made up to now, and a few beyond. All of its addresses lead to the
venue: what it asked of any other part of the real one would be seen as unrouted.
"""

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import ccxt
import pandas as pd
import pytest
from environments import interpreter_with
from venue_process import client_env, running, unrouted

BOT = Path(__file__).parent / "freqtrade_bot"
PATIENCE_S = 120
BEFORE, RISEN = 60_000.0, 61_200.0


def test_freqtrade_trades_a_full_round_live(tmp_path):
    freqtrade = interpreter_with("freqtrade==2026.9").with_name("freqtrade")
    began = a_market_of_today(tmp_path)
    words = ["--data", tmp_path, "--timeframe", "5m", "--from", began, "-p", "universe.symbols=BTCUSDT"]
    with running(*map(str, words)) as venue, trading(freqtrade, venue, tmp_path) as bot:

        def ask(path, **said):
            return venue.ask("GET", f"/fapi/{path}", signed=True, **said)[1]

        until(bot, lambda: ask("v1/openAlgoOrders"))
        [stop], [held] = ask("v1/openAlgoOrders"), ask("v3/positionRisk")
        assert (held["positionAmt"], float(held["isolatedWallet"]) > 0) == ("0.009", True)
        assert (stop["side"], stop["quantity"], stop["reduceOnly"]) == ("SELL", "0.009", True)
        assert float(stop["triggerPrice"]) == pytest.approx(0.95 * BEFORE, rel=0.01)
        venue.step(3)
        until(bot, lambda: not ask("v3/positionRisk"))
        until(bot, lambda: [trade for trade in its_trades(tmp_path) if not trade[0]])
        assert ask("v1/openAlgoOrders") == ask("v1/openOrders") == []
        trades = ask("v1/userTrades", symbol="BTCUSDT")
        assert [(t["side"], t["qty"]) for t in trades] == [("BUY", "0.009"), ("SELL", "0.009")]
        earned = sum(float(t["realizedPnl"]) - float(t["commission"]) for t in trades)
        [(_, amount, profit, reason)] = its_trades(tmp_path)
        assert (amount, reason) == (0.009, "roi")
        assert profit == pytest.approx(earned)
        assert float(ask("v3/account")["totalWalletBalance"]) == pytest.approx(10_000 + earned)
        assert unrouted(venue) == []


def a_market_of_today(folder):
    """Five-minute bars on disk, flat until now and higher from the second bar on; when the first of them opens."""
    now = pd.Timestamp.now("UTC").floor("5min")
    opens = pd.date_range(now - 700 * pd.Timedelta("5min"), periods=730, freq="5min")
    price = [BEFORE if ts < now + pd.Timedelta("10min") else RISEN for ts in opens]
    bars = {"open": price, "high": [p + 10 for p in price], "low": [p - 10 for p in price], "close": price}
    pd.DataFrame({"timestamp": opens, **bars, "volume": 1_000.0}).to_parquet(folder / "BTCUSDT-5m.parquet", index=False)
    return now.isoformat()


@contextmanager
def trading(freqtrade, venue, folder):
    """The bot, from its start to its orderly end; what it logs is in `folder`."""
    (folder / "user").mkdir()
    (folder / "config.json").write_text(json.dumps(its_config(venue)))
    where = ["--config", folder / "config.json", "--userdir", folder / "user", "--strategy-path", BOT]
    command = [freqtrade, "trade", *where, "--strategy", "OneRound", "--db-url", f"sqlite:///{folder}/trades.sqlite"]
    with (folder / "log").open("w") as log:
        bot = subprocess.Popen(command, env=client_env(), stdout=log, stderr=log)
        bot.log = folder / "log"
        try:
            yield bot
        finally:
            bot.send_signal(signal.SIGINT)
            try:
                bot.wait(30)
            except subprocess.TimeoutExpired:
                bot.kill()
                bot.wait()


def its_config(venue):
    prices = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
    clients = {
        "enableRateLimit": False,
        "urls": {"api": addresses(venue.url)},
        "options": {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False},
    }
    return {
        "initial_state": "running",
        "max_open_trades": 1,
        "stake_currency": "USDT",
        "stake_amount": 600,
        "dry_run": False,
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "entry_pricing": prices,
        "exit_pricing": prices,
        "pairlists": [{"method": "StaticPairList"}],
        "internals": {"process_throttle_secs": 1},
        "exchange": {
            "name": "binance",
            "key": "sim",
            "secret": "sim",
            "pair_whitelist": ["BTC/USDT:USDT"],
            "ccxt_config": clients,
        },
    }


def addresses(url):
    """Every address that ccxt knows of this venue, led to ours."""
    known = ccxt.binance().urls["api"]
    rest = {name: f"{url}/nowhere/{name}" for name in known if isinstance(known[name], str)}
    for name in ("fapiPublic", "fapiPrivate"):
        rest |= {name + suffix: f"{url}/fapi/{version}" for suffix, version in (("", "v1"), ("V2", "v2"), ("V3", "v3"))}
    sockets = url.replace("http", "ws")
    return rest | {"fapiData": f"{url}/futures/data", "ws": {"linear": f"{sockets}/ws"}}


def until(bot, is_so):
    patience = time.monotonic() + PATIENCE_S
    while not is_so():
        assert bot.poll() is None, bot.log.read_text()[-3_000:]
        assert time.monotonic() < patience, bot.log.read_text()[-3_000:]
        time.sleep(0.5)


def its_trades(folder):
    """What freqtrade wrote down: open or not, amount, profit in quote, why it left."""
    with sqlite3.connect(f"file:{folder}/trades.sqlite?mode=ro", uri=True) as db:
        return db.execute("SELECT is_open, amount, close_profit_abs, exit_reason FROM trades").fetchall()
