"""A series that grows: in whatever pieces it came, it is the same bytes; nothing is lost, nothing silently changed."""

import contextlib
import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime
from itertools import pairwise

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import T0
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_bars import HERE, HOURLY, SPAN, some_rows, tree

from qtlib.market import BadData, Store, read
from qtlib.market.catalogue import union, without
from qtlib.market.merging import Differing, Disagree, merge
from qtlib.market.names import Name
from qtlib.market.quality import COLUMNS
from qtlib.market.series import ALWAYS, Label, Period, Rows, Series, months
from qtlib.market.timeframes import HOUR, micros_at
from qtlib.market.writing import alone

ROWS = some_rows()  # January, February, and nine days of March


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "market")


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("at_once")
    Store(folder).add(HOURLY, ROWS, HERE, asked=(int(ROWS.times[0]), int(ROWS.times[-1]) + SPAN))
    return tree(folder)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_in_whatever_pieces_it_came_a_series_is_the_same_bytes(tmp_path_factory, at_once, data):
    cuts = data.draw(st.lists(st.integers(1, len(ROWS) - 1), max_size=4, unique=True))
    edges = [0, *sorted(cuts), len(ROWS)]
    pieces = [slice(max(0, a - data.draw(st.integers(0, 30))), b) for a, b in pairwise(edges)]
    store = Store(tmp_path_factory.mktemp("in_pieces"))
    for piece in data.draw(st.permutations(pieces)):
        rows = ROWS.where(piece)
        store.add(HOURLY, rows, HERE, asked=(int(rows.times[0]), int(rows.times[-1]) + SPAN))
    assert tree(store.folder) == at_once
    assert store.damaged() == {}


def test_a_day_more_rewrites_its_month_and_nothing_else(store):
    store.add(HOURLY, ROWS.where(slice(0, -24)), HERE)
    before = {file.name: file.stat().st_mtime_ns for file in months(store.folder / str(HOURLY))}
    added = store.add(HOURLY, ROWS.where(slice(-30, None)), HERE)
    after = {file.name: file.stat().st_mtime_ns for file in months(store.folder / str(HOURLY))}
    assert (added.new, added.known, [file.name for file in added.files]) == (24, 6, ["2026-03.parquet"])
    assert {name for name in after if after[name] != before[name]} == {"2026-03.parquet"}


def test_what_is_known_already_writes_nothing(store):
    store.add(HOURLY, ROWS, HERE)
    assert store.add(HOURLY, ROWS.where(slice(100, 900)), HERE).files == ()


def test_other_readers_understand_it_as_it_lies(store):
    store.add(HOURLY, ROWS, HERE)
    where, parts = store.folder / str(HOURLY), str(store.folder / str(HOURLY) / "*.parquet")
    ours = ROWS.frame()
    by_pandas = pd.read_parquet(where).set_index("timestamp")
    by_polars = pl.scan_parquet(parts).filter(pl.col("timestamp") >= datetime(2026, 3, 1, tzinfo=UTC)).collect()
    by_duckdb = duckdb.sql(f"select count(*), sum(volume), max(high) from '{parts}'").fetchall()
    assert np.array_equal(by_pandas.to_numpy(), ours.to_numpy())
    assert str(by_pandas.index.dtype) == "datetime64[ms, UTC]"
    assert by_polars["close"].to_list() == ours["close"][ours.index >= "2026-03-01"].to_list()
    assert by_duckdb == [(len(ours), ours["volume"].sum(), ours["high"].max())]
    assert pl.read_parquet(where).height == len(ours)


def test_our_reader_sees_files_and_folders_alike(store, tmp_path):
    store.add(HOURLY, ROWS, HERE)
    (flat := tmp_path / "flat").mkdir()
    pd.read_parquet(store.folder / str(HOURLY)).to_parquet(flat / f"{HOURLY}.parquet")
    for period in (("2026-01-05", "2026-01-09"), ("2026-01-31", "2026-02-02"), (None, None)):
        one, other = (read(folder, ["BTCUSDT"], "1h", *period) for folder in (store.folder, flat))
        assert one.fingerprint == other.fingerprint


# --- two sources ------------------------------------------------------------------------------------------------


def altered(rows, at, column="close", by=1.5):
    values = {name: v.copy() for name, v in rows.values.items()}
    values[column][at] *= by
    return Rows(rows.times, values)


