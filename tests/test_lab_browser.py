"""`qt lab` in a real browser: it says where to begin, the tour runs to its end, and the project stays as it was."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import sync_playwright

TOUR = Path(__file__).parent.parent / "notebooks" / "tour.ipynb"
PATIENCE_S = 90
WRONG = ("error", "stderr")  # what a failed cell, or a warning, shows
CELLS = ".jp-Notebook .jp-CodeCell"


@pytest.fixture
def lab(tmp_path):
    """The address that `qt lab` tells its user, from a Jupyter that knows nothing of this machine's."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("QT_", "JUPYTER"))}
    env |= {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    env |= {"IPYTHONDIR": str(tmp_path / "ipython"), "QT_RUNS_DIR": str(tmp_path / "runs")}
    words = [sys.executable, "-c", "from qtlib.cli import main; main()", "lab", "--no-browser", "--port", _free_port()]
    log = tmp_path / "lab.log"
    with log.open("wb") as out:
        server = subprocess.Popen(words, env=env, stdout=out, stderr=out)
    try:
        yield _address(server, log)
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def page():
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        words = "no chromium on this machine: JupyterLab was not opened in a browser"
        pytest.fail(words) if os.environ.get("QT_REQUIRE") == "all" else pytest.skip(words)
    unsandboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=unsandboxed)
        shown = browser.new_page(viewport={"width": 1300, "height": 900})
        yield shown
        browser.close()


def test_the_lab_says_where_to_begin_and_the_tour_runs_to_its_end(page, lab):
    before = TOUR.read_bytes()
    page.goto(f"{lab}&reset")
    page.wait_for_selector(".jp-RenderedMarkdown a:text-is('tour.ipynb')", timeout=PATIENCE_S * 1000)
    page.goto(f"{lab.replace('launcher', 'tour')}&reset")
    page.wait_for_selector(CELLS, timeout=PATIENCE_S * 1000)
    assert page.locator(".lm-TabBar-tab.lm-mod-current", has_text=TOUR.name).count() == 1
    page.wait_for_selector(
        "#jp-main-statusbar :text-matches('\\\\| Idle')", timeout=PATIENCE_S * 1000
    )  # else it asks which kernel
    page.click(".lm-MenuBar-itemLabel:text-is('Run')")
    page.click("[data-command='runmenu:run-all']")
    cells = sum(cell["cell_type"] == "code" for cell in json.loads(before)["cells"])

    numbered = "cells => cells.filter(c => /\\[\\d+\\]/.test(c.querySelector('.jp-InputPrompt').textContent)).length"
    ends = time.monotonic() + PATIENCE_S
    wrong = page.locator(", ".join(f"{CELLS} [data-mime-type='application/vnd.jupyter.{kind}']" for kind in WRONG))
    while page.eval_on_selector_all(CELLS, numbered) < cells and time.monotonic() < ends:
        assert wrong.all_inner_texts() == []
        page.wait_for_timeout(200)
    assert wrong.all_inner_texts() == []
    assert page.eval_on_selector_all(CELLS, numbered) == cells
    assert page.locator(f"{CELLS} .js-plotly-plot .main-svg").count() > 0
    assert TOUR.read_bytes() == before


def _address(server, log):
    """Where the lab is, with the token that it tells, once it answers."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends and server.poll() is None:
        told = re.search(r"http://127\.0\.0\.1:\d+/lab/tree/notebooks/launcher\.ipynb\?token=\w+", log.read_text())
        if told and _answers(told[0]):  # it tells the address a moment before it listens there
            return told[0]
        time.sleep(0.1)
    pytest.fail(f"qt lab did not come up: {log.read_text()[-2000:]}")


def _answers(url):
    try:
        with urlopen(url, timeout=10) as page:
            return page.status == 200
    except URLError:
        return False


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])
