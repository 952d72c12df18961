"""Hands: the jobs of a retrain, one process a core. What comes of them is the same, to the bit, with any number.

Each job is a function of plain values, and has one thread; what came is heard in the order of the jobs. Hands load what
they need while the lesson is read, and are gone with the process that they work for.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

from qtlib.learning import nulltest, training
from qtlib.learning.predictions import Each, one_by_one
from qtlib.runs.record.workers import cores, hired

J = TypeVar("J")
R = TypeVar("R")

AHEAD = 2  # jobs given to each hand: with fewer it waits for us, with more they lie in memory


def hands(count: int | None = None) -> Each:
    """As many as there are cores, or so many; one: this process itself."""
    count = count or cores()
    if count == 1:
        return one_by_one
    pool = hired(count)
    for _ in range(count):
        pool.submit(_loaded)

    def each(function: Callable[[J], R], jobs: Iterable[J], /) -> Iterator[R]:
        """The next jobs are asked for as hands become free, and nobody begins what nobody waits for."""
        under_way, left = deque[Future[R]](), iter(jobs)
        try:
            while True:
                free = AHEAD * count - len(under_way)
                under_way += [pool.submit(function, job) for job in islice(left, free)]
                if not under_way:
                    return
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()

    return each


def _loaded() -> int:
    """How many rooms stand ready: to get here, a hand has loaded all that this file imports."""
    return len((training, nulltest))