@pytest.mark.parametrize("differing", Differing)
def test_sources_that_disagree_are_told_bar_by_bar_and_merged_only_as_is_said(store, differing):
    store.add(HOURLY, ROWS.where(slice(0, 1000)), HERE)
    before = tree(store.folder)
    other = altered(altered(ROWS, 700), 990, "volume")
    if differing is Differing.REFUSE:
        with pytest.raises(Disagree, match=r"2 rows of there differ from those held, which are from here") as refused:
            store.add(HOURLY, other, Label(("there",)), differing=differing)
        found = refused.value.differences
        assert tree(store.folder) == before
    else:
        found = store.add(HOURLY, other, Label(("there",)), differing=differing).differences
        held, label = Series(store.folder, str(HOURLY)).load(HOURLY.columns)
        assert held.same(ROWS if differing is Differing.KEEP else other)
        assert label.sources == ("here", "there")
    assert [(d.ts, d.column) for d in found] == [
        (T0 + 700 * pd.Timedelta("1h"), "close"),
        (T0 + 990 * pd.Timedelta("1h"), "volume"),
    ]
    assert found[0].offered == 1.5 * found[0].held


@given(
    a=st.sets(st.integers(0, 30)),
    b=st.sets(st.integers(0, 30)),
    wrong=st.sets(st.integers(0, 30)),
    how=st.sampled_from(Differing),
)
def test_merging_loses_no_time_and_names_each_difference(a, b, wrong, how):
    def rows(times, lie=()):
        at = np.array(sorted(times), dtype=np.int64)
        return Rows(at, {"x": np.array([t + (0.5 if t in lie else 0.0) for t in at.tolist()])})

    together, found = merge("X-1h", rows(a), rows(b, wrong), how)
    assert together.times.tolist() == sorted(a | b)
    assert len(found) == len(a & b & wrong)
    from_b = (b - a) | (a & b if how is Differing.REPLACE else set())
    assert together.same(rows(a | b, wrong & from_b))


def test_prices_of_two_venues_and_of_none_are_kept_apart(store):
    store.add(HOURLY, ROWS, HERE)
    with pytest.raises(BadData, match="is of binanceusdm, and what is offered of okx"):
        store.add(HOURLY, ROWS, Label(("there",), venue="okx"))
    with pytest.raises(BadData, match="holds real bars and would be replaced by simulated ones"):
        store.add(HOURLY, ROWS, Label(("made",), simulated=True))


def test_a_file_of_ones_own_is_never_written(store):
    store.folder.mkdir()
    (store.folder / f"{HOURLY}.parquet").write_bytes(b"mine")
    with pytest.raises(BadData, match="is a file of your own, and stays as it is"):
        store.add(HOURLY, ROWS, HERE)


def test_rows_that_do_not_ascend_are_refused(store):
    twice = ROWS.where(np.array([0, 1, 1, 2]))
    with pytest.raises(BadData, match="row 2 stands at or before the row above it"):
        store.add(HOURLY, twice, HERE)
    assert tree(store.folder) == {}


# --- what is known of it ----------------------------------------------------------------------------------------


def test_the_catalogue_knows_spans_gaps_checksums_and_sources(store):
    hole = np.r_[0:30, 32:700, 750 : len(ROWS)]  # two hours, and from the end of January into February
    store.add(HOURLY, ROWS.where(hole), HERE, asked=(0, 10 * HOUR))
    store.add(HOURLY, ROWS.where(slice(0, 1)), Label(("there",)), asked=(10 * HOUR, 12 * HOUR))
    known = store.entry(HOURLY)
    first = micros_at(T0)
    assert known.gaps == ((first + 30 * HOUR, first + 32 * HOUR), (first + 700 * HOUR, first + 750 * HOUR))
    assert (known.missing, known.rows, known.asked) == (52, len(ROWS) - 52, ((0, 12 * HOUR),))
    assert (known.first, known.last) == (first, int(ROWS.times[-1]))
    assert known.label == HERE  # rows that were known already have come from nowhere else
    row = store.list().iloc[0]
    assert (row["rows"], row["gaps"], row["source"], row["problem"]) == (known.rows, 2, "here", "")
    assert "BTCUSDT" in store._repr_html_()


def test_an_entry_that_is_gone_is_made_anew(store):
    store.add(HOURLY, ROWS, HERE)
    known = store.entry(HOURLY)
    (store.folder / f"{HOURLY}.json").write_text("{half")
    assert store.entry(HOURLY) == known
    (store.folder / f"{HOURLY}.json").unlink()
    assert store.entry(HOURLY) == known


