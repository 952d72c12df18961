"""Stylised facts: real markets have them, the simulated one has them too, and a random walk does not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import make_bars
from market_data import folder as real_data

from qtlib.market.facts import FACTS, KNOWN, against_real, known, measured, ranges
from qtlib.market.fitting import _moments, real_bars
from qtlib.market.simulated import LIKENESS, LISTINGS, Likeness, SimulatedMarket, simulate
from qtlib.market.simulated.likeness import FOUND

BARS = {"1h": 24 * 730, "15m": 96 * 365, "5m": 288 * 183}
# most real bars of 5 m are of one half-year, in which volume remembered less than it usually does: on 1 h the same
# fact of six symbols is 0.46 over all years and 0.38 in it, on 15 m 0.39 and 0.34; the market is made from all years
KNOWN_FAR = {"5m": ["autocorrelation of log volume, 1 day"]}


def table(timeframe, seeds=(3, 4), **likeness):
    """The simulated market beside the real one: five symbols."""
    unlike = replace(LIKENESS, **likeness)
    kind = SimulatedMarket(symbols=tuple(LISTINGS)[::2], timeframe=timeframe, edge=0, likeness=unlike)
    markets = [simulate(replace(kind, seed=seed), BARS[timeframe]) for seed in seeds]
    each = [measured(market.bars, timeframe, market.marks, market.funding) for market in markets]
    return against_real({name: np.concatenate([its[name] for its in each]) for name in each[0]}, timeframe)


def far(rows):
    return [" | ".join(row.cells) for row in rows if row.near is False]


@pytest.mark.parametrize("timeframe", BARS)
def test_the_simulated_market_is_near_the_real_one_in_the_facts_that_are_known_of_it(timeframe):
    rows = table(timeframe)
    assert [row.fact.name for row in rows if not row.near] == KNOWN_FAR.get(timeframe, []), far(rows)
    assert {row.fact.name for row in rows} == set(known()[timeframe])


def test_each_number_of_the_likeness_is_seen_in_a_fact():
    def without(**numbers):
        return {text.split(" |")[0] for text in far(table("1h", (3,), **numbers))}

    flat = (0.0,) * len(LIKENESS.volatility_shared)
    assert "autocorrelation of their sizes, 1 day" in without(volatility_shared=flat, volatility_own=flat)
    assert "size of changes, busiest hour by calmest" in without(hours=(1.0,) * 24)
    assert "size of changes, weekends by weekdays" in without(days=(1.0,) * 7)
    assert "bars that open where the last closed" in without(unmoved=1.0)
    assert "standard deviation of log volume" in without(volume_noise=2.0)
    assert "funding, standard deviation" in without(funding_rates=tuple(10 * r for r in LIKENESS.funding_rates))
    assert "mark from last price, by an hour's change" in without(mark_noise=0.0)


def test_a_random_walk_is_far_from_real_bars():
    walk = {"AUSDT": make_bars(24 * 365, vol=0.01).assign(volume=1.0)}
    told = {row.fact.name.split(",")[0]: row.near for row in against_real(measured(walk, "1h"), "1h")}
    assert not told["kurtosis of changes (3: none too large)"]
    assert not told["tail exponent of changes"]
    assert not told["autocorrelation of their sizes"]
    assert (
        told["funding"] is told["correlation of changes with other symbols"] is None
    )  # there is nothing to tell it from


def test_too_few_bars_tell_nothing_and_say_so():
    rows = against_real(measured({"AUSDT": make_bars(200)}, "1h"), "1h")
    assert {row.near for row in rows} == {None}
    assert {row.cells[3:] for row in rows} == {("–", "can't be told")}
    assert against_real(measured({"AUSDT": make_bars(200)}, "1h"), "4h") == ()


def test_what_was_found_is_kept_whole():
    assert Likeness.of(json.loads(json.dumps(LIKENESS.document()))) == LIKENESS
    assert set(LIKENESS.symbols) == set(LISTINGS)
    assert json.loads(KNOWN.read_text())["found_in"] == json.loads(FOUND.read_text())["found_in"]
    assert {name for its in known().values() for name in its} == {fact.name for fact in FACTS}


# --- the real ones ----------------------------------------------------------------------------------------------


def test_what_is_kept_is_what_real_bars_say():
    real = real_bars(real_data(), "2022-01-01")
    five = real["5m"]
    for name, its in ranges(measured(five.bars, "5m", five.marks)).items():
        kept = known()["5m"][name]
        assert (its.low, its.middle, its.high) == pytest.approx((kept.low, kept.middle, kept.high), rel=1e-6), name
    found = _moments(real)
    searched = ("volatility_shared", "volatility_own", "tails", "jumps_per_year", "jump_size", "jump_half_life_h")
    assert replace(found, **{name: getattr(LIKENESS, name) for name in searched}) == LIKENESS
