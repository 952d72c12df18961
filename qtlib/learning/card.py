"""The card of a model: what was learned from what, how, how good it is, and what the gate said. Plain values, JSON."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from html import escape
from importlib.metadata import version
from typing import Any

_LIBRARIES = {"numpy": "numpy", "scikit-learn": "scikit-learn", "skops": "skops", "TA-Lib": "ta-lib"}


def libraries() -> dict[str, str]:
    """The versions that a model's bits depend on."""
    return {"python": platform.python_version()} | {name: version(package) for name, package in _LIBRARIES.items()}


@dataclass(frozen=True, slots=True)
class Card:
    model: str  # a name of `MODELS`
    made: str  # ISO 8601, UTC
    source: str  # of the bars, in words
    simulated: bool
    symbols: tuple[str, ...]
    timeframe: str
    first: str  # decision learned from, ISO 8601
    last: str
    rows: int
    data_fingerprint: str
    features: tuple[str, ...]
    schema_hash: str
    dropped: Mapping[str, int] = field(default_factory=dict)  # rows that could not teach, by why
    settings: Mapping[str, Any] = field(default_factory=dict)  # of training, labels, exits and costs
    metrics: Mapping[str, float | None] = field(default_factory=dict)  # out of sample
    promise: Mapping[str, float | None] = field(default_factory=dict)  # what live trading is held to
    inputs: Mapping[str, Any] = field(default_factory=dict)  # how each feature was distributed: `drift.Profile`
    libraries: Mapping[str, str] = field(default_factory=libraries)
    run_id: str = ""  # of the retrain

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Card":
        """From JSON; what later versions add is not missed, what this one needs is."""
        names = {f.name for f in fields(cls)}
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items() if k in names}
        return cls(**known)

    def row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Shown:
    """A card with what became of its model, for people. In a notebook it is a table."""

    version: str
    content_hash: str
    card: Card
    ruling: Mapping[str, Any] | None  # the gate's, as a row
    champion: bool = False

    @property
    def verdict(self) -> str:
        if self.ruling is None:
            return "not judged yet"
        return str(self.ruling.get("words") or ("promoted" if self.ruling.get("promoted") else "refused"))

    def facts(self) -> dict[str, str]:
        """What there is to know, in order, as words."""
        card = self.card
        market = f"{card.source}{' (SIMULATED market: says nothing about real ones)' if card.simulated else ''}"
        left_out = ", ".join(f"{count:,} {why}" for why, count in card.dropped.items() if count)
        return {
            "champion": "yes" if self.champion else "no",
            "gate": self.verdict,
            "model": f"{card.model}, made {_minute(card.made)}",
            "learned from": f"{card.rows:,} decisions on {', '.join(card.symbols)}, {card.timeframe}, "
            f"{_minute(card.first)} to {_minute(card.last)}",
            "bars": market,
            **({"left out": left_out} if left_out else {}),
            **{f"metric {name}": "unknown" if v is None else f"{v:.4g}" for name, v in card.metrics.items()},
            **{f"promise {name}": "unknown" if v is None else f"{v:.4g}" for name, v in card.promise.items()},
            **{f"setting {name}": str(v) for name, v in card.settings.items()},
            "features": f"{len(card.features)}, schema {card.schema_hash[:12]}",
            "data": card.data_fingerprint,
            "content": self.content_hash,
            "libraries": ", ".join(f"{name} {v}" for name, v in card.libraries.items()),
            **({"run": card.run_id} if card.run_id else {}),
        }

    def _repr_html_(self) -> str:
        left = 'style="text-align: left"'
        rows = "".join(
            f"<tr><th {left}>{escape(k)}</th><td {left}>{escape(v)}</td></tr>" for k, v in self.facts().items()
        )
        checks = "".join(
            f"<tr><td {left}>{escape(str(check.get('name')))}</td><td>{_number(check.get('value'))}</td>"
            f"<td>{_number(check.get('threshold'))}</td><td {left}>{'passes' if check.get('ok') else 'FAILS'}</td></tr>"
            for check in (self.ruling or {}).get("reasons", ())
        )
        heads = f"<tr><th {left}>check</th><th>value</th><th>threshold</th><th></th></tr>"
        judged = f"<table>{heads}{checks}</table>" if checks else ""
        return f"<h4>Model {escape(self.version)}</h4><table>{rows}</table>{judged}"


def _minute(stamp: str) -> str:
    """ISO 8601 as people read it: 2026-03-01 08:00, which is UTC."""
    return stamp[:16].replace("T", " ")


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "unknown"
