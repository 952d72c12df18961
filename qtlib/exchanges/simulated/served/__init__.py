"""The simulated venue on loopback, in the real venue's own REST and WebSocket protocol.

Two clocks. What belongs to the market or the account (bars, orders, trades, income, event times) carries the time of
the simulated market. What belongs to the connection (`serverTime`, the timestamps of signed requests, listen keys,
limits) carries wall time, because that is what clients sign with.
"""

from qtlib.exchanges.simulated.served.app import Doors, serve
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.ledger import Ledger

__all__ = ["Desk", "Doors", "Ledger", "serve"]
