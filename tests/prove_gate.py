"""Power and honesty of the gate, over simulated markets: how often an edge is let through, and how often nothing is.

Three kinds of market, each from seeds: with a planted edge, without one, and with one whose outcomes were moved to
other times before anyone learned from them (`permuted`). On each a challenger is made and judged for the first time,
with the defaults of the gate: features, labels under the brackets that trade, purged walk-forward, null test, and the
last 300 days traded with all costs, by the challenger and by the trend rule, through the compiled twin of the event
loop, as a retrain does. The promise: at least 80 of 100 promoted with the edge, at least 95 of 100 refused without. And
a year of daily challengers that are worth nothing, of whom the gate may promote one in twenty years; here with every
check but returns given away.

The edge is strong (`EDGE`, the annual Sharpe ratio of one who sees the drift), and shorter-lived (`HALF_LIFE_H`) than
the trend rule looks back: of a drift that lasts for days the rule earns nearly all there is, and the gate is right to
promote nobody. Such a drift takes a price to a thousandth, or a hundredfold, within these two years. So it is listed
in steps that stay fine all the way (`LISTED`): with the steps of real listings a tick came to be a twentieth of the
price, the venue refused orders, and a study of seeds found what became of sessions that had been held back.

The market is small, so that a seed takes some seconds. Seeds are kept as they end, under the hash of the code: what
was stopped goes on. A challenger that the predictions alone refuse is not traded any more, as nothing could save it:
so of the refused, the reasons are those found until then. `python -m tests.prove_gate --seeds 30`.
"""

import hashlib
import json
import os
import sys
import time
import warnings
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from qtlib.engine.compiled import backtest
from qtlib.engine.feeds import panel_of
from qtlib.exchanges.simulated import Conduct, instruments
from qtlib.learning.dataset import dataset
from qtlib.learning.features import DEFAULT_FEATURES, FeatureSet
from qtlib.learning.gate import Evidence, GateParams, Traded, flat, judge
from qtlib.learning.labels import labels
from qtlib.learning.learned import Learned, Trained
from qtlib.learning.measures import true_range_frac
from qtlib.learning.nulltest import NullTest, Skill, null_test, permuted
from qtlib.learning.scores import DAY, bets
from qtlib.learning.strategies import Trend
from qtlib.learning.training import TrainParams, Unlearnable, fit, fitting
from qtlib.learning.validation import ValidationParams, recent, walk_forward
from qtlib.market.simulated import Listing, SimulatedMarket, simulate
from qtlib.market.simulated.likeness import FOUND
from qtlib.report.metrics import daily_returns, trade_results
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import Costs, ExitParams
from qtlib.runs import columns

EDGE, HALF_LIFE_H = 60.0, 4.0
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
STEP = Decimal("0.0001")  # of prices and of quantities
FINE = {"tick": STEP, "lot": STEP}
LISTED = {symbol: Listing(10_000.0, STEP) for symbol in SYMBOLS}
BARS = 16_000  # of an hour; the last 300 days are traded
EXITS = ExitParams(time_stop_s=24 * 3600.0)  # one_r, with a day to get somewhere
SIZING = SizingParams(base_notional=2_000.0, confidence_threshold=0.5)
LIMITS = RiskLimits(
    max_notional_per_trade=2_000.0,
    max_notional_per_symbol=2_000.0,
    max_gross_exposure=6_000.0,
    max_net_exposure=6_000.0,
    max_cluster_exposure=6_000.0,
)
TRAINING = TrainParams(max_rows=12_000)
QUICK = TrainParams(max_rows=6_000)  # of the null test
VALIDATION = ValidationParams(folds=3, warmup_frac=0.3, embargo=48, recent_frac=0.45)
BLOCK = 168  # hours of outcomes that change places together
CASH = 10_000
KINDS = {"edge": 0.80, "no edge": 0.95, "permuted": 0.95}  # and the share that should be promoted, or else refused
RUN = tuple(
    f"qtlib.{room}"
    for room in ("domain", "rules", "learning", "engine", "journal", "exchanges.simulated", "market.simulated")
)
Record = dict[str, Any]


def study(kind: str, seed: int) -> Record:
    """What became of one challenger."""
    begun = time.process_time()
    try:
        promoted, failed, words = _judged(kind, seed)
    except Unlearnable as why:
        promoted, failed, words = False, ["nothing to learn from"], str(why)
    seconds = round(time.process_time() - begun, 1)
    return {"kind": kind, "seed": seed, "promoted": promoted, "failed": failed, "words": words, "seconds": seconds}


