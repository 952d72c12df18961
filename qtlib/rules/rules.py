"""`Rules`: every number that a decision depends on, beside the signals and the state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from qtlib.domain.market import Instrument
from qtlib.rules.limits import RiskLimits
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import Costs, ExitParams


class Strangers(Enum):
    """What follows when somebody else traded on the account. What they opened is protected in any case."""

    ADOPT = "adopt"  # go on
    REDUCE = "reduce"  # nothing grows until a person has looked
    HALT = "halt"  # everything is closed


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a decision goes by, besides the moment and the state."""

    instruments: Mapping[str, Instrument]  # what may be traded, by symbol
    sizing: SizingParams = field(default_factory=SizingParams)
    limits: RiskLimits = field(default_factory=RiskLimits)
    exits: ExitParams = field(default_factory=ExitParams)
    costs: Costs = field(default_factory=Costs)
    strangers: Strangers = Strangers.ADOPT
