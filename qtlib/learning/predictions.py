"""What a model says of rows, and what a fit is, whatever model is behind it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from qtlib.domain.panel import Array
from qtlib.learning.dataset import Dataset


class Predictions(NamedTuple):
    """What is believed of each row. NaN where a feature is: nothing is."""

    score: Array  # -1 surely down .. +1 surely up; 0: neither side is expected to earn its costs
    confidence: Array  # 0 .. 1: calibrated probability that the side that is expected to earn more ends in net profit
    long_r: Array  # what a long is expected to earn, net, in R
    short_r: Array


class Fitted(Protocol):
    def predict(self, x: Array, /) -> Predictions: ...


Fit = Callable[[Dataset], Fitted]