def _judged(kind: str, seed: int) -> tuple[bool, list[str], str]:
    market = simulate(
        SimulatedMarket(
            seed=seed,
            edge=0.0 if kind == "no edge" else EDGE,
            drift_half_life_h=HALF_LIFE_H,
            symbols=SYMBOLS,
            listings=LISTED,
        ),
        BARS,
    )
    panel, features = panel_of(market), FeatureSet(DEFAULT_FEATURES)
    volatility = true_range_frac(panel, 14)
    data = dataset(panel, features, labels(panel, volatility, EXITS, Costs()), volatility)
    if kind == "permuted":
        data = permuted(data, BLOCK, np.random.default_rng([seed, 77]))
    cut, begins = recent(data.at, data.end, VALIDATION)
    past, threshold = data.take(cut.train), SIZING.confidence_threshold

    told = walk_forward(past, fitting(TRAINING), VALIDATION)
    rows = np.flatnonzero(told.fold >= 0)
    trend = Trend().signals(panel)
    sides = [(told.score, told.confidence), (of[past.symbol, past.at] for of in trend[:2])]
    challenger, rule = (
        bets(past.times[rows], score[rows], sure[rows], past.long_r[rows], past.short_r[rows], threshold)
        for score, sure in sides
    )
    quick = ValidationParams(folds=1, warmup_frac=0.6, embargo=VALIDATION.embargo)
    null = null_test(past, Skill(fitting(QUICK), quick), block=BLOCK, seed=seed, enough=1, max_rows=12_000)

    def ruled(*traded: Traded) -> Any:
        return judge(Evidence(challenger, traded[0], (flat(len(traded[0].returns)), *traded[1:]), null, rule))

    sure = [r for r in ruled(flat(30)).failed if "out of sample" in r.name or "permuted" in r.name or r.name in CALM]
    if sure:
        return False, [r.name for r in sure], str(sure[0])
    model = Learned(Trained(features, fit(past, TRAINING), None, int(panel.times[begins - 1])), "challenger")
    after = int(panel.times[begins - 1])
    ruling = ruled(*(_traded(market, who, after) for who in (model, Trend())))
    return ruling.promoted, [reason.name for reason in ruling.failed], ruling.words


CALM = ("calibration error", "overconfidence of its bets, lower bound", "Brier skill over the base rate")


