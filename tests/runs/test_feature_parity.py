"""What every decision of a session was shown is, bit for bit, what research makes of the bars that were stored."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
from a_live_market import LiveMarket
from a_model import T0 as PROMOTED
from a_model import saved
from builders import HOUR, INSTRUMENTS, T0, make_bars, some_rules
from rows import a_dataset

from qtlib.domain.decisions import Moment
from qtlib.domain.events import StatusSet
from qtlib.domain.learned import FeaturesSeen, ModelChanged
from qtlib.engine.auditor import Unwatched
from qtlib.engine.feeds import panel_of
from qtlib.engine.live import Subject, stepped
from qtlib.engine.session import session
from qtlib.exchanges.port import Settled
from qtlib.exchanges.simulated import SimulatedExchange
from qtlib.journal import MemoryJournal
from qtlib.learning import registry
from qtlib.learning.features import DEFAULT_FEATURES, FeatureSet
from qtlib.learning.learned import Trained
from qtlib.learning.strategies import Trend
from qtlib.learning.training import TrainParams, fit
from qtlib.learning.triggers import TriggerParams
from qtlib.market import Market, Store, read
from qtlib.market.timeframes import datetime_at
from qtlib.rules.sizing import SizingParams
from qtlib.runs.believing.champion import Champion
from qtlib.runs.believing.learner import Learner
from qtlib.runs.believing.retrainer import Retrainer
from qtlib.runs.believing.shelf import Shelf

SYMBOLS = tuple(INSTRUMENTS)
BEFORE, DECISIONS, SWAPPED = 540, 70, 30  # bars that were there, bars that are decided at, and after how many of those
FIRST, SECOND = FeatureSet(DEFAULT_FEATURES), FeatureSet(("momentum_24", *DEFAULT_FEATURES[9:26:2]))


def a_market():
    """Three symbols, of which one has a gap while the session lasts and one was listed late, with funding rates."""
    bars = {s: make_bars(BEFORE + DECISIONS, seed=n, vol=0.012) for n, s in enumerate(SYMBOLS)}
    dice = np.random.default_rng(5)
    for frame in bars.values():
        frame["volume"] = dice.lognormal(3, 1, len(frame))
    bars["ETHUSDT"] = bars["ETHUSDT"].drop(bars["ETHUSDT"].index[BEFORE + 40])
    bars["XRPUSDT"] = bars["XRPUSDT"].iloc[300:]
    settled = pd.date_range(T0, bars["BTCUSDT"].index[-1], freq="8h")
    funding = {s: pd.Series(dice.normal(1e-4, 1e-4, len(settled)), settled.rename("ts")) for s in SYMBOLS}
    return Market.of(bars, "1h", funding=funding, allow_gaps=True)


class FundedMarket(LiveMarket):
    """With funding rates, told once they are settled."""

    def __init__(self, venue, market):
        super().__init__(venue, dict(market.bars))
        self.rates = market.funding

    def funding(self, symbols, since):
        told = {s: self.rates[s][since : self.now] for s in symbols}
        return {s: [Settled(ts.to_pydatetime(), rate) for ts, rate in of.items()] for s, of in told.items()}


def a_model(features):
    """One that goes by its first feature."""
    data, rng = a_dataset(1500), np.random.default_rng(1)
    x = np.concatenate([data.x[:, :1], rng.normal(size=(1500, len(features.names) - 1))], axis=1)
    data = replace(data, x=x, mirror=-x, names=features.names)
    return Trained(features, fit(data, TrainParams("logistic")), None, 2**62)


def test_every_decision_of_a_session_was_shown_what_research_makes_of_the_stored_bars_across_a_swap(tmp_path):
    market = a_market()
    Store(tmp_path / "bars").write(market)
    research = panel_of(read(tmp_path / "bars", SYMBOLS, "1h", allow_gaps=True))
    models = [saved(tmp_path, hours, model=a_model(of)) for hours, of in enumerate((FIRST, SECOND))]
    promote = {"who": "a test", "why": "it earns", "at": PROMOTED}
    registry.promote(tmp_path, models[0], **promote)
    shelf, rules = Shelf(tmp_path, "test"), some_rules(sizing=SizingParams(confidence_threshold=0.0))
    champion = Champion(Trend(), FIRST, shelf.strategy(models[0]), models[0])
    beside = Retrainer(tmp_path / "params.yaml", tmp_path, "main")
    learner = Learner(Unwatched(), champion, shelf, beside, TriggerParams(10_000, interval_hours=1e6), print)
    venue, journal = SimulatedExchange(INSTRUMENTS, Decimal(100_000)), MemoryJournal()
    there = FundedMarket(venue, market)
    while there.now < T0 + BEFORE * HOUR:
        there.step()
    heard: list[Moment] = []

    def listened():
        subject = Subject(champion, SYMBOLS, "1h", HOUR, reads_funding=True)
        for moment in stepped(there, subject, after=there.now):
            if moment.signals:
                heard.append(moment)
            if len(heard) == SWAPPED:
                registry.promote(tmp_path, models[1], **promote)
            yield moment

    session(listened(), rules, venue, journal, watch=learner)

    columns = {datetime_at(ts): n for n, ts in enumerate(research.times.tolist())}
    sets = {models[0]: (FIRST, FIRST.matrix(research)), models[1]: (SECOND, SECOND.matrix(research))}
    compared = dict.fromkeys(models, 0)
    for moment in heard:
        for signal in moment.signals:
            features, made = sets[signal.model_version]
            row = made[research.symbols.index(signal.symbol), columns[moment.ts]]
            told = bool(np.isfinite(row).all())
            assert bool(signal.features) is told, f"{signal.symbol} {moment.ts}: told of what was not known, or silent"
            if told:
                assert signal.schema == features.schema_hash
                assert np.array(signal.features).tobytes() == row.tobytes()
                compared[signal.model_version] += 1
    events = [event for _, event in journal.events()]
    written = [e for e in events if isinstance(e, FeaturesSeen)]
    shown = {(m.ts, s.symbol): s.features for m in heard for s in m.signals}
    assert len(written) > 10
    assert all(shown[seen.ts, symbol] == row for seen in written for symbol, row in seen.rows.items())
    assert [e.version for e in events if isinstance(e, ModelChanged)] == models
    assert not [e for e in events if isinstance(e, StatusSet)]
    assert min(compared.values()) > 50
    assert len(heard) == DECISIONS
