"""Files: what is written is what is read, whole or not at all; and every way a file can be bad has its sentence."""

import resource
from contextlib import contextmanager
from shutil import rmtree

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import HOUR, T0, make_bars
from market_data import folder as real_data

from qtlib.market import BadData, Market, Store, aggregate, first_closes, read
from qtlib.market.market import REFILL
from qtlib.market.simulated import SimulatedMarket, simulate


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "market")


def a_market(hours=120, symbols=("BTCUSDT", "ETHUSDT"), **named):
    bars = {symbol: make_bars(hours, seed=i) for i, symbol in enumerate(symbols)}
    settled = pd.date_range(T0, periods=hours // 8 + 1, freq="8h")[1:]
    funding = {symbol: pd.Series(0.0001, index=settled) for symbol in symbols}
    marks = {symbol: frame.assign(volume=0.0) for symbol, frame in bars.items()}
    return Market.of(bars, "1h", marks=marks, funding=funding, **named)


def a_file(store, frame, name="BTCUSDT-1h", stamps=None):
    """`frame` in the venue's layout, whatever is wrong with it."""
    opens = frame.index - HOUR if stamps is None else stamps
    store.folder.mkdir(parents=True, exist_ok=True)
    file = store.folder / f"{name}.parquet"
    pq.write_table(pa.table({"timestamp": opens, **{c: frame[c].to_numpy() for c in frame}}), file)
    return file


def test_what_is_written_is_what_is_read(store):
    market = a_market(source="somewhere")
    store.write(market)
    again = read(store.folder, market.symbols, "1h")
    assert again.fingerprint == market.fingerprint
    assert (again.source, again.simulated, again.notes, again.findings) == ("somewhere", False, (), ())
    for symbol in market.symbols:
        pd.testing.assert_frame_equal(again.bars[symbol], market.bars[symbol])
        pd.testing.assert_frame_equal(again.marks[symbol], market.marks[symbol])
        pd.testing.assert_series_equal(again.funding[symbol], market.funding[symbol], check_freq=False)


def test_a_simulated_market_stays_one_on_disk(store):
    store.write(simulate(SimulatedMarket(seed=3), bars=300))
    market = read(store.folder, ["BTCUSDT"], "1h")
    assert market.simulated
    assert market.source == "simulated market (seed 3, edge 3)"


def test_real_bars_are_never_replaced_by_simulated_ones(store):
    store.write(a_market())
    with pytest.raises(BadData, match="holds real bars and would be replaced by simulated ones"):
        store.write(simulate(bars=300))
    assert not read(store.folder, ["BTCUSDT"], "1h").simulated


@pytest.mark.parametrize("made", ["ETHUSDT-1h", "ETHUSDT-1h-mark", "ETHUSDT-funding", "BTCUSDT-funding"])
def test_simulated_files_do_not_mix_with_real_ones(store, made):
    store.write(a_market())
    other = Store(store.folder.parent / "other")
    other.write(a_market(simulated=True))
    rmtree(store.folder / made)
    (other.folder / made).rename(store.folder / made)
    with pytest.raises(BadData, match=f"{made} is simulated and BTCUSDT-1h is not"):
        read(store.folder, ["BTCUSDT", "ETHUSDT"], "1h")


def test_a_longer_past_is_never_replaced_by_a_shorter_one(store):
    store.write(a_market(hours=120))
    with pytest.raises(BadData, match=r"holds times from 2026-01-01 00:00:00.* does not cover"):
        store.write(a_market(hours=100))
    store.write(a_market(hours=130))
    assert read(store.folder, ["BTCUSDT"], "1h").bars["BTCUSDT"].shape[0] == 130


def test_a_bar_is_known_by_its_close(store):
    a_file(store, make_bars(5))
    assert read(store.folder, ["BTCUSDT"], "1h").bars["BTCUSDT"].index[0] == T0 + HOUR


def test_a_period_holds_the_bars_that_open_and_close_within_it(store):
    store.write(a_market())
    market = read(store.folder, ["BTCUSDT"], "1h", T0 + 24 * HOUR, "2026-01-03")
    assert (market.first, market.last, market.count) == (T0 + 25 * HOUR, T0 + 48 * HOUR, 24)
    assert market.funding["BTCUSDT"].index.tolist() == [T0 + h * HOUR for h in (32, 40, 48)]
    assert market.marks["BTCUSDT"].index.equals(market.bars["BTCUSDT"].index)


def test_a_symbol_that_begins_later_than_asked_is_noted(store):
    store.write(a_market())
    assert read(store.folder, ["BTCUSDT"], "1h", "2025-12-01").notes == ("BTCUSDT: its bars begin at 2026-01-01 01:00",)


def test_a_candidate_without_bars_in_the_period_is_left_out_with_a_note_where_that_is_asked_for(store):
    store.write(a_market())
    market = read(store.folder, ["BTCUSDT", "XRPUSDT"], "1h", absent_ok=True)
    assert market.symbols == ("BTCUSDT",)
    assert "XRPUSDT: it has no bars of 1h between the beginning and the end, and is left out" in market.notes
    with pytest.raises(BadData, match="has no bars between"):
        read(store.folder, ["BTCUSDT"], "1h", "2030-01-01", absent_ok=True)
    assert first_closes(store.folder, ["BTCUSDT", "XRPUSDT"], "1h") == {"BTCUSDT": T0 + HOUR}


def test_funding_is_on_the_minute(store):
    a_file(store, make_bars(24))
    settled = pd.DatetimeIndex([T0 + 8 * HOUR, T0 + 16 * HOUR]) + pd.Timedelta("7ms")
    a_file(store, pd.DataFrame({"funding_rate": [0.0001, -0.02]}, index=settled), "BTCUSDT-funding", settled)
    funding = read(store.folder, ["BTCUSDT"], "1h").funding["BTCUSDT"]
    assert funding.to_dict() == {T0 + 8 * HOUR: 0.0001, T0 + 16 * HOUR: -0.02}


def test_mark_prices_of_another_timeframe_are_not_used(store):
    a_file(store, make_bars(48))
    a_file(store, make_bars(6, timeframe="8h"), "BTCUSDT-8h-mark")
    assert read(store.folder, ["BTCUSDT"], "1h").marks == {}


# --- bad files ------------------------------------------------------------------------------------------------


def _nan(bars):
    return bars.assign(close=[*bars["close"][:-1], np.nan])


ROWS = {
    "duplicates": (lambda bars: bars.iloc[[0, 1, 1, 2]], "bars that stand twice: 1, first 2026-01-01 02:00 UTC .row 2"),
    "unsorted": (lambda bars: bars.iloc[::-1], "bars that stand after a later one: 49"),
    "a gap": (lambda bars: bars.drop(bars.index[9]), "1 bars are missing, in gaps: 1, first 2026-01-01 11:00"),
    "NaN": (_nan, "no finite number: 1, first 2026-01-03 02:00 UTC .row 49"),
    "off the grid": (lambda bars: bars.set_axis(bars.index + pd.Timedelta("1s")), "do not close on the grid of 1h: 50"),
    "impossible": (lambda bars: bars.assign(high=bars["low"] / 2), "bars that break"),
}


@pytest.mark.parametrize("fault", ROWS)
def test_bad_rows_are_refused_in_words(store, fault):
    spoil, words = ROWS[fault]
    a_file(store, spoil(make_bars(50)))
    with pytest.raises(BadData, match=f"BTCUSDT-1h: .*{words}"):
        read(store.folder, ["BTCUSDT"], "1h")


FILES = {
    "no volume": (
        pa.table({"timestamp": pa.array([0], pa.timestamp("ms", "UTC")), "open": [1.0]}),
        "no column high, low",
    ),
    "no zone": (pa.table({"timestamp": pa.array([0], pa.timestamp("ms"))}), "no column open"),
    "foreign": (pa.table({"name": ["x"]}), "no column timestamp, open, .*; it has name"),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_foreign_file_is_refused_by_what_it_lacks(store, fault):
    table, words = FILES[fault]
    store.folder.mkdir()
    pq.write_table(table, store.folder / "BTCUSDT-1h.parquet")
    with pytest.raises(BadData, match=f"BTCUSDT-1h.parquet has {words}"):
        read(store.folder, ["BTCUSDT"], "1h")


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        (pd.date_range("2026-01-01", periods=5, freq="1h"), "must be a timestamp with a time zone"),
        (range(5), "timestamp is int64"),
        ([*pd.date_range(T0, periods=4, freq="1h"), None], "rows without a timestamp: 1 of 5 read, the first is row 4"),
    ],
)
def test_times_that_are_no_instants_are_refused(store, stamps, words):
    a_file(store, make_bars(5), stamps=stamps)
    with pytest.raises(BadData, match=words):
        read(store.folder, ["BTCUSDT"], "1h")


