"""How fast the compiled engine is, against a loop in C that does the least such a backtest can do, on the same bars.

The C loop knows one symbol, or many with shared slots: a target, a stop and a trail inside the bar, the way out on a
signal to the other side, a fee, an equity for each bar. It has no account to keep exact, no venue that may say no, and
writes nothing down: it is the limit.
"""

import ctypes
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np

from qtlib.domain.market import Instrument
from qtlib.engine import compiled
from qtlib.exchanges.simulated import Conduct
from qtlib.report.metrics import metrics
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.tpsl import ExitParams
from qtlib.runs import columns

C = r"""
#include <math.h>
long run(long symbols, long bars, const double *open, const double *high, const double *low, const double *close,
         const double *score, const double *confidence, long most, double gross_cap, double stop, double target,
         double trail, double fee, double slip, double threshold, double *equity) {
    double lots[64], entry[64], best[64], cash = 10000.0;
    int side[64];
    long held = 0, trades = 0;
    double gross = 0.0;
    for (long s = 0; s < symbols; s++) side[s] = 0;
    for (long t = 0; t < bars; t++) {
        double worth = 0.0;
        for (long s = 0; s < symbols; s++) {
            long i = s * bars + t;
            if (side[s]) {
                double o = open[i], out = 0.0, d = side[s];
                double level = entry[s] * (1 - d * stop), take = entry[s] * (1 + d * target);
                double behind = best[s] - d * trail * entry[s];
                if (d > 0 ? behind > level : behind < level) level = behind;
                double adverse = d > 0 ? low[i] : high[i], good = d > 0 ? high[i] : low[i];
                if (d * (adverse - level) <= 0) out = d * (o - level) <= 0 ? o : level;
                else if (d * (good - take) >= 0) out = d * (o - take) >= 0 ? o : take;
                if (out != 0.0) {
                    out *= 1 - d * slip;
                    cash += d * lots[s] * (out - entry[s]) - fee * lots[s] * out;
                    gross -= lots[s] * entry[s];
                    side[s] = 0; held--; trades++;
                } else {
                    if (d * (good - best[s]) > 0) best[s] = good;
                    worth += d * lots[s] * (close[i] - entry[s]);
                }
            }
        }
        for (long s = 0; s < symbols; s++) {
            long i = s * bars + t;
            if (side[s] && confidence[i] >= threshold && side[s] * score[i] < 0.0 && t + 1 < bars) {
                double out = open[i + 1] * (1 - side[s] * slip);
                cash += side[s] * lots[s] * (out - entry[s]) - fee * lots[s] * out;
                worth -= side[s] * lots[s] * (close[i] - entry[s]);
                gross -= lots[s] * entry[s];
                side[s] = 0; held--; trades++;
                continue;
            }
            if (side[s] == 0 && confidence[i] >= threshold && score[i] != 0.0 && held < most && t + 1 < bars) {
                double wanted = 200.0 * confidence[i] * (0.5 + confidence[i]);
                if (wanted > 200.0) wanted = 200.0;
                if (gross + wanted > gross_cap) wanted = gross_cap - gross;
                if (wanted < 5.0) continue;
                side[s] = score[i] > 0 ? 1 : -1;
                entry[s] = open[i + 1] * (1 + side[s] * slip);
                best[s] = entry[s];
                lots[s] = floor(wanted / close[i] * 1000.0) / 1000.0;
                cash -= fee * lots[s] * entry[s];
                gross += lots[s] * entry[s]; held++;
            }
        }
        equity[t] = cash + worth;
    }
    return trades;
}
"""


def figures(one=1_000_000, many=(20, 200_000)):
    """Rows of (what, unit, value, values, target), best of a few in process time, as a busy machine only adds to it.

    The first call is left out: it reads the machine code, and looks over a tape that later ones take for granted.
    """
    loop = _c_loop()
    for what, symbols, bars, most, target in (("1 symbol", 1, one, 1, 2.0), ("20 symbols, 4 positions", *many, 4, 3.0)):
        on, wished = market(symbols, bars)
        rules = compared(on, most, trail_frac=0.02)
        cells = symbols * bars
        trade(on, wished, rules)
        ours = [ns(lambda: trade(on, wished, rules), cells) for _ in range(5)]  # noqa: B023  called at once
        yield f"compiled engine, {what}", "ns/bar", min(ours), ours, ""
        if loop is not None:
            theirs = [ns(lambda: _run_c(loop, on, wished, most), cells) for _ in range(5)]  # noqa: B023  likewise
            yield f"  a C loop, {what}", "ns/bar", min(theirs), theirs, ""
            yield f"  ratio, {what}", "x", min(ours) / min(theirs), [min(ours) / min(theirs)], f"≤ {target:g}"
        all_of_it = [ns(lambda: whole(on, wished, rules), cells) for _ in range(3)]  # noqa: B023  likewise
        yield f"  with tables and metrics, {what}", "ns/bar", min(all_of_it), all_of_it, "≤ 12" if symbols == 1 else ""


