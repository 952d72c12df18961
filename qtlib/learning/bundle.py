"""A trained model as bytes and back: estimators by skops, everything else as plain values. Never pickle.

What was learned is a tree of frozen values. It is written as nested dicts that name each value's kind, and read back
through `KINDS`: a kind that is not listed there is not made, and of what skops would have to trust, only `TRUSTED` is.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np
import scipy.special
import sklearn.utils
from sklearn.base import BaseEstimator

from qtlib.lean import standing_in
from qtlib.learning.calibration import Calibration
from qtlib.learning.exits import Domain, LearnedExits
from qtlib.learning.features import FeatureSet
from qtlib.learning.learned import Trained
from qtlib.learning.models import MODELS
from qtlib.learning.training import Calibrated

# it would trust all that scikit-learn and scipy have, and looks for the names in every module that there is: two
# seconds in each process, for what no model of ours is made of
with standing_in(sklearn.utils, "all_estimators", tuple), standing_in(scipy, "special", ModuleType("scipy.special")):
    import skops.io

# beyond what skops trusts of numpy: the estimators that a model of ours is made of, and the arrays of a boosted tree
TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
)
KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (Trained, FeatureSet, Calibrated, Calibration, LearnedExits, Domain, *MODELS.values())
}
_KIND = "kind"


class BadBundle(ValueError):
    """A model that must not be asked; the message says why, and what to do. Entries wait, protection goes on."""


class Damaged(BadBundle):
    """Its files are not those that were written."""


class Outgrown(BadBundle):
    """It is whole, and this program would read it differently than the one that trained it."""


def dumps(trained: Trained) -> bytes:
    """`trained`, with what it says of a few rows, so that whoever reads it can ask whether it still says so."""
    x = probe(trained)
    content: bytes = skops.io.dumps({"trained": _plain(trained), "probe": x, "said": _said(trained, x)})
    return content


def loads(content: bytes) -> Trained:
    """What `dumps` wrote, if nothing in it is of a kind that is not expected and it still says what it said."""
    try:
        strangers = set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED)
        if strangers:
            raise Damaged(f"it holds {', '.join(sorted(strangers))}, which no model of ours does: do not use it")
        whole = skops.io.loads(content, trusted=list(TRUSTED))
        trained, x, before = _made(whole["trained"]), whole["probe"], whole["said"]
    except BadBundle:
        raise
    except Exception as error:  # whatever a broken file does to a reader
        raise Damaged(f"its model can't be read ({type(error).__name__}: {error})") from error
    if not isinstance(trained, Trained):
        raise Damaged(f"it holds a {type(trained).__name__}, and no trained model")
    now = _said(trained, x)
    if not np.array_equal(now, before, equal_nan=True):
        worst = float(np.nanmax(np.abs(now - before)))
        raise Outgrown(f"of {len(x)} rows it says something else than when it was trained, by up to {worst:.3g}")
    return trained


def probe(trained: Trained, rows: int = 32) -> Any:
    """Rows that are always the same for the same number of features."""
    return np.random.Generator(np.random.PCG64(1)).normal(size=(rows, len(trained.features.names)))


def _said(trained: Trained, x: Any) -> Any:
    said = trained.model.predict(x)
    columns = [*said]
    if trained.exits is not None:
        columns += [*trained.exits.ways(x), trained.exits.domain.distance(x)]
    return np.stack(columns)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseEstimator | np.ndarray):
        return value
    if is_dataclass(value) and type(value).__name__ in KINDS:
        return {_KIND: type(value).__name__} | {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a bundle can't hold a {type(value).__name__}; give its class a line in KINDS")


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_made(item) for item in value)
    if not isinstance(value, dict):
        return value
    inside = {key: _made(item) for key, item in value.items() if key != _KIND}
    return KINDS[value[_KIND]](**inside) if _KIND in value else inside
