"""`qt`: every command is a thin way in to something that notebooks can call as well.

Standard output holds the answer (with `--json`, one JSON object and nothing else); progress and errors go to standard
error. An error is a sentence or two with its numbers and the next step; `--debug` shows where it came from. Exit
codes are those of `qtlib.runs.record.ends`.

A module here is a family of commands, and the order below is that of `qt --help`. Imports of the rooms stand inside
the commands: with them at the top `qt --help` took 3.5 s instead of 0.3 s.
"""

from qtlib.cli import notebooks, learning, session, checks, exchange, data, runs, models, schedule, alerts  # isort: skip
from qtlib.cli.app import app, main

__all__ = ["alerts", "app", "checks", "data", "exchange", "learning", "main", "models", "notebooks", "runs", "schedule"]
__all__ += ["session"]
