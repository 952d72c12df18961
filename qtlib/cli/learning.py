"""`qt retrain`: a new model from what there is to learn from, and the gate's word on it."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, app
from qtlib.cli.notebooks import OWN_TITLE, run
from qtlib.cli.saying import respond

GENTLY = 10  # the niceness beside a session: a retrain has all the time there is


@app.command(epilog="Example: qt retrain --params params/sim.yaml -p data.history=6000")
def retrain(
    until_pid: Annotated[
        int | None,
        typer.Option(metavar="PID", help="Beside that session: gently, and ending in order when it is gone."),
    ] = None,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="Only where the journal says that one is due, and no session sees to it.")
    ] = False,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train a model, judge it, and promote it if it has earned that: run notebooks/retrain.ipynb into a run folder."""
    if if_due:
        from qtlib.cli.settings import settings_of
        from qtlib.runs.believing.unattended import retrain_if_due
        from qtlib.runs.record.folder import runs_root

        answer = retrain_if_due(settings_of(params or Path("params/sim.yaml"), p), runs_root())
        respond(answer, as_json, lambda out: out.print(answer["words"], highlight=False, markup=False, soft_wrap=True))
        if answer["outcome"] == "failed":
            raise typer.Exit(1)
        return
    if until_pid is not None:
        os.nice(GENTLY)
        threading.Thread(target=_end_with, args=(until_pid,), name="session", daemon=True).start()
    run("retrain", params or Path("params/sim.yaml"), [OWN_TITLE, *(p or [])], as_json, debug)


def _end_with(pid: int) -> None:
    from qtlib.runs.record.guard import wait_for_end

    wait_for_end(pid)
    os.kill(os.getpid(), signal.SIGTERM)
