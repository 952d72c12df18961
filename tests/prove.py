"""`make prove`: sessions through all that goes wrong, and which laws were broken: a table, and JSON under runs/.

10,000 seeded trials in process, some hundreds over the wire, the kill matrix with real processes (see
`runs/kill_matrix`), fetches of bars that are killed under faults, and 20,000 backtests by both engines (`twin_cases`),
on all cores. Each is kept in a file as it ends, under the hash of the code that it ran: so what was stopped goes on
where it was, and what was changed begins anew. `--seed N` (with `--way`) lives through one alone, and tells in order
all that happened in it. Exit 1 if a law was broken.
"""

import hashlib
import json
import os
import platform
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "runs")]

from a_trial import trial  # noqa: E402
from fetch_kills import killed_and_resumed  # noqa: E402
from kill_matrix import live_through, lives  # noqa: E402
from lived_trials import Life, live  # noqa: E402
from twin_cases import case, tried  # noqa: E402

SHOWN = 20  # broken ones
FETCH_KILLS = 10  # of one fetch
Record = dict[str, Any]


class Lived(NamedTuple):
    """What became of one of them: what was broken, what happened in order, and its figures."""

    broken: list[str]
    story: Mapping[str, list[str]]
    figures: Mapping[str, int]


class Way(NamedTuple):
    """A way to be tried: how many there are, how many a worker takes at once, and how one is lived through."""

    most: int
    at_once: int
    lived: Callable[[int], Lived]


def main() -> None:
    asked = _asked()
    console = Console()
    if asked.seed is not None:
        sys.exit(one(asked.seed, asked.way, console))
    kept = Path(os.environ.get("QT_RUNS_DIR", "runs")) / "prove" / f"{code_hash()}.jsonl"
    if asked.anew:
        kept.unlink(missing_ok=True)
    most = {
        "in process": asked.trials,
        "over the wire": asked.over_the_wire,
        "killed": asked.killed,
        "twins": asked.twins,
        "fetched": asked.fetched,
    }
    before = list(read(kept))
    begun = time.monotonic()
    todo = {way: sorted(set(range(n)) - {r["seed"] for r in before if r["way"] == way}) for way, n in most.items()}
    records = [*before, *lived(todo, kept, asked.workers, console)]
    records = [r for r in records if r["seed"] < most[r["way"]]]
    figures = {way: summed([r for r in records if r["way"] == way]) for way in most}
    broken = [r for r in records if r["broken"]]
    show(figures, broken, console)
    host = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    now, took = datetime.now(UTC), round(time.monotonic() - begun, 1)
    path = kept.with_name(f"{now:%Y%m%dT%H%M%SZ}.json")
    document = {"proved": now.isoformat(), "seconds": took, "code": kept.stem, "host": host, "figures": figures}
    path.write_text(json.dumps({**document, "broken": broken}, indent=1))
    console.print(f"{took:,.0f} s; written to {path}")
    sys.exit(1 if broken else 0)


def one(seed: int, way: str, console: Console) -> int:
    """Live through one, and tell all of it."""
    lived = WAYS[way].lived(seed)
    tell({**lived.story, "broken": lived.broken}, console)
    console.print("every law was kept" if not lived.broken else f"{len(lived.broken)} laws were broken")
    return 1 if lived.broken else 0


def lived(todo: Mapping[str, list[int]], kept: Path, workers: int, console: Console) -> list[Record]:
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
        tasks = {way: bars.add_task(way, total=len(seeds), rate="") for way, seeds in todo.items()}
        batches = [
            pool.submit(batch, way, seeds[at : at + WAYS[way].at_once])
            for way, seeds in todo.items()
            for at in range(0, len(seeds), WAYS[way].at_once)
        ]
        for done in as_completed(batches):
            for record in done.result():
                found.append(record)
                file.write(json.dumps(record) + "\n")
                task = tasks[record["way"]]
                speed = bars.tasks[task].speed
                bars.update(task, advance=1, rate=f"{speed:,.2f}/s" if speed else "")
                if record["broken"]:
                    console.print(f"broken: {how(record)}")
            file.flush()
    return found


def batch(way: str, seeds: Sequence[int]) -> list[Record]:
    """In a worker: what became of these."""
    return [kept_of(seed, way) for seed in seeds]


