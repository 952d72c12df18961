"""Other people's files: what they hold comes in as it is, and what is wrong with one is said with its row."""

import gzip

import numpy as np
import pandas as pd
import pytest
from builders import make_bars
from foreign_files import DAY, HEADER, JANUARY, a_csv, a_feather, a_json, a_zip, lines_of, with_checksum
from market_data import folder as real_data
from stored_bars import HERE, rows_of, tree

from qtlib.market import BadData, Store, read
from qtlib.market.foreign import Hints, bring, read_file, recognised
from qtlib.market.foreign.offer import Damaged
from qtlib.market.merging import Differing
from qtlib.market.names import FUNDING, MARKS, Name
from qtlib.market.series import Rows, Series
from qtlib.market.timeframes import HOUR, MINUTE

HOURLY = Name("BTCUSDT", "1h")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "market")


def brought(store, *paths, **more):
    return bring(recognised(paths), lambda venue: store if venue != "binance" else Store(store.folder / "spot"), **more)


def held(store, name=HOURLY):
    return Series(store.folder, str(name)).load(name.columns)[0]


# --- what they hold comes in ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("header", "unit"), [(True, 1_000), (False, 1_000), (False, 1), (True, 1)])
def test_a_zip_of_the_archive_with_and_without_header_in_milli_and_in_microseconds(tmp_path, header, unit):
    offer = read_file(a_zip(tmp_path, lines_of(DAY, unit=unit), header=header))
    assert (offer.name, offer.label.venue) == (HOURLY, "binanceusdm")
    assert offer.rows.same(DAY)


def test_the_archive_says_by_its_folders_what_a_zip_is_of(tmp_path):
    spot = read_file(a_zip(tmp_path, below="spot/daily/klines/BTCUSDT/1h"))
    mark = read_file(a_zip(tmp_path, below="futures/um/daily/markPriceKlines/BTCUSDT/1h"))
    assert (spot.label.venue, spot.name) == ("binance", HOURLY)
    assert mark.name == Name("BTCUSDT", "1h", MARKS)
    bare = a_zip(tmp_path, below="downloads")
    with pytest.raises(Damaged, match="its folders do not say which kind it is of"):
        read_file(bare)
    assert read_file(bare, Hints(venue="binanceusdm", kind="bars")).rows.same(DAY)


def test_funding_of_the_archive_is_on_the_minute(tmp_path):
    text = ["calc_time,funding_interval_hours,last_funding_rate"]
    text += [f"{(int(DAY.times[h]) + 3_000) // 1_000},8,-0.000{h}" for h in (0, 8, 16)]
    file = a_zip(
        tmp_path, text, "BTCUSDT-fundingRate-2025-01", header=False, below="futures/um/monthly/fundingRate/BTCUSDT"
    )
    offer = read_file(file)
    assert offer.name == Name("BTCUSDT", "", FUNDING)
    assert offer.rows.times.tolist() == [int(DAY.times[h]) for h in (0, 8, 16)]
    assert offer.rows.values["funding_rate"].tolist() == [0.0, -0.0008, -0.00016]


def test_freqtrades_files_say_by_their_names_what_they_are(tmp_path):
    packed = a_json(tmp_path, name="ETH_USDT-1h")
    packed.with_name("ETH_USDT-1h.json.gz").write_bytes(gzip.compress(packed.read_bytes()))
    offers = {
        a_feather(tmp_path): (HOURLY, "binanceusdm"),
        a_feather(tmp_path, name="BTC_USDT_USDT-1h-mark"): (Name("BTCUSDT", "1h", MARKS), "binanceusdm"),
        a_json(tmp_path): (HOURLY, "binance"),
        packed.with_name("ETH_USDT-1h.json.gz"): (Name("ETHUSDT", "1h"), "binance"),
    }
    for file, (name, venue) in offers.items():
        offer = read_file(file)
        assert (offer.name, offer.label.venue) == (name, venue)
        assert offer.rows.same(DAY)
    rates = read_file(a_feather(tmp_path, name="BTC_USDT_USDT-8h-funding_rate", open=0.0001))
    assert (rates.name.kind, set(rates.rows.values["funding_rate"])) == (FUNDING, {0.0001})


