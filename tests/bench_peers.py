"""`make bench PEERS=1`: the same backtest as others do it, each in an environment of its own, on the same bars.

Made-up minutes, a crossing of means as signals that all are given, a stop and a target inside the bar, the same fee,
and the same slippage where there is one. CPU time of one process, without the time to load and to compile. What each
does otherwise is said beside its name, and how many trades it made: none of them keeps an account exact, asks limits,
or has a venue that refuses. What is event by event stands beside our event loop, what is in arrays beside what we
compile.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "conformance")]

from bench_compiled import compared, market, ns, trade, whole  # noqa: E402
from bench_features import a_turn, cpu_s  # noqa: E402
from bench_sweep import setting_ms  # noqa: E402
from environments import interpreter_with  # noqa: E402

from qtlib.domain.panel import Beliefs  # noqa: E402
from qtlib.engine.backtest import backtest  # noqa: E402
from qtlib.exchanges.simulated import SimulatedExchange  # noqa: E402
from qtlib.market import Market  # noqa: E402

WHOLE, SETTING, TURN, LOOP, PORTFOLIO = (
    "whole call, ns/bar",
    "a setting, ms",
    "50 symbols, closed bar to decision, ms",
    "event loop, ns/bar",
    "portfolio, ns/bar",
)
PEERS = {  # by script: what to install, bars, runs, what of ours it is compared with, what is different
    "vectorbt": (("vectorbt==1.2.0",), 1_000_000, 3, WHOLE, "floats, fractions of units"),
    "vectorbt_portfolio": (("vectorbt==1.2.0",), 200_000, 3, PORTFOLIO, "with callbacks, one order a bar a symbol"),
    "backtesting": (("backtesting==0.6.6",), 100_000, 1, WHOLE, "a spread, whole units of a thousandth"),
    "jesse": (("jesse==3.5.3",), 20_000, 1, LOOP, "fills at the close it decides at, no slippage"),
    "nautilus": (("nautilus_trader==1.221.0",), 20_000, 1, LOOP, "fills at the close it decides at, no slippage"),
    "freqtrade": (("freqtrade==2026.9",), 20_000, 1, LOOP, "spot, so only what is to be bought; no slippage"),
}
TARGETS = {
    ("vectorbt", "whole"): "≥ 20",
    ("vectorbt", SETTING): "≥ 20",
    ("vectorbt_portfolio", PORTFOLIO): "≥ 15",
    ("backtesting", "whole"): "≥ 500",
    **{(name, WHOLE): "≥ 3,000" for name in ("jesse", "nautilus", "freqtrade")},
    **{(name, LOOP): "> 1" for name in ("jesse", "nautilus", "freqtrade")},
    ("freqtrade", TURN): "≥ 20",
}
SWEPT, SETTINGS = 100_000, 50  # bars and settings of the grid that vectorbt tries, too
MANY = 20, 200_000, 4  # symbols of a portfolio, bars of each, positions at most
HOUR_S = 3600
SPAN = pd.Timedelta("1min")


def figures_of_peers(scale=1.0):
    """Rows of (what, unit, value, values, target): ours, theirs, and theirs over ours, from this very run.

    With a `scale` below 1 all bars are so many fewer, which says less and takes minutes.
    """
    ours, on, wished = {}, *market(1, int(1_000_000 * scale))
    rules, bars = compared(on), len(on.times)
    trade(on, wished, rules)
    ours[WHOLE] = [ns(lambda: whole(on, wished, rules), bars) for _ in range(5)]
    ours["simulation"] = [ns(lambda: trade(on, wished, rules), bars) for _ in range(5)]
    ours[SETTING] = setting_ms(int(SWEPT * scale), SETTINGS)
    many, beliefs = market(MANY[0], max(2_000, int(MANY[1] * scale)))
    shared = compared(many, MANY[2], trail_frac=0.02)
    trade(many, beliefs, shared)
    ours[PORTFOLIO] = [ns(lambda: trade(many, beliefs, shared), MANY[0] * len(many.times)) for _ in range(5)]
    ours[LOOP] = [looped_ns(max(2_000, int(40_000 * scale))) for _ in range(3)]
    ours[TURN] = [1e3 * s for s in cpu_s(a_turn(), 9)]
    yield from (_row(f"ours, {what}", _unit(what), values) for what, values in ours.items())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bars.npz")
        columns = dict(zip(_COLUMNS, on.bars[0].T, strict=False))
        np.savez(path, score=wished.columns[0, 0], times=on.times, **columns)
        portfolio = Path(folder, "portfolio.npz")
        fields = {name: many.bars[..., place] for place, name in enumerate(_COLUMNS)}
        np.savez(portfolio, score=beliefs.columns[0], confidence=beliefs.columns[1], **fields)
        for name, (packages, most, runs, usual, different) in PEERS.items():
            given = portfolio if usual == PORTFOLIO else path
            told = _asked(name, packages, given, max(2_000, int(most * scale)), runs)
            if isinstance(told, str):
                yield f"{name}: {told}", "", float("nan"), [float("nan")], ""
                continue
            yield f"{name}, trades that it made ({different})", "", told["trades"], [told["trades"]], ""
            told.pop(SETTING, None)  # of as many bars as ours it is asked below
            yield from _beside(name, told, ours)
        swept = _asked("vectorbt", PEERS["vectorbt"][0], path, int(SWEPT * scale), 3)
        if not isinstance(swept, str):
            yield from _beside("vectorbt", {SETTING: swept[SETTING]}, ours)


def looped_ns(bars):
    """What a bar costs our event loop, its journal in memory, on the first of those bars."""
    on, wished = market(1, bars)
    rules = compared(on)
    (symbol,) = on.symbols
    frame = pd.DataFrame(on.bars[0], pd.to_datetime(on.times, unit="us", utc=True), _COLUMNS)
    history = Market.of({symbol: frame.rename_axis("ts")}, "1m")
    venue = SimulatedExchange(rules.instruments, 10_000)
    return ns(lambda: backtest(history, _Given(wished.columns), rules, venue), bars)


_COLUMNS = ("open", "high", "low", "close", "volume")


class _Given:
    """Beliefs that were there before."""

    name, lookback = "given", 1

    def __init__(self, columns):
        self._columns = columns

    def signals(self, panel):
        return Beliefs(*(column[:, : len(panel)] for column in self._columns))


def _beside(name, told, ours):
    """Rows of what a peer said of itself, and how many times ours it is."""
    usual = PEERS[name][3]
    for what, values in told.items():
        if what == "trades":
            continue
        yield _row(f"{name}, {what}", _unit(what), values)
        for mine in {"whole": {WHOLE, usual}}.get(what, {what}):
            ratio = float(np.median(values) / np.median(ours[mine]))
            target = TARGETS.get((name, mine), TARGETS.get((name, what), ""))
            yield f"  times ours, {mine}", "x", ratio, [ratio], target


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
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HOUR_S)
        if done.returncode:
            return f"failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1][:120]}"
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, OSError, IndexError, ValueError) as why:  # one line of the table, not its end
        return f"failed: {str(why)[:120]}"


def _unit(what):
    return "ms" if what.endswith("ms") else "ns/bar"


def _row(what, unit, values):
    return what, unit, float(np.median(values)), list(values), ""


if __name__ == "__main__":
    for what, unit, value, _, target in figures_of_peers(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0):
        print(f"{what:90} {value:14,.1f} {unit:8} {target}", flush=True)
