"""Datasets: what a model learns from, one row for each decision whose outcome is known.

Rows ascend in time, and within a close stand in the order of the symbols. A row's features were known at the close
of its column `at`; what came of a long and of a short begun there was known at the close of column `end`. Nothing
else about time is needed to keep the future out of a fit. Bars that may not be traded on teach nothing.

Beside each row stands its mirror: the same decision in the market upside down, where every rise is a fall, and what a
long earned a short earns. Half of what is learned from is `turned` so. Without it, what tells one month from another
(volatility, volume, funding) seems to tell up from down, as each month mostly went one way. On simulated markets with
a planted edge, models of 3,000 hours of three symbols correlated -0.03 and 0.35 with what came, and turned 0.23 and
0.44; of 5,700 hours 0.24 and 0.19, and turned 0.34 and 0.26.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt

from qtlib.domain.panel import Array, Panel
from qtlib.learning.features import FeatureSet
from qtlib.learning.labels import Labels, age_weights, uniqueness
from qtlib.market import Market
from qtlib.market.timeframes import among, micros_in, micros_of

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_GOLDEN = 0.6180339887498949  # its multiples, less what is whole, lie evenly and never repeat
UNKNOWN_FEATURE = "a feature is unknown"
UNKNOWN_END = "the outcome is not known yet"
UNSOUND = "its bars may not be traded on, or those of its outcome are doubted"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows side by side: every array but `x` and `mirror`, which are (rows, features), has the shape (rows,)."""

    names: tuple[str, ...]  # of the features
    symbols: tuple[str, ...]
    x: Array
    mirror: Array  # `x` in the market upside down; NaN where something is unknown there
    symbol: Indices  # which of `symbols`
    at: Indices  # column of the panel at whose close it was decided
    end: Indices  # column at whose close the outcome of either side was known
    times: Indices  # of the decision: microseconds since 1970, UTC
    long_r: Array  # net outcome of a long, in R: over its stop's distance
    short_r: Array
    long_frac: Array  # the same, of entry notional
    short_frac: Array
    favourable_frac: Array  # how far price went up, of entry, before time was out; down is the short's
    adverse_frac: Array  # how far it went down
    volatility_frac: Array  # average true range of a bar, as known at the decision
    weight: Array  # what the row counts: less where labels share their bars, less the older it is
    dropped: Mapping[str, int] = field(default_factory=dict)  # why, and how many decisions

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Indices | npt.NDArray[np.bool_] | slice) -> "Dataset":
        """Those rows, in that order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _COLUMNS}, dropped={})

    def drawn(self, rows: int) -> "Dataset":
        """`rows` rows, drawn in proportion to their weight and evenly over time, so that each counts the same."""
        total = np.cumsum(self.weight)
        drawn = self.take(np.minimum(np.searchsorted(total, _steps(rows, total[-1]), side="right"), len(self) - 1))
        return replace(drawn, weight=np.ones(rows))

    def thinned(self, rows: int) -> "Dataset":
        """At most `rows` rows, each once, evenly over time: neighbouring hours tell much the same."""
        return self if len(self) <= rows else self.take(evenly(len(self), rows))

    def turned(self, seed: int) -> "Dataset":
        """Half of the rows, by chance, as they are in the market upside down: so no side is the usual one."""
        over = (np.random.default_rng(seed).random(len(self)) < 0.5) & np.isfinite(self.mirror).all(axis=1)
        x, mirror = (np.where(over[:, np.newaxis], a, b) for a, b in ((self.mirror, self.x), (self.x, self.mirror)))
        swapped = {a: np.where(over, getattr(self, b), getattr(self, a)) for a, b in _SIDES}
        return replace(self, x=x, mirror=mirror, **swapped)

    @property
    def fingerprint(self) -> str:
        """The same for the same rows, and for no others: over names, symbols and the bits of every array."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.names, self.symbols)).encode())
        for name in _COLUMNS:
            values = getattr(self, name)
            digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
            digest.update(values.tobytes())
        return digest.hexdigest()


def sound(market: Market, panel: Panel, labels: Labels) -> Flags:
    """Which decisions may teach: those at a bar of `market` that is usable, with an outcome of which no bar is doubted.

    `panel` and `labels` are of bars of the market; (symbols, bars).
    """
    end, span = _known_at(labels), micros_of(market.timeframe)
    found = np.zeros(end.shape, dtype=np.bool_)
    for row, symbol in enumerate(panel.symbols):
        usable = market.usable[symbol]
        traded_on = micros_in(usable.index)[usable.to_numpy()]
        doubted = np.zeros(len(panel), dtype=np.int64)
        for start, until in market.doubtful.get(symbol, ()):
            doubted |= (panel.times > start) & (panel.times - span < until)
        so_far = np.cumsum(doubted)
        found[row] = among(panel.times, traded_on) & (so_far[end[row]] == so_far)
    return found