@pytest.mark.parametrize(
    ("made", "hints"),
    [
        ({}, {}),
        ({"name": "mine"}, {"symbol": "BTCUSDT", "timeframe": "1h"}),
        ({"times": "%Y-%m-%d %H:%M"}, {"zone": "UTC"}),
        ({"times": "%Y-%m-%d %H:%M", "zone": "Europe/Oslo"}, {"zone": "Europe/Oslo"}),
        ({"times": "%Y-%m-%d %H:%M:%S%z", "zone": "Asia/Tokyo"}, {}),
        ({"delimiter": ";"}, {}),
        ({"header": ["When", "O", "H", "L", "C", "Contracts"]}, {"columns": {"time": "When", "volume": "Contracts"}}),
    ],
)
def test_a_csv_is_read_as_its_hints_say(tmp_path, made, hints):
    assert read_file(a_csv(tmp_path, **made), Hints(**hints)).rows.same(DAY)


def test_times_may_be_closes_and_the_newest_may_come_first(tmp_path):
    closes = Rows(DAY.times + HOUR, DAY.values).where(slice(None, None, -1))
    assert read_file(a_csv(tmp_path, closes), Hints(stamped="close")).rows.same(DAY)


def test_a_parquet_file_in_our_own_form_needs_no_hints(tmp_path):
    frame = pd.DataFrame({"timestamp": pd.to_datetime(DAY.times, unit="us", utc=True), **DAY.values})
    frame.to_parquet(tmp_path / "BTCUSDT-1h.parquet")
    assert read_file(tmp_path / "BTCUSDT-1h.parquet").rows.same(DAY)
    frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None)).to_parquet(tmp_path / "BTCUSDT-1h.parquet")
    with pytest.raises(Damaged, match="row 1: timestamp names no time zone"):
        read_file(tmp_path / "BTCUSDT-1h.parquet")


def test_many_files_become_one_series_and_the_months_of_it(store, tmp_path):
    days = [rows_of(make_bars(24, seed=n, t0=JANUARY + pd.Timedelta(days=n))) for n in (29, 30, 31)]
    for n, day in zip((30, 31), days, strict=False):
        with_checksum(a_zip(tmp_path, lines_of(day), f"BTCUSDT-1h-2025-01-{n}"))
    a_feather(tmp_path, days[2])
    (one,) = brought(store, tmp_path)
    assert (one.files, one.new, one.notes) == (3, 72, ("checksum verified",))
    assert sorted(file.name for file in (store.folder / "BTCUSDT-1h").glob("*.parquet")) == [
        "2025-01.parquet",
        "2025-02.parquet",
    ]
    assert read(store.folder, ["BTCUSDT"], "1h").count == 72
    assert store.entry(HOURLY).label.sources == ("archive binanceusdm klines", "freqtrade futures")
    assert brought(store, tmp_path)[0].new == 0


# --- what is damaged does not -----------------------------------------------------------------------------------


def _cells(row, column, value, rows=DAY, **more):
    lines = lines_of(rows, **more)
    cells = lines[row - 2].split(",")
    cells[column] = value
    lines[row - 2] = ",".join(cells)
    return lines


def _cut(folder):
    file = a_zip(folder)
    file.write_bytes(file.read_bytes()[:-200])
    return file


def _flipped(folder):
    file = a_zip(folder)
    spoilt = bytearray(file.read_bytes())
    spoilt[300] ^= 0xFF
    file.write_bytes(spoilt)
    return file


def _mixed_units(folder):
    return a_zip(folder, [*lines_of(DAY)[:10], *lines_of(DAY, unit=1)[10:]])


def _local(folder):
    moved = Rows(DAY.times + HOUR, DAY.values)
    return a_zip(folder, lines_of(moved))


def _local_csv(folder):
    at = pd.date_range("2024-10-26", periods=60, freq="1h", tz="UTC")
    return a_csv(folder, rows_of(make_bars(60, t0=at[0])), times="%Y-%m-%d %H:%M", zone="Europe/Oslo")


