"""A session that trades quickly on the simulated venue, as a process, with the panel's page beside it."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from qtlib.journal import Journal
from qtlib.runs.record.folder import journal_location

PATIENCE_S = 240  # only what is stuck waits so long
QT = [sys.executable, "-m", "qtlib.cli"]
QUICK = [
    *("universe.symbols=BTCUSDT,ETHUSDT,SOLUSDT", "data.bars=100000", "venue.speed=7200", "session.health_port=0"),
    *("strategy.params={fast: 6, medium: 9, slow: 12, volatility_span: 12}", "sizing.confidence_threshold=0.5"),
    *("exits.atr_multiple=10", "exits.time_stop_s=2592000"),  # what is opened stays for a while
    *("limits.cooldown_s=0", "limits.max_notional_per_trade=150", "session.grace_s=2"),
]
WORDS = [word for setting in QUICK for word in ("-p", setting)]


@contextmanager
def trading(root):
    """`qt live` in `root`, until the block ends; its process."""
    with (root / "live.log").open("wb") as out:
        process = subprocess.Popen([*QT, "live", *WORDS], env=env(root), stdout=out, stderr=out)
        try:
            yield process
        finally:
            end_sessions(root)
            process.wait(PATIENCE_S)


def end_sessions(root):
    """No `qt live` goes on in `root`, whoever began it: the page may have, and its processes are nobody's children."""
    found = [process for process in psutil.process_iter() if _trades_in(root, process)]
    for process in found:
        process.terminate()
    assert psutil.wait_procs(found, PATIENCE_S)[1] == []


@contextmanager
def served(root, *words):
    """The address of `qt panel` over `root`, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (root / "panel.log").open("wb") as out:
        command = [*QT, "panel", "--port", str(port), "--token", "told", *words]
        process = subprocess.Popen(command, env=env(root), stdout=out, stderr=out)
        try:
            waited_for(lambda: _answers(port), PATIENCE_S)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def env(root):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("QT_", "JUPYTER"))}
    own |= {f"JUPYTER_{name}_DIR": str(root / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    return own | {"QT_RUNS_DIR": str(root), "IPYTHONDIR": str(root / "ipython")}


def waited_for(found, seconds):
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.1)
    return value


def state(root):
    with Journal(journal_location("main", root), "main", reading=True) as journal:
        return journal.state()


def events(root, kind, after=0):
    with Journal(journal_location("main", root), "main", reading=True) as journal:
        return [(seq, event) for seq, event in journal.events(after) if isinstance(event, kind)]


def records(root):
    """The records of the session's runs, newest first."""
    folders = sorted(root.glob("*-live-*"), reverse=True)
    return [json.loads((folder / "record.json").read_text()) for folder in folders]


def _trades_in(root, process):
    try:
        words = process.cmdline()
        return words[1:4] == [*QT[1:], "live"] and process.environ().get("QT_RUNS_DIR") == str(root)
    except psutil.Error:
        return False


def _answers(port):
    try:
        with urlopen(f"http://127.0.0.1:{port}/?token=told", timeout=60) as page:
            return page.status == 200
    except (URLError, OSError):
        return False
