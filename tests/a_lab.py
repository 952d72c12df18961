"""JupyterLab as `qt lab` opens it, and a notebook in it that runs all its cells, on however busy a machine."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PATIENCE_S = 240  # only what is stuck waits so long: what fails says so at once
BEGIN_S = 15  # for cells to begin once they were asked to; then they are asked again
CELLS = ".jp-Notebook .jp-CodeCell"
WRONG = ", ".join(f"{CELLS} [data-mime-type='application/vnd.jupyter.{kind}']" for kind in ("error", "stderr"))
PROMPTS = f"[...document.querySelectorAll('{CELLS} .jp-InputPrompt')].map(prompt => prompt.textContent.trim())"


@contextmanager
def a_lab(root):
    """The address that `qt lab` tells its user, of a Jupyter that knows `root` and nothing else of this machine."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("QT_", "JUPYTER"))}
    env |= {f"JUPYTER_{name}_DIR": str(root / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    env |= {"IPYTHONDIR": str(root / "ipython"), "QT_RUNS_DIR": str(root)}
    _saves_nothing(root / "config")
    log = root / "lab.log"
    with log.open("wb") as out:
        words = [sys.executable, "-m", "qtlib.cli", "lab", "--no-browser", "--port", _free_port()]
        server = subprocess.Popen(words, env=env, stdout=out, stderr=out)
    try:
        yield _address(server, log)
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def opened(page, address, notebook):
    """`page` shows the notebook of this path, whose kernel is there."""
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(address.replace("launcher.ipynb", notebook.name) + "&reset")
    with _telling(page):
        page.wait_for_selector(CELLS)
        page.wait_for_selector("#jp-main-statusbar :text-matches('\\\\| Idle')")  # else it asks which kernel


def run_all(page, notebook):
    """Every cell of what is opened has run, and nothing went wrong: they are asked again as long as none has begun."""
    cells = sum(cell["cell_type"] == "code" for cell in json.loads(notebook.read_bytes())["cells"])
    with _telling(page):
        until = time.monotonic() + PATIENCE_S
        while not _begun(page):
            assert time.monotonic() < until, "no cell begins"
            _ask(page)
        while sum(bool(re.fullmatch(r"\[\d+\]:", prompt)) for prompt in page.evaluate(PROMPTS)) < cells:
            assert page.locator(WRONG).all_inner_texts() == []
            assert time.monotonic() < until, "cells do not end"
            page.wait_for_timeout(200)
        assert page.locator(WRONG).all_inner_texts() == []


def _ask(page):
    """Click Run > Run All Cells, and give the cells time to begin."""
    page.keyboard.press("Escape")  # a menu, or a dialog that came in between
    page.click(".lm-MenuBar-itemLabel:text-is('Run')")
    page.click("[data-command='runmenu:run-all']")
    until = time.monotonic() + BEGIN_S
    while not _begun(page) and time.monotonic() < until:
        page.wait_for_timeout(200)


def _begun(page):
    return any(prompt != "[ ]:" for prompt in page.evaluate(PROMPTS))


@contextmanager
def _telling(page):
    """What goes wrong in here is told together with what the page shows."""
    try:
        yield
    except Exception as why:
        dialogs, kernel = (page.locator(where).all_inner_texts() for where in (".jp-Dialog", "#jp-main-statusbar"))
        cells = page.locator(CELLS).all_inner_texts()
        pytest.fail(f"{why}\ndialogs {dialogs}\nstatus {kernel}\n" + "\n--\n".join(cells)[-4000:])


def _saves_nothing(config):
    """A lab with this folder of settings leaves the notebooks as they are, however long they are open."""
    plugin = config / "lab" / "user-settings" / "@jupyterlab" / "docmanager-extension" / "plugin.jupyterlab-settings"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_text('{"autosave": false}')


def _address(server, log):
    """Where the lab is, with the token that it tells, once it answers."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        told = re.search(r"http://127\.0\.0\.1:\d+/lab/tree/notebooks/launcher\.ipynb\?token=\w+", log.read_text())
        if told and _answers(told[0]):  # it tells the address a moment before it listens there
            return told[0]
        time.sleep(0.1)
    pytest.fail(f"qt lab did not come up: {log.read_text()[-2000:]}")


def _answers(url):
    try:
        with urlopen(url, timeout=30) as page:
            return page.status == 200
    except (URLError, OSError):
        return False


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])
