"""The survey: what is wrong with bars is found without being told, and what is right is left alone."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders import T0, make_bars
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import folder as real_data
from stored_bars import HERE, rows_of

from qtlib.market import BadData, Store, aggregate, read, series
from qtlib.market.names import FUNDING, MARKS, Name
from qtlib.market.series import Rows
from qtlib.market.simulated import SimulatedMarket, simulate
from qtlib.market.survey import doubts, survey
from qtlib.market.survey.oddities import alone
from qtlib.market.timeframes import HOUR, MINUTE, micros_at

HOURLY, QUARTERS, MARK, RATES = (
    Name("BTCUSDT", "1h"),
    Name("BTCUSDT", "15m"),
    Name("BTCUSDT", "1h", MARKS),
    Name("BTCUSDT", "", FUNDING),
)
FINE = make_bars(24 * 60 * 4, timeframe="15min", vol=0.003).assign(volume=lambda f: 1e3 + np.arange(len(f)) % 97)

DAY, HOUR_LONG = timedelta(days=1), timedelta(hours=1)
YOUNG = 9  # bars from the first whose past is not there yet


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "market")


def fill(store, fine=FINE, hourly=None, **more):
    """Sixty days of one symbol as they should be, but for what is given."""
    hourly = aggregate(FINE, "1h") if hourly is None else hourly
    store.add(QUARTERS, rows_of(fine, QUARTERS.span), HERE)
    store.add(HOURLY, rows_of(hourly), HERE)
    if "mark" in more:
        store.add(MARK, rows_of(more["mark"].assign(volume=0.0)), HERE)
    if "rates" in more:
        store.add(RATES, more["rates"], HERE)
    return survey(store.folder, refill=YOUNG + 1)


def rates(hours=range(0, 24 * 60, 8), rate=0.0001):
    at = np.array([micros_at(T0) + h * HOUR for h in hours], dtype=np.int64)
    return Rows(at, {"funding_rate": np.full(len(at), rate)})


def kinds(found, name):
    return {odd.kind for odd in found.verdicts[str(name)].oddities}


def words(found, name, kind):
    (odd,) = (odd for odd in found.verdicts[str(name)].oddities if odd.kind == kind)
    return odd.words


def test_what_is_right_is_left_alone(store):
    found = fill(store, mark=aggregate(FINE, "1h"), rates=rates())
    assert found.oddities == ()
    assert found.ok
    verdict = found.verdicts["BTCUSDT-1h"]
    assert (verdict.rows - verdict.usable_bars, len(verdict.usable)) == (YOUNG, 1)
    assert found.lives["BTCUSDT"].first == T0


def test_the_simulated_market_passes_as_a_real_one_does(store):
    store.write(
        simulate(SimulatedMarket(timeframe="5m", symbols=("BTCUSDT", "ETHUSDT")), bars=12 * 24 * 30).coarser("1h")
    )
    found = survey(store.folder, refill=1)
    assert {odd.kind for odd in found.oddities} <= {"spike", "rate"}
    assert all(found.verdicts[name].usable_frac == 1.0 for name in ("BTCUSDT-1h", "BTCUSDT-5m", "ETHUSDT-1h"))


# --- one thing wrong --------------------------------------------------------------------------------------------


def lie(frame, at, **factors):
    spoilt = frame.copy()
    for column, factor in factors.items():
        spoilt.iloc[at, spoilt.columns.get_loc(column)] *= factor
    return spoilt


def test_an_hour_that_its_quarters_do_not_add_up_to_makes_both_doubtful(store):
    found = fill(store, lie(FINE, 401, high=1.2))
    assert words(found, HOURLY, "sum") == "1 of 1,440 bars are not what bars of 15m add up to: 2026-01-05 04:00 (1)"
    assert words(found, QUARTERS, "sum").startswith("its bars do not add up to 1h in 1 of 1,440")
    hour, quarters = found.verdicts["BTCUSDT-1h"], found.verdicts["BTCUSDT-15m"]
    assert (hour.rows - hour.usable_bars, quarters.rows - quarters.usable_bars) == (YOUNG + 1, YOUNG + 4)


def test_what_is_doubted_is_not_traded_on_and_said(store):
    fill(store, lie(FINE, 401, high=1.2))
    market = read(store.folder, ["BTCUSDT"], "15m", refill=1)
    assert market.usable["BTCUSDT"].all()
    found = doubts(store.folder, ["BTCUSDT"], "15m")
    cautious = market.doubting(found.spans, 1, found.notes)
    left_out = cautious.usable["BTCUSDT"].index[~cautious.usable["BTCUSDT"]]
    assert [f"{close:%d %H:%M}" for close in left_out] == ["05 04:15", "05 04:30", "05 04:45", "05 05:00"]
    assert len(left_out) == len(market.bars["BTCUSDT"]) - found_bars(store, "BTCUSDT-15m")
    assert any(note.startswith("not traded on, as `qt data check` doubts it: BTCUSDT-15m") for note in cautious.notes)
    assert (~cautious.refilled(3).usable["BTCUSDT"]).sum() == 2 + 4
    early = doubts(store.folder, ["BTCUSDT"], "15m", (micros_at(T0), micros_at(T0) + 48 * HOUR))
    assert (early.spans, early.notes) == ({}, ())


@pytest.mark.parametrize("start", [None, T0 + 15 * DAY + HOUR_LONG])
def test_a_survey_finds_the_same_in_files_that_were_just_read_and_reads_none_of_them_again(store, start, monkeypatch):
    fill(store, lie(FINE, 401 + 20 * 96, high=1.2), rates=rates())
    opened, load = Counter(), series._load

    def counted(file, *rest):
        opened[file] += 1
        return load(file, *rest)

    anew = doubts(store.folder, ["BTCUSDT"], "15m")
    monkeypatch.setattr(series, "_load", counted)
    kept = {}
    told = read(store.folder, ["BTCUSDT"], "15m", start, keep=kept)
    assert doubts(store.folder, ["BTCUSDT"], "15m", kept=kept) == anew
    assert set(opened.values()) == {1}
    assert not kept
    assert told.fingerprint == read(store.folder, ["BTCUSDT"], "15m", start).fingerprint


def found_bars(store, series):
    return survey(store.folder, refill=1).verdicts[series].usable_bars


def test_bars_that_must_not_be_read_are_refused_with_what_the_survey_says(store):
    fill(store, FINE)
    part = next((store.folder / "BTCUSDT-15m").glob("*.parquet"))
    spoilt = pq.read_table(part)
    pq.write_table(spoilt, part, compression="none")  # reads well, and is not what was written
    with pytest.raises(BadData, match="qt data check"):
        doubts(store.folder, ["BTCUSDT"], "15m")


def test_a_clock_that_is_an_hour_late_is_measured(store):
    found = fill(store, FINE.set_axis(FINE.index + pd.Timedelta("1h")))
    assert words(found, QUARTERS, "clock") == "its clock is +60 minutes from that of BTCUSDT-1h: local time?"
    assert found.verdicts["BTCUSDT-15m"].usable_bars == 0


def test_bars_of_another_market_are_told(store):
    found = fill(store, make_bars(24 * 60 * 4, timeframe="15min", seed=9))
    assert "another market, or another symbol" in words(found, QUARTERS, "market")


def test_volume_in_quote_where_base_belongs_is_told(store):
    found = fill(store, FINE.assign(volume=FINE["volume"] * FINE["close"].iloc[0]))
    assert "the price: one of them is in quote" in words(found, QUARTERS, "units")


def test_volume_that_changes_its_unit_on_the_way_is_told(store):
    hourly = aggregate(FINE, "1h")
    hourly.loc[hourly.index >= T0 + pd.Timedelta("30D"), "volume"] *= 1000
    assert "volume changes its level by 1,000 times around 2026-01-31" in words(
        fill(store, hourly=hourly), HOURLY, "volume level"
    )


def test_an_outage_a_gap_and_a_delisting_are_three_things(store):
    fine = FINE.drop(FINE.index[1000:1010]).copy()
    silent = (fine.index > FINE.index[2000]) & (fine.index <= FINE.index[2005])
    fine.loc[silent, "volume"] = 0.0
    fine.loc[fine.index > FINE.index[-200], "volume"] = 0.0
    found = fill(store, fine)
    assert words(found, QUARTERS, "gap") == "10 bars are missing in 1 gaps: 2026-01-11 10:00 (10)"
    assert words(found, QUARTERS, "outage").startswith("5 bars without a trade, up to 5 in a row: 2026-01-21 20:15 (5)")
    assert "delisted: the last bar with a trade opens 2026-02-27 22:00; 199 without follow" in words(
        found, QUARTERS, "delisted"
    )
    fit = found.verdicts["BTCUSDT-15m"]
    assert not any(a <= micros_at("2026-01-21 21:00") < b for a, b in fit.usable)
    assert fit.usable[-1][1] <= micros_at("2026-02-27 22:15")


def test_a_spike_a_seam_and_a_price_that_stands_still_are_found_alone():
    hourly = aggregate(FINE, "1h").assign(volume=1.0)
    spiked = lie(hourly, 700, high=1.5)
    still = hourly.copy()
    still.iloc[300:310, :4] = still["close"].iloc[300]
    apart = hourly.copy()
    apart.iloc[500:, :4] *= 1.1
    for bars, kind, at in ((spiked, "spike", 700), (still, "flat", 300), (apart, "seam", 500)):
        odd = {o.kind: o for o in alone("X-1h", rows_of(bars), HOUR)}
        assert odd[kind].spans[0][0] == int(rows_of(bars).times[at])


def test_funding_is_held_to_its_clock(store):
    hours = [*range(0, 400, 8), *range(400, 440, 2), *range(440, 800, 8), *range(840, 1400, 8)]
    found = fill(
        store, rates=Rows(rates(hours).times, {"funding_rate": np.where(np.arange(len(hours)) == 60, -0.02, 0.0001)})
    )
    assert words(found, RATES, "cadence").startswith(
        "settled every 2 h instead of every 8 h: 2026-01-17 16:00 to 2026-01-19 08:00"
    )
    assert words(found, RATES, "gap") == "settlements are missing 1 times: after 2026-02-03 00:00"
    assert "the furthest -2.00% at 2026-01-18" in words(found, RATES, "rate")
    assert "no funding rates from 2026-02-28 00:00 to 2026-03-02 00:00" in words(found, RATES, "coverage")


def test_marks_that_are_missing_or_of_another_market_are_told(store, tmp_path):
    hourly = aggregate(FINE, "1h")
    assert "no mark price for 40 of 1,440 bars" in words(fill(store, mark=hourly.iloc[40:]), MARK, "coverage")
    other = fill(
        Store(tmp_path / "other"), mark=hourly.assign(**{c: hourly[c] * 1.2 for c in ("open", "high", "low", "close")})
    )
    assert "of another market?" in words(other, MARK, "apart")


def test_what_rots_or_cannot_be_read_is_fatal_and_the_rest_is_still_looked_at(store):
    fill(store)
    part = store.folder / "BTCUSDT-15m" / "2026-02.parquet"
    part.write_bytes(part.read_bytes()[:-5])
    found = survey(store.folder)
    assert not found.ok
    assert kinds(found, QUARTERS) == {"damaged", "unreadable"}
    assert (found.verdicts["BTCUSDT-15m"].words, found.verdicts["BTCUSDT-1h"].fatal) == ("must not be read", False)


def test_a_universe_is_the_one_known_at_the_time(store):
    dead = aggregate(FINE, "1h").assign(volume=lambda f: np.where(np.arange(len(f)) < 800, 5.0, 0.0))
    young = aggregate(FINE, "1h").iloc[600:]
    store.add(Name("OLDUSDT", "1h"), rows_of(dead), HERE)
    store.add(Name("NEWUSDT", "1h"), rows_of(young), HERE)
    found = survey(store.folder)
    at = [T0 + pd.Timedelta(hours=h) for h in (10, 700, 1000)]
    assert [found.alive(ts) for ts in at] == [("OLDUSDT",), ("NEWUSDT", "OLDUSDT"), ("NEWUSDT",)]
    assert found.lives["OLDUSDT"].delisted
    with pytest.raises(BadData, match="has no bars of NONEUSDT"):
        survey(store.folder, ["NONEUSDT"])


@settings(max_examples=20, deadline=None)
@given(
    gone=st.sets(st.integers(1, 398), max_size=8),
    silent=st.sets(st.integers(0, 399), max_size=30),
    refill=st.integers(1, 40),
)
def test_usable_stretches_hold_no_gap_no_silence_and_nothing_too_near_them(tmp_path_factory, gone, silent, refill):
    frame = make_bars(400)
    frame["volume"] = np.where(np.isin(np.arange(400), list(silent)), 0.0, 1.0)
    rows = rows_of(frame).where(np.array(sorted(set(range(400)) - gone)))
    store = Store(tmp_path_factory.mktemp("survey"))
    store.add(HOURLY, rows, HERE)
    verdict = survey(store.folder, refill=refill).verdicts[str(HOURLY)]
    for start, end in verdict.usable:
        inside = (rows.times >= start) & (rows.times < end)
        assert inside.sum() * HOUR == end - start
        assert rows.values["volume"][inside].all()
        hole = [micros_at(T0) + at * HOUR for at in gone if micros_at(T0) + at * HOUR < start]
        assert not hole or start - max(hole) >= refill * HOUR
    assert sum(b - a for a, b in verdict.usable) == verdict.usable_bars * HOUR


# --- the real ones ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    symbols = ("BTC", "ETH", "SOL", "LINK", "NEAR", "DOGE", "WAVES")
    return survey(real_data(), [f"{symbol}USDT" for symbol in symbols])


def spans_of(found, series, kind):
    return {
        f"{datetime.fromtimestamp(a / 1e6, UTC):%Y-%m-%d %H:%M}": (b - a) // MINUTE
        for odd in found.verdicts[series].oddities
        if odd.kind == kind
        for a, b in odd.spans
    }


def test_every_known_oddity_of_the_real_files_is_found_without_being_told(real):
    fifteen = spans_of(real, "BTCUSDT-15m", "outage")
    assert fifteen == {"2022-05-01 22:30": 15, "2022-05-28 16:45": 30, "2024-10-28 20:00": 60}
    five = spans_of(real, "BTCUSDT-5m", "outage")
    assert five == {"2023-09-12 08:35": 15, "2024-10-28 16:25": 10, "2024-10-28 20:00": 70, "2025-01-29 01:25": 10}
    assert spans_of(real, "LINKUSDT-15m", "gap") == {"2024-10-23 04:15": 150}
    assert spans_of(real, "WAVESUSDT-1h", "delisted") == {"2024-06-11 09:00": 471 * 60}
    assert real.lives["WAVESUSDT"].last == datetime(2024, 6, 11, 9, tzinfo=UTC)
    assert spans_of(real, "BTCUSDT-1h", "listing") == {"2019-09-08 18:00": 60, "2019-09-09 00:00": 120}
    assert spans_of(real, "ETHUSDT-1h", "listing") == {"2019-11-27 09:00": 60}


def test_real_bars_that_do_not_add_up_are_found(real):
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "LINKUSDT"):
        assert {"2023-11-10 15:00", "2024-10-28 20:00"} <= set(spans_of(real, f"{symbol}-15m", "sum"))
    assert {"2024-03-27 12:15", "2024-03-28 11:45"} <= set(spans_of(real, "BTCUSDT-15m", "sum"))
    assert "2025-01-29 01:00" in spans_of(real, "DOGEUSDT-5m", "sum")
    assert not spans_of(real, "BTCUSDT-1m", "sum")


def test_the_real_cadence_of_funding_and_its_lowest_rate_are_found(real):
    often = spans_of(real, "SOLUSDT-funding", "cadence")
    assert often == {"2022-11-09 16:00": 12 * 60, "2022-11-10 04:00": (8 * 24 + 4) * 60}  # to the morning of the 18th
    (rare,) = (odd for odd in real.verdicts["SOLUSDT-funding"].oddities if odd.kind == "rate")
    assert "-2.00%" in rare.words
    (missing,) = (odd for odd in real.verdicts["NEARUSDT-funding"].oddities if odd.kind == "coverage")
    assert "to 2025-05-01 00:00, where there are bars" in missing.words


def test_real_outages_of_spot_are_found():
    found = survey(real_data() / "spot")
    gaps = spans_of(found, "BTCUSDT-1h", "gap")
    assert (len(gaps), sum(gaps.values()) // 60) == (27, 122)
    assert gaps["2018-02-08 01:00"] == 33 * 60
    assert spans_of(found, "AVAXUSDT-5m", "gap") == {
        "2020-12-21 14:10": 230, "2020-12-25 02:00": 60, "2021-02-11 03:45": 75,
        "2021-03-06 02:00": 90, "2021-04-20 02:00": 150, "2021-04-25 04:05": 280,
    }  # fmt: skip
    assert len(spans_of(found, "AVAXUSDT-5m", "outage")) > 50
