"""Fetches that are killed: SIGKILL at drawn instants, with faults on; in the end the store is that of one left alone.

`python -m tests.fetch_kills --kills 200` lives through many and prints figures; the suite takes a few of them.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # as the suite has it

from a_past_venue import NAMES, a_past_venue, fetched
from stored_bars import tree


def killed_and_resumed(folder, kills=200, seed=0, names=NAMES, tell=lambda line: None):
    """Figures of `kills` kills, over as many stores as it takes to be killed so often."""
    dice = random.Random(seed)
    context = multiprocessing.get_context("fork")  # a fresh interpreter would live for seconds before it fetches
    figures = {"kills": 0, "stores": 0, "equal": True, "files_at_kill": []}
    began = time.monotonic()
    with a_past_venue() as calm, a_past_venue(rough=True, seed=seed) as rough:
        fetched(calm.url, folder / "undisturbed", names)
        whole = tree(folder / "undisturbed")
        while figures["kills"] < kills:
            store = folder / f"killed-{figures['stores']}"
            ended = False
            while not ended:
                child = context.Process(target=_fetch, args=(rough.url, store, names), daemon=True)
                child.start()
                if figures["kills"] < kills:
                    _live(child, store, changes=dice.randint(0, 5), more_s=dice.uniform(0.0, 0.05))
                if child.is_alive() and figures["kills"] < kills:
                    os.kill(child.pid, signal.SIGKILL)
                    figures["kills"] += 1
                    figures["files_at_kill"].append(len(_seen(store)))
                child.join()
                ended = child.exitcode == 0
                assert ended or child.exitcode == -signal.SIGKILL
            figures["stores"] += 1
            figures["equal"] &= tree(store) == whole
            tell(f"{figures['kills']} of {kills} kills, {figures['stores']} stores, equal: {figures['equal']}")
    figures["seconds"] = round(time.monotonic() - began, 1)
    return figures


def _live(child, store, changes, more_s):
    """Let `child` live until the store has changed so often, and `more_s` longer: kills fall near writes, or before."""
    before = _seen(store)
    while changes and child.is_alive():
        time.sleep(0.002)
        if (now := _seen(store)) != before:
            before, changes = now, changes - 1
    time.sleep(more_s)


def _seen(store):
    """Every file of the store, drafts too, with its size."""
    found = {}
    for file in store.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            found[file] = file.stat().st_size
    return found


def _fetch(url, folder, names):
    fetched(url, folder, names, store_every_s=0.02)  # as often as may be: most kills should fall near a write


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--kills", type=int, default=200)
    given.add_argument("--seed", type=int, default=0)
    words = given.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = killed_and_resumed(Path(place), words.kills, words.seed, tell=lambda line: print(line, file=sys.stderr))
    at_kill = found.pop("files_at_kill")
    print(json.dumps({**found, "files_at_kill": [min(at_kill), max(at_kill)]}))
    sys.exit(0 if found["equal"] else 1)
