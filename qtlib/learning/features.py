"""Features: named numbers that say something about the bars so far.

A feature is a function of a panel. Its value at a bar reads that bar and the `lookback - 1` closes before it, nothing
else, and is NaN where there are not so many, or where a bar it needs is missing. The same bits come out whether it is
given the whole past or those closes alone, because live and backtest must decide alike. So what is computed here is
made of + - * / and square roots (IEEE 754 rounds them in one way only, on every machine, in vectors or one by one) in
`windows`, and what TA-Lib computes begins where every reader begins, in `indicators`. All are pure numbers: the
prices or the volumes of a symbol times ten change nothing; and the order of the symbols doesn't either.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from qtlib.domain.panel import Array, Panel
from qtlib.learning import indicators as ta
from qtlib.learning.across import leader, mean_across, rank
from qtlib.learning.measures import (
    DAY_US,
    against_leader,
    against_universe,
    beta,
    by_clock,
    changes,
    channel,
    correlation,
    downside,
    efficiency,
    here,
    illiquidity,
    jumps,
    momentum,
    pace,
    signed_volume,
    skew,
    true_range_frac,
    usual,
    volatility,
    volatility_ratio,
    volume_ratio,
    wicks,
)
from qtlib.learning.sharing import sharing
from qtlib.learning.windows import mean, ratio, windowed

__all__ = ["DEFAULT_FEATURES", "FEATURES", "Feature", "FeatureSet", "changes", "momentum", "schema_hash"]
__all__ += ["true_range_frac", "volatility"]

_AT_ONCE = 32_768  # bars of all symbols together


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    lookback: int  # closes that the last value depends on
    of: Callable[[Panel], Array]  # (symbols, bars)


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Which features, in which order: what a model was trained on, and must be asked with."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if unknown := [name for name in self.names if name not in FEATURES]:
            raise ValueError(f"no feature is called {', '.join(unknown)}; there are {', '.join(FEATURES)}")
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"a set of features names some, and each once: {', '.join(self.names) or 'none'}")

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(FEATURES[name] for name in self.names)

    @property
    def lookback(self) -> int:
        return max(feature.lookback for feature in self.features)

    @property
    def schema_hash(self) -> str:
        """Changes with a name, the order, a lookback, a period or a formula: with what a number here means."""
        return schema_hash(self.features)

    def known_in(self, panel: Panel) -> "FeatureSet":
        """Those that say anything of the newest bars of `panel`: without bitcoin, or funding rates, some never do."""
        told = self.matrix(panel.last(2 * self.lookback))
        return FeatureSet(tuple(n for place, n in enumerate(self.names) if np.isfinite(told[..., place]).any()))

    def matrix(self, panel: Panel) -> Array:
        """Every feature at every bar. (symbols, bars, features)

        So many bars at a time as the processor's cache has room for, each with those that they look back on.
        """
        out = np.empty((len(self.names), *panel.close.shape))
        width = max(_AT_ONCE // max(1, len(panel.symbols)), 4 * self.lookback)
        for start in range(0, len(panel), width):
            first, end = max(0, start + 1 - self.lookback), min(start + width, len(panel))
            seen = panel.between(first, end)
            with sharing():
                for place, feature in zip(out, self.features, strict=True):
                    place[:, start:end] = feature.of(seen)[:, start - first :]
        return np.moveaxis(out, 0, -1)

    def last(self, panel: Panel) -> Array:
        """Every feature at the last bar, from no more bars than each takes: the last column of `matrix`."""
        recent = {bars: panel.last(bars) for bars in {feature.lookback for feature in self.features}}
        with sharing():
            return np.stack([feature.of(recent[feature.lookback])[:, -1] for feature in self.features], axis=-1)


@cache
def schema_hash(features: tuple[Feature, ...]) -> str:
    """A digest of names, lookbacks, and the bits that each function makes of one market, drawn once and for all.

    On another kind of processor TA-Lib's bits may differ, and so does the digest: a model is not asked there with
    numbers that it was not trained on.
    """
    panel = _specimen(2 * max(f.lookback for f in features))
    digest = hashlib.sha256()
    for feature in features:
        digest.update(f"{feature.name} {feature.lookback} ".encode())
        digest.update(np.ascontiguousarray(feature.of(panel) + 0.0).data)  # there is but one zero
    return digest.hexdigest()


def _specimen(bars: int) -> Panel:
    """A small market of nothing but sums of dice, which are the same everywhere; one symbol has a gap, one is late."""
    dice = np.random.Generator(np.random.PCG64(20_260_101)).random((3, bars, 8))
    close = 100.0 + np.add.accumulate(dice[..., 0] - 0.5, axis=-1)
    opened = close + 0.2 * (dice[..., 1] - 0.5)
    high, low = np.maximum(opened, close) + dice[..., 2], np.minimum(opened, close) - dice[..., 3]
    columns = np.stack([opened, high, low, close, 1000.0 * dice[..., 4], 0.001 * (dice[..., 5] - 0.4)])
    columns[:, 1, bars // 8] = columns[:, 2, : bars // 4] = np.nan
    return Panel(("BTCUSDT", "ETHUSDT", "SOLUSDT"), (1 + np.arange(bars)) * (DAY_US // 24), *columns)


# --- the features, by family ------------------------------------------------------------------------------


def _momentum(horizon: int, span: int) -> Feature:
    return Feature(f"momentum_{horizon}", max(horizon, span) + 1, lambda p: pace(p, horizon, span))


def _anchored(name: str, of: Callable[[Panel], Array]) -> Feature:
    return Feature(name, ta.LOOKBACK, of)


_ALL = (
    # momentum: where prices come from, in units of what is usual
    _momentum(1, 168),
    _momentum(6, 168),
    _momentum(24, 168),
    _momentum(72, 168),
    _momentum(168, 168),
    _anchored("rsi_14", lambda p: ta.rsi(p, 14)),
    _anchored("macd_12_26_9", lambda p: ta.macd(p, 12, 26, 9)),
    _anchored("ultimate_7_14_28", lambda p: ta.ultimate(p, 7, 14, 28)),
    # volatility: how much they move, and in which way that is unusual
    Feature("volatility_24", 25, lambda p: usual(p, 24)),
    Feature("volatility_168", 169, lambda p: usual(p, 168)),
    Feature("volatility_ratio_24_168", 169, lambda p: volatility_ratio(p, 24, 168)),
    Feature("downside_72", 73, lambda p: downside(p, 72)),
    Feature("jumps_48", 49, lambda p: jumps(p, 48)),
    Feature("skew_168", 169, lambda p: skew(p, 168)),
    # range: what happens inside a bar
    Feature("true_range_frac_14", 15, lambda p: true_range_frac(p, 14)),
    Feature("true_range_ratio_6_48", 49, lambda p: ratio(true_range_frac(p, 6), true_range_frac(p, 48))),
    _anchored("range_frac_28", lambda p: ta.range_frac(p, 28)),
    Feature("close_in_range", 1, lambda p: channel(p, 1)),
    Feature("wicks_24", 24, lambda p: wicks(p, 24)),
    # trend: whether they go somewhere
    Feature("channel_48", 48, lambda p: channel(p, 48)),
    Feature("channel_168", 168, lambda p: channel(p, 168)),
    Feature("efficiency_48", 49, lambda p: efficiency(p, 48)),
    _anchored("adx_14", lambda p: ta.adx(p, 14)),
    _anchored("directional_14", lambda p: ta.directional(p, 14)),
    _anchored("aroon_25", lambda p: ta.aroon(p, 25)),
    _anchored("from_average_50", lambda p: ta.from_average(p, 50)),
    _anchored("from_parabola", lambda p: ta.from_parabola(p, 0.02, 0.2)),
    _anchored("slope_48", lambda p: ta.slope(p, 48)),
    # volume: how much is behind it
    Feature("volume_ratio_1_24", 24, lambda p: volume_ratio(p, 1, 24)),
    Feature("volume_ratio_24_168", 168, lambda p: volume_ratio(p, 24, 168)),
    Feature("signed_volume_24", 25, lambda p: signed_volume(p, 24)),
    Feature("illiquidity_24_168", 169, lambda p: illiquidity(p, 24, 168)),
    _anchored("money_flow_14", lambda p: ta.money_flow(p, 14)),
    _anchored("accumulation_3_10", lambda p: ta.accumulation(p, 3, 10)),
    # calendar: what day and hour it is
    Feature("day_sin", 1, by_clock(1, math.sin)),
    Feature("day_cos", 1, by_clock(1, math.cos)),
    Feature("week_sin", 1, by_clock(7, math.sin)),
    Feature("week_cos", 1, by_clock(7, math.cos)),
    # funding: what holding costs, and who pays
    Feature("funding_frac", 1, lambda p: here(p, p.funding_frac)),
    Feature("funding_mean_72", 72, lambda p: here(p, mean(p.funding_frac, 72))),
    Feature("funding_change_168", 168, lambda p: here(p, p.funding_frac - mean(p.funding_frac, 168))),
    Feature("funding_rank", 1, lambda p: rank(here(p, p.funding_frac))),
    # across: how it differs from bitcoin and from the universe
    Feature("beta_168", 169, lambda p: beta(p, 168)),
    Feature("correlation_72", 73, lambda p: correlation(p, 72)),
    Feature("against_bitcoin_24", 169, lambda p: against_leader(p, 24, 168)),
    Feature("bitcoin_1", 169, lambda p: here(p, leader(p, pace(p, 1, 168)))),
    Feature("against_universe_72", 169, lambda p: against_universe(p, 72, 168)),
    Feature("rank_24", 25, lambda p: rank(windowed(np.add, changes(p), 24))),
    Feature("breadth_24", 25, lambda p: here(p, mean_across(np.sign(windowed(np.add, changes(p), 24))))),
)

FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in _ALL}

# What says nearly what another one says is left out; chosen before looking at what any of them is worth.
_SPARED = {"ultimate_7_14_28", "volatility_24", "skew_168", "range_frac_28", "true_range_ratio_6_48", "wicks_24"}
_SPARED |= {"channel_168", "accumulation_3_10", "funding_change_168"}
DEFAULT_FEATURES = tuple(name for name in FEATURES if name not in _SPARED)
