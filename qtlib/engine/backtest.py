"""A backtest: the session, over bars that have already happened, with everything in memory."""

from datetime import datetime
from typing import Protocol

from qtlib.domain.events import START
from qtlib.engine.feeds import History, Strategy, Venue, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.port import Exchange
from qtlib.journal import MemoryJournal
from qtlib.rules.rules import Rules


class SimulatedVenue(Exchange, Venue, Protocol):
    """A venue that lives through steps, and takes orders."""


def backtest(
    history: History, strategy: Strategy, rules: Rules, venue: SimulatedVenue, after: datetime = START
) -> MemoryJournal:
    """Trade the closes of `history` after `after` on `venue`, and close what is open at the end; the journal.

    It is all that a report needs.
    """
    journal = MemoryJournal()
    session(lived(venue, replay(history, strategy, after=after)), rules, venue, journal, close_at_end=True)
    return journal