def dataset(
    panel: Panel,
    features: FeatureSet,
    labels: Labels,
    volatility_frac: Array,
    *,
    half_life: float | None = None,
    may_teach: Flags | None = None,
) -> Dataset:
    """A row for each bar of `panel` whose features, volatility and outcome are known; the others are counted by why.
    With `may_teach`, (symbols, bars), only for those that it names.

    A row weighs by how much of its label is its own (its long and its short have one weight, that of the longer), and
    half as much for each `half_life` closes of age; None: age does not matter.
    """
    x, mirror = features.matrix(panel), features.matrix(upside_down(panel))
    there = np.isfinite(panel.close)
    told = there & np.isfinite(x).all(axis=-1) & np.isfinite(volatility_frac) & (volatility_frac > 0.0)
    ends = np.minimum(np.minimum(labels.long_end, labels.short_end), labels.excursion_end)
    over = ends >= 0
    for column in (labels.long_r, labels.short_r, labels.favourable_frac, labels.adverse_frac):
        over &= np.isfinite(column)
    fit = told & over
    known = fit if may_teach is None else fit & may_teach
    end = _known_at(labels)
    weight = np.zeros(known.shape)
    for row in np.flatnonzero(known.any(axis=1)):
        at = np.flatnonzero(known[row])
        weight[row, at] = uniqueness(at, np.maximum(labels.long_end, labels.short_end)[row, at], len(panel))
    at, symbol = np.nonzero(known.T)  # closes first, so that rows ascend in time
    if half_life is not None and len(at):
        weight[symbol, at] *= age_weights(at, half_life)
    return Dataset(
        names=features.names,
        symbols=panel.symbols,
        x=x[symbol, at],
        mirror=mirror[symbol, at],
        symbol=symbol,
        at=at,
        end=end[symbol, at],
        times=panel.times[at],
        **{name: getattr(labels, name)[symbol, at] for name in _OUTCOMES},
        volatility_frac=volatility_frac[symbol, at],
        weight=weight[symbol, at],
        dropped={UNKNOWN_FEATURE: int((there & ~told).sum()), UNKNOWN_END: int((told & ~over).sum())}
        | ({UNSOUND: int((fit & ~known).sum())} if (fit & ~known).any() else {})
        | {f"all of {s}": bars for s, bars in _silent(panel.symbols, there, known)},
    )


def _known_at(labels: Labels) -> Indices:
    """The column at whose close the outcomes of both sides are known; below 0: none yet."""
    return np.maximum(np.maximum(labels.long_end, labels.short_end), labels.excursion_end)


def upside_down(panel: Panel) -> Panel:
    """The market in which every rise is a fall: one over each price, and who paid funding gets it."""
    opened, high, low, close = (1.0 / of for of in (panel.open, panel.low, panel.high, panel.close))
    return replace(panel, open=opened, high=high, low=low, close=close, funding_frac=-panel.funding_frac)


def evenly(size: int, most: int) -> Indices:
    """Places of at most `most` of `size` things in a row, each once."""
    return np.arange(size) if size <= most else np.unique(_steps(most, size).astype(np.int64))


def _steps(count: int, span: float) -> Array:
    """So many places from 0 up to `span`, one in each of equal parts; uneven, or they could miss every other symbol."""
    steps = np.arange(count)
    return np.asarray((steps + steps * _GOLDEN % 1.0) * (span / count), dtype=np.float64)


def _silent(symbols: tuple[str, ...], there: Flags, known: Flags) -> list[tuple[str, int]]:
    """The symbols that teach nothing, as one that was listed yesterday, and how many bars each has."""
    return [(s, int(t.sum())) for s, t, k in zip(symbols, there, known, strict=True) if not k.any()]


_SIDES = tuple(
    pair
    for a, b in (("long_r", "short_r"), ("long_frac", "short_frac"), ("favourable_frac", "adverse_frac"))
    for pair in ((a, b), (b, a))
)
_OUTCOMES = ("long_r", "short_r", "long_frac", "short_frac", "favourable_frac", "adverse_frac")
_COLUMNS = tuple(f.name for f in fields(Dataset) if f.name not in ("names", "symbols", "dropped"))
