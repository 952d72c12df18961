"""`qt runs`: the folders of past runs."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtlib.cli.app import AsJson, Debug, runs
from qtlib.cli.notebooks import summary
from qtlib.cli.saying import respond, table

if TYPE_CHECKING:
    from rich.console import Console


@runs.command("list", epilog="Example: qt runs list --kind live --last 5")
def runs_list(
    kind: Annotated[str | None, typer.Option(help="Only live, backtest, …")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Past runs, newest first, and how they ended; `died` is a run whose process went without a word."""
    from itertools import islice

    from qtlib.runs.record.folder import runs as all_runs
    from qtlib.runs.record.folder import runs_root

    found = list(islice((f for f in all_runs() if kind in (None, f.kind)), last))
    rows = [_run_row(folder.record()) for folder in found]
    respond({"folder": str(runs_root()), "runs": rows}, as_json, lambda out: table(out, str(runs_root()), rows))


@runs.command("show", epilog="Example: qt runs show latest")
def runs_show(
    run: Annotated[str, typer.Argument(help="Its name, a part that no other has, or latest.")] = "latest",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """One run: how it ended, its figures and its files."""
    from qtlib.runs.record.folder import find

    folder = find(run)
    record = folder.record()

    def show(out: "Console") -> None:
        summary(out, folder.path, record)
        if error := record.get("error"):
            out.print(f"{error['type']}: {error['message']}", markup=False, highlight=False)
            out.print(error.get("traceback", "") if debug else "", markup=False, highlight=False, end="")

    respond(record, as_json, show)


@runs.command("clean", epilog="Example: qt runs clean --keep 10 --yes")
def runs_clean(
    keep: Annotated[int, typer.Option(min=1, help="How many of each kind stay.")] = 20,
    kind: Annotated[str | None, typer.Option(help="Only live, backtest, …")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this they are only named.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove old runs, and sweeps' trials that lay idle; never what runs, nor a live run of the last 30 days."""
    from datetime import UTC, datetime

    from qtlib.durable import remove_folder
    from qtlib.runs.record.folder import disposable, remove, runs_root
    from qtlib.runs.sweep import store

    now = datetime.now(UTC)
    old = disposable(keep, now, kind=kind)
    stores = store.disposable(keep, now, runs_root()) if kind in (None, "sweep") else []
    for folder in old if yes else []:
        remove(folder)
    for path in stores if yes else []:
        remove_folder(path)
    names = [*(folder.run_id for folder in old), *(f"{store.FOLDER}/{path.name}" for path in stores)]
    done = "removed" if yes else "would be removed; --yes does it"
    told = [f"{len(old)} runs {done}", *([f"trials of {len(stores)} markets or versions {done}"] if stores else [])]
    respond(
        {"removed": names if yes else [], "would_remove": [] if yes else names},
        as_json,
        lambda out: out.print("\n".join([*names, *told]), highlight=False),
    )


def _run_row(record: Mapping[str, Any]) -> dict[str, Any]:
    figures = record.get("metrics") or {}
    return {
        "run": record["run_id"],
        "status": record["status"],
        "seconds": record.get("seconds"),
        "trades": figures.get("trades"),
        "net_pnl_quote": figures.get("net_pnl_quote"),
        "max_drawdown_frac": figures.get("max_drawdown_frac"),
    }
