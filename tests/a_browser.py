"""Chromium for tests, and axe, which looks at what it shows: both skipped, or failing, where they cannot be had."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

AXE = "axe-core@4.14.1"
KEPT = Path(tempfile.gettempdir()) / "qt-axe"
NAMES = ("chromium", "chromium-browser", "google-chrome")
AUDIT = "axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'best-practice']})"


def absent(what):
    words = f"{what}: no page was looked at"
    pytest.fail(words) if os.environ.get("QT_REQUIRE") == "all" else pytest.skip(words)


@contextmanager
def a_browser():
    """A browser that reaches this machine and no other."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        absent("there is no chromium on this machine")
    unsandboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
    cut_off = ["--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*cut_off, *unsandboxed])
        yield browser
        browser.close()


def serious(page):
    """What axe finds serious on `page`, one line each."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe())  # as a policy may forbid scripts that are added to the page
    found = page.evaluate(AUDIT)["violations"]
    grave = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    return [f"{v['id']}: {node['html'][:160]}" for v in grave for node in v["nodes"]]


def _axe():
    script = KEPT / AXE.replace("@", "-") / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            absent("there is no npm on this machine to fetch axe with")
        words = [npm, "install", "--prefix", str(script.parents[2]), "--no-audit", "--no-fund", "--ignore-scripts", AXE]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            absent(f"{AXE} cannot be installed: {' '.join(done.stderr.split())[:200]}")
    return script.read_text(encoding="utf-8")
