"""`qt lab` in a real browser: it says where to begin, the tour runs to its end, and the project stays as it was."""

import pytest
from a_browser import a_browser
from a_lab import CELLS, NOTEBOOKS, a_lab, opened, run_all

TOUR = NOTEBOOKS / "tour.ipynb"


@pytest.fixture
def page():
    with a_browser() as browser:
        yield browser.new_page(viewport={"width": 1300, "height": 900})


def test_the_lab_says_where_to_begin_and_the_tour_runs_to_its_end(page, tmp_path):
    before = TOUR.read_bytes()
    with a_lab(tmp_path) as address:
        opened(page, address, NOTEBOOKS / "launcher.ipynb")
        assert page.locator(".jp-RenderedMarkdown a:text-is('tour.ipynb')").count() == 1
        opened(page, address, TOUR)
        assert page.locator(".lm-TabBar-tab.lm-mod-current", has_text=TOUR.name).count() == 1
        run_all(page, TOUR)
        assert page.locator(f"{CELLS} .js-plotly-plot .main-svg").count() > 0
    assert TOUR.read_bytes() == before