DAMAGE = {
    "cut zip": (_cut, "the zip is damaged or cut off"),
    "rotten zip": (_flipped, "the zip is damaged or cut off"),
    "wrong checksum": (lambda f: with_checksum(a_zip(f), "0" * 64), r"its checksum is .*CHECKSUM says 0000"),
    "empty checksum": (lambda f: with_checksum(a_zip(f), " "), "CHECKSUM says"),
    "mixed units": (_mixed_units, "row 12: open_time .* has 16 digits, and those above have 13: two units of time"),
    "wrong symbol inside": (lambda f: a_zip(f, inside="ETHUSDT-1h-2025-01-01"), "it holds ETHUSDT-1h-2025-01-01.csv"),
    "wrong symbol's folder": (
        lambda f: a_zip(f, below="futures/um/daily/klines/ETHUSDT/1h"),
        "lies under ETHUSDT/, and is named for BTCUSDT",
    ),
    "wrong timeframe": (
        lambda f: a_zip(f, name="BTCUSDT-5m-2025-01-01", below="futures/um/daily/klines/BTCUSDT/5m"),
        "row 2: from its open to its close are 60 minutes, and a bar has 5",
    ),
    "local time": (_local, "row 25: 2025-01-02 00:00 UTC is not in 2025-01-01, .*: local time"),
    "local time in words": (_local_csv, "row 2: time '2024-10-26 02:00' names no time zone, and may be local"),
    "decimal commas": (
        lambda f: a_zip(f, [line.replace(".", ",") for line in lines_of(DAY)]),
        r"row 2: \d+ values, and there are 12 columns: decimal commas",
    ),
    "decimal commas in a CSV": (
        lambda f: a_csv(f, delimiter=";", decimal=","),
        r"row 2: open '\d+,\d+' is no number: a decimal comma",
    ),
    "negative price": (lambda f: a_zip(f, _cells(7, 3, "-1.5")), r"0 < low <= open.*\[row 7 of the file\]"),
    "zero price": (lambda f: a_zip(f, _cells(7, 3, "0")), r"0 < low"),
    "no number": (lambda f: a_zip(f, _cells(9, 4, "n/a")), "row 9: close 'n/a' is no number"),
    "NaN": (lambda f: a_zip(f, _cells(9, 4, "nan")), "row 9: close 'nan' is no number"),
    "cut line": (lambda f: a_zip(f, [*lines_of(DAY)[:-1], "17357,4"]), "row 25: 2 values, .* 12 columns: cut off"),
    "duplicate": (lambda f: a_zip(f, [*lines_of(DAY)[:5], *lines_of(DAY)[4:]]), "stand twice: 1"),
    "disorder": (lambda f: a_zip(f, lines_of(DAY)[::-1]), "stand after a later one"),
    "other unit of volume": (
        lambda f: a_zip(f, _cells(4, 5, "2.5")),
        "row 4: volume 2.5 for .* apiece, outside of .*: two units of volume",
    ),
    "other columns": (lambda f: a_zip(f, [HEADER[5:], *lines_of(DAY)], header=False), "row 1: its columns"),
    "no rows": (lambda f: a_zip(f, []), "it has no rows"),
    "foreign folder": (lambda f: a_zip(f, below="um/indexPriceKlines/BTCUSDT/1h"), "of which no series is kept"),
    "percent": (
        lambda f: a_zip(
            f,
            ["calc_time,funding_interval_hours,last_funding_rate", f"{int(DAY.times[0]) // 1000},8,1.0"],
            "BTCUSDT-fundingRate-2025-01",
            header=False,
            below="fundingRate",
        ),
        "percent, perhaps, where fractions belong",
    ),
    "half a JSON": (lambda f: _truncated(a_json(f)), "can't be read as JSON"),
    "words in a JSON": (lambda f: _reworded(a_json(f)), "row 1: .* must be 6 numbers"),
    "half a feather": (lambda f: _truncated(a_feather(f)), "can't be read as feather"),
    "nameless columns": (lambda f: a_csv(f, header=list("abcdef")), "no column that is known as time; it has a, b"),
    "no time": (lambda f: a_csv(f, times="then"), "row 2: time 'then' (names no time zone|is no time)"),
}  # fmt: skip


def _truncated(file):
    file.write_bytes(file.read_bytes()[:-100])
    return file


def _reworded(file):
    file.write_text(file.read_text().replace("100.0", '"100,0"', 1))
    return file


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused_with_the_row_and_the_reason_and_nothing_is_stored(store, tmp_path, damage):
    spoil, words = DAMAGE[damage]
    a_feather(tmp_path, name="SOL_USDT_USDT-1h-futures")  # which is as it should be
    file = spoil(tmp_path)
    with pytest.raises(Damaged, match=words) as refused:
        brought(store, tmp_path if file.suffix != ".csv" else file)
    assert str(refused.value).startswith(file.name)
    assert "Nothing was stored." in str(refused.value)
    assert not store.folder.exists()


def test_an_hour_that_stands_twice_when_clocks_are_set_back_is_local_time(tmp_path):
    at = pd.date_range("2024-10-26 12:00", periods=24, freq="1h", tz="UTC")
    wall = np.asarray(at.tz_convert("Europe/Oslo").tz_localize(None).as_unit("us").asi8)
    rows = rows_of(make_bars(24))
    with pytest.raises(Damaged, match="an hour stands twice on 2024-10-27, when clocks are set back: local time"):
        read_file(a_csv(tmp_path, Rows(wall, rows.values)))


