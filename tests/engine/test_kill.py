"""A real process, killed by SIGKILL at fifty random instants and started again each time: the venue and the journal,
both on disk, end exactly where an undisturbed run does."""

import multiprocessing
import os
import random
import signal
from decimal import Decimal

import pytest
from builders import BTC, ETH, make_bars, some_rules

from qtlib.domain.events import Filled
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import Journal
from qtlib.learning.strategies import Trend

KILLS = 50
STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
HISTORY = Past({"BTCUSDT": make_bars(1500, seed=7, vol=0.012), "ETHUSDT": make_bars(1500, seed=8, vol=0.012)})
RULES = some_rules()
CONDUCT = Conduct(slippage_noise_frac=0.0001, seed=3)


def live(folder):
    """One life of a session: everything it knows is on disk, in `folder`."""
    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), CONDUCT, folder / "venue.sqlite")
    with Journal(folder / "journal.sqlite") as journal, journal.lease(f"pid {os.getpid()}", ttl_s=0.001):
        moments = lived(venue, replay(HISTORY, STRATEGY, after=journal.state().decided))
        session(moments, RULES, venue, journal, close_at_end=True)
    venue.close()


def ending(folder):
    venue = SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), CONDUCT, folder / "venue.sqlite")
    with Journal(folder / "journal.sqlite") as journal:
        fills = [event.fill for _, event in journal.events() if isinstance(event, Filled)]
        state = journal.state()
    assert state.account == venue.account
    venue.close()
    what = [(f.ts, f.symbol, f.side, f.quantity, f.price, f.fee) for f in fills]
    return state.account, state.prices, state.status, what


def killed(folder, rng):
    """Live until killed, again and again; how often."""
    fork, kills = multiprocessing.get_context("fork"), 0  # forked: a life begins in milliseconds, not in seconds
    while True:
        child = fork.Process(target=live, args=(folder,))
        child.start()
        child.join(rng.uniform(0.02, 0.20) if kills < KILLS else None)
        if child.exitcode is None:
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            assert child.exitcode == -signal.SIGKILL
            kills += 1
        else:
            assert child.exitcode == 0
            return kills


@pytest.mark.parametrize("seed", [1])
def test_fifty_kills_change_nothing(tmp_path, seed):
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    rough.mkdir()
    live(calm)
    kills = killed(rough, random.Random(seed))
    assert kills == KILLS
    account, prices, status, fills = ending(calm)
    assert len(fills) > 200
    assert ending(rough) == (account, prices, status, fills)
