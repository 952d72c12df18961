"""`qt schedule`: what runs on a clock."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, app
from qtlib.cli.saying import respond, say, table
from qtlib.cli.settings import settings_of


@app.command(epilog="Example: qt schedule --show --json")
def schedule(
    show: Annotated[bool, typer.Option("--show", help="Say what runs next and how it went last, and end.")] = False,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Keep the clocks of the account: a retrain where one is due, reports, and a look whether people are needed.

    It runs until Ctrl-C. Started again it goes on where it stood: nothing is run twice, and what was missed is said.
    """
    from qtlib.runs.clock.schedule import Schedule, scheduling
    from qtlib.runs.record.folder import runs_root

    resolved = settings_of(params or Path("params/sim.yaml"), p)
    made = Schedule(resolved, runs_root(), on_line=lambda line: say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}"))
    rows = [_row(job) for job in made.coming()]
    account = resolved.params.session.account
    respond({"account": account, "jobs": rows}, as_json, lambda out: table(out, f"schedule of account {account}", rows))
    if show:
        return
    enough, heard = threading.Event(), list[int]()

    def end(number: int, frame: object) -> None:
        heard.append(number)
        enough.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    scheduling(made, enough, runs_root(), resolved.params)
    raise typer.Exit(128 + heard[0])


def _row(job: Any) -> dict[str, Any]:
    last = job.last
    return {
        "job": job.job,
        "next": f"{job.next:%Y-%m-%d %H:%M} UTC" if job.next else None,
        "clock": job.clock,
        "last": f"{last.due:%Y-%m-%d %H:%M} UTC" if last else None,
        "went": (last.outcome or "runs") if last else None,
        "words": job.idle or (last.words if last else ""),
        "what": job.what,
    }
