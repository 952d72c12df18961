"""Dead man's switches: what rests of a symbol is cancelled unless its client says in time that it is still there.

They go by the wall clock, as all that belongs to a connection does, and outlive the process. Plain orders are
cancelled and conditional ones stay, as they do when all plain orders are cancelled by hand.
"""

from collections.abc import Callable

from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.market import listed
from qtlib.exchanges.simulated.served.orders import cancel_resting
from qtlib.exchanges.simulated.served.words import Asked, Document, malformed


class Countdowns:
    def __init__(self, desk: Desk, wall: Callable[[], float]) -> None:
        self._desk, self._wall = desk, wall
        noted = ((symbol, desk.ledger.noted(_name(symbol))) for symbol in desk.view.instruments)
        self._due = {symbol: float(due) for symbol, due in noted if due}  # seconds of the wall clock

    def set(self, desk: Desk, asked: Asked) -> Document:
        """Begin, renew, or (0) end the countdown of a symbol."""
        symbol, left_ms = listed(desk, asked.needed("symbol")).symbol, asked.whole("countdownTime")
        asked.needed("countdownTime")
        if left_ms is None or left_ms < 0:
            raise malformed("countdownTime")
        self._note(symbol, self._wall() + left_ms / 1000 if left_ms else None)
        return {"symbol": symbol, "countdownTime": str(left_ms)}

    def run_out(self) -> None:
        """Cancel what rests where nobody was heard of in time."""
        for symbol, due in list(self._due.items()):
            if self._wall() >= due:
                cancel_resting(self._desk, symbol)
                self._note(symbol, None)

    def _note(self, symbol: str, due: float | None) -> None:
        self._desk.ledger.note(_name(symbol), "" if due is None else str(due))
        self._due.pop(symbol, None)
        if due is not None:
            self._due[symbol] = due


def _name(symbol: str) -> str:
    return f"countdown {symbol}"
