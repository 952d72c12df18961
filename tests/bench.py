"""`make bench`: what users wait for, measured; a table on the terminal, and JSON under runs/bench/.

Each figure is the median of a few runs in this process, on this machine, now; the slowest and fastest stand beside it,
as a busy machine widens them. Whoever compares two machines, or two days, compares ratios.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "journal")]

from bench_compiled import figures as compiled_figures  # noqa: E402
from bench_features import figures as feature_figures  # noqa: E402
from bench_journal import figures as journal_figures  # noqa: E402
from bench_peers import figures_of_peers  # noqa: E402
from bench_reaction import figures as reaction_figures  # noqa: E402
from bench_sweep import figures_of_sweeps  # noqa: E402

from qtlib.engine.feeds import lived, panel_of, replay  # noqa: E402
from qtlib.engine.session import session  # noqa: E402
from qtlib.journal import Journal, MemoryJournal  # noqa: E402
from qtlib.learning.strategies import Trend  # noqa: E402
from qtlib.market import Store, read  # noqa: E402
from qtlib.market.names import Name  # noqa: E402
from qtlib.market.quality import COLUMNS  # noqa: E402
from qtlib.market.series import Rows, Series  # noqa: E402
from qtlib.market.simulated import LIKENESS, LISTINGS, SimulatedMarket, simulate  # noqa: E402
from qtlib.market.timeframes import HOUR  # noqa: E402
from qtlib.params import resolve  # noqa: E402
from qtlib.report.metrics import metrics  # noqa: E402
from qtlib.report.tables import tables  # noqa: E402
from qtlib.runs import wiring  # noqa: E402

RUNS = 3
SCALE = float(os.environ.get("BENCH_SCALE", "1"))  # of most numbers of bars: a tenth says less, and takes minutes


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    unit: str
    median: float
    low: float
    high: float
    target: str = ""


def measured(what: str, unit: str, once: Callable[[], float], target: str = "", runs: int = RUNS) -> Figure:
    values = [once() for _ in range(runs)]
    return Figure(what, unit, statistics.median(values), min(values), max(values), target)


def sized(bars: int) -> int:
    return max(2_000, int(bars * SCALE))


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def loop_rate(symbols: str, bars: int, folder: Path | None = None) -> float:
    """Bars a second (of all symbols together) through the event loop, as `params/backtest.yaml` trades them."""
    params = resolve(HERE.parent / "params/backtest.yaml", [f"universe.symbols={symbols}", f"data.bars={bars}"], {})
    p = params.params
    market, listed = wiring.market(p), wiring.instruments(p)
    rules, venue = wiring.rules(p, listed), wiring.venue(p, listed)
    journal = MemoryJournal() if folder is None else Journal(tempfile.mktemp(dir=folder, suffix=".sqlite"))
    feed = lived(venue, replay(market, wiring.strategy(p)))
    took = seconds(lambda: session(feed, rules, venue, journal, close_at_end=True))
    journal.close()
    return len(symbols.split(",")) * bars / took


def report_seconds(bars: int) -> float:
    """From a journal of one symbol's bars to tables and metrics."""
    p = resolve(HERE.parent / "params/backtest.yaml", ["universe.symbols=BTCUSDT", f"data.bars={bars}"], {}).params
    market, listed, journal = wiring.market(p), wiring.instruments(p), MemoryJournal()
    venue = wiring.venue(p, listed)
    session(lived(venue, replay(market, wiring.strategy(p))), wiring.rules(p, listed), venue, journal)
    return seconds(lambda: metrics(tables(event for _, event in journal.events())))


def read_ms(folder: Path) -> Callable[[], float]:
    year = simulate(SimulatedMarket(symbols=("BTCUSDT",), timeframe="1m"), bars=365 * 24 * 60)
    Store(folder).write(year)
    return lambda: 1e3 * seconds(lambda: read(folder, ["BTCUSDT"], "1m"))


def simulated_s() -> float:
    """A year of 5 m bars of twenty symbols: the ten that there are, twice."""
    again = {f"AGAIN{symbol}": replace(its, traits=LIKENESS.symbols[symbol]) for symbol, its in LISTINGS.items()}
    twenty = {**LISTINGS, **again}
    kind = SimulatedMarket(symbols=tuple(twenty), timeframe="5m", listings=twenty)
    return seconds(lambda: simulate(kind, bars=365 * 24 * 12))


def append_ms(folder: Path) -> Callable[[], float]:
    """A day of minutes, behind the year that `read_ms` has written."""
    store, name, coming = Store(folder), Name("BTCUSDT", "1m"), count(1)
    rows, label = Series(folder, str(name)).load(COLUMNS)
    day = rows.where(slice(-24 * 60, None))
    return lambda: 1e3 * seconds(lambda: store.add(name, Rows(day.times + next(coming) * 24 * HOUR, day.values), label))


def strategy_ms() -> float:
    panel = panel_of(simulate(SimulatedMarket(symbols=("BTCUSDT",)), bars=200))
    trend = Trend()
    return seconds(lambda: [trend.signals(panel) for _ in range(100)]) * 10


