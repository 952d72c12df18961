"""The page of a survey: one file that needs nothing else, with a picture and words for what is odd."""

import re
from html import escape

import pytest
from builders import make_bars
from stored_bars import HERE, HOURLY, rows_of

from qtlib.market import Store
from qtlib.market.simulated import SimulatedMarket, simulate
from qtlib.market.survey import survey
from qtlib.report.bars import OddityView, SeriesView, SymbolView, coverage, odd_prices, oddities_table
from qtlib.runs.data.bars import facts_in, facts_told, write_report


@pytest.fixture
def surveyed(tmp_path):
    bars = make_bars(600).drop(make_bars(600).index[100:110])
    bars.iloc[300:305, 4] = 0.0
    Store(tmp_path / "market").add(HOURLY, rows_of(bars), HERE)
    return survey(tmp_path / "market", refill=10)


def test_the_page_is_complete_in_itself_and_shows_every_series(surveyed, tmp_path):
    write_report(surveyed, {}, tmp_path / "check.html")
    page = (tmp_path / "check.html").read_text()
    assert page.count('<figure class="qt-chart">') == 2
    assert "10 bars are missing in 1 gaps: 2026-01-05 04:00 (10)" in page
    assert "5 bars without a trade, up to 5 in a row" in page
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=['\"](?!#|data:)", text)


def test_pictures_show_what_is_usable_and_where_it_is_odd(surveyed):
    verdict = surveyed.verdicts["BTCUSDT-1h"]
    assert len(verdict.usable) == 3
    day = make_bars(48)["close"]
    odd = OddityView("gap <b>", "10 bars <i>", [(day.index[3], day.index[5])])
    there = [(day.index[0], day.index[-1])]
    view = SymbolView("BTCUSDT", "alive", day, [SeriesView("BTCUSDT-1h", 48, "fine", there, there, [odd])])
    drawn = {trace.name: trace for trace in (*coverage(view).data, *odd_prices(view).data)}
    assert list(drawn["usable"].x) == [day.index[0], day.index[-1], None]
    assert drawn["gap <b>"].y[0] == day.iloc[3]
    assert "10 bars &lt;i&gt;" in oddities_table(view)


def test_the_page_says_how_near_its_bars_are_to_real_ones_and_few_bars_say_nothing(tmp_path, surveyed):
    assert facts_in(surveyed) == {}
    Store(tmp_path / "year").write(simulate(SimulatedMarket(symbols=("BTCUSDT", "ETHUSDT")), 24 * 120))
    found = survey(tmp_path / "year")
    facts = facts_in(found)
    write_report(found, facts, tmp_path / "check.html")
    page = (tmp_path / "check.html").read_text()
    assert "Bars of 1h: what real ones have in common" in page
    for row in facts_told(facts)["1h"]:
        assert escape(row["fact"]) in page
        assert row["near"] == (row["real"]["low"] <= row["here"] <= row["real"]["high"])
