"""`Rules`: every number that a decision depends on, beside the signals and the state."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qtlib.domain.market import Instrument
from qtlib.rules.limits import RiskLimits
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import Costs, ExitParams


@dataclass(frozen=True, slots=True)
class Rules:
    instruments: Mapping[str, Instrument]  # what may be traded, by symbol
    sizing: SizingParams = field(default_factory=SizingParams)
    limits: RiskLimits = field(default_factory=RiskLimits)
    exits: ExitParams = field(default_factory=ExitParams)
    costs: Costs = field(default_factory=Costs)
