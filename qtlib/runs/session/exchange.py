"""The simulated venue as a process of its own: from settings to open doors, and on from where its files left off.

With a state file it is a venue that outlives its process: the engine's file is `FILE`, its clients' orders are in
`FILE.orders` beside it, and the market goes on after the last bar that the engine lived through. What was before the
account began is known to clients as past bars, and no more.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from qtlib.domain.events import START
from qtlib.domain.market import Instrument, Step
from qtlib.engine.feeds import steps
from qtlib.exchanges.port import ExchangeError
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.exchanges.simulated.faults import Faults
from qtlib.exchanges.simulated.faults import read as read_faults
from qtlib.exchanges.simulated.served import Desk, Doors, Ledger, serve
from qtlib.exchanges.simulated.served.chart import Chart
from qtlib.market.simulated import EDITION
from qtlib.market.timeframes import datetime_at, length_of, micros_at
from qtlib.params import Params, SettingsError, load_yaml
from qtlib.runs import wiring

if TYPE_CHECKING:
    from qtlib.exchanges.paper import Upstream

WATCH_EVERY_S = 0.5
PAST_BARS = 500  # before the account begins, unless it is said when: what a client asks for when it names no limit


def opened(
    params: Params, state: Path | None = None, begins: datetime | None = None, past_bars: int = PAST_BARS
) -> tuple[Desk, Iterator[Step]]:
    """The desk, standing where its files left it, at `begins` or after `past_bars`, and the steps to come."""
    engine, ledger = _files(params, wiring.instruments(params), state, _market_of(params))
    past, coming = _split(_steps(params), engine.now if engine.now > START else begins, past_bars)
    return _desk(params, engine, ledger, past), coming


@contextlib.asynccontextmanager
async def following(
    params: Params, where: str, state: Path | None = None, past_bars: int = PAST_BARS
) -> AsyncIterator[tuple[Desk, "Upstream"]]:
    """The desk of mode `paper`, standing where its files left it or now, and the market it follows, at `where`."""
    from qtlib.exchanges.paper import open_upstream  # noqa: PLC0415  cold start: its client library takes a second

    timeframe, known = _timeframe(params), wiring.instruments(params)
    async with open_upstream(where, known, timeframe, length_of(timeframe)) as upstream:
        try:
            listed = await upstream.instruments(known)
            engine, ledger = _files(params, listed, state, f"market of {upstream.standing['url']}, bars of {timeframe}")
            for symbol in upstream.halted:
                engine.relist(listed[symbol], suspended=True)
            past = await upstream.past(past_bars, engine.now if engine.now > START else None)
        except ExchangeError as why:
            raise SettingsError(f"--paper {where}: {why}") from why
        if not past:
            raise SettingsError(f"--paper {where}: it has no bars of {timeframe}")
        yield _desk(params, engine, ledger, past), upstream


async def keep_open(doors: Doors, port: int, ready: Callable[[int], None], until_pid: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or until process `until_pid` is gone; `ready` is told the port once it is open."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with serve(doors, port) as bound:
        ready(bound)
        watching = asyncio.create_task(_gone(until_pid, told)) if until_pid else None
        await told.wait()
        if watching:
            watching.cancel()


def speed_of(text: str) -> float | None:
    """Simulated time over wall time; None: it only goes on when it is told to.

    >>> speed_of("3600"), speed_of("step")
    (3600.0, None)
    """
    if text == "step":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < inf:
        raise SettingsError(f"--speed {text!r} must be a number above 0 (1: real time, 3600: an hour a second) or step")
    return speed


def faults_of(path: Path | None) -> Faults:
    """The faults that `path` describes; none without a file."""
    if path is None:
        return Faults()
    try:
        listed, seed = read_faults(load_yaml(path.read_text(encoding="utf-8"), str(path)))
    except OSError as why:
        raise SettingsError(f"--faults {path} could not be read: {why.strerror}") from None
    except ValueError as why:
        raise SettingsError(f"--faults {path}: {why}") from None
    return Faults(listed, seed)


def instant(text: str) -> datetime:
    """`text` as a time; one that names no zone is UTC."""
    try:
        return datetime_at(micros_at(text))
    except ValueError:
        raise SettingsError(f"--from {text!r} must be a time, as 2026-03-01 or 2026-03-01T12:00Z") from None


# --- below ------------------------------------------------------------------------------------------------


async def _gone(pid: int, told: asyncio.Event) -> None:
    """Set `told` when process `pid` is no more; another that was given its number since is not taken for it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(WATCH_EVERY_S)
    told.set()


def _timeframe(params: Params) -> str:
    return params.data.finer_timeframe or params.data.timeframe


def _steps(params: Params) -> Iterator[Step]:
    """The bars on disk; or the simulated market, which goes on for ever."""
    if params.data.source == "files":
        yield from steps(wiring.market(params))
        return
    after = START
    while True:
        batch = list(steps(wiring.market(params, after), after=after))
        yield from batch[:-1]  # the last one does not know yet at which price the next begins
        after = batch[-2].ts


def _split(steps: Iterator[Step], until: datetime | None, bars: int) -> tuple[list[Step], Iterator[Step]]:
    """What is past at `until`, and what is to come; where `until` is None, so many `bars` are past."""
    past: list[Step] = []
    for step in steps:
        if (len(past) >= bars) if until is None else (step.ts > until):
            if past:
                return past, chain([step], steps)
            raise SettingsError(f"the venue would stand at {until}, the first bar closes at {step.ts}: begin later")
        past.append(step)
    if until is None:
        raise SettingsError(f"with {len(past)} bars there is nothing after the first {bars}: say --from when to begin")
    return past, iter(())


def _files(
    params: Params, listed: Mapping[str, Instrument], state: Path | None, market: str
) -> tuple[SimulatedExchange, Ledger]:
    """The engine and the ledger in their files, or in memory; an account goes on in the market it lived through."""
    if state and not state.parent.is_dir():
        raise SettingsError(f"--state {state}: there is no folder {state.parent}; make it first")
    engine = wiring.venue(params, listed, state)
    ledger = Ledger(state and state.with_name(state.name + ".orders"))
    there = ledger.noted("market")
    if there is None:
        ledger.note("market", market)
    elif there != market:
        engine.close()
        ledger.close()
        raise SettingsError(
            f"{state} was begun in the {there}; asked is the {market}: ask for that again, or begin anew with another "
            "file (a session: with another account, -p session.account=NAME)"
        )
    return engine, ledger


def _desk(params: Params, engine: SimulatedExchange, ledger: Ledger, past: Sequence[Step]) -> Desk:
    chart = Chart(length_of(_timeframe(params)))
    for step in past:
        chart.live(step)
    desk = Desk(engine, ledger, chart)
    desk.live(past[-1])  # where it stands; a venue that was here before has lived through it
    return desk


def _market_of(params: Params) -> str:
    data = params.data
    where = f"{EDITION}, {wiring.chance_of(params)}" if data.source == "simulated" else str(data.path)
    return f"{data.source} market ({where}), bars of {_timeframe(params)}, {', '.join(params.universe.symbols)}"
