"""Bars that are broken are found, each kind of break by its name; good bars leave nothing to say."""

import numpy as np
import pandas as pd
import pytest
from builders import HOUR, T0, make_bars
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.market import Severity, check
from qtlib.market.quality import AT_ONCE, OUTAGE, check_funding, fit, usable


def test_good_bars_leave_nothing_to_say():
    assert check(make_bars(500), "1h", "BTCUSDT") == ()


def _with(column, row, value):
    def broken(bars):
        bars.iloc[row, bars.columns.get_loc(column)] = value
        return bars

    return broken


BREAKS = {
    "duplicate": lambda bars: bars.iloc[[0, 1, 2, 2, 3]],
    "order": lambda bars: bars.iloc[[0, 1, 3, 2, 4]],
    "grid": lambda bars: bars.set_axis(bars.index + pd.Timedelta("1min")),
    "gap": lambda bars: bars.drop(bars.index[10:13]),
    "missing value": _with("close", 5, np.nan),
    "ohlc": _with("high", 5, 1.0),
    "no volume": _with("volume", 5, 0.0),
    "jump": lambda bars: bars.mul([*[1] * 20, *[3] * 30], axis=0),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_break_is_found_by_its_name(kind):
    found = check(BREAKS[kind](make_bars(50)), "1h", "BTCUSDT")
    assert kind in {f.kind for f in found}
    assert {f.severity for f in found if f.kind == kind} == {
        Severity.WARN if kind in ("no volume", "jump") else Severity.REFUSE
    }


@pytest.mark.parametrize(
    "row",
    [
        {"low": 0.0},
        {"low": -1.0},
        {"high": 99.0, "open": 100.0},
        {"low": 101.0, "close": 100.0},
        {"volume": -1.0},
        {"high": 90.0, "low": 110.0},
    ],
)
def test_no_price_ever_moved_like_that(row):
    bars = pd.DataFrame({"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 1.0}, index=_hours(3))
    assert check(bars, "1h", "BTCUSDT") == ()
    bars.loc[bars.index[1], list(row)] = list(row.values())
    assert [f.kind for f in check(bars, "1h", "BTCUSDT")] == ["ohlc"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_a_value_that_is_no_number_is_refused(column, value):
    found = check(_with(column, 7, value)(make_bars(20)), "1h", "BTCUSDT")
    assert ("missing value", 1) in {(f.kind, f.count) for f in found}


def test_a_finding_says_how_often_and_where():
    bars = make_bars(50).drop(make_bars(50).index[10:13])
    (gap,) = check(bars, "1h", "BTCUSDT")
    assert (gap.count, gap.first, gap.series) == (1, T0 + 14 * HOUR, "BTCUSDT-1h")
    assert "3 bars are missing" in str(gap)
    assert "row 10" in str(gap)


def test_an_end_that_comes_too_early_is_stale():
    bars = make_bars(50)
    assert check(bars, "1h", "BTCUSDT", until=T0 + 50 * HOUR) == ()
    (stale,) = check(bars, "1h", "BTCUSDT", until=T0 + 52 * HOUR)
    assert (stale.kind, stale.severity, stale.last) == ("stale end", Severity.WARN, T0 + 50 * HOUR)


def test_funding_in_percent_is_not_mistaken_for_fractions():
    rates = pd.Series([0.0001, 0.0001, 0.01], index=_hours(3))
    assert check_funding(rates, "BTCUSDT") == ()
    assert [f.kind for f in check_funding(rates * 100, "BTCUSDT")] == ["funding"]


@st.composite
def torn(draw):
    """Bars with gaps and silent stretches in them."""
    size = draw(st.integers(1, 60))
    kept = draw(st.lists(st.booleans(), min_size=size, max_size=size)) if draw(st.booleans()) else [True] * size
    silent = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    bars = make_bars(size)
    bars.loc[silent, "volume"] = 0.0
    return bars[kept] if any(kept) else bars


def by_its_definition(bars, refill):
    """Which bars are usable, one by one."""
    silent = (bars["volume"] == 0).tolist()
    hours = [round((ts - T0) / HOUR) for ts in bars.index]
    traded = {hour for hour, quiet in zip(hours, silent, strict=True) if not quiet}

    def begins_anew(row):
        before = range(hours[row] - OUTAGE, hours[row])
        return hours[row] - hours[row - 1] > 1 or not traded.intersection(before)  # what is not there did not trade

    def fits(row):
        recent = range(row - refill + 2, row + 1)
        return row + 1 >= refill and not silent[row] and not any(begins_anew(r) for r in recent if r)

    return [fits(row) for row in range(len(bars))]


@given(bars=torn(), refill=st.integers(1, 12))
@settings(deadline=None)
def test_a_bar_is_usable_when_it_traded_and_nothing_interrupted_its_lookback(bars, refill):
    assert usable(bars, "1h", refill).tolist() == by_its_definition(bars, refill)


@pytest.mark.parametrize("shift", range(6))
def test_where_rows_are_looked_at_together_is_not_seen_in_what_is_usable(shift):
    bars = make_bars(AT_ONCE + 40)
    border = AT_ONCE - 3 + shift
    bars.iloc[border - 9 : border, bars.columns.get_loc("volume")] = 0.0
    bars = bars.drop(bars.index[border + 4])
    assert usable(bars, "1h", 8).tolist() == by_its_definition(bars, 8)


@pytest.mark.parametrize("kind", BREAKS)
def test_where_rows_are_looked_at_together_is_not_seen_in_what_is_found(kind):
    whole = make_bars(AT_ONCE + 60)
    for place in (1, 2, 3, 4, 5, 10, 11, 20):
        start = AT_ONCE - place  # so that the break falls to both sides of where the first rows end
        broken = BREAKS[kind](whole.iloc[start : start + 50].copy())
        alone, together = (
            {(f.kind, f.count, f.first, f.last) for f in check(bars, "1h", "BTCUSDT")}
            for bars in (broken, pd.concat([whole.iloc[:start], broken]))
        )
        assert alone <= together


@given(bars=torn(), refill=st.integers(1, 12), share=st.floats(0, 1))
@settings(deadline=None)
def test_whether_a_bar_is_usable_does_not_depend_on_later_ones(bars, refill, share):
    some = bars.iloc[: 1 + int(share * (len(bars) - 1))]
    assert usable(some, "1h", refill).tolist() == usable(bars, "1h", refill).tolist()[: len(some)]


def _hours(count):
    return pd.date_range(T0, periods=count, freq="1h", name="ts")


@given(st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 5]), st.sampled_from([0.0, 0.0, 5.0])), min_size=9, max_size=14))
def test_a_window_by_itself_says_of_its_last_bar_what_all_bars_say(steps):
    """As live trading asks, of windows on the grid of all symbols, and as a backtest does, of the whole past."""
    refill, before = 6, OUTAGE - 1
    hours = np.cumsum([gap for gap, _ in steps])
    volume = np.array([volume for _, volume in steps])
    index = pd.to_datetime(hours * 3_600_000_000_000, utc=True)
    whole = usable(pd.DataFrame({"volume": volume}, index=index), "1h", refill).to_numpy()
    grid = np.full(before + refill + hours[-1], np.nan)  # nothing is known of the first, nor of missing hours
    grid[before + refill + hours - 1] = volume
    closes = (np.arange(len(grid)) - before - refill + 1) * 3_600_000_000
    windows = [slice(end - before - refill, end) for end in before + refill + hours]
    said = [fit(closes[window], grid[None, window], "1h", refill) for window in windows]
    assert [bool(one) for [one] in said] == whole.tolist()
