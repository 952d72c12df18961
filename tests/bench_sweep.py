"""How fast many settings are tried on the same bars: what a setting costs, whether both cores work, what is held.

The market is one symbol, prepared once; a setting is traded, measured and handed back as a sweep's trial is. Cores
are compared by the wall clock, so that figure is only true of an otherwise quiet machine.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
from bench_compiled import compared, market, ns, trade

from qtlib.learning.search import SweepParams
from qtlib.params import resolve
from qtlib.runs.sweep import bench, figures
from qtlib.runs.sweep.crew import cores, crew, work
from qtlib.runs.sweep.plan import Plan

PARAMS = Path(__file__).parent.parent / "params" / "sweep.yaml"
MB = 1e6


def figures_of_sweeps(settings=500, bars=100_000):
    """Rows of (what, unit, value, values, target)."""
    alone = setting_ms(bars, settings)
    yield f"a setting on {bars:,} bars, arrays alone", "ms", float(np.median(alone)), alone, ""
    with tempfile.TemporaryDirectory() as root:
        job, tasks = trials(settings, bars, root)
        here, each, held = bench.Bench(), [], []
        for task in tasks:
            begun = time.process_time()
            result = here.result(job, task)
            each.append((time.process_time() - begun) * 1e3)
            held.append(psutil.Process().memory_info().rss / MB)
            assert result.status == "ok", result.why
        yield f"a trial of a sweep on {bars:,} bars", "ms", float(np.median(each)), [min(each), max(each)], ""
        warm, grown = len(held) // 5, held[-1] - held[len(held) // 5]
        yield f"  memory that {len(held) - warm} more trials add", "MB", grown, [grown], "flat"
        one, all_ = (rate(job, tasks, workers) for workers in (1, cores()))
        yield f"  trials a second, {cores()} processes over one", "x", all_ / one, [all_ / one], "≥ 1.85"


def setting_ms(bars, settings, runs=3):
    """What a setting costs on a prepared market, to its numbers, in ms of one core: one figure a run."""
    on, wished = market(1, bars)
    base = compared(on)
    all_rules = [replace(base, exits=replace(base.exits, sl_frac=s, tp_frac=t)) for s, t in grid(settings)]

    def tried():
        for rules in all_rules:
            figures.of_arrays(trade(on, wished, rules), rules)

    tried()
    return [ns(tried, len(all_rules)) / 1e6 for _ in range(runs)]


def grid(settings):
    """Stops and targets, as fractions of price; `settings` of them, or a few less."""
    return [(float(s), float(t)) for s in np.linspace(0.01, 0.03, 5) for t in np.linspace(0.01, 0.04, settings // 5)]


def trials(settings, bars, root):
    """What a sweep over that grid hands out."""
    stops, targets = (sorted(set(values)) for values in zip(*grid(settings), strict=True))
    words = ["universe.symbols=BTCUSDT", "data.timeframe=1m", f"data.bars={bars}", "exits.profile=static"]
    space = [f"sweep.space.exits.sl_frac={stops}", f"sweep.space.exits.tp_frac={targets}"]
    plan = Plan(resolve(PARAMS, ["sweep.space=null", *words, *space], {}).params, bench.code(), bench.Bench())
    return bench.Job(plan.plain, root, bench.code()), [plan.task(point) for point in plan.space.grid()]


def rate(job, tasks, workers):
    """Trials a second of so many processes, once each has its market ready."""
    with crew(SweepParams(workers=workers)) as hired:
        come = []

        def done(some):
            come.clear()
            work(hired, job, some, come.extend, lambda: True, lambda word: None)
            assert len(come) == len(some)

        done(tasks[: 4 * workers])
        begun = time.perf_counter()
        done(tasks)
        return len(tasks) / (time.perf_counter() - begun)


if __name__ == "__main__":
    for what, unit, value, _, target in figures_of_sweeps():
        print(f"{what:60} {value:10.2f} {unit:6} {target}", flush=True)
