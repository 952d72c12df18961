"""All settings together, and what must hold between them."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
)

from qtlib.learning.search import SweepParams
from qtlib.params.given import RULES, Checked
from qtlib.params.kinds import Section
from qtlib.params.sections import (
    Alerts,
    Data,
    Learning,
    Parity,
    Postmortem,
    Report,
    Schedule,
    Session,
    Strategy,
    Universe,
    Venue,
)
from qtlib.rules.limits import RiskLimits
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams


class Params(Section):
    """All settings of a run, checked."""

    mode: Literal["sim", "paper", "demo", "live"] = Field("sim", description="how real the money is")
    venue: Venue = Venue()
    data: Data = Data()
    universe: Universe = Universe()
    strategy: Strategy = Strategy()
    sizing: Annotated[SizingParams, Checked(RULES["sizing"])] = SizingParams()
    limits: Annotated[RiskLimits, Checked(RULES["limits"])] = RiskLimits()
    exits: Annotated[ExitParams, Checked(RULES["exits"])] = ExitParams()
    learning: Learning = Learning()
    session: Session = Session()
    alerts: Alerts = Alerts()
    schedule: Schedule = Schedule()
    report: Report = Report()
    postmortem: Postmortem = Postmortem()
    parity: Parity = Parity()
    sweep: Annotated[SweepParams, Checked(RULES["sweep"])] = SweepParams()

    def plain(self) -> dict[str, Any]:
        """As JSON and YAML can hold it: money as strings, times in ISO 8601."""
        values: dict[str, Any] = self.model_dump(mode="json")
        return values

    def hash(self) -> str:
        """SHA-256 of the canonical JSON: equal settings, equal hash."""
        canonical = json.dumps(self.plain(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()
