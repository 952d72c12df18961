"""Datasets by hand: an edge of a known size, and nothing else to find."""

from dataclasses import replace

import numpy as np

from qtlib.learning.dataset import Dataset
from qtlib.learning.exits import fit_exits
from qtlib.learning.features import FeatureSet
from qtlib.learning.learned import Learned, Trained
from qtlib.learning.training import TrainParams, fit

NAMES = ("momentum_1", "momentum_2", "heat", "noise_1", "noise_2", "noise_3")
STARTED = 1_767_225_600_000_000  # 2026-01-01, in microseconds
HOUR = 3_600_000_000


def a_dataset(rows=4000, *, edge=0.3, cost_r=0.1, symbols=("AUSDT", "BUSDT"), seed=0, span=6, **changes):
    """Rows whose first feature says which way it goes, `edge` R for each unit, and whose third how far, in ATR."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, len(NAMES)))
    drift = edge * x[:, 0]
    noise = rng.standard_t(5, size=rows) * 0.7
    long_r, short_r = drift + noise - cost_r, -drift - noise - cost_r
    volatility = np.full(rows, 0.01)
    reach = np.exp(0.4 * x[:, 2])
    up, down = (reach * np.abs(rng.normal(1.5, 0.8, rows)) * volatility for _ in range(2))
    at = np.arange(rows) // len(symbols)
    columns = {
        "names": NAMES,
        "symbols": symbols,
        "x": x,
        "mirror": x * np.where(np.array(NAMES) == "heat", 1.0, -1.0),
        "symbol": np.arange(rows) % len(symbols),
        "at": at,
        "end": at + span,
        "times": STARTED + at * HOUR,
        "long_r": long_r,
        "short_r": short_r,
        "long_frac": long_r * 0.02,
        "short_frac": short_r * 0.02,
        "favourable_frac": up,
        "adverse_frac": down,
        "volatility_frac": volatility,
        "weight": np.ones(rows),
    }
    return Dataset(**columns | changes)


def a_learned(model="boosted", names=("momentum_24", "channel_48", "volatility_168"), rows=2000, **changes):
    """A model of rows that have these features' names, and nothing of their meaning."""
    data = a_dataset(rows)
    x = np.tanh(data.x[:, : len(names)])
    data = replace(data, x=x, mirror=-x, names=names)
    trained = Trained(FeatureSet(names), fit(data, TrainParams(model=model, folds=2)), fit_exits(data), 2**62)
    return Learned(replace(trained, **changes), "m1")