def test_rows_of_another_clock_or_another_symbol_are_known_by_those_that_are_held(store, tmp_path):
    store.add(HOURLY, DAY, HERE)
    moved = a_feather(tmp_path, Rows(DAY.times + 2 * HOUR, DAY.values))
    with pytest.raises(Damaged, match="are those held if they are moved by -120 minutes"):
        brought(store, moved)
    ten = Rows(
        DAY.times + 24 * HOUR, {name: values * (10 if name != "volume" else 1) for name, values in DAY.values.items()}
    )
    with pytest.raises(Damaged, match=r"row 1 closes at .*: another symbol"):
        brought(store, a_feather(tmp_path, ten))
    assert held(store).same(DAY)


def test_what_nobody_can_read_is_said_so(store, tmp_path):
    with pytest.raises(BadData, match="nothing to import there"):
        brought(store, tmp_path)
    with pytest.raises(BadData, match="there is no"):
        brought(store, tmp_path / "nowhere")
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(Damaged, match=r"mine.txt: it is neither a zip of the archive"):
        brought(store, tmp_path / "mine.txt")
    with pytest.raises(ValueError, match="unknown column 'price'"):
        Hints(columns={"price": "x"})


# --- sources that disagree --------------------------------------------------------------------------------------


@pytest.mark.parametrize("differing", Differing)
def test_files_that_disagree_are_told_bar_by_bar_and_other_series_come_in(store, tmp_path, differing):
    other = Rows(
        DAY.times, {**DAY.values, "close": np.where(np.arange(24) == 7, DAY.values["high"], DAY.values["close"])}
    )
    a_zip(tmp_path)
    a_feather(tmp_path, other)
    a_feather(tmp_path, name="ETH_USDT_USDT-1h-futures")
    one, eth = brought(store, tmp_path, differing=differing)
    assert [(d.ts.hour, d.column) for d in one.differences] == [(7, "close")]
    assert (eth.new, eth.refused) == (24, "")
    assert bool(one.refused) == (differing is Differing.REFUSE)
    assert (store.folder / "BTCUSDT-1h").exists() == (differing is not Differing.REFUSE)


# --- the real ones ----------------------------------------------------------------------------------------------


def test_every_real_zip_is_read_and_the_known_disagreement_found(store):
    archive = real_data().parent / "archive"
    if not archive.is_dir():
        pytest.skip("archive samples not present")
    found = {(one.name, "spot" if one.files > 1 else "um"): one for one in brought(store, archive)}
    assert sum(one.new for one in found.values()) == 24 + 24 + 4 * 744 + 3 * 8928 + 40_320
    assert not any(one.refused for one in found.values())
    before = tree(store.folder)
    (one,) = brought(store, real_data() / "BTCUSDT-1h.parquet", hints=Hints(venue="binanceusdm"))
    assert {f"{d.ts:%Y-%m-%d %H:%M}" for d in one.differences} == {"2024-10-28 20:00", "2024-10-28 21:00"}
    assert "2 rows of" in one.refused
    assert tree(store.folder) == before


def test_real_five_minutes_of_two_sources_agree(store):
    archive = real_data().parent / "archive" / "futures" / "um" / "monthly"
    if not archive.is_dir():
        pytest.skip("archive samples not present")
    files = [real_data() / f"{symbol}-5m.parquet" for symbol in ("SOLUSDT", "NEARUSDT")]
    first = brought(store, *files, hints=Hints(venue="binanceusdm"))
    again = brought(store, archive / "klines" / "SOLUSDT", archive / "klines" / "NEARUSDT" / "5m")
    assert sum(one.new for one in first) > 200_000
    assert {(one.new, one.refused) for one in again} == {(0, "")}
    assert sum(one.known for one in again) == 2 * 8928


def test_real_zips_cut_anywhere_are_refused(tmp_path):
    archive = real_data().parent / "archive"
    if not archive.is_dir():
        pytest.skip("archive samples not present")
    whole = archive / "futures/um/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-10-28.zip"
    place = tmp_path / "futures/um/daily/klines/BTCUSDT/1h"
    place.mkdir(parents=True)
    content, file = whole.read_bytes(), place / whole.name
    for kept in range(0, len(content), 97):
        file.write_bytes(content[:kept])
        with pytest.raises(Damaged):
            read_file(file)


def test_minutes_are_named_for_what_they_are(tmp_path):
    minutes = rows_of(make_bars(60, timeframe="1min", t0=JANUARY), span=MINUTE)
    file = a_zip(
        tmp_path, lines_of(minutes, minutes=1), "BTCUSDT-1m-2025-01-01", below="futures/um/daily/klines/BTCUSDT/1m"
    )
    assert read_file(file).name == Name("BTCUSDT", "1m")
