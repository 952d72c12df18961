"""A session beside its replay: the same to the tick where nothing came between, and where something did, its cause.

The sessions are real ones: the loop that trades live over the simulated market, with its journal in a file. What is
planted comes between session and venue, as life would; neither settings nor replay are told of it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import market_data
import numpy as np
import pandas as pd
import pytest
from a_model import saved
from rows import a_learned

from qtlib.domain.commands import Command, Verb
from qtlib.domain.events import START, CommandAnswered
from qtlib.domain.learned import ModelChanged
from qtlib.engine.feeds import Strategy, lived, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated.late import LateExchange, late
from qtlib.journal import Journal, MemoryJournal
from qtlib.params import resolve
from qtlib.report.parity import Cause, by_cause
from qtlib.report.tables import tables
from qtlib.runs import wiring
from qtlib.runs.believing.believers import champion
from qtlib.runs.believing.subjects import models
from qtlib.runs.record.folder import HOME, RunsError, journal_location
from qtlib.runs.record.run import Run, open_folder
from qtlib.runs.review import parity, relived
from qtlib.runs.review.parity import compare

QUARTERS = ["data.timeframe=15m", "data.bars=500"]
BASIS_POINT = Decimal("0.0001")


def settings(*more):
    return resolve(HOME / "params" / "sim.yaml", [*QUARTERS, *more], {})


def lived_through(
    root, journal, resolved, *, dearer=Decimal(0), delay_s=0.0, slips=0.0, meanwhile=iter, venue=None, bars=None, **how
):
    """A session of these settings up to its end, on a venue that charges `dearer`, is `delay_s` away, and `slips` more.

    `how` may say other `pairs` than its settings make, other `sizing` than they have, and a `watch`.
    """
    params = resolved.params
    run = Run(open_folder("live", resolved, datetime.now(UTC), root), params)
    listed = wiring.instruments(params)
    charged = {s: replace(i, taker_fee_frac=i.taker_fee_frac + dearer) for s, i in listed.items()}
    conduct = params.venue.model_copy(update={"slippage_frac": params.venue.slippage_frac + slips})
    venue = venue or wiring.venue(params.model_copy(update={"venue": conduct}), charged)
    exchange = LateExchange(venue, delay_s) if delay_s else venue
    pairs = how.get("pairs") or believed(params, root, journal.state().ts)
    moments = lived(exchange, late(pairs, delay_s) if delay_s else pairs)
    rules, name = wiring.rules(params, listed), wiring.name(run)
    rules = replace(rules, sizing=how.get("sizing", rules.sizing))
    session(meanwhile(moments), rules, exchange, journal, name=name, max_bars=bars, watch=how.get("watch"))
    return [event for _, event in journal.events()]


def believed(params, root, after=START):
    return replay(wiring.market(params), wiring.believer(params, root), after=after)


def between(first, last, change):
    """`change` the signals of the closes from `first` to `last`."""

    def changed(moments):
        for number, m in enumerate(moments):
            yield m._replace(signals=tuple(map(change, m.signals))) if first < number < last else m

    return changed


def compared(root, events, resolved):
    return compare(events, relived.scenes(events, root, resolved.params))


def attributed_frac(found, *causes):
    """Of all that went from one side to the other, how much is put to `causes`."""
    moved = sum(abs(part) for one in found.found for part in one.parts.values())
    return sum(abs(one.parts.get(cause, 0.0)) for one in found.found for cause in causes) / moved


def test_a_session_and_its_replay_are_the_same_to_the_tick(tmp_path):
    resolved = settings()
    events = lived_through(tmp_path, MemoryJournal(), resolved)
    again = [event for _, event in relived.relive(relived.scenes(events, tmp_path, resolved.params)).events()]
    for name in ("trades", "equity", "decisions", "levels"):
        pd.testing.assert_frame_equal(getattr(tables(again), name), getattr(tables(events), name), check_exact=True)
    found = compared(tmp_path, events, resolved)
    assert len(found.live) > 20
    assert (len(found.unequal), by_cause(found.found)) == (0, {})
    assert all(one.total == 0.0 for one in found.found)


def test_what_was_planted_is_found_out_and_told_apart(tmp_path):
    resolved = settings()
    events = lived_through(tmp_path, MemoryJournal(), resolved, dearer=BASIS_POINT, delay_s=0.4)
    found = compared(tmp_path, events, resolved)
    sums = by_cause(found.found)
    assert attributed_frac(found, Cause.FEE, Cause.DELAY) >= 0.95
    assert sums[Cause.DELAY] != 0.0
    assert found.met.delay_s == pytest.approx(0.4)
    assert all(fee - BASIS_POINT == found.assumed.fee_frac[symbol] for symbol, fee in found.met.fee_frac.items())
    paid = float(BASIS_POINT) * sum(d.quantity * (d.entry + d.exit) for d in found.replayed.values())
    assert sums[Cause.FEE] == pytest.approx(-paid, rel=0.02)
    for one in found.found:
        assert sum(one.parts.values()) == pytest.approx(one.total, abs=1e-5)


@pytest.mark.parametrize(
    ("cause", "planted"),
    [
        (Cause.SLIPPAGE, {"slips": 0.0003}),
        (Cause.SIGNAL, {"meanwhile": between(100, 400, lambda s: s._replace(score=-s.score))}),
        (Cause.MODEL, {"meanwhile": between(100, 400, lambda s: s._replace(score=-s.score, model_version="m9"))}),
    ],
)
def test_all_that_a_cause_led_to_is_put_to_it(tmp_path, cause, planted):
    resolved = settings()
    found = compared(tmp_path, lived_through(tmp_path, MemoryJournal(), resolved, **planted), resolved)
    assert sum(one.live is None or one.replayed is None for one in found.found) > 0  # it led to other trades
    assert attributed_frac(found, cause) >= 0.95


def test_other_funding_is_all_that_a_venue_with_other_rates_does(tmp_path):
    resolved = settings()
    pairs = believed(resolved.params, tmp_path)
    dearer = [(s._replace(funding={k: rate + 0.001 for k, rate in s.funding.items()}), m) for s, m in pairs]
    found = compared(tmp_path, lived_through(tmp_path, MemoryJournal(), resolved, pairs=dearer), resolved)
    assert attributed_frac(found, Cause.FUNDING) >= 0.95


def test_a_session_that_trades_smaller_than_it_says_differs_by_size_first(tmp_path):
    resolved = settings()
    smaller = replace(resolved.params.sizing, base_notional=150.0)
    found = compared(tmp_path, lived_through(tmp_path, MemoryJournal(), resolved, sizing=smaller), resolved)
    first = min((one for one in found.found if one.parts), key=lambda one: one.decided)
    assert max(first.parts, key=lambda cause: abs(first.parts[cause])) is Cause.SIZE


class Promotes:
    """A `Watch` that says once, after so many looks, that `version` is champion."""

    def __init__(self, version, looks):
        self._version, self._left, self.told = version, looks, False

    def look(self, state):
        self._left -= 1

    def news(self, state):
        if self._left > 0 or self.told:
            return None
        self.told = True
        return ModelChanged(state.ts, self._version, "h", "it earned")

    def trouble(self, why):
        raise why


def test_a_champion_that_takes_over_in_mid_session_is_no_difference(tmp_path):
    """A rule of thumb believes up to a close, and from the next one on the model, which sees no edge anywhere."""
    resolved = settings("strategy.name=learned", "data.bars=900")
    version = saved(models(resolved.params, tmp_path))
    watch, market = Promotes(version, 750), wiring.market(resolved.params)
    rule, model = (replay(market, champion(resolved.params, tmp_path, who)) for who in ("", version))
    pairs = (after if watch.told else before for before, after in zip(rule, model, strict=True))
    events = lived_through(tmp_path, MemoryJournal(), resolved, pairs=pairs, watch=watch)
    (at,) = (event.ts for event in events if isinstance(event, ModelChanged))
    found = compared(tmp_path, events, resolved)
    assert sum(deal.decided <= at for deal in found.live.values()) > 5
    assert not any(deal.decided > at for deal in found.live.values())
    assert (len(found.unequal), by_cause(found.found)) == (0, {})


@dataclass(frozen=True)
class Misled:
    """A strategy that was shown prices to the power of `by`, from one close to another."""

    of: Strategy
    by: float
    first: datetime
    last: datetime

    def __getattr__(self, name):
        return getattr(self.of, name)

    def signals(self, panel):
        honest = self.of.signals(panel)
        turned = {name: getattr(panel, name) ** self.by for name in ("open", "high", "low", "close")}
        seen = self.of.signals(replace(panel, **turned))
        first, last = (1_000_000 * int(ts.timestamp()) for ts in (self.first, self.last))
        within = (first < panel.times) & (panel.times < last)
        told = {name: np.where(within, getattr(seen, name), getattr(honest, name)) for name in ("score", "confidence")}
        return honest._replace(features=np.where(within[:, None], seen.features, honest.features), **told)


def test_a_model_that_was_shown_something_else_in_mid_session_is_found_out(tmp_path):
    """The session's own features are not those of its bars for two days, and the model believes what follows."""
    resolved = settings("strategy.name=learned", "data.bars=900", "sizing.confidence_threshold=0.5")
    version = saved(models(resolved.params, tmp_path), model=a_learned().trained)
    watch, market = Promotes(version, 1), wiring.market(resolved.params)
    first, last = (market.bars["BTCUSDT"].index[at].to_pydatetime() for at in (400, 600))
    rule, model = (champion(resolved.params, tmp_path, who) for who in ("", version))
    pairs = (replay(market, rule), replay(market, Misled(model, -1.0, first, last)))
    pairs = (after if watch.told else before for before, after in zip(*pairs, strict=True))
    found = compared(tmp_path, lived_through(tmp_path, MemoryJournal(), resolved, pairs=pairs, watch=watch), resolved)
    assert len(found.live) > 20
    assert attributed_frac(found, Cause.FEATURES) >= 0.95


