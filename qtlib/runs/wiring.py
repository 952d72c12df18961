"""From settings to the pieces that a notebook wires: one function a piece, each from values to a value.

Nothing here decides or trades. A notebook calls these line by line, and may put something of its own in the place
of any of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from qtlib.domain.decisions import Moment
from qtlib.domain.events import START, Event
from qtlib.domain.market import Bar, Instrument
from qtlib.domain.state import State
from qtlib.engine.feeds import OHLCV, Strategy
from qtlib.engine.loop import Watch
from qtlib.engine.session import Name
from qtlib.engine.universe import Universe
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.exchanges.simulated import instruments as simulated_instruments
from qtlib.learning.strategies import STRATEGIES, Trend
from qtlib.market import Market, first_closes, read
from qtlib.market.series import Kept
from qtlib.market.simulated import EDITION, LISTINGS, Regime, SimulatedMarket, simulate
from qtlib.market.survey import doubts
from qtlib.market.timeframes import datetime_at, micros_at, micros_in, micros_of
from qtlib.params import Params, SettingsError
from qtlib.report.story import tell
from qtlib.rules.rules import Rules, Strangers
from qtlib.rules.tpsl import Costs
from qtlib.runs.believing.subjects import feature_set
from qtlib.runs.record.commands import actor
from qtlib.runs.record.folder import runs_root
from qtlib.runs.record.health import Health
from qtlib.runs.record.run import Run
from qtlib.runs.record.secrecy import without_secrets

if TYPE_CHECKING:
    from qtlib.journal import Journal, Lease

LEARNED = "learned"  # the strategy that is whoever is champion


def strategy(params: Params, root: Path | None = None) -> Strategy:
    """The strategy that the settings name, with its own numbers; `root` is where runs, and models, lie."""
    name, given = params.strategy.name, params.strategy.params
    if name == LEARNED:
        from qtlib.runs.believing import believers  # noqa: PLC0415  cold start: scikit-learn takes a second, and a rule has no use for it

        return believers.strategy(params, root or runs_root())
    made = STRATEGIES.get(name)
    if made is None:
        raise SettingsError(f"strategy.name {name!r} must be one of {', '.join(STRATEGIES)}{_meant(name, STRATEGIES)}")
    known = [field.name for field in fields(made)]
    if unknown := [key for key in given if key not in known]:
        raise SettingsError(
            f"unknown strategy.params.{unknown[0]}{_meant(unknown[0], known)}; {name} has {', '.join(known)}"
        )
    try:
        return made(**given)  # type: ignore[arg-type]  # of a wrong kind or size: the error below
    except (TypeError, ValueError) as why:
        raise SettingsError(f"strategy.params do not fit {name}: {why}") from why


def believer(params: Params, root: Path) -> Strategy:
    """`strategy` for a session: a model that can't be asked, or has not earned it, ends entries and nothing else."""
    if params.strategy.name != LEARNED:
        return strategy(params, root)
    from qtlib.runs.believing import believers  # noqa: PLC0415  cold start, as above

    return believers.believer(params, root)


def lookback(params: Params) -> int:
    """How many bars the strategy reads; of whoever is champion, without asking who that is."""
    if params.strategy.name != LEARNED:
        return strategy(params).lookback
    return max(Trend().lookback, feature_set(params).lookback)