def test_a_byte_that_rots_is_noticed(store):
    store.add(HOURLY, ROWS, HERE)
    part = store.folder / str(HOURLY) / "2026-02.parquet"
    spoilt = bytearray(part.read_bytes())
    spoilt[2_000] ^= 1
    part.write_bytes(spoilt)
    [(name, words)] = store.damaged().items()
    assert name == "BTCUSDT-1h/2026-02.parquet"
    assert "has not the checksum it was written with" in words
    with pytest.raises(BadData, match=r"BTCUSDT-1h/2026-02.parquet can't be read as parquet"):
        read(store.folder, ["BTCUSDT"], "1h")
    part.unlink()
    assert store.damaged() == {"BTCUSDT-1h/2026-02.parquet": "is gone"}


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """A part of a series, and what is in it."""
    store = Store(tmp_path_factory.mktemp("rot"))
    store.add(HOURLY, some_rows(60), HERE)
    series = Series(store.folder, str(HOURLY))
    return series, series.files()[0].read_bytes(), series.load(COLUMNS)[0]


@given(data=st.data())
@settings(deadline=None)
def test_a_bit_that_flips_anywhere_is_refused_or_means_nothing(part, data):
    series, written, rows = part
    footer = int.from_bytes(written[-8:-4], "little")  # which parquet leaves without a checksum
    place = data.draw(st.integers(0, len(written) - 1) | st.integers(len(written) - 8 - footer, len(written) - 1))
    spoilt = bytearray(written)
    spoilt[place] ^= 1 << data.draw(st.integers(0, 7))
    series.files()[0].write_bytes(spoilt)
    period = Period(int(rows.times[10]), int(rows.times[-10]))
    for asked, expected in ((ALWAYS, rows), (period, rows.where(slice(10, -9)))):
        with contextlib.suppress(BadData):
            assert series.load(COLUMNS, asked)[0].same(expected)


def test_a_part_whose_footer_tells_of_fewer_rows_is_refused(part):
    series, written, rows = part
    shorter = pq.read_table(pa.BufferReader(written)).slice(0, len(rows) - 1)  # with the label, and the seal, of all
    pq.write_table(shorter, series.files()[0])
    with pytest.raises(BadData, match=r"BTCUSDT-1h/2026-01.parquet is damaged: its rows are not those"):
        series.load(COLUMNS)


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted).map(tuple), max_size=6)


@given(taken=spans, span=st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted).map(tuple))
def test_spans_are_sets_of_instants(taken, span):
    def instants(many):
        return {t for a, b in many for t in range(a, b)}

    assert instants(union(taken)) == instants(taken)
    assert instants(without(span, taken)) == instants([span]) - instants(taken)
    assert all(a < b for a, b in (*union(taken), *without(span, taken)))


# --- writers that die, and two at once --------------------------------------------------------------------------


def _write_for_ever(folder):
    while True:
        for end in range(200, len(ROWS), 100):
            Store(folder).add(HOURLY, ROWS.where(slice(0, end)), HERE)
        for part in months(folder / str(HOURLY))[::-1]:
            part.unlink()


def test_a_writer_that_is_killed_leaves_a_beginning_without_a_hole(store, at_once):
    context = multiprocessing.get_context("fork")
    dice = np.random.default_rng(0)
    for _ in range(8):
        writer = context.Process(target=_write_for_ever, args=(store.folder,), daemon=True)
        writer.start()
        time.sleep(0.02 + dice.uniform(0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        if Series(store.folder, str(HOURLY)).exists():
            held, _ = Series(store.folder, str(HOURLY)).load(HOURLY.columns)
            assert held.same(ROWS.where(slice(0, len(held))))
    store.add(HOURLY, ROWS, HERE, asked=(int(ROWS.times[0]), int(ROWS.times[-1]) + SPAN))
    assert tree(store.folder) == at_once
    assert [file.name for file in store.folder.rglob(".*")] == [".writing"]


def test_two_writers_at_once_are_refused(store):
    with alone(store.folder), pytest.raises(BadData, match="another process writes to"):
        store.add(HOURLY, ROWS, HERE)


def test_a_year_of_minutes_is_read_in_an_instant(store):
    count, first = 525_600, micros_at("2025-01-01")
    price = np.round(50_000 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 3e-4, count))), 1)
    values = {"open": price, "high": price * 1.0003, "low": price * 0.9997, "close": price, "volume": price % 97}
    store.add(Name("BTCUSDT", "1m"), Rows(first + 60_000_000 * np.arange(count), values), HERE)
    series, took = Series(store.folder, "BTCUSDT-1m"), []
    for _ in range(5):
        began = time.process_time()
        rows, _ = series.load(("open", "high", "low", "close", "volume"))
        took.append(time.process_time() - began)
    assert len(rows) == count
    assert min(took) < 0.15
