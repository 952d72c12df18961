"""A served venue with a past worth fetching: the simulated market, or real bars where there are some."""

import contextlib
from pathlib import Path

from a_served_venue import served

from qtlib.exchanges.binance.past import binance_past
from qtlib.exchanges.simulated.faults import Faults, fault
from qtlib.market.names import FUNDING, MARKS, Name
from qtlib.market.timeframes import micros_at
from qtlib.params import resolve
from qtlib.runs.data.fetch import fetch, hung_up, run
from qtlib.runs.session.exchange import opened

SYMBOLS = ("BTCUSDT", "ETHUSDT")
NAMES = tuple(Name(s, t, k) for s in SYMBOLS for t, k in (("1h", "bars"), ("4h", "bars"), ("1h", MARKS), ("", FUNDING)))
START = micros_at("2015-01-01")
ROUGH = (
    fault("too_many", on="GET v1/*", times=None, chance=0.08, seconds=0.05),
    fault("banned", on="GET v1/*", times=1, chance=0.05, seconds=1.0),
    fault("reset", on="GET v1/*", times=None, chance=0.1, executes=False),
    fault("reset", on="GET v1/*", times=None, chance=0.05, executes=True),
    fault("timeout", on="GET v1/*", times=None, chance=0.05, executes=False),
    fault("unavailable", on="GET v1/*", times=None, chance=0.1),
    fault("delay_after", on="GET v1/*", times=None, chance=0.2, seconds=0.02),
)


@contextlib.contextmanager
def a_past_venue(bars=1_500, rough=False, seed=0, folder=None, first="2024-10-01", last="2024-12-31"):
    """The venue, stepped by hand; its market stands after `bars` hours, and has 300 more to come."""
    words = ["universe.symbols=" + ",".join(SYMBOLS), "data.timeframe=1h"]
    real = [f"data.path={folder}", "data.source=files", f"data.start={first}", f"data.end={last}", "data.bars=null"]
    words += real if folder else [f"data.bars={bars + 300}"]
    params = resolve(Path(__file__).parent.parent / "params" / "sim.yaml", words, {}).params
    made = []

    def make():  # in the thread that the venue lives in
        desk, coming = opened(params, past_bars=bars)
        made.append(coming)
        return desk

    with served(
        (step for coming in made for step in coming),
        make=make,
        faults=Faults(ROUGH if rough else (), seed),
        times=1_000,
    ) as venue:
        yield venue


def connected(url):
    @contextlib.asynccontextmanager
    async def connect():
        async with hung_up(binance_past(url)) as past:
            yield past

    return connect


def fetched(url, folder, names=NAMES, **more):
    return run(connected(url), folder, names, START, **more)


__all__ = ["NAMES", "START", "SYMBOLS", "a_past_venue", "connected", "fetch", "fetched"]
