"""What models are shown. It loads the features, and with them numba, which takes a second: rules have no use for it."""

from qtlib.learning.features import DEFAULT_FEATURES, FeatureSet
from qtlib.params import Params


def feature_set(params: Params) -> FeatureSet:
    """What models of these settings are shown."""
    return FeatureSet(params.learning.features or DEFAULT_FEATURES)
