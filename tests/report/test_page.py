import re

import pytest
from made_page import a_failure, a_notebook
from nbformat import v4, write

from qtlib.report import page


@pytest.fixture(scope="module")
def exported(report):
    file, charts = report
    return file.read_text("utf-8"), charts


def test_a_page_holds_its_library_once_and_stays_small(exported):
    html, charts = exported
    assert html.count('id="qt-plotly"') == 1
    assert html.count('class="qt-plot"') == charts
    assert len(html) < 5_000_000


def test_a_page_asks_nothing_of_the_network(exported):
    html, _ = exported
    outside = html.replace(page.packed_plotly(), "")
    assert "default-src 'none'" in outside
    for word in ("<link", "src=", "@import", "url(", "require.js", "MathJax"):
        assert word not in outside, word


def test_a_page_shows_outputs_and_no_inputs(exported):
    html, _ = exported
    assert "the_source_of_a_cell" not in html
    assert "A run</h2>" in html
    assert "plain words" not in html


def test_a_page_has_a_language_a_title_and_one_main_part(exported):
    html, _ = exported
    assert '<html lang="en">' in html
    assert "<title>A run &amp; &lt;its&gt; report</title>" in html
    assert html.count("<main>") == 1
    assert 'name="viewport"' in html


def test_every_chart_has_a_name_in_words(exported):
    html, charts = exported
    plots = re.findall(r'<div [^>]*class="qt-plot"[^>]*>', html)
    assert len(plots) == charts
    assert all('role="group"' in plot and re.search(r'aria-label="[^"]{20,}"', plot) for plot in plots)


def test_a_simulated_market_is_called_so(exported):
    html, _ = exported
    assert "<strong>SIMULATED MARKET</strong> No real prices, no real money. Seed 7." in html


def test_a_failed_run_says_so_on_top(tmp_path):
    told_by_papermill = v4.new_markdown_cell(
        "An Exception was encountered", metadata={"tags": ["papermill-error-cell-tag"]}
    )
    failed = a_failure("5 < 4 & <b>", number=4)
    write(v4.new_notebook(cells=[told_by_papermill, v4.new_markdown_cell("x"), failed]), tmp_path / "n.ipynb")
    html = page.export(tmp_path / "n.ipynb", tmp_path / "r.html", title="t", banner="interrupted").read_text()
    assert "<strong>FAILED</strong> Cell 4 failed: ValueError: 5 &lt; 4 &amp; &lt;b&gt;" in html
    assert "<strong>NOTICE</strong> interrupted" in html
    assert html.index("FAILED") < html.index("<main>")
    assert "An Exception was encountered" not in html
    assert 'id="qt-plotly"' not in html  # no chart, no library


def test_a_table_of_any_making_scrolls_by_itself_and_by_the_keyboard(tmp_path):
    shown = v4.new_output("execute_result", {"text/html": "<table><tr><td>7</td></tr></table>"})
    write(v4.new_notebook(cells=[v4.new_code_cell("x", outputs=[shown])]), tmp_path / "n.ipynb")
    html = page.export(tmp_path / "n.ipynb", tmp_path / "r.html", title="t").read_text()
    assert 'tabindex="0" role="region" aria-label="Table"><table><tr><td>7</td></tr></table></div>' in html


def test_a_page_without_a_title_has_that_of_its_notebook_in_the_readers_language(tmp_path):
    write(v4.new_notebook(cells=[v4.new_markdown_cell("# Parity\n\nwords")]), tmp_path / "n.ipynb")
    html = page.export(tmp_path / "n.ipynb", tmp_path / "r.html", title="", lang="nb").read_text()
    assert re.search(r"<title>Samsvar, \d\d\.\d\d\.\d{4} \d\d:\d\d UTC</title>", html)


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path):
    a_notebook(tmp_path / "n.ipynb", bars_n=30)
    old = tmp_path / "r.html"
    old.write_text("the old page")
    (tmp_path / "torn.ipynb").write_text('{"cells": [')
    with pytest.raises(Exception, match="JSON"):
        page.export(tmp_path / "torn.ipynb", old, title="t")
    assert old.read_text() == "the old page"
    page.export(tmp_path / "n.ipynb", old, title="t")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["n.ipynb", "r.html", "torn.ipynb"]


def test_a_figure_of_someone_else_is_shown_as_well(tmp_path):
    foreign = {"data": [{"type": "scatter", "y": [1, 2], "name": "</script><b>"}], "layout": {"width": 900}}
    cell = v4.new_code_cell("x", outputs=[v4.new_output("display_data", data={page.PLOTLY: foreign})])
    write(v4.new_notebook(cells=[cell]), tmp_path / "n.ipynb")
    html = page.export(tmp_path / "n.ipynb", tmp_path / "r.html", title="t").read_text()
    assert 'aria-label="chart"' in html
    assert "</script><b>" not in html
