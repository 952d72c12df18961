"""A model as a strategy: what it was trained on is asked of the bars, and what it says becomes beliefs.

It keeps the laws of all strategies. Each belief names the model's version. Where a feature or the volatility is
unknown nothing is believed: a symbol that was listed yesterday, one that is absent, and every symbol while it warms up.
"""

from dataclasses import dataclass

import numpy as np

from qtlib.domain.panel import DOUBTS, Array, Beliefs, Panel
from qtlib.learning.dataset import Dataset, Flags
from qtlib.learning.exits import Codes, ExitTraining, LearnedExits, fit_exits
from qtlib.learning.features import FeatureSet, true_range_frac
from qtlib.learning.training import Calibrated, TrainParams, fit

ATR_SPAN = 14  # bars over which the true range is averaged: that of the labels, and of every strategy
DAY_US = 86_400_000_000
STALE = DOUBTS.index("stale")


@dataclass(frozen=True, slots=True)
class Trained:
    """All that was learned, and all that it takes to ask it."""

    features: FeatureSet
    model: Calibrated
    exits: LearnedExits | None
    known_until: int  # the last close that anything was learned from: microseconds since 1970, UTC
    exits_stale_days: float = 30.0  # after it: exits are not proposed any more


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A trained model as a `Strategy`."""

    trained: Trained
    version: str = ""  # of its bundle
    name: str = "learned"

    @property
    def lookback(self) -> int:
        return max(self.trained.features.lookback, ATR_SPAN + 1)

    @property
    def reads_funding(self) -> bool:
        return True

    def signals(self, panel: Panel) -> Beliefs:
        """What is believed at each close of `panel`."""
        shape = panel.close.shape
        x, volatility = self._seen(panel)
        told = np.isfinite(x).all(axis=-1) & np.isfinite(volatility)
        volatility = np.where(told, volatility, np.nan)
        columns = [np.full(shape, np.nan) for _ in range(5)]
        doubt = np.zeros(shape, dtype=np.int8)
        if told.any():
            rows, spread = x[told], volatility[told]
            said = self.trained.model.predict(rows)
            for column, values in zip(columns, said[:2], strict=False):
                column[told] = values
            if self.trained.exits is not None:
                proposal = self.trained.exits.propose(rows, said.score, spread)
                for column, values in zip(columns[2:], proposal[:3], strict=True):
                    column[told] = values
                doubt[told] = proposal.doubt
                self._forget_stale(panel, told, columns[2:], doubt)
        score, confidence, stop, target, trail = columns
        beliefs = Beliefs(
            score, confidence, volatility, features=x, schema=self.trained.features.schema_hash, version=self.version
        )
        if self.trained.exits is None:
            return beliefs
        return beliefs._replace(stop_frac=stop, take_profit_frac=target, trail_frac=trail, doubt=doubt)

    def _seen(self, panel: Panel) -> tuple[Array, Array]:
        """Features and volatility. Of so few bars only the last can know them all, and only that one is computed."""
        features = self.trained.features
        volatility = true_range_frac(panel, ATR_SPAN)
        if not 0 < len(panel) <= self.lookback:
            return features.matrix(panel), volatility
        x = np.full((*panel.close.shape, len(features.names)), np.nan)
        x[:, -1] = features.last(panel)
        return x, volatility

    def _forget_stale(self, panel: Panel, told: Flags, proposed: list[Array], doubt: Codes) -> None:
        """What is not told has no doubt either: alone it is silent too."""
        old = told & (panel.times - self.trained.known_until > self.trained.exits_stale_days * DAY_US)
        for column in proposed:
            column[old] = np.nan
        doubt[old] = STALE


def learn(
    data: Dataset, params: TrainParams | None = None, exits: ExitTraining | None = None, *, known_until: int = 0
) -> Trained:
    """A model of `data`, and exits. `known_until` is the last close that an outcome was read from, if it is known."""
    model = fit(data, params)
    return Trained(FeatureSet(data.names), model, fit_exits(data, exits), known_until or int(data.times[-1]))
