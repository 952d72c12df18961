"""`make prove`: sessions through thousands of seeded trials, and what the witness found; a table, and JSON under runs/.

10,000 trials in process, and some hundreds over the wire, on all cores. Each is kept in a file as it ends, under the
hash of the code that it ran: so what was stopped goes on where it was, and what was changed begins anew. `--seed N`
(with `--wire`) lives through one alone, and tells in order all that happened in it. Exit 1 if a law was broken.
"""

import hashlib
import json
import os
import platform
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

from a_trial import trial  # noqa: E402
from lived_trials import Life, live  # noqa: E402

AT_ONCE = {False: 40, True: 2}  # trials that a worker takes; over the wire they are slower
SHOWN = 20  # broken trials
WAYS = {False: "in process", True: "over the wire"}
Record = dict[str, Any]


def main() -> None:
    asked = _asked()
    console = Console()
    if asked.seed is not None:
        sys.exit(one(asked.seed, asked.wire, console))
    kept = Path(os.environ.get("QT_RUNS_DIR", "runs")) / "prove" / f"{code_hash()}.jsonl"
    if asked.anew:
        kept.unlink(missing_ok=True)
    before = list(read(kept))
    begun = time.monotonic()
    todo = {
        wire: sorted(set(range(most)) - {r["seed"] for r in before if r["wire"] is wire})
        for wire, most in ((False, asked.trials), (True, asked.over_the_wire))
    }
    records = [*before, *lived(todo, kept, asked.workers, console)]
    records = [r for r in records if r["seed"] < (asked.over_the_wire if r["wire"] else asked.trials)]
    figures = {WAYS[wire]: summed([r for r in records if r["wire"] is wire]) for wire in WAYS}
    broken = [r for r in records if r["broken"]]
    show(figures, broken, console)
    host = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    now, took = datetime.now(UTC), round(time.monotonic() - begun, 1)
    path = kept.with_name(f"{now:%Y%m%dT%H%M%SZ}.json")
    document = {"proved": now.isoformat(), "seconds": took, "code": kept.stem, "host": host, "figures": figures}
    path.write_text(json.dumps({**document, "broken": broken}, indent=1))
    console.print(f"{took:,.0f} s; written to {path}")
    sys.exit(1 if broken else 0)


def one(seed: int, wire: bool, console: Console) -> int:
    """Live through one trial, and tell all of it."""
    drawn = trial(seed, wire)
    console.print(drawn)
    record = kept_of(drawn.seed, wire)
    tell(record, console)
    console.print("every law was kept" if not record["broken"] else f"{len(record['broken'])} laws were broken")
    return 1 if record["broken"] else 0


def lived(todo: dict[bool, list[int]], kept: Path, workers: int, console: Console) -> list[Record]:
    """Live through what is `todo`, and keep each as it ends."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    found: list[Record] = []
    with (
        kept.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(workers, get_context("spawn")) as pool,
        bars,
    ):
        tasks = {wire: bars.add_task(WAYS[wire], total=len(seeds), rate="") for wire, seeds in todo.items()}
        batches = [
            pool.submit(batch, wire, seeds[at : at + AT_ONCE[wire]])
            for wire, seeds in todo.items()
            for at in range(0, len(seeds), AT_ONCE[wire])
        ]
        for done in as_completed(batches):
            for record in done.result():
                found.append(record)
                file.write(json.dumps(record) + "\n")
                task = tasks[record["wire"]]
                speed = bars.tasks[task].speed
                bars.update(task, advance=1, rate=f"{speed:,.1f}/s" if speed else "")
                if record["broken"]:
                    console.print(f"broken: {how(record)}")
            file.flush()
    return found


def batch(wire: bool, seeds: Sequence[int]) -> list[Record]:
    """In a worker: what became of these trials."""
    return [kept_of(seed, wire) for seed in seeds]


def kept_of(seed: int, wire: bool) -> Record:
    """What is kept of a trial: its figures, and all that happened in one that broke a law."""
    drawn, begun = trial(seed, wire), time.perf_counter()
    try:
        life = live(drawn)
    except Exception as why:  # a session that ends by an error has broken the first law of all
        life = Life(drawn, [f"it ended by {type(why).__name__}: {why}"], [], [])
    record = {"seed": seed, "wire": wire, "seconds": round(time.perf_counter() - begun, 3)}
    story = {"told": life.told, "injected": life.injected} if life.broken else {}
    return {**record, "broken": life.broken, **story, "figures": life.figures}


def read(kept: Path) -> Iterator[Record]:
    """What was kept before; a last line that was cut off does not count."""
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def summed(records: Sequence[Record]) -> dict[str, int | float]:
    """The figures of all, added up or, where they are the most of something, the largest."""
    totals: Counter[str] = Counter(trials=len(records), broken=sum(bool(r["broken"]) for r in records))
    for record in records:
        for name, number in record["figures"].items():
            totals[name] = max(totals[name], number) if name.endswith("at most") else totals[name] + number
    return {**totals, "seconds, of all workers": round(sum(r["seconds"] for r in records), 1)}


def show(figures: dict[str, dict[str, int | float]], broken: Sequence[Record], console: Console) -> None:
    shown = Table("what", *figures, title="what was lived through, and what the witness found")
    for column in shown.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(name for column in figures.values() for name in column):
        shown.add_row(name, *(f"{column.get(name, 0):,}" for column in figures.values()))
    console.print(shown)
    for record in broken[:SHOWN]:
        tell(record, console)
        console.print(f"  again: {how(record)}")


def tell(record: Record, console: Console) -> None:
    """What happened in a trial, in order, and which laws were broken."""
    for title in ("told", "injected", "broken"):
        for line in record.get(title, ()):
            console.print(f"  {title}: {line}", highlight=False, markup=False)


def how(record: Record) -> str:
    """How to live through just this one."""
    return f"python -m tests.prove --seed {record['seed']}{' --wire' * record['wire']}"


def code_hash() -> str:
    """Of all that a trial runs."""
    digest = hashlib.sha256()
    for path in sorted([*(HERE.parent / "qtlib").rglob("*.py"), *HERE.glob("*.py")]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _asked() -> Namespace:
    parser = ArgumentParser("python -m tests.prove", description=__doc__)
    parser.add_argument("--seed", type=int, help="live through this one alone")
    parser.add_argument("--wire", action="store_true", help="that one over the wire")
    parser.add_argument("--trials", type=int, default=10_000, help="in process")
    parser.add_argument("--over-the-wire", type=int, default=240)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--anew", action="store_true", help="forget what was lived through before")
    return parser.parse_args()


if __name__ == "__main__":
    main()
