"""Models to save and to promote: as small as they can be, and real."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rows import a_dataset

from qtlib.learning import registry
from qtlib.learning.card import Card
from qtlib.learning.exits import fit_exits
from qtlib.learning.features import FeatureSet
from qtlib.learning.learned import Trained
from qtlib.learning.training import TrainParams, fit

FEATURES = FeatureSet(("momentum_24", "momentum_72", "volatility_168", "channel_48", "adx_14", "funding_frac"))
T0 = datetime(2026, 7, 1, tzinfo=UTC)
YES = {"promoted": True, "words": "it earned 0.1 R a trade, and that is no luck", "reasons": []}


def trained(model="flat", rows=1500):
    data = replace(a_dataset(rows), names=FEATURES.names)
    exits = fit_exits(data) if model == "boosted" else None
    return Trained(FEATURES, fit(data, TrainParams(model=model, folds=2)), exits, int(data.times[-1]))


def a_card(hours=0, **changes):
    row = {
        "model": "flat",
        "made": f"{T0 + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}",
        "source": "rows by hand",
        "simulated": True,
        "symbols": ("AUSDT", "BUSDT"),
        "timeframe": "1h",
        "first": "2026-01-01T00:00:00Z",
        "last": "2026-02-01T00:00:00Z",
        "rows": 1500,
        "data_fingerprint": "ab12",
        "features": FEATURES.names,
        "schema_hash": FEATURES.schema_hash,
        "metrics": {"expectancy_r": 0.05, "sharpe": None},
    }
    return Card(**row | changes)


FLAT = trained()


def saved(root, hours=0, ruling=YES, model=FLAT, **card):
    seen = {"features": model.features.names, "schema_hash": model.features.schema_hash}
    version = registry.save(root, model, a_card(hours, **seen | card))
    if ruling:
        registry.ruled(root, version, ruling)
    return version
