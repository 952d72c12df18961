"""What features cost, in seconds of the processor: a million rows, indicators of one symbol, a live decision's; and
what a decision costs, from closed bars to targets: features, a boosted model with its exits, signals, `decide`."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "learning")]

from builders import BTC, a_state  # noqa: E402
from panels import a_quiet_panel  # noqa: E402
from rows import a_dataset  # noqa: E402

from qtlib.domain.decisions import Moment  # noqa: E402
from qtlib.domain.market import Bar  # noqa: E402
from qtlib.engine.feeds import signals_of  # noqa: E402
from qtlib.learning.exits import fit_exits  # noqa: E402
from qtlib.learning.features import DEFAULT_FEATURES, FEATURES, FeatureSet  # noqa: E402
from qtlib.learning.learned import Learned, Trained  # noqa: E402
from qtlib.learning.training import TrainParams, fit  # noqa: E402
from qtlib.market.timeframes import datetime_at  # noqa: E402
from qtlib.rules.decide import decide  # noqa: E402
from qtlib.rules.rules import Rules  # noqa: E402
from qtlib.rules.sizing import SizingParams  # noqa: E402

ROWS, WIDE, RUNS = 1_000_000, 40, 3
INDICATORS, LIVE = 30, 50  # functions, symbols
TURN_MS = 651.0  # of freqtrade's live loop, from candles to signals of as many pairs: measured beside it by PEERS=1


def cpu_s(work, runs=RUNS):
    """Of each of a few runs, after one that is not counted."""
    work()
    found = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return found


def figures(rows=ROWS):
    """Name, unit, median, runs, and what is asked."""
    ten = a_quiet_panel(rows // 10, ("BTCUSDT", *(f"S{n}USDT" for n in range(9))))
    wide = FeatureSet(DEFAULT_FEATURES[:WIDE])
    yield _row(f"{rows:,} rows x {len(wide.names)} features", "s", cpu_s(lambda: wide.matrix(ten)), "< 2")
    own = [name for name in FEATURES if "rank" not in name and "breadth" not in name and "universe" not in name]
    one, thirty = a_quiet_panel(rows, ("BTCUSDT",)), FeatureSet(tuple(own[:INDICATORS]))
    yield _row(f"{rows:,} bars x {INDICATORS} indicators, one symbol", "s", cpu_s(lambda: thirty.matrix(one)), "< 0.4")
    for bars in (1_000, 10_000):
        fifty = a_quiet_panel(bars, ("BTCUSDT", *(f"S{n:02d}USDT" for n in range(LIVE - 1))))
        ms = [1e3 * s for s in cpu_s(partial(thirty.last, fifty), 15)]
        yield _row(f"a decision's {INDICATORS} features, {LIVE} symbols, {bars:,} bars kept", "ms", ms, "< 5")

    ms = [1e3 * s for s in cpu_s(a_turn(), 15)]
    yield _row(f"closed bar to decision, {LIVE} symbols, model included", "ms", ms, f"< {TURN_MS / 20:.1f}")


def a_turn() -> Callable[[], object]:
    """One live decision over `LIVE` symbols by a boosted model of all features, of bars that have just closed."""
    names = ("BTCUSDT", *(f"S{n:02d}USDT" for n in range(LIVE - 1)))
    features, rng = FeatureSet(DEFAULT_FEATURES), np.random.default_rng(3)
    data = a_dataset(2_000)
    x = np.concatenate([data.x[:, :1], rng.normal(size=(2_000, len(features.names) - 1))], axis=1)
    data = replace(data, x=x, mirror=-x, names=features.names)
    mind = Learned(Trained(features, fit(data, TrainParams(folds=2)), fit_exits(data), 2**62), "m1")
    panel = a_quiet_panel(mind.lookback, names)
    newest, ts = (np.arange(LIVE), np.full(LIVE, len(panel) - 1)), datetime_at(int(panel.times[-1]))
    columns = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    bars = {name: Bar(ts, *(float(of[row, -1]) for of in columns)) for row, name in enumerate(names)}
    rules = Rules({name: replace(BTC, symbol=name) for name in names}, SizingParams(confidence_threshold=0.0))
    state = a_state(prices={name: bar.close for name, bar in bars.items()}, ts=ts - timedelta(hours=1))

    def turn() -> object:
        said = signals_of(names, repeat(ts), panel.close[newest], mind.signals(panel).at(newest))
        return decide(Moment(ts, bars, tuple(said)), state, rules)

    return turn


def _row(what, unit, values, asked):
    return what, unit, median(values), values, asked


if __name__ == "__main__":
    for what, unit, middle, values, asked in figures():
        print(f"{what:60s} {middle:8.3f} {unit:2s} ({min(values):.3f} to {max(values):.3f}), asked {asked}")
