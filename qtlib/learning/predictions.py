"""What a model says of rows, what a fit is, whatever model is behind it, and who does many of them."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from qtlib.domain.panel import Array
from qtlib.learning.dataset import Dataset

J = TypeVar("J")
R = TypeVar("R")


class Predictions(NamedTuple):
    """What is believed of each row. NaN where a feature is: nothing is."""

    score: Array  # -1 surely down .. +1 surely up; 0: neither side is expected to earn its costs
    confidence: Array  # 0 .. 1: calibrated probability that the side that is expected to earn more ends in net profit
    long_r: Array  # what a long is expected to earn, net, in R
    short_r: Array


class Fitted(Protocol):
    def predict(self, x: Array, /) -> Predictions: ...


Fit = Callable[[Dataset], Fitted]
Asked = tuple[Dataset, Array]  # rows to learn from, and others to say something of
Fits = Callable[[Fit, Iterable[Asked]], Iterator[Predictions]]  # who does many fits, in their order


class Each(Protocol):
    """Who does many jobs: what came of each, in the order of the jobs, which are asked for as they are needed."""

    def __call__(self, function: Callable[[J], R], jobs: Iterable[J], /) -> Iterator[R]: ...


def one_by_one(function: Callable[[J], R], jobs: Iterable[J], /) -> Iterator[R]:
    """Here, each when it is asked for."""
    return map(function, jobs)


def told(fit: Fit, asked: Asked) -> Predictions:
    """What a fit of the rows says of the others."""
    rows, x = asked
    return fit(rows).predict(x)


def fits_one_by_one(fit: Fit, asked: Iterable[Asked]) -> Iterator[Predictions]:
    return (told(fit, one) for one in asked)
