"""Fetching: what the venue has is what is stored, whatever goes wrong on the way and wherever it was cut off."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from a_past_venue import NAMES, SYMBOLS, a_past_venue, connected, fetched
from a_served_venue import a_client
from fetch_kills import killed_and_resumed
from market_data import folder as real_data
from stored_bars import HERE, tree

from qtlib.exchanges.binance.past import binance_past
from qtlib.exchanges.ccxt_past import CcxtPast, ccxt_past
from qtlib.exchanges.past import Asked, checked
from qtlib.exchanges.port import Refused, Untrusted
from qtlib.market import Store, read
from qtlib.market.names import FUNDING, Name
from qtlib.market.series import Rows, Series
from qtlib.market.timeframes import HOUR, micros_at, micros_in

HOURLY = Name("BTCUSDT", "1h")


@pytest.fixture
def undisturbed(tmp_path):
    with a_past_venue() as venue:
        fetched(venue.url, tmp_path / "undisturbed")
        yield venue, tree(tmp_path / "undisturbed")


def held(folder, name=HOURLY):
    return Series(folder, str(name)).load(name.columns)[0]


def asked_of(venue):
    """How many requests for bars and rates the venue has counted, by its faults."""
    return sum(row["seen"] for row in venue.ask("GET", "/sim/faults")[1]["faults"] if row["kind"] == "reset") // 2


def test_what_the_venue_has_is_what_is_stored_but_for_the_bar_that_is_open(undisturbed, tmp_path):
    venue, _ = undisturbed
    folder = tmp_path / "undisturbed"
    rows = held(folder)
    shown = venue.ask("GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1h", limit=1_500)[1]
    closed = [row for row in shown if row[6] < int(venue.desk.now.timestamp() * 1_000)]
    stored = {at: values for at, *values in zip(rows.times.tolist(), *rows.values.values(), strict=True)}
    assert len(shown) - len(closed) == 1
    later = closed[:-1]  # one that has closed this instant may still change
    assert all(stored[row[0] * 1_000] == [float(cell) for cell in row[1:6]] for row in later)
    assert rows.times[-1] == later[-1][0] * 1_000
    assert len(held(folder, Name("BTCUSDT", "4h"))) == len(rows) // 4
    market = read(folder, SYMBOLS, "1h")
    assert market.findings == ()
    assert market.simulated  # what is served on this machine says so for ever
    assert market.source == "binanceusdm bars; binanceusdm mark prices; binanceusdm funding"
    assert np.all(np.diff(held(folder, Name("ETHUSDT", "", FUNDING)).times) == 8 * HOUR)


def test_faults_change_nothing(undisturbed, tmp_path):
    _, whole = undisturbed
    with a_past_venue(rough=True, seed=3) as rough:
        fetched(rough.url, tmp_path / "rough")
        injected = {row["kind"] for row in rough.ask("GET", "/sim/faults")[1]["injected"]}
    assert {"too_many", "reset", "unavailable"} <= injected
    assert tree(tmp_path / "rough") == whole


def test_kills_change_nothing(tmp_path):
    figures = killed_and_resumed(tmp_path, kills=4, seed=1, names=NAMES[:2])
    assert figures["equal"]
    assert figures["kills"] == 4


def test_more_is_fetched_from_where_it_ended_and_the_last_bars_again(tmp_path):
    with a_past_venue() as venue:
        fetched(venue.url, tmp_path / "market")
        before, count = held(tmp_path / "market"), venue.desk.chart.count("BTCUSDT")
        venue.step(50)
        (one,) = fetched(venue.url, tmp_path / "market", [HOURLY])
        assert (one.new, one.revised) == (50, ())
        after = held(tmp_path / "market")
        assert after.where(slice(0, len(before))).same(before)
        assert venue.desk.chart.count("BTCUSDT") == count + 50
        assert fetched(venue.url, tmp_path / "market", [HOURLY])[0].new == 0
        fetched(venue.url, tmp_path / "at_once", [HOURLY])
        pieces = {name: content for name, content in tree(tmp_path / "market").items() if "BTCUSDT-1h" in name[:10]}
        assert {k: v for k, v in pieces.items() if "mark" not in k} == tree(tmp_path / "at_once")


def test_a_bar_that_the_venue_revised_is_told_and_its_later_word_holds(tmp_path):
    with a_past_venue() as venue:
        fetched(venue.url, tmp_path / "market", [HOURLY])
        bars = venue.desk.chart._past["BTCUSDT"].bars
        bars[-2] = type(bars[-2])(bars[-2].ts, bars[-2].open, bars[-2].high * 2, bars[-2].low, bars[-2].close, 5.0)
        venue.step(1)
        (one,) = fetched(venue.url, tmp_path / "market", [HOURLY])
        assert {(d.ts, d.column) for d in one.revised} == {
            (bars[-3].ts - (bars[-2].ts - bars[-3].ts), c) for c in ("high", "volume")
        }
        assert held(tmp_path / "market").values["volume"][-2] == 5.0


def test_a_hole_at_the_venue_is_known_as_one_and_not_asked_for_again(tmp_path):
    with a_past_venue() as venue:
        past = venue.desk.chart._past["BTCUSDT"]
        del past.bars[700:710]
        fetched(venue.url, tmp_path / "market", [HOURLY])
        known = Store(tmp_path / "market").entry(HOURLY)
        assert (known.missing, len(known.gaps), len(known.asked)) == (10, 1, 1)
        assert fetched(venue.url, tmp_path / "market", [HOURLY])[0].new == 0


def test_what_another_source_says_is_not_replaced_by_the_venue(tmp_path):
    with a_past_venue() as venue:
        fetched(venue.url, tmp_path / "first", [HOURLY])
        rows = held(tmp_path / "first")
        store = Store(tmp_path / "market")
        store.add(
            HOURLY,
            Rows(rows.times, {**rows.values, "volume": rows.values["volume"] + 1}),
            replace(HERE, simulated=True),
        )
        before = tree(tmp_path / "market")
        one, other = fetched(venue.url, tmp_path / "market", [HOURLY, Name("ETHUSDT", "1h")])
        assert "differ from those held, which are from here" in one.refused
        assert other.new > 1_000
        assert {name: tree(tmp_path / "market")[name] for name in before} == before


def test_a_symbol_that_is_not_there_is_refused_and_the_others_come(tmp_path):
    with a_past_venue(bars=100) as venue:
        gone, there = fetched(venue.url, tmp_path / "market", [Name("NOSUCHUSDT", "1h"), HOURLY])
    assert "Invalid symbol" in gone.refused
    assert (there.new, there.refused) == (99, "")


def test_a_span_is_fetched_by_itself_and_what_lies_between_later(tmp_path):
    with a_past_venue() as venue:
        fetched(venue.url, tmp_path / "whole", [HOURLY])
        times = held(tmp_path / "whole").times
        parts = [(1_000, 1_200), (100, 300), (0, len(times))]
        for a, b in parts:
            run_span(venue.url, tmp_path / "parts", int(times[a]), int(times[b - 1]) + HOUR)
        assert held(tmp_path / "parts").same(held(tmp_path / "whole"))


def run_span(url, folder, start, end):
    from qtlib.runs.data.fetch import run

    return run(connected(url), folder, [HOURLY], start, end)


# --- the pages themselves ---------------------------------------------------------------------------------------


def test_ccxts_own_client_gives_the_same_rows(tmp_path):
    async def both(url, port):
        import ccxt.async_support as ccxt

        ours, theirs = binance_past(url), CcxtPast(a_client(port, ccxt.binanceusdm))
        first = micros_at("2026-01-10") // 1_000
        try:
            for name in NAMES:
                asked = Asked(name.symbol, name.kind, first, first + 40 * 24 * 3_600_000, name.timeframe)
                yield await ours.page(asked), await theirs.page(asked)
            with pytest.raises(Refused, match="has no NOSUCHUSDT"):
                await theirs.page(Asked("NOSUCHUSDT", "bars", first, first + 1, "1h"))
        finally:
            await ours.end()
            await theirs.end()

    async def compared(url, port):
        return [pair async for pair in both(url, port)]

    with a_past_venue() as venue:
        pairs = asyncio.run(compared(venue.url, venue.port))
    for ours, theirs in pairs:
        assert len(ours) > 50
        assert [(at, row[:4]) for at, row in ours] == [(at, row[:4]) for at, row in theirs]


def test_a_venue_that_nobody_knows_is_refused():
    with pytest.raises(Refused, match="knows no venue 'nowhere'"):
        ccxt_past("nowhere")


def test_rows_that_make_no_sense_are_not_believed():
    asked = Asked("BTCUSDT", "bars", 0, 10 * 3_600_000, "1h")
    with pytest.raises(Untrusted, match="does not come after"):
        checked([(3_600_000, (1.0,)), (3_600_000, (1.0,))], asked, 3_600_000)
    with pytest.raises(Untrusted, match="not on the grid"):
        checked([(1, (1.0,))], asked, 3_600_000)
    assert checked([(-5, (1.0,)), (0, (1.0,)), (10 * 3_600_000, (1.0,))], asked, 3_600_000) == [(0, (1.0,))]


def test_real_bars_are_fetched_through_faults_as_they_are(tmp_path):
    with a_past_venue(bars=1_400, rough=True, seed=5, folder=real_data()) as venue:
        fetched(venue.url, tmp_path / "market")
    ours = read(tmp_path / "market", SYMBOLS, "1h")
    real = read(real_data(), SYMBOLS, "1h", "2024-10-01", "2024-12-31")
    for symbol in SYMBOLS:
        frame = ours.bars[symbol]
        assert len(frame) == 1_399
        prices = real.bars[symbol].loc[frame.index, ["open", "high", "low", "close"]]
        assert np.allclose(frame[["open", "high", "low", "close"]], prices, rtol=1e-12)
        assert np.array_equal(
            micros_in(ours.funding[symbol].index)[1:],
            micros_in(real.funding[symbol].index)[1 : len(ours.funding[symbol])],
        )
