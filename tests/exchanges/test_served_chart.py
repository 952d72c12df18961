"""Bars as they are asked for: of any length, from any time, they are the bars there are, whole."""

from datetime import timedelta

import pytest
from builders import HOUR, T0, a_bar
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.domain.market import Step
from qtlib.exchanges.simulated.served.chart import INTERVALS, Chart

BARS = 60
GAPS = (17, 18, 40)  # hours without a bar
PRICE = 61.5


def a_chart():
    """Prices that name their hour."""
    chart = Chart(HOUR)
    for hour in range(1, BARS + 1):
        bar = a_bar(T0 + hour * HOUR, hour, hour + 2, hour - 0.5, hour + 1, volume=hour)
        chart.live(Step(bar.ts, {} if hour in GAPS else {"BTCUSDT": bar}))
    return chart


CHART = a_chart()
instants = (
    st.none()
    | st.integers(-3, BARS + 3).map(lambda n: T0 + n * HOUR)
    | st.integers(0, 3600).map(lambda n: T0 + timedelta(minutes=n))
)


@given(st.sampled_from(["1h", "2h", "4h", "8h", "12h", "1d"]), instants, instants, st.integers(1, 70))
@settings(deadline=None)
def test_a_window_of_bars_is_a_part_of_all_of_them(name, since, until, limit):
    interval = INTERVALS[name]
    every = CHART.candles("BTCUSDT", interval, PRICE, limit=10_000)
    inside = [c for c in every if (since is None or c.opened >= since) and (until is None or c.opened <= until)]
    asked = CHART.candles("BTCUSDT", interval, PRICE, since=since, until=until, limit=limit)
    assert asked == (inside[-limit:] if since is None else inside[:limit])


@pytest.mark.parametrize("name", ["1h", "3d", "8h"])
def test_a_longer_bar_is_the_sum_of_its_parts_and_only_the_last_is_open(name):
    interval = INTERVALS[name]
    candles = CHART.candles("BTCUSDT", interval, PRICE, limit=10_000)
    hours = [h for h in range(1, BARS + 1) if h not in GAPS]
    assert sum(c.volume for c in candles) == sum(hours)
    assert [c.closed for c in candles] == [c.opened + interval <= CHART.now for c in candles]
    assert sum(not c.closed for c in candles) == 1
    for c in candles:
        inside = [h for h in hours if c.opened < T0 + h * HOUR <= c.opened + interval]
        if c.closed:
            assert (c.open, c.close, c.low) == (inside[0], inside[-1] + 1, inside[0] - 0.5)
        else:
            assert c.close == PRICE


def test_nobody_reads_of_a_bar_before_it_is_over_or_of_one_twice():
    chart = a_chart()
    chart.live(Step(T0 + BARS * HOUR, {"BTCUSDT": a_bar(T0 + BARS * HOUR, 1.0)}))
    assert chart.candles("BTCUSDT", HOUR, PRICE, limit=10_000) == CHART.candles("BTCUSDT", HOUR, PRICE, limit=10_000)
    assert chart.candles("BTCUSDT", HOUR, PRICE, limit=1)[0].opened == chart.now