def test_prices_that_are_text_are_refused(store):
    a_file(store, make_bars(5).assign(close="1.0"))
    with pytest.raises(BadData, match=r"close is .*string, and must be a number"):
        read(store.folder, ["BTCUSDT"], "1h")


@pytest.mark.parametrize("kept", [0, 3, 100, -10])
def test_a_truncated_file_is_refused(store, kept):
    file = a_file(store, make_bars(500))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(BadData, match=r"BTCUSDT-1h.parquet can't be read as parquet"):
        read(store.folder, ["BTCUSDT"], "1h")


def test_a_missing_file_is_answered_with_what_is_there(store):
    with pytest.raises(BadData, match="there is no such folder"):
        read(store.folder, ["BTCUSDT"], "1h")
    store.write(a_market())
    with pytest.raises(BadData, match=r"BTCUSDT-15m.parquet is not in .*; there are BTCUSDT-1h, BTCUSDT-1h-mark"):
        read(store.folder, ["BTCUSDT"], "15m")
    with pytest.raises(BadData, match=r"BTCUSD-1h.parquet is not in .*; there are BTCUSDT-1h"):
        read(store.folder, ["BTCUSD"], "1h")


def test_a_period_without_bars_is_answered_with_the_one_that_has_some(store):
    store.write(a_market())
    with pytest.raises(BadData, match="no bars between 2030-01-01 00:00 and the end; its bars open between 2026-01-01"):
        read(store.folder, ["BTCUSDT"], "1h", "2030-01-01")