def compared(on, most=1, trail_frac=0.3):
    """Rules that all who are compared can keep: nothing ever stops trading; `trail_frac` is too wide to ever bite."""
    return Rules(
        {s: Instrument(s, Decimal("0.01"), Decimal("0.001")) for s in on.symbols},
        limits=RiskLimits(
            max_positions=most,
            max_net_exposure=800.0,
            max_day_fees_frac=1.0,
            max_daily_loss_frac=1.0,
            max_drawdown_frac=0.99,
            drawdown_ladder=(),
            max_losses_in_row=1_000_000,
            cooldown_s=0.0,
        ),
        exits=ExitParams(profile="static", tp_frac=0.02, sl_frac=0.015, trail_frac=trail_frac),
    )


def trade(on, wished, rules):
    return compiled.trade(on, wished, rules, Conduct(), Decimal(10_000), told=False)


def whole(on, wished, rules):
    """A tape that nobody looked over yet, traded; what came of it as tables, and metrics."""
    return metrics(columns.tables(trade(replace(on), wished, rules), rules))


def market(symbols, bars):
    rng = np.random.default_rng(1)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.002, (symbols, bars)), axis=1)), 2).clip(1.0)
    opened = np.concatenate([np.full((symbols, 1), 100.0), close[:, :-1]], axis=1)
    high = np.round(np.maximum(opened, close) * (1 + rng.uniform(0, 0.002, close.shape)), 2)
    low = np.round(np.minimum(opened, close) * (1 - rng.uniform(0, 0.002, close.shape)), 2)
    fast, slow = _mean(close, 20), _mean(close, 80)
    above = fast > slow
    crossed = np.zeros_like(above)
    crossed[:, 1:] = above[:, 1:] != above[:, :-1]
    score = np.where(crossed, np.where(above, 0.8, -0.8), 0.0)
    confidence = np.where(crossed, 0.7, 0.3)
    volatility = np.full(close.shape, 0.004)
    names = tuple(f"S{n:02}USDT" for n in range(symbols))
    times = np.arange(1, bars + 1, dtype=np.int64) * 60_000_000
    stacked = np.stack([opened, high, low, close, np.full(close.shape, 1e6)], axis=-1)
    tape = compiled.Tape(names, times, stacked, None, None, np.zeros((0, 4), np.int64))
    return tape, compiled.Wishes(np.stack([score, confidence, volatility]), np.zeros((3, symbols, 0)))


def _mean(values, span):
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    means = np.full(values.shape, np.nan)
    means[:, span - 1 :] = (sums[:, span:] - sums[:, :-span]) / span
    return means


def _c_loop():
    """The loop as machine code; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "loop.c"), Path(folder, "loop.so")
        source.write_text(C)
        subprocess.run([compiler, "-O3", "-march=native", "-shared", "-fPIC", source, "-o", library, "-lm"], check=True)
        return ctypes.CDLL(str(library))


@cache
def _fields(on):
    """Open, high, low and close, each as the loop reads it: bars of a symbol side by side."""
    return tuple(np.ascontiguousarray(on.bars[..., field]) for field in range(4))


def _run_c(loop, on, wished, most):
    equity = np.empty(len(on.times))
    arrays = (*_fields(on), *wished.columns[:2])
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in arrays]
    numbers = [ctypes.c_double(x) for x in (800.0, 0.015, 0.02, 0.02, 0.0005, 0.0002, 0.55)]
    size = [ctypes.c_long(n) for n in on.bars.shape[:2]]
    return loop.run(*size, *pointers, ctypes.c_long(most), *numbers, equity.ctypes.data_as(ctypes.c_void_p))


def ns(work, cells):
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / cells * 1e9


if __name__ == "__main__":
    for what, unit, value, _, target in figures():
        print(f"{what:40} {value:8.1f} {unit:8} {target}")