def test_on_real_bars_too_a_session_and_its_replay_are_the_same_to_the_tick(tmp_path):
    """Through the crash of November 2022."""
    where = [f"data.path={market_data.folder()}", "data.start=2022-11-01", "data.end=2022-11-20", "data.timeframe=1h"]
    resolved = settings("data.source=files", "data.bars=null", "data.allow_gaps=true", *where)
    found = compared(tmp_path, lived_through(tmp_path, MemoryJournal(), resolved), resolved)
    assert len(found.live) > 20
    assert (len(found.unequal), by_cause(found.found)) == (0, {})


def test_what_people_asked_for_meanwhile_is_no_difference(tmp_path):
    resolved, journal = settings(), MemoryJournal()
    asked = {200: Verb.PAUSE, 240: Verb.RESUME, 400: Verb.FLATTEN}

    def meanwhile(moments):
        for number, moment in enumerate(moments):
            yield moment
            if number in asked:
                journal.command(Command(f"c{number}", asked[number], "somebody", journal.now()))
            if number == 400:  # it is carried out between two bars
                yield moment._replace(bars={}, signals=())

    events = lived_through(tmp_path, journal, resolved, meanwhile=meanwhile)
    assert sum(isinstance(event, CommandAnswered) for event in events) == len(asked)
    found = compared(tmp_path, events, resolved)
    assert (len(found.unequal), by_cause(found.found)) == (0, {})