# --- writing ----------------------------------------------------------------------------------------------------


@contextmanager
def a_full_disk(byte_count):
    """No file may grow beyond `byte_count`: what a full disk does to a writer, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(store):
    before = a_market()
    store.write(before)
    there = sorted(file.name for file in store.folder.iterdir())
    with a_full_disk(20_000), pytest.raises(OSError, match="File too large"):
        store.write(a_market(hours=5000))
    assert sorted(file.name for file in store.folder.iterdir()) == there
    assert read(store.folder, before.symbols, "1h").fingerprint == before.fingerprint


def test_the_list_shows_what_is_there_and_what_is_wrong_with_it(store):
    store.write(a_market(symbols=("BTCUSDT",)))
    a_file(store, make_bars(50).drop(make_bars(50).index[9:12]), "XRPUSDT-1h")
    (store.folder / "ETHUSDT-1h.parquet").write_bytes(b"PAR1")
    listed = store.list().set_index(["symbol", "kind"])
    assert listed.loc[("BTCUSDT", "bars"), ["timeframe", "rows", "gaps"]].tolist() == ["1h", 120, 0]
    assert listed.loc[("BTCUSDT", "funding"), "last"] == T0 + 120 * HOUR
    assert listed.loc[("XRPUSDT", "bars"), "gaps"] == 1
    assert "can't be read" in listed.loc[("ETHUSDT", "bars"), "problem"]


# --- finer bars -------------------------------------------------------------------------------------------------


def test_finer_bars_add_up_to_those_they_are_inside_of(store):
    hourly = simulate(SimulatedMarket(timeframe="5m", symbols=("BTCUSDT", "ETHUSDT")), bars=12 * 50).coarser("1h")
    store.write(hourly)
    rmtree(store.folder / "ETHUSDT-5m")
    market = read(store.folder, hourly.symbols, "1h", finer_timeframe="5m")
    assert market.finer.symbols == ("BTCUSDT",)
    pd.testing.assert_frame_equal(aggregate(market.finer.bars["BTCUSDT"], "1h"), market.bars["BTCUSDT"])
    assert market.notes == ("ETHUSDT: no bars of 5m; inside a bar of 1h the order of prices is assumed",)


def test_finer_bars_that_are_bad_are_refused(store):
    a_file(store, make_bars(50))
    parts = make_bars(600, timeframe="5min")
    a_file(store, parts.iloc[::-1], "BTCUSDT-5m", parts.index[::-1] - pd.Timedelta("5min"))
    with pytest.raises(BadData, match="BTCUSDT-5m: bars that stand after a later one"):
        read(store.folder, ["BTCUSDT"], "1h", finer_timeframe="5m")


def test_mark_prices_in_disorder_are_refused(store):
    a_file(store, make_bars(50))
    a_file(store, make_bars(50).iloc[::-1], "BTCUSDT-1h-mark")
    with pytest.raises(BadData, match="BTCUSDT-1h-mark: bars that stand after a later one"):
        read(store.folder, ["BTCUSDT"], "1h")


def test_finer_bars_that_do_not_add_up_are_left_out(store):
    parts = make_bars(12 * 50, timeframe="5min")
    a_file(store, aggregate(parts, "1h"))
    lie = parts.assign(high=parts["high"].where(parts.index != parts.index[30], parts["high"] * 1.5))
    a_file(store, lie.drop(lie.index[100]), "BTCUSDT-5m", lie.drop(lie.index[100]).index - pd.Timedelta("5min"))
    market = read(store.folder, ["BTCUSDT"], "1h", finer_timeframe="5m")
    assert market.finer.count == 12 * 48
    assert market.notes[0].startswith("BTCUSDT: 2 of 50 bars have no bars of 5m that add up to them")


def test_simulated_finer_bars_do_not_stand_inside_real_ones(store):
    a_file(store, make_bars(50))
    made = Market.of({"BTCUSDT": make_bars(600, timeframe="5min")}, "5m", simulated=True)
    store.write(made)
    a_file(store, aggregate(made.bars["BTCUSDT"], "1h"))
    with pytest.raises(BadData, match="bars of 5m are simulated and bars of 1h are not"):
        read(store.folder, ["BTCUSDT"], "1h", finer_timeframe="5m")


# --- the real ones ------------------------------------------------------------------------------------------------

TEN = [f"{name}USDT" for name in ("BTC", "ETH", "SOL", "XRP", "LINK", "NEAR", "ADA", "BNB", "DOGE", "AVAX")]


def test_real_bars_pass_every_check():
    market = read(real_data(), TEN, "1h", "2021-01-01", "2025-07-01")
    assert not market.simulated
    assert market.findings == ()
    assert all(series.iloc[REFILL - 1 :].all() for series in market.usable.values())
    assert "LINKUSDT: no mark price at 1h, last price stands in throughout" in market.notes
    assert "NEARUSDT: no funding rates before 2025-05-01, none is charged there" in market.notes


def test_an_outage_in_real_bars_is_not_traded():
    market = read(real_data(), ["SOLUSDT"], "15m", "2024-10-28", "2024-11-02", refill=10)
    silent = market.bars["SOLUSDT"]["volume"] == 0
    assert silent.sum() == 4
    assert (~market.usable["SOLUSDT"]).sum() == 9 + 4 + 9


def test_real_five_minutes_add_up_to_the_real_hour():
    market = read(real_data(), ["BTCUSDT"], "1h", "2024-10-01", "2025-01-01", finer_timeframe="5m")
    summed = aggregate(market.finer.bars["BTCUSDT"], "1h")
    prices = ["open", "high", "low", "close"]
    pd.testing.assert_frame_equal(summed[prices], market.bars["BTCUSDT"].loc[summed.index, prices])
    assert len(summed) >= 0.999 * market.count


def test_a_gap_in_real_bars_is_refused():
    with pytest.raises(BadData, match="LINKUSDT-15m: 10 bars are missing, in gaps: 1, first 2024-10-23 07:00"):
        read(real_data(), ["LINKUSDT"], "15m")
