"""A `qt exchange` process for clients to trade on, stepped by hand, and the environment they run in."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

from a_served_venue import Served


@contextmanager
def running(*words):
    """The venue, from when it says that it is ready until it is killed; `words` are options of `qt exchange`."""
    command = [sys.executable, "-m", "qtlib.cli", "exchange", "--port", "0", "--json", "--speed", "step", *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith("QT_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        said = process.stdout.readline()
        assert said, process.stderr.read()
        yield Served(None, None, json.loads(said)["url"].rsplit(":", 1)[1])
    finally:
        process.kill()
        process.communicate()


def unrouted(venue):
    """The requests that led nowhere."""
    return venue.ask("GET", "/sim")[1]["unrouted"]


def client_env():
    """The environment of a client: no proxy between it and the venue, nothing of ours on its path."""
    ours = ("QT_", "PYTHON")
    kept = {n: v for n, v in os.environ.items() if not n.startswith(ours) and not n.lower().endswith("_proxy")}
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
