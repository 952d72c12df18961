"""Who competes with whom, and what they are shown: a subject is one market (made up, or real) in bars of one length.

Models and trials of different ones never meet, so bundles, champion and ledger lie in a folder each.
"""

from pathlib import Path

from qtlib.learning.features import DEFAULT_FEATURES, FeatureSet
from qtlib.params import Params


def subject(params: Params) -> str:
    """Which models compete with each other: those of one kind of market, and one length of bars."""
    made_up = params.mode == "sim" and params.data.source == "simulated"
    return f"{'simulated' if made_up else 'real'}-{params.data.timeframe}"


def models(params: Params, root: Path) -> Path:
    """Where the bundles, the champion and the trials of these settings lie."""
    return root / "models" / subject(params)


def feature_set(params: Params) -> FeatureSet:
    """What models of these settings are shown."""
    return FeatureSet(params.learning.features or DEFAULT_FEATURES)
