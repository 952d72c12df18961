"""Who trades the trials: one process a core, or the workers of a Dask cluster; the same trials come out.

A worker may die at any time: what it was at is given to another. Workers never outlive whom they work for.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from contextlib import contextmanager, suppress
from typing import Any

from qtlib.learning.search import SweepParams
from qtlib.params import SettingsError
from qtlib.runs.record.folder import RunsError
from qtlib.runs.record.workers import GRACE_S, cores, hired, let_go
from qtlib.runs.sweep import bench
from qtlib.runs.sweep.bench import Job
from qtlib.runs.sweep.trial import Result, Task

BATCH_S = 0.5  # of work that travels at once: long beside the journey, short beside a death
MOST_IN_BATCH = 256
PULSE_S = 0.5  # between two looks at whether to go on
MOST_DEATHS = 3  # in a row, without a trial that was finished between them
CONNECT_S = 10.0
WORKERS_S = 30.0  # a cluster's first worker may take so long to come


class Crew:
    """Workers, found anew when they break; `slots` of them can work at once."""

    def __init__(self, hire: Callable[[], Executor], slots: Callable[[], int], let_go: Callable[[Executor], None]):
        self._hire, self.slots, self._let_go = hire, slots, let_go
        self._hired: Executor | None = None

    def submit(self, job: Job, tasks: list[Task]) -> Future[list[Result]]:
        if self._hired is None:
            self._hired = self._hire()
        return self._hired.submit(bench.trade, job, tasks)

    def dismiss(self) -> None:
        """Let everybody go, whatever they are at."""
        if self._hired is not None:
            hired, self._hired = self._hired, None
            self._let_go(hired)


@contextmanager
def crew(params: SweepParams) -> Iterator[Crew]:
    """Those who work for the sweep that `params` describe."""
    made = _of_cluster(params.scheduler) if params.scheduler else _of_machine(params.workers or cores())
    try:
        yield made
    finally:
        made.dismiss()


def work(
    crew: Crew,
    job: Job,
    tasks: Sequence[Task],
    heard: Callable[[list[Result]], None],
    go_on: Callable[[], bool],
    warn: Callable[[str], None],
) -> None:
    """Have all `tasks` traded, in any order; `heard` is told what came of them, as it comes.

    `go_on` is asked all the while; once it says no, what is under way gets a moment, and the rest is left.
    """
    left, under_way = list(reversed(tasks)), dict[Future[list[Result]], list[Task]]()
    deaths, each_s = 0, None
    while (left or under_way) and go_on():
        slots = max(1, crew.slots())
        while left and len(under_way) < 2 * slots:  # nobody waits while we write down what came
            size = _batch(each_s, len(left), slots)
            batch = [left.pop() for _ in range(size)]
            try:
                under_way[crew.submit(job, batch)] = batch
            except BrokenExecutor:
                left += reversed(batch)
                break
        done, _ = wait(under_way, PULSE_S, FIRST_COMPLETED)
        came, lost = _gathered(done, under_way)
        if came:
            deaths, each_s = 0, sum(r.seconds for r in came) / len(came)
            heard(came)
        if lost:
            deaths += 1
            left += reversed(lost)
            left += [task for batch in under_way.values() for task in batch]
            under_way.clear()
            crew.dismiss()
            if deaths >= MOST_DEATHS:
                raise RunsError(
                    f"workers died {deaths} times in a row over {len(lost)} trials, the first with {lost[0].settings}: "
                    "is there memory for all of them? (-p sweep.workers=1 needs least)"
                )
            warn(f"⚠️ a worker died; {len(lost)} trials begin anew")
    if under_way:
        for future in under_way:
            future.cancel()
        done, _ = wait(under_way, GRACE_S)
        came, _ = _gathered(done, under_way)
        if came:
            heard(came)
        crew.dismiss()


# --- below ------------------------------------------------------------------------------------------------


def _gathered(
    done: set[Future[list[Result]]], under_way: dict[Future[list[Result]], list[Task]]
) -> tuple[list[Result], list[Task]]:
    """What came, and what was lost with whoever was at it."""
    came: list[Result] = []
    lost: list[Task] = []
    for future in done:
        batch = under_way.pop(future)
        try:
            came += future.result()
        except (BrokenExecutor, CancelledError):
            lost += batch
        except Exception as e:
            if type(e).__name__ != "KilledWorker":  # Dask's, which is only there with Dask
                raise
            lost += batch
    return came, lost


def _batch(each_s: float | None, left: int, slots: int) -> int:
    """How many trials to hand over at once: half a second of work, and the same for everybody towards the end."""
    if each_s is None:
        return 1
    return max(1, min(int(BATCH_S / max(each_s, 1e-6)), MOST_IN_BATCH, -(-left // (2 * slots))))


def _of_machine(processes: int) -> Crew:
    return Crew(lambda: hired(processes), lambda: processes, let_go)


def _of_cluster(address: str) -> Crew:
    try:
        from distributed import Client  # noqa: PLC0415  cold start: a second, and an extra that not everybody has
    except ImportError:
        raise SettingsError(
            "sweep.scheduler needs Dask, which is not installed: pip install 'qtlib[cluster]', here and on the workers"
        ) from None
    connect: Any = Client  # untyped, as most of Dask
    clients: list[Any] = []

    def hire() -> Executor:
        try:
            client = connect(address, timeout=CONNECT_S, set_as_default=False, direct_to_workers=False)
        except (OSError, ValueError) as e:
            raise RunsError(f"no Dask scheduler answers at {address} within {CONNECT_S:g} s: start one ({e})") from e
        clients.append(client)
        try:
            client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError as e:
            raise RunsError(f"{address} has no worker after {WORKERS_S:g} s: dask worker {address}") from e
        executor: Executor = client.get_executor(pure=False)
        return executor

    def slots() -> int:
        return sum(clients[-1].nthreads().values()) if clients else 1

    def let_go(executor: Executor) -> None:
        with suppress(Exception):  # a cluster that is gone has let us go
            executor.shutdown(wait=False)
        with suppress(Exception):
            clients.pop().close(timeout=GRACE_S)

    return Crew(hire, slots, let_go)
