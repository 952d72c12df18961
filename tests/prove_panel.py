"""An hour of simulated minutes under the panel's eyes, at speed: what its kernel and its page hold, minute by minute.

    python -m tests.prove_panel [--minutes 60] [--speed 120]

prints a table, and writes it as JSON where `--out` says. It is flat if the second half adds no more than a tenth.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent / "panel")]

import a_session
from a_browser import a_browser

FLAT = 1.10  # what the second half may hold, of the first


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=int, default=60)
    asked.add_argument("--speed", type=float, default=120.0)
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    more = ["-p", "data.timeframe=1m", "-p", f"venue.speed={given.speed:g}"]
    a_session.WORDS = [*a_session.WORDS, *more]
    root = Path(tempfile.mkdtemp(prefix="qt-panel-"))
    with a_session.trading(root), a_session.served(root, *a_session.WORDS) as url, a_browser() as browser:
        rows = watched(browser, url, root, given.minutes)
    for row in rows:
        print(f"{row['minute']:4d} min  kernel {row['kernel_mb']:7.1f} MB  page {row['page_mb']:6.1f} MB")
    half = len(rows) // 2
    grown = {
        what: max(r[what] for r in rows[half:]) / max(r[what] for r in rows[:half]) for what in ("kernel_mb", "page_mb")
    }
    flat = all(ratio <= FLAT for ratio in grown.values())
    print({name: round(ratio, 3) for name, ratio in grown.items()}, "flat" if flat else "NOT FLAT")
    if given.out:
        given.out.write_text(json.dumps({"rows": rows, "grown": grown, "flat": flat}, indent=1))
    sys.exit(not flat)


def watched(browser, url, root, minutes):
    """What is held after each simulated minute or so, from the first that the page has shown."""
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(180_000)
    page.goto(f"{url}?token=told", timeout=180_000)
    page.wait_for_selector(".qt-panel.qt-lives .qt-head")
    kernel = next(p for p in psutil.process_iter() if _is_kernel_of(p, root))
    devtools, begun, rows = page.context.new_cdp_session(page), a_session.state(root).ts, []
    while not rows or rows[-1]["minute"] < minutes:
        time.sleep(1.0)
        devtools.send("HeapProfiler.collectGarbage")
        held = page.evaluate("performance.memory.usedJSHeapSize")
        minute = int((a_session.state(root).ts - begun).total_seconds() / 60)
        rows.append({"minute": minute, "kernel_mb": kernel.memory_info().rss / 1e6, "page_mb": held / 1e6})
    assert page.locator(".qt-panel.qt-lives").count() == 1  # it saw all of it
    return rows


def _is_kernel_of(process, root):
    """The panel's kernel: one below `qt panel`, with these runs, and no session's."""
    try:
        told, words = process.environ(), " ".join(process.cmdline())
    except psutil.Error:
        return False
    return told.get("QT_RUNS_DIR") == str(root) and "ipykernel_launcher" in words and "QT_RUNNER_PID" not in told


if __name__ == "__main__":
    main()
