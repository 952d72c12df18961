"""Who believes in a session that learns: the champion of the registry, or a rule of thumb until there is one.

It is a strategy like any other, and changes its mind only when it is told to, between two bars. Every belief names the
model it comes from; what a rule of thumb believes names none. Beside its beliefs it keeps the features that they, or
the next model, are made from, so that what closes can be learned from as it was seen. And it holds itself to that: what
was seen at a close is made again from the bars afterwards, as research makes it, and has to be the same, bit for bit.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np

from qtlib.domain.panel import Array, Beliefs, Panel
from qtlib.engine.feeds import Strategy
from qtlib.learning.features import FeatureSet
from qtlib.learning.learned import Learned
from qtlib.market.timeframes import datetime_at

LATELY = 2_000  # closes whose features are kept, to see whether they drift


class _Seen(NamedTuple):
    """What was known at a decision."""

    panel: Panel
    features: Array  # of its last close. (symbols, features)
    names: FeatureSet


@dataclass(frozen=True, slots=True)
class Silent:
    """A `Strategy` that believes nothing, because there is nobody who may: a session with it only protects."""

    refusal: str  # why, in words

    name = "silent"
    lookback = 1

    def signals(self, panel: Panel) -> Beliefs:
        nothing = np.full((len(panel.symbols), len(panel)), np.nan)
        return Beliefs(nothing, nothing, nothing, silence="nobody may believe")


class Champion:
    """A `Strategy` with another one inside."""

    name = "learned"

    def __init__(
        self, rule: Strategy, features: FeatureSet, model: "Strategy | None" = None, version: str = ""
    ) -> None:
        """`rule` believes where no model does."""
        self._rule, self._features, self._schema = rule, features, features.schema_hash
        self._believer, self.version = model or rule, version
        self._lookback = max(rule.lookback, features.lookback, self._believer.lookback)
        self._seen: _Seen | None = None
        self.lately: deque[Array] = deque(maxlen=LATELY)  # (symbols, features) of each close, as the believer was shown

    @property
    def lookback(self) -> int:
        return self._lookback

    @property
    def reads_funding(self) -> bool:
        return True

    @property
    def believer(self) -> str:
        """Who believes now, in words."""
        if self.refusal:
            return f"nobody ({self.refusal})"
        return f"model {self.version}" if self.version else f"the rule of thumb {self._rule.name}, no model is promoted"

    @property
    def refusal(self) -> str:
        """Why nobody believes, in words; empty: somebody does."""
        return self._believer.refusal if isinstance(self._believer, Silent) else ""

    def use(self, model: Strategy | None, version: str) -> None:
        """From now on `model` believes; None: the rule of thumb. It reads no more bars than `lookback`."""
        self._believer, self.version = model or self._rule, version
        self.lately.clear()

    def signals(self, panel: Panel) -> Beliefs:
        beliefs = self._believer.signals(panel)
        features = beliefs.features if beliefs.features is not None else self._features.matrix(panel)
        if len(panel):
            names = self._believer.trained.features if isinstance(self._believer, Learned) else self._features
            self._seen = _Seen(panel, features[:, -1].copy(), names)
            self.lately.append(self._seen.features)
        return beliefs if beliefs.features is not None else beliefs._replace(features=features, schema=self._schema)

    def misgivings(self, until: datetime) -> str:
        """Where what was seen is not what research makes of the same bars; empty: it is.

        Of a close at `until` or before, once: a decision that is being made now does not wait for it.
        """
        if self._seen is None or datetime_at(int(self._seen.panel.times[-1])) > until:
            return ""
        panel, seen, names = self._seen
        self._seen = None
        made = names.matrix(panel)[:, -1]
        told = ~np.isnan(seen)
        wrong = np.argwhere(told & (made != seen))
        if not len(wrong):
            return ""
        symbol, feature = wrong[0]
        return (
            f"{len(wrong)} features differ from what research makes of the same bars, first {names.names[feature]} of "
            f"{panel.symbols[symbol]}: live {seen[symbol, feature]!r}, research {made[symbol, feature]!r}"
        )
