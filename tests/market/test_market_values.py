"""A market is what was read, as values: refused when broken, summed exactly, and known by its fingerprint."""

import numpy as np
import pandas as pd
import pytest
from builders import HOUR, T0, make_bars
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.market import BadData, Market, aggregate
from qtlib.market.timeframes import micros_of


def rates(count=12, every="8h", rate=0.0001):
    return pd.Series(rate, index=pd.date_range(T0, periods=count + 1, freq=every)[1:])


def test_bad_bars_never_become_a_market():
    bars = make_bars(50)
    bars.iloc[7, 3] = np.nan
    with pytest.raises(
        BadData, match=r"BTCUSDT-1h: bars with a value that is no finite number: 1, first 2026-01-01 08:00"
    ):
        Market.of({"ETHUSDT": make_bars(50), "BTCUSDT": bars}, "1h")


def test_a_gap_is_refused_unless_allowed_and_then_not_traded_until_the_lookback_is_full_again():
    bars = make_bars(50).drop(make_bars(50).index[20:22])
    with pytest.raises(BadData, match=r"2 bars are missing, in gaps: 1.*allow_gaps"):
        Market.of({"BTCUSDT": bars}, "1h")
    market = Market.of({"BTCUSDT": bars}, "1h", allow_gaps=True, refill=5)
    assert np.flatnonzero(~market.usable["BTCUSDT"]).tolist() == [0, 1, 2, 3, 20, 21, 22, 23]
    assert [f.kind for f in market.findings] == ["gap"]
    assert not market.findings[0].refuses


@pytest.mark.parametrize("bars", [{}, {"BTCUSDT": make_bars(0)}])
def test_no_bars_are_no_market(bars):
    with pytest.raises(BadData, match="no bars"):
        Market.of(bars, "1h")


def test_bars_without_a_column_are_refused_by_its_name():
    with pytest.raises(BadData, match="no column volume"):
        Market.of({"BTCUSDT": make_bars(5).drop(columns="volume")}, "1h")


def test_times_without_a_zone_are_refused():
    with pytest.raises(ValueError, match="aware"):
        Market.of({"BTCUSDT": make_bars(5).tz_localize(None)}, "1h")


