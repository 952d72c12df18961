"""A session: one stretch of trading, from recovery to an orderly end. The notebooks' one call.

It knows nothing of where it runs. Whoever starts it may hand in a heart that is beaten once a moment, and a question
that is asked as often: should it end? Ending means no more entries; what is open stays protected at the exchange,
unless the session is told to close it.
"""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from qtlib.domain.decisions import Moment
from qtlib.domain.events import (
    END_OF_DATA,
    START_UP,
    Event,
    FactsRead,
    LimitsSet,
    SessionClosed,
    SessionOpened,
    StatusSet,
    TradingStatus,
)
from qtlib.domain.state import State
from qtlib.engine.auditor import Unwatched
from qtlib.engine.loop import Journal, Watch, kept_up, settle, trade
from qtlib.exchanges.port import Exchange, Untrusted
from qtlib.rules.in_force import asked_for, in_force, loosened, plain
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules


@dataclass(frozen=True, slots=True)
class Name:
    """What a session is called in the journal."""

    session_id: str = "backtest"
    run_id: str = "backtest"
    mode: str = "sim"
    params_hash: str = ""
    market: str = ""  # whose prices are traded by, in words
    by: str = "engine"  # who started it: user@host
    reason: str = ""  # why limits were loosened, where they were
    learns: bool = False
    chooses: bool = False  # its universe, anew each day


class Loosened(Exception):
    """A limit was loosened, and nobody said why."""


def session(
    feed: Iterable[Moment],
    rules: Rules,
    exchange: Exchange,
    journal: Journal,
    *,
    name: Name | None = None,
    beat: Callable[[Moment], None] | None = None,
    stop: Callable[[], bool] | None = None,
    max_bars: int | None = None,
    close_at_end: bool = False,
    watch: Watch | None = None,
    misgivings: str = "",
) -> State:
    """Trade `feed` until it ends, `stop` says so, or `max_bars` moments have passed; the state after that.

    With `misgivings` about how it starts nothing is entered; what is held is protected as ever.
    """
    name, watch = name or Name(), watch or Unwatched()
    state = journal.state()
    insist_on_market(state, name.market)
    now = journal.now()
    limits = limits_set(state, rules.limits, name, now)
    opened = SessionOpened(
        state.ts,
        name.session_id,
        name.run_id,
        name.mode,
        name.params_hash,
        name.market,
        name.learns,
        name.chooses,
    )
    rules = replace(rules, limits=in_force(asked_for(rules.limits, state.limits), state.limits, now))
    facts = FactsRead(state.ts, name.run_id, rules.instruments, dict.fromkeys(rules.instruments, rules.sizing.leverage))
    known = state.facts is not None and replace(facts, run_id=state.facts.run_id, ts=state.facts.ts) == state.facts
    begun: list[Event] = [opened, *([] if known else [facts]), *([] if limits is None else [limits])]
    state = opening = journal.absorb(state, begun)
    journal.absorb(state, _readiness(state, name, misgivings))

    stretch = _Stretch(feed, beat, stop, max_bars)
    with _seldom_collecting():
        state = trade(stretch, rules, exchange, journal, watch)
    if state.ending:
        stretch.ended_by = f"{state.ending} asked for it"
    elif close_at_end and not stretch.stopped:
        if state.status is not TradingStatus.HALTED:
            state = journal.absorb(state, [StatusSet(state.ts, TradingStatus.HALTED, END_OF_DATA, name.run_id)])
        state, _ = settle(state, kept_up(rules, opening, state), exchange, journal)
    return journal.absorb(state, [SessionClosed(state.ts, name.run_id, stretch.ended_by)])


def _readiness(state: State, name: Name, misgivings: str) -> list[StatusSet]:
    """What the start-up found, where it changes anything; a brake that somebody put on holds whatever it found."""
    by = f"{START_UP} of {name.run_id}"
    if misgivings and state.status is TradingStatus.ACTIVE:
        return [StatusSet(state.ts, TradingStatus.REDUCING, misgivings, by)]
    if not misgivings and state.status is TradingStatus.REDUCING and state.brake is None:
        return [StatusSet(state.ts, TradingStatus.ACTIVE, "the start-up found nothing amiss", by)]
    return []


def insist_on_market(state: State, market: str) -> None:
    """An account trades by the prices of one market: those of another would make nonsense of what it holds."""
    if state.market and market and market != state.market:
        raise Untrusted(
            f"this account has traded by the prices of {state.market}, and these settings name {market}: give the "
            "session another account (-p session.account=NAME)"
        )


def limits_set(state: State, settings: RiskLimits, name: Name, now: datetime) -> LimitsSet | None:
    """The limits of a session with these settings at `now` [wall time]; None if the journal has just these."""
    last, asked = state.limits, asked_for(settings, state.limits)
    holding = in_force(asked, last, now)
    if looser := loosened(asked, last):
        words = ", ".join(f"{limit} from {before} to {after}" for limit, (before, after) in looser.items())
        if not name.reason:
            raise Loosened(
                f"this would loosen {words}: say why (-p session.reason=TEXT); it holds from the next UTC day on"
            )
    if last and (last.in_force, last.asked, last.settings) == (plain(holding), plain(asked), plain(settings)):
        return None
    reason = name.reason if looser or last is None else last.reason
    return LimitsSet(state.ts, name.run_id, plain(holding), plain(asked), now, name.by, reason, plain(settings))


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """The loop makes values without cycles, many of which stay: looking for cycles among them took a quarter of it."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Stretch:
    """`feed`, with a heart and an end."""

    def __init__(
        self,
        feed: Iterable[Moment],
        beat: Callable[[Moment], None] | None,
        stop: Callable[[], bool] | None,
        max_bars: int | None,
    ):
        self.feed, self.beat, self.stop, self.max_bars = feed, beat, stop, max_bars
        self.ended_by = END_OF_DATA

    @property
    def stopped(self) -> bool:
        return self.ended_by == "stop requested"

    def __iter__(self) -> Iterator[Moment]:
        bars = 0
        for moment in self.feed:
            yield moment
            bars += bool(moment.bars)
            if self.beat:
                self.beat(moment)
            if self.stop and self.stop():
                self.ended_by = "stop requested"
                return
            if self.max_bars is not None and bars >= self.max_bars:
                self.ended_by = f"its {bars} bars were traded"
                return
