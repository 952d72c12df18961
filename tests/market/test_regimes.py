"""Regimes: what is asked for happens, when and to whom it was asked for, and nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.market import Store
from qtlib.market.simulated import LISTINGS, Regime, SimulatedMarket, simulate
from qtlib.market.simulated.regimes import KINDS
from qtlib.market.survey import survey

PAIR = ("BTCUSDT", "XRPUSDT")
SIZES = {"bull": st.floats(0.05, 3.0), "crash": st.floats(-0.9, -0.05), "sideways": st.none()}


def made(*regimes, bars=24 * 40, **more):
    return simulate(SimulatedMarket(symbols=PAIR, regimes=regimes, **more), bars)


def same(one, other, symbol, upto=None):
    frames = [(m.bars[symbol].to_numpy()[:upto], m.marks[symbol].to_numpy()[:upto]) for m in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*frames, strict=True))


@given(
    kind=st.sampled_from(list(SIZES)), data=st.data(), seed=st.integers(0, 50), timeframe=st.sampled_from(["15m", "1h"])
)
@settings(max_examples=25, deadline=None)
def test_prices_end_where_a_regime_leads_them_to_the_tick(kind, data, seed, timeframe):
    size = data.draw(SIZES[kind])
    day, days = data.draw(st.integers(0, 20)), data.draw(st.sampled_from([0.01, 0.25, 3.0, 11.0]))
    a_day = 24 if timeframe == "1h" else 96
    first, grown = day * a_day, 1 + (size or 0.0)
    end = first + max(1, round(days * a_day))
    market = made(Regime(kind, day, days, size), bars=end, seed=seed, timeframe=timeframe)
    for symbol in PAIR:
        close, tick = market.bars[symbol]["close"].to_numpy(), float(LISTINGS[symbol].tick)
        before = close[first - 1] if first else LISTINGS[symbol].price
        assert close[-1] == pytest.approx(before * grown, abs=tick * (1 + grown) / 2 + 1e-9)  # both are rounded


@pytest.mark.parametrize("kind", KINDS)
def test_a_regime_changes_nothing_before_it_and_nobody_else(kind):
    plain, happened = made(), made(Regime(kind, 10, symbols=("XRPUSDT",)))
    assert same(plain, happened, "BTCUSDT")
    assert same(plain, happened, "XRPUSDT", 240)
    assert not same(plain, happened, "XRPUSDT", 246)


@given(bars=st.integers(200, 1500), more=st.integers(0, 1500))
@settings(max_examples=10, deadline=None)
def test_a_longer_market_begins_with_the_shorter_one_whatever_happens_in_it(bars, more):
    story = [
        Regime("bull", 5, 60),
        Regime("outage", 40, 2),
        Regime("crash", 70),
        Regime("delisting", 80, symbols=PAIR[1:]),
    ]
    short, long = made(*story, bars=bars), made(*story, bars=bars + more)
    assert all(same(short, long, symbol, bars) for symbol in PAIR)


def test_a_sideways_market_stays_and_a_crash_is_wild():
    plain, still = made(bars=24 * 90), made(Regime("sideways", 0, 90), bars=24 * 90)
    wide = [np.ptp(np.log(m.bars["BTCUSDT"]["close"])) for m in (plain, still)]
    assert wide[1] < 0.7 * wide[0]
    calm, crash = made(), made(Regime("crash", 10, 2))
    assert (
        crash.bars["BTCUSDT"]["volume"].iloc[240:288].sum() > 1.5 * calm.bars["BTCUSDT"]["volume"].iloc[240:288].sum()
    )


def test_in_an_outage_nothing_trades_and_afterwards_it_goes_on():
    market = made(Regime("outage", 10, 0.5))
    out = market.bars["BTCUSDT"].iloc[240:252]
    assert (out["volume"] == 0).all()
    assert out[["open", "high", "low", "close"]].nunique().tolist() == [1, 1, 1, 1]
    assert out["close"].iloc[0] == market.bars["BTCUSDT"]["close"].iloc[239]
    assert (market.bars["BTCUSDT"]["volume"].iloc[252:] > 0).all()
    assert market.marks["BTCUSDT"]["close"].iloc[240:252].nunique() == 12  # the world goes on


def test_what_is_delisted_trades_and_pays_nothing_from_then_on():
    market = made(Regime("delisting", 20, symbols=("XRPUSDT",)))
    gone = market.bars["XRPUSDT"].index[479]
    assert (market.bars["XRPUSDT"]["volume"] > 0).sum() == 480
    assert market.funding["XRPUSDT"].index[-1] == gone
    assert market.funding["BTCUSDT"].index[-1] > gone


def test_an_outage_and_a_delisting_are_found_as_those_of_real_bars_are(tmp_path):
    market = made(
        Regime("outage", 10, 0.5), Regime("delisting", 20, symbols=("XRPUSDT",)), timeframe="15m", bars=96 * 30
    )
    store = Store(tmp_path / "market")
    store.write(market)
    found = survey(store.folder, refill=10)
    kinds = {name: {odd.kind for odd in its.oddities} for name, its in found.verdicts.items()}
    (outage,) = (odd for odd in found.verdicts["BTCUSDT-15m"].oddities if odd.kind == "outage")
    assert outage.words == "48 bars without a trade, up to 48 in a row: 2026-01-11 00:00 (48)"
    assert {"outage", "delisted"} <= kinds["XRPUSDT-15m"]
    assert "delisted" not in kinds["BTCUSDT-15m"]
    lives = found.lives
    assert lives["XRPUSDT"].delisted
    assert f"{lives['XRPUSDT'].last:%Y-%m-%d %H:%M}" == "2026-01-21 00:00"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Regime("boom", 1), "'boom' must be one of bull, crash"),
        (lambda: Regime("bull", -1), "day -1 must be at least 0"),
        (lambda: Regime("delisting", 1, 5), "it has no end, so days 5 says nothing"),
        (lambda: Regime("outage", 1, 5, -0.1), "size_frac -0.1 says nothing to it"),
        (lambda: Regime("crash", 1, 5, 0.3), "size_frac 0.3 must be between -1 and 0"),
        (lambda: Regime("bull", 1, 5, -0.3), "size_frac -0.3 must be above 0"),
        (lambda: made(Regime("outage", 1, symbols=("ETHUSDT",))), "ETHUSDT is none of BTCUSDT, XRPUSDT"),
        (lambda: made(Regime("bull", 1, 5), Regime("crash", 5.5)), "overlap, and prices can't go two ways"),
    ],
)
def test_what_cannot_happen_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()