def process_s(*command: str, runs: Path | None = None) -> float:
    env = os.environ | ({"QT_RUNS_DIR": str(runs)} if runs else {})
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True, env=env))


def backtest_s(folder: Path, symbols: int, bars: int) -> Callable[[], float]:
    """From the command to its report, on hours on disk: a kernel, the notebook, the page."""
    again = {f"AGAIN{symbol}": replace(its, traits=LIKENESS.symbols[symbol]) for symbol, its in LISTINGS.items()}
    listed = dict(list({**LISTINGS, **again}.items())[:symbols])
    Store(folder / str(bars)).write(simulate(SimulatedMarket(symbols=tuple(listed), listings=listed), bars=bars))
    words = [f"universe.symbols={','.join(listed)}", "data.source=files", f"data.path={folder / str(bars)}"]
    words += [
        f"venue.symbols.{symbol}={{tick: 0.01, lot: 0.001, min_notional: 5}}" for symbol in listed if symbol in again
    ]
    given = [part for word in (*words, "data.bars=null") for part in ("-p", word)]
    command = (sys.executable, "-m", "qtlib.cli", "backtest", *given, "--json")
    return lambda: process_s(*command, runs=folder / "runs")


def sized_figures() -> Iterator[tuple[str, str, float, list[float], str]]:
    yield from compiled_figures(int(1_000_000 * SCALE), (20, int(200_000 * SCALE)))
    yield from feature_figures(int(1_000_000 * SCALE))
    yield from figures_of_sweeps(max(50, int(500 * SCALE)), int(100_000 * SCALE))


def peers_figures() -> list[tuple[str, str, float, list[float], str]]:
    """Of others, in environments of their own: when they are asked for, as they take a while to set up."""
    return list(figures_of_peers(SCALE)) if os.environ.get("PEERS", "0") not in ("", "0") else []


def figures(folder: Path) -> list[Figure]:
    python = sys.executable
    ten = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,LINKUSDT,NEARUSDT,ADAUSDT,BNBUSDT,DOGEUSDT,AVAXUSDT"
    rate = "bars/s"
    found = [
        measured(
            "event loop, 1 symbol, journal in memory", rate, lambda: loop_rate("BTCUSDT", sized(40_000)), "≥ 20,000"
        ),
        measured(
            "  the same, a history four times as long", rate, lambda: loop_rate("BTCUSDT", sized(160_000)), "flat"
        ),
        measured(
            "event loop, 1 symbol, journal on disk",
            rate,
            lambda: loop_rate("BTCUSDT", sized(10_000), folder),
            "≥ 5,000",
        ),
        measured(
            "  the same, a history four times as long",
            rate,
            lambda: loop_rate("BTCUSDT", sized(40_000), folder),
            "flat",
        ),
        measured("event loop, 10 symbols, journal in memory", rate, lambda: loop_rate(ten, sized(8_000))),
        measured("tables and metrics of 100,000 bars", "s", lambda: report_seconds(sized(100_000)), "< 3"),
        measured("read and check a year of 1 m bars", "ms", read_ms(folder), "< 150"),
        measured("simulate a year of 5 m bars of 20 symbols", "s", simulated_s, "< 5"),
        measured("append a day of 1 m bars to them", "ms", append_ms(folder)),
        measured("one symbol's beliefs from 200 bars", "ms", strategy_ms),
        measured("qt backtest, 2 symbols and 2,000 bars, a process", "s", backtest_s(folder, 2, 2_000), "< 4"),
        measured(
            "qt backtest, 12 symbols and 3 years of hours",
            "s",
            backtest_s(folder, 12, 3 * 8_760),
            "< 12",
            runs=1,
        ),
        measured("qt --help, a process", "s", lambda: process_s(python, "-m", "qtlib.cli", "--help"), "< 0.3"),
        measured("import qtlib, a process", "s", lambda: process_s(python, "-c", "import qtlib"), "< 0.5"),
    ]
    found += [
        Figure(what, unit, value, min(values), max(values), target)
        for what, unit, value, values, target in (*sized_figures(), *reaction_figures(), *peers_figures())
    ]
    return found + [
        Figure(name, "", value, value, value)
        for name, value in journal_figures(int(os.environ.get("BENCH_EVENTS", str(int(1_000_000 * SCALE))))).items()
    ]


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory(dir=".") as folder, console.status("measuring, a few minutes"):
        found = figures(Path(folder))
    shown = Table(
        "what", "unit", "median", "low", "high", "target", title=f"{platform.machine()}, {os.cpu_count()} cores"
    )
    for f in found:
        shown.add_row(
            f.what, f.unit, *(f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in (f.median, f.low, f.high)), f.target
        )
    console.print(shown)
    now = datetime.now(UTC)
    path = Path(os.environ.get("QT_RUNS_DIR", "runs")) / "bench" / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    host = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    path.write_text(
        json.dumps({"measured": now.isoformat(), "host": host, "figures": [asdict(f) for f in found]}, indent=1)
    )
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
