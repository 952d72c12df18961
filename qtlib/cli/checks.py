"""Commands that look before anything is at stake, or strike on purpose."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, app
from qtlib.cli.saying import console, respond, table
from qtlib.cli.settings import settings_of

if TYPE_CHECKING:
    from rich.console import Console


@app.command(epilog="Example: qt doctor --params params/replay.yaml -p data.path=bars/")
def doctor(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Check everything that can be checked before anything is at stake; exit 3 if something refuses."""
    from qtlib.runs.checks.doctor import examine
    from qtlib.runs.record.folder import runs_root

    findings = examine(settings_of(params or Path("params/sim.yaml"), p).params, runs_root())
    rows = [{"check": f.check, "ok": f.ok, "found": f.words} for f in findings]
    shown = [{"check": f.check, "": "ok" if f.ok else "REFUSED", "found": f.words} for f in findings]
    ok = all(f.ok for f in findings)
    respond({"ok": ok, "checks": rows}, as_json, lambda out: table(out, "doctor", shown))
    if not ok:
        raise typer.Exit(3)


@app.command(epilog="Example: qt drill --minutes 10 --seed 8")
def drill(
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Strike again and again for so long; else with each strike once.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the market, and of the order in which it is struck.")] = 7,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Strike a session on the simulated exchange on purpose (kills, cuts, faults), and report what survived.

    It trades an account of its own in a folder of its own, under runs/drill. Exit 1 if something did not survive.
    """
    from qtlib.runs.checks.drill import drill as struck

    out = console(stderr=True)

    def tell(line: str) -> None:
        out.print(line, highlight=False, markup=False, soft_wrap=True)

    report = struck(settings_of(params or Path("params/sim.yaml"), p), minutes, seed, tell=tell)
    rows = [
        {
            "strike": one.what,
            "what happened": one.happened,
            "trading again [s]": "not" if one.again_s is None else f"{one.again_s:.1f}",
            "without a stop [s]": f"{one.bare_s:.1f}",
        }
        for one in report.struck
    ]
    title = f"{report.left.orders} orders, {report.left.fills} fills in {report.seconds:.0f} s; {report.folder}"

    def show(console: "Console") -> None:
        table(console, title, rows)
        console.print(report.verdict, highlight=False, markup=False, soft_wrap=True)

    respond(report.document, as_json, show)
    if not report.survived:
        raise typer.Exit(1)
