"""A venue in process: deterministic, durable if wanted, and as strict as the real one."""

from qtlib.exchanges.simulated.conduct import Conduct
from qtlib.exchanges.simulated.facts import facts, instruments
from qtlib.exchanges.simulated.venue import SimulatedExchange

__all__ = ["Conduct", "SimulatedExchange", "facts", "instruments"]
