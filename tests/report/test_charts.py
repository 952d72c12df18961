import json

import numpy as np
import pandas as pd
import pytest
from builders import HOUR, T0, make_bars
from hypothesis import given
from hypothesis import strategies as st
from made_journal import DEPOSIT, D, a_close, a_fill, a_request, made_journal

from qtlib.domain.events import OrderChanged
from qtlib.domain.orders import OrderStatus, Role, Side
from qtlib.report import charts
from qtlib.report.figure import when
from qtlib.report.tables import bars, tables

JOURNAL = made_journal(2_500, entry_rate=0.05)
MADE, BARS = tables(JOURNAL), bars(JOURNAL)
EMPTY = tables([])
FIGURES = {
    "price": lambda t, b: charts.price(t, b, "BTCUSDT"),
    "equity": lambda t, b: charts.equity(t),
    "exposure": lambda t, b: charts.exposure(t, 800.0, 4),
    **{by: lambda t, b, by=by: charts.pnl_by(t, by) for by in ("symbol", "exit_reason", "hour")},
}


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param](MADE, BARS["BTCUSDT"])


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400), st.integers(4, 80))
def test_thinning_keeps_the_extremes_and_the_ends(values, most):
    kept = charts.decimate(np.array(values), most)
    drawn = [values[i] for i in kept]
    assert len(kept) <= most or len(kept) == len(values) <= most
    assert (min(drawn), max(drawn), drawn[0], drawn[-1]) == (min(values), max(values), values[0], values[-1])
    assert list(kept) == sorted(set(kept))


def test_thinning_survives_missing_values():
    values = np.where(np.arange(100) % 3 == 0, np.nan, np.arange(100.0))
    kept = charts.decimate(values, 20)
    assert np.nanmax(values[kept]) == np.nanmax(values)
    assert np.nanmin(values[kept]) == np.nanmin(values)


def test_a_deep_drawdown_of_one_bar_is_still_drawn_among_a_hundred_thousand():
    long = MADE.equity.iloc[[0] * 100_000].reset_index(drop=True).assign(drawdown_frac=0.01)
    long["ts"] = pd.date_range(T0, periods=100_000, freq="5min")
    long.loc[54_321, "drawdown_frac"] = 0.4
    object.__setattr__(made := tables(JOURNAL[:1]), "equity", long)
    drawdown = next(trace for trace in charts.equity(made).data if trace.name == "Drawdown")
    assert min(drawdown.y) == -40
    assert len(drawdown.y) <= charts.MOST


def test_no_trace_is_longer_than_a_screen_can_show(figure):
    assert all(len(trace.x) <= charts.MOST for trace in figure.data if trace.x is not None)


def test_every_chart_names_itself_and_the_unit_of_its_axes(figure):
    assert figure.layout.title.text
    assert len(figure.layout.meta["label"]) > 20
    names = [axis.title.text for axis in figure.select_yaxes()]
    assert all(name and ("[" in name or name == "Positions") for name in names)


def test_a_chart_travels_as_plain_json(figure):
    assert "NaN" not in figure.to_json()
    assert json.loads(figure.to_json())["data"]


@pytest.mark.parametrize("name", FIGURES)
def test_a_run_without_trades_still_has_its_charts(name):
    assert FIGURES[name](EMPTY, make_bars(0)).layout.title.text
    assert FIGURES[name](tables(made_journal(3, entry_rate=0)), make_bars(3)).layout.title.text


def test_bars_and_exposure_start_at_zero():
    for by in ("symbol", "exit_reason", "hour"):
        assert charts.pnl_by(MADE, by).layout.yaxis.rangemode == "tozero"
    assert all(axis.range[0] == 0 for axis in charts.exposure(MADE, 800.0, 4).select_yaxes())


def test_limits_are_lines_with_their_numbers_on_them():
    figure = charts.exposure(MADE, 800.0, 4)
    assert [shape.y0 for shape in figure.layout.shapes] == [800, 4]
    assert [note.text for note in figure.layout.annotations] == ["limit 800 USDT", "limit 4"]


def test_protective_levels_are_steps_that_end_with_their_trade():
    journal = [
        DEPOSIT,
        a_close(T0, SOLUSDT=100.0),
        a_fill("in", "SOLUSDT", Side.BUY, 1, 100),
        a_request("s1", "SOLUSDT", Side.SELL, 1, Role.STOP_LOSS, trigger=D(98)),
        OrderChanged(T0, "s1", OrderStatus.OPEN),
        a_request("s2", "SOLUSDT", Side.SELL, 1, Role.STOP_LOSS, trigger=D(99), ts=T0 + HOUR),
        OrderChanged(T0 + HOUR, "s2", OrderStatus.OPEN),
        a_fill("s2", "SOLUSDT", Side.SELL, 1, 99, ts=T0 + 2 * HOUR),
        a_close(T0 + 3 * HOUR, SOLUSDT=99.0),
    ]
    figure = charts.price(tables(journal), bars(journal)["SOLUSDT"], "SOLUSDT")
    traces = {trace.name: trace for trace in figure.data}
    assert traces["Stop"].y == (98, 99, 99, None)
    assert list(traces["Stop"].x) == list(when([T0, T0 + HOUR, T0 + 2 * HOUR, T0 + 2 * HOUR]))
    assert traces["Stop"].line.shape == "hv"
    assert traces["Entry, long"].y == (100,)
    assert traces["Exit"].text == ("stop: −1.00 USDT",)


def test_an_open_position_has_its_entry_drawn():
    journal = [DEPOSIT, a_close(T0, SOLUSDT=100.0), a_fill("in", "SOLUSDT", Side.SELL, 1, 100)]
    figure = charts.price(tables(journal), bars(journal)["SOLUSDT"], "SOLUSDT")
    assert [t.y for t in figure.data if t.name == "Entry, short"] == [(100,)]


def test_a_crowded_price_chart_opens_on_its_last_exits_and_still_holds_all():
    figure = charts.price(MADE, BARS["BTCUSDT"], "BTCUSDT")
    exits = MADE.trades[MADE.trades.symbol == "BTCUSDT"]
    first, last = figure.layout.xaxis.range
    assert len(exits) > charts.SHOWN
    assert exits.exit_ts[exits.entry_ts >= first].count() >= charts.SHOWN
    assert last == BARS["BTCUSDT"].index[-1]
    seen = BARS["BTCUSDT"][first:]
    low, high = figure.layout.yaxis.range
    assert low < seen.low.min() < seen.high.max() < high
    assert len(next(t for t in figure.data if t.name == "Exit").x) == len(exits)
    close = next(t for t in figure.data if t.name == "Close")
    assert set(when(seen.index)) <= set(close.x)  # nothing of the part one looks at is thinned away
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["Last 40 exits", "All"]


def test_profit_by_anything_adds_up_to_the_whole():
    for by in ("symbol", "exit_reason", "hour"):
        sums = charts.profit_by(MADE, by)
        assert sums.pnl_quote.sum() == pytest.approx(float(MADE.summary.net_pnl))
        assert sums.exits.sum() == len(MADE.trades)
