"""Runs: each execution of a notebook is a folder, with a record of how it ended."""

from qtlib.runs.record.folder import RunFolder, RunsError, journal_location, runs_root, venue_location
from qtlib.runs.record.run import Run, open_run

__all__ = ["Run", "RunFolder", "RunsError", "journal_location", "open_run", "runs_root", "venue_location"]
