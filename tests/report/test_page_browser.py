"""The page in a real browser, from a file, with the network cut off."""

import os
import shutil
import time

import pytest
from a_browser import serious
from playwright.sync_api import sync_playwright

CONTRAST = """() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = rgb(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
  };
  const words = document.querySelectorAll('h1, h2, p, dt, dd, th, td, td span, figcaption, footer');
  return Math.min(...[...words].map((n) => {
    const [a, b] = [light(rgb(getComputedStyle(n).color)), light(behind(n))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""
INK = "getComputedStyle(document.querySelector('.js-plotly-plot .xtick text')).fill"
BODY = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def browser():
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        words = "no chromium on this machine: the page was not opened in a browser"
        pytest.fail(words) if os.environ.get("QT_REQUIRE") == "all" else pytest.skip(words)
    unsandboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--proxy-server=http://127.0.0.1:9", *unsandboxed]
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser, report):
    """Opens the page as a reader has it, and hears what it asks for and complains of."""
    pages = []

    def opening(width=1200, scheme="light"):
        touch = {"has_touch": True, "is_mobile": True} if width < 500 else {}
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **touch)
        shown = context.new_page()
        pages.append(context)
        shown.requests, shown.complaints = [], []
        shown.on("request", lambda request: shown.requests.append(request.url))
        shown.on("console", lambda line: shown.complaints.append(line.text))
        shown.on("pageerror", lambda error: shown.complaints.append(str(error)))
        shown.goto(report[0].as_uri())
        shown.wait_for_selector("html[data-charts]")
        return shown

    yield opening
    for context in pages:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "light"), (1200, "dark")])
def test_every_chart_is_drawn_offline_and_the_page_fits(opened, report, width, scheme):
    file, charts = report
    shown = opened(width, scheme)
    drawn = "p => p.querySelector('.main-svg .trace, .main-svg .points')"
    assert shown.evaluate(f"[...document.querySelectorAll('.qt-plot')].filter({drawn}).length") == charts
    assert shown.requests == [file.as_uri()]
    assert shown.complaints == []
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.evaluate(CONTRAST) >= 4.5
    shown.screenshot(path=file.with_name(f"{width}-{scheme}.png"), full_page=True)


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "dark")])
def test_it_has_no_serious_fault_for_who_reads_otherwise(opened, width, scheme):
    assert serious(opened(width, scheme)) == []


def test_charts_follow_the_reader_from_light_to_dark_and_print_light(opened):
    shown = opened()
    light = shown.evaluate(INK), shown.evaluate(BODY)
    shown.emulate_media(color_scheme="dark")
    _until(lambda: shown.evaluate(INK) != light[0])
    assert shown.evaluate(BODY) != light[1]
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown.emulate_media(media="print", color_scheme="dark")
    _until(lambda: shown.evaluate(INK) == light[0])
    assert shown.evaluate(BODY) == light[1]
    assert shown.evaluate(CONTRAST) >= 4.5
    assert shown.complaints == []


def test_charts_are_as_wide_as_paper_when_printed_and_as_the_page_again_after(opened):
    shown = opened()
    widest = "Math.max(...[...document.querySelectorAll('.main-svg')].map((svg) => svg.getBoundingClientRect().width))"
    on_screen = shown.evaluate(widest)
    assert on_screen > 800
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown.evaluate(widest) <= 672
    shown.evaluate("dispatchEvent(new Event('afterprint'))")
    _until(lambda: shown.evaluate(widest) == on_screen)


def test_a_finger_scrolls_the_page_and_a_mouse_zooms_the_chart(opened):
    mode = "document.querySelector('.js-plotly-plot').layout.dragmode"
    assert opened(390).evaluate(mode) is False
    assert opened(1200).evaluate(mode) == "zoom"


def test_a_browser_that_cannot_unpack_says_where_the_numbers_are(browser, report):
    context = browser.new_context()
    context.add_init_script("delete window.DecompressionStream")
    shown = context.new_page()
    shown.goto(report[0].as_uri())
    shown.wait_for_selector("text=the tables hold the same numbers")
    context.close()


def _until(true, seconds=5):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not become true"
        time.sleep(0.02)
