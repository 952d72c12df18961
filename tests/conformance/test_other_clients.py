"""Clients that others wrote, unmodified, each in an environment of its own, trade a full round on a `qt exchange`.

Entry, protective order, exit, and the profit as the venue tells it; none may ask for anything that leads nowhere.
"""

import json
import subprocess
from pathlib import Path

import pytest
from environments import interpreter_with
from venue_process import client_env, running, unrouted

HERE = Path(__file__).parent
MARKET = ["-p", "data.bars=600", "-p", "universe.symbols=BTCUSDT,ETHUSDT"]
ROUNDS = {
    "python_binance_round.py": ("python-binance==1.0.37",),
    "official_sdk_round.py": ("binance-sdk-derivatives-trading-usds-futures==18.1.0", "certifi~"),
}


@pytest.mark.parametrize("script", ROUNDS)
def test_a_client_trades_a_full_round_and_asks_for_nothing_that_leads_nowhere(script):
    python = interpreter_with(*ROUNDS[script])
    with running(*MARKET) as venue:
        done = subprocess.run(
            [python, HERE / script, venue.url],
            env=client_env(),
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        saw = json.loads(done.stdout)
        assert unrouted(venue) == []
    assert (saw["bought"], saw["held"], saw["moved"], saw["sold"]) == ("FILLED", ["0.010"], True, "FILLED")
    assert saw["trades"] == [["BUY", "0.010"], ["SELL", "0.010"]]
    assert saw["earned"] == pytest.approx(saw["told"])
    assert saw["wallet"] == pytest.approx(10_000 + saw["earned"])
    filled = ["ordertradeupdate", "tradelite", "ordertradeupdate", "accountupdate"]
    assert [event.replace("_", "").lower() for event in saw["heard"]] == [*filled, "algoupdate", "algoupdate", *filled]