def kept_of(seed: int, way: str) -> Record:
    """What is kept of one: its figures, and all that happened in it if it broke a law."""
    begun = time.perf_counter()
    lived = WAYS[way].lived(seed)
    record = {"seed": seed, "way": way, "seconds": round(time.perf_counter() - begun, 3)}
    return {**record, "broken": lived.broken, **(lived.story if lived.broken else {}), "figures": dict(lived.figures)}


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
    totals: Counter[str] = Counter({"lived through": len(records), "broken": sum(bool(r["broken"]) for r in records)})
    for record in records:
        for name, number in record["figures"].items():
            totals[name] = max(totals[name], number) if name.endswith("at most") else totals[name] + number
    return {**totals, "seconds, of all workers": round(sum(r["seconds"] for r in records), 1)}


def show(figures: dict[str, dict[str, int | float]], broken: Sequence[Record], console: Console) -> None:
    shown = Table("what", *figures, title="what was lived through, and what was found")
    for column in shown.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(name for column in figures.values() for name in column):
        shown.add_row(name, *(f"{column[name]:,}" if name in column else "" for column in figures.values()))
    console.print(shown)
    for record in broken[:SHOWN]:
        tell(record, console)
        console.print(f"  again: {how(record)}")


def tell(record: Record, console: Console) -> None:
    """What happened in one, in order, and which laws were broken."""
    for title in ("drawn", "told", "injected", "struck", "broken"):
        for line in record.get(title, ()):
            console.print(f"  {title}: {line}", highlight=False, markup=False)


def how(record: Record) -> str:
    """How to live through just this one."""
    return f"python -m tests.prove --seed {record['seed']} --way '{record['way']}'"


def code_hash() -> str:
    """Of all that one of them runs."""
    root = HERE.parent
    code = [*(root / "qtlib").rglob("*.py"), *HERE.glob("*.py"), *(HERE / "runs").glob("*.py")]
    digest = hashlib.sha256()
    for path in sorted([*code, root / "notebooks" / "live.ipynb", root / "params" / "sim.yaml"]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


# --- the ways ---------------------------------------------------------------------------------------------


def _trial(seed: int, wire: bool) -> Lived:
    drawn = trial(seed, wire)
    try:
        life = live(drawn)
    except Exception as why:  # a session that ends by an error has broken the first law of all
        life = Life(drawn, [f"it ended by {type(why).__name__}: {why}"], [], [])
    return Lived(life.broken, {"drawn": [str(drawn)], "told": life.told, "injected": life.injected}, life.figures)


def _in_process(seed: int) -> Lived:
    return _trial(seed, wire=False)


def _over_the_wire(seed: int) -> Lived:
    return _trial(seed, wire=True)


def _killed(number: int) -> Lived:
    its = lives()[number]
    with TemporaryDirectory(prefix="qt-kills-") as folder:
        life = live_through(its, Path(folder) / "life")
    return Lived(life.wrongs, {"drawn": [str(cell) for cell in its], "struck": life.struck}, life.figures)


def _by_both_engines(number: int) -> Lived:
    broken, figures = tried(number)
    return Lived(broken, {"drawn": [str(case(number).rules)]}, figures)


def _fetched(seed: int) -> Lived:
    with TemporaryDirectory(prefix="qt-fetched-") as folder:
        found = killed_and_resumed(Path(folder), FETCH_KILLS, seed)
    wrong = [] if found["equal"] else ["the store is not that of an undisturbed fetch"]
    struck = [f"killed with {files} files there" for files in found["files_at_kill"]]
    return Lived(wrong, {"struck": struck}, {"kills": found["kills"], "stores": found["stores"]})


WAYS = {
    "in process": Way(10_000, 40, _in_process),
    "over the wire": Way(240, 2, _over_the_wire),
    "killed": Way(len(lives()), 1, _killed),
    "twins": Way(20_000, 50, _by_both_engines),
    "fetched": Way(20, 1, _fetched),
}


def _asked() -> Namespace:
    parser = ArgumentParser("python -m tests.prove", description=__doc__)
    parser.add_argument("--seed", type=int, help="live through this one alone")
    parser.add_argument("--way", choices=WAYS, default="in process", help="that one so")
    parser.add_argument("--trials", type=int, default=WAYS["in process"].most, help="in process")
    parser.add_argument("--over-the-wire", type=int, default=WAYS["over the wire"].most)
    parser.add_argument("--killed", type=int, default=WAYS["killed"].most, help="lives of the kill matrix")
    parser.add_argument("--twins", type=int, default=WAYS["twins"].most, help="backtests by both engines")
    parser.add_argument(
        "--fetched", type=int, default=WAYS["fetched"].most, help=f"{FETCH_KILLS} kills of a fetch each"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--anew", action="store_true", help="forget what was lived through before")
    return parser.parse_args()


if __name__ == "__main__":
    main()