def test_closes_that_the_session_slept_through_are_what_it_missed(tmp_path):
    resolved = settings()

    def asleep(moments):
        for number, moment in enumerate(moments):
            yield moment._replace(signals=()) if 150 < number < 350 else moment

    found = compared(tmp_path, lived_through(tmp_path, MemoryJournal(), resolved, meanwhile=asleep), resolved)
    assert found.away == 199
    assert attributed_frac(found, Cause.MISSED) == 1.0


def test_each_run_of_an_account_is_lived_through_with_its_own_settings(tmp_path):
    """The second goes on with the positions of the first, and with larger sizes."""
    first, second = settings("session.account=twice"), settings("session.account=twice", "sizing.base_notional=150")
    venue = wiring.venue(first.params, wiring.instruments(first.params))
    with Journal(journal_location("twice", tmp_path), "twice") as journal:
        lived_through(tmp_path, journal, first, venue=venue, bars=300)
        assert journal.state().account.positions
        lived_through(tmp_path, journal, second, venue=venue)
    begun = sorted(folder.name for folder in tmp_path.iterdir() if "-live-" in folder.name)
    whole = examined(tmp_path)
    assert (len(whole.scenes), len(whole.unequal), by_cause(whole.found)) == (2, 0, {})
    last = whole.scenes[-1].stretch.opened.run_id
    assert last in begun
    part = examined(tmp_path, f"parity.of='{last[-4:]}'")
    assert 0 < part.decided < whole.decided
    assert 0 < len(part.live) < len(whole.live)
    with pytest.raises(RunsError, match=r"'nobody' fits 0 of the 2 runs"):
        examined(tmp_path, "parity.of=nobody")


def test_an_account_without_a_journal_is_said(tmp_path):
    with pytest.raises(RunsError, match="account twice has no journal"):
        examined(tmp_path)


def examined(root, *more):
    resolved = settings("session.account=twice", *more)
    return parity.examine(Run(open_folder("parity", resolved, datetime.now(UTC), root), resolved.params))