def _traded(market: Any, strategy: Any, after: int) -> Traded:
    """The stretch after `after` [µs], traded."""
    rules = Rules(instruments(SYMBOLS, dict.fromkeys(SYMBOLS, FINE)), SIZING, LIMITS, EXITS, Costs())
    begins = pd.Timestamp(after, unit="us", tz="UTC")
    done = backtest(market, strategy, rules, Conduct(), Decimal(CASH), after=begins.to_pydatetime())
    books = columns.tables(done, rules)
    equity = pd.Series(books.equity.equity_quote.to_numpy(float), pd.DatetimeIndex(books.equity.ts))
    last = pd.DatetimeIndex(next(iter(market.bars.values())).index)[-1] - pd.Timedelta(microseconds=1)
    days = pd.date_range(begins.normalize(), last.normalize())
    returns = daily_returns(equity, float(CASH)).reindex(days).fillna(0.0).to_numpy(float)
    entry = books.trades.groupby("trade_id", sort=False).entry_ts.first()
    result = trade_results(books.trades).r_multiple
    known = result.notna().to_numpy()
    day = (pd.DatetimeIndex(entry).as_unit("us").asi8 // DAY - begins.value // 1000 // DAY)[known]
    return Traded(strategy.name, returns, result.to_numpy(float)[known], np.clip(day, 0, len(days) - 1))


def a_year(seed: int, every: int = 1, days: int = 120) -> int:
    """How many of a year's worthless challengers pass, judged every so many days, all checks but returns given away.

    Each looks back over the last `days`; half of what it earned is its own luck and half is shared by all of them, as
    models that are trained on much the same data trade much alike.
    """
    dice = np.random.default_rng([seed, every])
    common = dice.standard_normal(days + 366)
    size = 400
    known = np.sign(dice.standard_normal(size))
    given = bets(np.arange(size) * (DAY // 4), known, np.full(size, 0.6), known * 1.0, -known * 1.0, 0.5)
    given = replace(given, r=np.where(np.arange(size) % 5 < 3, 1.0, -0.2))
    params = GateParams(draws=400, least_deflated_sharpe=0.0, drawdown_slack_frac=1.0, most_drawdown_frac=1.0)
    passed = 0
    for today in range(0, 365, every):
        returns = 0.003 * (common[today : today + days] + dice.standard_normal(days)) / sqrt(2.0)
        challenger = Traded("lucky", returns, np.tile([1.0, 0.5], days // 2), np.arange(days))
        evidence = Evidence(given, challenger, (flat(days),), NullTest(1.0, (0.0,) * 19), days_since_judged=every)
        passed += judge(evidence, params).promoted
    return passed


def run(
    seeds: int, console: Console, *, years: int = 40, workers: int | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """The figures of the study, over `seeds` of each kind; those that were kept before are not done again."""
    kept = (folder or Path(os.environ.get("QT_RUNS_DIR", "runs")) / "prove") / f"gate-{code_hash()}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    before = _read(kept)
    done = {(r["kind"], r["seed"]) for r in before}
    kinds = [*KINDS, "year, daily", "year, weekly"]
    counts = {kind: years if kind.startswith("year") else seeds for kind in kinds}
    todo = [(kind, seed) for seed in range(max(seeds, years)) for kind in kinds if seed < counts[kind]]
    todo = [job for job in todo if job not in done]
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    records = list(before)
    with kept.open("a") as file, ProcessPoolExecutor(workers, get_context("spawn")) as pool, bars:
        task = bars.add_task("the gate", total=len(todo))
        for ended in as_completed([pool.submit(_one, *job) for job in todo]):
            records.append(ended.result())
            file.write(json.dumps(records[-1]) + "\n")
            file.flush()
            bars.advance(task)
    return {kind: _figures(kind, [r for r in records if r["kind"] == kind]) for kind in kinds}


def show(figures: dict[str, Any], console: Console) -> None:
    table = Table("market", "judged", "promoted", "95 % interval", "should be", "refused for", title="the gate")
    for kind, f in figures.items():
        low, high = (f"{100 * side:.0f}" for side in f["interval"])
        table.add_row(
            kind, str(f["judged"]), str(f["promoted"]), f"{low} to {high} %", f["should"],
            ", ".join(f"{name} {n}" for name, n in f["failed"].items()),
        )  # fmt: skip
    console.print(table)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927).

    >>> [round(side, 3) for side in wilson(80, 100)]
    [0.711, 0.867]
    """
    if not of:
        return 0.0, 1.0
    z, share = 1.959964, hits / of
    middle, width = share + z * z / (2 * of), z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - width) / (1 + z * z / of), (middle + width) / (1 + z * z / of)


def code_hash() -> str:
    """Of all that was loaded and bears on what the study finds: what else changes makes no seed stale."""
    loaded = [m.__file__ for name, m in sys.modules.items() if name.startswith(RUN) and m.__file__]
    digest = hashlib.sha256(Path(__file__).read_bytes() + FOUND.read_bytes())
    for path in sorted(map(Path, loaded)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _one(kind: str, seed: int) -> Record:
    warnings.simplefilter("ignore")
    if kind.startswith("year"):
        begun = time.process_time()
        passed = a_year(seed, every=1 if kind.endswith("daily") else 7)
        seconds = round(time.process_time() - begun, 1)
        return {"kind": kind, "seed": seed, "promoted": passed > 0, "failed": [], "words": "", "seconds": seconds}
    return study(kind, seed)


def _read(kept: Path) -> list[Record]:
    """What was kept; a last line that was cut off does not count."""
    records = []
    for line in kept.read_text().splitlines() if kept.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def _figures(kind: str, records: Sequence[Record]) -> dict[str, Any]:
    promoted = sum(r["promoted"] for r in records)
    failed = Counter(name for r in records for name in r["failed"])
    should = {"edge": ">= 80 %"}.get(kind, "<= 5 %")
    return {
        "judged": len(records),
        "promoted": promoted,
        "interval": wilson(promoted, len(records)),
        "should": should,
        "failed": dict(failed.most_common(4)),
        "seconds, of all workers": round(sum(r["seconds"] for r in records), 1),
    }


def main() -> None:
    parser = ArgumentParser("python -m tests.prove_gate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="of each kind of market")
    parser.add_argument("--years", type=int, default=40, help="of worthless challengers")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, help="this one alone, with all it says")
    parser.add_argument("--kind", choices=tuple(KINDS), default="edge", help="of that one")
    asked, console = parser.parse_args(), Console()
    if asked.seed is not None:
        console.print_json(data=study(asked.kind, asked.seed))
        return
    begun = time.monotonic()
    figures = run(asked.seeds, console, years=asked.years, workers=asked.workers)
    show(figures, console)
    market = {"edge": EDGE, "drift_half_life_h": HALF_LIFE_H, "symbols": SYMBOLS, "bars": BARS}
    now = datetime.now(UTC)
    path = Path(os.environ.get("QT_RUNS_DIR", "runs")) / "prove" / f"gate-{now:%Y%m%dT%H%M%SZ}.json"
    document = {"proved": now.isoformat(), "code": code_hash(), "market": market, "figures": figures}
    path.write_text(json.dumps({**document, "seconds": round(time.monotonic() - begun, 1)}, indent=1))
    console.print(f"written to {path}")
    bad = figures["edge"]["interval"][1] < 0.80 or any(
        figures[kind]["interval"][0] > 0.05 for kind in figures if kind != "edge"
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
