"""Datasets: what a model learns from, one row for each decision whose outcome is known.

Rows ascend in time, and within a close stand in the order of the symbols. A row's features were known at the close
of its column `at`; what came of a long and of a short begun there was known at the close of column `end`. Nothing
else about time is needed to keep the future out of a fit.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from qtlib.domain.panel import Array

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows side by side: every array but `x`, which is (rows, features), has the shape (rows,)."""

    names: tuple[str, ...]  # of the features
    symbols: tuple[str, ...]
    x: Array
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
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))  # why, and how many decisions

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Indices | npt.NDArray[np.bool_] | slice) -> "Dataset":
        """Those rows, in that order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _COLUMNS}, dropped=MappingProxyType({}))

    def drawn(self, rows: int) -> "Dataset":
        """`rows` rows, drawn in proportion to their weight and evenly over time, so that each counts the same."""
        total = np.cumsum(self.weight)
        steps = (np.arange(rows) + 0.5) * (total[-1] / rows)
        drawn = self.take(np.searchsorted(total, steps).astype(np.int64))
        return replace(drawn, weight=np.ones(rows))

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


_COLUMNS = tuple(f.name for f in fields(Dataset) if f.name not in ("names", "symbols", "dropped"))