def test_what_stands_in_for_what_is_missing_is_noted():
    bars = {symbol: make_bars(96) for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")}
    marks = {"BTCUSDT": bars["BTCUSDT"], "ETHUSDT": bars["ETHUSDT"].iloc[48:]}
    market = Market.of(bars, "1h", marks=marks, funding={"BTCUSDT": rates(), "ETHUSDT": rates().iloc[3:]})
    assert market.notes == (
        "ETHUSDT: no mark price at 1h, last price stands in from 2026-01-01 01:00 to 2026-01-03",
        "ETHUSDT: no funding rates before 2026-01-02 08:00, none is charged there",
        "SOLUSDT: no mark price at 1h, last price stands in throughout",
        "SOLUSDT: no funding rates, none is charged",
    )


def test_a_hole_in_the_funding_is_noted_where_it_is():
    market = Market.of({"BTCUSDT": make_bars(96)}, "1h", funding={"BTCUSDT": rates().drop(rates().index[4])})
    assert market.notes[-1] == (
        "BTCUSDT: no funding rates between 2026-01-02 08:00 and 2026-01-03, none is charged there"
    )


def test_funding_more_often_than_every_eight_hours_is_no_hole():
    funding = {"SOLUSDT": rates(48, "2h")}
    assert not [n for n in Market.of({"SOLUSDT": make_bars(96)}, "1h", funding=funding).notes if "funding" in n]


def test_where_no_funding_is_due_none_is_missed():
    assert [n for n in Market.of({"BTCUSDT": make_bars(8)}, "1h").notes if "funding" in n] == []


def test_a_gap_in_mark_prices_is_filled_by_last_prices_and_noted():
    bars = make_bars(50)
    market = Market.of({"BTCUSDT": bars}, "1h", marks={"BTCUSDT": bars.drop(bars.index[10:12])})
    assert (
        "BTCUSDT: no mark price at 1h, last price stands in from 2026-01-01 11:00 to 2026-01-01 12:00" in market.notes
    )


def test_broken_mark_prices_are_refused():
    bars = make_bars(50)
    with pytest.raises(BadData, match="BTCUSDT-1h-mark: bars that break"):
        Market.of({"BTCUSDT": bars}, "1h", marks={"BTCUSDT": bars.assign(low=bars["high"] * 2)})


def test_a_symbol_that_ends_before_the_others_is_stale():
    market = Market.of({"BTCUSDT": make_bars(50), "FTTUSDT": make_bars(40)}, "1h")
    assert [(f.symbol, f.kind) for f in market.findings] == [("FTTUSDT", "stale end")]


SERIES = ("bars", "marks", "funding")


@given(st.sampled_from(SERIES), st.integers(0, 11), st.integers(0, 4))
@settings(max_examples=50, deadline=None)
def test_one_number_changed_is_another_market(series, row, column):
    whole = {"bars": make_bars(12), "marks": make_bars(12, seed=1), "funding": rates(12, "1h").to_frame()}
    changed = {name: frame.copy() for name, frame in whole.items()}
    column %= changed[series].shape[1]
    changed[series].iloc[row, column] = np.nextafter(changed[series].iloc[row, column], 1e9)
    if series != "funding" and column in (0, 2, 3):  # keep the bar sane: widen it
        changed[series].iloc[row, 1] *= 2
        changed[series].iloc[row, 2] /= 2
    assert _market(whole).fingerprint == _market(whole).fingerprint
    assert _market(changed).fingerprint != _market(whole).fingerprint


def test_the_fingerprint_is_of_values_not_of_how_they_lie_in_memory():
    bars = make_bars(30)
    rows_first = pd.DataFrame(
        np.ascontiguousarray(bars.to_numpy()), index=bars.index.as_unit("ns"), columns=bars.columns
    )
    assert Market.of({"A": bars}, "1h").fingerprint == Market.of({"A": rows_first}, "1h").fingerprint


@given(size=st.integers(1, 300), skip=st.integers(0, 20), seed=st.integers(0, 99))
@settings(deadline=None)
def test_longer_bars_are_what_their_parts_add_up_to(size, skip, seed):
    parts = make_bars(size + skip, seed=seed, timeframe="5min").iloc[skip:]
    for ts, bar in aggregate(parts, "1h").iterrows():
        inside = parts.loc[ts - HOUR + pd.Timedelta("5min") : ts]
        assert len(inside) == 12
        assert bar["open"] == inside["open"].iloc[0]
        assert bar["high"] == inside["high"].max()
        assert bar["low"] == inside["low"].min()
        assert bar["close"] == inside["close"].iloc[-1]
        assert bar["volume"] == pytest.approx(inside["volume"].sum())


@given(size=st.integers(2, 300), skip=st.integers(0, 20))
@settings(deadline=None)
def test_a_longer_bar_stands_only_where_all_its_parts_do(size, skip):
    parts = make_bars(size + skip, timeframe="5min").iloc[skip:]
    opened, closed = parts.index[0] - pd.Timedelta("5min"), parts.index[-1]
    whole = pd.date_range(opened.ceil("1h") + HOUR, closed.floor("1h"), freq="1h")
    assert aggregate(parts, "1h").index.tolist() == whole.tolist()


def test_bars_do_not_add_up_to_what_they_do_not_divide():
    with pytest.raises(ValueError, match="60 minutes do not add up to 90m"):
        aggregate(make_bars(10), "90m")


def test_the_report_names_every_symbol_and_every_doubt():
    bars = make_bars(50)
    market = Market.of({"BTCUSDT": bars, "<b>": bars.iloc[:40]}, "1h", source="made up", simulated=True)
    text, html = str(market.report()), market._repr_html_()
    assert text.splitlines()[0] == "made up: bars of 1h, SIMULATED"
    assert "<b>-1h: bars end 10 before" in text
    assert "<b>" not in html
    assert "&lt;b&gt;-1h: bars end 10 before" in html


@pytest.mark.parametrize("text", ["", "h", "0h", "1.5h", "-1h", "1w", "60", "1H", "²h"])
def test_what_is_no_timeframe_is_refused(text):
    with pytest.raises(ValueError, match="is no timeframe"):
        micros_of(text)


def _market(frames):
    bars, marks, funding = (frames[name] for name in SERIES)
    return Market.of({"A": bars}, "1h", marks={"A": marks}, funding={"A": funding.iloc[:, 0]})
