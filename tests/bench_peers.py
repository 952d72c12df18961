"""`make bench PEERS=1`: the same backtest as others do it, each in an environment of its own, on the same bars.

Made-up minutes, a crossing of means as signals that all are given, a stop and a target inside the bar, the same fee
and slippage. CPU time of one process, without the time to load and to compile. What each can't express is said beside
its name: none of them keeps an account exact, asks limits, counts in lots, or has a venue that refuses.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "conformance")]

from bench_compiled import compared, market, ns, trade, whole  # noqa: E402
from environments import interpreter_with  # noqa: E402

from qtlib.runs.sweep import figures  # noqa: E402

ONE, SHORT = 1_000_000, 100_000  # bars: what takes minutes for a million is asked for fewer
SETTINGS = 50
PEERS = {  # by script: what to install, bars, runs, what is different
    "vectorbt": (("vectorbt==1.2.0",), ONE, 3, "floats, fractions of units, one position of each symbol"),
    "backtesting": (("backtesting==0.6.6",), SHORT, 1, "a spread, whole units of a thousandth"),
}
HOUR_S = 3600


def figures_of_peers():
    """Rows of (what, unit, value, values, target): ours, theirs, and theirs over ours, from this very run."""
    on, wished = market(1, ONE)
    rules = compared(on)
    trade(on, wished, rules)
    ours = {"whole": [ns(lambda: whole(on, wished, rules), ONE) for _ in range(5)]}
    ours["simulation"] = [ns(lambda: trade(on, wished, rules), ONE) for _ in range(5)]
    yield _row("one symbol, whole call", "ns/bar", ours["whole"])
    yield _row("one symbol, simulation alone", "ns/bar", ours["simulation"])
    ours["a setting, ms"] = _swept(SHORT)
    yield _row(f"a setting of a grid over {SHORT:,} bars", "ms", ours["a setting, ms"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bars.npz")
        columns = dict(zip(("open", "high", "low", "close"), on.bars[0].T, strict=False))
        np.savez(path, score=wished.columns[0, 0], times=on.times, **columns)
        for name, (packages, bars, runs, different) in PEERS.items():
            told = _asked(name, packages, path, bars, runs)
            if isinstance(told, str):
                yield f"{name}: {told}", "", float("nan"), [float("nan")], ""
                continue
            if bars != SHORT:
                told |= {k: v for k, v in _asked(name, packages, path, SHORT, runs).items() if k == "a setting, ms"}
            for what in ours.keys() & told.keys():
                unit = "ms" if what.endswith("ms") else "ns/bar"
                yield _row(f"{name}, {what} ({different})", unit, told[what])
                ratio = float(np.median(told[what]) / np.median(ours[what]))
                yield f"  times ours, {what}", "x", ratio, [ratio], _TARGETS.get((name, what), "")


_TARGETS = {
    ("vectorbt", "whole"): "≥ 20",
    ("vectorbt", "a setting, ms"): "≥ 20",
    ("backtesting", "whole"): "≥ 500",
}


def _swept(bars):
    """What a setting costs on a prepared market, to its numbers, in ms."""
    on, wished = market(1, bars)
    base = compared(on)
    grid = [(s, t) for s in np.linspace(0.01, 0.03, 5) for t in np.linspace(0.01, 0.04, SETTINGS // 5)]
    all_rules = [replace(base, exits=replace(base.exits, sl_frac=float(s), tp_frac=float(t))) for s, t in grid]

    def tried():
        for rules in all_rules:
            figures.of_arrays(trade(on, wished, rules), rules)

    tried()
    return [ns(tried, SETTINGS) / 1e6 for _ in range(3)]


def _asked(name, packages, path, bars, runs):
    """What the peer measured of itself; in words, why it could not."""
    try:
        python = interpreter_with(*packages)
    except BaseException as why:  # pytest's word for what is absent is no Exception
        if isinstance(why, KeyboardInterrupt):
            raise
        return f"not there: {str(why)[:120]}"
    script = HERE / "peers" / f"{name}_round.py"
    command = [python, script, path, str(bars), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HOUR_S)
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1][:120]}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def _row(what, unit, values):
    return what, unit, float(np.median(values)), list(values), ""


if __name__ == "__main__":
    for what, unit, value, _, target in figures_of_peers():
        print(f"{what:100} {value:12,.1f} {unit:8} {target}", flush=True)
