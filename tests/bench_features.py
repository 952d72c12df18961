"""What features cost, in seconds of the processor: a million rows, indicators of one symbol, a live decision's."""

import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "learning")]

from panels import a_quiet_panel  # noqa: E402

from qtlib.learning.features import DEFAULT_FEATURES, FEATURES, FeatureSet  # noqa: E402

ROWS, WIDE, RUNS = 1_000_000, 40, 3
INDICATORS, LIVE = 30, 50  # functions, symbols


def cpu_s(work, runs=RUNS):
    """Of each of a few runs, after one that is not counted."""
    work()
    found = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return found


def figures():
    """Name, unit, median, runs, and what is asked."""
    ten = a_quiet_panel(ROWS // 10, ("BTCUSDT", *(f"S{n}USDT" for n in range(9))))
    wide = FeatureSet(DEFAULT_FEATURES[:WIDE])
    yield _row(f"{ROWS:,} rows x {len(wide.names)} features", "s", cpu_s(lambda: wide.matrix(ten)), "< 2")
    own = [name for name in FEATURES if "rank" not in name and "breadth" not in name and "universe" not in name]
    one, thirty = a_quiet_panel(ROWS, ("BTCUSDT",)), FeatureSet(tuple(own[:INDICATORS]))
    yield _row(f"{ROWS:,} bars x {INDICATORS} indicators, one symbol", "s", cpu_s(lambda: thirty.matrix(one)), "< 0.4")
    for bars in (1_000, 10_000):
        fifty = a_quiet_panel(bars, ("BTCUSDT", *(f"S{n:02d}USDT" for n in range(LIVE - 1))))
        ms = [1e3 * s for s in cpu_s(partial(thirty.last, fifty), 15)]
        yield _row(f"a decision's {INDICATORS} features, {LIVE} symbols, {bars:,} bars kept", "ms", ms, "< 5")


def _row(what, unit, values, asked):
    return what, unit, median(values), values, asked


if __name__ == "__main__":
    for what, unit, middle, values, asked in figures():
        print(f"{what:60s} {middle:8.3f} {unit:2s} ({min(values):.3f} to {max(values):.3f}), asked {asked}")