def market(params: Params, after: datetime = START) -> Market:
    """The bars to trade: those on disk, or `data.bars` simulated ones beyond `after`."""
    data, refill = params.data, lookback(params)
    if data.source == "files":
        assert data.path is not None  # the settings were checked
        kept: Kept = {}
        found = read(
            data.path,
            params.universe.symbols,
            data.timeframe,
            data.start,
            data.end,
            finer_timeframe=data.finer_timeframe,
            allow_gaps=data.allow_gaps,
            refill=refill,
            absent_ok=params.universe.rule is not None,
            keep=kept,
        )
        return surveyed(found, data.path, refill, kept)
    kind = simulated_market(params)
    passed = max(0, (micros_at(after) - micros_at(kind.start)) // micros_of(data.timeframe))
    assert data.bars is not None  # the settings were checked
    return simulate(kind, bars=max(passed, data.history) + data.bars, refill=refill)


def surveyed(market: Market, folder: str | Path, refill: int, kept: Kept | None = None) -> Market:
    """`market`, which was read from `folder`, with what a survey of that doubts in it; `kept` are whole files of it."""
    within = (micros_at(market.first) - micros_of(market.timeframe), micros_at(market.last))
    doubted = doubts(Path(folder), market.symbols, market.timeframe, within, kept)
    return market.doubting(doubted.spans, refill, doubted.notes)


def universe(params: Params, market: Market) -> Universe | None:
    """Who is chosen from each day of a replay of `market`; None: all of it is traded."""
    rule, names, data = params.universe.rule, params.universe.symbols, params.data
    if rule is None:
        return None
    if data.path is None:  # the simulated market's symbols are as old as it is
        listed = {symbol: datetime_at(int(micros_in(frame.index)[0])) for symbol, frame in market.bars.items()}
    else:
        listed = first_closes(data.path, names, data.timeframe)
    return Universe(names, rule, listed)


def begins(params: Params, market: Market) -> datetime:
    """The last close that is past when the account begins; nothing is past unless `data.history` says so."""
    if not params.data.history:
        return START
    return datetime_at(int(micros_in(market.bars[market.symbols[0]].index)[params.data.history - 1]))


def simulated_market(params: Params) -> SimulatedMarket:
    """What the simulated market is made from."""
    data, symbols = params.data, params.universe.symbols
    if strangers := [symbol for symbol in symbols if symbol not in LISTINGS]:
        raise SettingsError(
            f"the simulated market has no {', '.join(strangers)}, only {', '.join(LISTINGS)}; bars of others come from "
            "files: -p data.source=files -p data.path=FOLDER"
        )
    try:
        regimes = tuple(Regime(**regime.model_dump()) for regime in data.regimes)
        return SimulatedMarket(data.seed, symbols, data.timeframe, edge=data.edge, regimes=regimes)
    except ValueError as why:
        raise SettingsError(f"the simulated market can't be made: {why}") from why


def frame(bars: Sequence[Bar]) -> pd.DataFrame:
    """Bars as a frame, by their close."""
    return pd.DataFrame(
        [bar[1:] for bar in bars], columns=OHLCV, index=pd.DatetimeIndex([bar.ts for bar in bars], name="ts")
    )


def instruments(params: Params) -> Mapping[str, Instrument]:
    """What is traded, as the simulated venue lists it; unlisted symbols have their facts in the settings."""
    given = {s: facts.model_dump(exclude_none=True) for s, facts in params.venue.symbols.items()}
    try:
        return simulated_instruments(params.universe.symbols, given)
    except ValueError as why:
        raise SettingsError(str(why)) from why


def rules(params: Params, listed: Mapping[str, Instrument]) -> Rules:
    """Every number that decisions depend on."""
    dearest = max(float(instrument.taker_fee_frac) for instrument in listed.values())
    costs = Costs(taker_fee_frac=dearest, slippage_frac=params.venue.slippage_frac)
    strangers = Strangers(params.session.strangers)
    return Rules(listed, params.sizing, params.limits, params.exits, costs, strangers)


def venue(params: Params, listed: Mapping[str, Instrument], store: Path | None = None) -> SimulatedExchange:
    """The simulated venue; with `store` it keeps what it knows there, and outlives the session."""
    v = params.venue
    conduct = Conduct(
        slippage_frac=v.slippage_frac,
        slippage_noise_frac=v.slippage_noise_frac,
        max_volume_share_frac=v.max_volume_share_frac,
        margin_mode=v.margin_mode,
        leverage=params.sizing.leverage,
        seed=v.seed,
    )
    try:
        return SimulatedExchange(listed, v.balance, conduct, store)
    except ValueError as why:  # what the store was begun with
        raise SettingsError(f"{why} (with another session.account)") from why


def learner(run: Run, strategy: Strategy, watch: Watch, health: Health) -> Watch:
    """`watch`, and beside it who trains new models, where the strategy is one that learns."""
    if run.params.strategy.name != LEARNED:
        return watch
    from qtlib.runs.believing import believers  # noqa: PLC0415  cold start, as above

    return believers.learner(run, strategy, watch, health)


def last_lesson(run: Run, watch: Watch, journal: "Journal", state: State) -> State:
    """The state once the retrain that the session leaves behind, if there is one, has ended."""
    if run.params.strategy.name != LEARNED:
        return state
    from qtlib.runs.believing import believers  # noqa: PLC0415  cold start, as above

    return believers.last_lesson(run, watch, journal, state)


def journal(run: Run) -> "Journal":
    """The account's journal, created or migrated where need be; no secret comes into it."""
    from qtlib.journal import Journal  # noqa: PLC0415  cold start: SQLAlchemy, which a backtest has no use for

    return Journal(run.journal, run.params.session.account, clean=without_secrets)


def name(run: Run) -> Name:
    """What this run is called in the journal."""
    p = run.params
    return Name(
        p.session.account,
        run.run_id,
        p.mode,
        p.hash(),
        prices_of(p),
        actor(),
        p.session.reason or "",
        learns=_learns(p),
        chooses=p.universe.rule is not None,
    )


def _learns(params: Params) -> bool:
    return params.strategy.name == LEARNED and params.learning.enabled


def prices_of(params: Params) -> str:
    """Whose prices an account trades by: sessions that resume one another name the same."""
    data = params.data
    if params.mode != "sim":
        return f"{_MARKETS[params.mode]}, {data.timeframe} bars"
    if data.source == "files":
        return f"bars of {data.timeframe} on disk"
    return f"the simulated market ({EDITION}) of {data.timeframe} bars with {chance_of(params)}"


def chance_of(params: Params) -> str:
    """What tells one simulated market from another, in words."""
    data = params.data
    told = "".join(f", {Regime(**regime.model_dump()).words()}" for regime in data.regimes)
    return f"seed {data.seed} and edge {data.edge:g}{told}"


_MARKETS = {
    "paper": "the real venue's public prices",
    "demo": "the venue's demo market",
    "live": "the real venue",
}


def narrator(run: Run, rules: Rules) -> Callable[[State, Event, State], None]:
    """Tells the run's log what happens, in the words that people read; what goes on as it was is told once."""
    crowded = ""

    def narrate(before: State, event: Event, after: State) -> None:
        nonlocal crowded
        for line in tell(before, event, after, rules.limits.max_positions, run.params.session.quiet_alarm_h):
            if line.startswith("⚠️ Position limit"):
                if line == crowded:
                    continue
                crowded = line
            venue_ts = {} if event.ts == START else {"venue_ts": event.ts.isoformat()}
            level = "warning" if line.startswith(("⚠️", "🚨")) else "info"
            run.log.write(level, line, **venue_ts)

    return narrate


def bars_to_trade(params: Params) -> int | None:
    """After how many bars the session ends by itself; None: with the market, or never."""
    if params.session.max_bars is not None:
        return params.session.max_bars
    return params.data.bars if params.mode == "sim" and params.data.source == "simulated" else None


def heart(
    run: Run, lease: "Lease | None" = None, total: int | None = None, health: Health | None = None
) -> Callable[[Moment], None]:
    """Beats once a moment: a sign of life with how far the run is, and the lease renewed while it is."""
    done, total = 0, total or bars_to_trade(run.params)

    def beat(moment: Moment) -> None:
        nonlocal done
        done += bool(moment.bars)
        run.beat(done, total, venue_ts=moment.ts.isoformat(), health=health.url if health else None)
        if lease is not None:
            lease.renew()

    return beat


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
