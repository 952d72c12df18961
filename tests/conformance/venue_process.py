"""A `qt exchange` process for clients to trade on, stepped by hand, and what it says afterwards."""

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager


class Venue:
    def __init__(self, url):
        self.url = url

    def step(self, bars=1):
        return self._answer(urllib.request.Request(f"{self.url}/sim/step?bars={bars}", method="POST"))

    @property
    def unrouted(self):
        """The requests that led nowhere."""
        return self._answer(urllib.request.Request(f"{self.url}/sim"))["unrouted"]

    def _answer(self, request):
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def running(*words):
    """The venue, from when it says that it is ready until it is killed; `words` are options of `qt exchange`."""
    command = [sys.executable, "-m", "qtlib.cli", "exchange", "--port", "0", "--json", "--speed", "step", *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith("QT_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        said = process.stdout.readline()
        assert said, process.stderr.read()
        yield Venue(json.loads(said)["url"])
    finally:
        process.kill()
        process.communicate()


def client_env():
    """The environment of a client: no proxy between it and the venue, nothing of ours on its path."""
    kept = {
        n: v for n, v in os.environ.items() if not n.startswith(("QT_", "PYTHON")) and not n.lower().endswith("_proxy")
    }
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
