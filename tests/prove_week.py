"""Seven days of fifty symbols, as a real session: what its kernels hold, and what is written of each day.

    python -m tests.prove_week [--days 7] [--symbols 50] [--whole]

A supervisor, a venue and a kernel a day (with `--whole` one kernel for all days), over the wire, in a market that waits
for them. Prints a row a kernel, and writes them as JSON where `--out` says; exit 1 if one grew by 20 MB once it was
warm, the last one holds 20 MB more than the first, or a notebook has 2 MB.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from qtlib.market import Market, Store
from qtlib.params import resolve
from qtlib.runs.execution.supervisor import supervise
from qtlib.runs.record.folder import HOME, runs

GROWTH_MB, NOTEBOOK_MB = 20.0, 2.0
DAY, PAST = 24, 60  # bars
FACTS = "{tick: 0.001, lot: 0.01, min_notional: 5}"
STRATEGY = "{fast: 4, medium: 8, slow: 12, volatility_span: 12}"


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--days", type=int, default=7)
    asked.add_argument("--symbols", type=int, default=50)
    asked.add_argument("--whole", action="store_true")
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    root, beats = Path(tempfile.mkdtemp(prefix="qt-week-")), []
    resolved = resolve(settings(root, given.symbols, given.days, given.whole), [])
    outcome = supervise(HOME / "notebooks" / "live.ipynb", resolved, root=root, venue=True, on_beat=beats.append)
    assert outcome.exit_code == 0, outcome.record
    rows = list(days(root, beats))
    for row in rows:
        print("  ".join(f"{name} {value:,}" for name, value in row.items()), flush=True)
    kept = all(row["grown_mb"] < GROWTH_MB and row["notebook_mb"] < NOTEBOOK_MB for row in rows)
    kept &= rows[-1]["held_mb"] - rows[0]["held_mb"] < GROWTH_MB
    print("within bounds" if kept else "OUT OF BOUNDS")
    if given.out:
        given.out.write_text(json.dumps({"rows": rows, "kept": kept}, indent=1))
    sys.exit(not kept)


def settings(root, count, days, whole):
    """Hourly bars of `count` symbols on disk, and a session that trades the last `days` of them."""
    rng, names = np.random.default_rng(7), [f"S{n:02d}USDT" for n in range(count)]
    index = pd.date_range("2026-01-01", periods=PAST + days * DAY, freq="1h", tz="UTC", name="ts")
    bars = {}
    for name in names:
        close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(index)))), 3)
        opened = np.r_[100.0, close[:-1]]
        spread = {"high": np.maximum(opened, close) + 0.01, "low": np.minimum(opened, close) - 0.01}
        bars[name] = pd.DataFrame({"open": opened, **spread, "close": close, "volume": 1e6}, index=index)
    Store(root / "bars").write(Market.of(bars, "1h"))
    file = root / "week.yaml"
    file.write_text(
        f"mode: sim\nvenue: {{balance: 100000, symbols: {{{', '.join(f'{name}: {FACTS}' for name in names)}}}}}\n"
        f"data: {{source: files, path: {root / 'bars'}, timeframe: 1h, history: {PAST}}}\n"
        f"universe: {{symbols: [{', '.join(names)}]}}\n"
        f"strategy: {{name: trend, params: {STRATEGY}}}\n"
        f"session: {{rollover_bars: {'null' if whole else DAY}, max_bars: {days * DAY}, heartbeat_s: 0.1}}\n"
    )
    return file


def days(root, beats):
    """A row of each segment: what its kernel held once it was warm and at its end, and what is on disk of it."""
    lives, last = [], 0
    for beat in beats:
        if beat.get("resting") or not beat.get("rss_mb"):
            continue
        if not lives or beat["done"] < last:
            lives.append([])
        lives[-1].append((beat["done"], beat["rss_mb"]))
        last = beat["done"]
    for folder, life in zip(list(runs(root))[::-1], lives, strict=True):
        warm = next(rss for done, rss in life if done >= DAY / 4)
        size = {f"{what}_mb": round((folder / name).stat().st_size / 1e6, 2) for what, name in FILES}
        trades = (folder.record().get("metrics") or {}).get("trades")
        yield {
            "bars": life[-1][0],
            "trades": trades,
            "held_mb": life[-1][1],
            "grown_mb": round(life[-1][1] - warm, 1),
        } | size


FILES = (("notebook", "notebook.ipynb"), ("report", "report.html"))

if __name__ == "__main__":
    main()
